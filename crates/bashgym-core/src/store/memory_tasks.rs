//! Tasks, in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::StoreError;
use super::memory::MemoryStore;
use crate::events::facts;
use crate::task::{TaskFilter, TaskId, TaskRecord, TaskState, TaskStore};

/// The part of [`MemoryStore`] that is about tasks.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    records: BTreeMap<TaskId, TaskRecord>,
    holds: BTreeMap<TaskId, (String, Timestamp)>,
}

fn until(now: Timestamp, ttl: Duration) -> Timestamp {
    now.saturating_add(ttl).unwrap_or(Timestamp::MAX)
}

#[async_trait]
impl TaskStore for MemoryStore {
    async fn create_task(&self, task: &TaskRecord) -> Result<(TaskRecord, bool), StoreError> {
        self.change(|inner| {
            let records = &mut inner.tasks.records;
            let same = |there: &&TaskRecord| {
                there.kind == task.kind
                    && there.idempotency_key.is_some()
                    && there.idempotency_key == task.idempotency_key
            };
            if let Some(there) = records.values().find(same) {
                return Ok(((there.clone(), false), Vec::new()));
            }
            records.insert(task.id, task.clone());
            Ok(((task.clone(), true), facts::of_task(None, task)))
        })
    }

    async fn find_task(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        Ok(self.with(|inner| inner.tasks.records.get(&id).cloned()))
    }

    async fn list_tasks(
        &self,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        Ok(self.with(|inner| {
            inner
                .tasks
                .records
                .values()
                .rev()
                .filter(|task| before.is_none_or(|before| task.id < before))
                .filter(|task| filter.kind.as_ref().is_none_or(|kind| task.kind == *kind))
                .filter(|task| filter.state.is_none_or(|state| task.state == state))
                .take(limit as usize)
                .cloned()
                .collect()
        }))
    }

    async fn update_task(&self, task: &TaskRecord) -> Result<u64, StoreError> {
        self.change(|inner| {
            let what = || format!("task {}", task.id);
            let stored = inner
                .tasks
                .records
                .get_mut(&task.id)
                .ok_or_else(|| StoreError::Gone { what: what() })?;
            if stored.version != task.version {
                return Err(StoreError::Changed { what: what() });
            }
            let events = facts::of_task(Some(stored), task);
            *stored = TaskRecord {
                version: task.version + 1,
                ..task.clone()
            };
            let version = stored.version;
            if task.state.is_final() {
                inner.tasks.holds.remove(&task.id);
            }
            Ok((version, events))
        })
    }

    async fn claim_task(
        &self,
        kinds: &[String],
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Option<TaskRecord>, StoreError> {
        self.change(|inner| {
            let tasks = &mut inner.tasks;
            let free = |task: &&mut TaskRecord| {
                let held = tasks.holds.get(&task.id).is_some_and(|(_, until)| *until > now);
                kinds.contains(&task.kind)
                    && match task.state {
                        TaskState::Queued => true,
                        TaskState::Running => !held,
                        TaskState::Done | TaskState::Failed | TaskState::Canceled => false,
                    }
            };
            let Some(task) = tasks.records.values_mut().find(free) else {
                return Ok((None, Vec::new()));
            };
            let taken = task.clone().taken(now);
            let events = facts::of_task(Some(task), &taken);
            *task = taken.clone();
            tasks.holds.insert(taken.id, (holder.to_owned(), until(now, ttl)));
            Ok((Some(taken), events))
        })
    }

    async fn hold_task(
        &self,
        id: TaskId,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        Ok(self.with(|inner| match inner.tasks.holds.get_mut(&id) {
            Some((there, held_until)) if there == holder => {
                *held_until = until(now, ttl);
                true
            }
            _ => false,
        }))
    }

    async fn release_task(&self, id: TaskId, holder: &str, now: Timestamp) -> Result<(), StoreError> {
        self.change(|inner| {
            let tasks = &mut inner.tasks;
            if tasks.holds.get(&id).is_none_or(|(there, _)| there != holder) {
                return Ok(((), Vec::new()));
            }
            tasks.holds.remove(&id);
            let Some(task) = tasks
                .records
                .get_mut(&id)
                .filter(|task| task.state == TaskState::Running)
            else {
                return Ok(((), Vec::new()));
            };
            let freed = task.clone().given_back(now);
            let events = facts::of_task(Some(task), &freed);
            *task = freed;
            Ok(((), events))
        })
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::MemoryStore;

    #[tokio::test]
    async fn memory_store_keeps_the_contract_of_tasks() {
        crate::testing::task_store_contract(&MemoryStore::default()).await;
    }
}
