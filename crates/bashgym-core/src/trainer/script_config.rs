//! The JSON file a recipe's script reads. Names of columns, splits and files are those of the one definition that also
//! writes datasets.

use std::collections::BTreeMap;

use bashgym_traces::{RowKind, Split};
use serde::{Deserialize, Serialize};

use super::{Method, Recipe, TrainJobConfig, TrlOptions};
use crate::CoreError;

/// The name of the layout of [`ScriptConfig`].
pub const CONFIG_FORMAT: &str = "bashgym-train-1";

/// Seconds before its time-out at which a job saves a checkpoint and ends by itself.
const RESERVE_SECONDS: u64 = 300;

/// A base model: a repository or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ModelPlace {
    /// The repository.
    pub repo_id: Option<String>,
    /// Its revision.
    pub revision: Option<String>,
    /// The folder.
    pub path: Option<String>,
}

/// A dataset: a repository at a commit, or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetPlace {
    /// The repository.
    pub repo_id: Option<String>,
    /// Its commit.
    pub revision: Option<String>,
    /// The folder.
    pub path: Option<String>,
    /// The files of each split, by the split's name.
    pub files: BTreeMap<String, Vec<String>>,
    /// The columns' names, by what they are for.
    pub columns: BTreeMap<String, String>,
}

/// Where the student goes: a repository or a folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct OutputPlace {
    /// The repository.
    pub repo_id: Option<String>,
    /// The folder.
    pub path: Option<String>,
}

/// The adapters.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LoraConfig {
    /// The rank.
    pub r: u32,
    /// The scale.
    pub alpha: u32,
    /// The share that is left out at random.
    pub dropout: f64,
}

/// What only DPO reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DpoConfig {
    /// How closely the student stays to its base.
    pub beta: f64,
}

/// What only GRPO reads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrpoConfig {
    /// Completions of one prompt.
    pub generations: u32,
    /// Tokens of a completion at most.
    pub completion_length: u32,
    /// The temperature they are sampled at.
    pub temperature: f64,
    /// Whether commands the model wrote may be run, which is for a job's container.
    pub run_commands: bool,
}

/// Everything that is decided about one training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScriptConfig {
    /// Always [`CONFIG_FORMAT`].
    pub format: String,
    /// The recipe, which must be the script's.
    pub recipe: Recipe,
    /// The run; a checkpoint of another one is left alone.
    pub run_id: String,
    /// The base model.
    pub base_model: ModelPlace,
    /// The dataset.
    pub dataset: DatasetPlace,
    /// The output.
    pub output: OutputPlace,
    /// Which weights are trained.
    pub method: Method,
    /// The adapters.
    pub lora: LoraConfig,
    /// The seed.
    pub seed: u64,
    /// Passes over the data.
    pub epochs: f64,
    /// Optimiser steps at most.
    pub max_steps: Option<u64>,
    /// Seconds of training at most; it then ends with a proper evaluation.
    pub max_seconds: Option<u64>,
    /// The learning rate.
    pub learning_rate: f64,
    /// The share of the steps in which it rises.
    pub warmup_share: f64,
    /// How strongly weights are drawn to zero.
    pub weight_decay: f64,
    /// Rows at once.
    pub batch_size: u32,
    /// Batches to a step.
    pub accumulation: u32,
    /// Tokens of a row at most.
    pub sequence_length: u32,
    /// Whether activations are computed again instead of kept.
    pub gradient_checkpointing: bool,
    /// Steps between two progress lines.
    pub log_every_steps: u64,
    /// Steps between two evaluations.
    pub eval_every_steps: Option<u64>,
    /// Evaluations without progress after which it ends.
    pub early_stop_patience: Option<u32>,
    /// Seconds between two checkpoints.
    pub checkpoint_every_seconds: f64,
    /// Seconds after which it saves a checkpoint and ends, before it is ended.
    pub stop_after_seconds: Option<u64>,
    /// For DPO.
    pub dpo: DpoConfig,
    /// For GRPO.
    pub grpo: GrpoConfig,
}

impl ScriptConfig {
    /// The configuration of a job.
    ///
    /// # Errors
    /// [`CoreError::Internal`] if the request names no base model.
    pub fn for_job(request: &TrainJobConfig) -> Result<Self, CoreError> {
        let training = &request.training;
        let Some(options) = &training.trl else {
            return Err(CoreError::Internal {
                message: "a recipe was asked for without a base model".to_owned(),
            });
        };
        let timeout = training.timeout_seconds;
        // A short job keeps at least three quarters of its time.
        let stop = timeout.saturating_sub(RESERVE_SECONDS).max(timeout * 3 / 4);
        Ok(Self {
            format: CONFIG_FORMAT.to_owned(),
            recipe: options.recipe,
            run_id: request.run_id.clone().unwrap_or_default(),
            base_model: ModelPlace {
                repo_id: Some(options.base_model.clone()),
                revision: options.base_revision.clone(),
                path: None,
            },
            dataset: DatasetPlace {
                repo_id: Some(request.dataset_repo.clone()),
                revision: Some(request.dataset_revision.clone()),
                path: None,
                files: match &request.dataset_files {
                    Some(files) => files.clone(),
                    None => split_files(options.recipe.row_kind(), false),
                },
                columns: columns(options.recipe.row_kind()),
            },
            output: OutputPlace {
                repo_id: Some(request.model_repo.clone()),
                path: None,
            },
            stop_after_seconds: Some(stop),
            ..Self::of(options, training.seed)
        }
        .limited(training))
    }

