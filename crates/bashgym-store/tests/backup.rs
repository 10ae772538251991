//! What was backed up is there again: from any database, in any database, also from an older version.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bashgym_core::events::{EventLog, EventReader, RunEvent, StageStatus, Topics};
use bashgym_core::ledger::contract::{SetClock, job_request, sums_are_those_of_the_entries};
use bashgym_core::ledger::{
    Budget, Cap, CapScope, EntryFilter, Ledger, LedgerStore, MicroUsd, Service, Window,
};
use bashgym_core::run::{RunId, RunRecord, Stage};
use bashgym_core::store::{EventStore, JobLineStore, JobStream, LaunchStore, LeaseStore, RunStore};
use bashgym_core::task::{TaskFilter, TaskState, TaskStore};
use bashgym_core::testing::{sample_launch, sample_spec, sample_task};
use bashgym_store::{BackupError, Restore, SqlStore};
use common::{Place, places};
use jiff::Timestamp;

const NOW: &str = "2026-11-22T12:00:00Z";

/// Puts something into every table, and returns the run.
async fn fill(store: &SqlStore) -> RunRecord {
    let run = RunRecord::new(sample_spec("ada/kept é \"q\""), Timestamp::UNIX_EPOCH);
    store.create_run(&run).await.unwrap();
    let event = RunEvent::stage(Stage::Import, StageStatus::Started);
    store.append_event(run.id, &event).await.unwrap();
    store.create_launch(&sample_launch("kept")).await.unwrap();
    let lines: Vec<String> = (1..=300)
        .map(|n| format!(r#"{{"data":"{n} \u0000 東京"}}"#))
        .collect();
    store
        .append_job_lines("66aa", JobStream::Log, 0, &lines)
        .await
        .unwrap();
    let ledger = Ledger::new(Arc::new(store.clone()), SetClock::at(NOW));
    let cap = Cap {
        scope: CapScope::One(Service::Jobs),
        window: Window::Day,
        amount: MicroUsd::new(500).unwrap(),
    };
    ledger.set_cap(cap).await.unwrap();
    ledger.reserve(job_request("kept", Some(400))).await.unwrap();
    ledger.reserve(job_request("released", Some(50))).await.unwrap();
    ledger.release("released", "nothing was spent").await.unwrap();
    store
        .create_task(&sample_task("kept", Some("key")))
        .await
        .unwrap();
    let kinds = ["kept".to_owned()];
    let minute = Duration::from_mins(1);
    store
        .claim_task(&kinds, "gone", Timestamp::MAX, minute)
        .await
        .unwrap();
    run
}

async fn all_is_there(store: &SqlStore, run: &RunRecord) {
    assert_eq!(store.find_run(run.id).await.unwrap().as_ref(), Some(run));
    assert_eq!(store.list_events(run.id, 0, 10).await.unwrap().len(), 1);
    assert_eq!(
        store.find_launch("kept").await.unwrap(),
        Some(sample_launch("kept"))
    );
    let lines = store
        .list_job_lines("66aa", JobStream::Log, 0, 1000)
        .await
        .unwrap();
    assert_eq!(lines.len(), 300);
    assert_eq!(lines[299].text, r#"{"data":"300 \u0000 東京"}"#);
    let ledger = Ledger::new(Arc::new(store.clone()), SetClock::at(NOW));
    sums_are_those_of_the_entries(&ledger).await;
    let entries = store
        .list_entries(&EntryFilter::default(), None, 10)
        .await
        .unwrap();
    assert_eq!(entries.len(), 2);
    ledger
        .reserve(job_request("too much", Some(101)))
        .await
        .expect_err("the cap still holds");
    let tasks = store.list_tasks(&TaskFilter::default(), None, 10).await.unwrap();
    assert_eq!((tasks.len(), tasks[0].state), (1, TaskState::Running));
}

/// Whoever was at a task when the backup was made is gone.
async fn tasks_are_free(store: &SqlStore) {
    let again = store
        .claim_task(
            &["kept".to_owned()],
            "another",
            Timestamp::UNIX_EPOCH,
            Duration::from_mins(1),
        )
        .await
        .unwrap();
    assert_eq!(again.map(|task| task.attempts), Some(2));
}

#[tokio::test]
async fn backup_of_any_database_is_restored_into_any_other() {
    for from in places("backup_of_any_database_is_restored_into_any_other").await {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gym.backup");
        let source = from.open().await;
        let run = fill(&source).await;
        let before = source.info().await.unwrap();
        let info = source.backup(&file).await.unwrap();
        assert_eq!(info.kind, "sqlite", "whatever it is a backup of");
        assert_eq!(info.rows[..8], before.rows[..8]);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 1, "nothing but the file: {left:?}");
        let exists = source.backup(&file).await.unwrap_err();
        assert!(matches!(exists, BackupError::Exists(_)), "{exists}");

        for into in places("backup_of_any_database_is_restored_into_any_other").await {
            let store = into.open().await;
            store.restore(&file, Restore::IntoEmpty).await.unwrap();
            all_is_there(&store, &run).await;
            let again = store.restore(&file, Restore::IntoEmpty).await.unwrap_err();
            assert!(matches!(again, BackupError::NotEmpty { .. }), "{again}");
            store.restore(&file, Restore::Replace).await.unwrap();
            all_is_there(&store, &run).await;
            tasks_are_free(&store).await;
            store.close().await;
        }
        source.close().await;
    }
}

#[tokio::test]
async fn who_listened_before_a_restore_is_told_to_read_anew() {
    for place in places("who_listened_before_a_restore_is_told_to_read_anew").await {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gym.backup");
        let store = place.open().await;
        fill(&store).await;
        store.backup(&file).await.unwrap();
        // After the backup, so that its number is one that the restored log might give again.
        fill_more(&store).await;
        let seen = store.bounds().await.unwrap().newest;
        store.restore(&file, Restore::Replace).await.unwrap();
        let reader = EventReader::new(Arc::new(store.clone()), Arc::new(store.clone()));
        for after in [0, 1, seen - 1, seen, seen + 100] {
            let read = reader.read(after, &Topics::all(), 10).await.unwrap();
            let newest = store.bounds().await.unwrap().newest;
            assert!(newest > seen + 100);
            assert_eq!(read.unwrap_err().newest, newest);
        }
    }
}

async fn fill_more(store: &SqlStore) {
    let run = RunRecord::new(sample_spec("ada/after"), Timestamp::UNIX_EPOCH);
    store.create_run(&run).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn backup_while_others_write_is_of_one_moment() {
    for place in places("backup_while_others_write_is_of_one_moment").await {
        let store = place.open().await;
        let writer = place.open().await;
        let ledger = Ledger::new(Arc::new(writer.clone()), SetClock::at(NOW));
        let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
        let writing = tokio::spawn(async move {
            let mut number = 0;
            while stopped.try_recv().is_err() {
                ledger
                    .reserve(job_request(&format!("w{number}"), Some(1)))
                    .await
                    .unwrap();
                let line = [format!(r#"{{"data":"{number}"}}"#)];
                writer
                    .append_job_lines("66aa", JobStream::Log, number, &line)
                    .await
                    .unwrap();
                number += 1;
            }
        });
        let folder = tempfile::tempdir().unwrap();
        while store.count_job_lines("66aa", JobStream::Log).await.unwrap() == 0 {
            tokio::task::yield_now().await;
        }
        for number in 0..5 {
            let file = folder.path().join(format!("{number}.backup"));
            store.backup(&file).await.unwrap();
            let copy = SqlStore::open(&file).await.unwrap();
            sums_are_those_of_the_entries(&Ledger::new(Arc::new(copy.clone()), SetClock::at(NOW))).await;
            let lines = copy
                .list_job_lines("66aa", JobStream::Log, 0, 1_000_000)
                .await
                .unwrap();
            assert!(!lines.is_empty());
            assert_eq!(lines.last().unwrap().seq, lines.len() as u64);
            copy.close().await;
        }
        stop.send(()).unwrap();
        writing.await.unwrap();
    }
}

#[tokio::test]
async fn backup_of_an_older_version_is_brought_to_todays_form() {
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store-0.1.0.db");
    let before = std::fs::read(&old).unwrap();
    for place in places("backup_of_an_older_version_is_brought_to_todays_form").await {
        let store = place.open().await;
        store.restore(&old, Restore::IntoEmpty).await.unwrap();
        let id: RunId = "01a204a5-b2c1-7395-8811-263fd7d75832".parse().unwrap();
        let run = store.find_run(id).await.unwrap().unwrap();
        assert_eq!(run.state.as_str(), "failed");
        assert_eq!(store.list_events(id, 0, 10).await.unwrap().len(), 3);
    }
    assert_eq!(std::fs::read(&old).unwrap(), before, "the file stays as it is");
}

#[tokio::test]
async fn restore_is_refused_and_changes_nothing() {
    for place in places("restore_is_refused_and_changes_nothing").await {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gym.backup");
        let store = place.open().await;
        let run = fill(&store).await;
        store.backup(&file).await.unwrap();

        let gone = folder.path().join("gone");
        let error = store.restore(&gone, Restore::Replace).await.unwrap_err();
        assert!(matches!(error, BackupError::NoFile(_)), "{error}");

        let letter = folder.path().join("letter");
        std::fs::write(
            &letter,
            "no database, and long enough to be read as one: ".repeat(40),
        )
        .unwrap();
        store.restore(&letter, Restore::Replace).await.unwrap_err();

        // A page in the middle that was overwritten.
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle..middle + 4096].fill(0xA5);
        let damaged = folder.path().join("damaged");
        std::fs::write(&damaged, bytes).unwrap();
        store.restore(&damaged, Restore::Replace).await.unwrap_err();

        // A file that another store has open: its newest rows are not in it yet.
        let live = folder.path().join("live.db");
        let open = SqlStore::open(&live).await.unwrap();
        fill(&open).await;
        let error = store.restore(&live, Restore::Replace).await.unwrap_err();
        assert!(matches!(error, BackupError::Live(_)), "{error}");
        open.close().await;

        let now = bashgym_core::SystemClock::new();
        let now = bashgym_core::Clock::now(&now);
        store
            .take_lease("launch kept", "server", now, Duration::from_mins(5))
            .await
            .unwrap();
        let error = store.restore(&file, Restore::Replace).await.unwrap_err();
        assert!(matches!(error, BackupError::InUse { .. }), "{error}");
        store.release_lease("launch kept", "server").await.unwrap();
        all_is_there(&store, &run).await;
    }
}

#[tokio::test]
async fn address_in_the_information_has_no_password() {
    if let Some(Place::Server(url)) = Place::server("address_in_the_information_has_no_password").await {
        let url = url.replace("bashgym@", "bashgym:geheim@");
        let info = SqlStore::connect(&url).await.unwrap().info().await.unwrap();
        let told = format!("{info:?}");
        assert!(!told.contains("geheim"), "{told}");
        assert_eq!(info.kind, "postgres");
    }
}
