//! The contract of the store of tasks.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use crate::events::{EventLog, Topics};
use crate::store::StoreError;
use crate::task::{NewTask, TaskFilter, TaskId, TaskProgress, TaskRecord, TaskState, TaskStore};

const MINUTE: Duration = Duration::from_mins(1);

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).expect("a good time")
}

/// A task of a kind that waits.
pub fn sample_task(kind: &str, key: Option<&str>) -> TaskRecord {
    let task = NewTask {
        kind: kind.to_owned(),
        input: json!({ "repo": "ada/é", "text": "a\u{0}b" }),
        idempotency_key: key.map(str::to_owned),
    };
    TaskRecord::new(task, at(0))
}

/// Runs every promise of [`TaskStore`] against a store without tasks.
///
/// # Panics
/// Panics at the first promise that is not kept.
pub async fn task_store_contract<S: TaskStore + EventLog>(store: &S) {
    tasks_are_made_once_for_a_key(store).await;
    tasks_are_saved_by_compare_and_set(store).await;
    tasks_are_listed_newest_first(store).await;
    each_task_has_one_worker(store).await;
    tasks_tell_what_they_do(store).await;
}

async fn tasks_are_made_once_for_a_key<S: TaskStore>(store: &S) {
    let task = sample_task("once", Some("key"));
    assert_eq!(
        store.create_task(&task).await.expect("a task is made"),
        (task.clone(), true)
    );
    let again = sample_task("once", Some("key"));
    assert_eq!(
        store.create_task(&again).await.expect("a task is found"),
        (task.clone(), false)
    );
    for other in [
        sample_task("other", Some("key")),
        sample_task("once", None),
        sample_task("once", None),
    ] {
        let (_, is_new) = store.create_task(&other).await.expect("a task is made");
        assert!(is_new, "another kind, or no key");
    }
    assert_eq!(store.find_task(task.id).await.expect("a lookup"), Some(task));
    assert_eq!(store.find_task(TaskId::generate()).await.expect("a lookup"), None);
}

async fn tasks_are_saved_by_compare_and_set<S: TaskStore>(store: &S) {
    let mut task = sample_task("saved", None);
    let gone = store
        .update_task(&task)
        .await
        .expect_err("an unknown task is not saved");
    assert!(matches!(gone, StoreError::Gone { .. }));
    store.create_task(&task).await.expect("a task is made");
    let old = task.clone();
    task.cancel_asked = true;
    let version = store.update_task(&task).await.expect("a task is saved");
    assert_eq!(version, 1);
    let changed = store
        .update_task(&old)
        .await
        .expect_err("the second writer holds an old version");
    assert!(matches!(changed, StoreError::Changed { .. }));
    task.version = version;
    assert_eq!(store.find_task(task.id).await.expect("a lookup"), Some(task));
}

async fn tasks_are_listed_newest_first<S: TaskStore>(store: &S) {
    let list = async |kind: Option<&str>, state: Option<TaskState>, before: Option<TaskId>, limit: u32| {
        let filter = TaskFilter {
            kind: kind.map(str::to_owned),
            state,
        };
        let tasks = store.list_tasks(&filter, before, limit).await;
        tasks.expect("tasks are listed")
    };
    let all = list(None, None, None, 100).await;
    assert!(all.len() >= 5, "the tasks made above are listed");
    assert!(all.windows(2).all(|pair| pair[0].id > pair[1].id), "newest first");
    let next = list(None, None, Some(all[0].id), 2).await;
    assert_eq!(next, all[1..3]);
    assert_eq!(list(Some("once"), None, None, 100).await.len(), 3);
    assert_eq!(
        list(Some("once"), Some(TaskState::Queued), None, 100).await.len(),
        3
    );
    assert_eq!(list(Some("once"), Some(TaskState::Done), None, 100).await, []);
}

async fn each_task_has_one_worker<S: TaskStore>(store: &S) {
    let claim = async |holder: &str, seconds: i64| {
        let kinds = ["work".to_owned(), "more".to_owned()];
        let claimed = store.claim_task(&kinds, holder, at(seconds), MINUTE).await;
        claimed.expect("the store answers")
    };
    let hold = async |id: TaskId, holder: &str, seconds: i64| {
        let held = store.hold_task(id, holder, at(seconds), MINUTE).await;
        held.expect("the store answers")
    };
    assert_eq!(claim("one", 0).await, None, "other kinds are left alone");
    let (first, second) = (sample_task("work", None), sample_task("more", None));
    for task in [&first, &second] {
        store.create_task(task).await.expect("a task is made");
    }
    let taken = claim("one", 0).await.expect("the oldest is given out");
    assert_eq!(
        (taken.id, taken.state, taken.attempts, taken.version),
        (first.id, TaskState::Running, 1, 1)
    );
    assert_eq!(taken.started_at, Some(at(0)));
    assert_eq!(claim("two", 1).await.expect("the next one").id, second.id);
    assert_eq!(claim("three", 59).await, None, "both have a worker");
    assert!(hold(first.id, "one", 50).await);
    assert!(!hold(first.id, "two", 50).await, "another one's");
    let left = claim("three", 61).await.expect("one's worker is gone");
    assert_eq!((left.id, left.attempts, left.version), (second.id, 2, 2));
    assert!(!hold(second.id, "two", 62).await, "it was taken over");
    assert_eq!(claim("four", 109).await, None);

    // Given back, by the one who has it.
    store
        .release_task(first.id, "two", at(110))
        .await
        .expect("nothing happens");
    let stored = store.find_task(first.id).await.expect("a lookup");
    assert_eq!(stored.map(|task| task.state), Some(TaskState::Running));
    store
        .release_task(first.id, "one", at(110))
        .await
        .expect("a task is given back");
    let back = store
        .find_task(first.id)
        .await
        .expect("a lookup")
        .expect("the task");
    assert_eq!((back.state, back.version), (TaskState::Queued, 2));
    let mut again = claim("four", 110).await.expect("it waits again");
    assert_eq!((again.id, again.attempts), (first.id, 2));

    // What ended is not given out again, and has no holder.
    again.state = TaskState::Done;
    again.result = Some(json!({ "rows": 3 }));
    store.update_task(&again).await.expect("a task ends");
    assert!(!hold(first.id, "four", 111).await);
    let mut last = left;
    last.state = TaskState::Failed;
    store.update_task(&last).await.expect("a task ends");
    assert_eq!(claim("five", 100_000).await, None);
}

async fn tasks_tell_what_they_do<S: TaskStore + EventLog>(store: &S) {
    let task = sample_task("told", Some("told"));
    store.create_task(&task).await.expect("a task is made");
    store.create_task(&task).await.expect("a task is found");
    let claimed = store
        .claim_task(&["told".to_owned()], "one", at(0), MINUTE)
        .await
        .expect("the store answers");
    let mut task = claimed.expect("a task is given out");
    task.progress = Some(TaskProgress {
        done: 3,
        total: Some(4),
        unit: "files".to_owned(),
        message: None,
    });
    task.version = store.update_task(&task).await.expect("progress is saved");
    task.state = TaskState::Done;
    store.update_task(&task).await.expect("the end is saved");
    store
        .update_task(&task)
        .await
        .expect_err("the version is an old one");
    let topics = Topics::parse([format!("task:{}", task.id)]).expect("good topics");
    let events = store.list(0, &topics, 10).await.expect("events are listed");
    let told: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        told,
        ["task:queued", "task:running", "task:progress", "task:done"]
    );
    assert_eq!(events[2].data["progress"]["done"], 3);
}
