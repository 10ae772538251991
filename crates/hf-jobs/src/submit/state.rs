//! How far a submission got, as its journal keeps it.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use hf_core::JobId;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::policy::JournalError;
use super::read_back::Drift;

/// How far one intent got. Each state is stored before the next thing is done, so that whoever comes after a crash knows
/// what may have happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum SubmissionState {
    /// Nothing that was sent can have made a job.
    Planned,
    /// A request is on its way, or was: a job may exist.
    Sent {
        /// When the last request was about to be sent.
        at: Timestamp,
        /// How many requests were sent so far.
        sends: u32,
    },
    /// The Hub has the job.
    Created {
        /// The job.
        job_id: JobId,
        /// When it was first known here.
        at: Timestamp,
    },
    /// The Hub has a job that is not what was asked for; it is to be canceled.
    Drifted {
        /// The job.
        job_id: JobId,
        /// What differs.
        drifts: Vec<Drift>,
        /// Whether the Hub confirmed the cancel.
        canceled: bool,
    },
}

impl SubmissionState {
    /// The job that is known of.
    pub fn job_id(&self) -> Option<&JobId> {
        match self {
            Self::Created { job_id, .. } | Self::Drifted { job_id, .. } => Some(job_id),
            Self::Planned | Self::Sent { .. } => None,
        }
    }
}

/// Remembers how far one intent got, over crashes.
#[async_trait]
pub trait SubmissionJournal: Send + Sync {
    /// The last state that was written; [`SubmissionState::Planned`] when there is none.
    ///
    /// # Errors
    /// When it can not be read; nothing is sent then.
    async fn read(&self) -> Result<SubmissionState, JournalError>;

    /// Makes `state` the last one, durably: it is there after a crash once this has returned.
    ///
    /// # Errors
    /// When it can not be written, or when somebody else is at this intent; nothing is sent then.
    async fn write(&self, state: &SubmissionState) -> Result<(), JournalError>;
}

/// A journal that forgets when the process ends, for tests and for whoever keeps the state elsewhere.
#[derive(Debug)]
pub struct MemoryJournal(Mutex<SubmissionState>);

impl Default for MemoryJournal {
    fn default() -> Self {
        Self(Mutex::new(SubmissionState::Planned))
    }
}

impl MemoryJournal {
    /// Begins at a state.
    pub fn at(state: SubmissionState) -> Self {
        Self(Mutex::new(state))
    }

    /// The state.
    pub fn state(&self) -> SubmissionState {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl SubmissionJournal for MemoryJournal {
    async fn read(&self) -> Result<SubmissionState, JournalError> {
        Ok(self.state())
    }

    async fn write(&self, state: &SubmissionState) -> Result<(), JournalError> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state.clone();
        Ok(())
    }
}
