//! What the router knows of models, and how it keeps up with the store: read whole before the first call, and what is new behind
//! the calls, so that none waits for it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use hf_inference::TokenPrice;
use serde::Serialize;
use tokio::sync::OwnedMutexGuard;

use super::confidence::{Calibration, Signal};
use super::decision::{DecisionId, DecisionRecord, TryEnd, VerifiedOutcome};
use super::evidence::{Evidence, FadePolicy};
use super::plan::Share;
use super::service::{Router, lock};
use super::store::{DecisionFilter, RouteStore};
use super::strategy::RoutingStrategy;
use crate::backend::BackendRole;
use crate::ledger::{CapScope, Service};
use crate::store::StoreError;

/// Verdicts that are read again at the start, the newest.
const REMEMBERED: u32 = 5000;
/// Calls whose latencies and tokens are read at a time, the newest.
const RECENT: u32 = 500;
/// Calls that are known to be counted, the newest: more than can wait to be written.
const COUNTED_CALLS: usize = 4096;
/// After so long what others wrote into the store is read.
const FRESH_FOR: Duration = Duration::from_secs(30);
/// So long the budget's room is taken as it was.
const ROOM_FRESH_FOR: Duration = Duration::from_secs(2);

/// What is known, and how far it was read.
pub(super) struct Known {
    pub(super) evidence: Evidence,
    pub(super) calibrations: HashMap<String, Arc<Calibration>>,
    pub(super) shares: HashMap<String, Share>,
    /// What each backend's tokens cost; none until somebody was asked.
    prices: Option<Arc<[Option<TokenPrice>]>>,
    room: Option<(Duration, Option<f64>)>,
    /// When it was last read; none before the first time.
    read_at: Option<Duration>,
    counted: Counted,
}

impl Known {
    pub(super) fn new(fade: FadePolicy) -> Self {
        Self {
            evidence: Evidence::new(fade),
            calibrations: HashMap::new(),
            shares: HashMap::new(),
            prices: None,
            room: None,
            read_at: None,
            counted: Counted::default(),
        }
    }

    /// Takes in what a call took, once.
    pub(super) fn observe(&mut self, record: &DecisionRecord) {
        if self.counted.call(record.id) {
            observe(&mut self.evidence, record);
        }
    }

    /// Takes a verdict in, once. False where an earlier one on the same answer says otherwise.
    fn judge(&mut self, record: &DecisionRecord) -> bool {
        let (Some(by), Some(outcome)) = (record.answered_by(), &record.outcome) else {
            return true;
        };
        match self.counted.verdicts.insert(record.id, outcome.good) {
            None => {
                self.evidence
                    .judge(&by.model, &record.bucket, outcome.good, outcome.at);
                true
            }
            Some(before) => before == outcome.good,
        }
    }
}

/// What is in the evidence already.
#[derive(Debug, Default)]
struct Counted {
    /// The verdict that was read last, by its number.
    newest: Option<(u64, DecisionId)>,
    verdicts: HashMap<DecisionId, bool>,
    calls: HashSet<DecisionId>,
    order: VecDeque<DecisionId>,
}

impl Counted {
    /// Whether a call is counted for the first time.
    fn call(&mut self, id: DecisionId) -> bool {
        if !self.calls.insert(id) {
            return false;
        }
        self.order.push_back(id);
        if self.order.len() > COUNTED_CALLS
            && let Some(oldest) = self.order.pop_front()
        {
            self.calls.remove(&oldest);
        }
        true
    }
}

fn observe(evidence: &mut Evidence, record: &DecisionRecord) {
    for one in &record.tries {
        if matches!(one.end, TryEnd::Answered | TryEnd::Escalated) {
            evidence.observe(&one.model, &record.bucket, one.millis, one.usage);
        }
    }
}

impl Router {
    /// Sees to it that enough is known to choose: the first time by reading the store, later by having what is new read behind
    /// the calls.
    pub(super) async fn learn(&self) {
        let now = self.inner.clock.elapsed();
        let read_at = lock(&self.inner.known).read_at;
        match read_at {
            Some(at) if now.saturating_sub(at) < FRESH_FOR => {}
            Some(_) => {
                // Who finds another reading goes on with what is known.
                if let Ok(turn) = Arc::clone(&self.inner.reading).try_lock_owned() {
                    self.read_behind(turn, now, true);
                }
            }
            None => {
                let turn = Arc::clone(&self.inner.reading).lock_owned().await;
                if lock(&self.inner.known).read_at.is_some() {
                    return;
                }
                note(self.read_all().await);
                self.read_behind(turn, now, false);
            }
        }
    }

