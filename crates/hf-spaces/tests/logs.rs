//! Reading logs: each line once, whatever the connection does.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::sync::Arc;

use futures::TryStreamExt;
use hf_core::testing::{ManualClock, Reply, ScriptedTransport};
use hf_core::{HfClient, Namespace, Token};
use hf_spaces::{HfSpaceManager, SpaceLog, SpaceLogOptions};
use serde_json::json;

fn event(line: &str) -> String {
    format!(
        "data: {}\n\n",
        json!({"data": format!("{line}\n"), "timestamp": "2026-10-09T08:00:22.113Z"})
    )
}

fn events(lines: &[&str]) -> String {
    lines.iter().map(|line| event(line)).collect()
}

fn spaces(transport: &ScriptedTransport) -> HfSpaceManager {
    let client = HfClient::builder()
        .token(Token::parse("hf_ScriptedToken").unwrap())
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(ManualClock::auto()))
        .build()
        .unwrap();
    HfSpaceManager::new(&client, Namespace::parse("ada").unwrap())
}

async fn read(replies: Vec<Reply>, options: SpaceLogOptions) -> Result<Vec<String>, hf_core::HfError> {
    let transport = ScriptedTransport::with_replies(replies);
    let id = "ada/demo".parse().unwrap();
    let lines = spaces(&transport)
        .stream_logs(&id, SpaceLog::Build, options)
        .map_ok(|line| line.text)
        .try_collect()
        .await;
    assert_eq!(transport.replies_left(), 0);
    lines
}

fn stage(word: &str) -> Reply {
    Reply::json(200, json!({"stage": word}))
}

fn follow() -> SpaceLogOptions {
    SpaceLogOptions {
        follow: true,
        ..SpaceLogOptions::default()
    }
}

#[tokio::test]
async fn a_broken_connection_loses_no_line_and_doubles_none() {
    let lines = read(
        vec![
            Reply::sse(events(&["a", "b"])).then_reset(),
            Reply::json(503, json!({})),
            Reply::sse(format!("{}data:\n\n{}", events(&["a", "b", "b"]), events(&["c"]))),
            stage("BUILDING"),
            Reply::sse(events(&["a", "b", "b", "c", "d"])),
            stage("APP_STARTING"),
            Reply::sse(events(&["a", "b", "b", "c", "d", "e"])),
        ],
        follow(),
    )
    .await
    .unwrap();
    assert_eq!(lines, ["a", "b", "b", "c", "d", "e"]);
}

#[tokio::test]
async fn an_open_connection_that_says_nothing_ends_with_the_build() {
    let lines = read(
        vec![
            Reply::sse(events(&["a"])).then_silence(),
            stage("BUILD_ERROR"),
            Reply::sse(events(&["a", "b"])).then_silence(),
        ],
        follow(),
    )
    .await
    .unwrap();
    assert_eq!(lines, ["a", "b"]);
}

#[tokio::test]
async fn without_follow_the_log_is_what_there_is_now() {
    let lines = read(
        vec![Reply::sse(format!("data:\n\n{}", events(&["a"]))).then_silence()],
        SpaceLogOptions::default(),
    )
    .await
    .unwrap();
    assert_eq!(lines, ["a"]);
}

#[tokio::test]
async fn what_is_not_there_is_an_error_at_once() {
    let missing = Reply::json(404, json!({"error": "no"})).header("x-error-code", "RepoNotFound");
    assert!(read(vec![missing], follow()).await.is_err());
}
