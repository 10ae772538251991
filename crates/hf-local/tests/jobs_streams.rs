//! The event streams of a job.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod jobs_support;

use std::time::Duration;

use futures::StreamExt;
use hf_local::{ExecutorConfig, HubClock};
use jobs_support::{ADA, TestHub, events, eventually, sh};
use reqwest::{Method, StatusCode};
use serde_json::json;

/// Reads pieces of a stream until `enough` says so.
async fn read_until(response: &mut reqwest::Response, enough: impl Fn(&str) -> bool) -> String {
    let mut text = String::new();
    while !enough(&text) {
        let piece = tokio::time::timeout(Duration::from_mins(1), response.chunk())
            .await
            .expect("a piece in time");
        text.push_str(std::str::from_utf8(&piece.unwrap().expect("the stream goes on")).unwrap());
    }
    text
}

#[tokio::test]
async fn a_log_is_replayed_and_followed_to_its_end() {
    let hub = TestHub::start().await;
    let gate = hub.folder.path().join("gate");
    let script = format!(
        "echo one; while [ ! -e {} ]; do sleep 0.02; done; echo two",
        gate.display()
    );
    let id = hub.submit(&sh(&script)).await;
    let path = format!("/api/jobs/ada/{id}/logs");
    let mut early = hub.request(Method::GET, &path, ADA).send().await.unwrap();
    let text = read_until(&mut early, |text| text.contains("\"one\"")).await;
    assert!(!text.contains("two"));
    std::fs::write(&gate, "").unwrap();
    let text = text + &early.text().await.unwrap();
    // Each event is one line of JSON, one space after the colon, and an empty line.
    for event in text.split_terminator("\n\n") {
        assert!(
            event.starts_with("data: {\"data\":\"") && event.ends_with("Z\"}"),
            "{event:?}"
        );
    }
    // The stream ends when the job is over, so a look right after it finds the end.
    assert_eq!(hub.stage(&id).await, "COMPLETED");
    assert_eq!(hub.log(&id, "").await.text, text);
    let times: Vec<String> = events(&text)
        .iter()
        .map(|event| event["timestamp"].to_string())
        .collect();
    assert!(times.is_sorted());
}

#[tokio::test]
async fn a_tail_is_the_end_of_the_log() {
    let hub = TestHub::start().await;
    let (job, _) = hub.run(&sh("seq 5000")).await;
    let id = job["id"].as_str().unwrap();
    assert_eq!(hub.log(id, "?tail=0").await.all, Vec::<String>::new());
    assert_eq!(hub.log(id, "?tail=2").await.all, ["4999", "5000"]);
    assert_eq!(hub.log(id, "?tail=100000").await.all.len(), 5001);
    let (status, body) = hub
        .call(Method::GET, &format!("/api/jobs/ada/{id}/logs?tail=x"), ADA, None)
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
}

