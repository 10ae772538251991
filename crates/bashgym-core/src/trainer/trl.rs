//! The TRL backend: a recipe's script, run by uv, on Hugging Face's hardware or on any machine with uv.

use std::collections::BTreeMap;
use std::time::Duration;

use hf_jobs::{JobSpec, Volume, VolumeKind};

use super::embedded::{JOB_CONFIG_VARIABLE, RESULT_FILE};
use super::{CodeFile, Method, PinnedCode, ScriptConfig, TrainJobConfig, TrainingBackend, TrlOptions};
use crate::CoreError;

/// The image a job asks for: uv with Python 3.12.
///
/// # Source
/// The official client's default for uv jobs (`huggingface_hub` 2.4.0, `run_uv_job`).
pub const UV_IMAGE: &str = "ghcr.io/astral-sh/uv:python3.12-bookworm";

/// Where the committed files appear in a job.
const MOUNT: &str = "/bashgym";

/// How the job gets the committed files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Launch {
    /// The repository is mounted at its commit, to be read only.
    Mounted,
    /// The job fetches the files at their commit, for a Hub whose jobs have no mounts.
    Fetched,
}

/// Trains a base model with a recipe's script.
#[derive(Debug, Clone, Copy)]
pub struct TrlBackend {
    method: Method,
    launch: Launch,
}

impl TrlBackend {
    /// A backend for these options.
    pub fn new(options: &TrlOptions, launch: Launch) -> Self {
        Self {
            method: options.method,
            launch,
        }
    }
}

impl TrainingBackend for TrlBackend {
    fn name(&self) -> &'static str {
        "trl"
    }

    fn code(&self, request: &TrainJobConfig) -> Result<Vec<CodeFile>, CoreError> {
        let config = ScriptConfig::for_job(request)?;
        Ok(vec![
            CodeFile {
                path: format!("{}/{}", PinnedCode::FOLDER, config.recipe.script_name()),
                text: config.recipe.script().to_owned(),
            },
            CodeFile {
                path: PinnedCode::CONFIG.to_owned(),
                text: config.to_json()?,
            },
        ])
    }

    fn job_spec(&self, request: &TrainJobConfig, flavor: &str) -> Result<JobSpec, CoreError> {
        let internal = |message: &str| CoreError::Internal {
            message: message.to_owned(),
        };
        let Some(code) = &request.code else {
            return Err(internal("a job's script was not committed before the job"));
        };
        let Some(options) = &request.training.trl else {
            return Err(internal("a recipe was asked for without a base model"));
        };
        let mut spec = match self.launch {
            Launch::Mounted => {
                let script = format!("{MOUNT}/{}/{}", PinnedCode::FOLDER, options.recipe.script_name());
                let config = format!("{MOUNT}/{}", PinnedCode::CONFIG);
                let command = ["uv", "run", "--script", &script, "--config", &config];
                let mut spec = JobSpec::docker(UV_IMAGE, command);
                spec.volumes.push(Volume {
                    kind: VolumeKind::Model,
                    source: code.repo_id.clone(),
                    mount_path: MOUNT.to_owned(),
                    revision: Some(code.revision.clone()),
                    read_only: Some(true),
                    path: None,
                });
                spec
            }
            Launch::Fetched => {
                let config = serde_json::to_string(request)
                    .map_err(|error| internal(&format!("the job's configuration is no JSON: {error}")))?;
                let mut spec = JobSpec::docker(UV_IMAGE, ["bashgym", "worker", "recipe"]);
                spec.environment = BTreeMap::from([(JOB_CONFIG_VARIABLE.to_owned(), config)]);
                spec
            }
        };
        flavor.clone_into(&mut spec.flavor);
        spec.timeout = Some(Duration::from_secs(request.training.timeout_seconds));
        Ok(spec)
    }

    fn required_files(&self) -> &'static [&'static str] {
        match self.method {
            Method::Full => &[
                "config.json",
                "tokenizer.json",
                "tokenizer_config.json",
                RESULT_FILE,
            ],
            Method::Lora | Method::Qlora => &[
                "adapter_config.json",
                "adapter_model.safetensors",
                "tokenizer.json",
                "tokenizer_config.json",
                RESULT_FILE,
            ],
        }
    }
}
