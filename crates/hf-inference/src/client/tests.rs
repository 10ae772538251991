//! Calls against scripted answers: what is sent, what is tried again, where, and what is told of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use hf_core::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use hf_core::{Endpoint, HfClient, HfErrorKind, RetryPolicy, Token, TransportKind};
use serde_json::{Value, json};

use super::*;
use crate::breaker::BreakerPolicy;
use crate::chat::ChatOptions;
use crate::config::ProviderChoice;
use crate::cost::Cost;
use crate::model::Routing;
use crate::report::{AttemptEnd, CallRecord};

const MODEL: &str = "org/name";

#[derive(Default)]
struct Heard(Mutex<Vec<CallRecord>>);

#[async_trait]
impl CallObserver for Heard {
    async fn record(&self, call: &CallRecord) {
        self.0.lock().unwrap().push(call.clone());
    }
}

struct World {
    transport: ScriptedTransport,
    clock: ManualClock,
    heard: Arc<Heard>,
    client: HfInferenceClient,
}

fn config() -> HfInferenceConfig {
    HfInferenceConfig {
        retry: RetryPolicy {
            max_attempts: 4,
            seed: Some(1),
            ..RetryPolicy::default()
        },
        breaker: BreakerPolicy {
            failures: 3,
            ..BreakerPolicy::default()
        },
        ..HfInferenceConfig::default()
    }
}

/// A world whose catalogue lists `providers` for [`MODEL`], the first the fastest and dearest; chats are answered by `chat`,
/// which gets the provider that was named, or `auto`.
fn world(
    config: HfInferenceConfig,
    providers: &'static [&'static str],
    chat: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
) -> World {
    let asked = Mutex::new(0);
    let transport = ScriptedTransport::answering(move |request: &RecordedRequest| {
        Some(match request.path() {
            "/v1/models" => catalog(providers),
            path if path.starts_with("/api/models/") => mapping(providers),
            _ => {
                let model = request.json()["model"].as_str().unwrap_or_default().to_owned();
                let provider = model.split_once(':').map_or("auto", |(_, provider)| provider);
                let mut asked = asked.lock().unwrap();
                *asked += 1;
                chat(provider, *asked)
            }
        })
    });
    let clock = ManualClock::auto();
    let heard = Arc::new(Heard::default());
    let hub = HfClient::builder()
        .endpoint("https://huggingface.co".parse::<Endpoint>().unwrap())
        .token(Token::parse("hf_test").unwrap())
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(clock.clone()))
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let client = HfInferenceClient::with_observer(&hub, config, Some(heard.clone())).unwrap();
    World {
        transport,
        clock,
        heard,
        client,
    }
}

fn catalog(providers: &[&str]) -> Reply {
    let listed: Vec<_> = providers
        .iter()
        .enumerate()
        .map(|(place, provider)| {
            json!({"provider": provider, "status": "live", "throughput": 100 - place,
                "pricing": {"input": 1.0, "output": 10 - place}})
        })
        .collect();
    Reply::json(
        200,
        json!({"object": "list", "data": [{"id": MODEL, "providers": listed}]}),
    )
}

fn mapping(providers: &[&str]) -> Reply {
    let listed: Vec<_> = providers
        .iter()
        .map(|provider| json!({"provider": provider, "providerId": format!("{provider}-name"), "status": "live", "task": "conversational"}))
        .collect();
    Reply::json(200, json!({"inferenceProviderMapping": listed}))
}

fn answer(text: &str) -> Value {
    json!({"id": "c", "model": "its-own-name", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": text}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}})
}

fn piece(text: &str, end: Option<&str>) -> String {
    let body = json!({"choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": end}]});
    format!("data: {body}\n\n")
}

const USAGE: &str = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":2}}\n\n";
const DONE: &str = "data: [DONE]\n\n";

fn whole_stream() -> Reply {
    Reply::sse(
        [
            &piece("", None),
            &piece("Par", None),
            &piece("is", Some("stop")),
            USAGE,
            DONE,
        ]
        .concat(),
    )
}

