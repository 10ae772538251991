//! What happens to the store, and the promise that holds all the same.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bashgym_core::events::{EventLog, EventReader, Topics};
use bashgym_core::ledger::contract::SetClock;
use bashgym_core::store::{JobLineStore, JobStream, LeaseStore, StoreError};
use bashgym_core::{Clock, SystemClock};
use bashgym_store::SqlStore;
use common::places;
use sqlx::Connection;

const LOG: JobStream = JobStream::Log;

/// The numbers of the lines that the events tell of, in their order.
async fn told(store: &SqlStore) -> Vec<u64> {
    let reader = EventReader::new(Arc::new(store.clone()), Arc::new(store.clone()));
    let (mut after, mut lines) = (0, Vec::new());
    loop {
        let page = reader.read(after, &Topics::all(), 500).await.unwrap().unwrap();
        lines.extend(
            page.events
                .iter()
                .filter_map(|event| event.data["lines"].as_array())
                .flatten()
                .map(|line| line["n"].as_u64().unwrap()),
        );
        after = page.up_to;
        if !page.more {
            return lines;
        }
    }
}

/// How a process of this test learns where it writes.
const WRITER: &str = "BASHGYM_TEST_FULL_DISK";
const FULL_DISK: &str = "promise_2_on_a_full_disk_what_was_kept_stays_and_goes_on_once_there_is_space";

#[test]
fn promise_2_on_a_full_disk_what_was_kept_stays_and_goes_on_once_there_is_space() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    #[expect(
        clippy::disallowed_methods,
        reason = "the way from this test to its own process"
    )]
    let task = std::env::var(WRITER);
    match task {
        Ok(path) => runtime.block_on(write_until_full(Path::new(&path))),
        Err(_) => runtime.block_on(after_a_full_disk()),
    }
}

/// Writes lines until there is no space, and tells how many were kept by its exit code: in hundreds.
async fn write_until_full(path: &Path) {
    let store = SqlStore::open(path).await.unwrap();
    let wide = "x".repeat(4000);
    let mut kept = 0;
    let error = loop {
        let lines: Vec<String> = (kept..kept + 10)
            .map(|number| format!(r#"{{"data":"{number} {wide}"}}"#))
            .collect();
        match store.append_job_lines("66aa", LOG, kept, &lines).await {
            Ok(last) => kept = last,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Backend { .. }), "{error:?}");
    std::fs::write(path.with_extension("kept"), kept.to_string()).unwrap();
}

async fn after_a_full_disk() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bashgym.db");
    // The limit of a file's size stands for the end of the disk: a write beyond it fails, as one there does. In blocks
    // of 512 bytes or 1 kB, by the shell.
    let status = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -f 3000; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .args([FULL_DISK, "--exact", "--nocapture"])
        .env(WRITER, &path)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{status}");
    let kept: u64 = std::fs::read_to_string(path.with_extension("kept"))
        .unwrap()
        .parse()
        .unwrap();
    assert!(kept >= 10, "some were kept before: {kept}");
    let store = SqlStore::open(&path).await.unwrap();
    assert_eq!(store.info().await.unwrap().damage, Vec::<String>::new());
    assert_eq!(store.count_job_lines("66aa", LOG).await.unwrap(), kept);
    let more = [r#"{"data":"there is space again"}"#.to_owned()];
    assert_eq!(
        store.append_job_lines("66aa", LOG, kept, &more).await.unwrap(),
        kept + 1
    );
    assert_eq!(told(&store).await, (1..=kept + 1).collect::<Vec<u64>>());
}

#[tokio::test]
async fn promise_2_while_the_database_is_locked_writers_wait_and_readers_read() {
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("bashgym.db");
    let store = SqlStore::open(&path).await.unwrap();
    let line = |text: &str| [format!(r#"{{"data":"{text}"}}"#)];
    store
        .append_job_lines("66aa", LOG, 0, &line("before"))
        .await
        .unwrap();

    let mut other = sqlx::SqliteConnection::connect(&format!("sqlite://{}", path.display()))
        .await
        .unwrap();
    sqlx::query("BEGIN IMMEDIATE").execute(&mut other).await.unwrap();
    let waits = {
        let store = store.clone();
        let line = line("after");
        tokio::spawn(async move { store.append_job_lines("66aa", LOG, 1, &line).await })
    };
    for _ in 0..20 {
        assert_eq!(
            store.count_job_lines("66aa", LOG).await.unwrap(),
            1,
            "reading goes on"
        );
    }
    assert!(!waits.is_finished());
    sqlx::query("ROLLBACK").execute(&mut other).await.unwrap();
    assert_eq!(waits.await.unwrap().unwrap(), 2);
    assert_eq!(told(&store).await, [1, 2]);
}

#[tokio::test]
async fn promise_2_a_clock_that_jumps_gives_a_lease_away_and_doubles_no_line() {
    for place in places("promise_2_a_clock_that_jumps_gives_a_lease_away_and_doubles_no_line").await {
        let (first, second) = (place.open().await, place.open().await);
        let now = SystemClock::new().now();
        let minute = Duration::from_mins(1);
        let name = "launch jumped";
        assert!(
            first
                .take_lease(name, "first", now, minute)
                .await
                .unwrap()
                .is_some()
        );
        // The second machine's clock is an hour ahead: to it the lease has run out, and the first does not know.
        let ahead = now.saturating_add(Duration::from_hours(1)).unwrap();
        assert!(
            second
                .take_lease(name, "second", ahead, minute)
                .await
                .unwrap()
                .is_some()
        );
        let lines: Vec<String> = (0..5).map(|number| format!(r#"{{"data":"{number}"}}"#)).collect();
        first.append_job_lines("66aa", LOG, 0, &lines[..3]).await.unwrap();
        let behind = second.append_job_lines("66aa", LOG, 0, &lines).await.unwrap_err();
        assert!(matches!(behind, StoreError::Changed { .. }), "{behind}");
        second
            .append_job_lines("66aa", LOG, 3, &lines[3..])
            .await
            .unwrap();
        first
            .append_job_lines("66aa", LOG, 3, &lines[3..])
            .await
            .unwrap_err();
        assert_eq!(told(&first).await, [1, 2, 3, 4, 5]);
        let lost = first.take_lease(name, "first", now, minute).await.unwrap();
        assert!(lost.is_none(), "the first learns that it is another's");
    }
}

#[tokio::test]
async fn promise_9_a_clock_that_jumps_takes_no_event_from_who_comes_back() {
    for place in places("promise_9_a_clock_that_jumps_takes_no_event_from_who_comes_back").await {
        let clock = SetClock::at("2026-11-22T12:00:00Z");
        let store = place.open().await.with_clock(clock.clone());
        let lines: Vec<String> = (0..900)
            .map(|number| format!(r#"{{"data":"{number}"}}"#))
            .collect();
        for after in [0, 300, 600] {
            let batch = &lines[after..after + 300];
            store
                .append_job_lines("66aa", LOG, after as u64, batch)
                .await
                .unwrap();
        }
        clock.set("2036-11-22T12:00:00Z");
        store
            .prune(&bashgym_core::events::Retention::default())
            .await
            .unwrap();
        assert_eq!(told(&store).await, (1..=900).collect::<Vec<u64>>());
    }
}
