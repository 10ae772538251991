//! Doing tasks: a few at a time, each by one worker, and again by another one when that one is gone.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use hf_core::Clock;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::{Mutex, Notify};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field};

use super::model::{NewTask, TaskError, TaskId, TaskProgress, TaskRecord, TaskState};
use super::store::{TaskFilter, TaskStore};
use crate::store::StoreError;

/// How tasks are done.
#[derive(Debug, Clone, Copy)]
pub struct TaskPolicy {
    /// How many are done at once by this process.
    pub workers: usize,
    /// For how long a process that says nothing is still taken to be at a task. More than two beats.
    pub lease: Duration,
    /// The time between two signs of life, and two looks for a cancel.
    pub beat: Duration,
    /// The time between two looks for tasks that another process asked for or left.
    pub poll: Duration,
    /// The least time between two saves of a task's progress.
    pub save: Duration,
    /// How long a canceled task may tidy up.
    pub grace: Duration,
    /// How often a task is begun before it is given up: one that ends its process each time would come for ever.
    pub max_attempts: u32,
}

impl Default for TaskPolicy {
    fn default() -> Self {
        Self {
            workers: 4,
            lease: Duration::from_secs(30),
            beat: Duration::from_secs(5),
            poll: Duration::from_secs(5),
            save: Duration::from_millis(250),
            grace: Duration::from_secs(10),
            max_attempts: 5,
        }
    }
}

/// Does tasks of one kind.
#[async_trait]
pub trait TaskHandler: Send + Sync {
    /// Does the task from wherever an earlier attempt left it, and returns what came of it.
    ///
    /// The future may be dropped at any point, as by a crash; the task is then begun again.
    ///
    /// # Errors
    /// [`TaskError`], which ends the task.
    async fn run(&self, task: &TaskContext) -> Result<Value, TaskError>;
}

/// What the task service can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TaskServiceError {
    /// No handler is there for this kind.
    #[error("nothing here does tasks of the kind {kind:?}")]
    NoHandler {
        /// The kind.
        kind: String,
    },
    /// The key was used for something else.
    #[error("the idempotency key {key:?} was used for another {kind} before; use a new key for a new task")]
    KeyReused {
        /// The key.
        key: String,
        /// The kind.
        kind: String,
    },
    /// There is no such task.
    #[error("there is no task {id}")]
    Missing {
        /// The task.
        id: TaskId,
    },
    /// It is over.
    #[error("task {id} is {} already; it can not be canceled", state.as_str())]
    AlreadyOver {
        /// The task.
        id: TaskId,
        /// How it ended.
        state: TaskState,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A task in the hands of its worker.
pub struct TaskContext {
    store: Arc<dyn TaskStore>,
    clock: Arc<dyn Clock>,
    save: Duration,
    telling: Mutex<Telling>,
    unsaved: Notify,
    canceled: CancellationToken,
    lost: CancellationToken,
    id: TaskId,
    created_at: Timestamp,
    input: Value,
}

/// What the worker knows of its task, and how much of it is stored.
struct Telling {
    record: TaskRecord,
    /// When progress was stored last.
    saved: Option<Duration>,
    /// Whether there is progress that is not stored yet.
    is_behind: bool,
}

impl TaskContext {
    /// The task's name.
    pub fn id(&self) -> TaskId {
        self.id
    }

    /// How long ago the task was asked for.
    pub fn age(&self) -> Duration {
        let age = self.clock.now().duration_since(self.created_at);
        Duration::try_from(age).unwrap_or_default()
    }

    /// What the task was asked to do.
    ///
    /// # Errors
    /// [`TaskError`] with the code `bad_input` when it does not read as `T`.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, TaskError> {
        T::deserialize(&self.input).map_err(|error| TaskError {
            code: "bad_input".to_owned(),
            message: format!("the input of the task does not read: {error}"),
            hint: None,
        })
    }

    /// Fires when the task is to stop. A handler that has something to tidy up waits for it; one that goes on is dropped.
    pub fn canceled(&self) -> &CancellationToken {
        &self.canceled
    }

    /// Tells how far the task is. It is saved from time to time, and sent on to whoever looks on. That it can not be
    /// saved stops no task.
    pub async fn progress(&self, progress: TaskProgress) {
        let now = self.clock.elapsed();
        let mut telling = self.telling.lock().await;
        let last = telling.saved;
        telling.record.progress = Some(progress);
        telling.is_behind = true;
        if last.is_none_or(|last| now.saturating_sub(last) >= self.save) {
            self.save_progress(&mut telling).await;
        } else {
            self.unsaved.notify_one();
        }
    }

    /// Stores progress that came too soon after the last, for as long as the work goes on: a task that says nothing
    /// more shows what it said last.
    async fn catch_up(&self) -> Infallible {
        loop {
            self.unsaved.notified().await;
            self.clock.sleep(self.save).await;
            let mut telling = self.telling.lock().await;
            if telling.is_behind {
                self.save_progress(&mut telling).await;
            }
        }
    }

    async fn save_progress(&self, telling: &mut Telling) {
        telling.saved = Some(self.clock.elapsed());
        telling.is_behind = false;
        let _ = self.save(&mut telling.record, |_| {}).await;
    }

    /// Saves what the worker knows over what is stored. False when another worker has the task.
    async fn save(
        &self,
        record: &mut TaskRecord,
        change: impl Fn(&mut TaskRecord) + Send,
    ) -> Result<bool, StoreError> {
        loop {
            let mut next = record.clone();
            change(&mut next);
            next.updated_at = self.clock.now();
            match self.store.update_task(&next).await {
                Ok(version) => {
                    next.version = version;
                    *record = next;
                    return Ok(true);
                }
                Err(StoreError::Changed { .. }) => {}
                Err(error) => return Err(error),
            }
            let Some(stored) = self.store.find_task(record.id).await? else {
                self.lost.cancel();
                return Ok(false);
            };
            if stored.attempts != record.attempts || stored.state != TaskState::Running {
                self.lost.cancel();
                return Ok(false);
            }
            if stored.cancel_asked {
                self.canceled.cancel();
            }
            *record = TaskRecord {
                progress: record.progress.clone(),
                ..stored
            };
        }
    }
}

