//! Decisions in memory.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::decision::{DecisionId, DecisionRecord, Exchange, VerifiedOutcome};
use super::store::{DecisionFilter, RouteStore};
use crate::store::StoreError;

/// Keeps decisions until the process ends.
#[derive(Debug, Default)]
pub struct MemoryRoutes {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    decisions: BTreeMap<DecisionId, (DecisionRecord, Option<Exchange>)>,
    /// The verdicts, by their numbers.
    verdicts: BTreeMap<u64, DecisionId>,
    notes: BTreeMap<String, Value>,
}

impl Inner {
    fn number(&mut self, id: DecisionId) {
        self.verdicts.retain(|_, known| *known != id);
        let newest = self.verdicts.last_key_value().map_or(0, |(number, _)| *number);
        self.verdicts.insert(newest + 1, id);
    }
}

impl MemoryRoutes {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl RouteStore for MemoryRoutes {
    async fn add_decisions(
        &self,
        decisions: &[(DecisionRecord, Option<Exchange>)],
    ) -> Result<(), StoreError> {
        let mut inner = self.lock();
        for (record, exchange) in decisions {
            if inner.decisions.contains_key(&record.id) {
                continue;
            }
            inner
                .decisions
                .insert(record.id, (record.clone(), exchange.clone()));
            if record.outcome.is_some() {
                inner.number(record.id);
            }
        }
        Ok(())
    }

    async fn find_decision(&self, id: DecisionId) -> Result<Option<DecisionRecord>, StoreError> {
        Ok(self.lock().decisions.get(&id).map(|(record, _)| record.clone()))
    }

    async fn find_exchange(&self, id: DecisionId) -> Result<Option<Exchange>, StoreError> {
        Ok(self
            .lock()
            .decisions
            .get(&id)
            .and_then(|(_, exchange)| exchange.clone()))
    }

    async fn list_decisions(
        &self,
        filter: &DecisionFilter,
        before: Option<DecisionId>,
        limit: u32,
    ) -> Result<Vec<DecisionRecord>, StoreError> {
        let inner = self.lock();
        let newest_first = inner.decisions.values().rev().filter(|(record, exchange)| {
            before.is_none_or(|before| record.id < before)
                && filter.from.is_none_or(|from| record.at >= from)
                && (!filter.judged || record.outcome.is_some())
                && (!filter.kept || exchange.is_some())
        });
        let newest_first = newest_first.map(|(record, _)| record.clone());
        Ok(newest_first.take(limit as usize).collect())
    }

    async fn judge_decision(
        &self,
        id: DecisionId,
        outcome: &VerifiedOutcome,
    ) -> Result<DecisionRecord, StoreError> {
        let mut inner = self.lock();
        let Some((record, _)) = inner.decisions.get_mut(&id) else {
            return Err(StoreError::Gone {
                what: format!("decision {id}"),
            });
        };
        record.outcome = Some(outcome.clone());
        let record = record.clone();
        inner.number(id);
        Ok(record)
    }

    async fn list_verdicts(
        &self,
        from: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, DecisionRecord)>, StoreError> {
        let inner = self.lock();
        let found = |(number, id): (&u64, &DecisionId)| {
            let (record, _) = inner.decisions.get(id)?;
            Some((*number, record.clone()))
        };
        let limit = limit as usize;
        if let Some(from) = from {
            let rising = inner.verdicts.range(from..).filter_map(found);
            return Ok(rising.take(limit).collect());
        }
        let mut newest: Vec<_> = inner
            .verdicts
            .iter()
            .rev()
            .filter_map(found)
            .take(limit)
            .collect();
        newest.reverse();
        Ok(newest)
    }

    async fn prune_decisions(&self, before: Timestamp) -> Result<u64, StoreError> {
        let mut inner = self.lock();
        let count = inner.decisions.len();
        inner.decisions.retain(|_, (record, _)| record.at >= before);
        Ok((count - inner.decisions.len()) as u64)
    }

    async fn put_route_note(&self, name: &str, note: &Value) -> Result<(), StoreError> {
        self.lock().notes.insert(name.to_owned(), note.clone());
        Ok(())
    }

    async fn change_route_note(
        &self,
        name: &str,
        change: &(dyn Fn(Option<Value>) -> Value + Send + Sync),
    ) -> Result<Value, StoreError> {
        let mut inner = self.lock();
        let changed = change(inner.notes.get(name).cloned());
        inner.notes.insert(name.to_owned(), changed.clone());
        Ok(changed)
    }

    async fn route_notes(&self) -> Result<Vec<(String, Value)>, StoreError> {
        let inner = self.lock();
        Ok(inner
            .notes
            .iter()
            .map(|(name, note)| (name.clone(), note.clone()))
            .collect())
    }
}
