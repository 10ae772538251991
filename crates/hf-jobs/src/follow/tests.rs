use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use hf_core::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use hf_core::{HfClient, HfError, JobId, Namespace, TransportKind};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{HfJobRunner, LogItem, LogOptions};

fn jobs(transport: &ScriptedTransport) -> HfJobRunner {
    let client = HfClient::builder()
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(ManualClock::auto()))
        .build()
        .unwrap();
    HfJobRunner::new(&client, Namespace::parse("ada").unwrap())
}

fn id() -> JobId {
    JobId::parse("66aa").unwrap()
}

fn line(n: usize) -> String {
    match n {
        0 => "===== Job started at 2026-10-09 08:00:00 =====".to_owned(),
        n if n % 3 == 2 => "same again".to_owned(),
        n => format!("line {n} é😀"),
    }
}

/// Three lines in a row share a moment, and one text in three is the same.
fn log(count: usize) -> Vec<String> {
    (0..count)
        .map(|n| {
            let moment = n / 3;
            let stamp = format!("2026-10-09T08:{:02}:{:02}.000Z", moment / 60, moment % 60);
            format!("data: {}\n\n", json!({"data": line(n), "timestamp": stamp}))
        })
        .collect()
}

fn stage(word: &str) -> Reply {
    Reply::json(200, json!({"id": "66aa", "status": {"stage": word}}))
}