    /// Asks for prices in a task of its own, and reads `more` that is new.
    fn read_behind(&self, turn: OwnedMutexGuard<()>, now: Duration, more: bool) {
        // Nobody else begins while this one is at it, nor again at once when it fails.
        lock(&self.inner.known).read_at = Some(now);
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        let router = self.clone();
        runtime.spawn(async move {
            if more {
                note(router.read_new().await);
            }
            router.ask_prices().await;
            drop(turn);
        });
    }

    /// Reads everything that counts.
    async fn read_all(&self) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let verdicts = store.list_verdicts(None, REMEMBERED).await?;
        let recent = store
            .list_decisions(&DecisionFilter::default(), None, RECENT)
            .await?;
        let mut fresh = Known::new(self.inner.policy.fade);
        for record in recent.iter().rev() {
            fresh.observe(record);
        }
        for (number, record) in &verdicts {
            fresh.judge(record);
            fresh.counted.newest = Some((*number, record.id));
        }
        let (calibrations, shares) = read_notes(&**store).await?;
        let mut known = lock(&self.inner.known);
        (known.evidence, known.counted) = (fresh.evidence, fresh.counted);
        (known.calibrations, known.shares) = (calibrations, shares);
        Ok(())
    }

    /// Reads what came since the last time; everything, where that cannot be told.
    async fn read_new(&self) -> Result<(), StoreError> {
        let store = &self.inner.store;
        let newest = lock(&self.inner.known).counted.newest;
        let from = newest.map_or(0, |(number, _)| number);
        let verdicts = store.list_verdicts(Some(from), REMEMBERED).await?;
        let is_joined = newest.is_none_or(|last| {
            verdicts
                .iter()
                .any(|(number, record)| (*number, record.id) == last)
        });
        if !is_joined || verdicts.len() >= REMEMBERED as usize {
            return self.read_all().await;
        }
        let recent = store
            .list_decisions(&DecisionFilter::default(), None, RECENT)
            .await?;
        let (calibrations, shares) = read_notes(&**store).await?;
        let is_whole = {
            let mut known = lock(&self.inner.known);
            for record in recent.iter().rev() {
                known.observe(record);
            }
            let mut is_whole = known.counted.verdicts.len() < 2 * REMEMBERED as usize;
            for (number, record) in &verdicts {
                is_whole &= known.judge(record);
                known.counted.newest = Some((*number, record.id));
            }
            (known.calibrations, known.shares) = (calibrations, shares);
            is_whole
        };
        // A verdict that replaces another is in the evidence twice.
        if is_whole { Ok(()) } else { self.read_all().await }
    }

    /// What each backend's tokens cost, as far as it is known. Nobody is asked and waited for but where it is `needed`.
    pub(super) async fn prices(&self, needed: bool) -> Arc<[Option<TokenPrice>]> {
        let known = lock(&self.inner.known).prices.clone();
        match known {
            Some(prices) => prices,
            None if needed => self.ask_prices().await,
            None => Arc::default(),
        }
    }

    async fn ask_prices(&self) -> Arc<[Option<TokenPrice>]> {
        let asked = self.inner.backends.iter().map(|backend| backend.price());
        let prices: Arc<[Option<TokenPrice>]> = futures::future::join_all(asked).await.into();
        lock(&self.inner.known).prices = Some(Arc::clone(&prices));
        prices
    }

    /// What the caps on inference leave, in billionths of a dollar. An older figure is replaced behind the call: it is the
    /// reservation that keeps a cap.
    pub(super) async fn room(&self) -> Option<f64> {
        self.inner.ledger.as_ref()?;
        let now = self.inner.clock.elapsed();
        let known = lock(&self.inner.known).room;
        let Some((at, room)) = known else {
            return self.ask_room(now).await;
        };
        if now.saturating_sub(at) >= ROOM_FRESH_FOR
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            lock(&self.inner.known).room = Some((now, room));
            let router = self.clone();
            runtime.spawn(async move { router.ask_room(now).await });
        }
        room
    }

    async fn ask_room(&self, now: Duration) -> Option<f64> {
        // A budget that cannot be read is asked again at the reservation.
        let overview = self.inner.ledger.as_ref()?.overview(None).await.ok()?;
        let left = [CapScope::One(Service::Inference), CapScope::All]
            .into_iter()
            .filter_map(|scope| overview.tightest(scope)?.left())
            .min();
        let room = left.map(|left| left.get() as f64 * 1e3);
        lock(&self.inner.known).room = Some((now, room));
        room
    }

    /// Takes a verdict: a test, a judge or a person found whether an answer was right.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn report(
        &self,
        id: DecisionId,
        outcome: VerifiedOutcome,
    ) -> Result<DecisionRecord, StoreError> {
        self.flush().await?;
        let before = self.inner.store.find_decision(id).await?;
        let is_first = before.is_some_and(|it| it.outcome.is_none());
        let record = self.inner.store.judge_decision(id, &outcome).await?;
        if is_first {
            lock(&self.inner.known).judge(&record);
            self.move_share(&record, outcome.good).await?;
        } else if lock(&self.inner.known).read_at.is_some() {
            // A verdict that replaces another is counted when everything is read anew.
            let _turn = self.inner.reading.lock().await;
            self.read_all().await?;
        }
        Ok(record)
    }

    /// A verdict on the student's answer moves its share, where the share decided. The store moves it, so that verdicts which
    /// several processes take at a time all count.
    async fn move_share(&self, record: &DecisionRecord, good: bool) -> Result<(), StoreError> {
        let Some(RoutingStrategy::Progressive { quality_floor }) = record.strategy else {
            return Ok(());
        };
        let by = record.answered_by();
        let Some(by) = by.filter(|by| by.role == BackendRole::Student) else {
            return Ok(());
        };
        let step = |note: Option<serde_json::Value>| {
            let known = note.and_then(|note| serde_json::from_value::<Share>(note).ok());
            let mut share = known.unwrap_or_default();
            share.judge(good, quality_floor);
            serde_json::to_value(share).unwrap_or_default()
        };
        let name = format!("{SHARE}{}", by.model);
        let moved = self.inner.store.change_route_note(&name, &step).await?;
        if let Ok(share) = serde_json::from_value::<Share>(moved) {
            tracing::debug!(
                model = by.model,
                share = share.of_requests,
                "the student's share of requests"
            );
            lock(&self.inner.known).shares.insert(by.model.clone(), share);
        }
        Ok(())
    }

    /// Keeps what a model's confidence is worth.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn calibrate(&self, model: &str, mut calibration: Calibration) -> Result<(), StoreError> {
        calibration.at = calibration.at.or_else(|| Some(self.inner.clock.now()));
        let note = serde_json::to_value(&calibration).unwrap_or_default();
        let name = format!("{CALIBRATION}{model}");
        self.inner.store.put_route_note(&name, &note).await?;
        let calibration = Arc::new(calibration);
        lock(&self.inner.known)
            .calibrations
            .insert(model.to_owned(), calibration);
        Ok(())
    }
}

