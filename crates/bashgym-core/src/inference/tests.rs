//! Calls at the desk: what is set aside before, what is settled after, what is remembered.

use std::sync::Arc;

use futures::StreamExt;
use hf_core::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use hf_core::{HfClient, MicroUsd, RetryPolicy, TransportKind};
use hf_inference::{ChatRequest, EmbedOptions, HfInferenceConfig, InferenceError, Message};
use serde_json::{Value, json};

use super::*;
use crate::ledger::{
    Cap, CapScope, EntryFilter, EntryState, Ledger, LedgerEntry, LedgerError, LedgerStore, MemoryLedger,
    Window,
};

struct World {
    transport: ScriptedTransport,
    ledger: Arc<MemoryLedger>,
    calls: Arc<MemoryCalls>,
    desk: InferenceDesk,
}

fn world(unknown_price: UnknownPrice, chat: impl Fn(usize) -> Reply + Send + Sync + 'static) -> World {
    let asked = std::sync::atomic::AtomicUsize::new(0);
    let transport = ScriptedTransport::answering(move |request: &RecordedRequest| {
        Some(match request.path() {
            "/v1/models" => Reply::json(
                200,
                json!({"data": [{"id": "org/priced", "providers": [
                    {"provider": "groq", "status": "live", "pricing": {"input": 1.0, "output": 10.0}, "context_length": 1000}]},
                    {"id": "org/unpriced", "providers": [{"provider": "groq", "status": "live"}]}]}),
            ),
            path if path.starts_with("/api/models/") => Reply::json(
                200,
                json!({"inferenceProviderMapping": [
                    {"provider": "hf-inference", "providerId": "org/e", "status": "live", "task": "feature-extraction"}]}),
            ),
            _ => chat(asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1),
        })
    });
    let clock = Arc::new(ManualClock::auto());
    let hub = HfClient::builder()
        .transport(Arc::new(transport.clone()))
        .clock(clock.clone())
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let ledger = Arc::new(MemoryLedger::default());
    let calls = Arc::new(MemoryCalls::default());
    let config = HfInferenceConfig {
        retry: RetryPolicy {
            max_attempts: 2,
            seed: Some(1),
            ..RetryPolicy::default()
        },
        ..HfInferenceConfig::default()
    };
    let budget = Arc::new(Ledger::new(ledger.clone(), clock));
    let desk = InferenceDesk::new(&hub, config, budget, calls.clone(), unknown_price).unwrap();
    World {
        transport,
        ledger,
        calls,
        desk,
    }
}