fn request() -> ChatRequest {
    ChatRequest::new(MODEL.parse().unwrap(), [Message::user("Capital of France?")])
}

impl World {
    /// Who was asked to chat, in order.
    fn asked(&self) -> Vec<String> {
        let chats = self.transport.requests();
        chats
            .iter()
            .filter(|request| request.path().ends_with("/chat/completions"))
            .map(|request| request.json()["model"].as_str().unwrap().to_owned())
            .collect()
    }

    fn heard(&self) -> Vec<CallRecord> {
        self.heard.0.lock().unwrap().clone()
    }

    /// Reads a stream to its end: the text, and the error it ended with.
    async fn read(&self) -> (String, Option<InferenceError>) {
        let mut stream = match self.client.chat_stream(&request()).await {
            Ok(stream) => stream,
            Err(error) => return (String::new(), Some(error)),
        };
        let mut text = String::new();
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => text.push_str(chunk.body.text()),
                Err(error) => return (text, Some(error)),
            }
        }
        assert!(stream.report().is_some());
        (text, None)
    }
}

fn is_send<T: Send>(value: T) -> T {
    value
}

#[tokio::test]
async fn an_answer_tells_who_served_it_and_what_it_cost() {
    let world = world(config(), &["groq", "together"], |_, _| {
        Reply::json(200, answer("Paris")).header("x-inference-provider", "groq")
    });
    let got = is_send(world.client.chat(&request())).await.unwrap();
    assert_eq!(got.reply.text(), "Paris");
    assert_eq!(got.report.provider.unwrap().as_str(), "groq");
    // 10 tokens at 1 dollar a million, 2 at 10.
    assert_eq!(got.report.cost, Cost::RoutePrice(NanoUsd::new(30_000)));
    assert_eq!(world.heard().len(), 1);
    let sent = &world.transport.requests()[0];
    assert_eq!(
        sent.url.as_str(),
        "https://router.huggingface.co/v1/chat/completions"
    );
    assert_eq!(sent.header("authorization"), Some("Bearer hf_test"));
}

#[tokio::test]
async fn a_cost_that_nobody_tells_is_unknown_and_not_zero() {
    let silent = world(config(), &["groq"], |_, _| Reply::json(200, answer("Paris")));
    let got = silent.client.chat(&request()).await.unwrap();
    assert_eq!((got.report.provider, got.report.cost), (None, Cost::Unknown));

    let uncounted = world(config(), &["groq"], |_, _| {
        let mut answer = answer("Paris");
        answer.as_object_mut().unwrap().remove("usage");
        Reply::json(200, answer).header("x-inference-provider", "groq")
    });
    let got = uncounted.client.chat(&request()).await.unwrap();
    assert_eq!((got.report.usage, got.report.cost), (None, Cost::Unknown));

    let reported = world(config(), &["groq"], |_, _| {
        let mut answer = answer("Paris");
        answer["usage"]["estimated_cost"] = json!(0.000_001);
        Reply::json(200, answer)
    });
    let got = reported.client.chat(&request()).await.unwrap();
    assert_eq!(got.report.cost, Cost::Reported(NanoUsd::new(1000)));
}

#[tokio::test]
async fn wishes_and_payers_are_sent_as_the_router_reads_them() {
    for (routing, suffix, sent) in [
        (Routing::Fastest, "", "org/name"),
        (Routing::Cheapest, "", "org/name:cheapest"),
        (Routing::Cheapest, ":preferred", "org/name:preferred"),
        (Routing::Fastest, ":groq", "org/name:groq"),
    ] {
        let config = HfInferenceConfig {
            routing,
            bill_to: Some("acme".to_owned()),
            ..config()
        };
        let world = world(config, &["groq"], |_, _| Reply::json(200, answer("ok")));
        let mut request = request();
        request.model = format!("{MODEL}{suffix}").parse().unwrap();
        world.client.chat(&request).await.unwrap();
        assert_eq!(world.asked(), [sent]);
        let payer = world.transport.requests()[0]
            .header("x-hf-bill-to")
            .map(str::to_owned);
        assert_eq!(payer.as_deref(), Some("acme"));
    }
}

