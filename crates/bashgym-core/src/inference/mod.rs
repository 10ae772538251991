//! Calls of models: within the budget, and remembered.
//!
//! [`InferenceDesk`] sets the worst case of each call aside before it is sent and settles it after; [`CallStore`] remembers who
//! served it, its tokens and its cost, and adds them up by model, provider, day and purpose.

mod calls;
mod desk;
mod memory;
mod paid;
mod queue;
mod reconcile;
#[cfg(test)]
mod tests;

pub use calls::{CallFilter, CallId, CallStore, CallSums, StoredCall, UsageBy, UsageRow};
pub use desk::{InferenceDesk, InferenceFailure, UnknownPrice};
pub use memory::MemoryCalls;
pub use paid::PaidStream;
pub use queue::CallQueue;
pub use reconcile::{HubCalls, hub_calls};
