//! What a launch tells, and what it can fail with.

use async_trait::async_trait;
use hf_core::{HfError, JobId};
use hf_jobs::{Drift, FollowError, JournalError, LogLine, SubmitError};

use super::view::JobState;
use super::watchdog::{WatchAction, WatchFinding};
use crate::ledger::LedgerError;
use crate::store::StoreError;

/// One thing that a launch tells.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum LaunchEvent {
    /// The Hub has the job.
    Created {
        /// The job.
        job_id: JobId,
        /// Fields that could not be compared with what was asked.
        not_shown: Vec<String>,
    },
    /// A younger job of the same intent was canceled.
    DuplicateCanceled {
        /// That job.
        job_id: JobId,
    },
    /// A line of the log, after it was kept.
    Line(LogLine),
    /// The Hub's log no longer begins where it did.
    LogRotated {
        /// Whether lines are gone that were never read.
        lost: bool,
    },
    /// The job's log could not be read to its end.
    LogIncomplete {
        /// Why.
        reason: String,
    },
    /// The job stands otherwise than before.
    State(JobState),
    /// The watchdog saw something, for the first time since it was last well.
    Finding {
        /// What.
        finding: WatchFinding,
        /// What is done.
        action: WatchAction,
    },
    /// The job's cost reaches the cap; it is being canceled.
    CapReached {
        /// What it cost by now, in micro-USD.
        spent_micro_usd: u64,
        /// What it may cost.
        cap_micro_usd: u64,
    },
    /// The final state; told once.
    Ended(JobState),
}

/// Takes what a launch tells. One that is slow makes the launch wait: nothing piles up.
#[async_trait]
pub trait LaunchSink: Send + Sync {
    /// Takes an event.
    async fn tell(&self, event: LaunchEvent);
}

/// Takes events and forgets them.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSink;

#[async_trait]
impl LaunchSink for NoSink {
    async fn tell(&self, _event: LaunchEvent) {}
}

/// Why a launch did not get on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LaunchError {
    /// There is no job, for certain; the money is given back.
    #[error("no job was made: {0}")]
    NotCreated(#[source] HfError),
    /// There may be a job. It is not started again; the same call later looks again.
    #[error("the job can not be seen now: {0}")]
    Unknown(#[source] HfError),
    /// The Hub made another job than was asked for; it was canceled.
    #[error("job {job_id} was not what was asked for: {}{}", drifts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        if *.canceled { "; it was canceled" } else { "; it could NOT be canceled yet" })]
    Drifted {
        /// The job.
        job_id: JobId,
        /// What differs.
        drifts: Vec<Drift>,
        /// Whether the Hub confirmed the cancel.
        canceled: bool,
    },
    /// The budget refused.
    #[error(transparent)]
    Budget(#[from] LedgerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal of the log or of the submission failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The job is over, so it can not be canceled.
    #[error("job {job_id} is over ({}); it can not be canceled", state_word(state))]
    AlreadyOver {
        /// The job.
        job_id: String,
        /// How it ended.
        state: Box<JobState>,
    },
    /// The name of the intent was used for another request.
    #[error("this retry key was used for another request")]
    OtherRequest {
        /// The intent.
        intent: String,
    },
    /// Another process is at it.
    #[error("another process is at launch {intent}")]
    Busy {
        /// The intent.
        intent: String,
    },
}

impl From<SubmitError> for LaunchError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::NotCreated(source) => Self::NotCreated(source),
            SubmitError::Unknown(source) => Self::Unknown(source),
            SubmitError::Drifted {
                job_id,
                drifts,
                canceled,
            } => Self::Drifted {
                job_id,
                drifts,
                canceled,
            },
            SubmitError::Journal(source) => Self::Journal(source),
            other => Self::Journal(JournalError::new(other.to_string())),
        }
    }
}

impl From<FollowError> for LaunchError {
    fn from(error: FollowError) -> Self {
        match error {
            FollowError::Hub(source) => Self::Unknown(source),
            FollowError::Journal(source) => Self::Journal(source),
            other => Self::Journal(JournalError::new(other.to_string())),
        }
    }
}

/// The state's word in JSON.
pub(crate) fn state_word(state: &JobState) -> &'static str {
    match state {
        JobState::Planned => "planned",
        JobState::Submitting => "submitting",
        JobState::Scheduling => "scheduling",
        JobState::Running => "running",
        JobState::Unknown { .. } => "unknown",
        JobState::Unverified => "unverified",
        JobState::Succeeded { .. } => "succeeded",
        JobState::Failed { .. } => "failed",
        JobState::TimedOut { .. } => "timed_out",
        JobState::Canceled { .. } => "canceled",
        JobState::Drifted { .. } => "drifted",
        JobState::Refused { .. } => "refused",
    }
}
