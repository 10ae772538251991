//! The embedded runtime: a Space made from Bash Gym's template, with its model loaded in this process.
//!
//! The code of such a Space is the same in every one, and what differs is in its `space.json`; so this runtime reads that file,
//! loads the model it names at the revision it names, and gives it the app ([`crate::app`]) that answers as the code would. Neither
//! `app.py`, nor the program of a docker Space, nor anything else of the Space is run. It needs an engine ([`InferenceEngine`](crate::InferenceEngine)).
//!
//! Stages follow what happens: `BUILDING` while files are looked up, `APP_STARTING` while the model is loaded and asked a first
//! question, `RUNNING` once it has answered, `RUNTIME_ERROR` with the reason. A Space that nobody visits for its sleep time lets
//! go of its memory, and so does every Space when the Hub stops: `SLEEPING`, until the next request.

mod host;
mod start;

pub(super) use host::host;
pub(super) use start::{Student, space_file, start};

/// What is said wherever a Space runs in this process.
pub(super) const EMBEDDED: &str =
    "embedded runtime: the model of space.json is loaded in this process; the code of the Space is not run";
