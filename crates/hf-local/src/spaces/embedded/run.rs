//! One run of an app: its phase, its logs, and who waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::queue::Sessions;
use super::space_file::SpaceFile;
use crate::git::Oid;
use crate::inference::AppModel;

/// Lines a log keeps.
const MAX_LINES: usize = 1_000;

/// Which start of which commit a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) commit: Oid,
    pub(super) started_ms: i64,
}

/// A model that answers for a Space.
#[derive(Debug)]
pub(crate) struct Served {
    pub(super) file: SpaceFile,
    pub(super) model: AppModel,
    /// The commit of the Space.
    pub(super) commit: Oid,
}

/// Where a run is.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Building,
    Starting,
    Running(Arc<Served>),
    Failed(String),
    Asleep,
}

/// A line of a log, and when it was written.
pub(crate) type Line = (i64, String);

/// A run.
#[derive(Debug)]
pub(crate) struct AppRun {
    pub(super) key: Key,
    pub(super) phase: watch::Sender<Phase>,
    /// What answered before, while this run is not there yet.
    before: Mutex<Option<Arc<Served>>>,
    build_log: Mutex<VecDeque<Line>>,
    run_log: Mutex<VecDeque<Line>>,
    used_ms: AtomicI64,
    /// Shared by the runs of one Space: an answer outlives a new commit.
    pub(super) sessions: Arc<Sessions>,
}

impl AppRun {
    pub(super) fn new(
        key: Key,
        phase: Phase,
        before: Option<Arc<Served>>,
        sessions: Arc<Sessions>,
        now_ms: i64,
    ) -> Self {
        Self {
            key,
            phase: watch::Sender::new(phase),
            before: Mutex::new(before),
            build_log: Mutex::default(),
            run_log: Mutex::default(),
            used_ms: AtomicI64::new(now_ms),
            sessions,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// The commit of the Space that answers now.
    pub(crate) fn serves(&self) -> Option<Oid> {
        self.served().map(|served| served.commit)
    }

    /// What answers now.
    pub(super) fn served(&self) -> Option<Arc<Served>> {
        match &*self.phase.borrow() {
            Phase::Running(served) => Some(Arc::clone(served)),
            Phase::Building | Phase::Starting => lock(&self.before).clone(),
            Phase::Failed(_) | Phase::Asleep => None,
        }
    }

    /// Goes on to a phase; gives back what answered before, once it is not needed any more.
    pub(super) fn go(&self, phase: Phase) -> Option<Arc<Served>> {
        let is_over = !matches!(phase, Phase::Building | Phase::Starting);
        self.phase.send_replace(phase);
        is_over.then(|| lock(&self.before).take()).flatten()
    }

    /// Notes that somebody asked something.
    pub(super) fn touch(&self, now_ms: i64) {
        self.used_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    pub(super) fn used_ms(&self) -> i64 {
        self.used_ms.load(Ordering::Relaxed)
    }

    pub(super) fn build_line(&self, at_ms: i64, text: impl Into<String>) {
        push(&self.build_log, at_ms, text.into());
    }

    pub(super) fn run_line(&self, at_ms: i64, text: impl Into<String>) {
        push(&self.run_log, at_ms, text.into());
    }

    /// The lines of the build.
    pub(crate) fn build_log(&self) -> Vec<Line> {
        lock(&self.build_log).iter().cloned().collect()
    }

    /// The lines of the app.
    pub(crate) fn run_log(&self) -> Vec<Line> {
        lock(&self.run_log).iter().cloned().collect()
    }
}

fn push(log: &Mutex<VecDeque<Line>>, at_ms: i64, text: String) {
    let mut log = lock(log);
    if log.len() >= MAX_LINES {
        log.pop_front();
    }
    log.push_back((at_ms, text));
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
