//! What the router remembers, and how it gets into the store and out of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::confidence::Calibration;
use super::decision::{DecisionRecord, Exchange, TryEnd};
use super::evidence::Evidence;
use super::plan::Share;
use super::service::{Known, Open, Router, lock};
use super::store::DecisionFilter;
use crate::ledger::{CapScope, Service};
use crate::store::StoreError;

/// Decisions that wait to be written, at most; then calls wait for the store.
pub(super) const MOST_WAITING: usize = 1024;
/// Decisions that are written at once.
const BATCH: usize = 64;
/// Verdicts and calls that are read again at the start.
const REMEMBERED: u32 = 5000;
/// After so long what others wrote into the store is read.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// So long the budget's room is taken as it was.
const ROOM_FRESH_FOR: Duration = Duration::from_secs(2);

impl Router {
    /// Writes what waits into the store.
    ///
    /// # Errors
    /// [`StoreError`]; what was not written waits on.
    pub async fn flush(&self) -> Result<(), StoreError> {
        let _one = self.inner.writing.lock().await;
        loop {
            let batch: Vec<_> = {
                let mut waiting = lock(&self.inner.waiting);
                let count = waiting.decisions.len().min(BATCH);
                waiting.decisions.drain(..count).collect()
            };
            if batch.is_empty() {
                return Ok(());
            }
            if let Err(error) = self.inner.store.add_decisions(&batch).await {
                let mut waiting = lock(&self.inner.waiting);
                waiting.decisions.splice(..0, batch);
                waiting.decisions.truncate(MOST_WAITING);
                return Err(error);
            }
        }
    }

    /// What is known so far is read from the store, the first time and then every half minute.
    pub(super) async fn refresh(&self) {
        let now = self.inner.clock.elapsed();
        let is_fresh = |known: &Known| known.read_at.is_some_and(|at| now.saturating_sub(at) < FRESH_FOR);
        if is_fresh(&lock(&self.inner.known)) {
            return;
        }
        // Who finds another reading goes on with what is known, unless nothing is.
        let is_first = lock(&self.inner.known).read_at.is_none();
        let _one = if is_first {
            self.inner.reading.lock().await
        } else {
            let Ok(one) = self.inner.reading.try_lock() else {
                return;
            };
            one
        };
        if is_fresh(&lock(&self.inner.known)) {
            return;
        }
        if let Err(error) = self.read().await {
            tracing::warn!(%error, "what is known of models could not be read; the router goes on without it");
        }
        lock(&self.inner.known).read_at = Some(now);
    }

    async fn read(&self) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let judged = DecisionFilter {
            judged: true,
            ..DecisionFilter::default()
        };
        let mut judged = store.list_decisions(&judged, None, REMEMBERED).await?;
        judged.sort_by_key(|it| it.outcome.as_ref().map(|outcome| outcome.at));
        let recent = store
            .list_decisions(&DecisionFilter::default(), None, 500)
            .await?;
        let mut evidence = Evidence::new(self.inner.policy.fade);
        for record in recent.iter().rev() {
            observe(&mut evidence, record);
        }
        for record in &judged {
            if let (Some(by), Some(outcome)) = (record.answered_by(), &record.outcome) {
                evidence.judge(&by.model, &record.bucket, outcome.good, outcome.at);
            }
        }
        let (mut calibrations, mut shares) = (HashMap::new(), HashMap::new());
        for (name, note) in store.route_notes().await? {
            if let Some(model) = name.strip_prefix("calibration ")
                && let Ok(calibration) = serde_json::from_value::<Calibration>(note.clone())
            {
                calibrations.insert(model.to_owned(), Arc::new(calibration));
            } else if let Some(model) = name.strip_prefix("share ")
                && let Ok(share) = serde_json::from_value::<Share>(note)
            {
                shares.insert(model.to_owned(), share);
            }
        }
        let mut known = lock(&self.inner.known);
        known.evidence = evidence;
        known.calibrations = calibrations;
        known.shares = shares;
        Ok(())
    }

    /// What the caps on inference leave, in billionths of a dollar.
    pub(super) async fn room(&self) -> Option<f64> {
        let ledger = self.inner.ledger.as_ref()?;
        let now = self.inner.clock.elapsed();
        if let Some((at, room)) = lock(&self.inner.known).room
            && now.saturating_sub(at) < ROOM_FRESH_FOR
        {
            return room;
        }
        // A budget that cannot be read is asked again at the reservation, which is what keeps it.
        let overview = ledger.overview(None).await.ok()?;
        let left = [CapScope::One(Service::Inference), CapScope::All]
            .into_iter()
            .filter_map(|scope| overview.tightest(scope)?.left())
            .min();
        let room = left.map(|left| left.get() as f64 * 1e3);
        lock(&self.inner.known).room = Some((now, room));
        room
    }

    /// Remembers a call that is over, and has it written.
    pub(super) fn keep(&self, mut open: Open, answer: Option<hf_inference::Message>) {
        open.record.millis = self.millis_since(open.started);
        observe(&mut lock(&self.inner.known).evidence, &open.record);
        let exchange = match (open.asked, answer) {
            (Some((messages, tools)), Some(answer)) if open.record.is_escalated() => Some(Exchange {
                messages,
                tools,
                answer,
            }),
            _ => None,
        };
        let is_writer_needed = {
            let mut waiting = lock(&self.inner.waiting);
            if waiting.decisions.len() < 2 * MOST_WAITING {
                waiting.decisions.push((open.record, exchange));
            } else {
                tracing::warn!(decision = %open.record.id, "a decision is not kept: the store is far behind");
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

fn observe(evidence: &mut Evidence, record: &DecisionRecord) {
    for one in &record.tries {
        if matches!(one.end, TryEnd::Answered | TryEnd::Escalated) {
            evidence.observe(&one.model, &record.bucket, one.millis, one.usage);
        }
    }
}
