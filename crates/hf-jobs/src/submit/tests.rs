use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hf_core::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use hf_core::{Clock, HfClient, HfErrorKind, Namespace, TransportKind};
use serde_json::{Value, json};

use super::*;
use crate::{HfJobRunner, JobSpec};

const LABEL: (&str, &str) = ("intent", "7");

fn jobs(transport: &ScriptedTransport) -> (HfJobRunner, ManualClock) {
    let clock = ManualClock::auto();
    let client = HfClient::builder()
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    (HfJobRunner::new(&client, Namespace::parse("ada").unwrap()), clock)
}

fn spec() -> JobSpec {
    let mut spec = JobSpec::docker("python:3.12", ["python"]);
    spec.timeout = Some(Duration::from_hours(1));
    spec
}

fn job(id: &str, second: u32, stage: &str) -> Value {
    json!({"id": id, "createdAt": format!("2026-10-09T08:00:{second:02}.000Z"), "dockerImage": "python:3.12",
        "command": ["python"], "environment": {}, "flavor": "cpu-basic", "timeout": 3600,
        "labels": {"intent": "7"}, "status": {"stage": stage}})
}

fn posts(transport: &ScriptedTransport) -> usize {
    let sent = transport.requests();
    sent.iter().filter(|request| is_post(request)).count()
}

fn is_post(request: &RecordedRequest) -> bool {
    request.method == "POST" && request.path() == "/api/jobs/ada"
}

fn list(jobs: impl IntoIterator<Item = Value>) -> Reply {
    Reply::json(200, Value::from_iter(jobs))
}

#[tokio::test]
async fn the_journal_is_written_before_the_request() {
    let journal = Arc::new(MemoryJournal::default());
    let seen = journal.clone();
    let transport = ScriptedTransport::answering(move |request| {
        if is_post(request) {
            assert!(matches!(seen.state(), SubmissionState::Sent { sends: 1, .. }));
            return Some(Reply::json(200, job("66aa", 1, "SCHEDULING")));
        }
        Some(list([]))
    });
    let (jobs, _) = jobs(&transport);
    let submitted = jobs
        .submit(&spec(), LABEL, &*journal, &SubmitPolicy::default())
        .await
        .unwrap();
    assert!(submitted.sent && submitted.canceled.is_empty());
    assert!(matches!(journal.state(), SubmissionState::Created { job_id, .. } if job_id.as_str() == "66aa"));
}

#[tokio::test]
async fn an_unclear_answer_is_looked_up_with_patience_before_anything_is_sent_again() {
    for (unclear, appears_after) in [
        (Reply::status(500), 0),
        (Reply::fail(TransportKind::Timeout), 7),
        (Reply::fail(TransportKind::Reset), 20),
        (Reply::json(200, "odd"), 3),
        (Reply::status(408), 1),
    ] {
        let lists = AtomicUsize::new(0);
        let transport = ScriptedTransport::answering(move |request| {
            if is_post(request) {
                return Some(unclear.clone());
            }
            // The first list is the look before the request.
            let there = lists.fetch_add(1, Ordering::SeqCst) > appears_after;
            Some(list(there.then(|| job("66aa", 1, "RUNNING"))))
        });
        let (jobs, _) = jobs(&transport);
        let journal = MemoryJournal::default();
        let submitted = jobs
            .submit(&spec(), LABEL, &journal, &SubmitPolicy::default())
            .await
            .unwrap();
        assert_eq!((submitted.job.id.as_str(), posts(&transport)), ("66aa", 1));
    }
}

#[tokio::test]
async fn what_was_never_made_is_sent_again_after_the_patience_and_not_before() {
    let sent = Arc::new(AtomicUsize::new(0));
    let counted = sent.clone();
    let transport = ScriptedTransport::answering(move |request| {
        if is_post(request) {
            let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
            return Some(if first {
                Reply::fail(TransportKind::Reset)
            } else {
                Reply::json(200, job("66aa", 1, "SCHEDULING"))
            });
        }
        Some(list([]))
    });
    let (jobs, clock) = jobs(&transport);
    let policy = SubmitPolicy::default();
    let journal = MemoryJournal::default();
    jobs.submit(&spec(), LABEL, &journal, &policy).await.unwrap();
    assert_eq!(sent.load(Ordering::SeqCst), 2);
    assert!(clock.elapsed() >= policy.patience, "{:?}", clock.elapsed());
}