/// Takes tasks in and does them. Cloning is cheap.
#[derive(Clone)]
pub struct TaskService {
    shared: Arc<Shared>,
}

struct Shared {
    store: Arc<dyn TaskStore>,
    clock: Arc<dyn Clock>,
    holder: String,
    policy: TaskPolicy,
    handlers: BTreeMap<String, Arc<dyn TaskHandler>>,
    news: Notify,
    running: SyncMutex<HashMap<TaskId, CancellationToken>>,
}

impl TaskService {
    /// Makes a service. `holder` is this process in leases: two that may be alive at once have different names.
    pub fn new(
        store: Arc<dyn TaskStore>,
        clock: Arc<dyn Clock>,
        holder: impl Into<String>,
        policy: TaskPolicy,
        handlers: impl IntoIterator<Item = (String, Arc<dyn TaskHandler>)>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                clock,
                holder: holder.into(),
                policy,
                handlers: handlers.into_iter().collect(),
                news: Notify::new(),
                running: SyncMutex::default(),
            }),
        }
    }

    /// Asks for a task. The same key and kind again is the same task; true when it is a new one.
    ///
    /// # Errors
    /// [`TaskServiceError::NoHandler`], [`TaskServiceError::KeyReused`] or [`TaskServiceError::Store`].
    pub async fn submit(&self, task: NewTask) -> Result<(TaskRecord, bool), TaskServiceError> {
        if !self.shared.handlers.contains_key(&task.kind) {
            return Err(TaskServiceError::NoHandler { kind: task.kind });
        }
        let record = TaskRecord::new(task, self.shared.clock.now());
        let (stored, is_new) = self.shared.store.create_task(&record).await?;
        if stored.input != record.input {
            return Err(TaskServiceError::KeyReused {
                key: record.idempotency_key.unwrap_or_default(),
                kind: record.kind,
            });
        }
        self.shared.news.notify_one();
        Ok((stored, is_new))
    }

    /// Returns a task.
    ///
    /// # Errors
    /// [`TaskServiceError::Missing`] or [`TaskServiceError::Store`].
    pub async fn find(&self, id: TaskId) -> Result<TaskRecord, TaskServiceError> {
        let found = self.shared.store.find_task(id).await?;
        found.ok_or(TaskServiceError::Missing { id })
    }

    /// Lists tasks, newest first, those before `before` if it is given.
    ///
    /// # Errors
    /// [`TaskServiceError::Store`].
    pub async fn list(
        &self,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, TaskServiceError> {
        Ok(self.shared.store.list_tasks(filter, before, limit).await?)
    }

    /// Asks a task to stop, and returns it as it stands then: one that waited is canceled at once, one that runs when its
    /// worker has heard of it.
    ///
    /// # Errors
    /// [`TaskServiceError::AlreadyOver`], [`TaskServiceError::Missing`] or [`TaskServiceError::Store`].
    pub async fn cancel(&self, id: TaskId) -> Result<TaskRecord, TaskServiceError> {
        loop {
            let mut record = self.find(id).await?;
            if record.state.is_final() {
                let state = record.state;
                return Err(TaskServiceError::AlreadyOver { id, state });
            }
            let now = self.shared.clock.now();
            record.cancel_asked = true;
            record.updated_at = now;
            if record.state == TaskState::Queued {
                record.state = TaskState::Canceled;
                record.finished_at = Some(now);
            }
            match self.shared.store.update_task(&record).await {
                Ok(version) => record.version = version,
                Err(StoreError::Changed { .. }) => continue,
                Err(error) => return Err(error.into()),
            }
            let running = self.shared.running.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(canceled) = running.get(&id) {
                canceled.cancel();
            }
            return Ok(record);
        }
    }

    /// Does tasks until `stop` fires; those in hand are then given back, for another process or the next start.
    ///
    /// What other processes asked for and left unfinished is found as well. A store that fails is tried again.
    pub async fn run(&self, stop: CancellationToken) {
        let shared = &self.shared;
        let mut at_work = FuturesUnordered::new();
        loop {
            // A failure is as if there were nothing to do: the next look tells.
            while at_work.len() < shared.policy.workers {
                match shared.claim().await {
                    Ok(Some(record)) => at_work.push(shared.work(record)),
                    Ok(None) | Err(_) => break,
                }
            }
            let full = at_work.len() >= shared.policy.workers;
            tokio::select! {
                () = stop.cancelled() => break,
                Some(()) = at_work.next(), if !at_work.is_empty() => {}
                () = shared.news.notified(), if !full => {}
                () = shared.clock.sleep(shared.policy.poll), if !full => {}
            }
        }
        drop(at_work);
        let left: Vec<TaskId> = {
            let mut running = shared.running.lock().unwrap_or_else(PoisonError::into_inner);
            running.drain().map(|(id, _)| id).collect()
        };
        for id in left {
            // One that can not be given back is taken over when its lease runs out.
            let _ = shared
                .store
                .release_task(id, &shared.holder, shared.clock.now())
                .await;
        }
    }
}

