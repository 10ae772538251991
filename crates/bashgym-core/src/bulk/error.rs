//! What work over many rows can fail with.

use std::path::{Path, PathBuf};

use bashgym_gate::Refusal;
use bashgym_traces::TracesError;

use crate::CoreError;
use crate::inference::InferenceFailure;

/// An error of work over many rows. A call that failed is no such error: it is counted, and the work goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BulkError {
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
    /// Another process works on the same journal.
    #[error("another process works on {}", path.display())]
    Busy {
        /// The journal's folder.
        path: PathBuf,
    },
    /// The rows, prompts or labels are no use.
    #[error("{message}")]
    Data {
        /// What is wrong, and where.
        message: String,
    },
    /// The output folder holds something else.
    #[error("{} is not empty, and not this work's own output", path.display())]
    NotOurs {
        /// The folder.
        path: PathBuf,
    },
    /// What would be sent does not pass the secret gate.
    #[error("nothing was sent: {refusal}")]
    Refused {
        /// Why.
        refusal: Refusal,
    },
    /// The price or the model could not be asked for.
    #[error(transparent)]
    Inference(#[from] InferenceFailure),
    /// The dataset's folder could not be read or written.
    #[error(transparent)]
    Traces(#[from] TracesError),
    /// The card could not be written.
    #[error(transparent)]
    Core(#[from] CoreError),
}

impl BulkError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    pub(crate) fn data(message: impl Into<String>) -> Self {
        Self::Data {
            message: message.into(),
        }
    }

    /// What to do next, where something can be done.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Busy { .. } => "wait for it, or stop that process and run the command again",
            Self::NotOurs { .. } => "name a new folder",
            Self::Refused { .. } => {
                "look at each finding with `bashgym data review`; build the dataset anew to replace them, or let through what \
                 is no secret with `bashgym data review PATH --allow ID`; `--local` sends nothing off this machine"
            }
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::StorageFull => {
                "the disk is full: free some space and run the same command again; it goes on where it stopped"
            }
            _ => return None,
        })
    }
}
