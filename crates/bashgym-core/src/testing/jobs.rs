//! The contract of the store traits that are about jobs.

use std::time::Duration;

use hf_core::JobId;
use hf_jobs::SubmissionState;
use jiff::Timestamp;
use serde_json::json;

use crate::launch::{JobState, JobView, LaunchPrice, LaunchRecord};
use crate::store::{JobStore, JobStream, StoreError};

/// A launch that has not begun.
pub fn sample_launch(intent: &str) -> LaunchRecord {
    LaunchRecord {
        intent: intent.to_owned(),
        version: 0,
        hub: "embedded".to_owned(),
        namespace: "ada".to_owned(),
        run: None,
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
        request: json!({"dockerImage": "python:3.12", "flavor": "cpu-basic", "labels": {"x": intent}}),
        price: LaunchPrice {
            micro_usd_per_minute: Some(167),
            timeout_secs: Some(600),
            cap_micro_usd: None,
            allow_unknown: false,
        },
        submission: SubmissionState::Planned,
        view: JobView::new(true, Some(600)),
        settled: false,
    }
}

/// Runs every promise of [`crate::store::LaunchStore`], [`crate::store::LeaseStore`] and
/// [`crate::store::JobLineStore`] against an empty store.
///
/// # Panics
/// Panics at the first promise that is not kept.
pub async fn job_store_contract(store: &dyn JobStore) {
    launches_are_made_once(store).await;
    launches_are_saved_by_compare_and_set(store).await;
    unfinished_launches_are_listed(store).await;
    leases_are_exclusive_until_they_run_out(store).await;
    lines_are_appended_once_and_in_order(store).await;
}

async fn launches_are_made_once(store: &dyn JobStore) {
    let launch = sample_launch("made-once");
    let (stored, added) = store.create_launch(&launch).await.expect("a launch is made");
    assert_eq!((&stored, added), (&launch, true));
    let mut second = launch.clone();
    second.request = json!({"flavor": "a100x8"});
    let (stored, added) = store.create_launch(&second).await.expect("a launch is found");
    assert_eq!((&stored, added), (&launch, false), "the first one stays");
    assert_eq!(
        store.find_launch("made-once").await.expect("a launch is read"),
        Some(launch)
    );
    assert_eq!(store.find_launch("never").await.expect("a lookup answers"), None);
}

async fn launches_are_saved_by_compare_and_set(store: &dyn JobStore) {
    let launch = sample_launch("saved");
    let gone = store
        .update_launch(&launch)
        .await
        .expect_err("an unknown launch is not saved");
    assert!(matches!(gone, StoreError::Gone { .. }));
    store.create_launch(&launch).await.expect("a launch is made");
    let mut first = launch.clone();
    first.submission = SubmissionState::Sent {
        at: Timestamp::UNIX_EPOCH,
        sends: 1,
    };
    first.view.state = JobState::Unknown {
        why: "no connection, and \"quotes\" — too".to_owned(),
    };
    let version = store.update_launch(&first).await.expect("the first writer saves");
    assert_eq!(version, 1);
    let changed = store
        .update_launch(&launch)
        .await
        .expect_err("the second writer holds an old version");
    assert!(matches!(changed, StoreError::Changed { .. }));
    first.version = version;
    let stored = store.find_launch("saved").await.expect("a launch is read");
    assert_eq!(stored, Some(first));
}

async fn unfinished_launches_are_listed(store: &dyn JobStore) {
    let mut open = sample_launch("open");
    open.submission = SubmissionState::Created {
        job_id: JobId::parse("66aa").expect("a good id"),
        at: Timestamp::UNIX_EPOCH,
    };
    let mut unsettled = sample_launch("unsettled");
    unsettled.view.state = JobState::Failed { message: None };
    unsettled.view.ended = true;
    let mut finished = sample_launch("finished");
    finished.view.state = JobState::Unverified;
    finished.view.ended = true;
    finished.settled = true;
    for launch in [&open, &unsettled, &finished] {
        store.create_launch(launch).await.expect("a launch is made");
    }
    let names = |launches: Vec<LaunchRecord>| -> Vec<String> {
        launches.into_iter().map(|launch| launch.intent).collect()
    };
    let listed = names(
        store
            .list_unfinished_launches()
            .await
            .expect("launches are listed"),
    );
    assert!(listed.is_sorted(), "by intent");
    assert!(listed.contains(&"open".to_owned()) && listed.contains(&"unsettled".to_owned()));
    assert!(!listed.contains(&"finished".to_owned()));
    unsettled.settled = true;
    store.update_launch(&unsettled).await.expect("a launch is saved");
    let listed = names(
        store
            .list_unfinished_launches()
            .await
            .expect("launches are listed"),
    );
    assert!(!listed.contains(&"unsettled".to_owned()));
}

