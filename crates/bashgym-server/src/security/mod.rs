//! Who may ask: the key, sessions of a browser, where a request comes from, and what every answer says to a browser.

mod backoff;
mod guard;
mod headers;
mod key;
mod session;

pub(crate) use guard::{Asking, Caller, Guard, PUBLIC};
pub(crate) use headers::harden;
pub use key::{ServerKey, prove};
pub(crate) use key::{random_text, same};
pub(crate) use session::COOKIE;
