//! The contract of the store of what was seen of jobs.

use std::collections::BTreeMap;

use hf_core::JobId;
use hf_jobs::JobInfo;
use jiff::Timestamp;
use serde_json::json;

use crate::run::Target;
use crate::store::{JobLook, SeenJobFilter, SeenJobStore};

/// A job as the Hub tells it, made in the second `second`.
///
/// # Panics
/// Panics when this is no job.
pub fn sample_job(id: &str, second: i64, stage: &str, labels: &[(&str, &str)]) -> JobInfo {
    let created = Timestamp::from_second(second).expect("a time");
    let labels: BTreeMap<&str, &str> = labels.iter().copied().collect();
    let job = json!({ "id": id, "createdAt": created, "status": { "stage": stage }, "labels": labels });
    serde_json::from_value(job).expect("a job")
}

fn ada(hub: &str) -> Target {
    Target {
        hub: hub.to_owned(),
        namespace: "ada".to_owned(),
    }
}

fn second(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a time")
}

fn id(text: &str) -> JobId {
    text.parse().expect("an id")
}

/// Runs every promise of [`SeenJobStore`] against an empty store.
///
/// # Panics
/// Panics at the first promise that is not kept.
pub async fn seen_job_store_contract(store: &dyn SeenJobStore) {
    jobs_are_listed_newest_first_and_by_what_they_are(store).await;
    what_was_seen_later_stays(store).await;
    a_whole_look_forgets_what_it_did_not_see(store).await;
}

async fn listed(store: &dyn SeenJobStore, filter: &SeenJobFilter, after: Option<&str>) -> Vec<String> {
    let after = after.map(id);
    let jobs = store
        .list_seen_jobs(&ada("lists"), filter, after.as_ref(), 10)
        .await;
    let jobs = jobs.expect("jobs are listed");
    jobs.iter().map(|job| job.id.to_string()).collect()
}

async fn jobs_are_listed_newest_first_and_by_what_they_are(store: &dyn SeenJobStore) {
    let jobs = [
        sample_job("aa01", 1, "COMPLETED", &[("team", "blue"), ("x", "\"team=red\"")]),
        sample_job("aa03", 3, "RUNNING", &[("team", "red")]),
        sample_job("aa02", 3, "ERROR", &[("team", "blue"), ("team2", "red")]),
        sample_job("aa04", 4, "SCHEDULING", &[]),
    ];
    let kept = store.keep_seen_jobs(&ada("lists"), &jobs, second(10)).await;
    kept.expect("jobs are kept");
    let all = SeenJobFilter::default();
    assert_eq!(listed(store, &all, None).await, ["aa04", "aa03", "aa02", "aa01"]);
    assert_eq!(listed(store, &all, Some("aa03")).await, ["aa02", "aa01"]);
    assert!(listed(store, &all, Some("ffff")).await.is_empty());
    let staged = SeenJobFilter {
        stages: vec!["RUNNING".to_owned(), "ERROR".to_owned()],
        label: None,
    };
    assert_eq!(listed(store, &staged, None).await, ["aa03", "aa02"]);
    assert_eq!(listed(store, &staged, Some("aa03")).await, ["aa02"]);
    let labelled = |key: &str, value: &str| SeenJobFilter {
        stages: Vec::new(),
        label: Some((key.to_owned(), value.to_owned())),
    };
    assert_eq!(listed(store, &labelled("team", "red"), None).await, ["aa03"]);
    assert_eq!(
        listed(store, &labelled("team", "blue"), None).await,
        ["aa02", "aa01"]
    );
    assert!(listed(store, &labelled("eam", "red"), None).await.is_empty());
    assert!(listed(store, &labelled("team", "%"), None).await.is_empty());
    let open = store
        .list_open_jobs(&ada("lists"))
        .await
        .expect("open jobs are listed");
    assert_eq!(open, [id("aa04"), id("aa03")]);
    let elsewhere = store.list_seen_jobs(&ada("other"), &all, None, 10).await;
    assert!(
        elsewhere.expect("jobs are listed").is_empty(),
        "another Hub has its own"
    );
}

async fn what_was_seen_later_stays(store: &dyn SeenJobStore) {
    let of = ada("later");
    for (stage, at) in [("RUNNING", 5), ("CANCELED", 7), ("RUNNING", 6)] {
        let job = sample_job("bb01", 1, stage, &[]);
        let kept = store.keep_seen_jobs(&of, &[job], second(at)).await;
        kept.expect("a job is kept");
    }
    let jobs = store
        .list_seen_jobs(&of, &SeenJobFilter::default(), None, 10)
        .await;
    let stages: Vec<String> = jobs
        .expect("jobs are listed")
        .iter()
        .map(|job| job.status.stage.to_string())
        .collect();
    assert_eq!(stages, ["CANCELED"]);
    store
        .drop_seen_job(&of, &id("bb01"))
        .await
        .expect("a job is forgotten");
    let left = store
        .list_seen_jobs(&of, &SeenJobFilter::default(), None, 10)
        .await;
    assert!(left.expect("jobs are listed").is_empty());
}

async fn a_whole_look_forgets_what_it_did_not_see(store: &dyn SeenJobStore) {
    let of = ada("whole");
    assert_eq!(store.find_job_look(&of).await.expect("a look is read"), None);
    for (name, at) in [("cc01", 5), ("cc02", 8)] {
        let job = sample_job(name, 1, "COMPLETED", &[]);
        let kept = store.keep_seen_jobs(&of, &[job], second(at)).await;
        kept.expect("a job is kept");
    }
    let look = JobLook {
        at: second(9),
        whole_at: second(8),
        newest: Some((second(1), id("cc02"))),
    };
    store.save_job_look(&of, &look).await.expect("a look is kept");
    let found = store.find_job_look(&of).await.expect("a look is read");
    assert_eq!(found, Some(look));
    let left = store
        .list_seen_jobs(&of, &SeenJobFilter::default(), None, 10)
        .await;
    let left = left.expect("jobs are listed");
    assert_eq!(
        left.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(),
        ["cc02"]
    );
}
