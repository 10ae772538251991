//! One run of an app, in this process or as a process of its own: its phase, its logs, and who waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::embedded::{EMBEDDED, Student};
use super::process::{PROCESS, Process};
use crate::app::Sessions;
use crate::git::Oid;
use crate::state::Hub;

/// Lines a log keeps.
const MAX_LINES: usize = 1_000;

/// Which start of which commit a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) commit: Oid,
    pub(super) started_ms: i64,
}

/// What answers for a Space.
#[derive(Clone, Debug)]
pub(crate) enum Served {
    /// A model in this process.
    Student(Arc<Student>),
    /// The Space's own code.
    Process(Arc<Process>),
}

impl Served {
    /// The commit of the Space that it is of.
    pub(super) fn commit(&self) -> Oid {
        match self {
            Self::Student(student) => student.commit,
            Self::Process(process) => process.commit,
        }
    }

    /// Lets go of it, unless `instead`, which answers from now on, is made of the same.
    pub(super) fn unload(&self, hub: &Hub, instead: Option<&Self>) {
        match (self, instead) {
            (Self::Student(old), Some(Self::Student(new))) if old.model.is(&new.model) => {}
            (Self::Student(student), _) => student.model.unload(hub),
            (Self::Process(process), _) => process.end(),
        }
    }
}

/// How an app is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// Its model is loaded in this process.
    Embedded,
    /// Its code runs.
    Process,
}

impl Nature {
    /// What is said of it wherever it shows.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Embedded => EMBEDDED,
            Self::Process => PROCESS,
        }
    }
}

/// Where a run is.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    Building,
    Starting,
    Running(Served),
    /// It could not be built.
    Unbuilt(String),
    Failed(String),
    Asleep,
}

/// A line of a log, and when it was written.
pub(crate) type Line = (i64, String);

/// A run.
#[derive(Debug)]
pub(crate) struct AppRun {
    pub(super) key: Key,
    pub(super) nature: Nature,
    pub(super) phase: watch::Sender<Phase>,
    /// What answered before, while this run is not there yet.
    before: Mutex<Option<Served>>,
    build_log: Mutex<VecDeque<Line>>,
    run_log: Mutex<VecDeque<Line>>,
    used_ms: AtomicI64,
    /// Requests that are being answered by a process.
    open: AtomicUsize,
    /// Cancelled when the Space is paused, removed, or run in another way.
    pub(super) stop: CancellationToken,
    /// Shared by the runs of one Space: an answer outlives a new commit.
    pub(super) sessions: Arc<Sessions>,
}

impl AppRun {
    pub(super) fn new(
        key: Key,
        nature: Nature,
        phase: Phase,
        before: Option<Served>,
        sessions: Arc<Sessions>,
        now_ms: i64,
    ) -> Self {
        Self {
            key,
            nature,
            phase: watch::Sender::new(phase),
            before: Mutex::new(before),
            build_log: Mutex::default(),
            run_log: Mutex::default(),
            used_ms: AtomicI64::new(now_ms),
            open: AtomicUsize::new(0),
            stop: CancellationToken::new(),
            sessions,
        }
    }

    pub(crate) fn phase(&self) -> Phase {
        self.phase.borrow().clone()
    }

    /// The commit of the Space that answers now.
    pub(crate) fn serves(&self) -> Option<Oid> {
        self.served().map(|served| served.commit())
    }

    /// What answers now.
    pub(super) fn served(&self) -> Option<Served> {
        match &*self.phase.borrow() {
            Phase::Running(served) => Some(served.clone()),
            Phase::Building | Phase::Starting => lock(&self.before).clone(),
            Phase::Unbuilt(_) | Phase::Failed(_) | Phase::Asleep => None,
        }
    }

    /// Goes on to a phase; gives back what answered before, once it is not needed any more.
    pub(super) fn go(&self, phase: Phase) -> Option<Served> {
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

    /// Whether somebody waits for an answer.
    pub(super) fn is_busy(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0 || self.sessions.is_busy()
    }

    /// Counts a request until what is given back is dropped.
    pub(super) fn open(self: &Arc<Self>) -> OpenRequest {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenRequest(Arc::clone(self))
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

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct OpenRequest(Arc<AppRun>);

impl Drop for OpenRequest {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
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
