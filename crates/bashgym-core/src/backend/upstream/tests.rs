//! Upstreams against scripted answers: where the key goes, what is paid, what is tried again.

use std::sync::Arc;

use futures::StreamExt;
use hf_core::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use hf_core::{RetryPolicy, SecretValue};
use hf_inference::{BreakerState, ChatRequest, Cost, HfInferenceConfig, Message};
use serde_json::{Value, json};

use super::*;
use crate::backend::ModelBackend;
use crate::inference::{CallSums, InferenceFailure, MemoryCalls, UsageBy};
use crate::ledger::{EntryFilter, EntryState, Ledger, LedgerEntry, LedgerError, LedgerStore, MemoryLedger};

const KEY: &str = "key-of-the-teacher";

struct World {
    transport: ScriptedTransport,
    ledger: Arc<MemoryLedger>,
    calls: Arc<MemoryCalls>,
    teacher: HfBackend,
}

fn upstream(wire: Wire) -> Upstream {
    Upstream {
        role: BackendRole::Teacher,
        model: "big".to_owned(),
        url: match wire {
            Wire::Anthropic => "https://teacher.example".parse().unwrap(),
            Wire::OpenAi => "https://teacher.example/v1".parse().unwrap(),
        },
        wire,
        key: Some(SecretValue::from(KEY.to_owned())),
        price: Some(TokenPrice {
            input: 3.0,
            output: 15.0,
        }),
        answer_tokens: 100,
    }
}

fn world(upstream: &Upstream, answer: impl Fn(usize) -> Reply + Send + Sync + 'static) -> World {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let transport = ScriptedTransport::answering(move |_: &RecordedRequest| {
        Some(answer(asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed)))
    });
    let clock = Arc::new(ManualClock::auto());
    let ledger = Arc::new(MemoryLedger::default());
    let calls = Arc::new(MemoryCalls::default());
    let desk = Desk {
        budget: Arc::new(Ledger::new(ledger.clone(), clock.clone())),
        calls: calls.clone(),
        unknown_price: UnknownPrice::Refuse,
        clock,
        transport: Arc::new(transport.clone()),
    };
    let config = HfInferenceConfig {
        retry: RetryPolicy {
            max_attempts: 2,
            seed: Some(1),
            ..RetryPolicy::default()
        },
        ..HfInferenceConfig::default()
    };
    World {
        transport,
        ledger,
        calls,
        teacher: upstream.backend(desk, config).unwrap(),
    }
}

impl World {
    async fn entry(&self) -> LedgerEntry {
        let listed = self.ledger.list_entries(&EntryFilter::default(), None, 10).await;
        listed.unwrap().remove(0)
    }

    async fn total(&self) -> CallSums {
        let rows = self.calls.list_call_usage(UsageBy::Total, 1).await.unwrap();
        rows.first().map(|row| row.sums).unwrap_or_default()
    }
}

fn message() -> Reply {
    Reply::json(
        200,
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "big-2", "stop_reason": "end_turn",
            "content": [{"type": "text", "text": "Hello"}], "usage": {"input_tokens": 100, "output_tokens": 10}}),
    )
}

fn completion() -> Reply {
    Reply::json(
        200,
        json!({"id": "c", "object": "chat.completion", "model": "big",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10}}),
    )
    .header("x-inference-provider", "a-lie")
}

fn request() -> ChatRequest {
    ChatRequest::new("any/model".parse().unwrap(), [Message::user("hi")])
}

#[tokio::test]
async fn a_message_is_paid_and_remembered_as_any_call() {
    let world = world(&upstream(Wire::Anthropic), |_| message());
    let answer = world.teacher.chat(&request()).await.unwrap();
    assert_eq!(answer.reply.text(), "Hello");
    // 100 tokens at 3 dollars a million and 10 at 15.
    assert_eq!(answer.report.cost.amount().unwrap().get(), 450_000);
    assert!(matches!(answer.report.cost, Cost::RoutePrice(_)));
    assert_eq!(answer.report.provider.unwrap().as_str(), "anthropic");
    let sent = &world.transport.requests()[0];
    assert_eq!(sent.url.as_str(), "https://teacher.example/v1/messages");
    assert_eq!(sent.header("x-api-key"), Some(KEY));
    assert_eq!(sent.header("anthropic-version"), Some("2026-10-21"));
    assert_eq!(
        (sent.header("authorization"), sent.header("x-amzn-trace-id")),
        (None, None)
    );
    let body = sent.json();
    assert_eq!(
        (&body["model"], &body["max_tokens"]),
        (&json!("big"), &json!(100))
    );
    let entry = world.entry().await;
    assert!(matches!(entry.state, EntryState::Settled { amount: Some(amount), .. } if amount.get() == 450));
    assert!(entry.worst.unwrap().get() >= 2 * 100 * 15);
    assert_eq!(world.total().await.calls, 1);
}

