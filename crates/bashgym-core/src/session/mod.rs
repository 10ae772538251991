//! One session of a coding agent as a person reads it, and the datasets that were built of sessions.

mod built;
mod timeline;

pub use built::{BuiltRows, BuiltSet, built_card, built_rows, list_built};
pub use timeline::{Conversation, Cut, Step, StepCall, StepResult, Timeline, subagents_of};
