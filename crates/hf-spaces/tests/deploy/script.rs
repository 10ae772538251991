//! A Hub that follows a script: one model, one Space, and what is to go wrong.

use std::sync::{Arc, Mutex, MutexGuard};

use hf_core::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use hf_core::{HfClient, Namespace, RetryPolicy, Token, TransportKind};
use hf_spaces::{DeployRequest, HfSpaceManager, SpaceConfig};
use serde_json::{Value, json};

pub(crate) const MODEL_SHA: &str = "1111111111111111111111111111111111111111";
pub(crate) const BASE_SHA: &str = "2222222222222222222222222222222222222222";

/// What the Hub of a test holds and does.
pub(crate) struct State {
    /// The Space's files, commit by commit; none is no Space.
    pub(crate) commits: Vec<Vec<(String, String)>>,
    pub(crate) private: bool,
    pub(crate) model_private: bool,
    pub(crate) model_files: Vec<&'static str>,
    pub(crate) adapter_of: Option<&'static str>,
    pub(crate) plan: Value,
    /// Stages after each commit, the last for ever.
    pub(crate) stages: Vec<Vec<&'static str>>,
    pub(crate) looks: usize,
    pub(crate) error_message: Option<&'static str>,
    pub(crate) requested: Option<String>,
    pub(crate) current: Option<&'static str>,
    pub(crate) log: Vec<&'static str>,
    pub(crate) app_status: u16,
    pub(crate) app_events: &'static str,
    pub(crate) other_zero_gpu: usize,
    /// Answers `POST /api/repos/create` with this, after making the Space or not.
    pub(crate) create_fault: Option<(bool, Reply)>,
    /// Answers nothing but 503 once a creation was asked for.
    pub(crate) goes_down: bool,
    pub(crate) down: bool,
    /// The app kills itself when it is asked.
    pub(crate) dies_of_questions: bool,
    pub(crate) hardware_fault: Option<Reply>,
    /// Whether hardware in the creation is noted.
    pub(crate) takes_hardware: bool,
    /// Whether files in the creation are kept.
    pub(crate) takes_files: bool,
    pub(crate) delete_fault: bool,
    pub(crate) commit_fault: Option<(bool, Reply)>,
    pub(crate) secrets: Value,
}

impl Default for State {
    fn default() -> Self {
        Self {
            commits: Vec::new(),
            private: false,
            model_private: false,
            model_files: vec!["model.safetensors"],
            adapter_of: None,
            plan: json!({"isPro": true}),
            stages: vec![vec!["BUILDING", "BUILDING", "APP_STARTING", "RUNNING"]],
            looks: 0,
            error_message: None,
            requested: None,
            current: None,
            log: vec!["Step 1/3", "ERROR: No matching distribution found for torch==99"],
            app_status: 200,
            app_events: "event: generating\ndata: [\"Hel\"]\n\nevent: complete\ndata: [\"Hello!\"]\n\n",
            other_zero_gpu: 0,
            create_fault: None,
            goes_down: false,
            down: false,
            dies_of_questions: false,
            hardware_fault: None,
            takes_hardware: true,
            takes_files: true,
            delete_fault: false,
            commit_fault: None,
            secrets: json!({}),
        }
    }
}

#[derive(Clone)]
pub(crate) struct ScriptedHub {
    state: Arc<Mutex<State>>,
    transport: ScriptedTransport,
}

impl Default for ScriptedHub {
    fn default() -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let answering = state.clone();
        let transport =
            ScriptedTransport::answering(move |request| Some(answering.lock().unwrap().answer(request)));
        Self { state, transport }
    }
}

pub(crate) fn request(model: &str) -> DeployRequest {
    DeployRequest {
        model: model.parse().unwrap(),
        space: "ada/demo".parse().unwrap(),
        config: SpaceConfig::default(),
    }
}

impl ScriptedHub {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn spaces(&self) -> HfSpaceManager {
        let client = HfClient::builder()
            .token(Token::parse("hf_ScriptedToken").unwrap())
            .transport(Arc::new(self.transport.clone()))
            .clock(Arc::new(ManualClock::auto()))
            .retry(RetryPolicy::never())
            .build()
            .unwrap();
        HfSpaceManager::new(&client, Namespace::parse("ada").unwrap())
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.transport.requests()
    }

    pub(crate) fn sent(&self, method: &str, path: &str) -> Vec<RecordedRequest> {
        self.requests()
            .into_iter()
            .filter(|request| request.method.as_str() == method && request.path() == path)
            .collect()
    }

