//! Jobs: real processes on this machine behind the Hub's job API.
//!
//! A job's `command` and `arguments` run as a process in a session of its own, in an empty folder, with a clean
//! environment. What differs from the Hub, where nothing runs in a container here:
//! - the image or Space is recorded and not used; the first line of the log says so;
//! - every flavor runs on this machine's own processors and memory; its price is simulated;
//! - volumes are copied into the job's folder; see [`volumes`];
//! - there are no exposed ports, SSH, network groups and resource groups (501): nothing here gives a process an address of its own;
//! - a process can read what the user who runs the hub can read: this isolates mistakes, not malice;
//! - a process that clears its environment, starts a session of its own and outlives its parent unseen outlives the
//!   job too: only then is there nothing left to know it by;
//! - a hub that is shut down cancels the jobs that run. Jobs that wait go on waiting in the index, and start with
//!   the next hub; one that needs secrets ends as `ERROR` then, since secrets are kept in memory only.
//!
//! One task owns each job: it alone moves the job's stage, so that a cancel which races the end of the process
//! leaves one final stage. The log is a file that readers replay and follow; see [`log`].

mod config;
mod environment;
mod flavor;
mod lines;
mod log;
mod metrics;
mod process;
mod procfs;
mod queue;
mod recover;
mod routes;
mod runner;
mod scheduled;
mod spec;
mod spend;
mod sse;
mod stage;
mod store;
mod view;
mod volumes;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use config::ExecutorConfig;
pub(crate) use environment::make_folder;
pub(crate) use flavor::{FLAVORS, Flavor};
pub(crate) use lines::LinePipe;
use log::LogMark;
pub(crate) use process::{JobProcess, Launch, Tree, kill_now};
use queue::{Slots, Ticket};
pub(crate) use routes::router;
use spec::{JobSpec, Secrets};
pub(crate) use spend::Credits;
use spend::Running;
use stage::Stage;
pub(crate) use store::MIGRATIONS;
use store::Store;
use view::{Job, People};

use crate::clock::HubClock;
use crate::state::db::Db;
use crate::state::{Hub, ids};

/// The jobs of a hub. Clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    store: Store,
    clock: HubClock,
    config: ExecutorConfig,
    /// One folder a job, named by its id.
    folder: PathBuf,
    /// The address of the hub, as jobs are told.
    endpoint: String,
    slots: Slots,
    /// Keeps the order of submission and the order of the queue the same.
    submitting: tokio::sync::Mutex<()>,
    live: Mutex<HashMap<String, Arc<Live>>>,
    /// What accounts may spend.
    credits: Credits,
    /// The jobs whose cost grows, by id.
    running: Mutex<HashMap<String, Running>>,
    /// Told when a job begins or ends to cost.
    spending: Notify,
    /// The secrets of scheduled jobs, by id: never on disk.
    scheduled_secrets: Mutex<HashMap<String, Secrets>>,
    /// Told when a schedule changed.
    schedule_changed: Notify,
    /// Lets the runs of scheduled jobs begin one after the other.
    firing: tokio::sync::Mutex<()>,
    /// The hub around, for what volumes hold; none until it is there.
    hub: watch::Sender<Weak<Hub>>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// A job that has no end yet, as everybody but its owner sees it.
#[derive(Debug)]
struct Live {
    stop: watch::Sender<Option<Stop>>,
    stage: watch::Receiver<Stage>,
    log: watch::Receiver<LogMark>,
    /// The process of the running attempt; 0 when there is none.
    pid: AtomicI32,
    secrets: Secrets,
}

/// Why a job is to end before it does by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stop {
    /// Somebody canceled it.
    Request,
    /// The hub shuts down.
    Shutdown,
    /// The account that pays has nothing left.
    NoCredit,
}

/// What the owner of a job tells the others.
#[derive(Debug)]
struct Signals {
    stage: watch::Sender<Stage>,
    log: watch::Sender<LogMark>,
}

/// Why a job was not taken.
#[derive(Debug)]
pub(crate) enum NotTaken {
    QueueFull,
    Closing,
    Store(sqlx::Error),
}

impl Jobs {
    /// Opens the jobs of a data folder: ends what an earlier hub left behind, and queues again what still waits.
    pub(crate) async fn open(
        db: Db,
        clock: HubClock,
        data_folder: &std::path::Path,
        endpoint: String,
        config: ExecutorConfig,
        credits: Credits,
    ) -> io::Result<Self> {
        let folder = data_folder.join("jobs");
        environment::make_folder(&folder).await?;
        let slots = Slots::new(config.max_running, config.max_queued);
        let inner = Inner {
            store: Store::new(db),
            clock,
            config,
            folder,
            endpoint,
            slots,
            submitting: tokio::sync::Mutex::default(),
            live: Mutex::default(),
            credits,
            running: Mutex::default(),
            spending: Notify::new(),
            scheduled_secrets: Mutex::default(),
            schedule_changed: Notify::new(),
            firing: tokio::sync::Mutex::default(),
            hub: watch::Sender::new(Weak::new()),
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        };
        let jobs = Self {
            inner: Arc::new(inner),
        };
        recover::recover(&jobs).await.map_err(io::Error::other)?;
        jobs.start_clockwork().await.map_err(io::Error::other)?;
        Ok(jobs)
    }

    /// Lets jobs see the hub they belong to.
    pub(crate) fn attach(&self, hub: &Arc<Hub>) {
        self.inner.hub.send_replace(Arc::downgrade(hub));
    }

