//! Training backends: what a job runs, and how its lines are read.

mod config;
mod embedded;
mod progress;

use hf_jobs::JobSpec;

pub use config::{Preset, TrainerConfig};
pub(crate) use embedded::RESULT_FILE;
pub use embedded::{EmbeddedBackend, JOB_CONFIG_VARIABLE, TrainJobConfig};
pub use progress::{MARKER, TrainProgress};

/// The label that names a submission, so that it can be found again.
pub const INTENT_LABEL: &str = "bashgym-intent";
/// The label that names the run.
pub const RUN_LABEL: &str = "bashgym-run";

/// A way to train a student: it says what the job is, and which files the job leaves in the output repository.
pub trait TrainingBackend: Send + Sync {
    /// The backend's word.
    fn name(&self) -> &'static str;

    /// Describes the job for a dataset at a revision. Secrets are left to the caller.
    ///
    /// # Errors
    /// [`crate::CoreError`] if the configuration cannot be sent.
    fn job_spec(&self, request: &TrainJobConfig, flavor: &str) -> Result<JobSpec, crate::CoreError>;

    /// The files without which the output repository holds no model.
    fn required_files(&self) -> &'static [&'static str];
}
