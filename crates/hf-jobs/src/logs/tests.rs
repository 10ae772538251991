use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use futures::TryStreamExt;
use hf_core::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use hf_core::{HfClient, HfErrorKind, Namespace, RetryPolicy, TransportKind};
use proptest::prelude::*;
use serde_json::json;

use super::*;

fn jobs(transport: &ScriptedTransport) -> HfJobRunner {
    let client = HfClient::builder()
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(ManualClock::auto()))
        .retry(RetryPolicy {
            seed: Some(3),
            ..RetryPolicy::default()
        })
        .build()
        .unwrap();
    HfJobRunner::new(&client, Namespace::parse("ada").unwrap())
}

fn id() -> JobId {
    JobId::parse("66aa").unwrap()
}

fn event(text: &str, second: usize) -> String {
    let stamp = format!("2026-10-09T08:{:02}:{:02}.000Z", second / 60 % 60, second % 60);
    format!("data: {}\n\n", json!({"data": text, "timestamp": stamp}))
}

/// A log of `count` lines behind its heading; lines repeat, as a progress bar's do.
fn log(count: usize) -> Vec<String> {
    let mut events = vec![event("===== Job started at 2026-10-09 08:00:00 =====", 0)];
    events.extend((0..count).map(|n| event(&line(n), n)));
    events
}

fn line(n: usize) -> String {
    if n % 3 == 2 {
        "same again".to_owned()
    } else {
        format!("line {n} é😀")
    }
}

fn stage(word: &str) -> Reply {
    Reply::json(200, json!({"id": "66aa", "status": {"stage": word}}))
}

fn is_log(request: &RecordedRequest) -> bool {
    request.path().ends_with("/logs")
}

fn logs_opened(transport: &ScriptedTransport) -> usize {
    transport
        .requests()
        .iter()
        .filter(|request| is_log(request))
        .count()
}

async fn texts(transport: &ScriptedTransport, options: LogOptions) -> Result<Vec<String>, HfError> {
    jobs(transport)
        .stream_logs(&id(), options)
        .map_ok(|line| line.text)
        .try_collect()
        .await
}

/// How a scripted connection ends.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Reset,
    Clean,
    Silence,
    IdleTimeout,
}

