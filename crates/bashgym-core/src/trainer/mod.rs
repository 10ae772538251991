//! Training backends: what a job runs, and how its lines are read.

mod config;
mod embedded;
mod pinned;
mod progress;
mod recipe;
mod script_config;
mod trl;

use hf_jobs::JobSpec;

pub use config::{Method, Preset, TrainerConfig, TrlOptions};
pub use embedded::RESULT_FILE;
pub use embedded::{EmbeddedBackend, JOB_CONFIG_VARIABLE, TrainJobConfig};
pub(crate) use pinned::commit as commit_code;
pub use pinned::{CodeFile, PinnedCode};
pub use progress::{MARKER, TrainProgress};
pub use recipe::Recipe;
pub use script_config::{
    CONFIG_FORMAT, DatasetPlace, ModelPlace, OutputPlace, ScriptConfig, find_split_files,
};
pub use trl::{Launch, TrlBackend, UV_IMAGE};

/// The label that names a submission, so that it can be found again.
pub const INTENT_LABEL: &str = "bashgym-intent";
/// The label that names the run.
pub const RUN_LABEL: &str = "bashgym-run";

/// A way to train a student: it says what the job is, and which files the job leaves in the output repository.
pub trait TrainingBackend: Send + Sync {
    /// The backend's word.
    fn name(&self) -> &'static str;

    /// The files the job runs, to be committed to the output repository before the job is submitted; none where the job's
    /// image has all it needs.
    ///
    /// # Errors
    /// [`crate::CoreError`] if the configuration cannot be written.
    fn code(&self, _request: &TrainJobConfig) -> Result<Vec<CodeFile>, crate::CoreError> {
        Ok(Vec::new())
    }

    /// Describes the job for a dataset at a revision. Secrets are left to the caller.
    ///
    /// # Errors
    /// [`crate::CoreError`] if the configuration cannot be sent.
    fn job_spec(&self, request: &TrainJobConfig, flavor: &str) -> Result<JobSpec, crate::CoreError>;

    /// The files without which the output repository holds no model.
    fn required_files(&self) -> &'static [&'static str];
}
