//! Looks at the Spaces that are about to change, and logs what becomes of them. Nothing is asked while none is.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bashgym_core::events::{EventLog, NewEvent};
use bashgym_core::space::SpaceNews;
use hf_core::{HfError, RepoId, SecretValue};
use hf_spaces::{HfSpaceManager, SpaceRuntime, SpaceStage};
use tokio::sync::Notify;

use crate::state::AppState;

/// The pause between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// The same on a Hub of this machine.
const LOOK_HERE: Duration = Duration::from_millis(500);
/// How often a settled stage is looked at again: what was asked for may begin some time later.
const SETTLED_LOOKS: u32 = 6;
/// How often a look may fail before the Space is looked at no more.
const FAILED_LOOKS: u32 = 60;

/// What this server knows of Spaces beyond one request.
#[derive(Default)]
pub(crate) struct SpaceWatch {
    news: SpaceNews,
    watched: Mutex<HashMap<RepoId, Look>>,
    more: Notify,
    secrets: Mutex<HashMap<String, BTreeMap<String, SecretValue>>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Look {
    settled: u32,
    failed: u32,
}

impl SpaceWatch {
    /// Looks at a Space until it has settled.
    pub(crate) fn watch(&self, id: &RepoId) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.insert(id.clone(), Look::default());
        drop(watched);
        self.more.notify_one();
    }

    /// A Space was changed by us: what is seen next is news.
    pub(crate) fn changed(&self, id: &RepoId) {
        self.news.changed(id.as_str());
        self.watch(id);
    }

    /// Takes in how a Space stands.
    pub(crate) async fn see(&self, log: &dyn EventLog, id: &RepoId, runtime: &SpaceRuntime) {
        tell(log, self.news.see(id.as_str(), runtime)).await;
        if runtime.stage.is_changing() {
            let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
            if !watched.contains_key(id) {
                watched.insert(id.clone(), Look::default());
                self.more.notify_one();
            }
        }
    }

    /// Takes in a stage that a deployment told.
    pub(crate) async fn see_stage(&self, log: &dyn EventLog, id: &RepoId, stage: &SpaceStage) {
        tell(log, self.news.see_stage(id.as_str(), stage)).await;
    }

    /// A Space is gone.
    pub(crate) async fn deleted(&self, log: &dyn EventLog, id: &RepoId) {
        self.forget(id);
        tell(log, Some(self.news.deleted(id.as_str()))).await;
    }

    fn forget(&self, id: &RepoId) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.remove(id);
    }

    /// Keeps the values of a new Space's secrets until its task takes them: a task is stored, a secret is not.
    pub(crate) fn keep_secrets(&self, id: &RepoId, secrets: BTreeMap<String, SecretValue>) {
        let mut kept = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        kept.insert(id.to_string(), secrets);
    }

    /// The values that were kept; none once they were dropped, or in another process than was asked.
    pub(crate) fn secrets(&self, id: &RepoId) -> Option<BTreeMap<String, SecretValue>> {
        let kept = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        kept.get(id.as_str()).cloned()
    }

    /// Forgets them.
    pub(crate) fn drop_secrets(&self, id: &RepoId) {
        let mut kept = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        kept.remove(id.as_str());
    }

    fn ids(&self) -> Vec<RepoId> {
        let watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        watched.keys().cloned().collect()
    }

    /// Notes how a look went, and drops what need not be looked at any more.
    fn looked(&self, id: &RepoId, seen: &Result<SpaceRuntime, HfError>) {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(look) = watched.get_mut(id) else {
            return;
        };
        match seen {
            Ok(runtime) => {
                look.failed = 0;
                look.settled = if runtime.stage.is_changing() {
                    0
                } else {
                    look.settled + 1
                };
            }
            Err(_) => look.failed += 1,
        }
        let missing = matches!(seen, Err(HfError::NotFound { .. }));
        if missing || look.settled > SETTLED_LOOKS || look.failed > FAILED_LOOKS {
            watched.remove(id);
        }
    }
}

async fn tell(log: &dyn EventLog, event: Option<NewEvent>) {
    if let Some(event) = event
        && let Err(error) = log.append(&[event]).await
    {
        tracing::warn!(%error, "what a Space does could not be logged");
    }
}

/// Looks until the server ends.
pub(crate) async fn run(state: AppState) {
    let watch = &state.spaces;
    while !state.ending.is_cancelled() {
        if watch.ids().is_empty() {
            tokio::select! {
                () = watch.more.notified() => {}
                () = state.ending.cancelled() => return,
            }
            continue;
        }
        let mut pause = LOOK;
        match state.parts.composition.connect().await {
            Ok(hub) => {
                if hub.client.endpoint().is_loopback() {
                    pause = LOOK_HERE;
                }
                let spaces = HfSpaceManager::new(&hub.client, hub.namespace.clone());
                let log = state.parts.events.as_ref();
                for id in watch.ids() {
                    let seen = state
                        .ending
                        .run_until_cancelled(spaces.get_space_status(&id))
                        .await;
                    let Some(seen) = seen else { return };
                    if let Ok(runtime) = &seen {
                        watch.see(log, &id, runtime).await;
                    }
                    watch.looked(&id, &seen);
                }
            }
            Err(problem) => tracing::warn!(why = problem.detail(), "Spaces cannot be looked at now"),
        }
        tokio::select! {
            () = state.parts.clock.sleep(pause) => {}
            () = state.ending.cancelled() => {}
        }
    }
}