async fn leases_are_exclusive_until_they_run_out(store: &dyn JobStore) {
    let minute = Duration::from_mins(1);
    let at = |seconds: i64| Timestamp::from_second(seconds).expect("a good time");
    let take = async |holder: &str, seconds: i64| {
        store
            .take_lease("follow-1", holder, at(seconds), minute)
            .await
            .expect("the store answers")
    };
    let lease = take("one", 0).await.expect("a free lease is given");
    assert_eq!((lease.holder.as_str(), lease.expires_at), ("one", at(60)));
    assert!(take("two", 59).await.is_none(), "it is held");
    assert!(take("one", 30).await.is_some(), "its holder prolongs it");
    assert!(take("two", 89).await.is_none(), "it was prolonged");
    assert!(take("two", 90).await.is_some(), "it ran out");
    assert!(take("one", 91).await.is_none(), "it is another's now");
    store
        .release_lease("follow-1", "one")
        .await
        .expect("nothing happens");
    assert!(take("one", 92).await.is_none(), "only its holder gives it back");
    store
        .release_lease("follow-1", "two")
        .await
        .expect("it is given back");
    assert!(take("one", 93).await.is_some(), "it is free");
    assert!(
        store
            .take_lease("follow-2", "two", at(93), minute)
            .await
            .expect("the store answers")
            .is_some(),
        "each name is its own"
    );
}

async fn lines_are_appended_once_and_in_order(store: &dyn JobStore) {
    let line = |text: &str| text.to_owned();
    let (log, metrics) = (JobStream::Log, JobStream::Metrics);
    assert_eq!(store.count_job_lines("j1", log).await.expect("a count"), 0);
    let first = [line("{\"a\":1}"), line("same"), line("same")];
    let last = store
        .append_job_lines("j1", log, 0, &first)
        .await
        .expect("lines are kept");
    assert_eq!(last, 3);
    let changed = store
        .append_job_lines("j1", log, 0, &first)
        .await
        .expect_err("a second writer is refused");
    assert!(matches!(changed, StoreError::Changed { .. }));
    let changed = store
        .append_job_lines("j1", log, 4, &first)
        .await
        .expect_err("a gap is refused");
    assert!(matches!(changed, StoreError::Changed { .. }));
    let last = store
        .append_job_lines("j1", log, 3, &[line("é😀")])
        .await
        .expect("lines are kept");
    assert_eq!(last, 4);
    let none = store
        .append_job_lines("j1", log, 4, &[])
        .await
        .expect("no lines are no trouble");
    assert_eq!(none, 4);
    store
        .append_job_lines("j1", metrics, 0, &[line("m")])
        .await
        .expect("streams are apart");
    store
        .append_job_lines("j2", log, 0, &[line("other")])
        .await
        .expect("jobs are apart");
    let listed = store
        .list_job_lines("j1", log, 1, 2)
        .await
        .expect("lines are listed");
    let listed: Vec<(u64, &str)> = listed.iter().map(|line| (line.seq, line.text.as_str())).collect();
    assert_eq!(listed, [(2, "same"), (3, "same")]);
    let rest = store
        .list_job_lines("j1", log, 3, 10)
        .await
        .expect("lines are listed");
    assert_eq!((rest.len(), rest[0].text.as_str()), (1, "é😀"));
    assert_eq!(store.count_job_lines("j1", log).await.expect("a count"), 4);
    assert_eq!(store.count_job_lines("j1", metrics).await.expect("a count"), 1);
    assert!(
        store
            .list_job_lines("j9", log, 0, 10)
            .await
            .expect("lines are listed")
            .is_empty()
    );
    // What a search brings may hold more than was asked for, and never less.
    for (text, surely) in [
        ("SAME", vec![2, 3]),
        ("é", vec![4]),
        ("\"a\":", vec![1]),
        ("%", vec![]),
    ] {
        let found = store
            .find_job_lines("j1", log, 0, 4, text, 9)
            .await
            .expect("lines are searched");
        for seq in surely {
            assert!(found.iter().any(|line| line.seq == seq), "{text}: {found:?}");
        }
    }
    let part = store
        .find_job_lines("j1", log, 1, 2, "same", 9)
        .await
        .expect("lines are searched");
    assert_eq!(part.iter().map(|line| line.seq).collect::<Vec<_>>(), [2]);
    let first = store
        .find_job_lines("j1", log, 0, 4, "same", 1)
        .await
        .expect("lines are searched");
    assert!(
        first.iter().any(|line| line.seq == 2),
        "the first ones: {first:?}"
    );
}