/// One provider of a model with three fails: the answer comes from the next one.
fn hurt(kind: &str) -> Reply {
    match kind {
        "connect" => Reply::fail(TransportKind::Connect),
        "reset" => Reply::fail(TransportKind::Reset),
        "408" => Reply::json(408, json!({"error": "late"})),
        "425" => Reply::json(425, json!({"error": "early"})),
        "429" => Reply::json(429, json!({"error": "slow down"})),
        "429 wait" => Reply::json(429, json!({"error": "slow down"})).header("retry-after", "7"),
        "429 long" => Reply::json(429, json!({"error": "slow down"})).header("retry-after", "600"),
        "503 wait" => Reply::json(503, json!({"error": "loading"})).header("retry-after", "7"),
        "500" => Reply::json(500, json!({"error": "oops"})),
        "502 html" => Reply::status(502).body("<html>bad gateway</html>"),
        "malformed" => Reply::status(200)
            .header("content-type", "application/json")
            .body("{\"choices\": ["),
        "stall" => Reply::status(200).then_silence(),
        other => panic!("no such trouble: {other}"),
    }
}

const TROUBLES: &[&str] = &[
    "connect",
    "reset",
    "408",
    "425",
    "429",
    "429 wait",
    "429 long",
    "503 wait",
    "500",
    "502 html",
    "malformed",
    "stall",
];

#[tokio::test]
async fn every_trouble_of_one_provider_is_answered_by_the_next() {
    for stream in [false, true] {
        for trouble in TROUBLES {
            let world = world(
                HfInferenceConfig {
                    pin_provider: true,
                    ..config()
                },
                &["groq", "together", "novita"],
                move |provider, _| match provider {
                    "groq" => hurt(trouble),
                    _ if stream => whole_stream(),
                    _ => Reply::json(200, answer("Paris")),
                },
            );
            let text = if stream {
                let (text, error) = world.read().await;
                assert!(error.is_none(), "{trouble}: {error:?}");
                text
            } else {
                world.client.chat(&request()).await.unwrap().reply.text()
            };
            assert_eq!(text, "Paris", "{trouble}");
            assert_eq!(
                world.asked(),
                ["org/name:groq", "org/name:together"],
                "{trouble}, stream {stream}"
            );
            let told = &world.heard()[0];
            assert!(told.succeeded);
            assert_eq!(told.report.provider.as_ref().unwrap().as_str(), "together");
            let first = &told.report.attempts[0];
            assert_eq!(first.end, AttemptEnd::Failed, "{trouble}");
            let refused = trouble.starts_with("429") || *trouble == "425" || *trouble == "connect";
            assert_eq!(!first.may_be_billed, refused, "{trouble}: {first:?}");
            // 10 tokens at 1 dollar, 2 at 9.
            assert_eq!(told.report.cost, Cost::RoutePrice(NanoUsd::new(28_000)));
        }
    }
}

