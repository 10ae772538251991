//! The router's paths, without an engine of weights: scripted providers, a made-up engine, refusals.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use hf_local::{
    AccountConfig, ChatEnd, ChatPiece, ChatTask, FinishReason, InferenceEngine, InferenceFailure,
    InferenceTask, LoadedModel, LocalHub, LocalHubConfig, ModelListing, ModelPlan, ScriptedFault,
    ScriptedProvider, TokenRole,
};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::file;

const ADA: &str = "hf_ada";
const FINE: &str = "hf_fine";
const ALLOWED: &str = "hf_allowed";
const BOB: &str = "hf_bob";

/// Counts from one until it is stopped; says how it ended.
#[derive(Debug, Default)]
struct Counting {
    loads: AtomicUsize,
    said: Arc<AtomicUsize>,
    ended: Arc<(Mutex<bool>, Condvar)>,
}

struct Counter {
    said: Arc<AtomicUsize>,
    ended: Arc<(Mutex<bool>, Condvar)>,
}

impl InferenceEngine for Counting {
    fn plan(&self, model: &ModelListing) -> Option<ModelPlan> {
        model
            .files
            .iter()
            .any(|(name, _)| name == "weights")
            .then(|| ModelPlan {
                task: InferenceTask::Conversational,
                files: vec!["weights".to_owned()],
                memory_bytes: 1,
                context_length: Some(8),
                supports_tools: false,
            })
    }

    fn load(&self, dir: &Path, _: &ModelPlan) -> Result<Arc<dyn LoadedModel>, InferenceFailure> {
        assert_eq!(std::fs::read(dir.join("weights")).unwrap(), b"one");
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(Counter {
            said: Arc::clone(&self.said),
            ended: Arc::clone(&self.ended),
        }))
    }
}

impl LoadedModel for Counter {
    fn chat(
        &self,
        task: &ChatTask,
        on_piece: &mut dyn FnMut(ChatPiece) -> ControlFlow<()>,
    ) -> Result<ChatEnd, InferenceFailure> {
        if task.messages[0]["content"] == "fail" {
            return Err(InferenceFailure::request("it was asked to fail"));
        }
        let most = task.max_tokens.unwrap_or(usize::MAX);
        let mut said = 0;
        while said < most {
            said += 1;
            self.said.store(said, Ordering::SeqCst);
            let piece = ChatPiece::Text {
                text: format!("{said} "),
                tokens: Vec::new(),
            };
            if on_piece(piece).is_break() {
                break;
            }
        }
        *self.ended.0.lock().unwrap() = true;
        self.ended.1.notify_all();
        Ok(ChatEnd {
            finish_reason: FinishReason::Length,
            prompt_tokens: 1,
            completion_tokens: said as u64,
        })
    }
}

struct Served {
    hub: LocalHub,
    client: Client,
    engine: Arc<Counting>,
    _dir: tempfile::TempDir,
}

impl Served {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let engine = Arc::new(Counting::default());
        let accounts = vec![
            AccountConfig::new("ada", ADA),
            AccountConfig::new("ada", FINE)
                .role(TokenRole::FineGrained)
                .permissions(["repo.content.read"]),
            AccountConfig::new("ada", ALLOWED)
                .role(TokenRole::FineGrained)
                .permissions(["repo.content.read", "inference.serverless.write"]),
            AccountConfig::new("bob", BOB),
        ];
        let config = LocalHubConfig::new(dir.path())
            .accounts(accounts)
            .engine(Arc::clone(&engine) as Arc<dyn InferenceEngine>);
        let hub = LocalHub::start(config).await.unwrap();
        let served = Self {
            hub,
            client: Client::builder().no_proxy().build().unwrap(),
            engine,
            _dir: dir,
        };
        for (name, private) in [("counter", false), ("secret", true), ("empty", false)] {
            let body = json!({"type": "model", "name": name, "private": private});
            assert_eq!(served.post(ADA, "/api/repos/create", &body).await.status(), 200);
        }
        for name in ["counter", "secret"] {
            let lines = format!(
                "{}\n{}",
                json!({"key": "header", "value": {"summary": "w"}}),
                file("weights", b"one")
            );
            let url = format!("{}/api/models/ada/{name}/commit/main", served.hub.endpoint());
            let sent = served
                .client
                .post(url)
                .bearer_auth(ADA)
                .header("content-type", "application/x-ndjson")
                .body(lines);
            assert_eq!(sent.send().await.unwrap().status(), 200);
        }
        served
    }

    async fn post(&self, token: &str, path: &str, body: &Value) -> Response {
        let request = self
            .client
            .post(format!("{}{path}", self.hub.endpoint()))
            .json(body);
        let request = if token.is_empty() {
            request
        } else {
            request.bearer_auth(token)
        };
        request.send().await.unwrap()
    }

    async fn chat(&self, token: &str, model: &str, more: &Value) -> Response {
        let mut body =
            json!({"model": model, "messages": [{"role": "user", "content": "count"}], "max_tokens": 3});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        self.post(token, "/v1/chat/completions", &body).await
    }

    async fn get(&self, path: &str) -> Value {
        let request = self
            .client
            .get(format!("{}{path}", self.hub.endpoint()))
            .bearer_auth(ADA);
        request.send().await.unwrap().json().await.unwrap()
    }
}

