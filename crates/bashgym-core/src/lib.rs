//! The product, without terminal, socket or SQL: the run that turns session logs into a verified student
//! model, the training backends it can use, and the traits of the store it is remembered in.
//!
//! A composition root (the `bashgym` command, a server) brings a Hub client, a store and a sampler, and drives
//! [`run::RunService`]. Nothing here knows whether the Hub is Hugging Face or the embedded one.

pub mod backend;
pub mod bulk;
pub mod demo;
pub mod error;
pub mod events;
pub mod explain;
pub mod inference;
pub mod launch;
pub mod ledger;
pub mod plan;
pub mod publish;
pub mod router;
pub mod run;
pub mod session;
pub mod space;
pub mod store;
pub mod task;
#[cfg(feature = "testing")]
pub mod testing;
pub mod trainer;

pub use error::{CoreError, CoreErrorKind};
pub use hf_core::{Clock, SystemClock};
