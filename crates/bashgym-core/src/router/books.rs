//! How decisions get into the store: together, behind their callers.

use super::decision::{DecisionRecord, Exchange};
use super::open::Open;
use super::service::{Router, lock};
use crate::store::StoreError;

/// Decisions that wait to be written, at most; then calls wait for the store.
pub(super) const MOST_WAITING: usize = 1024;
/// Decisions that are written at once.
const BATCH: usize = 64;

impl Router {
    /// Writes what waits into the store.
    ///
    /// # Errors
    /// [`StoreError`]; what was not written waits on.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _one = self.inner.writing.lock().await;
        loop {
            let mut batch: Vec<_> = {
                let mut waiting = lock(&self.inner.waiting);
                let count = waiting.decisions.len().min(BATCH);
                waiting.decisions.drain(..count).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            // Here and not when it came: no caller waits for it. Cleaned twice, it is as cleaned once.
            for (_, exchange) in &mut batch {
                let gate = self.inner.gate.as_ref();
                *exchange = exchange.take().and_then(|it| gate?.clean(it));
            }
            if let Err(error) = self.inner.store.add_decisions(&batch).await {
                let mut waiting = lock(&self.inner.waiting);
                waiting.decisions.splice(..0, batch);
                waiting.decisions.truncate(MOST_WAITING);
                return Err(error);
            }
        }
    }

    /// Remembers a call that is over, and has it written.
    pub(super) fn keep(&self, open: &mut Open, answer: Option<hf_inference::Message>) {
        open.is_kept = true;
        let mut record = std::mem::replace(&mut open.record, DecisionRecord::blank());
        record.millis = self.millis_since(open.started);
        lock(&self.inner.known).observe(&record);
        let exchange = match (open.asked.take(), answer) {
            (Some((messages, tools)), Some(answer)) if record.is_escalated() => Some(Exchange {
                messages,
                tools,
                answer,
            }),
            _ => None,
        };
        let is_writer_needed = {
            let mut waiting = lock(&self.inner.waiting);
            if waiting.decisions.len() < 2 * MOST_WAITING {
                waiting.decisions.push((record, exchange));
            } else {
                tracing::warn!(decision = %record.id, "a decision is not kept: the store is far behind");
            }
            !std::mem::replace(&mut waiting.is_writer_there, true)
        };
        if !is_writer_needed {
            return;
        }
        let router = self.clone();
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn(async move { router.write().await })),
            Err(_) => lock(&self.inner.waiting).is_writer_there = false,
        }
    }

    /// Writes until nothing waits.
    async fn write(&self) {
        loop {
            if let Err(error) = self.flush().await {
                tracing::warn!(%error, "decisions could not be kept; they are tried again with the next one");
                lock(&self.inner.waiting).is_writer_there = false;
                return;
            }
            let mut waiting = lock(&self.inner.waiting);
            if waiting.decisions.is_empty() {
                waiting.is_writer_there = false;
                return;
            }
        }
    }
}