async fn error(response: Response) -> (StatusCode, Value) {
    (
        response.status(),
        response.json::<Value>().await.unwrap()["error"].clone(),
    )
}

#[tokio::test]
async fn a_model_of_a_repository_chats_whole_and_as_a_stream() {
    let served = Served::start().await;
    let whole = served.chat(ADA, "ada/counter", &json!({})).await;
    assert_eq!(whole.headers()["x-inference-provider"], "hf-inference");
    assert_eq!(whole.headers()["x-compute-type"], "local-cpu");
    let whole: Value = whole.json().await.unwrap();
    assert_eq!(whole["choices"][0]["message"]["content"], "1 2 3 ");
    assert_eq!(whole["usage"]["total_tokens"], 4);
    let more = json!({"stream": true, "stream_options": {"include_usage": true}});
    let stream = served
        .chat(ADA, "ada/counter:hf-inference", &more)
        .await
        .text()
        .await
        .unwrap();
    let events: Vec<&str> = stream
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    assert_eq!(events.last(), Some(&"[DONE]"));
    let chunks: Vec<Value> = events[..events.len() - 1]
        .iter()
        .map(|event| serde_json::from_str(event).unwrap())
        .collect();
    let said: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
        .collect();
    assert_eq!(said, "1 2 3 ");
    assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
    assert_eq!(chunks.last().unwrap()["usage"]["completion_tokens"], 3);
    assert_eq!(served.engine.loads.load(Ordering::SeqCst), 1, "loaded once");

    let models = served.get("/v1/models").await;
    let ids: Vec<&str> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|it| it["id"].as_str())
        .collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    let provider = &served.get("/v1/models/ada/counter").await["providers"][0];
    assert_eq!(
        (&provider["provider"], &provider["is_free"]),
        (&json!("hf-inference"), &json!(true))
    );
    let info = served
        .get("/api/models/ada/counter?expand=inferenceProviderMapping")
        .await;
    assert_eq!(
        info["inferenceProviderMapping"]["hf-inference"]["task"],
        "conversational"
    );
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_the_model() {
    let served = Served::start().await;
    let endless = json!({"stream": true, "max_tokens": null});
    let mut stream = served.chat(ADA, "ada/counter", &endless).await;
    assert!(stream.chunk().await.unwrap().is_some());
    drop(stream);
    let ended = Arc::clone(&served.engine.ended);
    let waited = tokio::task::spawn_blocking(move || {
        let guard = ended.0.lock().unwrap();
        drop(ended.1.wait_while(guard, |ended| !*ended).unwrap());
    });
    waited.await.unwrap();
    assert!(served.engine.said.load(Ordering::SeqCst) > 0);
}

