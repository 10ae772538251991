//! The client against a Hub in this process, a file for each verb.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

mod cancel;
mod gate;
mod logs;
mod more;
mod run;
mod support;
mod wait;