/// What stands before the model in the name of a note.
const CALIBRATION: &str = "calibration ";
const SHARE: &str = "share ";

pub(super) async fn read_notes(
    store: &dyn RouteStore,
) -> Result<(HashMap<String, Arc<Calibration>>, HashMap<String, Share>), StoreError> {
    let (mut calibrations, mut shares) = (HashMap::new(), HashMap::new());
    for (name, note) in store.route_notes().await? {
        if let Some(model) = name.strip_prefix(CALIBRATION) {
            if let Ok(calibration) = serde_json::from_value::<Calibration>(note) {
                calibrations.insert(model.to_owned(), Arc::new(calibration));
            }
        } else if let Some(model) = name.strip_prefix(SHARE)
            && let Ok(share) = serde_json::from_value::<Share>(note)
        {
            shares.insert(model.to_owned(), share);
        }
    }
    Ok((calibrations, shares))
}

/// What is kept of a model beside its decisions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelNote {
    /// The model.
    pub model: String,
    /// What its confidence is worth, where that was measured.
    pub calibration: Option<Calibration>,
    /// Its share of requests under [`RoutingStrategy::Progressive`], 0 to 1, where verdicts moved it.
    pub share: Option<f64>,
}

/// Lists what is kept of models, by name.
///
/// # Errors
/// [`StoreError`].
pub async fn model_notes(store: &dyn RouteStore) -> Result<Vec<ModelNote>, StoreError> {
    let (calibrations, shares) = read_notes(store).await?;
    let models: BTreeSet<&String> = calibrations.keys().chain(shares.keys()).collect();
    let note = |model: &String| ModelNote {
        model: model.clone(),
        calibration: calibrations.get(model).map(|it| Calibration::clone(it)),
        share: shares.get(model).map(|it| it.of_requests),
    };
    Ok(models.into_iter().map(note).collect())
}

/// Raw confidences of a model's answers that somebody judged, and whether they were right; of the newest verdicts.
///
/// # Errors
/// [`StoreError`].
pub async fn judged_confidences(store: &dyn RouteStore, model: &str) -> Result<Vec<(f64, bool)>, StoreError> {
    let verdicts = store.list_verdicts(None, REMEMBERED).await?;
    let found = verdicts.iter().filter_map(|(_, record)| {
        let by = record.answered_by().filter(|by| by.model == model)?;
        let confidence = by.confidence.filter(|it| it.signal == Signal::Logprobs)?;
        Some((confidence.raw, record.outcome.as_ref()?.good))
    });
    Ok(found.collect())
}

fn note(read: Result<(), StoreError>) {
    if let Err(error) = read {
        tracing::warn!(%error, "what is known of models could not be read; the router goes on without it");
    }
}