#[tokio::test]
async fn every_trouble_of_the_only_provider_is_tried_again_until_it_passes_or_the_tries_are_used_up() {
    for stream in [false, true] {
        for trouble in TROUBLES {
            let passing = world(only("groq"), &["groq"], move |_, asked| match (asked, stream) {
                (1, _) => hurt(trouble),
                (_, true) => whole_stream(),
                (_, false) => Reply::json(200, answer("Paris")),
            });
            let outcome = if stream {
                passing.read().await.1
            } else {
                passing.client.chat(&request()).await.err()
            };
            if *trouble == "429 long" {
                let error = outcome.unwrap();
                assert_eq!(
                    (error.kind(), passing.asked().len()),
                    (HfErrorKind::RateLimited, 1)
                );
                assert!(error.hint().unwrap().contains("600"), "{:?}", error.hint());
                continue;
            }
            assert!(outcome.is_none(), "{trouble}: {outcome:?}");
            assert_eq!(passing.asked().len(), 2, "{trouble}");
            if trouble.ends_with("wait") {
                let waited: Duration = passing.clock.sleeps().into_iter().sum();
                assert!(waited >= Duration::from_secs(7), "{trouble}: {waited:?}");
            }

            let hopeless = world(only("groq"), &["groq"], move |_, _| hurt(trouble));
            let error = if stream {
                hopeless.read().await.1.unwrap()
            } else {
                hopeless.client.chat(&request()).await.unwrap_err()
            };
            assert!(error.hf().is_some(), "{trouble}: {error}");
            let tries = error.attempts().len();
            assert_eq!(tries, hopeless.asked().len(), "{trouble}");
            // Seldom enough that the time-outs of a stall and the waits fit into the deadline.
            assert!((3..=4).contains(&tries), "{trouble}: {tries} tries");
            let told = &hopeless.heard()[0];
            assert_eq!((told.succeeded, told.report.cost), (false, Cost::Unknown));
        }
    }
}

fn only(provider: &str) -> HfInferenceConfig {
    HfInferenceConfig {
        provider: ProviderChoice::Only(Provider::parse(provider).unwrap()),
        ..config()
    }
}

#[tokio::test]
async fn the_routers_own_choice_failing_leads_to_the_models_providers_by_name() {
    let world = world(config(), &["groq", "together"], |provider, _| match provider {
        "together" => Reply::json(200, answer("Paris")),
        _ => hurt("500"),
    });
    let got = world.client.chat(&request()).await.unwrap();
    assert_eq!(world.asked(), ["org/name", "org/name:groq", "org/name:together"]);
    assert_eq!(got.report.attempts.len(), 3);
    assert_eq!(got.report.provider.unwrap().as_str(), "together");
}

#[tokio::test]
async fn what_another_provider_would_answer_the_same_is_not_tried_again() {
    for (status, body, kind) in [
        (
            400,
            json!({"error": {"message": "bad", "code": "invalid"}}),
            HfErrorKind::InvalidArgument,
        ),
        (
            401,
            json!({"error": "Invalid username or password."}),
            HfErrorKind::Auth,
        ),
        (
            402,
            json!({"error": "You have depleted your monthly included credits."}),
            HfErrorKind::QuotaExceeded,
        ),
        (
            403,
            json!({"error": "insufficient permissions"}),
            HfErrorKind::Forbidden,
        ),
        (
            422,
            json!({"error": "bad parameters"}),
            HfErrorKind::InvalidArgument,
        ),
    ] {
        let world = world(
            HfInferenceConfig {
                pin_provider: true,
                ..config()
            },
            &["groq", "together"],
            move |_, _| Reply::json(status, body.clone()),
        );
        let error = world.client.chat(&request()).await.unwrap_err();
        assert_eq!(
            (error.kind(), world.asked().len()),
            (kind, 1),
            "{status}: {error}"
        );
        assert!(
            world.client.breakers().is_empty(),
            "{status} is not the provider's trouble"
        );
    }
}

#[tokio::test]
async fn a_provider_that_does_not_serve_the_model_is_passed_over() {
    let world = world(
        HfInferenceConfig {
            pin_provider: true,
            ..config()
        },
        &["groq", "together"],
        |provider, _| match provider {
            "groq" => Reply::json(
                400,
                json!({"error": {"message": "not enabled", "code": "model_not_supported"}}),
            ),
            _ => Reply::json(200, answer("Paris")),
        },
    );
    world.client.chat(&request()).await.unwrap();
    assert_eq!(world.asked(), ["org/name:groq", "org/name:together"]);
    assert!(world.client.breakers().is_empty());
}

