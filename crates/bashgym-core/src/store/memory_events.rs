//! The log of events, in memory.

use async_trait::async_trait;
use tokio::sync::watch;

use super::StoreError;
use super::memory::{Inner, MemoryStore};
use crate::events::{Event, EventLog, EventWatch, LogBounds, NewEvent, Retention, Topics};

impl MemoryStore {
    /// Changes what is kept, and appends the events that follow from it, at once.
    pub(super) fn change<T>(
        &self,
        change: impl FnOnce(&mut Inner) -> Result<(T, Vec<NewEvent>), StoreError>,
    ) -> Result<T, StoreError> {
        self.with(|inner| {
            let (value, events) = change(inner)?;
            self.log_events(inner, &events);
            Ok(value)
        })
    }

    fn log_events(&self, inner: &mut Inner, events: &[NewEvent]) -> Vec<u64> {
        let time = self.clock.now();
        let last = inner.log.last().map_or(0, |event| event.seq);
        let seqs: Vec<u64> = (last + 1..).take(events.len()).collect();
        inner
            .log
            .extend(seqs.iter().zip(events).map(|(seq, event)| Event {
                seq: *seq,
                time,
                kind: event.kind.clone(),
                topic: event.topic.clone(),
                data: event.data.clone(),
            }));
        if let Some(newest) = seqs.last() {
            self.newest.send_replace(*newest);
        }
        seqs
    }
}

#[async_trait]
impl EventLog for MemoryStore {
    async fn append(&self, events: &[NewEvent]) -> Result<Vec<u64>, StoreError> {
        Ok(self.with(|inner| self.log_events(inner, events)))
    }

    async fn list(&self, after: u64, topics: &Topics, limit: u32) -> Result<Vec<Event>, StoreError> {
        Ok(self.with(|inner| {
            let from = inner.log.partition_point(|event| event.seq <= after);
            inner.log[from..]
                .iter()
                .filter(|event| topics.contains(&event.topic))
                .take(limit as usize)
                .cloned()
                .collect()
        }))
    }

    async fn list_back(&self, before: u64, topics: &Topics, limit: u32) -> Result<Vec<Event>, StoreError> {
        Ok(self.with(|inner| {
            let until = inner.log.partition_point(|event| event.seq < before);
            inner.log[..until]
                .iter()
                .rev()
                .filter(|event| topics.contains(&event.topic))
                .take(limit as usize)
                .cloned()
                .collect()
        }))
    }

    async fn bounds(&self) -> Result<LogBounds, StoreError> {
        Ok(self.with(|inner| LogBounds {
            oldest: inner.log.first().map_or(0, |event| event.seq),
            newest: inner.log.last().map_or(0, |event| event.seq),
        }))
    }

    async fn prune(&self, keep: &Retention) -> Result<u64, StoreError> {
        let horizon = keep.horizon(self.clock.now());
        Ok(self.with(|inner| {
            let newest = inner.log.last().map_or(0, |event| event.seq);
            let (surely, if_old) = keep.limits(newest);
            let before = inner.log.len();
            inner
                .log
                .retain(|event| event.seq > surely && (event.seq > if_old || event.time >= horizon));
            (before - inner.log.len()) as u64
        }))
    }

    async fn watch(&self) -> Result<Box<dyn EventWatch>, StoreError> {
        Ok(Box::new(Watch(self.newest.subscribe())))
    }
}

struct Watch(watch::Receiver<u64>);

#[async_trait]
impl EventWatch for Watch {
    async fn wait_after(&mut self, after: u64) -> Result<(), StoreError> {
        let gone = |error| StoreError::Backend {
            action: "watch the log of events".to_owned(),
            source: Box::new(error),
        };
        self.0
            .wait_for(|newest| *newest > after)
            .await
            .map(|_| ())
            .map_err(gone)
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use std::sync::Arc;

    use super::MemoryStore;
    use crate::ledger::contract::SetClock;

    #[tokio::test]
    async fn memory_store_keeps_the_contract_of_events() {
        let clock = SetClock::at("2026-11-22T12:00:00Z");
        let store = MemoryStore::with_clock(clock.clone());
        crate::testing::event_log_contract(Arc::new(store), &clock).await;
    }

    #[tokio::test]
    async fn memory_store_logs_what_it_stores() {
        crate::testing::facts_contract(Arc::new(MemoryStore::default())).await;
    }
}
