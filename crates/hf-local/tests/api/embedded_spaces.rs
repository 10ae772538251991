//! Spaces that run in the Hub's own process, with a made-up engine.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use futures::StreamExt;
use hf_local::{
    ChatEnd, ChatPiece, ChatTask, FinishReason, HubClock, InferenceEngine, InferenceFailure, InferenceTask,
    LoadedModel, LocalHub, LocalHubConfig, ModelListing, ModelPlan,
};
use reqwest::redirect::Policy;
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{BOB, Caller, TestHub, accounts, file, header};

/// Says the prompt back, word by word. What is in `weights` says how it goes.
#[derive(Debug, Default)]
struct Echoing {
    loads: AtomicUsize,
    /// Loading waits while this is true.
    held: (Mutex<bool>, Condvar),
    broken_off: Arc<(Mutex<usize>, Condvar)>,
}

impl Echoing {
    fn hold(&self, held: bool) {
        *self.held.0.lock().unwrap() = held;
        self.held.1.notify_all();
    }
}

struct Echo {
    word: String,
    broken_off: Arc<(Mutex<usize>, Condvar)>,
}

impl InferenceEngine for Echoing {
    fn plan(&self, model: &ModelListing) -> Option<ModelPlan> {
        let there = model.files.iter().any(|(name, _)| name == "weights");
        there.then(|| ModelPlan {
            task: InferenceTask::Conversational,
            files: vec!["weights".to_owned()],
            memory_bytes: 1,
            context_length: None,
            supports_tools: false,
        })
    }

    fn load(&self, dir: &Path, _: &ModelPlan) -> Result<Arc<dyn LoadedModel>, InferenceFailure> {
        let mut held = self.held.0.lock().unwrap();
        while *held {
            held = self.held.1.wait(held).unwrap();
        }
        drop(held);
        let word = std::fs::read_to_string(dir.join("weights")).unwrap();
        if word == "broken" {
            return Err(InferenceFailure::Model("weights: not of this world".to_owned()));
        }
        self.loads.fetch_add(1, Ordering::SeqCst);
        Ok(Arc::new(Echo {
            word,
            broken_off: Arc::clone(&self.broken_off),
        }))
    }
}

impl LoadedModel for Echo {
    fn chat(
        &self,
        task: &ChatTask,
        on_piece: &mut dyn FnMut(ChatPiece) -> ControlFlow<()>,
    ) -> Result<ChatEnd, InferenceFailure> {
        if self.word == "mute" {
            return Err(InferenceFailure::Request("it has no mouth".to_owned()));
        }
        let prompt = task.messages[0]["content"].as_str().unwrap().to_owned();
        let words = format!("{} {prompt}", self.word);
        let endless = prompt == "for ever";
        let mut said = 0;
        for word in words.split_inclusive(' ').cycle() {
            said += 1;
            let piece = ChatPiece::Text {
                text: word.to_owned(),
                tokens: Vec::new(),
            };
            if on_piece(piece).is_break() {
                *self.broken_off.0.lock().unwrap() += 1;
                self.broken_off.1.notify_all();
                break;
            }
            if !endless && said == words.split_inclusive(' ').count() {
                break;
            }
        }
        Ok(ChatEnd {
            finish_reason: FinishReason::Stop,
            prompt_tokens: 1,
            completion_tokens: said as u64,
        })
    }
}

struct Served {
    hub: TestHub,
    engine: Arc<Echoing>,
}

impl Served {
    async fn start() -> Self {
        Self::open(tempfile::tempdir().unwrap(), Arc::default()).await
    }

    async fn open(dir: tempfile::TempDir, engine: Arc<Echoing>) -> Self {
        let clock = HubClock::stepped("2026-10-09T08:00:00Z".parse().unwrap());
        Self::open_at(dir, engine, clock).await
    }

    async fn open_at(dir: tempfile::TempDir, engine: Arc<Echoing>, clock: HubClock) -> Self {
        let config = LocalHubConfig::new(dir.path())
            .accounts(accounts())
            .clock(clock)
            .engine(Arc::clone(&engine) as Arc<dyn InferenceEngine>);
        let hub = LocalHub::start(config).await.unwrap();
        let client = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .build()
            .unwrap();
        Self {
            hub: TestHub { hub, dir, client },
            engine,
        }
    }