fn is_log(request: &RecordedRequest) -> bool {
    request.path().ends_with("/logs")
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn kept(folder: &tempfile::TempDir) -> Vec<String> {
    let text = std::fs::read_to_string(folder.path().join("log.jsonl")).unwrap();
    text.lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["data"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// A promise of the project: no line lost, none doubled, also when the follower dies and the journal's last line is torn.
    #[test]
    fn a_log_cut_at_any_byte_is_kept_whole_over_restarts(
        count in 1..30_usize,
        cuts in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>(), any::<prop::sample::Index>()), 0..8),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.jsonl");
        let text = log(count).concat().into_bytes();
        let opened = Arc::new(AtomicUsize::new(0));
        let (seen, rounds) = (opened.clone(), cuts.clone());
        let transport = ScriptedTransport::answering(move |request| {
            if !is_log(request) {
                let over = seen.load(Ordering::SeqCst) >= rounds.len();
                return Some(stage(if over { "COMPLETED" } else { "RUNNING" }));
            }
            Some(match rounds.get(seen.fetch_add(1, Ordering::SeqCst)) {
                Some((at, _, _)) => Reply::sse(text[..at.index(text.len() + 1)].to_vec()).then_reset(),
                None => Reply::sse(text.clone()).then_silence(),
            })
        });
        block_on(async {
            let options = KeepOptions { max_failures: 0, ..KeepOptions::default() };
            loop {
                let journal = FileJournal::open(&path).await.unwrap();
                let round = opened.load(Ordering::SeqCst);
                let ended = jobs(&transport).keep_log(&id(), &journal, &options, |_| {}).await;
                drop(journal);
                match ended {
                    Ok(job) => { assert!(job.stage().is_terminal()); break }
                    Err(FollowError::Hub(_)) => {}
                    Err(error) => panic!("{error}"),
                }
                if let Some((_, true, torn)) = cuts.get(round) {
                    // The process died while it wrote.
                    let bytes = std::fs::read(&path).unwrap();
                    let keep = torn.index(bytes.len() + 1);
                    std::fs::write(&path, &bytes[..keep]).unwrap();
                }
            }
        });
        prop_assert_eq!(kept(&folder), (0..count).map(line).collect::<Vec<_>>());
    }

    /// The Hub drops the beginning of a long log: what is there goes on, and it is said.
    #[test]
    fn a_rotated_log_goes_on_where_it_was_left(
        known in 4..700_usize,
        more in 0..40_usize,
        dropped in 1..700_usize,
    ) {
        let dropped = dropped.min(known - 3);
        let total = known + more;
        let transport = ScriptedTransport::answering(move |request| Some(if is_log(request) {
            Reply::sse(log(total)[dropped..].concat()).then_silence()
        } else {
            stage("COMPLETED")
        }));
        let mut cursor = LogCursor::default();
        for (n, event) in log(known).iter().enumerate() {
            let event: Value = serde_json::from_str(event.trim_start_matches("data: ").trim_end()).unwrap();
            cursor.push(&crate::LogLine {
                index: n as u64,
                timestamp: event["timestamp"].as_str().unwrap().parse().ok(),
                text: line(n),
            });
        }
        let options = LogOptions { after: Some(cursor), ..LogOptions::default() };
        let items: Vec<LogItem> = block_on(jobs(&transport).follow_log(&id(), options).map(Result::unwrap).collect());
        prop_assert_eq!(&items[0], &LogItem::Rotated { lost: false });
        let got: Vec<(u64, String)> = items[1..].iter().map(|item| match item {
            LogItem::Line(line) => (line.index, line.text.clone()),
            LogItem::Rotated { .. } => panic!("said twice"),
        }).collect();
        prop_assert_eq!(got, (known..total).map(|n| (n as u64, line(n))).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn lines_that_the_hub_dropped_unread_are_said_to_be_lost() {
    let transport = ScriptedTransport::answering(|request| {
        Some(if is_log(request) {
            Reply::sse(log(40)[20..].concat())
        } else {
            stage("ERROR")
        })
    });
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    std::fs::write(
        &path,
        "{\"data\":\"===== Job started\",\"timestamp\":\"2026-10-09T08:00:00Z\"}\n",
    )
    .unwrap();
    let journal = FileJournal::open(&path).await.unwrap();
    let mut said = Vec::new();
    jobs(&transport)
        .keep_log(&id(), &journal, &KeepOptions::default(), |item| {
            if let LogItem::Rotated { lost } = item {
                said.push(*lost);
            }
        })
        .await
        .unwrap();
    assert_eq!(said, [true]);
    assert_eq!(kept(&folder)[1..], (20..40).map(line).collect::<Vec<_>>());
}

#[tokio::test]
async fn two_followers_of_one_journal_do_not_mix_their_lines() {
    let folder = tempfile::tempdir().unwrap();
    let journal = FileJournal::open(folder.path().join("log.jsonl")).await.unwrap();
    let line = crate::LogLine {
        index: 0,
        timestamp: None,
        text: "a".into(),
    };
    journal.append(0, std::slice::from_ref(&line)).await.unwrap();
    let error = journal.append(0, &[line]).await.unwrap_err();
    assert!(error.source.to_string().contains("somebody else"), "{error:?}");
}

fn refusal(status: u16) -> HfError {
    let transport = ScriptedTransport::with_replies([Reply::status(status)]);
    let jobs = jobs(&transport);
    block_on(jobs.client().request(hf_core::RequestSpec::get("/x").no_retry())).unwrap_err()
}

#[test]
fn case_13_a_metrics_stream_refused_after_the_end_is_no_error() {
    for status in [406, 500] {
        let transport = ScriptedTransport::answering(|_| Some(stage("COMPLETED")));
        let end = block_on(jobs(&transport).keep_metrics(
            &id(),
            Duration::from_secs(10),
            3,
            || futures::stream::iter([Err(refusal_of(status))]),
            |(): ()| panic!("nothing was measured"),
        ));
        assert_eq!(end.unwrap(), MetricsEnd::JobOver);
    }
    let transport = ScriptedTransport::answering(|_| Some(stage("RUNNING")));
    let error = block_on(jobs(&transport).keep_metrics(
        &id(),
        Duration::from_secs(10),
        3,
        || futures::stream::iter([Err(refusal_of(403))]),
        |(): ()| {},
    ));
    assert!(error.is_err(), "another refusal is one");
}

/// Runs outside of the runtime that asks for it.
fn refusal_of(status: u16) -> HfError {
    std::thread::spawn(move || refusal(status)).join().unwrap()
}

#[test]
fn a_metrics_stream_that_never_ends_ends_with_the_job() {
    let (opened, looks) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let looked = looks.clone();
    let transport = ScriptedTransport::answering(move |_| {
        let over = looked.fetch_add(1, Ordering::SeqCst) >= 2;
        Some(stage(if over { "CANCELED" } else { "RUNNING" }))
    });
    let mut told = Vec::new();
    let end = block_on(jobs(&transport).keep_metrics(
        &id(),
        Duration::from_secs(10),
        3,
        || {
            let n = opened.fetch_add(1, Ordering::SeqCst);
            // One measurement, then a break or silence for ever.
            let first = futures::stream::iter([Ok(n)]);
            if n == 0 {
                let broken = HfError::Transport {
                    kind: TransportKind::Body,
                    request: "GET".into(),
                    message: "broke".into(),
                    source: None,
                };
                first.chain(futures::stream::iter([Err(broken)])).boxed()
            } else {
                first.chain(futures::stream::pending()).boxed()
            }
        },
        |n: usize| told.push(n),
    ));
    assert_eq!((end.unwrap(), told), (MetricsEnd::JobOver, vec![0, 1, 2]));
}
