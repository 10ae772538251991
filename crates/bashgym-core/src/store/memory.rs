//! A store that forgets when the process ends; for tests, and for a run that asks to leave nothing behind.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use hf_core::{Clock, SystemClock};
use tokio::sync::watch;

use super::{EventStore, RunStore, StoreError};
use crate::events::{Event, RunEvent, StoredEvent, facts};
use crate::run::{RunId, RunRecord, RunSpec, RunState};

/// Keeps everything in memory.
#[derive(Debug)]
pub struct MemoryStore {
    inner: Mutex<Inner>,
    /// Stamps events.
    pub(super) clock: Arc<dyn Clock>,
    /// The number of the newest event of the log.
    pub(super) newest: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Inner {
    runs: BTreeMap<RunId, RunRecord>,
    events: BTreeMap<RunId, Vec<RunEvent>>,
    pub(super) jobs: super::memory_jobs::Jobs,
    pub(super) seen: super::memory_seen::Seen,
    pub(super) tasks: super::memory_tasks::Tasks,
    pub(super) log: Vec<Event>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::with_clock(Arc::new(SystemClock::new()))
    }
}

impl MemoryStore {
    /// An empty store whose events get the time of `clock`.
    pub fn with_clock(clock: Arc<dyn Clock>) -> Self {
        Self {
            inner: Mutex::default(),
            clock,
            newest: watch::Sender::new(0),
        }
    }

    pub(super) fn with<T>(&self, work: impl FnOnce(&mut Inner) -> T) -> T {
        work(&mut self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[async_trait]
impl RunStore for MemoryStore {
    async fn create_run(&self, run: &RunRecord) -> Result<(), StoreError> {
        self.change(|inner| {
            if inner.runs.contains_key(&run.id) {
                return Err(StoreError::Backend {
                    action: format!("create run {}", run.id),
                    source: "a run of this name is there".into(),
                });
            }
            inner.runs.insert(run.id, run.clone());
            Ok(((), facts::of_run(None, run)))
        })
    }

    async fn find_run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.with(|inner| inner.runs.get(&id).cloned()))
    }

    async fn find_unfinished_run(&self, spec: &RunSpec) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.with(|inner| {
            inner
                .runs
                .values()
                .rev()
                .find(|run| run.spec == *spec && !matches!(run.state, RunState::Succeeded { .. }))
                .cloned()
        }))
    }

    async fn update_run(&self, run: &RunRecord) -> Result<u64, StoreError> {
        self.change(|inner| {
            let stored = inner
                .runs
                .get_mut(&run.id)
                .ok_or(StoreError::Missing { id: run.id })?;
            if stored.version != run.version {
                return Err(StoreError::Stale { id: run.id });
            }
            let events = facts::of_run(Some(stored), run);
            *stored = RunRecord {
                version: run.version + 1,
                ..run.clone()
            };
            Ok((stored.version, events))
        })
    }

    async fn list_runs(&self, before: Option<RunId>, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        Ok(self.with(|inner| {
            inner
                .runs
                .values()
                .rev()
                .filter(|run| before.is_none_or(|before| run.id < before))
                .take(limit as usize)
                .cloned()
                .collect()
        }))
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append_event(&self, run: RunId, event: &RunEvent) -> Result<u64, StoreError> {
        self.change(|inner| {
            let events = inner.events.entry(run).or_default();
            events.push(event.clone());
            let seq = events.len() as u64;
            Ok((seq, vec![facts::of_run_event(run, seq, event)]))
        })
    }

    async fn list_events(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        Ok(self.with(|inner| {
            let events = inner.events.get(&run).map(Vec::as_slice).unwrap_or_default();
            (1..)
                .zip(events)
                .filter(|(seq, _)| *seq > after)
                .take(limit as usize)
                .map(|(seq, event)| StoredEvent {
                    seq,
                    event: event.clone(),
                })
                .collect()
        }))
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::MemoryStore;

    #[tokio::test]
    async fn memory_store_keeps_the_contract() {
        crate::testing::store_contract(&MemoryStore::default()).await;
    }
}
