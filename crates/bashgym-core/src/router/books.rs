//! How decisions get into the store: together, behind their callers.

use std::sync::Arc;

use async_trait::async_trait;

use super::decision::{DecisionRecord, Exchange, ExchangeGate};
use super::open::Open;
use super::service::{Router, lock};
use super::store::RouteStore;
use crate::store::{Batches, StoreError};

/// A decision, and what was said where that is kept.
pub(super) type Noted = (DecisionRecord, Option<Exchange>);

/// Takes decisions into the store; what was said passes the gate first.
pub(super) struct IntoStore {
    pub(super) store: Arc<dyn RouteStore>,
    pub(super) gate: Option<Arc<dyn ExchangeGate>>,
}

#[async_trait]
impl Batches<Noted> for IntoStore {
    async fn write(&self, batch: &mut [Noted]) -> Result<(), StoreError> {
        // Here and not when it came: no caller waits for it. Cleaned twice, it is as cleaned once.
        for (_, exchange) in &mut *batch {
            *exchange = exchange.take().and_then(|it| self.gate.as_ref()?.clean(it));
        }
        self.store.add_decisions(batch).await
    }
}

impl Router {
    /// Writes what waits into the store.
    ///
    /// # Errors
    /// [`StoreError`]; what was not written waits on.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.inner.waiting.flush().await
    }

    /// Remembers a call that is over, and has it written.
    pub(super) fn keep(&self, open: &mut Open, answer: Option<hf_inference::Message>) {
        open.is_kept = true;
        let mut record = std::mem::replace(&mut open.record, DecisionRecord::blank());
        record.millis = self.millis_since(open.started);
        lock(&self.inner.known).observe(&record);
        let exchange = match (open.asked.take(), answer) {
            (Some(asked), Some(answer)) if record.is_escalated() => Some(Exchange {
                messages: asked.messages.to_vec(),
                tools: asked.options.tools.clone().unwrap_or_default(),
                answer,
            }),
            _ => None,
        };
        let id = record.id;
        if !self.inner.waiting.push((record, exchange)) {
            tracing::warn!(decision = %id, "a decision is not kept: the store is far behind");
        }
    }
}
