//! The apps of a Hub that run: with their model in this process, or as processes of their own.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio_util::task::TaskTracker;

use super::embedded;
use super::process;
use super::run::{AppRun, Key, Nature, Phase, Served};
use super::setup::Setup;
use crate::app::SpaceFile;
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
    /// The values of secrets, by the id of the repository: never on disk.
    secrets: Mutex<HashMap<String, BTreeMap<String, String>>>,
    /// What starts or runs.
    tasks: TaskTracker,
    opened_ms: i64,
}

#[derive(Debug)]
struct Entry {
    run: Arc<AppRun>,
    sleep_ms: Option<i64>,
}

/// A Space as it is to run.
#[derive(Clone, Debug)]
pub(super) struct Want<'a> {
    pub(super) repo: &'a Repo,
    pub(super) head: &'a Commit,
    /// When it was last started again.
    pub(super) started_ms: i64,
    /// Seconds without a visitor until it sleeps.
    pub(super) sleep_s: Option<i64>,
}

/// How a Space is to be run.
enum Recipe {
    /// By loading the model that its `space.json` names.
    Student(SpaceFile),
    /// By running its code.
    Process,
}

impl Recipe {
    /// How this Hub runs a Space; none when it does not.
    async fn of(hub: &AppState, want: &Want<'_>) -> HubResult<Option<Self>> {
        if hub.inference.has_engine()
            && let Some(file) = embedded::space_file(hub, want.head).await?
        {
            return Ok(Some(Self::Student(file)));
        }
        let is_python = want.repo.sdk.as_deref() == Some("gradio");
        Ok((is_python && hub.uv.is_some()).then_some(Self::Process))
    }

    fn nature(&self) -> Nature {
        match self {
            Self::Student(_) => Nature::Embedded,
            Self::Process => Nature::Process,
        }
    }

    /// Starts a run, in the background.
    fn begin(self, hub: &AppState, run: &Arc<AppRun>, want: &Want<'_>) {
        let (hub, run) = (Arc::clone(hub), Arc::clone(run));
        let (repo, head) = (want.repo.clone(), want.head.clone());
        // At once: whoever looks at the log of a run finds out what it is.
        let now = hub.clock.now_ms();
        run.build_line(now, format!("===== {} =====", run.nature.words()));
        run.build_line(now, format!("Commit {}", head.oid));
        let tasks = hub.apps.tasks.clone();
        tasks.spawn(async move {
            let stop = run.stop.clone();
            let old = match self {
                Self::Student(file) => tokio::select! {
                    () = hub.closing.cancelled() => return,
                    () = stop.cancelled() => return,
                    old = embedded::start(&hub, &run, &repo, &head, file) => old,
                },
                // It leaves no process behind when it is stopped.
                Self::Process => process::start(&hub, &run, &repo, &head).await,
            };
            let current = hub.apps.is_current(&repo.oid, &run);
            match (run.phase(), old) {
                // Paused, removed or replaced meanwhile.
                (Phase::Running(served), _) if !current => served.unload(&hub, None),
                // What answered before is not needed any more, unless it is made of the same.
                (Phase::Running(served), Some(old)) => old.unload(&hub, Some(&served)),
                (_, Some(old)) if current => old.unload(&hub, None),
                _ => {}
            }
        });
    }
}

impl Want<'_> {
    fn key(&self) -> Key {
        Key {
            commit: self.head.oid,
            started_ms: self.started_ms,
        }
    }

    fn sleep_ms(&self) -> Option<i64> {
        self.sleep_s.map(|seconds| seconds.saturating_mul(1_000))
    }

    /// Makes a run the Space's own.
    fn put(&self, runs: &mut HashMap<String, Entry>, run: AppRun) -> Arc<AppRun> {
        let run = Arc::new(run);
        let entry = Entry {
            run: Arc::clone(&run),
            sleep_ms: self.sleep_ms(),
        };
        runs.insert(self.repo.oid.clone(), entry);
        run
    }
}

impl Apps {
    pub(crate) fn new(opened_ms: i64) -> Self {
        Self {
            runs: Mutex::default(),
            secrets: Mutex::default(),
            tasks: TaskTracker::new(),
            opened_ms,
        }
    }

