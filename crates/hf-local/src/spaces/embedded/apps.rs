//! The apps of a Hub that run in this process.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;

use super::run::{AppRun, Key, Phase, Served};
use super::space_file::{self, SpaceFile};
use super::start;
use crate::reply::{HubError, HubResult};
use crate::repos::{Commit, Repo};
use crate::state::{AppState, Hub};

/// How often it is looked who can sleep.
const TICK: Duration = Duration::from_secs(30);
/// How long a visitor waits for an app that starts.
const PATIENCE: Duration = Duration::from_mins(5);

/// The apps of a Hub.
#[derive(Debug)]
pub(crate) struct Apps {
    /// By the id of the repository.
    runs: Mutex<HashMap<String, Entry>>,
    opened_ms: i64,
}

#[derive(Debug)]
struct Entry {
    run: Arc<AppRun>,
    sleep_ms: Option<i64>,
}

/// A Space as it is to run.
#[derive(Clone, Debug)]
pub(in crate::spaces) struct Want<'a> {
    pub(in crate::spaces) repo: &'a Repo,
    pub(in crate::spaces) head: &'a Commit,
    /// When it was last started again.
    pub(in crate::spaces) started_ms: i64,
    /// Seconds without a visitor until it sleeps.
    pub(in crate::spaces) sleep_s: Option<i64>,
}

impl Want<'_> {
    fn key(&self) -> Key {
        Key {
            commit: self.head.oid,
            started_ms: self.started_ms,
        }
    }
}

impl Apps {
    pub(crate) fn new(opened_ms: i64) -> Self {
        Self {
            runs: Mutex::default(),
            opened_ms,
        }
    }

    /// The run of a Space; none if this runtime is not for it. A commit or a start that was not seen yet begins to run; what ran
    /// before this Hub was started sleeps.
    pub(in crate::spaces) async fn look(
        &self,
        hub: &AppState,
        want: &Want<'_>,
    ) -> HubResult<Option<Arc<AppRun>>> {
        if !hub.inference.has_engine() {
            return Ok(None);
        }
        let text = hub.text_file(want.head.tree, space_file::NAME).await?;
        let Some(file) = text.as_deref().and_then(SpaceFile::parse) else {
            self.stop(hub, &want.repo.oid);
            return Ok(None);
        };
        let now = hub.clock.now_ms();
        let mut runs = self.runs();
        let (before, sessions) = match runs.get_mut(&want.repo.oid) {
            Some(entry) if entry.run.key == want.key() => {
                entry.sleep_ms = want.sleep_s.map(|seconds| seconds.saturating_mul(1_000));
                rest(hub, entry, now);
                return Ok(Some(Arc::clone(&entry.run)));
            }
            Some(entry) => (entry.run.served(), Arc::clone(&entry.run.sessions)),
            None => (None, Arc::default()),
        };
        let ran_before = before.is_none()
            && !runs.contains_key(&want.repo.oid)
            && want.started_ms.max(want.head.at_ms) < self.opened_ms;
        let phase = if ran_before {
            Phase::Asleep
        } else {
            Phase::Building
        };
        let run = Arc::new(AppRun::new(want.key(), phase, before, sessions, now));
        let entry = Entry {
            run: Arc::clone(&run),
            sleep_ms: want.sleep_s.map(|seconds| seconds.saturating_mul(1_000)),
        };
        runs.insert(want.repo.oid.clone(), entry);
        drop(runs);
        if !ran_before {
            start::begin(hub, &run, want, file);
        }
        Ok(Some(run))
    }

