//! The run aggregate: what was asked, and what is known of how far it got.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::state::RunState;
use crate::trainer::{PinnedCode, TrainJobConfig, TrainerConfig};

/// The name of a run: a version 7 UUID, so that names sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Uuid);

impl RunId {
    /// Makes a new name from the time and fresh randomness.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::from_str(text).map(Self)
    }
}

/// What a run was asked to do.
///
/// Two runs with the same specification do the same work, so an unfinished one is continued rather than begun
/// again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunSpec {
    /// The account that the run acts as: the endpoint and the namespace that owns repositories and job.
    pub target: Target,
    /// Session logs, or folders of them, as absolute paths.
    pub inputs: Vec<PathBuf>,
    /// The dataset repository, `namespace/name`.
    pub dataset_repo: String,
    /// The model repository, `namespace/name`.
    pub model_repo: String,
    /// The share of rows held out for validation, above 0 and below 1.
    pub val_fraction: f64,
    /// The hardware that the job asks for.
    pub flavor: String,
    /// How the student is trained.
    pub training: TrainerConfig,
    /// How many completions are sampled from the student at the end.
    pub samples: u32,
    /// A dataset that is on the Hub already; the run then begins there instead of at session logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<DatasetSource>,
}

/// A dataset repository at a commit, to train on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatasetSource {
    /// The commit, 40 hex digits.
    pub revision: String,
    /// The files of each split, by the split's name.
    pub files: std::collections::BTreeMap<String, Vec<String>>,
}

/// Where a run happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The Hub, or [`Target::EMBEDDED`] for this machine's own, whose port changes between starts.
    pub hub: String,
    /// The user or organisation.
    pub namespace: String,
}

impl Target {
    /// The name under which the embedded Hub is remembered.
    pub const EMBEDDED: &'static str = "embedded";
}

/// A run as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// The run's name.
    pub id: RunId,
    /// Counts the saves; a save with an older number is refused.
    pub version: u64,
    /// When the run was first asked for.
    pub created_at: Timestamp,
    /// When the state last changed.
    pub updated_at: Timestamp,
    /// What was asked.
    pub spec: RunSpec,
    /// How far it got.
    pub state: RunState,
}

impl RunRecord {
    /// Makes a run that has not begun.
    pub fn new(spec: RunSpec, now: Timestamp) -> Self {
        Self {
            id: RunId::generate(),
            version: 0,
            created_at: now,
            updated_at: now,
            spec,
            state: RunState::Queued,
        }
    }
}

/// A dataset built on this machine, not yet on a Hub.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuiltDataset {
    /// The folder with `train.jsonl`, `val.jsonl`, `metadata.json` and `README.md`.
    pub dir: PathBuf,
    /// Sessions that gave at least one row.
    pub sessions: u64,
    /// Rows of the train split.
    pub rows_train: u64,
    /// Rows of the validation split.
    pub rows_val: u64,
}

/// A dataset at a recorded revision of its repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedDataset {
    /// What was uploaded.
    pub built: BuiltDataset,
    /// The repository, `namespace/name`.
    pub repo_id: String,
    /// The commit, 40 hex digits.
    pub revision: String,
    /// Submissions made so far for this dataset. Each has a label of its own.
    pub attempts: u32,
}

/// A submission that is decided, whether or not the Hub has heard of it.
///
/// It is stored before anything is sent, so that after a crash or an unclear answer the label can be looked up
/// and nothing is submitted twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitIntent {
    /// The dataset that the job reads.
    pub dataset: PublishedDataset,
    /// The value of the job's label [`crate::trainer::INTENT_LABEL`].
    pub label: String,
    /// What the job runs, committed before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<PinnedCode>,
}

impl TrainJobConfig {
    /// What the job of a decided submission is told.
    pub fn of(run: RunId, spec: &RunSpec, dataset: &PublishedDataset, code: Option<PinnedCode>) -> Self {
        Self {
            dataset_repo: dataset.repo_id.clone(),
            dataset_revision: dataset.revision.clone(),
            model_repo: spec.model_repo.clone(),
            training: spec.training.clone(),
            run_id: Some(run.to_string()),
            dataset_files: spec.source.as_ref().map(|source| source.files.clone()),
            code,
        }
    }
}

/// A job that the Hub knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmittedJob {
    /// The dataset that the job reads.
    pub dataset: PublishedDataset,
    /// The job's name on the Hub.
    pub job_id: String,
    /// When the Hub said it was created, or when the answer came.
    pub submitted_at: Timestamp,
}

/// A model whose files are in the output repository at a recorded revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifiedModel {
    /// The job that made it.
    pub job: SubmittedJob,
    /// The repository, `namespace/name`.
    pub repo_id: String,
    /// The commit, 40 hex digits.
    pub revision: String,
    /// The folder on this machine with the files of that revision.
    pub dir: PathBuf,
    /// Validation loss of the untrained model, nats per token, as the trainer measured it.
    pub val_loss_before: Option<f64>,
    /// Validation loss of the trained model, nats per token, as the trainer measured it.
    pub val_loss_after: Option<f64>,
}
