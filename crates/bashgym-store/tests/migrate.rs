//! A file that an older `bashgym` made is brought to today's form, and keeps what it holds.

use std::path::Path;
use std::sync::Arc;

use bashgym_core::events::{EventLog, Topics};
use bashgym_core::ledger::contract::{SetClock, job_request};
use bashgym_core::ledger::{Budget, Ledger};
use bashgym_core::run::RunId;
use bashgym_core::store::{EventStore, JobLineStore, JobStream, LaunchStore, RunStore};
use bashgym_core::testing::sample_launch;
use bashgym_store::SqlStore;

/// Made by `bashgym run` of version 0.1.0, whose only migration was the first.
fn old_file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/store-0.1.0.db")
}

#[tokio::test]
async fn file_of_an_older_version_keeps_its_runs_and_gets_a_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bashgym.db");
    std::fs::copy(old_file(), &path).unwrap();

    // Twice: the second time there is nothing left to do.
    for known in [false, true] {
        let store = SqlStore::open(&path).await.unwrap();
        let id: RunId = "01a204a5-b2c1-7395-8811-263fd7d75832".parse().unwrap();
        let run = store.find_run(id).await.unwrap().unwrap();
        assert_eq!(run.state.as_str(), "failed");
        assert_eq!(run.spec.model_repo, "local/bashgym-student");
        assert_eq!(
            store.find_unfinished_run(&run.spec).await.unwrap(),
            Some(run.clone()),
            "it is taken up again"
        );
        assert_eq!(store.list_events(id, 0, 10).await.unwrap().len(), 3);
        assert_eq!(store.count_job_lines("job", JobStream::Log).await.unwrap(), 0);
        let ledger = Ledger::new(Arc::new(store.clone()), SetClock::at("2026-11-22T00:00:00Z"));
        let reserved = ledger.reserve(job_request("first", Some(1))).await.unwrap();
        assert_eq!(reserved.is_new, !known);
        store.close().await;
    }
}

#[tokio::test]
async fn file_of_a_newer_version_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bashgym.db");
    SqlStore::open(&path).await.unwrap().close().await;
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99991231000001, 'of the future', 1, x'00', 0)",
    )
    .execute(&pool)
    .await
    .unwrap();
    pool.close().await;
    let error = SqlStore::open(&path).await.unwrap_err();
    assert!(error.to_string().contains("today's form"), "{error}");
}

#[tokio::test]
async fn file_from_before_the_log_of_events_keeps_its_jobs_and_gets_a_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bashgym.db");
    let store = SqlStore::open(&path).await.unwrap();
    store.create_launch(&sample_launch("old")).await.unwrap();
    let line = [r#"{"data":"old"}"#.to_owned()];
    store
        .append_job_lines("66aa", JobStream::Log, 0, &line)
        .await
        .unwrap();
    store.close().await;
    // The step taken back: the file is as the version before it left one.
    let pool = sqlx::SqlitePool::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    for back in [
        "DROP TABLE event_log",
        "DROP TABLE seen_jobs",
        "DROP TABLE job_looks",
        "DROP TABLE tasks",
        "DROP TABLE route_decisions",
        "DROP TABLE route_notes",
        "DROP TABLE calls",
        "DROP TABLE call_sums",
        "ALTER TABLE ledger_entries DROP COLUMN book",
        "DELETE FROM _sqlx_migrations WHERE version >= 20261122000004",
    ] {
        sqlx::query(back).execute(&pool).await.unwrap();
    }
    pool.close().await;

    let store = SqlStore::open(&path).await.unwrap();
    assert_eq!(
        store.find_launch("old").await.unwrap(),
        Some(sample_launch("old"))
    );
    assert_eq!(store.bounds().await.unwrap().newest, 0);
    store
        .append_job_lines("66aa", JobStream::Log, 1, &line)
        .await
        .unwrap();
    let events = store.list(0, &Topics::all(), 10).await.unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].data["from"], 2);
}