/// A job whose log grows from connection to connection, each of which may be cut.
///
/// `cuts` holds, for each connection, how much of the log exists then, how much of that arrives, and the end. The job is over
/// when the last of them was opened, or when it was looked at five times meanwhile; its last lines may exist after that
/// only. From then on what is cut breaks: a server that ends half a log in good order could not be told from an honest one.
fn growing(count: usize, cuts: Vec<(usize, prop::sample::Index, Cut)>) -> ScriptedTransport {
    let events = log(count);
    let (opened, looks, over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let script = move |request: &RecordedRequest| {
        if !is_log(request) {
            let looks = looks.fetch_add(1, Ordering::SeqCst) + 1;
            if looks >= 5 || opened.load(Ordering::SeqCst) >= cuts.len() {
                over.store(true, Ordering::SeqCst);
            }
            return Some(stage(if over.load(Ordering::SeqCst) {
                "COMPLETED"
            } else {
                "RUNNING"
            }));
        }
        let over = over.load(Ordering::SeqCst);
        let cut = cuts.get(opened.fetch_add(1, Ordering::SeqCst));
        let exists = cut.map_or(events.len(), |(exists, ..)| {
            if over {
                events.len()
            } else {
                (*exists).min(events.len())
            }
        });
        let mut shown = &events[..exists];
        if let Some((_, tail)) = request.url.query_pairs().find(|(key, _)| key == "tail") {
            shown = &shown[exists.saturating_sub(tail.parse().unwrap())..];
        }
        let text = format!(": keep-alive\n\n{}", shown.concat()).into_bytes();
        let Some((_, at, cut)) = cut else {
            return Some(Reply::sse(text).then_silence());
        };
        let part = Reply::sse(text[..at.index(text.len() + 1)].to_vec());
        Some(match cut {
            Cut::Clean if !over => part,
            Cut::Silence if !over => part.then_silence(),
            Cut::IdleTimeout => part.then_fail(TransportKind::Timeout),
            Cut::Reset | Cut::Clean | Cut::Silence => part.then_reset(),
        })
    };
    ScriptedTransport::answering(script)
}

fn cut() -> impl Strategy<Value = Cut> {
    prop_oneof![
        Just(Cut::Reset),
        Just(Cut::Clean),
        Just(Cut::Silence),
        Just(Cut::IdleTimeout)
    ]
}

fn cuts(count: usize) -> impl Strategy<Value = Vec<(usize, prop::sample::Index, Cut)>> {
    prop::collection::vec((0..=count + 1, any::<prop::sample::Index>(), cut()), 0..8).prop_map(|mut cuts| {
        // A log only grows.
        let mut lengths: Vec<usize> = cuts.iter().map(|(length, ..)| *length).collect();
        lengths.sort_unstable();
        for (cut, length) in cuts.iter_mut().zip(lengths) {
            cut.0 = length;
        }
        cuts
    })
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    /// A promise of the project: no line lost, none doubled.
    #[test]
    fn a_log_cut_anywhere_gives_each_line_once_in_order((count, cuts) in (0..12_usize).prop_flat_map(|n| (Just(n), cuts(n)))) {
        let transport = growing(count, cuts);
        let options = LogOptions { max_failures: 20, ..LogOptions::default() };
        let stream = jobs(&transport).stream_logs(&id(), options);
        let lines: Vec<LogLine> = block_on(stream.try_collect()).unwrap();
        let expected: Vec<(u64, String)> = (0..count).map(|n| (n as u64 + 1, line(n))).collect();
        let got: Vec<(u64, String)> = lines.into_iter().map(|line| (line.index, line.text)).collect();
        prop_assert_eq!(got, expected);
    }

    #[test]
    fn a_log_continues_where_it_was_left((count, at) in (1..12_usize).prop_flat_map(|n| (Just(n), 0..=n)), cuts in cuts(12)) {
        let transport = growing(count, cuts);
        let options = LogOptions { skip: at as u64 + 1, max_failures: 20, ..LogOptions::default() };
        let got = block_on(texts(&transport, options)).unwrap();
        prop_assert_eq!(got, (at..count).map(line).collect::<Vec<_>>());
    }

    /// Where a tail begins depends on the moment; from there on nothing is lost or doubled.
    #[test]
    fn a_tail_cut_anywhere_is_a_suffix_of_the_log(
        (count, cuts) in (1..12_usize).prop_flat_map(|n| (Just(n), cuts(n))),
        tail in 1..6_u64,
    ) {
        let transport = growing(count, cuts);
        let options = LogOptions { tail: Some(tail), max_failures: 20, ..LogOptions::default() };
        let got = block_on(texts(&transport, options)).unwrap();
        let all: Vec<String> = (0..count).map(line).collect();
        prop_assert!(all.ends_with(&got), "{:?} is no end of {:?}", got, all);
        prop_assert!(got.len() >= count.min(usize::try_from(tail).unwrap()).min(1));
    }
}

#[tokio::test]
async fn the_end_is_read_again_once_the_job_is_known_to_be_over() {
    // The last line appears between the end of the first connection and the end of the job.
    let events = log(2);
    let transport = ScriptedTransport::with_replies([
        Reply::sse(events[..2].concat()),
        stage("COMPLETED"),
        Reply::sse(events.concat()),
    ]);
    assert_eq!(
        texts(&transport, LogOptions::default()).await.unwrap(),
        [line(0), line(1)]
    );
    assert_eq!(transport.replies_left(), 0);
}

#[tokio::test]
async fn an_endless_silent_stream_of_a_finished_job_ends() {
    let transport = ScriptedTransport::answering(|request| {
        Some(if is_log(request) {
            Reply::sse(log(3).concat()).then_silence()
        } else {
            stage("ERROR")
        })
    });
    assert_eq!(
        texts(&transport, LogOptions::default()).await.unwrap(),
        [line(0), line(1), line(2)]
    );
    assert_eq!(logs_opened(&transport), 2);
}

#[tokio::test]
async fn a_long_silent_job_is_not_given_up() {
    let looks = AtomicUsize::new(0);
    let transport = ScriptedTransport::answering(move |request| {
        let over = looks.load(Ordering::SeqCst) >= 50;
        if is_log(request) {
            let part = Reply::sse(log(1).concat());
            return Some(if over {
                part
            } else {
                part.then_fail(TransportKind::Timeout)
            });
        }
        looks.fetch_add(1, Ordering::SeqCst);
        Some(stage(if over { "COMPLETED" } else { "RUNNING" }))
    });
    assert_eq!(texts(&transport, LogOptions::default()).await.unwrap(), [line(0)]);
    assert!(logs_opened(&transport) > 50);
}

#[tokio::test]
async fn refusals_end_the_stream_at_once() {
    for (status, kind) in [
        (401, HfErrorKind::Auth),
        (403, HfErrorKind::Forbidden),
        (404, HfErrorKind::NotFound),
    ] {
        let transport = ScriptedTransport::with_replies([Reply::status(status)]);
        assert_eq!(
            texts(&transport, LogOptions::default()).await.unwrap_err().kind(),
            kind
        );
        assert_eq!(transport.requests().len(), 1);
    }
}

#[tokio::test]
async fn failures_in_a_row_are_bounded_and_a_new_line_forgives_them() {
    let transport = ScriptedTransport::answering(|_| Some(Reply::fail(TransportKind::Reset)));
    let error = texts(&transport, LogOptions::default()).await.unwrap_err();
    assert_eq!(
        (error.kind(), transport.requests().len()),
        (HfErrorKind::Transport, 6)
    );

    // A connection that breaks before it shows anything new is a failure, however often it replays.
    let transport = ScriptedTransport::answering(|_| Some(Reply::sse(log(2).concat()).then_reset()));
    let mut lines = jobs(&transport).stream_logs(&id(), LogOptions::default());
    assert_eq!(lines.try_next().await.unwrap().unwrap().text, line(0));
    assert_eq!(lines.try_next().await.unwrap().unwrap().text, line(1));
    assert_eq!(lines.try_next().await.unwrap_err().kind(), HfErrorKind::Transport);
    assert!(lines.try_next().await.unwrap().is_none());
    assert_eq!(transport.requests().len(), 6);

    // One more line each time: the log gets through.
    let opened = AtomicUsize::new(0);
    let transport = ScriptedTransport::answering(move |request| {
        let shown = opened.load(Ordering::SeqCst).min(31);
        if !is_log(request) {
            return Some(stage(if shown == 31 { "COMPLETED" } else { "RUNNING" }));
        }
        opened.fetch_add(1, Ordering::SeqCst);
        let part = Reply::sse(log(30)[..shown].concat());
        Some(if shown == 31 { part } else { part.then_reset() })
    });
    assert_eq!(texts(&transport, LogOptions::default()).await.unwrap().len(), 30);
}

#[tokio::test]
async fn a_busy_server_s_wait_is_kept() {
    let transport = ScriptedTransport::with_replies([
        Reply::status(429).header("retry-after", "40"),
        Reply::sse(log(1).concat()),
        stage("COMPLETED"),
        Reply::sse(log(1).concat()),
    ]);
    let clock = ManualClock::auto();
    let client = HfClient::builder()
        .transport(Arc::new(transport))
        .clock(Arc::new(clock.clone()))
        .build()
        .unwrap();
    let jobs = HfJobRunner::new(&client, Namespace::parse("ada").unwrap());
    let lines: Vec<LogLine> = jobs
        .stream_logs(&id(), LogOptions::default())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(lines.len(), 1);
    assert!(
        clock.sleeps().contains(&Duration::from_secs(40)),
        "{:?}",
        clock.sleeps()
    );
}

#[tokio::test]
async fn without_follow_the_stream_ends_with_what_is_there() {
    let date = "Fri, 09 Oct 2026 08:00:02 GMT";
    for reply in [
        Reply::sse(log(3).concat()),
        Reply::sse(log(3).concat()).then_silence(),
        // A job that talks without end: what is newer than the answer is left out.
        Reply::sse(log(200).concat()).then_silence(),
    ] {
        let long = format!("{reply:?}").len() > 10_000;
        let transport = ScriptedTransport::with_replies([reply.header("date", date)]);
        let got = texts(
            &transport,
            LogOptions {
                follow: false,
                ..LogOptions::default()
            },
        )
        .await
        .unwrap();
        assert_eq!(got.len(), if long { 4 } else { 3 });
        assert_eq!(transport.requests().len(), 1);
    }
}

#[tokio::test]
async fn odd_events_do_not_break_the_count() {
    let mut text = log(1).concat();
    write!(
        text,
        "event: ping\ndata: {{}}\n\ndata: no json\n\n{}",
        event("last", 9)
    )
    .unwrap();
    let half = text.len() / 2;
    let transport = ScriptedTransport::with_replies([
        Reply::sse(text.clone().into_bytes()[..half].to_vec()).then_reset(),
        Reply::sse(text.clone()),
        stage("COMPLETED"),
        Reply::sse(text),
    ]);
    assert_eq!(
        texts(&transport, LogOptions::default()).await.unwrap(),
        [&line(0), "no json", "last"]
    );
}

#[tokio::test]
async fn the_heading_can_be_shown() {
    let reply = Reply::sse(log(1).concat()).header("date", "Fri, 09 Oct 2026 09:00:00 GMT");
    let transport = ScriptedTransport::with_replies([reply]);
    let options = LogOptions {
        follow: false,
        heading: true,
        ..LogOptions::default()
    };
    let lines = texts(&transport, options).await.unwrap();
    assert!(
        lines.len() == 2 && lines[0].starts_with(HEADING_TEXT),
        "{lines:?}"
    );
}

const HEADING_TEXT: &str = "===== Job started";

#[tokio::test]
async fn a_log_that_shrank_is_reported() {
    let events = log(3);
    let transport = ScriptedTransport::with_replies([
        Reply::sse(events.concat()),
        stage("COMPLETED"),
        Reply::sse(events[..2].concat()),
    ]);
    let error = texts(&transport, LogOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::Decode);
}

#[tokio::test]
async fn tail_and_skip_do_not_go_together() {
    let transport = ScriptedTransport::new();
    let options = LogOptions {
        tail: Some(1),
        skip: 1,
        ..LogOptions::default()
    };
    assert_eq!(
        texts(&transport, options).await.unwrap_err().kind(),
        HfErrorKind::InvalidArgument
    );
    assert!(transport.requests().is_empty());
}

#[tokio::test]
async fn collected_logs_keep_the_end_within_their_limits() {
    let date = "Fri, 09 Oct 2026 09:00:00 GMT";
    for (max_lines, max_bytes, lines, truncated) in [
        (100, 1 << 20, 10, false),
        (10, 1 << 20, 10, false),
        (4, 1 << 20, 4, true),
        (100, 30, 2, true),
        (0, 9, 0, true),
    ] {
        let transport = ScriptedTransport::answering(move |request| {
            let tail: usize = request
                .url
                .query_pairs()
                .find(|(key, _)| key == "tail")?
                .1
                .parse()
                .ok()?;
            let events = log(10);
            Some(Reply::sse(events[events.len().saturating_sub(tail)..].concat()).header("date", date))
        });
        let collected = jobs(&transport)
            .collect_logs(&id(), LogLimits { max_lines, max_bytes })
            .await
            .unwrap();
        assert_eq!(
            (collected.lines, collected.truncated),
            (lines, truncated),
            "{max_lines} {max_bytes}"
        );
        let expected: String = (10 - lines..10).map(|n| line(n) + "\n").collect();
        assert_eq!(collected.text, expected);
    }
}