    /// The hub around; none when it is gone.
    async fn hub(&self) -> Option<Arc<Hub>> {
        let mut hub = self.inner.hub.subscribe();
        let there = hub.wait_for(|hub| hub.strong_count() > 0);
        tokio::select! {
            there = there => there.ok().and_then(|hub| hub.upgrade()),
            () = self.inner.closing.cancelled() => None,
        }
    }

    fn keep_secrets(&self, scheduled: &str, secrets: Secrets) {
        let mut all = self
            .inner
            .scheduled_secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.insert(scheduled.to_owned(), secrets);
    }

    fn forget_secrets(&self, scheduled: &str) {
        let mut all = self
            .inner
            .scheduled_secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.remove(scheduled);
    }

    fn scheduled_secrets(&self, scheduled: &str) -> Secrets {
        let all = self
            .inner
            .scheduled_secrets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.get(scheduled).cloned().unwrap_or_default()
    }

    /// Takes a job: once this returns it is in the index, and its task waits for a slot.
    async fn submit(
        &self,
        namespace: &str,
        people: People,
        spec: JobSpec,
        labels: BTreeMap<String, String>,
        secrets: Secrets,
    ) -> Result<Job, NotTaken> {
        let _in_order = self.inner.submitting.lock().await;
        if self.inner.closing.is_cancelled() {
            return Err(NotTaken::Closing);
        }
        let ticket = self.inner.slots.ticket().map_err(|_full| NotTaken::QueueFull)?;
        let now = self.inner.clock.now();
        let job = Job {
            seq: 0,
            id: ids::fresh(now.as_millisecond()),
            namespace: namespace.to_owned(),
            stage: Stage::Scheduling,
            spec,
            labels,
            people,
            message: None,
            cancel_reason: None,
            failure_count: 0,
            created_at: now,
            started_at: None,
            finished_at: None,
        };
        self.inner.store.insert(&job).await.map_err(NotTaken::Store)?;
        self.own(job.clone(), secrets, ticket);
        Ok(job)
    }

    /// Starts the task that owns a job.
    fn own(&self, job: Job, secrets: Secrets, ticket: Ticket) {
        let (stage, stages) = watch::channel(job.stage);
        let (log, marks) = watch::channel(LogMark::default());
        let (stop, _) = watch::channel(None);
        let live = Arc::new(Live {
            stop,
            stage: stages,
            log: marks,
            pid: AtomicI32::new(0),
            secrets,
        });
        self.live_jobs().insert(job.id.clone(), Arc::clone(&live));
        let jobs = self.clone();
        self.inner.tasks.spawn(async move {
            let id = job.id.clone();
            runner::run(&jobs, job, &live, &Signals { stage, log }, ticket).await;
            jobs.live_jobs().remove(&id);
        });
    }

    /// Asks for the end of a job and waits until it came. A finished job stays as it is.
    async fn cancel(&self, job: &Job) -> sqlx::Result<()> {
        let Some(live) = self.find_live(&job.id) else {
            return Ok(());
        };
        self.inner.store.request_cancel(&job.id).await?;
        live.ask_to_stop(Stop::Request);
        let mut stages = live.stage.clone();
        // An error means that the owner is gone, and with it the job.
        let _final = stages.wait_for(|stage| stage.is_final()).await;
        Ok(())
    }

    /// Cancels the jobs that run and waits for their ends. No job is taken afterwards.
    pub(crate) async fn shutdown(&self) {
        {
            // A submission that has begun is among those that are stopped.
            let _in_order = self.inner.submitting.lock().await;
            self.stop();
        }
        self.inner.tasks.wait().await;
    }

    /// Kills what runs, at once: for a hub that goes without a shutdown, whose tasks may go with it.
    pub(crate) fn abandon(&self) {
        // Looked at before anybody is told to end: a child whose parent is gone may be hard to find.
        let trees: Vec<(i32, Vec<i32>)> = self
            .live_jobs()
            .iter()
            .filter_map(|(id, live)| {
                live.pid()
                    .map(|pid| (pid, procfs::members(Some(pid), &procfs::marker(id))))
            })
            .map(|(leader, members)| (leader, members.iter().map(|stat| stat.pid).collect()))
            .collect();
        self.stop();
        for (leader, members) in trees {
            process::kill_now(leader, &members);
        }
    }

    /// Asks the jobs that run to end, without waiting for it.
    fn stop(&self) {
        self.inner.closing.cancel();
        for live in self.live_jobs().values() {
            live.ask_to_stop(Stop::Shutdown);
        }
        self.inner.tasks.close();
    }

    fn find_live(&self, id: &str) -> Option<Arc<Live>> {
        self.live_jobs().get(id).cloned()
    }

    fn live_jobs(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Live>>> {
        self.inner.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn job_folder(&self, id: &str) -> PathBuf {
        self.inner.folder.join(id)
    }

    fn log_path(&self, id: &str) -> PathBuf {
        self.job_folder(id).join("log.jsonl")
    }
}

impl Live {
    /// The first to ask is the one who is heard.
    fn ask_to_stop(&self, why: Stop) {
        self.stop.send_if_modified(|stop| {
            let first = stop.is_none();
            if first {
                *stop = Some(why);
            }
            first
        });
    }

    fn pid(&self) -> Option<i32> {
        Some(self.pid.load(Ordering::Acquire)).filter(|&pid| pid != 0)
    }
}
