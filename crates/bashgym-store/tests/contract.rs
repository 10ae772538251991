//! The store keeps the contract of the store traits on SQLite and on PostgreSQL, and survives being opened again.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::sync::Arc;

use bashgym_core::events::{RunEvent, StageStatus};
use bashgym_core::ledger::contract::{SetClock, ledger_contract};
use bashgym_core::run::{RunRecord, Stage};
use bashgym_core::store::{EventStore, JobLineStore, JobStream, RunStore, StoreError};
use bashgym_core::testing::{
    call_store_contract, event_log_contract, facts_contract, job_store_contract, route_store_contract,
    sample_spec, seen_job_store_contract, store_contract, task_store_contract,
};
use bashgym_store::SqlStore;
use common::{Place, places};

async fn whole_contract(place: &Place) {
    let clock = SetClock::at("2026-11-22T12:00:00Z");
    let store = place.open().await.with_clock(clock.clone());
    event_log_contract(Arc::new(store.clone()), &clock).await;
    store_contract(&store).await;
    job_store_contract(&store).await;
    seen_job_store_contract(&store).await;
    task_store_contract(&store).await;
    facts_contract(Arc::new(store.clone())).await;
    call_store_contract(&store).await;
    route_store_contract(&store).await;
    ledger_contract(Arc::new(store)).await;
}

#[tokio::test]
async fn sqlite_keeps_the_contract() {
    whole_contract(&Place::file()).await;
}

#[tokio::test]
async fn postgres_keeps_the_contract() {
    if let Some(place) = Place::server("postgres_keeps_the_contract").await {
        whole_contract(&place).await;
    }
}

#[tokio::test]
async fn runs_and_events_are_there_after_the_store_is_opened_again() {
    for place in places("runs_and_events_are_there_after_the_store_is_opened_again").await {
        let run = RunRecord::new(sample_spec("ada/again"), jiff::Timestamp::UNIX_EPOCH);
        let event = RunEvent::stage(Stage::Import, StageStatus::Started);

        let store = place.open().await;
        store.create_run(&run).await.unwrap();
        store.append_event(run.id, &event).await.unwrap();
        store.close().await;

        let store = place.open().await;
        assert_eq!(store.find_run(run.id).await.unwrap(), Some(run.clone()));
        assert_eq!(store.append_event(run.id, &event).await.unwrap(), 2);
    }
}

#[tokio::test]
async fn two_processes_appending_at_once_take_different_numbers() {
    for place in places("two_processes_appending_at_once_take_different_numbers").await {
        let (first, second) = (place.open().await, place.open().await);
        let run = RunRecord::new(sample_spec("ada/two"), jiff::Timestamp::UNIX_EPOCH);
        first.create_run(&run).await.unwrap();

        let append = |store: SqlStore| {
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
}

#[tokio::test]
async fn of_two_that_append_the_same_lines_one_is_told_to_read_again() {
    for place in places("of_two_that_append_the_same_lines_one_is_told_to_read_again").await {
        let (first, second) = (place.open().await, place.open().await);
        let batch = |from: u64| -> Vec<String> {
            (from..from + 3)
                .map(|number| format!(r#"{{"line":"{number} \u0000 \"ü\" 東京"}}"#))
                .collect()
        };
        let append = |store: SqlStore| {
            tokio::spawn(async move {
                let mut won = 0;
                for _ in 0..20 {
                    let after = store.count_job_lines("job", JobStream::Log).await.unwrap();
                    match store
                        .append_job_lines("job", JobStream::Log, after, &batch(after))
                        .await
                    {
                        Ok(last) => {
                            assert_eq!(last, after + 3);
                            won += 1;
                        }
                        Err(StoreError::Changed { .. }) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                won
            })
        };
        let (one, two) = (append(first.clone()), append(second));
        let won: u64 = one.await.unwrap() + two.await.unwrap();
        let lines = first
            .list_job_lines("job", JobStream::Log, 0, 1000)
            .await
            .unwrap();
        assert_eq!(lines.len() as u64, won * 3);
        for (index, line) in (0..).zip(&lines) {
            assert_eq!(line.seq, index + 1);
            assert_eq!(
                line.text,
                batch(index)[0],
                "each line once, in order, byte for byte"
            );
        }
    }
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
    let error = SqlStore::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("bashgym.db"), "{error}");
}

#[tokio::test]
async fn address_of_a_database_is_never_told_with_its_password() {
    for url in [
        "mysql://ada:geheim@db/gym",
        "postgres://ada:geheim@[broken/gym",
        "postgres://ada:geheim@127.0.0.1:1/gym",
    ] {
        let error = SqlStore::connect(url).await.unwrap_err();
        let told = format!("{error} {error:?}");
        assert!(!told.contains("geheim"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_open_a_new_database_at_once_all_get_it() {
    for _ in 0..40 {
        open_six_times(Place::file()).await;
    }
    if let Some(place) = Place::server("many_that_open_a_new_database_at_once_all_get_it").await {
        open_six_times(place).await;
    }
}

async fn open_six_times(place: Place) {
    let place = Arc::new(place);
    let opened = (0..6).map(|_| {
        let place = Arc::clone(&place);
        tokio::spawn(async move { place.open().await.close().await })
    });
    for one in opened.collect::<Vec<_>>() {
        one.await.unwrap();
    }
}
