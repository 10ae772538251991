//! Reads what is new: files that grew, new files, rewritten files; nothing twice, and no half line.

mod file;
mod follower;
mod state;

pub(crate) use file::stamp;
pub use follower::{FollowEvent, FollowSummary, SessionFollower, SessionUpdate};
pub(crate) use state::write_json;
pub use state::{FileState, ImportState, ImportStateStore, JsonStateFile, SessionState};
