//! How far a run got, and which steps may follow which.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::explain::FailureCause;
use crate::trainer::PinnedCode;

use super::model::{BuiltDataset, PublishedDataset, SubmitIntent, SubmittedJob, VerifiedModel};

/// A stage of a run, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Session logs become examples in a folder.
    Import,
    /// The folder becomes a commit of a dataset repository.
    Publish,
    /// The training job is submitted.
    Submit,
    /// The job's log is followed to its end.
    Train,
    /// The model's files are found in the output repository and fetched.
    Verify,
    /// Completions are sampled from the student.
    Sample,
}

impl Stage {
    /// All stages, in order.
    pub const ALL: [Self; 6] = [
        Self::Import,
        Self::Publish,
        Self::Submit,
        Self::Train,
        Self::Verify,
        Self::Sample,
    ];

    /// The stage's word in events and on the screen.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Publish => "publish",
            Self::Submit => "submit",
            Self::Train => "train",
            Self::Verify => "verify",
            Self::Sample => "sample",
        }
    }
}

/// How far a run got. Each state holds what is true then, and nothing else.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum RunState {
    /// Nothing has happened.
    Queued,
    /// The dataset is built on this machine.
    Built(BuiltDataset),
    /// The dataset is on the Hub.
    Published(PublishedDataset),
    /// A submission was decided; whether the Hub has the job is to be looked up.
    Submitting(SubmitIntent),
    /// The Hub has the job; its end is awaited.
    Submitted(SubmittedJob),
    /// The Hub called the job completed; whether the model is there is to be seen.
    Unverified(SubmittedJob),
    /// The model is in the output repository.
    Succeeded {
        /// The model.
        model: VerifiedModel,
        /// When it was verified.
        finished_at: Timestamp,
    },
    /// A stage failed; a rerun goes on from `resume_from`.
    Failed {
        /// The stage that failed.
        stage: Stage,
        /// What happened, in words.
        reason: String,
        /// Why a job failed, where that can be told: a run that timed out says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<FailureCause>,
        /// The last state that still holds.
        resume_from: Box<Self>,
    },
    /// The job was cancelled; a rerun goes on from `resume_from`.
    Canceled {
        /// The last state that still holds.
        resume_from: Box<Self>,
    },
}

/// A step that the state does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a run cannot go from {from} to {to}")]
pub struct InvalidTransition {
    /// The state's word.
    pub from: &'static str,
    /// The word of the state that was asked for.
    pub to: &'static str,
}

