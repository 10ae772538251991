//! What is remembered of a task.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

/// The name of a task: a version 7 UUID, so that names sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TaskId(Uuid);

impl TaskId {
    /// Makes a new name from the time and fresh randomness.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TaskId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::from_str(text).map(Self)
    }
}

/// How a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskState {
    /// It waits for a worker.
    Queued,
    /// A worker is at it, or was until it died.
    Running,
    /// It did what it was for.
    Done,
    /// It ended without success.
    Failed,
    /// It was canceled.
    Canceled,
}

impl TaskState {
    /// The state's word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
        }
    }

    /// Whether the state is never left.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Done | Self::Failed | Self::Canceled)
    }
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskProgress {
    /// How much is done, in `unit`.
    pub done: u64,
    /// How much there is in all, where it is known.
    pub total: Option<u64>,
    /// What is counted, such as `bytes` or `sessions`.
    pub unit: String,
    /// What it is at, in words.
    pub message: Option<String>,
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    /// A stable word for programs.
    pub code: String,
    /// What happened and why, in words, without any secret.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A task that is asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTask {
    /// Which handler does it.
    pub kind: String,
    /// What the handler is told. It is stored: no secret may be in it.
    pub input: Value,
    /// The same key and kind again is the same task.
    pub idempotency_key: Option<String>,
}

/// A task as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its name.
    pub id: TaskId,
    /// Counts the saves; a save with an older number is refused.
    pub version: u64,
    /// Which handler does it.
    pub kind: String,
    /// What the handler is told.
    pub input: Value,
    /// The key under which it was asked for, if it has one.
    pub idempotency_key: Option<String>,
    /// How it stands.
    pub state: TaskState,
    /// How far it is.
    pub progress: Option<TaskProgress>,
    /// What came of it, once it is done.
    pub result: Option<Value>,
    /// Why it failed, if it did.
    pub error: Option<TaskError>,
    /// How often a worker began with it. A worker that finds another number has lost it.
    pub attempts: u32,
    /// How often a worker gave it back because its process was told to end.
    #[serde(default)]
    pub given_back: u32,
    /// Whether a cancel was asked for.
    pub cancel_asked: bool,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When the record last changed.
    pub updated_at: Timestamp,
    /// When a worker first began with it.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
}

impl TaskRecord {
    /// A task that waits for a worker.
    pub fn new(task: NewTask, now: Timestamp) -> Self {
        Self {
            id: TaskId::generate(),
            version: 0,
            kind: task.kind,
            input: task.input,
            idempotency_key: task.idempotency_key,
            state: TaskState::Queued,
            progress: None,
            result: None,
            error: None,
            attempts: 0,
            given_back: 0,
            cancel_asked: false,
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: None,
        }
    }

    /// The record once a worker has begun with it. A store calls this when it gives a task out.
    #[must_use]
    pub fn taken(mut self, now: Timestamp) -> Self {
        self.version += 1;
        self.attempts += 1;
        self.state = TaskState::Running;
        self.started_at.get_or_insert(now);
        self.updated_at = now;
        self
    }

    /// The record once its worker gave it back unfinished. A store calls this.
    #[must_use]
    pub fn given_back(mut self, now: Timestamp) -> Self {
        self.version += 1;
        self.given_back += 1;
        self.state = TaskState::Queued;
        self.updated_at = now;
        self
    }
}