#[tokio::test]
async fn what_can_not_be_looked_up_stays_unknown_and_is_never_sent_again() {
    let transport = ScriptedTransport::answering(|request| {
        Some(match request.method.as_str() {
            "POST" => Reply::status(502),
            _ => Reply::fail(TransportKind::Connect),
        })
    });
    let (jobs, clock) = jobs(&transport);
    let at = clock.now();
    let journal = MemoryJournal::at(SubmissionState::Sent { at, sends: 1 });
    for _ in 0..3 {
        let error = jobs
            .submit(&spec(), LABEL, &journal, &SubmitPolicy::default())
            .await
            .unwrap_err();
        assert!(matches!(error, SubmitError::Unknown(_)), "{error}");
    }
    assert_eq!(posts(&transport), 0);
    assert_eq!(journal.state(), SubmissionState::Sent { at, sends: 1 });
}

#[tokio::test]
async fn a_clear_refusal_says_that_nothing_was_made() {
    let transport = ScriptedTransport::with_replies([list([]), Reply::status(403)]);
    let (jobs, _) = jobs(&transport);
    let journal = MemoryJournal::default();
    let error = jobs
        .submit(&spec(), LABEL, &journal, &SubmitPolicy::default())
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SubmitError::NotCreated(error) if error.kind() == HfErrorKind::Forbidden),
        "{error}"
    );
    assert_eq!(journal.state(), SubmissionState::Planned);
}

#[tokio::test]
async fn of_two_machines_jobs_the_oldest_stays_and_the_younger_is_canceled() {
    let transport = ScriptedTransport::answering(|request| {
        if is_post(request) {
            return Some(Reply::json(200, job("66bb", 2, "SCHEDULING")));
        }
        if request.path().ends_with("/cancel") {
            assert_eq!(request.path(), "/api/jobs/ada/66bb/cancel");
            return Some(Reply::json(200, job("66bb", 2, "CANCELED")));
        }
        let mut rerun = job("66cc", 3, "RUNNING");
        rerun["initiator"] = json!({"type": "duplicated-job", "id": "66aa"});
        let both = [rerun, job("66bb", 2, "SCHEDULING"), job("66aa", 1, "RUNNING")];
        Some(list(both))
    });
    // Another machine's job was not visible yet when this one looked.
    transport.push(list([]));
    let (jobs, _) = jobs(&transport);
    let journal = MemoryJournal::default();
    let submitted = jobs
        .submit(&spec(), LABEL, &journal, &SubmitPolicy::default())
        .await
        .unwrap();
    assert_eq!(submitted.job.id.as_str(), "66aa");
    assert_eq!(
        submitted
            .canceled
            .iter()
            .map(hf_core::JobId::as_str)
            .collect::<Vec<_>>(),
        ["66bb"]
    );
    assert!(matches!(journal.state(), SubmissionState::Created { job_id, .. } if job_id.as_str() == "66aa"));
}

#[tokio::test]
async fn a_job_that_is_not_what_was_asked_for_is_canceled_at_once() {
    let transport = ScriptedTransport::answering(|request| {
        let mut drifted = job("66aa", 1, "SCHEDULING");
        drifted["timeout"] = json!(1800);
        Some(match () {
            () if is_post(request) => Reply::json(200, drifted),
            () if request.path().ends_with("/cancel") => Reply::json(200, job("66aa", 1, "CANCELED")),
            () => list([]),
        })
    });
    let (jobs, _) = jobs(&transport);
    let journal = MemoryJournal::default();
    let error = jobs
        .submit(&spec(), LABEL, &journal, &SubmitPolicy::default())
        .await
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "job 66aa is not what was asked for, and was canceled: timeout: asked 3600, got 1800"
    );
    let SubmissionState::Drifted { canceled: true, .. } = journal.state() else {
        panic!("{:?}", journal.state());
    };
    // Asked again, it says the same and sends nothing.
    let asked = transport.requests().len();
    jobs.submit(&spec(), LABEL, &journal, &SubmitPolicy::default())
        .await
        .unwrap_err();
    assert_eq!(transport.requests().len(), asked);
}
