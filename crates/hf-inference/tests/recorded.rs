//! What this crate sends, beside what the official client would send for the same calls (`recorded/official.json`, made by
//! `recorded/make.py`).
//!
//! Differences, and why: a stream says `Accept: text/event-stream`, and asks for its usage also when the caller did not, since
//! nobody else tells how many tokens it cost.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hf_core::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use hf_core::{HfClient, RetryPolicy, Token};
use hf_inference::{
    ChatOptions, ChatRequest, EmbedOptions, HfInferenceClient, HfInferenceConfig, InferenceError, Message,
    ModelRef, Provider,
};
use serde::Deserialize;
use serde_json::{Value, json};

const TOKEN: &str = "hf_RecordingToken00000000000000000000001";

#[derive(Debug, PartialEq, Deserialize)]
struct Sent {
    origin: String,
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Value,
}

/// By call and provider.
type Official = BTreeMap<String, BTreeMap<String, Sent>>;

fn official() -> Official {
    serde_json::from_str(include_str!("recorded/official.json")).unwrap()
}

impl From<&RecordedRequest> for Sent {
    fn from(request: &RecordedRequest) -> Self {
        let skipped = |name: &str| matches!(name, "user-agent" | "x-amzn-trace-id" | "accept");
        Self {
            origin: request.url.origin().ascii_serialization(),
            path: request.path().to_owned(),
            query: request.url.query().unwrap_or_default().to_owned(),
            headers: request
                .headers
                .iter()
                .filter(|(name, _)| !skipped(name.as_str()))
                .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
                .collect(),
            body: request.json(),
        }
    }
}

/// Makes one call and returns the request it sent; what is answered does not matter.
async fn send(call: &str, provider: &str) -> Result<Sent, InferenceError> {
    let named = provider.to_owned();
    let transport = ScriptedTransport::answering(move |request| {
        request.path().starts_with("/api/models/").then(|| {
            let tasks = ["conversational", "feature-extraction"];
            let list: Vec<_> = tasks
                .iter()
                .map(|task| json!({"provider": named, "providerId": format!("{named}-name"), "status": "live", "task": task}))
                .collect();
            Reply::json(200, json!({"inferenceProviderMapping": list}))
        })
    });
    let hub = HfClient::builder()
        .token(Token::parse(TOKEN).unwrap())
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(ManualClock::auto()))
        .build()
        .unwrap();
    let config = HfInferenceConfig {
        provider: provider.parse().unwrap(),
        bill_to: Some("acme".to_owned()),
        retry: RetryPolicy::never(),
        ..HfInferenceConfig::default()
    };
    let client = HfInferenceClient::new(&hub, config).unwrap();
    let model: ModelRef = "org/name".parse().unwrap();
    let chat = |options: ChatOptions| ChatRequest {
        options: options.into(),
        ..ChatRequest::new(model.clone(), [Message::user("Hi")])
    };
    let error = match call {
        "chat" => client
            .chat(&chat(ChatOptions {
                max_tokens: Some(7),
                temperature: Some(0.5),
                stop: Some(json!(["x"])),
                seed: Some(3),
                ..ChatOptions::default()
            }))
            .await
            .err(),
        "chat suffix" => {
            let model = "org/name:cheapest".parse().unwrap();
            client
                .chat(&ChatRequest::new(model, [Message::user("Hi")]))
                .await
                .err()
        }
        "chat stream" => client.chat_stream(&chat(ChatOptions::default())).await.err(),
        "chat schema" => {
            let options = ChatOptions::default().json_schema("answer", &json!({"type": "object"}));
            client.chat(&chat(options)).await.err()
        }
        "embed" => {
            let texts = ["a".to_owned(), "b".to_owned()];
            client.embed(&model, &texts, &EmbedOptions::default()).await.err()
        }
        "classify" => client.classify(&model, "fine", Some(2)).await.err(),
        "similarity" => {
            let texts = ["near".to_owned(), "far".to_owned()];
            client.similarity(&model, "here", &texts).await.err()
        }
        other => panic!("the recording has a call that is not made here: {other}"),
    };
    let error = error.expect("the script answers no call");
    let posted: Vec<_> = transport
        .requests()
        .into_iter()
        .filter(|request| request.method == http::Method::POST)
        .collect();
    match &posted[..] {
        [] => Err(error),
        [one] => Ok(Sent::from(one)),
        more => panic!("{} requests for one call", more.len()),
    }
}

#[tokio::test]
async fn each_call_is_sent_as_the_official_client_sends_it() {
    let mut compared = 0;
    for (call, providers) in official() {
        for (provider, expected) in providers {
            let sent = send(&call, &provider).await.unwrap();
            assert_eq!(sent, expected, "{call} at {provider}");
            compared += 1;
        }
    }
    assert!(compared >= 50, "only {compared} calls were compared");
}

#[tokio::test]
async fn whom_the_official_client_does_not_ask_is_not_asked() {
    let official = official();
    for call in ["chat", "embed", "classify", "similarity"] {
        let asked: BTreeSet<_> = official[call].keys().cloned().collect();
        for provider in Provider::known().filter(|provider| !asked.contains(provider.as_str())) {
            let error = send(call, provider.as_str()).await.unwrap_err();
            assert!(
                matches!(error, InferenceError::NotServed { .. }),
                "{call} at {provider}: {error:?}"
            );
        }
    }
}
