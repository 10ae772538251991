//! Where decisions are kept.

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::decision::{DecisionId, DecisionRecord, Exchange, VerifiedOutcome};
use crate::store::StoreError;

/// Which decisions are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DecisionFilter {
    /// Made at this time or later.
    pub from: Option<Timestamp>,
    /// Only those somebody judged.
    pub judged: bool,
    /// Only those whose exchange was kept.
    pub kept: bool,
}

/// Keeps decisions, and small things about models.
#[async_trait]
pub trait RouteStore: Send + Sync {
    /// Adds decisions, all or none. One that is there already changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn add_decisions(&self, decisions: &[(DecisionRecord, Option<Exchange>)])
    -> Result<(), StoreError>;

    /// Finds a decision.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn find_decision(&self, id: DecisionId) -> Result<Option<DecisionRecord>, StoreError>;

    /// Finds what was said, if it was kept.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn find_exchange(&self, id: DecisionId) -> Result<Option<Exchange>, StoreError>;

    /// Lists decisions, newest first, those before `before` only.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_decisions(
        &self,
        filter: &DecisionFilter,
        before: Option<DecisionId>,
        limit: u32,
    ) -> Result<Vec<DecisionRecord>, StoreError>;

    /// Lists decisions with a verdict and the verdict's number, rising: those from a number on, or the newest. Each verdict gets a
    /// number above all others when it is written down, also when it replaces one. After decisions were pruned numbers may
    /// come again.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_verdicts(
        &self,
        from: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, DecisionRecord)>, StoreError>;

    /// Writes down whether an answer was right; a later verdict replaces an earlier one. The decision as it is then.
    ///
    /// # Errors
    /// [`StoreError::Gone`], [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn judge_decision(
        &self,
        id: DecisionId,
        outcome: &VerifiedOutcome,
    ) -> Result<DecisionRecord, StoreError>;

    /// Removes decisions made before a time. How many.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn prune_decisions(&self, before: Timestamp) -> Result<u64, StoreError>;

    /// Keeps a small thing under a name: a calibration under `calibration MODEL`, a share under `share MODEL`.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn put_route_note(&self, name: &str, note: &Value) -> Result<(), StoreError>;

    /// Makes a new small thing of the one that is there, so that no change of another process is lost. What is there then.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn change_route_note(
        &self,
        name: &str,
        change: &(dyn Fn(Option<Value>) -> Value + Send + Sync),
    ) -> Result<Value, StoreError>;

    /// All small things, by name.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn route_notes(&self) -> Result<Vec<(String, Value)>, StoreError>;
}
