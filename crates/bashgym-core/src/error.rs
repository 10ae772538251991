//! What a run can fail with, in words of the product.

use std::path::{Path, PathBuf};

use bashgym_gate::Refusal;
use bashgym_traces::TracesError;
use hf_core::{HfError, HfErrorKind};

use crate::explain::{Explanation, FailedJob, FailureCause, explain};
use crate::launch::LaunchError;
use crate::run::{InvalidTransition, RunId};
use crate::store::StoreError;

/// An error of the product. An [`HfError`] stays inside as the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CoreError {
    /// The sessions or the dataset are no use.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The Hub refused, failed, or could not be reached.
    #[error("the Hub would not {action}: {source}")]
    Hub {
        /// What was attempted.
        action: &'static str,
        /// What the Hub said.
        #[source]
        source: HfError,
    },
    /// Sending this away is not allowed.
    #[error("{what} may not be sent to {endpoint}")]
    NotAllowed {
        /// What would be sent.
        what: &'static str,
        /// Where to.
        endpoint: String,
    },
    /// The secret gate did not pass what was to be uploaded.
    #[error("nothing was uploaded: {refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// The job ended without success.
    #[error("job {job_id} ended as {stage}{}", message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
    JobFailed {
        /// The job.
        job_id: String,
        /// The stage it ended in.
        stage: String,
        /// What the Hub said of it.
        message: Option<String>,
        /// The last lines of its log.
        last_lines: Vec<String>,
    },
    /// The job was cancelled.
    #[error("job {job_id} was cancelled")]
    Canceled {
        /// The job.
        job_id: String,
    },
    /// The Hub called the job completed, but the model is not in the output repository.
    #[error("job {job_id} completed, but {repo_id} has no {missing}")]
    ModelMissing {
        /// The job.
        job_id: String,
        /// The output repository.
        repo_id: String,
        /// The file that is not there.
        missing: String,
    },
    /// Another process drives this run.
    #[error("run {id} is being driven by another process")]
    Busy {
        /// The run.
        id: RunId,
    },
    /// A step that the run's state does not allow.
    #[error(transparent)]
    Transition(#[from] InvalidTransition),
    /// A file or folder failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The student could not be sampled.
    #[error("the student cannot be sampled: {message}")]
    Sampling {
        /// Why.
        message: String,
    },
    /// A job could not be launched or followed.
    #[error(transparent)]
    Launch(#[from] LaunchError),
    /// Something that should not happen.
    #[error("internal error: {message}")]
    Internal {
        /// What.
        message: String,
    },
}

/// The kinds of [`CoreError`] that a caller may want to tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CoreErrorKind {
    /// The sessions or the dataset are no use.
    Data,
    /// Sending this away is not allowed.
    NotAllowed,
    /// The Hub; the inner kind tells more.
    Hub(HfErrorKind),
    /// The job ended without success.
    JobFailed,
    /// Another process is at it, or was faster.
    Conflict,
    /// A file, a folder or the store failed.
    Io,
    /// Something that should not happen.
    Internal,
}

