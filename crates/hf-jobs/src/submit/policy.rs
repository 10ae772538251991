//! How long an unclear answer is looked up, and how a submission can fail.

use std::time::Duration;

use hf_core::{HfError, JobId};

use super::read_back::Drift;
use crate::info::JobInfo;

/// How patient a submission is.
#[derive(Debug, Clone)]
pub struct SubmitPolicy {
    /// How long after a request its job may still appear: the time a request can be on its way, and that a list may lag
    /// behind. Until then nothing is sent again, however often the label is looked up in vain.
    ///
    /// # Source
    /// No figure is published; three minutes are three times this client's own time-out.
    pub patience: Duration,
    /// The pause between two lookups.
    pub pause: Duration,
    /// How many lookups in a row may fail, each after the client's own retries.
    pub max_failed_lookups: u32,
    /// How many requests one intent may send at most, over all crashes.
    pub max_sends: u32,
}

impl Default for SubmitPolicy {
    fn default() -> Self {
        Self {
            patience: Duration::from_mins(3),
            pause: Duration::from_secs(5),
            max_failed_lookups: 5,
            max_sends: 3,
        }
    }
}

/// A submission that went well.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Submitted {
    /// The one job of the intent.
    pub job: JobInfo,
    /// Whether this call sent the request that made it.
    pub sent: bool,
    /// Younger jobs of the same intent, made by somebody without a common journal, that were canceled.
    pub canceled: Vec<JobId>,
    /// Fields that were asked for and that the Hub does not show, so that they could not be checked.
    pub not_shown: Vec<String>,
}

/// The jobs of one intent, after all but the oldest were canceled.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Kept {
    /// The oldest.
    pub job: Option<JobInfo>,
    /// Those that were canceled now.
    pub canceled: Vec<JobId>,
}

/// What a journal can fail with.
#[derive(Debug, thiserror::Error)]
#[error("the journal failed: {source}")]
pub struct JournalError {
    /// Why.
    #[source]
    pub source: Box<dyn std::error::Error + Send + Sync>,
}

impl JournalError {
    /// Makes an error from its cause.
    pub fn new(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            source: source.into(),
        }
    }
}

/// Why there is no job, or none that is known.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SubmitError {
    /// It is certain that nothing of this intent exists: it was refused, or never sent.
    #[error("no job was made: {0}")]
    NotCreated(#[source] HfError),
    /// A job may exist and can not be seen now. Nothing is sent again before it was looked up; call again to do that.
    #[error("a job may exist, and can not be looked up now: {0}")]
    Unknown(#[source] HfError),
    /// The Hub made another job than was asked for.
    #[error("job {job_id} is not what was asked for, and {}: {}", if *.canceled { "was canceled" } else { "could NOT be canceled" },
        drifts.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Drifted {
        /// The job.
        job_id: JobId,
        /// What differs.
        drifts: Vec<Drift>,
        /// Whether the Hub confirmed the cancel; if not, calling again tries again.
        canceled: bool,
    },
    /// The journal can not be read or written, or somebody else has the intent. Nothing was sent by this call after that.
    #[error(transparent)]
    Journal(#[from] JournalError),
}
