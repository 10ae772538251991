//! The contract of the store traits, to be run by each implementation.

mod calls;
mod events;
mod jobs;
mod routes;
mod seen;
mod tasks;

use std::path::PathBuf;

use jiff::Timestamp;

pub use calls::{call_store_contract, sample_call};
pub use events::{event_log_contract, facts_contract};
pub use jobs::{job_store_contract, sample_launch};
pub use routes::{route_store_contract, sample_decision};
pub use seen::{sample_job, seen_job_store_contract};
pub use tasks::{sample_task, task_store_contract};

use crate::events::{RunEvent, StageStatus};
use crate::run::{RunId, RunRecord, RunSpec, RunState, Stage, Target};
use crate::store::{Store, StoreError};
use crate::trainer::TrainerConfig;

/// A specification that differs by its model repository.
pub fn sample_spec(model_repo: &str) -> RunSpec {
    RunSpec {
        target: Target {
            hub: Target::EMBEDDED.to_owned(),
            namespace: "ada".to_owned(),
        },
        inputs: vec![PathBuf::from("/home/ada/.claude/projects")],
        dataset_repo: "ada/bashgym-sessions".to_owned(),
        model_repo: model_repo.to_owned(),
        val_fraction: 0.1,
        flavor: "cpu-basic".to_owned(),
        training: TrainerConfig::default(),
        samples: 2,
        source: None,
    }
}

/// Runs every promise of [`crate::store::RunStore`] and [`crate::store::EventStore`] against an empty store.
///
/// # Panics
/// Panics at the first promise that is not kept.
pub async fn store_contract(store: &dyn Store) {
    runs_are_found_again(store).await;
    saves_are_compare_and_set(store).await;
    unfinished_runs_are_found_by_specification(store).await;
    runs_are_listed_newest_first(store).await;
    events_are_numbered_without_a_gap(store).await;
}

async fn runs_are_found_again(store: &dyn Store) {
    let run = RunRecord::new(sample_spec("ada/found"), Timestamp::UNIX_EPOCH);
    store.create_run(&run).await.expect("a run is created");
    assert_eq!(
        store.find_run(run.id).await.expect("a run is read"),
        Some(run.clone())
    );
    assert!(
        store.create_run(&run).await.is_err(),
        "a second run of the same name is refused"
    );
    assert_eq!(
        store.find_run(RunId::generate()).await.expect("a lookup answers"),
        None
    );
}

async fn saves_are_compare_and_set(store: &dyn Store) {
    let run = RunRecord::new(sample_spec("ada/saved"), Timestamp::UNIX_EPOCH);
    let missing = store
        .update_run(&run)
        .await
        .expect_err("an unknown run is not saved");
    assert!(matches!(missing, StoreError::Missing { id } if id == run.id));

    store.create_run(&run).await.expect("a run is created");
    let mut first = run.clone();
    first.state = RunState::Queued
        .failed(Stage::Import, "no sessions".to_owned(), None)
        .expect("a queued run may fail");
    let version = store.update_run(&first).await.expect("the first writer saves");
    assert_eq!(version, run.version + 1);
    let stale = store
        .update_run(&run)
        .await
        .expect_err("the second writer holds an old version");
    assert!(matches!(stale, StoreError::Stale { id } if id == run.id));
    let stored = store
        .find_run(run.id)
        .await
        .expect("a run is read")
        .expect("the run is there");
    assert_eq!((stored.version, stored.state), (version, first.state));
}

async fn unfinished_runs_are_found_by_specification(store: &dyn Store) {
    let spec = sample_spec("ada/unfinished");
    assert_eq!(
        store.find_unfinished_run(&spec).await.expect("a lookup answers"),
        None
    );
    let run = RunRecord::new(spec.clone(), Timestamp::UNIX_EPOCH);
    store.create_run(&run).await.expect("a run is created");
    let found = store.find_unfinished_run(&spec).await.expect("a lookup answers");
    assert_eq!(found.map(|found| found.id), Some(run.id));
    let other = store
        .find_unfinished_run(&sample_spec("ada/other"))
        .await
        .expect("a lookup answers");
    assert_eq!(other, None);
}

async fn runs_are_listed_newest_first(store: &dyn Store) {
    let all = store.list_runs(None, 100).await.expect("runs are listed");
    assert!(all.len() >= 3, "the runs made above are listed");
    assert!(all.windows(2).all(|pair| pair[0].id > pair[1].id), "newest first");
    let rest = store
        .list_runs(Some(all[0].id), 1)
        .await
        .expect("runs are listed");
    assert_eq!(rest.iter().map(|run| run.id).collect::<Vec<_>>(), [all[1].id]);
}

async fn events_are_numbered_without_a_gap(store: &dyn Store) {
    let run = RunRecord::new(sample_spec("ada/events"), Timestamp::UNIX_EPOCH);
    store.create_run(&run).await.expect("a run is created");
    let event = |stage| RunEvent::stage(stage, StageStatus::Started);
    for (expected, stage) in (1..).zip(Stage::ALL) {
        assert_eq!(
            store
                .append_event(run.id, &event(stage))
                .await
                .expect("an event is kept"),
            expected
        );
    }
    let tail = store.list_events(run.id, 2, 2).await.expect("events are listed");
    assert_eq!(tail.iter().map(|stored| stored.seq).collect::<Vec<_>>(), [3, 4]);
    assert_eq!(tail[0].event, event(Stage::ALL[2]));
    let other = store
        .list_events(RunId::generate(), 0, 10)
        .await
        .expect("events are listed");
    assert!(other.is_empty(), "events of other runs stay apart");
}