    /// Makes a private model; gives its commit.
    async fn model(&self, name: &str, weights: &str) -> String {
        let ada = self.hub.ada();
        let body = json!({"name": name, "visibility": "private"});
        assert_eq!(
            ada.post("/api/repos/create", &body).await.status(),
            StatusCode::OK
        );
        ada.commit(
            &format!("models/ada/{name}"),
            "weights",
            &[file("weights", weights)],
        )
        .await
    }

    async fn space(&self, name: &str, visibility: &str, space_file: &Value) -> Response {
        let files = json!([
            {"path": "app.py", "content": "x = 1\n"}, {"path": "README.md", "content": "---\nsdk: gradio\n---\n"},
            {"path": "space.json", "content": space_file.to_string()}]);
        let body =
            json!({"type": "space", "name": name, "sdk": "gradio", "visibility": visibility, "files": files});
        self.hub.ada().post("/api/repos/create", &body).await
    }

    fn app(&self, name: &str, path: &str) -> String {
        format!("{}/apps/ada/{name}/{path}", self.hub.hub.payload_endpoint())
    }

    /// Asks through the API of single calls; gives the names and data of the events.
    async fn ask(&self, caller: &Caller<'_>, name: &str, data: Value) -> Vec<(String, Value)> {
        let call = self.app(name, "gradio_api/call/generate");
        let begun = caller.post(&call, &json!({"data": data})).await;
        assert_eq!(begun.status(), StatusCode::OK);
        let begun: Value = begun.json().await.unwrap();
        let text = caller
            .get(&format!("{call}/{}", begun["event_id"].as_str().unwrap()))
            .await
            .text()
            .await
            .unwrap();
        let blocks = text.trim_end().split("\n\n").map(|block| {
            let (event, data) = block.split_once('\n').unwrap();
            let data = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            (event.strip_prefix("event: ").unwrap().to_owned(), data)
        });
        blocks.collect()
    }

    async fn runtime(&self, name: &str) -> Value {
        self.hub
            .ada()
            .json(&format!("/api/spaces/ada/{name}/runtime"))
            .await
    }

    /// Looks until the stage is another than these.
    async fn after(&self, name: &str, stages: &[&str]) -> Value {
        let look = async {
            loop {
                let runtime = self.runtime(name).await;
                if !stages.contains(&runtime["stage"].as_str().unwrap()) {
                    return runtime;
                }
            }
        };
        tokio::time::timeout(Duration::from_mins(1), look)
            .await
            .expect("the stage changes")
    }

    async fn log(&self, name: &str, kind: &str) -> String {
        let path = format!("/api/spaces/ada/{name}/logs/{kind}");
        self.hub.ada().get(&path).await.text().await.unwrap()
    }
}

fn space_file(model: &str, revision: &str) -> Value {
    let pinned = json!({"repo_id": model, "revision": revision});
    json!({"form": 1, "deployment": "d", "title": "<Demo>", "model": pinned, "adapter": null, "shown": pinned, "previous": null,
        "limits": {"max_prompt_chars": 40, "max_new_tokens": 64, "max_gpu_seconds": 60, "ms_per_token": 40},
        "trust_remote_code": false, "hardware": "cpu-basic"})
}

const STARTING: &[&str] = &["BUILDING", "APP_STARTING"];

