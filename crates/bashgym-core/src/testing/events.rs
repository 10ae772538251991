//! The contract of the log of events, and of the events that follow from what is stored.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use hf_core::JobId;
use hf_jobs::{JobStage, SubmissionState};
use jiff::Timestamp;
use serde_json::json;

use super::{sample_launch, sample_spec};
use crate::events::{
    Event, EventLog, EventReader, LogBounds, Missed, NewEvent, Retention, RunEvent, StageStatus, Topics,
};
use crate::launch::{Observation, StageSeen};
use crate::ledger::contract::SetClock;
use crate::run::{RunRecord, Stage};
use crate::store::{JobLineStore, JobStore, JobStream, Store, StoreError};

const START: &str = "2026-11-22T12:00:00Z";

/// Runs every promise of [`EventLog`] against an empty log whose time is that of `clock`.
///
/// # Panics
/// Panics at the first promise that is not kept.
pub async fn event_log_contract(log: Arc<dyn EventLog>, clock: &SetClock) {
    clock.set(START);
    let start: Timestamp = START.parse().expect("a good time");
    let bounds = async || log.bounds().await.expect("the log answers");
    assert_eq!(bounds().await, LogBounds::default(), "the log is empty");
    assert_eq!(log.append(&[]).await.expect("nothing is appended"), [0_u64; 0]);

    let event = |number: u64, topic: &str| {
        NewEvent::new("test:\"é\"", topic, json!({ "n": number, "text": "a\u{0}b😀" }))
    };
    let first = log
        .append(&[event(1, "job:1"), event(2, "job:12"), event(3, "run:1")])
        .await
        .expect("events are appended");
    assert_eq!(first, [1, 2, 3]);
    assert_eq!(
        log.append(&[event(4, "budget")])
            .await
            .expect("an event is appended"),
        [4]
    );

    let listed = async |after: u64, topics: &[&str], limit: u32| -> Vec<u64> {
        let topics = Topics::parse(topics).expect("good topics");
        let events = log.list(after, &topics, limit).await.expect("events are listed");
        events.into_iter().map(|event| event.seq).collect()
    };
    assert_eq!(listed(0, &["*"], 10).await, [1, 2, 3, 4]);
    assert_eq!(listed(1, &["*"], 2).await, [2, 3]);
    assert_eq!(listed(0, &["job:1"], 10).await, [1], "a whole topic is no prefix");
    assert_eq!(listed(0, &["job:*", "budget"], 10).await, [1, 2, 4]);
    assert_eq!(listed(0, &["j%", "_ob:1", "job:1%"], 10).await, [0_u64; 0]);
    assert_eq!(
        listed(0, &["é*", "😀"], 10).await,
        [0_u64; 0],
        "prefixes are counted in whole letters"
    );
    assert_eq!(listed(4, &["*"], 10).await, [0_u64; 0]);
    let back = async |before: u64, topics: &[&str], limit: u32| -> Vec<u64> {
        let topics = Topics::parse(topics).expect("good topics");
        let events = log
            .list_back(before, &topics, limit)
            .await
            .expect("events are listed");
        events.into_iter().map(|event| event.seq).collect()
    };
    assert_eq!(back(u64::MAX, &["*"], 3).await, [4, 3, 2]);
    assert_eq!(back(4, &["job:*"], 10).await, [2, 1]);
    assert_eq!(back(1, &["*"], 10).await, [0_u64; 0]);
    let none = log.list(0, &Topics::none(), 10).await.expect("events are listed");
    assert_eq!(none, []);
    let whole = log.list(0, &Topics::all(), 1).await.expect("events are listed");
    let NewEvent { kind, topic, data } = event(1, "job:1");
    let expected = Event {
        seq: 1,
        time: start,
        kind,
        topic,
        data,
    };
    assert_eq!(whole, [expected], "an event is kept letter for letter");

    waiting_ends_with_an_event(&log).await;
    retention_keeps_the_newest(&log, clock).await;
}

async fn waiting_ends_with_an_event(log: &Arc<dyn EventLog>) {
    let mut watch = log.watch().await.expect("the log is watched");
    watch.wait_after(3).await.expect("event 4 is there already");
    let waiting = tokio::spawn(async move { watch.wait_after(4).await });
    log.append(&[NewEvent::new("test", "job:1", json!(null))])
        .await
        .expect("an event is appended");
    waiting
        .await
        .expect("the wait does not panic")
        .expect("the wait ends");
}

