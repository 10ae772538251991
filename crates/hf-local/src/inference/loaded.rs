//! Models in memory: a few at a time, the one that was not used for longest makes room.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::engine::{InferenceEngine, LoadedModel, ModelPlan, StopWatch};
use super::error::{Answer, Refusal};
use super::files;
use super::scripted::ScriptedProviders;
use crate::git::Oid;
use crate::reply::{HubError, HubResult};
use crate::repos::{Cache, Commit};
use crate::state::Hub;

/// Models in memory at a time.
const MAX_LOADED: usize = 2;
/// A model that takes more memory is not loaded.
const MAX_MODEL_BYTES: u64 = 8 << 30;
/// Requests that wait for a thread to run on, at most.
const MAX_WAITING: usize = 64;

type Slot = Arc<OnceCell<Arc<dyn LoadedModel>>>;

/// What a model showed of itself lately.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    pub(super) first_token_ms: f64,
    pub(super) tokens_per_second: f64,
}

/// The inference of a Hub.
pub(crate) struct Inference {
    engine: Option<Arc<dyn InferenceEngine>>,
    plans: Cache<Oid, Option<Arc<ModelPlan>>>,
    measured: Cache<Oid, Measured>,
    /// The model used last comes last.
    slots: Mutex<Vec<(Oid, Slot)>>,
    threads: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    /// Loading takes more memory than having loaded: one at a time.
    loading: Semaphore,
    pub(super) scripted: ScriptedProviders,
}

impl std::fmt::Debug for Inference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inference")
            .field("engine", &self.engine)
            .finish_non_exhaustive()
    }
}

/// The right to run on a thread; ends the work when it is dropped.
pub(super) struct Turn {
    _thread: OwnedSemaphorePermit,
}

/// Ends the work of a request when the request goes away.
pub(super) struct Watched {
    token: CancellationToken,
}

impl Watched {
    pub(super) fn new(closing: &CancellationToken) -> Self {
        Self {
            token: closing.child_token(),
        }
    }

    pub(super) fn watch(&self) -> StopWatch {
        StopWatch::new(self.token.clone())
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl Inference {
    pub(crate) fn new(engine: Option<Arc<dyn InferenceEngine>>, scripted: ScriptedProviders) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            engine,
            plans: Cache::new(20_000),
            measured: Cache::new(2_000),
            slots: Mutex::default(),
            threads: Arc::new(Semaphore::new(cores)),
            waiting: Arc::new(Semaphore::new(MAX_WAITING + cores)),
            loading: Semaphore::new(1),
            scripted,
        }
    }

    /// Whether anything runs models here.
    pub(crate) fn has_engine(&self) -> bool {
        self.engine.is_some()
    }

    /// Forgets a model. It lives on until the last answer it is giving ends.
    pub(super) fn unload(&self, oid: Oid) {
        self.slots().retain(|(other, _)| *other != oid);
    }

    /// The scripted providers, which tests and people control.
    pub(crate) fn scripted(&self) -> &ScriptedProviders {
        &self.scripted
    }

    /// How the engine would serve a commit; none if it can't, or there is no engine.
    pub(super) async fn plan(&self, hub: &Hub, commit: &Commit) -> HubResult<Option<Arc<ModelPlan>>> {
        let Some(engine) = &self.engine else {
            return Ok(None);
        };
        if let Some(plan) = self.plans.get(&commit.oid, |_| 1) {
            return Ok(plan);
        }
        let plan = engine
            .plan(&files::listing(hub, commit).await?)
            .filter(|plan| plan.memory_bytes <= MAX_MODEL_BYTES)
            .map(Arc::new);
        self.plans.insert(commit.oid, plan.clone(), 1);
        Ok(plan)
    }

    /// Gives the model of a commit, loaded once however many ask for it.
    pub(super) async fn model(
        &self,
        hub: &Arc<Hub>,
        commit: &Commit,
        plan: &Arc<ModelPlan>,
    ) -> Answer<Arc<dyn LoadedModel>> {
        let slot = self.slot(commit.oid);
        let loaded = slot.get_or_try_init(|| self.load(hub, commit, plan)).await;
        if loaded.is_err() {
            self.slots()
                .retain(|(oid, other)| *oid != commit.oid || other.initialized());
        }
        loaded.cloned()
    }

    async fn load(
        &self,
        hub: &Arc<Hub>,
        commit: &Commit,
        plan: &Arc<ModelPlan>,
    ) -> Answer<Arc<dyn LoadedModel>> {
        let Some(engine) = self.engine.clone() else {
            return Err(Refusal::busy());
        };
        let _alone = self
            .loading
            .acquire()
            .await
            .map_err(|error| HubError::internal(&error))?;
        let folder = tempfile::Builder::new()
            .prefix("model-")
            .tempdir_in(hub.dirs.temp())
            .map_err(HubError::from)?;
        files::lay_out(hub, commit, plan, folder.path()).await?;
        let plan = Arc::clone(plan);
        let loaded = tokio::task::spawn_blocking(move || {
            let loaded = engine.load(folder.path(), &plan);
            drop(folder);
            loaded
        })
        .await
        .map_err(|error| HubError::internal(&error))?;
        Ok(loaded?)
    }

    fn slot(&self, oid: Oid) -> Slot {
        let mut slots = self.slots();
        let slot = match slots.iter().position(|(other, _)| *other == oid) {
            Some(at) => slots.remove(at).1,
            None => Slot::default(),
        };
        // A model that is dropped here lives on until the last answer it is giving ends.
        while slots.len() >= MAX_LOADED {
            slots.remove(0);
        }
        slots.push((oid, Arc::clone(&slot)));
        slot
    }

    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<(Oid, Slot)>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a thread to run on.
    ///
    /// # Errors
    /// 503 when many wait already.
    pub(super) async fn turn(&self) -> Answer<Turn> {
        let _place = Arc::clone(&self.waiting)
            .try_acquire_owned()
            .map_err(|_| Refusal::busy())?;
        let thread = Arc::clone(&self.threads)
            .acquire_owned()
            .await
            .map_err(|error| HubError::internal(&error))?;
        Ok(Turn { _thread: thread })
    }

    pub(super) fn measured(&self, oid: Oid) -> Option<Measured> {
        self.measured.get(&oid, |_| 1)
    }

    pub(super) fn measure(&self, oid: Oid, measured: Measured) {
        self.measured.insert(oid, measured, 1);
    }
}