    /// The run of a Space; none if this runtime is not for it. A commit or a start that was not seen yet begins to run; what ran
    /// before this Hub was started sleeps.
    pub(super) async fn look(&self, hub: &AppState, want: &Want<'_>) -> HubResult<Option<Arc<AppRun>>> {
        let Some(recipe) = Recipe::of(hub, want).await? else {
            self.stop(hub, &want.repo.oid);
            return Ok(None);
        };
        let now = hub.clock.now_ms();
        let mut runs = self.runs();
        let (before, sessions) = match runs.get_mut(&want.repo.oid) {
            Some(entry) if entry.run.key == want.key() => {
                entry.sleep_ms = want.sleep_ms();
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
        let run = AppRun::new(want.key(), recipe.nature(), phase, before, sessions, now);
        let run = want.put(&mut runs, run);
        drop(runs);
        if !ran_before {
            recipe.begin(hub, &run, want);
        }
        Ok(Some(run))
    }

    /// What answers for a Space: waits for an app that starts, and wakes one that sleeps.
    ///
    /// # Errors
    /// 503 with the stage and the reason.
    pub(super) async fn answering(
        &self,
        hub: &AppState,
        want: &Want<'_>,
        mut run: Arc<AppRun>,
    ) -> HubResult<(Arc<AppRun>, Served)> {
        if matches!(run.phase(), Phase::Asleep) {
            let Some(recipe) = Recipe::of(hub, want).await? else {
                return Err(unavailable(
                    "SLEEPING",
                    "there is nothing here any more that runs it",
                ));
            };
            run = self.wake(hub, want, recipe);
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
                unavailable("APP_STARTING", "it still starts; try again").with_header(RETRY_AFTER, "10")
            );
        }
        match (run.served(), run.phase()) {
            (Some(served), _) => Ok((run, served)),
            (None, Phase::Unbuilt(why)) => Err(unavailable("BUILD_ERROR", &why)),
            (None, Phase::Failed(why)) => Err(unavailable("RUNTIME_ERROR", &why)),
            (None, _) => {
                Err(unavailable("SLEEPING", "it fell asleep; try again").with_header(RETRY_AFTER, "1"))
            }
        }
    }

    fn wake(&self, hub: &AppState, want: &Want<'_>, recipe: Recipe) -> Arc<AppRun> {
        let mut runs = self.runs();
        let sessions = match runs.get(&want.repo.oid) {
            Some(entry) if entry.run.key == want.key() && !matches!(entry.run.phase(), Phase::Asleep) => {
                return Arc::clone(&entry.run);
            }
            Some(entry) => Arc::clone(&entry.run.sessions),
            None => Arc::default(),
        };
        let now = hub.clock.now_ms();
        let run = AppRun::new(want.key(), recipe.nature(), Phase::Building, None, sessions, now);
        let run = want.put(&mut runs, run);
        drop(runs);
        recipe.begin(hub, &run, want);
        run
    }

    /// Ends the app of a Space that is paused, removed, or not of the template any more.
    pub(crate) fn stop(&self, hub: &Hub, repo: &str) {
        if let Some(entry) = self.runs().remove(repo) {
            entry.run.sessions.close();
            entry.run.stop.cancel();
            if let Some(served) = entry.run.served() {
                served.unload(hub, None);
            }
        }
    }

    /// Keeps the values of a new Space's secrets, for the processes of this Hub's life.
    pub(crate) fn keep_secrets(&self, repo: &str, setup: Setup) {
        for pair in setup.secrets {
            self.set_secret(repo, pair.key, Some(pair.value));
        }
    }

    /// Sets the value of a secret, or forgets it.
    pub(super) fn set_secret(&self, repo: &str, key: String, value: Option<String>) {
        let mut all = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => {
                all.entry(repo.to_owned()).or_default().insert(key, value);
            }
            None => {
                if let Some(of) = all.get_mut(repo) {
                    of.remove(&key);
                }
            }
        }
    }

    /// The values of a Space's secrets that this Hub was told.
    pub(super) fn secrets(&self, repo: &str) -> BTreeMap<String, String> {
        let all = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(repo).cloned().unwrap_or_default()
    }

    /// Ends the app of a Space that is removed, and forgets its secrets.
    pub(crate) fn forget(&self, hub: &Hub, repo: &str) {
        self.stop(hub, repo);
        let mut all = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(repo);
    }

    /// Waits until every process has ended, once the Hub is closing.
    pub(crate) async fn ended(&self) {
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Kills what runs, at once: for a Hub that goes without a shutdown, whose tasks may go with it.
    pub(crate) fn abandon(&self) {
        for entry in self.runs().values() {
            if let Some(Served::Process(process)) = entry.run.served() {
                process.kill();
            }
        }
    }

    /// Keeps a process until its end.
    pub(super) fn track(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.spawn(task);
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
            entry.run.stop.cancel();
        }
    }
}

/// Puts an app to sleep that nobody visited for long enough.
fn rest(hub: &Hub, entry: &Entry, now_ms: i64) {
    let Phase::Running(served) = entry.run.phase() else {
        return;
    };
    let idle = now_ms.saturating_sub(entry.run.used_ms());
    if entry.run.is_busy() || entry.sleep_ms.is_none_or(|sleep| sleep < 0 || idle < sleep) {
        return;
    }
    entry
        .run
        .run_line(now_ms, format!("No visitor for {} s: asleep", idle / 1_000));
    entry.run.go(Phase::Asleep);
    served.unload(hub, None);
}

pub(super) fn unavailable(stage: &str, why: &str) -> HubError {
    HubError::new(
        StatusCode::SERVICE_UNAVAILABLE,
        format!("The app does not answer, its stage is {stage}: {why}"),
    )
}
