//! What the Hub tells of a Space while it happens.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::sync::Arc;

use futures::StreamExt;
use hf_core::testing::{ManualClock, Reply, ScriptedTransport};
use hf_core::{HfClient, HfError, Namespace, RetryPolicy, Token};
use hf_spaces::{HfSpaceManager, SpaceFeed};
use serde_json::json;

fn spaces(transport: &ScriptedTransport) -> HfSpaceManager {
    let client = HfClient::builder()
        .token(Token::parse("hf_ScriptedToken").unwrap())
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(ManualClock::auto()))
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    HfSpaceManager::new(&client, Namespace::parse("ada").unwrap())
}

#[tokio::test]
async fn what_is_told_is_passed_on_and_what_only_keeps_the_line_open_is_not() {
    let sent =
        "data:\n\nevent: status\ndata: {\"stage\": \"RUNNING\", \"new\": [1]}\n\ndata: plain words\n\n";
    let transport = ScriptedTransport::answering(move |_| Some(Reply::sse(sent)));
    let id = "ada/demo".parse().unwrap();
    let told: Vec<_> = spaces(&transport)
        .feed(&id, SpaceFeed::Events)
        .map(|item| json!(item.unwrap()))
        .collect()
        .await;
    assert_eq!(
        told,
        [
            json!({"event": "status", "data": {"stage": "RUNNING", "new": [1]}}),
            json!({"event": null, "data": "plain words"})
        ]
    );
    assert_eq!(transport.requests()[0].path(), "/api/spaces/ada/demo/events");
}

#[tokio::test]
async fn a_space_that_is_not_there_is_said() {
    let transport = ScriptedTransport::answering(|_| {
        let reply = Reply::json(404, json!({"error": "not found"}));
        Some(reply.header("x-error-code", "RepoNotFound"))
    });
    let id = "ada/none".parse().unwrap();
    let mut told = spaces(&transport).feed(&id, SpaceFeed::Metrics);
    assert!(matches!(told.next().await, Some(Err(HfError::NotFound { .. }))));
    assert!(told.next().await.is_none());
    assert_eq!(transport.requests()[0].path(), "/api/spaces/ada/none/metrics");
}
