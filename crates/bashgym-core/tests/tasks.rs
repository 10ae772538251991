//! Tasks: done once, canceled, given back, taken up again after a crash.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::events::{EventLog, Topics};
use bashgym_core::store::MemoryStore;
use bashgym_core::task::{
    NewTask, TaskContext, TaskError, TaskHandler, TaskId, TaskPolicy, TaskProgress, TaskRecord, TaskService,
    TaskServiceError, TaskState,
};
use hf_core::testing::ManualClock;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Counts to a number; when told to, it waits for its cancel, fails, or never ends.
#[derive(Default)]
struct Counter {
    begun: AtomicU32,
}

#[derive(Deserialize)]
struct Count {
    to: u64,
    then: String,
}

#[async_trait]
impl TaskHandler for Counter {
    async fn run(&self, task: &TaskContext) -> Result<Value, TaskError> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        let count: Count = task.input()?;
        for done in 1..=count.to {
            task.progress(TaskProgress {
                done,
                total: Some(count.to),
                unit: "numbers".to_owned(),
                message: None,
            })
            .await;
        }
        let error = |code: &str| TaskError {
            code: code.to_owned(),
            message: "it is not to be".to_owned(),
            hint: None,
        };
        match count.then.as_str() {
            "wait" => {
                task.canceled().cancelled().await;
                Err(error("stopped"))
            }
            "fail" => Err(error("no_luck")),
            "hang" => std::future::pending().await,
            _ => Ok(json!({ "counted": count.to })),
        }
    }
}

struct World {
    clock: ManualClock,
    store: Arc<MemoryStore>,
    handler: Arc<Counter>,
}

impl World {
    fn new() -> Self {
        let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
        Self {
            store: Arc::new(MemoryStore::with_clock(Arc::new(clock.clone()))),
            clock,
            handler: Arc::default(),
        }
    }

    fn service(&self, holder: &str) -> TaskService {
        let handler: Arc<dyn TaskHandler> = self.handler.clone();
        TaskService::new(
            self.store.clone(),
            Arc::new(self.clock.clone()),
            holder,
            TaskPolicy::default(),
            [("count".to_owned(), handler)],
        )
    }

    /// Lets time pass until it is so.
    async fn until(&self, service: &TaskService, id: TaskId, is: impl Fn(&TaskRecord) -> bool) -> TaskRecord {
        for _ in 0..10_000 {
            let task = service.find(id).await.unwrap();
            if is(&task) {
                return task;
            }
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            self.clock.advance(Duration::from_millis(500));
        }
        panic!("it never comes: {:?}", service.find(id).await.unwrap());
    }

    async fn told(&self, id: TaskId) -> Vec<String> {
        let topics = Topics::parse([format!("task:{id}")]).unwrap();
        let events = self.store.list(0, &topics, 1000).await.unwrap();
        events.into_iter().map(|event| event.kind).collect()
    }
}

fn count(to: u64, then: &str) -> NewTask {
    NewTask {
        kind: "count".to_owned(),
        input: json!({ "to": to, "then": then }),
        idempotency_key: None,
    }
}

fn start(service: &TaskService) -> (CancellationToken, JoinHandle<()>) {
    let stop = CancellationToken::new();
    let (service, until) = (service.clone(), stop.clone());
    (stop, tokio::spawn(async move { service.run(until).await }))
}

fn ended(task: &TaskRecord) -> bool {
    task.state.is_final()
}

fn running(task: &TaskRecord) -> bool {
    task.state == TaskState::Running && task.progress.is_some()
}

#[tokio::test]
async fn task_is_done_and_tells_how_far_it_is() {
    let world = World::new();
    let service = world.service("one");
    start(&service);
    let (task, is_new) = service.submit(count(3, "end")).await.unwrap();
    assert!(is_new);
    let task = world.until(&service, task.id, ended).await;
    assert_eq!(task.state, TaskState::Done);
    assert_eq!(task.result, Some(json!({ "counted": 3 })));
    assert_eq!(
        task.progress.unwrap().done,
        3,
        "the last word is kept, whenever it came"
    );
    assert_eq!(
        world.told(task.id).await,
        ["task:queued", "task:running", "task:progress", "task:done"]
    );
}

#[tokio::test]
async fn task_that_says_nothing_more_shows_what_it_said_last() {
    let world = World::new();
    let service = world.service("one");
    start(&service);
    let (task, _) = service.submit(count(3, "hang")).await.unwrap();
    let last = |task: &TaskRecord| task.progress.as_ref().is_some_and(|told| told.done == 3);
    world.until(&service, task.id, last).await;
    assert_eq!(
        world.told(task.id).await,
        ["task:queued", "task:running", "task:progress", "task:progress"]
    );
}

#[tokio::test]
async fn task_that_fails_says_why() {
    let world = World::new();
    let service = world.service("one");
    start(&service);
    let (task, _) = service.submit(count(0, "fail")).await.unwrap();
    let task = world.until(&service, task.id, ended).await;
    assert_eq!(
        (task.state, task.error.unwrap().code.as_str()),
        (TaskState::Failed, "no_luck")
    );
    let bad = NewTask {
        input: json!("three"),
        ..count(0, "")
    };
    let (task, _) = service.submit(bad).await.unwrap();
    let task = world.until(&service, task.id, ended).await;
    assert_eq!(task.error.unwrap().code, "bad_input");
}