#[tokio::test]
async fn a_tail_of_a_running_job_goes_on() {
    let hub = TestHub::start().await;
    let gate = hub.folder.path().join("gate");
    let script = format!(
        "seq 3; while [ ! -e {} ]; do sleep 0.02; done; echo after",
        gate.display()
    );
    let id = hub.submit(&sh(&script)).await;
    hub.lines_so_far(&id, 3).await;
    let mut stream = hub
        .request(Method::GET, &format!("/api/jobs/ada/{id}/logs?tail=1"), ADA)
        .send()
        .await
        .unwrap();
    let text = read_until(&mut stream, |text| text.ends_with("\n\n")).await;
    std::fs::write(&gate, "").unwrap();
    let text = text + &stream.text().await.unwrap();
    let lines: Vec<_> = events(&text)
        .iter()
        .map(|event| event["data"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(lines, ["3", "after"]);
}

#[tokio::test]
async fn a_silent_stream_is_kept_alive_every_half_minute() {
    let clock = HubClock::stepped("2026-10-09T08:00:00Z".parse().unwrap());
    let hub = TestHub::with(ExecutorConfig::default(), clock.clone()).await;
    let id = hub.submit(&sh("sleep 1000")).await;
    let path = format!("/api/jobs/ada/{id}/logs");
    let mut stream = hub.request(Method::GET, &path, ADA).send().await.unwrap();
    read_until(&mut stream, |text| text.contains("flavor")).await;
    // The stream may not have begun to wait yet when the clock moves, so it moves until the comment is there.
    let comment = async {
        loop {
            clock.advance(Duration::from_secs(30));
            if let Ok(piece) = tokio::time::timeout(Duration::from_millis(200), stream.chunk()).await {
                return piece.unwrap().unwrap();
            }
        }
    };
    let comment = tokio::time::timeout(Duration::from_mins(1), comment)
        .await
        .unwrap();
    assert!(comment.starts_with(b": keep-alive\n\n"), "{comment:?}");
    assert_eq!(hub.cancel(&id).await["status"]["stage"], "CANCELED");
}

#[tokio::test]
async fn many_readers_of_a_long_log_all_get_all_of_it() {
    let hub = TestHub::start().await;
    let id = hub.submit(&sh("seq 1 10000")).await;
    let path = format!("/api/jobs/ada/{id}/logs");
    let readers = (0..10).map(|_| async {
        let text = hub
            .request(Method::GET, &path, ADA)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        events(&text)[1..]
            .iter()
            .map(|line| line["data"].as_str().unwrap().parse().unwrap())
            .collect::<Vec<u32>>()
    });
    let expected: Vec<u32> = (1..=10_000).collect();
    for lines in futures::future::join_all(readers).await {
        assert!(lines == expected, "{} lines", lines.len());
    }
}

#[tokio::test]
async fn metrics_are_measured_while_the_job_runs() {
    let hub = TestHub::start().await;
    let id = hub.submit(&sh("echo up; while :; do :; done")).await;
    hub.lines_so_far(&id, 1).await;
    let path = format!("/api/jobs/ada/{id}/metrics");
    let stream = hub.request(Method::GET, &path, ADA).send().await.unwrap();
    assert_eq!(stream.status(), StatusCode::OK);
    let mut pieces = stream.bytes_stream();
    let first = String::from_utf8(pieces.next().await.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.starts_with("event: metric\ndata: {"), "{first}");
    let metric = &events(&first)[0];
    assert!(metric["cpu_usage_pct"].as_u64().unwrap() > 0, "{metric}");
    assert!(metric["memory_used_bytes"].as_u64().unwrap() > 0, "{metric}");
    assert!(
        metric["memory_total_bytes"].as_u64() > metric["memory_used_bytes"].as_u64(),
        "{metric}"
    );
    assert!(metric["cpu_millicores"].as_u64().unwrap() >= 1000, "{metric}");
    assert_eq!(metric["gpus"], json!({}));
    assert_eq!(metric["replica"], id[19..]);
    hub.cancel(&id).await;
    // The stream of a job that is over ends, and there is no other.
    eventually("the end of the metrics", || async {
        hub.call(Method::GET, &path, ADA, None)
            .await
            .0
            .eq(&StatusCode::NOT_ACCEPTABLE)
            .then_some(())
    })
    .await;
    tokio::time::timeout(Duration::from_mins(1), async {
        while pieces.next().await.is_some() {}
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn stages_are_events_too() {
    let hub = TestHub::start().await;
    let id = hub.submit(&sh("echo up; sleep 1000")).await;
    let path = format!("/api/jobs/ada/{id}/events");
    let mut stream = hub.request(Method::GET, &path, ADA).send().await.unwrap();
    let text = read_until(&mut stream, |text| text.contains("RUNNING")).await;
    hub.cancel(&id).await;
    let text = text + &stream.text().await.unwrap();
    let stages: Vec<_> = events(&text).iter().map(|event| event["stage"].clone()).collect();
    assert_eq!(stages, ["SCHEDULING", "RUNNING", "CANCELED"]);
}

#[tokio::test]
async fn streams_of_jobs_that_wait_end_with_the_hub() {
    let mut executor = ExecutorConfig::default();
    executor.max_running = 1;
    let hub = TestHub::with(executor, HubClock::real()).await;
    let first = hub.submit(&sh("echo up; sleep 1000")).await;
    hub.lines_so_far(&first, 1).await;
    let second = hub.submit(&sh("true")).await;
    let stream = hub
        .request(Method::GET, &format!("/api/jobs/ada/{second}/logs"), ADA)
        .send()
        .await
        .unwrap();
    let reader = tokio::spawn(stream.text());
    tokio::time::timeout(Duration::from_secs(30), hub.hub.shutdown())
        .await
        .unwrap();
    assert_eq!(reader.await.unwrap().unwrap(), "");
}
