//! Against the embedded Hub's router, with scripted providers: who answers, failover, prices, broken streams.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use futures::StreamExt;
use hf_core::{HfClient, RetryPolicy, Token};
use hf_inference::{
    BreakerState, ChatRequest, HfInferenceClient, HfInferenceConfig, InferenceError, Message, Provider,
};
use hf_local::{AccountConfig, LocalHub, LocalHubConfig, ScriptedFault, ScriptedProvider};

const ADA: &str = "hf_ada_all";

struct Router {
    hub: LocalHub,
    client: HfInferenceClient,
    _folder: tempfile::TempDir,
}

impl Router {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = LocalHubConfig::new(folder.path()).accounts(vec![AccountConfig::new("ada", ADA)]);
        let hub = LocalHub::start(config).await.unwrap();
        let http = HfClient::builder()
            .endpoint(hub.endpoint().parse().unwrap())
            .token(Token::parse(ADA).unwrap())
            .build()
            .unwrap();
        let config = HfInferenceConfig {
            retry: RetryPolicy {
                base: Duration::from_millis(1),
                ..RetryPolicy::default()
            },
            ..HfInferenceConfig::default()
        };
        let client = HfInferenceClient::new(&http, config).unwrap();
        Self {
            hub,
            client,
            _folder: folder,
        }
    }

    fn script(&self, name: &str, script: ScriptedProvider) {
        self.hub.scripted_providers().set(name, script).unwrap();
    }
}

fn ask(model: &str) -> ChatRequest {
    ChatRequest::new(model.parse().unwrap(), [Message::user("how are you")])
}

fn failing(times: u64) -> ScriptedFault {
    serde_json::from_value(serde_json::json!({"fault": "status", "code": 503, "times": times})).unwrap()
}

#[tokio::test]
async fn a_chat_is_answered_priced_and_streamed() {
    let router = Router::start().await;
    router.script(
        "scripted-one",
        ScriptedProvider::new("org/m", "all is well").claims(1.0, 2.0, 50.0),
    );
    let answer = router.client.chat(&ask("org/m")).await.unwrap();
    assert_eq!(answer.reply.text(), "all is well");
    assert_eq!(answer.report.provider, Some(Provider::named("scripted-one")));
    let mut stream = router.client.chat_stream(&ask("org/m")).await.unwrap();
    let mut said = String::new();
    while let Some(chunk) = stream.next().await {
        said.push_str(chunk.unwrap().body.text());
    }
    assert_eq!(said, "all is well");
    let usage = stream.report().unwrap().usage.unwrap();
    assert_eq!(usage, answer.report.usage.unwrap());
}

#[tokio::test]
async fn a_failing_provider_is_replaced_by_the_models_next() {
    let router = Router::start().await;
    let fast = ScriptedProvider::new("org/m", "fast").claims(1.0, 2.0, 500.0);
    router.script("scripted-fast", fast.fault(failing(1000)));
    router.script(
        "scripted-slow",
        ScriptedProvider::new("org/m", "slow").claims(1.0, 2.0, 5.0),
    );
    let answer = router.client.chat(&ask("org/m")).await.unwrap();
    assert_eq!(answer.reply.text(), "slow");
    assert_eq!(answer.report.provider, Some(Provider::named("scripted-slow")));
    assert!(answer.report.attempts.len() > 1);
}

#[tokio::test]
async fn a_provider_that_goes_on_failing_opens_its_breaker() {
    let router = Router::start().await;
    router.script(
        "scripted-one",
        ScriptedProvider::new("org/m", "x").fault(failing(1000)),
    );
    for _ in 0..5 {
        assert!(router.client.chat(&ask("org/m")).await.is_err());
    }
    let open = |state: &BreakerState| !matches!(state, BreakerState::Closed { .. });
    assert!(
        router
            .client
            .breakers()
            .iter()
            .any(|(model, _, state)| model == "org/m" && open(state))
    );
}

#[tokio::test]
async fn a_stream_that_breaks_is_an_error_and_keeps_what_came() {
    let router = Router::start().await;
    for fault in [
        serde_json::json!({"fault": "break_after", "words": 2}),
        serde_json::json!({"fault": "error_after", "words": 2}),
        serde_json::json!({"fault": "no_end"}),
        serde_json::json!({"fault": "malformed"}),
    ] {
        let broken = ScriptedProvider::new("org/m", "one two three ")
            .fault(serde_json::from_value(fault.clone()).unwrap());
        router.script("scripted-one", broken);
        let mut stream = router.client.chat_stream(&ask("org/m")).await.unwrap();
        let (mut said, mut failed) = (String::new(), false);
        while let Some(chunk) = stream.next().await {
            match chunk {
                Ok(chunk) => said.push_str(chunk.body.text()),
                Err(_) => failed = true,
            }
        }
        assert!(failed, "{fault}");
        assert!(said.starts_with("one two "), "{fault}: {said}");
    }
}

#[tokio::test]
async fn an_unknown_model_is_told_at_once() {
    let router = Router::start().await;
    let error = router.client.chat(&ask("org/none")).await.unwrap_err();
    assert!(matches!(error, InferenceError::Failed { .. }), "{error:?}");
}