fn answer(served_by: Option<&str>) -> Reply {
    let reply = Reply::json(
        200,
        json!({"choices": [{"message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}),
    );
    match served_by {
        Some(provider) => reply.header("x-inference-provider", provider),
        None => reply,
    }
}

fn request(model: &str, max_tokens: Option<u32>) -> ChatRequest {
    let mut request = ChatRequest::new(model.parse().unwrap(), [Message::user("hi")]);
    request.options.max_tokens = max_tokens;
    request.purpose = Some("test".to_owned());
    request
}

fn usd(text: &str) -> MicroUsd {
    text.parse().unwrap()
}

impl World {
    async fn entry(&self) -> LedgerEntry {
        let entries = self.entries().await;
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries[0].clone()
    }

    async fn entries(&self) -> Vec<LedgerEntry> {
        self.ledger
            .list_entries(&EntryFilter::default(), None, 10)
            .await
            .unwrap()
    }

    fn chats(&self) -> usize {
        let is_chat = |request: &&RecordedRequest| request.path() == "/v1/chat/completions";
        self.transport.requests().iter().filter(is_chat).count()
    }

    async fn total(&self) -> CallSums {
        let rows = self.calls.list_call_usage(UsageBy::Total, 1).await.unwrap();
        rows.first().map(|row| row.sums).unwrap_or_default()
    }
}

fn settled(entry: &LedgerEntry) -> Option<MicroUsd> {
    match &entry.state {
        EntryState::Settled { amount, .. } => *amount,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_worst_case_is_set_aside_and_what_it_cost_is_settled() {
    let world = world(UnknownPrice::Refuse, |_| answer(Some("groq")));
    world.desk.chat(&request("org/priced", Some(500))).await.unwrap();
    let entry = world.entry().await;
    // The prompt's bytes at 1 dollar a million, 500 tokens at 10, and all that twice: two tries are allowed.
    let prompt = serde_json::to_vec(&[Message::user("hi")]).unwrap().len() as u64 + "null".len() as u64;
    let worst = (2 * (prompt * 1000 + 500 * 10_000)).div_ceil(1000);
    assert_eq!(entry.worst.unwrap().get(), worst);
    assert_eq!(settled(&entry), Some(usd("0.002")));
    assert_eq!(entry.purpose, "test");
    let total = world.total().await;
    assert_eq!(
        (total.calls, total.nano_usd, total.unknown_cost),
        (1, 2_000_000, 0)
    );
}

#[tokio::test]
async fn without_a_limit_of_tokens_the_models_context_bounds_the_answer() {
    let world = world(UnknownPrice::Refuse, |_| answer(Some("groq")));
    world.desk.chat(&request("org/priced", None)).await.unwrap();
    let worst = world.entry().await.worst.unwrap();
    assert!(worst >= usd("0.02") && worst < usd("0.0202"), "{worst}");
}

#[tokio::test]
async fn an_unknown_price_is_refused_unless_it_is_accepted() {
    let refusing = world(UnknownPrice::Refuse, |_| answer(None));
    for model in ["org/unpriced", "org/missing"] {
        let error = refusing.desk.chat(&request(model, Some(5))).await.unwrap_err();
        assert!(
            matches!(error, InferenceFailure::Budget(LedgerError::UnknownPrice { .. })),
            "{error:?}"
        );
    }
    assert_eq!((refusing.chats(), refusing.entries().await.len()), (0, 0));

    let accepting = world(UnknownPrice::Accept, |_| answer(None));
    accepting
        .desk
        .chat(&request("org/unpriced", Some(5)))
        .await
        .unwrap();
    let entry = accepting.entry().await;
    assert_eq!(
        (entry.worst, settled(&entry)),
        (None, None),
        "unknown is not zero"
    );
    assert_eq!(accepting.total().await.unknown_cost, 1);

    let free = world(UnknownPrice::Free, |_| answer(None));
    free.desk.chat(&request("org/unpriced", Some(5))).await.unwrap();
    assert_eq!(settled(&free.entry().await), Some(MicroUsd::ZERO));
}

#[tokio::test]
async fn a_cost_that_nobody_names_leaves_the_worst_case() {
    let world = world(UnknownPrice::Refuse, |_| answer(None));
    world.desk.chat(&request("org/priced", Some(500))).await.unwrap();
    let entry = world.entry().await;
    assert_eq!(settled(&entry), entry.worst);
}

#[tokio::test]
async fn a_failed_try_that_may_be_billed_leaves_the_worst_case_too() {
    let world = world(UnknownPrice::Refuse, |asked| match asked {
        1 => Reply::fail(TransportKind::Reset),
        _ => answer(Some("groq")),
    });
    world.desk.chat(&request("org/priced", Some(500))).await.unwrap();
    let entry = world.entry().await;
    assert_eq!(settled(&entry), entry.worst);
}

#[tokio::test]
async fn what_surely_cost_nothing_is_given_back() {
    let world = world(UnknownPrice::Refuse, |_| {
        Reply::json(422, json!({"error": "bad parameters"}))
    });
    world
        .desk
        .chat(&request("org/priced", Some(500)))
        .await
        .unwrap_err();
    assert!(matches!(world.entry().await.state, EntryState::Released { .. }));
    let total = world.total().await;
    assert_eq!((total.calls, total.failed, total.unknown_cost), (1, 1, 0));
}

#[tokio::test]
async fn callers_at_once_never_pass_a_cap() {
    let world = world(UnknownPrice::Refuse, |_| answer(Some("groq")));
    // Room for four worst cases; each settles at a fifth of its own.
    let one = world
        .desk
        .worst_case(&request("org/priced", Some(500)))
        .await
        .unwrap()
        .unwrap();
    let cap = Cap {
        scope: CapScope::One(crate::ledger::Service::Inference),
        window: Window::Day,
        amount: MicroUsd::new(one.get() * 4).unwrap(),
    };
    world.ledger.set_cap(cap).await.unwrap();
    let calls = (0..100).map(|_| {
        let desk = world.desk.clone();
        tokio::spawn(async move { desk.chat(&request("org/priced", Some(500))).await.is_ok() })
    });
    let mut answered = 0;
    for call in calls.collect::<Vec<_>>() {
        answered += usize::from(call.await.unwrap());
    }
    assert!((4..=20).contains(&answered), "{answered}");
    assert_eq!(answered, world.chats(), "what is refused is not sent");
    let spent: u64 = world
        .ledger
        .list_entries(&EntryFilter::default(), None, 200)
        .await
        .unwrap()
        .iter()
        .map(|entry| settled(entry).unwrap().get())
        .sum();
    assert!(spent <= cap.amount.get());
}

fn stream(end: &[Value]) -> Reply {
    let pieces: Vec<_> = end.iter().map(|piece| format!("data: {piece}\n\n")).collect();
    Reply::sse(pieces.concat()).header("x-inference-provider", "groq")
}

fn said(text: &str, end: Option<&str>) -> Value {
    json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": end}]})
}

#[tokio::test]
async fn a_stream_is_settled_at_its_end_however_it_ends() {
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}});
    let whole = world(UnknownPrice::Refuse, move |_| {
        stream(&[said("o", None), said("k", Some("stop")), usage.clone()])
    });
    let mut answer = whole
        .desk
        .chat_stream(&request("org/priced", Some(500)))
        .await
        .unwrap();
    while let Some(chunk) = answer.next().await {
        chunk.unwrap();
    }
    assert_eq!(answer.text(), "ok");
    assert!(answer.report().is_some());
    assert_eq!(settled(&whole.entry().await), Some(usd("0.002")));

    let broken = world(UnknownPrice::Refuse, |_| stream(&[said("o", None)]));
    let mut answer = broken
        .desk
        .chat_stream(&request("org/priced", Some(500)))
        .await
        .unwrap();
    answer.next().await.unwrap().unwrap();
    let error = answer.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, InferenceFailure::Inference(InferenceError::Broken { .. })),
        "{error:?}"
    );
    let entry = broken.entry().await;
    assert_eq!(settled(&entry), entry.worst);

    let dropped = world(UnknownPrice::Refuse, |_| {
        stream(&[said("o", None), said("k", Some("stop"))])
    });
    let mut answer = dropped
        .desk
        .chat_stream(&request("org/priced", Some(500)))
        .await
        .unwrap();
    answer.next().await.unwrap().unwrap();
    drop(answer);
    for _ in 0..4 {
        tokio::task::yield_now().await;
    }
    let entry = dropped.entry().await;
    assert_eq!(settled(&entry), entry.worst);
}

#[tokio::test]
async fn embeddings_have_no_price_and_are_refused_or_counted_as_unknown() {
    let vectors = |_| Reply::json(200, json!([[1.0, 0.0]]));
    let texts = ["a".to_owned()];
    let model = "org/e".parse().unwrap();
    let refusing = world(UnknownPrice::Refuse, vectors);
    assert!(
        refusing
            .desk
            .embed(&model, &texts, &EmbedOptions::default())
            .await
            .is_err()
    );
    let accepting = world(UnknownPrice::Accept, vectors);
    let got = accepting
        .desk
        .embed(&model, &texts, &EmbedOptions::default())
        .await
        .unwrap();
    assert_eq!(got.vectors.len(), 1);
    assert_eq!(settled(&accepting.entry().await), None);
}