#[tokio::test]
async fn a_space_of_the_template_runs_when_its_model_answers() {
    let served = Served::start().await;
    let ada = served.hub.ada();
    let revision = served.model("tiny", "you said").await;
    served.engine.hold(true);
    let made = served
        .space("demo", "private", &space_file("ada/tiny", &revision))
        .await;
    assert_eq!(made.status(), StatusCode::OK);
    let starting = served.after("demo", &["BUILDING"]).await;
    assert_eq!(starting["stage"], "APP_STARTING");
    assert_eq!(starting["hardware"]["current"], Value::Null);
    served.engine.hold(false);

    // Whoever asks while it starts, waits.
    let config = ada.json(&served.app("demo", "config")).await;
    assert_eq!(
        (&config["title"], &config["protocol"]),
        (&json!("<Demo>"), &json!("sse_v3"))
    );
    assert_eq!(config["dependencies"][0]["api_name"], "generate");
    let runtime = served.runtime("demo").await;
    let info = ada.json("/api/spaces/ada/demo").await;
    assert_eq!(
        (&runtime["stage"], &runtime["sha"]),
        (&json!("RUNNING"), &info["sha"])
    );
    assert!(
        runtime["embedded"]
            .as_str()
            .unwrap()
            .starts_with("embedded runtime")
    );
    assert_eq!(runtime.get("simulated"), None);
    assert_eq!(info["host"], served.app("demo", ""));
    let api = ada
        .json(&served.app("demo", "gradio_api/info?serialize=False"))
        .await;
    assert_eq!(
        api["named_endpoints"]["/generate"]["parameters"][1]["parameter_default"],
        64
    );

    let events = served.ask(&ada, "demo", json!(["hello there", 16, 0.0])).await;
    let expected = [
        ("generating", json!(["you "])),
        ("generating", json!(["you said "])),
        ("generating", json!(["you said hello "])),
        ("generating", json!(["you said hello there"])),
        ("complete", json!(["you said hello there"])),
    ];
    assert_eq!(events, expected.map(|(name, data)| (name.to_owned(), data)));
    for (data, told) in [
        (json!(["", 16, 0.0]), "Write a prompt"),
        (json!(["x".repeat(41), 16, 0.0]), "longer than 40"),
        (json!(["x", 65, 0.0]), "maximum value 64"),
    ] {
        let events = served.ask(&ada, "demo", data).await;
        let [(name, error)] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(name, "error");
        assert!(error["error"].as_str().unwrap().contains(told), "{error}");
    }
    let build = served.log("demo", "build").await;
    assert!(
        build.contains("embedded runtime") && build.contains(&revision),
        "{build}"
    );
    let run = served.log("demo", "run").await;
    assert!(
        run.contains("Application Startup") && run.contains("bashgym_request"),
        "{run}"
    );
    assert!(!run.contains("hello there"), "what people ask is not in a log");
    assert_eq!(served.engine.loads.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_session_hears_all_its_questions_and_is_closed_after_the_last() {
    let served = Served::start().await;
    let ada = served.hub.ada();
    let revision = served.model("tiny", "yes").await;
    served
        .space("demo", "private", &space_file("ada/tiny", &revision))
        .await;
    let join = served.app("demo", "gradio_api/queue/join");
    let mut ids = Vec::new();
    for prompt in ["one two", "three"] {
        let body = json!({"data": [prompt, 8, 0], "fn_index": 0, "session_hash": "s"});
        let begun: Value = ada.post(&join, &body).await.json().await.unwrap();
        ids.push(begun["event_id"].clone());
    }
    let data = served.app("demo", "gradio_api/queue/data?session_hash=s");
    let text = ada.get(&data).await.text().await.unwrap();
    let messages: Vec<Value> = text
        .trim_end()
        .split("\n\n")
        .map(|line| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap())
        .collect();
    let of = |id: &Value| -> Vec<&Value> { messages.iter().filter(|it| it["event_id"] == *id).collect() };
    let first = of(&ids[0]);
    let words: Vec<&str> = first.iter().map(|it| it["msg"].as_str().unwrap()).collect();
    let piece = "process_generating";
    assert_eq!(
        words,
        [
            "estimation",
            "process_starts",
            piece,
            piece,
            piece,
            "process_completed"
        ]
    );
    assert_eq!(first[2]["output"]["data"], json!(["yes "]));
    assert_eq!(first[3]["output"]["data"], json!([[["append", [], "one "]]]));
    assert_eq!(first[5]["output"]["data"], json!(["yes one two"]));
    assert_eq!(
        of(&ids[1]).last().unwrap()["output"]["data"],
        json!(["yes three"])
    );
    assert_eq!(messages.last().unwrap()["msg"], "close_stream");
    let again = ada.get(&data).await.text().await.unwrap();
    assert!(again.contains("session_not_found\":true"), "{again}");
    let nameless = ada
        .post(&join, &json!({"data": ["x", 8, 0], "fn_index": 0}))
        .await;
    assert_eq!(nameless.status(), StatusCode::BAD_REQUEST);
    let broken = ada.request(Method::POST, &join).body("{").send().await.unwrap();
    assert_eq!(broken.status(), StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn who_stops_listening_or_cancels_ends_the_work() {
    let served = Served::start().await;
    let ada = served.hub.ada();
    let revision = served.model("tiny", "on").await;
    served
        .space("demo", "private", &space_file("ada/tiny", &revision))
        .await;
    let call = served.app("demo", "gradio_api/call/generate");
    let body = json!({"data": ["for ever", 64, 0]});
    let begin = async || -> String {
        let begun: Value = ada.post(&call, &body).await.json().await.unwrap();
        begun["event_id"].as_str().unwrap().to_owned()
    };
    let broken_off = |times: usize| {
        let count = Arc::clone(&served.engine.broken_off);
        tokio::task::spawn_blocking(move || {
            let count = count
                .1
                .wait_timeout_while(count.0.lock().unwrap(), Duration::from_mins(1), |it| *it < times)
                .unwrap();
            assert_eq!(*count.0, times);
        })
    };
    let event = begin().await;
    let mut listening = ada.get(&format!("{call}/{event}")).await.bytes_stream();
    assert!(listening.next().await.unwrap().is_ok());
    drop(listening);
    broken_off(1).await.unwrap();

    let event = begin().await;
    let listening = ada.get(&format!("{call}/{event}")).await;
    let cancel = json!({"event_id": event, "session_hash": event, "fn_index": 0});
    let cancelled = ada.post(&served.app("demo", "gradio_api/cancel"), &cancel).await;
    assert_eq!(cancelled.status(), StatusCode::OK);
    let text = listening.text().await.unwrap();
    assert!(text.trim_end().ends_with("event: complete\ndata: null"), "{text}");
    broken_off(2).await.unwrap();

    // Nobody asked for this end, so it is no short success.
    let event = begin().await;
    let listening = ada.get(&format!("{call}/{event}")).await;
    ada.post("/api/spaces/ada/demo/pause", &json!({})).await;
    let text = listening.text().await.unwrap();
    assert!(
        text.contains("event: error") && text.contains("was stopped"),
        "{text}"
    );
    broken_off(3).await.unwrap();
    ada.post("/api/spaces/ada/demo/restart", &json!({})).await;
    let after = served.ask(&ada, "demo", json!(["now", 8, 0])).await;
    assert_eq!(after.last().unwrap().1, json!(["on now"]));
}

#[tokio::test]
async fn what_can_not_be_served_says_why_in_the_run_log() {
    let served = Served::start().await;
    let good = served.model("good", "fine").await;
    let broken = served.model("broken", "broken").await;
    let mute = served.model("mute", "mute").await;
    let ada = served.hub.ada();
    let body = json!({"name": "empty", "files": [{"path": "config.json", "content": "{}"}]});
    ada.post("/api/repos/create", &body).await;
    let empty = ada.json("/api/models/ada/empty").await["sha"]
        .as_str()
        .unwrap()
        .to_owned();
    let bob = served.hub.caller(Some(BOB));
    let body =
        json!({"name": "secret", "visibility": "private", "files": [{"path": "weights", "content": "bob"}]});
    assert_eq!(
        bob.post("/api/repos/create", &body).await.status(),
        StatusCode::OK
    );
    let secret = bob.json("/api/models/bob/secret").await["sha"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut adapter = space_file("ada/good", &good);
    adapter["adapter"] = json!({"repo_id": "ada/lora", "revision": good});
    let mut newer = space_file("ada/good", &good);
    newer["form"] = json!(3);
    let none = "0".repeat(40);
    for (name, file, told) in [
        ("gone", space_file("ada/none", &none), "is not on this Hub"),
        ("past", space_file("ada/good", &none), "has no revision"),
        (
            "other",
            space_file("bob/secret", &secret),
            "private and of another namespace",
        ),
        ("odd", space_file("ada/empty", &empty), "does not run ada/empty"),
        ("adapted", adapter, "is an adapter"),
        ("newer", newer, "has the form 3"),
        ("broken", space_file("ada/broken", &broken), "not of this world"),
        ("mute", space_file("ada/mute", &mute), "it has no mouth"),
    ] {
        assert_eq!(
            served.space(name, "private", &file).await.status(),
            StatusCode::OK
        );
        let runtime = served.after(name, STARTING).await;
        assert_eq!(runtime["stage"], "RUNTIME_ERROR", "{name}");
        assert!(
            runtime["errorMessage"].as_str().unwrap().contains(told),
            "{runtime}"
        );
        let log = served.log(name, "run").await;
        assert!(log.contains("Application Startup") && log.contains(told), "{log}");
        let app = ada.get(&served.app(name, "config")).await;
        assert_eq!(app.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(app.text().await.unwrap().contains(told), "{name}");
    }
}

#[tokio::test]
async fn a_private_app_is_for_tokens_and_for_keys_of_its_own() {
    let served = Served::start().await;
    let revision = served.model("tiny", "hi").await;
    for (name, visibility) in [("shut", "private"), ("next", "private"), ("half", "protected")] {
        served
            .space(name, visibility, &space_file("ada/tiny", &revision))
            .await;
    }
    let config = served.app("shut", "config");
    let nobody = served.hub.caller(None);
    assert_eq!(nobody.get(&config).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        nobody.get(&served.app("half", "config")).await.status(),
        StatusCode::OK
    );
    let bob = served.hub.caller(Some(BOB));
    assert_eq!(bob.get(&config).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        bob.get("/api/spaces/ada/shut/jwt").await.status(),
        StatusCode::NOT_FOUND
    );
    // Where Gradio's clients put the token.
    let with = |name: &'static str, value: String, url: &str| {
        nobody.request(Method::GET, url).header(name, value).send()
    };
    let ada = "Bearer hf_ada".to_owned();
    assert_eq!(
        with("x-hf-authorization", ada, &config).await.unwrap().status(),
        StatusCode::OK
    );

    let key = served
        .hub
        .ada()
        .json("/api/spaces/ada/shut/jwt?expires_in=600")
        .await;
    let token = key["token"].as_str().unwrap().to_owned();
    let bearer = || format!("Bearer {token}");
    assert_eq!(key["accessToken"], bearer());
    let status = async |url: &str| with("authorization", bearer(), url).await.unwrap().status();
    assert_eq!(status(&config).await, StatusCode::OK);
    assert_eq!(
        status(&served.app("next", "config")).await,
        StatusCode::UNAUTHORIZED
    );
    assert_eq!(
        status(&served.hub.url("/api/spaces/ada/shut")).await,
        StatusCode::UNAUTHORIZED,
        "a key to an app is no token of the Hub"
    );
    // A browser brings it once, and keeps it for this app alone.
    let signed = nobody.get(&served.app("shut", &format!("?__sign={token}"))).await;
    assert_eq!(signed.status(), StatusCode::SEE_OTHER);
    assert_eq!(header(&signed, "location"), "/apps/ada/shut/");
    let cookie = header(&signed, "set-cookie").to_owned();
    assert!(cookie.contains("Path=/apps/ada/shut/; ") && cookie.contains("HttpOnly; SameSite=Strict"));
    let cookie = cookie.split(';').next().unwrap().to_owned();
    assert_eq!(
        with("cookie", cookie.clone(), &config).await.unwrap().status(),
        StatusCode::OK
    );
    served.hub.hub.clock().advance(Duration::from_secs(601));
    assert_eq!(status(&config).await, StatusCode::UNAUTHORIZED);
    assert_eq!(
        with("cookie", cookie, &config).await.unwrap().status(),
        StatusCode::UNAUTHORIZED
    );
    let late = nobody.get(&served.app("shut", &format!("?__sign={token}"))).await;
    assert_eq!(late.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn sleep_pause_and_a_restart_of_the_hub_free_the_model_and_a_request_wakes_it() {
    let served = Served::start().await;
    let revision = served.model("tiny", "awake").await;
    served
        .space("demo", "private", &space_file("ada/tiny", &revision))
        .await;
    let ask = async |served: &Served| {
        let events = served.ask(&served.hub.ada(), "demo", json!(["now", 8, 0])).await;
        assert_eq!(events.last().unwrap().1, json!(["awake now"]));
        served.engine.loads.load(Ordering::SeqCst)
    };
    assert_eq!(ask(&served).await, 1);
    let step = |hours: u64| served.hub.hub.clock().advance(Duration::from_secs(hours * 3600));
    step(47);
    assert_eq!(ask(&served).await, 1, "a visitor keeps it awake");
    step(47);
    assert_eq!(served.runtime("demo").await["stage"], "RUNNING");
    step(1);
    assert_eq!(served.runtime("demo").await["stage"], "SLEEPING");
    assert!(served.log("demo", "run").await.contains("asleep"));
    assert_eq!(ask(&served).await, 2);

    let post = async |call: &str| {
        let path = format!("/api/spaces/ada/demo/{call}");
        let runtime: Value = served
            .hub
            .ada()
            .post(&path, &json!({}))
            .await
            .json()
            .await
            .unwrap();
        runtime["stage"].clone()
    };
    assert_eq!(post("pause").await, "PAUSED");
    let paused = served.hub.ada().get(&served.app("demo", "config")).await;
    assert_eq!(paused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(post("restart").await, "BUILDING");
    assert_eq!(ask(&served).await, 3);

    let now = served.hub.hub.clock().now() + Duration::from_secs(1);
    let (Served { hub, engine }, clock) = (served, HubClock::stepped(now));
    let TestHub { hub, dir, .. } = hub;
    hub.shutdown().await;
    let served = Served::open_at(dir, engine, clock).await;
    assert_eq!(served.runtime("demo").await["stage"], "SLEEPING");
    assert_eq!(ask(&served).await, 4);
    assert_eq!(served.runtime("demo").await["stage"], "RUNNING");
}

#[tokio::test]
async fn the_model_before_answers_until_the_next_one_does() {
    let served = Served::start().await;
    let ada = served.hub.ada();
    let first = served.model("tiny", "first").await;
    served
        .space("demo", "private", &space_file("ada/tiny", &first))
        .await;
    served.after("demo", STARTING).await;
    let before = served.runtime("demo").await["sha"].clone();
    let second = ada
        .commit("models/ada/tiny", "better", &[file("weights", "second")])
        .await;
    served.engine.hold(true);
    let text = space_file("ada/tiny", &second).to_string();
    let after = ada
        .commit("spaces/ada/demo", "update", &[file("space.json", text)])
        .await;
    let runtime = served.after("demo", &["RUNNING_BUILDING"]).await;
    assert_eq!(
        (&runtime["stage"], &runtime["sha"]),
        (&json!("RUNNING_APP_STARTING"), &before)
    );
    let events = served.ask(&ada, "demo", json!(["now", 8, 0])).await;
    assert_eq!(events.last().unwrap().1, json!(["first now"]));
    served.engine.hold(false);
    let runtime = served
        .after("demo", &["RUNNING_BUILDING", "RUNNING_APP_STARTING"])
        .await;
    assert_eq!(
        (&runtime["stage"], &runtime["sha"]),
        (&json!("RUNNING"), &json!(after))
    );
    let events = served.ask(&ada, "demo", json!(["now", 8, 0])).await;
    assert_eq!(events.last().unwrap().1, json!(["second now"]));
    // A description of an old revision does not start it.
    let old = ada
        .json(&format!(
            "/api/spaces/ada/demo/revision/{}",
            before.as_str().unwrap()
        ))
        .await;
    assert_eq!(old["runtime"]["stage"], "RUNNING");
    assert_eq!(served.runtime("demo").await["sha"], json!(after));
}

#[tokio::test]
async fn the_page_works_without_a_script_and_nothing_written_becomes_markup() {
    let served = Served::start().await;
    let revision = served.model("tiny", "<b>bold</b>").await;
    served
        .space("demo", "public", &space_file("ada/tiny", &revision))
        .await;
    let nobody = served.hub.caller(None);
    let page = nobody.get(&served.app("demo", "")).await;
    let policy = header(&page, "content-security-policy").to_owned();
    assert!(policy.starts_with("default-src 'none'; style-src 'self'; form-action 'self'"));
    let text = page.text().await.unwrap();
    assert!(text.contains("embedded runtime") && text.contains("&lt;Demo&gt;") && text.contains("ada/tiny"));
    let style = nobody.get(&served.app("demo", "style.css")).await;
    assert_eq!(header(&style, "content-type"), "text/css; charset=utf-8");
    let post = async |body: &'static str, site: &'static str| {
        let request = nobody.request(Method::POST, &served.app("demo", ""));
        request
            .header("sec-fetch-site", site)
            .body(body)
            .send()
            .await
            .unwrap()
    };
    let body = "prompt=%3Ci%3Eme%3C%2Fi%3E&max_tokens=8&temperature=0";
    let answer = post(body, "same-origin").await;
    assert_eq!(header(&answer, "content-security-policy"), policy);
    let answer = answer.text().await.unwrap();
    assert!(
        answer.contains("<pre>&lt;b&gt;bold&lt;/b&gt; &lt;i&gt;me&lt;/i&gt;</pre>"),
        "{answer}"
    );
    assert!(!answer.contains("<script") && !answer.contains("<i>"), "{answer}");
    let wrong = post("prompt=&max_tokens=8&temperature=0", "same-origin").await;
    assert!(wrong.text().await.unwrap().contains("Write a prompt first."));
    assert_eq!(post(body, "cross-site").await.status(), StatusCode::FORBIDDEN);
}