    pub(crate) fn space_json(&self) -> Value {
        let state = self.state();
        let files = state.commits.last().unwrap();
        let (_, text) = files.iter().find(|(path, _)| path == "space.json").unwrap();
        serde_json::from_str(text).unwrap()
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.state().commits.is_empty()
    }
}

fn oid(number: usize) -> String {
    format!("{number:040x}")
}

fn not_found(code: &str) -> Reply {
    Reply::json(404, json!({"error": "not found"})).header("x-error-code", code)
}

impl State {
    fn answer(&mut self, request: &RecordedRequest) -> Reply {
        if request.url.host_str() != Some("huggingface.co") {
            return self.app(request);
        }
        if self.down {
            return Reply::json(503, json!({"error": "down"}));
        }
        let body = request.json();
        match (request.method.as_str(), request.path()) {
            ("GET", "/api/whoami-v2") => {
                let mut me = json!({"type": "user", "id": "66aa00bb11cc22dd33ee4401", "name": "ada", "fullname": "Ada", "isPro": false,
                    "emailVerified": true, "orgs": [],
                    "auth": {"type": "access_token", "accessToken": {"displayName": "t", "role": "write"}}});
                for (key, value) in self.plan.as_object().unwrap() {
                    me[key] = value.clone();
                }
                Reply::json(200, me)
            }
            ("GET", "/api/spaces") => {
                let held = (0..self.other_zero_gpu).map(|number| {
                    json!({"id": format!("ada/old-{number}"), "lastModified": format!("2026-0{}-01T00:00:00.000Z", 9 - number),
                        "runtime": {"stage": "RUNNING", "hardware": {"current": null, "requested": "zero-a10g"}}})
                });
                let cpu = json!({"id": "ada/cpu", "runtime": {"stage": "RUNNING", "hardware": {"requested": "cpu-basic"}}});
                Reply::json(200, held.chain([cpu]).collect::<Vec<_>>())
            }
            ("POST", "/api/repos/create") => self.create(&body),
            ("DELETE", "/api/repos/delete") if self.delete_fault => Reply::json(500, json!({"error": "no"})),
            ("DELETE", "/api/repos/delete") => {
                self.commits.clear();
                Reply::status(200).body("OK")
            }
            ("GET", path) if path.starts_with("/api/models/") => self.model(path),
            _ if self.commits.is_empty() => not_found("RepoNotFound"),
            ("GET", "/api/spaces/ada/demo") => {
                let siblings: Vec<_> = self
                    .commits
                    .last()
                    .unwrap()
                    .iter()
                    .map(|(path, _)| json!({"rfilename": path}))
                    .collect();
                Reply::json(
                    200,
                    json!({"id": "ada/demo", "private": self.private, "sha": oid(self.commits.len()), "siblings": siblings,
                        "subdomain": "ada-demo", "host": "https://ada-demo.hf.space"}),
                )
            }
            ("GET", "/api/spaces/ada/demo/jwt") => {
                Reply::json(200, json!({"token": "short-lived", "accessToken": "x"}))
            }
            ("GET", "/api/spaces/ada/demo/runtime") => self.runtime(),
            ("GET", "/api/spaces/ada/demo/secrets") => Reply::json(200, &self.secrets),
            ("POST", "/api/spaces/ada/demo/hardware") => {
                if let Some(fault) = self.hardware_fault.clone() {
                    return fault;
                }
                self.requested = body["flavor"].as_str().map(str::to_owned);
                self.looks = 0;
                self.runtime()
            }
            ("POST", "/api/spaces/ada/demo/commit/main") => self.commit(&request.body),
            ("GET", path) if path.starts_with("/api/spaces/ada/demo/logs/") => {
                let events = self.log.iter().map(|line| {
                    format!(
                        "data: {}\n\ndata:\n\n",
                        json!({"data": format!("{line}\n"), "timestamp": "2026-10-09T08:00:22.113Z"})
                    )
                });
                Reply::sse(events.collect::<String>())
            }
            ("GET", path) => self.file(path),
            (method, path) => panic!("the script has no answer to {method} {path}"),
        }
    }