async fn retention_keeps_the_newest(log: &Arc<dyn EventLog>, clock: &SetClock) {
    let keep = |most: u64, least: u64, hours: u64| Retention {
        most,
        least,
        age: Duration::from_hours(hours),
    };
    let prune = async |keep: Retention| log.prune(&keep).await.expect("the log is pruned");
    let bounds = async || {
        let bounds = log.bounds().await.expect("the log answers");
        (bounds.oldest, bounds.newest)
    };
    assert_eq!(prune(keep(5, 0, 24)).await, 0, "young, and few enough");
    assert_eq!(prune(keep(4, 0, 24)).await, 1, "too many");
    assert_eq!(bounds().await, (2, 5));
    clock.set("2027-11-22T12:00:00Z");
    assert_eq!(prune(keep(100, 3, 24)).await, 1, "a year old, but three stay");
    assert_eq!(bounds().await, (3, 5));
    clock.set("2020-01-01T00:00:00Z");
    assert_eq!(prune(keep(100, 0, 24)).await, 0, "the clock went back");
    clock.set("2027-11-22T12:00:00Z");
    assert_eq!(prune(keep(0, 0, 0)).await, 2);
    assert_eq!(bounds().await, (5, 5), "the newest stays");
    let next = log
        .append(&[NewEvent::new("test", "job:1", json!({}))])
        .await
        .expect("an event is appended");
    assert_eq!(next, [6], "no number is given twice");
    clock.set(START);
}

/// Runs the promise that a change and its events are stored together, against any store.
///
/// # Panics
/// Panics at the first promise that is not kept.
pub async fn facts_contract<S>(store: Arc<S>)
where
    S: JobStore + Store + EventLog + JobLineStore + 'static,
{
    launch_tells_each_fact_once(&*store).await;
    lines_are_referred_to_and_filled_in(Arc::clone(&store)).await;
    runs_tell_what_they_do(&*store).await;
    dropped_events_are_missed(store).await;
}

async fn kinds(log: &dyn EventLog, after: u64, topics: &[&str]) -> Vec<String> {
    let topics = Topics::parse(topics).expect("good topics");
    let events = log.list(after, &topics, 1000).await.expect("events are listed");
    events.into_iter().map(|event| event.kind).collect()
}

async fn newest(log: &dyn EventLog) -> u64 {
    log.bounds().await.expect("the log answers").newest
}

async fn launch_tells_each_fact_once<S: JobStore + EventLog>(store: &S) {
    let start = newest(store).await;
    let topics = ["job:facts1", "launch:facts"];
    let mut launch = sample_launch("facts");
    store.create_launch(&launch).await.expect("a launch is made");
    store.create_launch(&launch).await.expect("a launch is found");
    assert_eq!(
        kinds(store, start, &topics).await,
        [""; 0],
        "an intent is no event"
    );
    let at = Timestamp::UNIX_EPOCH;
    launch.submission = SubmissionState::Created {
        job_id: JobId::parse("facts1").expect("a good id"),
        at,
    };
    let observations = [
        Observation::Stage(StageSeen {
            stage: JobStage::Running,
            ..StageSeen::default()
        }),
        Observation::Progress { step: 3 },
        Observation::Progress { step: 3 },
        Observation::Stage(StageSeen {
            stage: JobStage::Completed,
            ..StageSeen::default()
        }),
    ];
    for observation in observations {
        launch.view.apply(at, observation);
        launch.version = store.update_launch(&launch).await.expect("a launch is saved");
    }
    launch.settled = true;
    let version = store.update_launch(&launch).await.expect("a launch is saved");
    let changed = store
        .update_launch(&launch)
        .await
        .expect_err("the version is an old one");
    assert!(matches!(changed, StoreError::Changed { .. }));
    launch.version = version;
    store
        .update_launch(&launch)
        .await
        .expect("a launch is saved as it is");
    assert_eq!(
        kinds(store, start, &topics).await,
        [
            "hf:job:created",
            "hf:job:started",
            "hf:job:progress",
            "hf:job:completed",
            "hf:job:settled"
        ]
    );
}

