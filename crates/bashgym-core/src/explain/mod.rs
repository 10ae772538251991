//! A failed job, explained: what went wrong, the lines that say so, and what to do next.
//!
//! [`explain`] is a pure function of what the Hub said and the end of the log.

mod advice;
mod rules;

use hf_jobs::JobHardware;
use serde::{Deserialize, Serialize};

/// Lines of evidence at most.
const EVIDENCE_LINES: usize = 5;
/// Characters of a line of evidence at most.
const EVIDENCE_CHARS: usize = 400;

/// Why a job failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureCause {
    /// The accelerator's memory was not enough.
    OutOfGpuMemory,
    /// The machine's memory was not enough.
    OutOfMemory,
    /// The time-out came before the end.
    TimedOut,
    /// Nobody pays.
    NoCredit,
    /// The plan of the account does not allow it.
    NoSubscription,
    /// The base model is gated, and this account was not let in.
    GatedModel,
    /// The token lacks a permission.
    MissingScope,
    /// The token is not known to the Hub.
    BadToken,
    /// A repository or a revision is not there, or not for this token.
    NotFound,
    /// A Python package is missing or of the wrong version.
    ImportError,
    /// The script's dependencies cannot be had together.
    Dependencies,
    /// The disk is full.
    DiskFull,
    /// The flavor has no accelerator, or one that the code cannot use.
    NoAccelerator,
    /// The configuration or the dataset cannot be trained on.
    BadInput,
    /// The loss became infinite or no number.
    Diverged,
    /// A command of the job is not in its image.
    CommandMissing,
    /// The Hub or a package index could not be reached.
    Network,
    /// The process was killed, or the machine was taken away.
    Killed,
    /// None of the above.
    Unknown,
}

impl FailureCause {
    /// Whether another job may go on from the last checkpoint with a fair chance: the cause lies outside the training.
    pub fn is_resumable(self) -> bool {
        matches!(self, Self::TimedOut | Self::Network | Self::Killed)
    }
}

/// What is known of a job that failed.
#[derive(Debug, Clone, Copy, Default)]
pub struct FailedJob<'a> {
    /// The stage it ended in, the Hub's word.
    pub stage: &'a str,
    /// The Hub's message.
    pub message: Option<&'a str>,
    /// The Hub's reason of a cancellation.
    pub cancel_reason: Option<&'a str>,
    /// The last lines of its log.
    pub last_lines: &'a [String],
    /// The flavor it ran on.
    pub flavor: Option<&'a str>,
    /// The flavors there are, for the price of a bigger one; empty where not known.
    pub hardware: &'a [JobHardware],
}

/// Why a job failed, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// The cause.
    pub cause: FailureCause,
    /// The cause in a sentence.
    pub summary: String,
    /// The lines that say so, as the job wrote them.
    pub evidence: Vec<String>,
    /// What to do next, the best first.
    pub next: Vec<String>,
    /// Whether another job may go on from the last checkpoint.
    pub resumable: bool,
}

/// Explains a failed job.
pub fn explain(job: &FailedJob<'_>) -> Explanation {
    let (cause, evidence) = rules::find(job);
    Explanation {
        cause,
        summary: advice::summary(cause, job),
        evidence,
        next: advice::next(cause, job),
        resumable: cause.is_resumable(),
    }
}
