//! The SQLite store keeps the contract of the store traits, and survives being opened again.

use bashgym_core::events::{RunEvent, StageStatus};
use bashgym_core::run::RunRecord;
use bashgym_core::run::Stage;
use bashgym_core::store::{EventStore, RunStore};
use bashgym_core::testing::{sample_spec, store_contract};
use bashgym_store::SqliteStore;

#[tokio::test]
async fn sqlite_store_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("bashgym.db"))
        .await
        .unwrap();
    store_contract(&store).await;
}

#[tokio::test]
async fn runs_and_events_are_there_after_the_file_is_opened_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bashgym.db");
    let run = RunRecord::new(sample_spec("ada/again"), jiff::Timestamp::UNIX_EPOCH);
    let event = RunEvent::stage(Stage::Import, StageStatus::Started);

    let store = SqliteStore::open(&path).await.unwrap();
    store.create_run(&run).await.unwrap();
    store.append_event(run.id, &event).await.unwrap();
    store.close().await;

    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.find_run(run.id).await.unwrap(), Some(run.clone()));
    assert_eq!(store.append_event(run.id, &event).await.unwrap(), 2);
}

#[tokio::test]
async fn two_processes_appending_at_once_take_different_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bashgym.db");
    let first = SqliteStore::open(&path).await.unwrap();
    let second = SqliteStore::open(&path).await.unwrap();
    let run = RunRecord::new(sample_spec("ada/two"), jiff::Timestamp::UNIX_EPOCH);
    first.create_run(&run).await.unwrap();

    let append = |store: SqliteStore| {
        let id = run.id;
        tokio::spawn(async move {
            let event = RunEvent::stage(Stage::Train, StageStatus::Progress);
            let mut numbers = Vec::new();
            for _ in 0..20 {
                numbers.push(store.append_event(id, &event).await.unwrap());
            }
            numbers
        })
    };
    let (one, two) = (append(first), append(second));
    let mut numbers = [one.await.unwrap(), two.await.unwrap()].concat();
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=40).collect::<Vec<u64>>());
}

#[tokio::test]
async fn file_that_is_no_database_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bashgym.db");
    std::fs::write(
        &path,
        "this is a letter, not a database, and long enough to be read as one: ".repeat(20),
    )
    .unwrap();
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("bashgym.db"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_open_a_new_file_at_once_all_get_it() {
    for _ in 0..40 {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bashgym.db");
        let opened = (0..6).map(|_| {
            let path = path.clone();
            tokio::spawn(async move { SqliteStore::open(&path).await.map(|_| ()) })
        });
        for one in opened.collect::<Vec<_>>() {
            one.await.unwrap().unwrap();
        }
    }
}