impl CoreError {
    pub(crate) fn hub(action: &'static str) -> impl FnOnce(HfError) -> Self {
        move |source| Self::Hub { action, source }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// The kind of the error.
    pub fn kind(&self) -> CoreErrorKind {
        match self {
            Self::Traces(_) => CoreErrorKind::Data,
            Self::NotAllowed { .. } | Self::Refused { .. } => CoreErrorKind::NotAllowed,
            Self::Hub { source, .. } => CoreErrorKind::Hub(source.kind()),
            Self::JobFailed { .. } | Self::Canceled { .. } | Self::ModelMissing { .. } => {
                CoreErrorKind::JobFailed
            }
            Self::Launch(error) => match error {
                LaunchError::NotCreated(source) | LaunchError::Unknown(source) => {
                    CoreErrorKind::Hub(source.kind())
                }
                LaunchError::Drifted { .. } => CoreErrorKind::JobFailed,
                LaunchError::Budget(_) => CoreErrorKind::NotAllowed,
                LaunchError::AlreadyOver { .. }
                | LaunchError::Busy { .. }
                | LaunchError::OtherRequest { .. } => CoreErrorKind::Conflict,
                LaunchError::Store(_) | LaunchError::Journal(_) => CoreErrorKind::Io,
            },
            Self::Busy { .. } | Self::Store(StoreError::Stale { .. }) => CoreErrorKind::Conflict,
            Self::Store(_) | Self::Io { .. } => CoreErrorKind::Io,
            Self::Transition(_) | Self::Sampling { .. } | Self::Internal { .. } => CoreErrorKind::Internal,
        }
    }

    /// What to do next, where something can be done.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NotAllowed { .. } => "`bashgym run` trains with the engine of this machine, which another Hub has \
                 not. To train there: `bashgym data build`, `bashgym data push`, then `bashgym train start REPO --model \
                 BASE --output REPO`; `--local` uses the embedded Hub"
                .to_owned(),
            Self::Refused {
                refusal: Refusal::Found { .. },
            } => "look at each finding with `bashgym data review DIR`; build the dataset anew to replace them, or let \
                 through what is no secret with `bashgym data review DIR --allow ID`"
                .to_owned(),
            Self::Refused { .. } => "leave that file out, or save it as text".to_owned(),
            Self::Hub { source, .. } => return source.hint(),
            Self::JobFailed { job_id, .. } => {
                let read = format!("read `bashgym jobs logs {job_id}`; the same command again submits a new job on the same dataset");
                match self.explanation().filter(|explained| explained.cause != FailureCause::Unknown) {
                    Some(explained) => format!("{}: {}; {read}", explained.summary, explained.next.join("; or ")),
                    None => read,
                }
            }
            Self::Launch(error) => {
                return match error {
                    LaunchError::NotCreated(source) | LaunchError::Unknown(source) => source.hint(),
                    LaunchError::Budget(source) => source.hint(),
                    _ => None,
                };
            }
            Self::Canceled { .. } => "the same command again submits a new job on the same dataset".to_owned(),
            Self::ModelMissing { job_id, .. } => format!("read `bashgym jobs logs {job_id}`"),
            Self::Busy { .. } => "wait for it, or stop that process and run the command again".to_owned(),
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                "the disk is full: free some space and run the same command again; it goes on where it stopped".to_owned()
            }
            Self::Traces(_)
            | Self::Store(_)
            | Self::Transition(_)
            | Self::Io { .. }
            | Self::Sampling { .. }
            | Self::Internal { .. } => return None,
        })
    }

    /// Why a job failed, told from what the Hub and the end of its log say; none for any other error.
    pub fn explanation(&self) -> Option<Explanation> {
        let Self::JobFailed {
            stage,
            message,
            last_lines,
            ..
        } = self
        else {
            return None;
        };
        Some(explain(&FailedJob {
            stage,
            message: message.as_deref(),
            last_lines,
            ..FailedJob::default()
        }))
    }

    /// Whether the stage itself is well and only could not be seen or reached: the run then stays as it was.
    pub(crate) fn leaves_run_as_it_was(&self) -> bool {
        match self {
            Self::Hub { source, .. } => source.is_transient() || source.kind() == HfErrorKind::Auth,
            Self::Busy { .. } | Self::Store(_) => true,
            // What may exist is looked up again; what is certain not to exist is sent again only where that may help.
            Self::Launch(error) => match error {
                // That there is no such job is an answer.
                LaunchError::Unknown(source) => source.kind() != HfErrorKind::NotFound,
                LaunchError::Store(_)
                | LaunchError::Journal(_)
                | LaunchError::Busy { .. }
                | LaunchError::Drifted { canceled: false, .. } => true,
                LaunchError::NotCreated(source) => {
                    source.is_transient() || source.kind() == HfErrorKind::Auth
                }
                LaunchError::Drifted { .. }
                | LaunchError::Budget(_)
                | LaunchError::AlreadyOver { .. }
                | LaunchError::OtherRequest { .. } => false,
            },
            _ => false,
        }
    }
}
