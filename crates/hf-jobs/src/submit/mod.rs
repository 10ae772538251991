//! Submitting a job exactly once, and checking that it is the job that was asked for.

mod driver;
mod policy;
mod read_back;
mod state;
#[cfg(test)]
mod tests;

pub use policy::{JournalError, Kept, SubmitError, SubmitPolicy, Submitted};
pub use read_back::{Drift, ReadBack, read_back, read_back_request};
pub use state::{MemoryJournal, SubmissionJournal, SubmissionState};
