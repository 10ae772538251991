//! The embedded backend: `bashgym` itself is the command of the job, and trains without Python or GPU.

use std::collections::BTreeMap;
use std::time::Duration;

use hf_jobs::JobSpec;
use serde::{Deserialize, Serialize};

use super::{PinnedCode, TrainerConfig, TrainingBackend};
use crate::CoreError;

/// The variable of the job's environment that holds [`TrainJobConfig`] as JSON.
pub const JOB_CONFIG_VARIABLE: &str = "BASHGYM_JOB_CONFIG";

/// The image that is asked for. A Hub that runs processes does not use it; none is published yet.
const IMAGE: &str = "bashgym/bashgym";

/// What a training job is told. It travels as data, never as text pasted into a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainJobConfig {
    /// The dataset repository, `namespace/name`.
    pub dataset_repo: String,
    /// The commit to read.
    pub dataset_revision: String,
    /// The repository the model is pushed to, `namespace/name`.
    pub model_repo: String,
    /// How to train.
    pub training: TrainerConfig,
    /// The run, so that a checkpoint of another one is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The dataset's files by split, where they are not the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset_files: Option<BTreeMap<String, Vec<String>>>,
    /// The committed files that the job runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<PinnedCode>,
}

/// Trains with the embedded engine.
#[derive(Debug, Clone, Copy, Default)]
pub struct EmbeddedBackend;

impl TrainingBackend for EmbeddedBackend {
    fn name(&self) -> &'static str {
        "embedded"
    }

    fn job_spec(&self, request: &TrainJobConfig, flavor: &str) -> Result<JobSpec, CoreError> {
        let config = serde_json::to_string(request).map_err(|error| CoreError::Internal {
            message: format!("the job's configuration is no JSON: {error}"),
        })?;
        let mut spec = JobSpec::docker(IMAGE, ["bashgym", "worker", "train"]);
        flavor.clone_into(&mut spec.flavor);
        spec.environment = BTreeMap::from([(JOB_CONFIG_VARIABLE.to_owned(), config)]);
        spec.timeout = Some(Duration::from_secs(request.training.timeout_seconds));
        Ok(spec)
    }

    fn required_files(&self) -> &'static [&'static str] {
        &[
            "config.json",
            "generation_config.json",
            "model.safetensors",
            "tokenizer.json",
            "tokenizer_config.json",
            RESULT_FILE,
        ]
    }
}

/// What the trainer measured, as a file beside the model.
pub const RESULT_FILE: &str = "bashgym_result.json";
