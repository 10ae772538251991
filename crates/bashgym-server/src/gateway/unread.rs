//! A store of decisions that is only written to: where one model was asked for by name, nothing is learnt from the past.

use std::sync::Arc;

use async_trait::async_trait;
use bashgym_core::router::{
    DecisionFilter, DecisionId, DecisionRecord, Exchange, RouteStore, VerifiedOutcome,
};
use bashgym_core::store::StoreError;
use jiff::Timestamp;
use serde_json::Value;

/// A store that remembers and tells nothing back in lists.
pub(super) struct Unread(pub(super) Arc<dyn RouteStore>);

#[async_trait]
impl RouteStore for Unread {
    async fn add_decisions(
        &self,
        decisions: &[(DecisionRecord, Option<Exchange>)],
    ) -> Result<(), StoreError> {
        self.0.add_decisions(decisions).await
    }

    async fn find_decision(&self, id: DecisionId) -> Result<Option<DecisionRecord>, StoreError> {
        self.0.find_decision(id).await
    }

    async fn find_exchange(&self, id: DecisionId) -> Result<Option<Exchange>, StoreError> {
        self.0.find_exchange(id).await
    }

    async fn list_decisions(
        &self,
        _: &DecisionFilter,
        _: Option<DecisionId>,
        _: u32,
    ) -> Result<Vec<DecisionRecord>, StoreError> {
        Ok(Vec::new())
    }

    async fn list_verdicts(&self, _: Option<u64>, _: u32) -> Result<Vec<(u64, DecisionRecord)>, StoreError> {
        Ok(Vec::new())
    }

    async fn judge_decision(
        &self,
        id: DecisionId,
        outcome: &VerifiedOutcome,
    ) -> Result<DecisionRecord, StoreError> {
        self.0.judge_decision(id, outcome).await
    }

    async fn prune_decisions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.0.prune_decisions(before).await
    }

    async fn put_route_note(&self, name: &str, note: &Value) -> Result<(), StoreError> {
        self.0.put_route_note(name, note).await
    }

    async fn change_route_note(
        &self,
        name: &str,
        change: &(dyn Fn(Option<Value>) -> Value + Send + Sync),
    ) -> Result<Value, StoreError> {
        self.0.change_route_note(name, change).await
    }

    async fn route_notes(&self) -> Result<Vec<(String, Value)>, StoreError> {
        Ok(Vec::new())
    }
}