#[tokio::test]
async fn who_may_not_is_refused_as_the_router_refuses() {
    let served = Served::start().await;
    let refused =
        async |token: &str, model: &str, more: Value| error(served.chat(token, model, &more).await).await;
    assert_eq!(refused("", "ada/counter", json!({})).await.0, 401);
    let (status, text) = refused(FINE, "ada/counter", json!({})).await;
    assert_eq!(status, 403);
    assert!(
        text.as_str()
            .unwrap()
            .contains("Inference Providers on behalf of user ada"),
        "{text}"
    );
    assert_eq!(
        served.chat(ALLOWED, "ada/counter", &json!({})).await.status(),
        200
    );
    let (status, hidden) = refused(BOB, "ada/secret", json!({})).await;
    assert_eq!(
        (status, &hidden["code"]),
        (StatusCode::NOT_FOUND, &json!("model_not_found"))
    );
    assert_eq!(served.chat(ADA, "ada/secret", &json!({})).await.status(), 200);
    let (status, none) = refused(ADA, "ada/empty", json!({})).await;
    assert_eq!(
        (status, &none["code"]),
        (StatusCode::BAD_REQUEST, &json!("model_not_supported"))
    );
    let (status, none) = refused(ADA, "ada/counter:groq", json!({})).await;
    assert_eq!(
        (status, &none["code"]),
        (StatusCode::BAD_REQUEST, &json!("model_not_supported"))
    );
    let failing = json!({"stream": true, "messages": [{"role": "user", "content": "fail"}]});
    let (status, why) = refused(ADA, "ada/counter", failing).await;
    assert_eq!(
        (status, &why["message"]),
        (StatusCode::BAD_REQUEST, &json!("it was asked to fail"))
    );
    let path = "/hf-inference/models/ada/empty";
    let (status, text) = error(served.post(ADA, path, &json!({"inputs": "x"})).await).await;
    assert_eq!(
        (status, text),
        (
            StatusCode::BAD_REQUEST,
            json!("Model not supported by provider hf-inference")
        )
    );
    assert_eq!(
        served
            .post(ADA, "/hf-inference/models/ada/none", &json!({}))
            .await
            .status(),
        404
    );
    assert_eq!(
        served
            .post(ADA, "/groq/openai/v1/chat/completions", &json!({}))
            .await
            .status(),
        501
    );
}

#[tokio::test]
async fn scripted_providers_are_listed_chosen_and_fail_as_written() {
    let served = Served::start().await;
    let scripts = served.hub.scripted_providers();
    assert!(
        scripts.set("groq", ScriptedProvider::default()).is_err(),
        "a script says what it is"
    );
    let fast = ScriptedProvider::new("org/m", "fast words").claims(1.0, 9.0, 500.0);
    let cheap = ScriptedProvider::new("org/m", "cheap words").claims(0.1, 0.2, 20.0);
    scripts.set("scripted-fast", fast).unwrap();
    scripts
        .set(
            "scripted-cheap",
            cheap.fault(ScriptedFault::Status {
                code: 503,
                retry_after: Some(2),
                times: 1,
            }),
        )
        .unwrap();
    for (model, provider) in [
        ("org/m", "scripted-fast"),
        ("org/m:scripted-fast", "scripted-fast"),
    ] {
        let answer = served.chat(ADA, model, &json!({})).await;
        assert_eq!(answer.headers()["x-inference-provider"], provider);
    }
    let down = served.chat(ADA, "org/m:cheapest", &json!({})).await;
    assert_eq!(
        (down.status().as_u16(), &down.headers()["retry-after"]),
        (503, &"2".parse().unwrap())
    );
    let up: Value = served
        .chat(ADA, "org/m:cheapest", &json!({}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(up["choices"][0]["message"]["content"], "cheap words");
    let listed = served.get("/v1/models/org/m").await;
    assert_eq!(
        listed["providers"][0]["pricing"],
        json!({"input": 0.1, "output": 0.2})
    );
    assert_eq!(served.get("/_local/inference/providers").await[0]["calls"], 2);

    let set = json!({"models": {"org/m": {}}, "replies": ["a b c"], "faults": [{"fault": "break_after", "words": 1}]});
    let url = format!(
        "{}/_local/inference/providers/scripted-fast",
        served.hub.endpoint()
    );
    assert_eq!(
        served
            .client
            .put(&url)
            .bearer_auth(ADA)
            .json(&set)
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
    let broken = served
        .chat(ADA, "org/m:scripted-fast", &json!({"stream": true}))
        .await;
    assert!(broken.text().await.is_err(), "the stream broke");
}