    fn limited(mut self, training: &super::TrainerConfig) -> Self {
        self.max_steps = training.max_steps;
        self.max_seconds = training.max_seconds;
        if let Some(seconds) = training.checkpoint_every_seconds {
            self.checkpoint_every_seconds = seconds;
        }
        self
    }

    /// The configuration of a training between two folders of this machine.
    pub fn for_folders(
        options: &TrlOptions,
        training: &super::TrainerConfig,
        dataset: &std::path::Path,
        out: &std::path::Path,
    ) -> Self {
        let text = |path: &std::path::Path| Some(path.to_string_lossy().into_owned());
        let kind = options.recipe.row_kind();
        let mut config = Self::of(options, training.seed).limited(training);
        if std::path::Path::new(&options.base_model).is_dir() {
            config.base_model = ModelPlace {
                path: Some(options.base_model.clone()),
                ..ModelPlace::default()
            };
        }
        let nested = dataset
            .join(kind.as_str())
            .join(Split::Train.file_name())
            .exists();
        config.dataset.path = text(dataset);
        config.dataset.files = split_files(kind, nested);
        let folder = |file: &String| dataset.join(file).exists();
        if let Some(files) = config.dataset.files.get_mut(Split::Val.name()) {
            files.retain(folder);
        }
        config.output.path = text(out);
        "local".clone_into(&mut config.run_id);
        config
    }

    fn of(options: &TrlOptions, seed: u64) -> Self {
        let kind = options.recipe.row_kind();
        Self {
            format: CONFIG_FORMAT.to_owned(),
            recipe: options.recipe,
            run_id: String::new(),
            base_model: ModelPlace {
                repo_id: Some(options.base_model.clone()),
                revision: options.base_revision.clone(),
                path: None,
            },
            dataset: DatasetPlace {
                repo_id: None,
                revision: None,
                path: None,
                files: split_files(kind, false),
                columns: columns(kind),
            },
            output: OutputPlace::default(),
            method: options.method,
            lora: LoraConfig {
                r: options.lora_rank,
                alpha: options.lora_rank * 2,
                dropout: 0.05,
            },
            seed,
            epochs: options.epochs,
            max_steps: None,
            max_seconds: None,
            learning_rate: options
                .learning_rate
                .unwrap_or_else(|| options.recipe.default_learning_rate(options.method)),
            warmup_share: 0.05,
            weight_decay: 0.01,
            batch_size: options.batch_size,
            accumulation: options.accumulation,
            sequence_length: options.sequence_length,
            gradient_checkpointing: true,
            log_every_steps: 1,
            eval_every_steps: Some(options.eval_every_steps).filter(|steps| *steps > 0),
            early_stop_patience: options.early_stop_patience,
            checkpoint_every_seconds: 600.0,
            stop_after_seconds: None,
            dpo: DpoConfig { beta: 0.1 },
            grpo: GrpoConfig {
                generations: options.generations,
                completion_length: options.completion_length,
                temperature: 0.7,
                run_commands: options.recipe == Recipe::Grpo,
            },
        }
    }

    /// The file's text.
    ///
    /// # Errors
    /// [`CoreError::Internal`] if a number in it is none.
    pub fn to_json(&self) -> Result<String, CoreError> {
        serde_json::to_string_pretty(self)
            .map(|text| text + "\n")
            .map_err(|error| CoreError::Internal {
                message: format!("the training configuration is no JSON: {error}"),
            })
    }
}

/// The files of a kind of rows among those of a repository, by the name of their split; none if there is nothing to train on.
///
/// The first kind of a dataset lies at its root, every further one in a folder of its own.
pub fn find_split_files(kind: RowKind, has: impl Fn(&str) -> bool) -> Option<BTreeMap<String, Vec<String>>> {
    let mut files = [true, false]
        .into_iter()
        .map(|nested| split_files(kind, nested))
        .find(|files| files[Split::Train.name()].iter().all(|file| has(file)))?;
    if let Some(files) = files.get_mut(Split::Val.name()) {
        files.retain(|file| has(file));
    }
    Some(files)
}

/// The files of a kind of rows, by the name of their split. `nested` says that they are not the first kind of the dataset.
fn split_files(kind: RowKind, nested: bool) -> BTreeMap<String, Vec<String>> {
    Split::ALL
        .into_iter()
        .map(|split| {
            let file = if nested {
                format!("{}/{}", kind.as_str(), split.file_name())
            } else {
                split.file_name().to_owned()
            };
            (split.name().to_owned(), vec![file])
        })
        .collect()
}

fn columns(kind: RowKind) -> BTreeMap<String, String> {
    kind.columns()
        .iter()
        .map(|column| ((*column).to_owned(), (*column).to_owned()))
        .collect()
}
