//! What can go wrong, named by meaning.

use std::io;
use std::path::{Path, PathBuf};

use crate::data::LostRows;

/// Any failure of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The data set folder lacks the file to train on.
    #[error("there is no training data at {}: a data set folder holds train.jsonl and, if there is one, val.jsonl", path.display())]
    DataMissing {
        /// The file that was looked for.
        path: PathBuf,
    },
    /// No row of the training file can be trained on.
    #[error("{} has no row to train on ({lost}): each row needs `messages` with at least one assistant message that says or calls something", path.display())]
    NoUsableRows {
        /// The file that was read.
        path: PathBuf,
        /// Why its rows were left out.
        lost: LostRows,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: "read", "write", "create".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A model folder's file is missing, broken or of another kind than this engine runs.
    #[error("{} cannot be used: {why}", file.display())]
    BadModel {
        /// The file at fault.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// An option has a value that cannot work.
    #[error("the option `{option}` cannot be used: {why}")]
    BadConfig {
        /// The option's name.
        option: &'static str,
        /// What is wrong, and what would do.
        why: String,
    },
    /// A checkpoint belongs to another run: other data, model shape or options.
    #[error("the checkpoint {} belongs to another run ({why}): train without resume, or into another folder", path.display())]
    CheckpointMismatch {
        /// The checkpoint's folder.
        path: PathBuf,
        /// What differs.
        why: String,
    },
    /// Training would not fit the memory it may use, even with the smallest batch.
    #[error(
        "training needs about {needed_bytes} bytes of memory and may use {limit_bytes}: choose a smaller preset, vocabulary or context length"
    )]
    MemoryLimit {
        /// The estimate for the smallest batch.
        needed_bytes: u64,
        /// What may be used.
        limit_bytes: u64,
    },
    /// The loss is no longer a number.
    #[error("the loss was no longer finite at step {step}: lower the learning rate")]
    Diverged {
        /// The optimiser step.
        step: u64,
    },
    /// The run was asked to stop, and did so at a step boundary.
    #[error("training was stopped after step {step}; {}", match checkpoint { Some(path) => format!("resume continues from {}", path.display()), None => "no checkpoint was written".to_owned() })]
    Interrupted {
        /// The last finished step.
        step: u64,
        /// Where a resumed run continues.
        checkpoint: Option<PathBuf>,
    },
    /// Text could not be turned into tokens, or a tokenizer could not be made.
    #[error("the tokenizer failed: {why}")]
    Tokenizer {
        /// The tokenizer's reason.
        why: String,
    },
    /// A chat template refused a conversation.
    #[error("the chat template refused: {why}")]
    Template {
        /// The template's reason.
        why: String,
    },
    /// A request to generate text cannot be served.
    #[error("cannot generate: {why}")]
    BadRequest {
        /// What is wrong with the request.
        why: String,
    },
    /// A calculation failed, which is a defect of this crate.
    #[error("the calculation failed: {0}")]
    Compute(#[from] candle_core::Error),
    /// A worker thread ended early, which is a defect of this crate.
    #[error("a worker thread of the training ended early")]
    WorkerLost,
}

impl EngineError {
    /// Makes an [`EngineError::Io`]; for `map_err`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }

    /// Makes an [`EngineError::BadModel`].
    pub(crate) fn bad_model(file: &Path, why: impl Into<String>) -> Self {
        Self::BadModel {
            file: file.to_path_buf(),
            why: why.into(),
        }
    }
}

/// Short for a result of this crate.
pub(crate) type Result<T, E = EngineError> = std::result::Result<T, E>;