#[tokio::test]
async fn an_openai_server_is_asked_in_its_own_words() {
    let world = world(&upstream(Wire::OpenAi), |_| completion());
    let answer = world.teacher.chat(&request()).await.unwrap();
    assert_eq!(answer.report.cost.amount().unwrap().get(), 450_000);
    assert_eq!(
        answer.report.provider.unwrap().as_str(),
        "teacher.example",
        "an upstream does not say who it is"
    );
    let sent = &world.transport.requests()[0];
    assert_eq!(sent.url.as_str(), "https://teacher.example/v1/chat/completions");
    assert_eq!(
        sent.header("authorization"),
        Some(format!("Bearer {KEY}").as_str())
    );
    assert_eq!(sent.json()["model"], "big");
}

#[tokio::test]
async fn a_stream_of_messages_is_a_stream_of_chunks() {
    let event = |value: Value| format!("event: {}\ndata: {value}\n\n", value["type"].as_str().unwrap());
    let text = [
        json!({"type": "message_start", "message": {"id": "msg_1", "model": "big-2", "usage": {"input_tokens": 100}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hel"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "lo"}}),
        json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {"output_tokens": 10}}),
        json!({"type": "message_stop"}),
    ]
    .map(event)
    .concat();
    let world = world(&upstream(Wire::Anthropic), move |_| Reply::sse(text.clone()));
    let mut stream = world.teacher.chat_stream(&request()).await.unwrap();
    let mut reasons = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.unwrap();
        reasons.extend(
            chunk
                .body
                .choices
                .into_iter()
                .filter_map(|choice| choice.finish_reason),
        );
    }
    assert_eq!(stream.text(), "Hello");
    assert_eq!(reasons, ["length"]);
    let report = stream.report().unwrap();
    assert_eq!(report.cost.amount().unwrap().get(), 450_000);
    assert_eq!(world.transport.requests()[0].json()["stream"], true);
}

#[tokio::test]
async fn an_overloaded_teacher_is_asked_again_when_it_says() {
    let overloaded = || {
        Reply::json(
            529,
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        )
        .header("retry-after", "3")
    };
    let first = world(&upstream(Wire::Anthropic), move |n| {
        if n == 0 { overloaded() } else { message() }
    });
    let answer = first.teacher.chat(&request()).await.unwrap();
    assert_eq!(answer.report.attempts.len(), 2);
    assert_eq!(answer.report.attempts[0].status, Some(529));
    let always = world(&upstream(Wire::Anthropic), move |_| overloaded());
    for _ in 0..3 {
        let error = always.teacher.chat(&request()).await.unwrap_err();
        assert!(error.to_string().contains("verloaded"), "{error}");
    }
    assert!(matches!(always.teacher.breaker(), BreakerState::Open { .. }));
}

#[tokio::test]
async fn the_key_goes_nowhere_else() {
    for wire in [Wire::OpenAi, Wire::Anthropic] {
        let redirect = || Reply::status(307).header("location", "https://evil.example/v1/messages");
        let world = world(&upstream(wire), move |_| redirect());
        let error = world.teacher.chat(&request()).await.unwrap_err();
        assert!(error.to_string().contains("redirect"), "{error}");
        for sent in world.transport.requests() {
            assert_eq!(sent.url.host_str(), Some("teacher.example"));
        }
        assert!(!format!("{:?} {error:?}", world.teacher).contains(KEY));
    }
}

#[tokio::test]
async fn an_unknown_price_is_refused_before_anything_is_sent() {
    let unpriced = Upstream {
        price: None,
        ..upstream(Wire::Anthropic)
    };
    let world = world(&unpriced, |_| message());
    let error = world.teacher.chat(&request()).await.unwrap_err();
    assert!(
        matches!(error, InferenceFailure::Budget(LedgerError::UnknownPrice { .. })),
        "{error}"
    );
    assert!(world.transport.requests().is_empty());
}

#[tokio::test]
async fn what_the_teacher_can_not_do_is_said_and_not_sent() {
    let world = world(&upstream(Wire::Anthropic), |_| message());
    let mut asked = request();
    asked.options.n = Some(2);
    let error = world.teacher.chat(&asked).await.unwrap_err();
    assert!(error.to_string().contains("n has to be 1"), "{error}");
    assert!(world.transport.requests().is_empty());
    let entry = world.entry().await;
    assert!(matches!(entry.state, EntryState::Released { .. }), "{entry:?}");
}