    /// What answers for a Space: waits for an app that starts, and wakes one that sleeps.
    ///
    /// # Errors
    /// 503 with the stage and the reason.
    pub(in crate::spaces) async fn answering(
        &self,
        hub: &AppState,
        want: &Want<'_>,
        mut run: Arc<AppRun>,
    ) -> HubResult<(Arc<AppRun>, Arc<Served>)> {
        if matches!(run.phase(), Phase::Asleep) {
            let text = hub.text_file(want.head.tree, space_file::NAME).await?;
            let Some(file) = text.as_deref().and_then(SpaceFile::parse) else {
                return Err(unavailable("SLEEPING", "its space.json is gone"));
            };
            run = self.wake(hub, want, file);
        }
        run.touch(hub.clock.now_ms());
        let mut phases = run.phase.subscribe();
        let settled = phases
            .wait_for(|phase| run.served().is_some() || !matches!(phase, Phase::Building | Phase::Starting));
        let waited = tokio::select! {
            waited = tokio::time::timeout(PATIENCE, settled) => waited.is_ok(),
            () = hub.closing.cancelled() => false,
        };
        if !waited {
            return Err(
                unavailable("APP_STARTING", "the model is still loaded; try again")
                    .with_header(RETRY_AFTER, "10"),
            );
        }
        match (run.served(), run.phase()) {
            (Some(served), _) => Ok((run, served)),
            (None, Phase::Failed(why)) => Err(unavailable("RUNTIME_ERROR", &why)),
            (None, _) => {
                Err(unavailable("SLEEPING", "it fell asleep; try again").with_header(RETRY_AFTER, "1"))
            }
        }
    }

    fn wake(&self, hub: &AppState, want: &Want<'_>, file: SpaceFile) -> Arc<AppRun> {
        let mut runs = self.runs();
        let sessions = match runs.get(&want.repo.oid) {
            Some(entry) if entry.run.key == want.key() && !matches!(entry.run.phase(), Phase::Asleep) => {
                return Arc::clone(&entry.run);
            }
            Some(entry) => Arc::clone(&entry.run.sessions),
            None => Arc::default(),
        };
        let now = hub.clock.now_ms();
        let run = Arc::new(AppRun::new(want.key(), Phase::Building, None, sessions, now));
        let entry = Entry {
            run: Arc::clone(&run),
            sleep_ms: want.sleep_s.map(|seconds| seconds.saturating_mul(1_000)),
        };
        runs.insert(want.repo.oid.clone(), entry);
        drop(runs);
        start::begin(hub, &run, want, file);
        run
    }

    /// Ends the app of a Space that is paused, removed, or not of the template any more.
    pub(crate) fn stop(&self, hub: &Hub, repo: &str) {
        if let Some(entry) = self.runs().remove(repo) {
            entry.run.sessions.close();
            if let Some(served) = entry.run.served() {
                served.model.unload(hub);
            }
        }
    }

    /// Whether a run is still the one that is wanted.
    pub(super) fn is_current(&self, repo: &str, run: &Arc<AppRun>) -> bool {
        self.runs()
            .get(repo)
            .is_some_and(|entry| Arc::ptr_eq(&entry.run, run))
    }

    fn runs(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those sleep whom nobody visits, until the Hub shuts down.
    pub(crate) async fn keep_resting(hub: AppState) {
        loop {
            tokio::select! {
                () = hub.closing.cancelled() => break,
                () = tokio::time::sleep(TICK) => {}
            }
            let now = hub.clock.now_ms();
            for entry in hub.apps.runs().values() {
                entry.run.sessions.sweep(now);
                rest(&hub, entry, now);
            }
        }
        for entry in hub.apps.runs().values() {
            entry.run.sessions.close();
        }
    }
}

/// Puts an app to sleep that nobody visited for long enough.
fn rest(hub: &Hub, entry: &Entry, now_ms: i64) {
    let Phase::Running(served) = entry.run.phase() else {
        return;
    };
    let idle = now_ms.saturating_sub(entry.run.used_ms());
    if entry.run.sessions.is_busy() || entry.sleep_ms.is_none_or(|sleep| sleep < 0 || idle < sleep) {
        return;
    }
    entry.run.run_line(
        now_ms,
        format!("No visitor for {} s: asleep, the model is let go", idle / 1_000),
    );
    entry.run.go(Phase::Asleep);
    served.model.unload(hub);
}

pub(super) fn unavailable(stage: &str, why: &str) -> HubError {
    HubError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("The app does not answer, its stage is {stage}: {why}"),
    )
}