#[tokio::test]
async fn a_broken_provider_is_left_out_until_a_probe_finds_it_well() {
    let world = world(
        HfInferenceConfig {
            retry: RetryPolicy {
                max_attempts: 2,
                seed: Some(1),
                ..RetryPolicy::default()
            },
            pin_provider: true,
            ..config()
        },
        &["groq", "together"],
        |provider, asked| match provider {
            "groq" if asked <= 6 => hurt("500"),
            _ => Reply::json(200, answer("Paris")),
        },
    );
    for _ in 0..5 {
        world.client.chat(&request()).await.unwrap();
    }
    let groq = world
        .asked()
        .iter()
        .filter(|model| model.ends_with("groq"))
        .count();
    assert_eq!(groq, 3, "after three failures it is asked no more");
    assert!(matches!(world.client.breakers()[0].2, BreakerState::Open { .. }));
    world.clock.advance(Duration::from_secs(11));
    let got = world.client.chat(&request()).await.unwrap();
    assert_eq!(got.report.provider.unwrap().as_str(), "groq", "the probe passed");
    assert!(world.client.breakers().is_empty());
}

#[tokio::test]
async fn when_all_are_left_out_the_caller_hears_when_to_come_back() {
    let world = world(only("groq"), &["groq"], |_, _| hurt("500"));
    let error = world.client.chat(&request()).await.unwrap_err();
    assert_eq!(error.attempts().len(), 3, "the third failure opens the circuit");
    let error = world.client.chat(&request()).await.unwrap_err();
    assert!(matches!(error, InferenceError::CircuitOpen { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("try again in"));
    assert_eq!(world.asked().len(), 3);
    assert_eq!(world.heard().len(), 1, "what was not sent is no call");
}

#[tokio::test]
async fn a_stream_that_breaks_after_its_first_content_fails_loudly_with_what_came() {
    let broken: &[fn() -> Reply] = &[
        || {
            Reply::sse(
                [
                    &piece("Par", None)[..],
                    "data: {\"error\":{\"message\":\"gone\"}}\n\n",
                ]
                .concat(),
            )
        },
        || Reply::sse([&piece("Par", None)[..], "data: {not json}\n\n"].concat()),
        || Reply::sse(piece("Par", None)),
        || Reply::sse(piece("Par", None)).then_fail(TransportKind::Reset),
        || Reply::sse(piece("Par", None)).then_silence(),
    ];
    for reply in broken {
        let world = world(config(), &["groq", "together"], move |_, _| reply());
        let (text, error) = world.read().await;
        let error = error.unwrap();
        assert_eq!(text, "Par");
        let InferenceError::Broken {
            received, attempts, ..
        } = &error
        else {
            panic!("{error:?}");
        };
        assert_eq!((received.as_str(), attempts.len()), ("Par", 1));
        assert_eq!(attempts[0].end, AttemptEnd::BrokeOff);
        assert_eq!(
            world.asked().len(),
            1,
            "nobody is asked twice after the first content"
        );
        let told = &world.heard()[0];
        assert_eq!((told.succeeded, told.report.cost), (false, Cost::Unknown));
    }
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_content_is_opened_elsewhere() {
    let early: &[fn() -> Reply] = &[
        || Reply::sse(""),
        || Reply::sse(piece("", None)),
        || Reply::sse([&piece("", None)[..], "data: {\"error\":\"gone\"}\n\n"].concat()),
        || Reply::sse("data: nonsense\n\n"),
        || Reply::sse(DONE),
        || Reply::sse(piece("", None)).then_silence(),
    ];
    for reply in early {
        let world = world(config(), &["groq"], move |provider, _| match provider {
            "groq" => whole_stream(),
            _ => reply(),
        });
        let (text, error) = world.read().await;
        assert!(error.is_none(), "{error:?}");
        assert_eq!((text.as_str(), world.asked().len()), ("Paris", 2));
        let report = &world.heard()[0].report;
        assert_eq!(report.cost, Cost::RoutePrice(NanoUsd::new(30_000)));
    }
}

#[tokio::test]
async fn a_caller_that_hangs_up_is_recorded_and_pays_no_made_up_price() {
    let world = world(config(), &["groq"], |_, _| whole_stream());
    let mut stream = world.client.chat_stream(&request()).await.unwrap();
    stream.next().await.unwrap().unwrap();
    drop(stream);
    tokio::task::yield_now().await;
    let told = world.heard();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].report.attempts[0].end, AttemptEnd::Dropped);
    assert_eq!((told[0].succeeded, told[0].report.cost), (false, Cost::Unknown));
}

#[tokio::test]
async fn a_stream_without_the_last_mark_is_whole_once_the_model_said_why_it_ends() {
    let world = world(config(), &["groq"], |_, _| {
        Reply::sse(piece("Paris", Some("stop")))
    });
    let (text, error) = world.read().await;
    assert_eq!((text.as_str(), error.is_none()), ("Paris", true));
}

#[tokio::test]
async fn tools_and_thoughts_are_content() {
    for delta in [
        json!({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "ls", "arguments": ""}}]}),
        json!({"reasoning_content": "Hm."}),
        json!({"reasoning": "Hm."}),
    ] {
        let first = json!({"choices": [{"index": 0, "delta": delta}]});
        let world = world(config(), &["groq"], move |_, _| {
            Reply::sse(format!("data: {first}\n\n"))
        });
        let (_, error) = world.read().await;
        assert!(matches!(error, Some(InferenceError::Broken { .. })), "{error:?}");
        assert_eq!(world.asked().len(), 1);
    }
}