    fn create(&mut self, body: &Value) -> Reply {
        self.down = self.goes_down;
        let fault = self.create_fault.take();
        if let Some((false, reply)) = fault {
            return reply;
        }
        if !self.commits.is_empty() {
            return Reply::json(409, json!({"error": "You already created this space repo"}));
        }
        if self.takes_hardware {
            self.requested = body["hardware"].as_str().map(str::to_owned);
        }
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let files = body["files"].as_array().unwrap();
        let kept = files
            .iter()
            .filter(|_| self.takes_files)
            .map(|file| (text(&file["path"]), text(&file["content"])));
        self.commits.push(kept.collect());
        match fault {
            Some((_, reply)) => reply,
            None => Reply::json(
                200,
                json!({"url": "https://huggingface.co/spaces/ada/demo", "name": "ada/demo", "id": "6"}),
            ),
        }
    }

    fn commit(&mut self, body: &[u8]) -> Reply {
        use base64::Engine;
        let fault = self.commit_fault.take();
        if let Some((false, reply)) = fault {
            return reply;
        }
        let mut files = self.commits.last().unwrap().clone();
        for line in std::str::from_utf8(body).unwrap().lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let value = &line["value"];
            if line["key"] == "header" {
                if value["parentCommit"]
                    .as_str()
                    .is_some_and(|parent| parent != oid(self.commits.len()))
                {
                    return Reply::json(412, json!({"error": "A commit has happened since."}));
                }
                continue;
            }
            let path = value["path"].as_str().unwrap().to_owned();
            let content = base64::prelude::BASE64_STANDARD
                .decode(value["content"].as_str().unwrap())
                .unwrap();
            files.retain(|(other, _)| *other != path);
            files.push((path, String::from_utf8(content).unwrap()));
        }
        self.commits.push(files);
        self.looks = 0;
        match fault {
            Some((_, reply)) => reply,
            None => Reply::json(
                200,
                json!({"success": true, "commitOid": oid(self.commits.len()), "commitUrl": "x"}),
            ),
        }
    }

    fn model(&self, path: &str) -> Reply {
        let base = path.starts_with("/api/models/lab/base");
        let named = path
            .rsplit_once("/revision/")
            .map(|(_, revision)| revision.to_owned());
        let head = if base { BASE_SHA } else { MODEL_SHA };
        let mut info = json!({"id": "ada/student", "sha": named.as_deref().unwrap_or(head), "private": self.model_private && !base,
            "siblings": self.model_files.iter().map(|name| json!({"rfilename": name})).collect::<Vec<_>>(), "cardData": {}});
        if let (Some(of), false) = (self.adapter_of, base) {
            info["siblings"] = json!([{"rfilename": "adapter_config.json"}]);
            info["cardData"] = if of.is_empty() {
                json!({})
            } else {
                json!({"base_model": [of]})
            };
        }
        Reply::json(200, info)
    }

    fn runtime(&mut self) -> Reply {
        let number = self.commits.len();
        let stages = &self.stages[(number - 1).min(self.stages.len() - 1)];
        let stage = stages[self.looks.min(stages.len() - 1)];
        self.looks += 1;
        let current = self.current.map(str::to_owned).or_else(|| self.requested.clone());
        Reply::json(
            200,
            json!({"stage": stage, "hardware": {"current": (stage == "RUNNING").then_some(current), "requested": self.requested},
                "sha": (stage != "NO_APP_FILE").then(|| oid(number)), "errorMessage": self.error_message}),
        )
    }

    fn file(&self, path: &str) -> Reply {
        let rest = path.strip_prefix("/spaces/ada/demo/resolve/").unwrap();
        let (revision, path) = rest.split_once('/').unwrap();
        let number = if revision == "main" {
            self.commits.len()
        } else {
            usize::from_str_radix(revision, 16).unwrap()
        };
        match self.commits[number - 1].iter().find(|(other, _)| other == path) {
            Some((_, text)) => Reply::status(200).body(text.clone()),
            None => not_found("EntryNotFound"),
        }
    }

    fn app(&mut self, request: &RecordedRequest) -> Reply {
        if self.dies_of_questions {
            self.stages = vec![vec!["RUNTIME_ERROR"]];
            return reset();
        }
        if self.app_status != 200 {
            return Reply::json(self.app_status, json!({"error": "no"}));
        }
        match (request.method.as_str(), request.path()) {
            ("POST", "/gradio_api/call/generate") => Reply::json(200, json!({"event_id": "e1"})),
            ("GET", "/gradio_api/call/generate/e1") => Reply::sse(self.app_events),
            (method, path) => panic!("the app has no answer to {method} {path}"),
        }
    }
}

/// A connection that breaks before the answer.
pub(crate) fn reset() -> Reply {
    Reply::fail(TransportKind::Reset)
}