/// How the work on a task ended.
enum End {
    Over(Result<Value, TaskError>),
    Canceled,
    Lost,
}

/// How a task ended, on its span.
fn note_end(span: &Span, end: &End) {
    let word = match end {
        End::Over(Ok(_)) => "done",
        End::Over(Err(error)) => {
            span.record("otel.status_code", "ERROR");
            error.code.as_str()
        }
        End::Canceled => "canceled",
        End::Lost => "lost",
    };
    span.record("task.end", word);
}

impl Shared {
    async fn claim(&self) -> Result<Option<TaskRecord>, StoreError> {
        let kinds: Vec<String> = self.handlers.keys().cloned().collect();
        let now = self.clock.now();
        self.store
            .claim_task(&kinds, &self.holder, now, self.policy.lease)
            .await
    }

    async fn work(&self, record: TaskRecord) {
        let id = record.id;
        let (kind, attempt) = (record.kind.clone(), record.attempts);
        let handler = self.handlers.get(&kind).cloned();
        let canceled = CancellationToken::new();
        if record.cancel_asked {
            canceled.cancel();
        }
        // What was given back in good order says nothing against the task.
        let too_often = record.attempts.saturating_sub(record.given_back) > self.policy.max_attempts;
        let context = TaskContext {
            store: Arc::clone(&self.store),
            clock: Arc::clone(&self.clock),
            save: self.policy.save,
            canceled: canceled.clone(),
            lost: CancellationToken::new(),
            id,
            created_at: record.created_at,
            input: record.input.clone(),
            telling: Mutex::new(Telling {
                record,
                saved: None,
                is_behind: false,
            }),
            unsaved: Notify::new(),
        };
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, canceled);
        let end = match handler {
            Some(_) if too_often => End::Over(Err(TaskError {
                code: "given_up".to_owned(),
                message: format!(
                    "the task was begun {} times and never came to an end; the process may have crashed each time",
                    self.policy.max_attempts
                ),
                hint: Some("look into the server's log for the reason, then ask for it again".to_owned()),
            })),
            Some(handler) => {
                let span = tracing::info_span!(
                    target: hf_core::SPANS,
                    "task",
                    otel.name = format!("task {kind}"),
                    task.id = %id,
                    task.kind = kind,
                    task.attempt = i64::from(attempt),
                    task.end = field::Empty,
                    otel.status_code = field::Empty,
                );
                let end = self.drive(&*handler, &context).instrument(span.clone()).await;
                note_end(&span, &end);
                end
            }
            None => End::Lost,
        };
        self.finish(&context, end).await;
        self.running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&id);
    }

    async fn drive(&self, handler: &dyn TaskHandler, context: &TaskContext) -> End {
        let stopped = async {
            context.canceled.cancelled().await;
            self.clock.sleep(self.policy.grace).await;
        };
        if context.canceled.is_cancelled() {
            return End::Canceled;
        }
        tokio::select! {
            result = handler.run(context) => match result {
                // What was asked to stop and did has not failed.
                Err(_) if context.canceled.is_cancelled() => End::Canceled,
                result => End::Over(result),
            },
            () = stopped => End::Canceled,
            never = context.catch_up() => match never {},
            () = self.beat(context) => End::Lost,
        }
    }

    /// Gives signs of life until the task is lost.
    async fn beat(&self, context: &TaskContext) {
        loop {
            let slept = self.clock.sleep(self.policy.beat);
            if let Either::Right(_) = select(slept, Box::pin(context.lost.cancelled())).await {
                return;
            }
            let now = self.clock.now();
            let held = self
                .store
                .hold_task(context.id, &self.holder, now, self.policy.lease)
                .await;
            // While the store can not be reached the work goes on; whoever reaches it after the lease takes over.
            if let Ok(false) = held {
                return;
            }
            if let Ok(Some(stored)) = self.store.find_task(context.id).await
                && stored.cancel_asked
            {
                context.canceled.cancel();
            }
        }
    }

    async fn finish(&self, context: &TaskContext, end: End) {
        let (state, result, error) = match end {
            End::Over(Ok(result)) => (TaskState::Done, Some(result), None),
            End::Over(Err(error)) => (TaskState::Failed, None, Some(error)),
            End::Canceled => (TaskState::Canceled, None, None),
            End::Lost => return,
        };
        let mut telling = context.telling.lock().await;
        loop {
            let finished_at = self.clock.now();
            let saved = context
                .save(&mut telling.record, |record| {
                    record.state = state;
                    record.result.clone_from(&result);
                    record.error.clone_from(&error);
                    record.finished_at = Some(finished_at);
                })
                .await;
            match saved {
                Ok(_) | Err(StoreError::Gone { .. } | StoreError::BadData { .. }) => return,
                // A full disk or a lock: what the work came to is kept until it can be written down.
                Err(_) => self.clock.sleep(self.policy.beat).await,
            }
            let now = self.clock.now();
            let held = self
                .store
                .hold_task(context.id, &self.holder, now, self.policy.lease)
                .await;
            if let Ok(false) = held {
                return;
            }
        }
    }
}