async fn lines_are_referred_to_and_filled_in<S>(store: Arc<S>)
where
    S: JobStore + EventLog + 'static,
{
    let start = newest(&*store).await;
    let line = |text: &str| json!({ "data": text, "timestamp": "2026-11-22T12:00:00Z" }).to_string();
    let log = JobStream::Log;
    store
        .append_job_lines("facts2", log, 0, &[line("a"), line("ü \"q\"")])
        .await
        .expect("lines are appended");
    store
        .append_job_lines("facts2", log, 0, &[line("never")])
        .await
        .expect_err("somebody else appended");
    store
        .append_job_lines("facts2", log, 2, &[])
        .await
        .expect("no line is appended");
    store
        .append_job_lines("facts2", log, 2, &[line("c")])
        .await
        .expect("lines are appended");
    let topics = Topics::parse(["job:facts2"]).expect("good topics");
    let stored = store.list(start, &topics, 10).await.expect("events are listed");
    assert_eq!(stored.len(), 2, "one event for what was appended at once");
    assert_eq!(
        stored[0].data,
        json!({ "job_id": "facts2", "from": 1, "to": 2 }),
        "a line is stored once"
    );
    let reader = EventReader::new(store.clone(), store.clone());
    let page = reader
        .read(start, &topics, 10)
        .await
        .expect("the log answers")
        .expect("nothing was dropped");
    assert_eq!((page.up_to, page.more), (newest(&*store).await, false));
    let lines: Vec<(u64, String)> = page
        .events
        .iter()
        .flat_map(|event| event.data["lines"].as_array().expect("lines are filled in"))
        .map(|line| {
            let number = line["n"].as_u64().expect("a line has a number");
            (number, line["text"].as_str().expect("a line has text").to_owned())
        })
        .collect();
    assert_eq!(
        lines,
        [(1, "a"), (2, "ü \"q\""), (3, "c")].map(|(number, text)| (number, text.to_owned()))
    );
}

async fn runs_tell_what_they_do<S: Store + EventLog>(store: &S) {
    let start = newest(store).await;
    let mut run = RunRecord::new(sample_spec("ada/facts"), Timestamp::UNIX_EPOCH);
    store.create_run(&run).await.expect("a run is made");
    let event = RunEvent::stage(Stage::Import, StageStatus::Started);
    store
        .append_event(run.id, &event)
        .await
        .expect("an event is kept");
    run.state = run
        .state
        .failed(Stage::Import, "no sessions".to_owned(), None)
        .expect("a queued run may fail");
    store.update_run(&run).await.expect("a run is saved");
    store
        .update_run(&run)
        .await
        .expect_err("the version is an old one");
    let topic = format!("run:{}", run.id);
    let topics = Topics::parse([&topic]).expect("good topics");
    let events = store.list(start, &topics, 10).await.expect("events are listed");
    let told: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(told, ["run:created", "run:stage", "run:state"]);
    assert_eq!(events[1].data["stage"], "import");
    assert_eq!(events[1].data["run_seq"], 1);
    assert_eq!(events[2].data["reason"], "no sessions");
}

async fn dropped_events_are_missed<S>(store: Arc<S>)
where
    S: JobStore + EventLog + 'static,
{
    let reader = EventReader::new(store.clone(), store.clone());
    let last = newest(&*store).await;
    let seqs: BTreeSet<u64> = store
        .list(0, &Topics::all(), 10_000)
        .await
        .expect("events are listed")
        .into_iter()
        .map(|event| event.seq)
        .collect();
    assert!(seqs.len() > 5);
    let read = async |after: u64| {
        let page = reader.read(after, &Topics::all(), 10_000).await;
        page.expect("the log answers").map(|page| page.events.len())
    };
    assert_eq!(read(last).await, Ok(0));
    assert_eq!(
        read(last + 1).await,
        Err(Missed { newest: last }),
        "a number of another log"
    );
    let keep = Retention {
        most: 2,
        ..Retention::default()
    };
    store.prune(&keep).await.expect("the log is pruned");
    assert_eq!(read(last - 2).await, Ok(2), "all that came after is there");
    assert_eq!(read(last - 3).await, Err(Missed { newest: last }));
}