impl RunState {
    /// The state's word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Built(_) => "built",
            Self::Published(_) => "published",
            Self::Submitting(_) => "submitting",
            Self::Submitted(_) => "submitted",
            Self::Unverified(_) => "unverified",
            Self::Succeeded { .. } => "succeeded",
            Self::Failed { .. } => "failed",
            Self::Canceled { .. } => "canceled",
        }
    }

    /// Whether the run has come to an end that it does not leave by itself.
    pub fn is_finished(&self) -> bool {
        matches!(
            self,
            Self::Succeeded { .. } | Self::Failed { .. } | Self::Canceled { .. }
        )
    }

    /// The job that the state knows of.
    pub fn job_id(&self) -> Option<&str> {
        match self {
            Self::Submitted(job) | Self::Unverified(job) => Some(&job.job_id),
            Self::Succeeded { model, .. } => Some(&model.job.job_id),
            Self::Failed { resume_from, .. } | Self::Canceled { resume_from } => resume_from.job_id(),
            Self::Queued | Self::Built(_) | Self::Published(_) | Self::Submitting(_) => None,
        }
    }

    /// Takes a failed or cancelled run back to the last state that still holds; any other stays as it is.
    #[must_use]
    pub fn resumed(self) -> Self {
        match self {
            Self::Failed { resume_from, .. } | Self::Canceled { resume_from } => *resume_from,
            other => other,
        }
    }

    /// The dataset was built.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless the run is queued.
    pub fn built(self, dataset: BuiltDataset) -> Result<Self, InvalidTransition> {
        match self {
            Self::Queued => Ok(Self::Built(dataset)),
            other => Err(other.refuses("built")),
        }
    }

    /// The dataset was committed.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless the dataset is built.
    pub fn published(self, repo_id: String, revision: String) -> Result<Self, InvalidTransition> {
        match self {
            Self::Built(built) => Ok(Self::Published(PublishedDataset {
                built,
                repo_id,
                revision,
                attempts: 0,
            })),
            other => Err(other.refuses("published")),
        }
    }

    /// A submission was decided.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless the dataset is published.
    pub fn submitting(
        self,
        code: Option<PinnedCode>,
        label: impl FnOnce(u32) -> String,
    ) -> Result<Self, InvalidTransition> {
        match self {
            Self::Published(mut dataset) => {
                dataset.attempts += 1;
                let label = label(dataset.attempts);
                Ok(Self::Submitting(SubmitIntent { dataset, label, code }))
            }
            other => Err(other.refuses("submitting")),
        }
    }

    /// The Hub has the job.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless a submission was decided.
    pub fn submitted(self, job_id: String, submitted_at: Timestamp) -> Result<Self, InvalidTransition> {
        match self {
            Self::Submitting(intent) => Ok(Self::Submitted(SubmittedJob {
                dataset: intent.dataset,
                job_id,
                submitted_at,
            })),
            other => Err(other.refuses("submitted")),
        }
    }

    /// The Hub called the job completed.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless the job was submitted.
    pub fn completed(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Submitted(job) => Ok(Self::Unverified(job)),
            other => Err(other.refuses("unverified")),
        }
    }

    /// The model was found.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless the job completed.
    pub fn verified(
        self,
        finished_at: Timestamp,
        model: impl FnOnce(SubmittedJob) -> VerifiedModel,
    ) -> Result<Self, InvalidTransition> {
        match self {
            Self::Unverified(job) => Ok(Self::Succeeded {
                model: model(job),
                finished_at,
            }),
            other => Err(other.refuses("succeeded")),
        }
    }

    /// A stage failed. A failed job is not followed again: the rerun submits a new one.
    ///
    /// # Errors
    /// [`InvalidTransition`] if the run has finished.
    pub fn failed(
        self,
        stage: Stage,
        reason: String,
        cause: Option<FailureCause>,
    ) -> Result<Self, InvalidTransition> {
        if self.is_finished() {
            return Err(self.refuses("failed"));
        }
        Ok(Self::Failed {
            stage,
            reason,
            cause,
            resume_from: Box::new(self.without_job()),
        })
    }

    /// The job ended before its training did, and another one goes on from the last checkpoint.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless the job was submitted.
    pub fn retried(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Submitted(job) => Ok(Self::Published(job.dataset)),
            other => Err(other.refuses("published")),
        }
    }

    /// Submissions made so far for the dataset.
    pub fn attempts(&self) -> u32 {
        match self {
            Self::Published(dataset) => dataset.attempts,
            Self::Submitting(intent) => intent.dataset.attempts,
            Self::Submitted(job) | Self::Unverified(job) => job.dataset.attempts,
            Self::Succeeded { model, .. } => model.job.dataset.attempts,
            Self::Failed { resume_from, .. } | Self::Canceled { resume_from } => resume_from.attempts(),
            Self::Queued | Self::Built(_) => 0,
        }
    }

    /// The job was cancelled.
    ///
    /// # Errors
    /// [`InvalidTransition`] unless the job was submitted.
    pub fn canceled(self) -> Result<Self, InvalidTransition> {
        match self {
            Self::Submitted(_) => Ok(Self::Canceled {
                resume_from: Box::new(self.without_job()),
            }),
            other => Err(other.refuses("canceled")),
        }
    }

    fn without_job(self) -> Self {
        match self {
            Self::Submitted(job) | Self::Unverified(job) => Self::Published(job.dataset),
            other => other,
        }
    }

    fn refuses(&self, to: &'static str) -> InvalidTransition {
        InvalidTransition {
            from: self.as_str(),
            to,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built() -> BuiltDataset {
        BuiltDataset {
            dir: "data".into(),
            sessions: 2,
            rows_train: 3,
            rows_val: 1,
        }
    }

    fn published() -> RunState {
        RunState::Queued
            .built(built())
            .unwrap()
            .published("a/b".into(), "0".repeat(40))
            .unwrap()
    }

    fn submitted() -> RunState {
        published()
            .submitting(None, |n| format!("x.{n}"))
            .unwrap()
            .submitted("job".into(), Timestamp::UNIX_EPOCH)
            .unwrap()
    }

    #[test]
    fn failed_job_resumes_at_the_published_dataset_with_its_attempts_counted() {
        let resumed = submitted()
            .failed(Stage::Train, "exit 1".into(), None)
            .unwrap()
            .resumed();
        let RunState::Submitting(intent) = resumed.submitting(None, |n| format!("x.{n}")).unwrap() else {
            panic!("not submitting");
        };
        assert_eq!(intent.label, "x.2");
    }

    #[test]
    fn undecided_submission_keeps_its_label_over_a_failure() {
        let submitting = published().submitting(None, |n| format!("x.{n}")).unwrap();
        let resumed = submitting
            .clone()
            .failed(Stage::Submit, "time-out".into(), None)
            .unwrap()
            .resumed();
        assert_eq!(resumed, submitting);
    }

    #[test]
    fn success_needs_the_job_to_have_completed() {
        let refused = submitted()
            .verified(Timestamp::UNIX_EPOCH, |_| unreachable!("refused"))
            .unwrap_err();
        assert_eq!(
            refused,
            InvalidTransition {
                from: "submitted",
                to: "succeeded"
            }
        );
    }

    #[test]
    fn finished_run_does_not_fail_again() {
        let failed = submitted().failed(Stage::Train, "exit 1".into(), None).unwrap();
        assert!(failed.failed(Stage::Train, "again".into(), None).is_err());
    }

    /// Acceptance case 18: a run whose job timed out says so, and resumes with the same dataset.
    #[test]
    fn case_18_a_timed_out_run_is_marked_and_resumable() {
        let failed = submitted()
            .failed(Stage::Train, "Job timeout".into(), Some(FailureCause::TimedOut))
            .unwrap();
        let json = serde_json::to_value(&failed).unwrap();
        assert_eq!(json["cause"], "timed_out");
        assert_eq!(failed.attempts(), 1);
        assert!(matches!(failed.resumed(), RunState::Published(dataset) if dataset.attempts == 1));
    }

    #[test]
    fn a_retried_run_counts_its_attempts() {
        let again = submitted()
            .retried()
            .unwrap()
            .submitting(None, |n| format!("x.{n}"))
            .unwrap();
        assert_eq!(again.attempts(), 2);
        assert!(RunState::Queued.retried().is_err());
    }

    #[test]
    fn state_survives_its_own_json() {
        let state = submitted().failed(Stage::Train, "exit 1".into(), None).unwrap();
        let text = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<RunState>(&text).unwrap(), state);
    }
}