#[tokio::test]
async fn the_worst_price_is_known_before_the_call_or_not_at_all() {
    let world = world(config(), &["groq", "together"], |_, _| Reply::status(500));
    let usage = Usage {
        prompt_tokens: 1000,
        completion_tokens: 1000,
    };
    let at_most = async |model: &str| {
        let model = model.parse().unwrap();
        world.client.price_at_most(&model, usage).await.unwrap()
    };
    assert_eq!(at_most("org/name").await, NanoUsd::from_usd(0.011));
    assert_eq!(at_most("org/name:together").await, NanoUsd::from_usd(0.010));
    assert_eq!(at_most("org/name:cohere").await, None);
    assert_eq!(at_most("org/other").await, None);
}

#[tokio::test]
async fn the_catalogue_is_asked_once_in_a_while_and_kept_when_the_router_is_away() {
    let transport = ScriptedTransport::with_replies([catalog(&["groq"]), Reply::status(503)]);
    let clock = ManualClock::auto();
    let hub = HfClient::builder()
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(clock.clone()))
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let client = HfInferenceClient::new(&hub, config()).unwrap();
    for _ in 0..3 {
        assert!(client.catalog().await.unwrap().model(MODEL).is_some());
    }
    assert_eq!(transport.requests().len(), 1);
    clock.advance(Duration::from_mins(6));
    assert!(
        client.catalog().await.unwrap().model(MODEL).is_some(),
        "the last one is kept"
    );
    assert!(client.catalog().await.is_ok());
    assert_eq!(
        transport.requests().len(),
        2,
        "a router that is away is not asked at each call"
    );
}

/// Embeds so that the first number of a vector is its text's own.
fn embedder(request: &RecordedRequest) -> Option<Reply> {
    let texts = request.json()["inputs"].as_array()?.clone();
    let vectors: Vec<_> = texts
        .iter()
        .map(|text| json!([text.as_str().unwrap().parse::<f32>().unwrap(), 4.0]))
        .collect();
    Some(Reply::json(200, vectors))
}

fn hub_with(
    answer: impl Fn(&RecordedRequest) -> Option<Reply> + Send + Sync + 'static,
) -> (HfClient, ScriptedTransport) {
    let transport = ScriptedTransport::answering(answer);
    let hub = HfClient::builder()
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(ManualClock::auto()))
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    (hub, transport)
}

