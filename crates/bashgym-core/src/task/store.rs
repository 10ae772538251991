//! The trait of the store that tasks are kept in.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::model::{TaskId, TaskRecord, TaskState};
use crate::store::StoreError;

/// Which tasks are asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only this kind.
    pub kind: Option<String>,
    /// Only this state.
    pub state: Option<TaskState>,
}

/// Keeps tasks. Every change leaves its events in the log, in the same transaction.
#[async_trait]
pub trait TaskStore: Send + Sync {
    /// Adds a task, unless one of its kind with its key is there; returns the one that is there then, and whether it was added.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn create_task(&self, task: &TaskRecord) -> Result<(TaskRecord, bool), StoreError>;

    /// Returns the task of this name.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn find_task(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError>;

    /// Lists tasks, newest first, those before `before` if it is given.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_tasks(
        &self,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, StoreError>;

    /// Saves a task whose `version` is the stored one; the stored version then grows by one and is returned. One that
    /// ends has no holder any more.
    ///
    /// # Errors
    /// [`StoreError::Changed`], [`StoreError::Gone`] or [`StoreError::Backend`].
    async fn update_task(&self, task: &TaskRecord) -> Result<u64, StoreError>;

    /// Gives the oldest task of these kinds that waits, or whose holder was not heard of until `now`, to `holder`, until
    /// `now + ttl`: as [`TaskRecord::taken`]. None where there is nothing to do.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn claim_task(
        &self,
        kinds: &[String],
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Option<TaskRecord>, StoreError>;

    /// Prolongs the hold on a running task until `now + ttl`. False when `holder` does not have it any more.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn hold_task(
        &self,
        id: TaskId,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<bool, StoreError>;

    /// Gives a running task back, as [`TaskRecord::given_back`]; nothing happens where `holder` does not have it.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn release_task(&self, id: TaskId, holder: &str, now: Timestamp) -> Result<(), StoreError>;
}
