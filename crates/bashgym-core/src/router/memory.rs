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
    notes: BTreeMap<String, Value>,
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
            let kept = || (record.clone(), exchange.clone());
            inner.decisions.entry(record.id).or_insert_with(kept);
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
        Ok(record.clone())
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

    async fn route_notes(&self) -> Result<Vec<(String, Value)>, StoreError> {
        let inner = self.lock();
        Ok(inner
            .notes
            .iter()
            .map(|(name, note)| (name.clone(), note.clone()))
            .collect())
    }
}
