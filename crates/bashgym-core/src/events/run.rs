//! What a run tells while it goes on. The same events are printed, stored and, by a server, sent on.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::run::{RunId, Stage};

/// How a stage stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageStatus {
    /// The stage begins.
    Started,
    /// The stage has something to tell.
    Progress,
    /// The stage is done.
    Finished,
    /// The stage failed; the run ends here for now.
    Failed,
}

/// One thing that a run tells.
///
/// # Shape
/// `{"event":"run","run_id",..}` first; then
/// `{"event":"stage","stage":"import","status":"started|progress|finished|failed", ..}` with what the stage has
/// to tell beside it; last `{"event":"result", ..}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum RunEvent {
    /// A run begins, or goes on where it stopped.
    Run {
        /// The run.
        run_id: RunId,
        /// Whether an earlier, unfinished run is continued.
        continued: bool,
        /// The state it continues from.
        state: String,
    },
    /// A stage began, goes on, or ended.
    Stage {
        /// Which stage.
        stage: Stage,
        /// How it stands.
        status: StageStatus,
        /// What it has to tell.
        #[serde(flatten)]
        detail: Map<String, Value>,
    },
    /// The run succeeded.
    Result(Box<RunResult>),
}

impl RunEvent {
    /// Makes a stage event that has nothing more to tell.
    pub fn stage(stage: Stage, status: StageStatus) -> Self {
        Self::Stage {
            stage,
            status,
            detail: Map::new(),
        }
    }

    /// Makes a stage event with what it has to tell; anything but a JSON object is put under `detail`.
    pub fn stage_with(stage: Stage, status: StageStatus, detail: Value) -> Self {
        let detail = match detail {
            Value::Object(map) => map,
            other => Map::from_iter([("detail".to_owned(), other)]),
        };
        Self::Stage {
            stage,
            status,
            detail,
        }
    }
}

/// What a successful run made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    /// The run.
    pub run_id: RunId,
    /// The dataset repository.
    pub dataset_repo: String,
    /// Its commit.
    pub dataset_revision: String,
    /// Rows of the train split.
    pub rows_train: u64,
    /// Rows of the validation split.
    pub rows_val: u64,
    /// The training job.
    pub job_id: String,
    /// The model repository.
    pub model_repo: String,
    /// Its commit.
    pub model_revision: String,
    /// The folder on this machine with that revision's files.
    pub model_dir: std::path::PathBuf,
    /// Validation loss of the untrained model, nats per token; null where the trainer measured none.
    pub val_loss_before: Option<f64>,
    /// Validation loss of the trained model, nats per token; null where the trainer measured none.
    pub val_loss_after: Option<f64>,
    /// Seconds this invocation took.
    pub seconds: f64,
}

/// An event with its place in the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredEvent {
    /// Counts from 1 in each run, without a gap.
    pub seq: u64,
    /// The event.
    pub event: RunEvent,
}

/// Who listens to a run. A listener that is slow slows the run, so it hands on and returns.
#[async_trait]
pub trait EventSink: Send + Sync {
    /// Takes one event.
    async fn emit(&self, event: RunEvent);
}