#[tokio::test]
async fn embeddings_come_in_batches_and_in_order() {
    let (hub, transport) = hub_with(|request| {
        if request.path().starts_with("/api/models/") {
            let entry = json!({"provider": "hf-inference", "providerId": "org/name", "status": "live", "task": "feature-extraction"});
            return Some(Reply::json(200, json!({"inferenceProviderMapping": [entry]})));
        }
        embedder(request)
    });
    let config = HfInferenceConfig {
        batch_size: 3,
        ..config()
    };
    let client = HfInferenceClient::new(&hub, config).unwrap();
    let texts: Vec<_> = (0..10).map(|n| n.to_string()).collect();
    let model = MODEL.parse().unwrap();
    let got = is_send(client.embed(&model, &texts, &EmbedOptions::default()))
        .await
        .unwrap();
    let firsts: Vec<_> = got.vectors.iter().map(|vector| vector[0]).collect();
    assert_eq!(firsts, (0..10_u8).map(f32::from).collect::<Vec<_>>());
    assert_eq!(transport.requests().len(), 5, "one for the mapping, four batches");
    assert_eq!((got.report.attempts.len(), got.report.cost), (4, Cost::Unknown));

    let options = EmbedOptions {
        normalize: true,
        ..EmbedOptions::default()
    };
    let got = client.embed(&model, &["3".to_owned()], &options).await.unwrap();
    assert_eq!(got.vectors, [[0.6, 0.8]]);
    let none = client.embed(&model, &[], &options).await.unwrap();
    assert!(none.vectors.is_empty());
}

#[tokio::test]
async fn labels_come_the_surest_first_in_both_forms() {
    for answer in [
        json!([[{"label": "NO", "score": 0.1}, {"label": "YES", "score": 0.9}]]),
        json!([{"label": "NO", "score": 0.1}, {"label": "YES", "score": 0.9}]),
    ] {
        let (hub, transport) = hub_with(move |_| Some(Reply::json(200, answer.clone())));
        let client = HfInferenceClient::new(&hub, config()).unwrap();
        let got = client
            .classify(&MODEL.parse().unwrap(), "fine", Some(2))
            .await
            .unwrap();
        let labels: Vec<_> = got.labels.iter().map(|label| label.label.as_str()).collect();
        assert_eq!(labels, ["YES", "NO"]);
        let sent = transport.requests()[0].json();
        assert_eq!(sent, json!({"inputs": "fine", "parameters": {"top_k": 2}}));
    }
}

#[tokio::test]
async fn a_model_that_is_still_loading_is_waited_for() {
    let transport = ScriptedTransport::with_replies([
        Reply::json(503, json!({"error": "Model is loading", "estimated_time": 20}))
            .header("retry-after", "5"),
        Reply::json(200, json!([0.7, 0.1])),
    ]);
    let clock = ManualClock::auto();
    let hub = HfClient::builder()
        .transport(Arc::new(transport))
        .clock(Arc::new(clock.clone()))
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let client = HfInferenceClient::new(&hub, config()).unwrap();
    let texts = ["near".to_owned(), "far".to_owned()];
    let got = client
        .similarity(&MODEL.parse().unwrap(), "here", &texts)
        .await
        .unwrap();
    assert_eq!((got.ranked(), got.report.attempts.len()), (vec![0, 1], 2));
    assert!(clock.sleeps().iter().any(|wait| *wait >= Duration::from_secs(5)));
}

#[tokio::test]
async fn only_hugging_faces_own_serving_classifies() {
    let (hub, _) = hub_with(|_| None);
    let client = HfInferenceClient::new(&hub, only("groq")).unwrap();
    let error = client
        .classify(&MODEL.parse().unwrap(), "fine", None)
        .await
        .unwrap_err();
    assert!(matches!(error, InferenceError::NotServed { .. }), "{error:?}");
}

#[test]
fn a_schema_is_asked_for_in_the_common_form() {
    let options = ChatOptions::default().json_schema("answer", &json!({"type": "object"}));
    let format = options.response_format.unwrap();
    assert_eq!(format["json_schema"]["schema"], json!({"type": "object"}));
}
