//! Repository files and dataset repositories on the Hugging Face Hub.
//!
//! [`RepoFiles`] moves files: it uploads a folder as one commit, downloads with resume and checks every hash.
//! [`HfDatasetManager`] knows what a training dataset looks like, and [`card`] writes the `README.md` that the
//! Hub's dataset viewer reads.
//!
//! ```no_run
//! # async fn example() -> Result<(), hf_core::HfError> {
//! use hf_core::{HfClient, HuggingFaceSettings, Namespace, SettingsInput};
//! use hf_datasets::{DatasetConfig, HfDatasetManager};
//!
//! let settings = HuggingFaceSettings::resolve(SettingsInput::from_process())?;
//! let client = HfClient::from_settings(&settings)?;
//! let datasets = HfDatasetManager::new(client, Namespace::parse("ada")?);
//! let uploaded =
//!     datasets.upload_training_data("build".as_ref(), &DatasetConfig::new("bashgym-training-v1")).await?;
//! println!("{} at {}", uploaded.url, uploaded.revision);
//! # Ok(()) }
//! ```

pub mod card;

mod download;
mod gate;
mod hash;
mod jsonl;
mod manager;
mod parquet;
mod path;
mod pattern;
mod progress;
mod repo;
mod viewer;

use std::path::Path;

use hf_core::HfError;

pub use download::{DownloadOptions, DownloadedFile, Snapshot};
pub use hf_core::{FileScan, UploadGate, UploadScanner};
pub use jsonl::{ColumnSummary, JsonlSummary, MAX_LINE_BYTES, ValueKind, check_jsonl};
pub use manager::{
    CARD_FILE, DatasetConfig, DatasetSummary, HfDatasetManager, METADATA_FILE, TRAIN_FILE, UploadedDataset,
    VAL_FILE,
};
pub use path::check_repo_path;
pub use progress::{Progress, ProgressSink, TransferEvent};
pub use repo::{
    CommitInfo, CommitOperation, CommitOptions, CreateOptions, CreatedRepo, LargeFiles, RepoFiles, RepoInfo,
    Sibling, Source, TreeEntry, TreeKind, UploadOptions,
};
pub use viewer::{
    ColumnStatistics, DatasetViewer, MAX_PAGE_ROWS, ViewerFeature, ViewerFeatures, ViewerRow, ViewerRows,
    ViewerSize, ViewerSplit, ViewerState,
};

/// Makes an error about an argument.
pub(crate) fn invalid(message: impl Into<String>) -> HfError {
    HfError::invalid(message)
}

/// Makes an error about a file of this machine.
pub(crate) fn io_error(action: &str, path: &Path, error: std::io::Error) -> HfError {
    HfError::io(format!("{action} {}", path.display()), error)
}

/// Runs blocking work on the thread pool.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, HfError> + Send + 'static,
) -> Result<T, HfError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            // A broken invariant stays one: it is not turned into an error a caller could retry.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(HfError::io(
                "run work on the thread pool",
                std::io::Error::other(error),
            )),
        },
    }
}