#[tokio::test]
async fn task_is_canceled_where_it_waits_where_it_runs_and_from_another_process() {
    let world = World::new();
    let (service, other) = (world.service("one"), world.service("two"));
    let (waiting, _) = service.submit(count(1, "wait")).await.unwrap();
    let canceled = service.cancel(waiting.id).await.unwrap();
    assert_eq!(canceled.state, TaskState::Canceled, "nobody was at it");
    start(&service);
    // One that listens, one that never would; asked by its own process, and by another.
    for (then, asked) in [
        ("wait", &service),
        ("wait", &other),
        ("hang", &service),
        ("hang", &other),
    ] {
        let (task, _) = service.submit(count(1, then)).await.unwrap();
        world.until(&service, task.id, running).await;
        asked.cancel(task.id).await.unwrap();
        let task = world.until(&service, task.id, ended).await;
        assert_eq!(task.state, TaskState::Canceled, "{then}");
        let over = service.cancel(task.id).await.unwrap_err();
        assert!(matches!(over, TaskServiceError::AlreadyOver { .. }), "{over}");
    }
    assert_eq!(world.handler.begun.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn task_of_a_process_that_died_is_taken_up_by_another() {
    let world = World::new();
    let (first, second) = (world.service("one"), world.service("two"));
    let (_, dies) = start(&first);
    let (task, _) = first.submit(count(2, "hang")).await.unwrap();
    world.until(&first, task.id, running).await;
    // Dropped where it stands, as by `kill -9`: nothing is given back.
    dies.abort();
    let _ = dies.await;
    start(&second);
    let task = world
        .until(&second, task.id, |task| running(task) && task.attempts == 2)
        .await;
    let waited = task.updated_at.duration_since(task.started_at.unwrap());
    assert!(waited.as_secs() >= 30, "not before the lease ran out: {waited}");
    second.cancel(task.id).await.unwrap();
    world.until(&second, task.id, ended).await;
}

#[tokio::test]
async fn task_is_given_back_when_the_process_is_told_to_end() {
    let world = World::new();
    let service = world.service("one");
    let (task, _) = service.submit(count(1, "wait")).await.unwrap();
    // However often: a server that is restarted is not the task's fault.
    for attempt in 1..=8 {
        let (stop, runs) = start(&service);
        world
            .until(&service, task.id, |task| {
                running(task) && task.attempts == attempt
            })
            .await;
        stop.cancel();
        runs.await.unwrap();
        let task = service.find(task.id).await.unwrap();
        assert_eq!((task.state, task.attempts), (TaskState::Queued, attempt));
    }
}

#[tokio::test]
async fn task_that_ends_its_process_each_time_is_given_up() {
    let world = World::new();
    let mut task = None;
    for number in 0..20 {
        let service = world.service(&format!("process {number}"));
        if task.is_none() {
            task = Some(service.submit(count(1, "hang")).await.unwrap().0.id);
        }
        let (_, dies) = start(&service);
        let id = task.unwrap();
        let attempts = number + 1;
        let record = world
            .until(&service, id, |task| ended(task) || task.attempts == attempts)
            .await;
        dies.abort();
        let _ = dies.await;
        if ended(&record) {
            break;
        }
    }
    let record = world.service("last").find(task.unwrap()).await.unwrap();
    assert_eq!(record.state, TaskState::Failed);
    assert_eq!(record.error.unwrap().code, "given_up");
    assert!(world.handler.begun.load(Ordering::SeqCst) <= TaskPolicy::default().max_attempts);
}

#[tokio::test]
async fn same_key_is_the_same_task() {
    let world = World::new();
    let service = world.service("one");
    let keyed = |to: u64| NewTask {
        idempotency_key: Some("key".to_owned()),
        ..count(to, "end")
    };
    let (first, _) = service.submit(keyed(1)).await.unwrap();
    let (again, is_new) = service.submit(keyed(1)).await.unwrap();
    assert_eq!((again.id, is_new), (first.id, false));
    let reused = service.submit(keyed(2)).await.unwrap_err();
    assert!(matches!(reused, TaskServiceError::KeyReused { .. }), "{reused}");
    let nobody = NewTask {
        kind: "fly".to_owned(),
        ..count(1, "end")
    };
    let nobody = service.submit(nobody).await.unwrap_err();
    assert!(matches!(nobody, TaskServiceError::NoHandler { .. }), "{nobody}");
}

#[tokio::test]
async fn few_tasks_are_done_at_once() {
    let world = World::new();
    let service = world.service("one");
    let mut tasks = Vec::new();
    for _ in 0..10 {
        tasks.push(service.submit(count(1, "wait")).await.unwrap().0.id);
    }
    start(&service);
    world.until(&service, tasks[3], running).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.handler.begun.load(Ordering::SeqCst), 4);
    for task in tasks {
        service.cancel(task).await.unwrap();
        world.until(&service, task, ended).await;
    }
}
