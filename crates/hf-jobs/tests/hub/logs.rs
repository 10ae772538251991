//! Logs over broken connections, against a Hub in this process.

use std::time::Duration;

use crate::support::{DEADLINE, TestHub, finished, follow, is_added, sh, wait_for_line};
use futures::TryStreamExt;
use hf_jobs::{HfJobRunner, LogLimits, LogLine, LogOptions};
use hf_local::{FaultKind, FaultRule};

/// Prints numbered lines, then waits for its input's end, then prints one more.
const COUNT: &str = "i=0; while [ $i -lt 200 ]; do echo \"line $i é😀\"; i=$((i+1)); done";

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("line {n} é😀")).collect()
}

async fn read(jobs: &HfJobRunner, id: &hf_core::JobId, options: LogOptions) -> Vec<LogLine> {
    let lines = jobs.stream_logs(id, options).try_collect();
    tokio::time::timeout(DEADLINE, lines)
        .await
        .expect("the stream ends")
        .unwrap()
}

fn texts(lines: Vec<LogLine>) -> Vec<String> {
    lines
        .into_iter()
        .map(|line| line.text)
        .filter(|text| !is_added(text))
        .collect()
}

#[tokio::test]
async fn a_running_job_is_followed_to_its_end() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let job = jobs
        .run(&sh(&format!("{COUNT}; sleep 1; echo last")))
        .await
        .unwrap();
    let lines = read(&jobs, &job.id, follow()).await;
    assert!(jobs.get_job(&job.id).await.unwrap().stage().is_terminal());
    assert!(lines.iter().all(|line| line.timestamp.is_some()));
    assert_eq!(
        lines.first().map(|line| line.index),
        Some(1),
        "the heading is line 0"
    );
    let mut all = expected(200);
    all.push("last".into());
    assert_eq!(texts(lines), all);
    hub.stop().await;
}

#[tokio::test]
async fn no_line_is_lost_or_doubled_over_broken_connections() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    for n in [1, 40, 700, 3_001, 9_999] {
        hub.fail("GET", "/logs", FaultKind::ResetAfterBytes { n });
        hub.fail("GET", "/logs", FaultKind::Truncate { n });
    }
    hub.fail(
        "GET",
        "/logs",
        FaultKind::Status {
            code: 503,
            retry_after: None,
        },
    );
    hub.fail("GET", "/logs", FaultKind::ResetBefore);
    let job = jobs
        .run(&sh(&format!("{COUNT}; sleep 2; echo last")))
        .await
        .unwrap();
    let mut all = expected(200);
    all.push("last".into());
    assert_eq!(texts(read(&jobs, &job.id, follow()).await), all);
    let unused: Vec<FaultRule> = hub
        .hub
        .faults()
        .list()
        .into_iter()
        .filter(|rule| rule.times > 0)
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
    hub.stop().await;
}

#[tokio::test]
async fn a_stored_log_is_continued() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let job = jobs.run(&sh(COUNT)).await.unwrap();
    let mut first: Vec<LogLine> = Vec::new();
    let mut stream = jobs.stream_logs(&job.id, follow());
    while first.len() < 77 {
        first.push(stream.try_next().await.unwrap().unwrap());
    }
    drop(stream);
    let skip = first.last().unwrap().index + 1;
    let rest = read(&jobs, &job.id, LogOptions { skip, ..follow() }).await;
    first.extend(rest);
    assert_eq!(texts(first), expected(200));
    hub.stop().await;
}

#[tokio::test]
async fn a_tail_and_a_bounded_text_are_the_end_of_the_log() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let job = jobs.run(&sh(COUNT)).await.unwrap();
    finished(&jobs, &job.id).await;
    for n in [60, 200] {
        hub.fail("GET", "/logs", FaultKind::ResetAfterBytes { n });
    }
    let tail = read(
        &jobs,
        &job.id,
        LogOptions {
            tail: Some(7),
            ..follow()
        },
    )
    .await;
    assert_eq!(texts(tail), expected(200)[193..]);

    let all = expected(200).join("\n") + "\n";
    assert!(jobs.get_job_logs(&job.id).await.unwrap().ends_with(&all));
    let limits = LogLimits {
        max_lines: 3,
        ..LogLimits::default()
    };
    let end = jobs.collect_logs(&job.id, limits).await.unwrap();
    assert_eq!(
        (end.text.as_str(), end.truncated),
        ("line 197 é😀\nline 198 é😀\nline 199 é😀\n", true)
    );
    hub.stop().await;
}

#[tokio::test]
async fn without_follow_a_running_job_gives_what_is_there() {
    let hub = TestHub::start().await;
    let jobs = hub.jobs();
    let job = jobs.run(&sh("echo here; sleep 600")).await.unwrap();
    // Following shows when the line is there.
    drop(wait_for_line(&jobs, &job.id, "here").await);
    let options = LogOptions {
        follow: false,
        quiet: Duration::from_millis(300),
        ..LogOptions::default()
    };
    assert_eq!(texts(read(&jobs, &job.id, options).await), ["here"]);
    jobs.cancel_job(&job.id).await.unwrap();
    hub.stop().await;
}
