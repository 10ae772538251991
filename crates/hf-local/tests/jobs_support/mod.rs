//! A hub with jobs, and a plain client for it.
#![expect(dead_code, reason = "each test file uses a part of it")]
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use hf_local::{
    AccountConfig, ExecutorConfig, HubClock, LocalHub, LocalHubConfig, OrgConfig, Plan, TokenRole,
};
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long anything here may take on a busy machine.
const DEADLINE: Duration = Duration::from_mins(1);

/// The token of `ada`, who may do everything and can pay.
pub(crate) const ADA: &str = "hf_ada";
/// A token of `ada` that only reads.
pub(crate) const ADA_READ: &str = "hf_ada_read";
/// A token of `ada` that may start jobs and nothing else.
pub(crate) const ADA_JOBS: &str = "hf_ada_jobs";
/// The token of `bob`, who has no credit.
pub(crate) const BOB: &str = "hf_bob";

/// A hub in a folder of its own.
pub(crate) struct TestHub {
    pub(crate) hub: LocalHub,
    pub(crate) folder: TempDir,
    client: reqwest::Client,
}

/// What an event stream of a log holds.
pub(crate) struct Log {
    /// The lines without those hf-local adds.
    pub(crate) lines: Vec<String>,
    /// All lines.
    pub(crate) all: Vec<String>,
    /// The stream as it came.
    pub(crate) text: String,
}

pub(crate) fn accounts() -> Vec<AccountConfig> {
    let lab = || OrgConfig::new("lab");
    vec![
        AccountConfig::new("ada", ADA).plan(Plan::Pro).orgs(vec![lab()]),
        AccountConfig::new("ada", ADA_READ)
            .plan(Plan::Pro)
            .role(TokenRole::Read),
        AccountConfig::new("ada", ADA_JOBS)
            .plan(Plan::Pro)
            .role(TokenRole::FineGrained)
            .permissions(["job.write"]),
        AccountConfig::new("bob", BOB),
    ]
}

pub(crate) async fn start_in(folder: &Path, executor: ExecutorConfig, clock: HubClock) -> LocalHub {
    let config = LocalHubConfig::new(folder)
        .accounts(accounts())
        .executor(executor)
        .clock(clock);
    LocalHub::start(config).await.unwrap()
}

/// A job on `sh` with a script.
pub(crate) fn sh(script: &str) -> Value {
    json!({"dockerImage": "alpine", "command": ["sh", "-c", script], "arguments": [], "flavor": "cpu-basic"})
}

/// Waits until `look` finds something.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(
            tokio::time::Instant::now() < deadline,
            "waited too long for {what}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether a process is there and not a zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else {
        return false;
    };
    !matches!(stat.as_bytes()[stat.rfind(')').unwrap() + 2], b'Z' | b'X')
}

impl TestHub {
    pub(crate) async fn start() -> Self {
        Self::with(ExecutorConfig::default(), HubClock::real()).await
    }

    pub(crate) async fn with(executor: ExecutorConfig, clock: HubClock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hub = start_in(folder.path(), executor, clock).await;
        Self {
            hub,
            folder,
            client: reqwest::Client::new(),
        }
    }

    /// Starts a hub on a folder that another one used.
    pub(crate) async fn on(folder: TempDir, executor: ExecutorConfig) -> Self {
        let hub = start_in(folder.path(), executor, HubClock::real()).await;
        Self {
            hub,
            folder,
            client: reqwest::Client::new(),
        }
    }

    /// Stops the hub and starts another on the same folder.
    pub(crate) async fn restart(self, executor: ExecutorConfig) -> Self {
        let Self { hub, folder, client } = self;
        hub.shutdown().await;
        let hub = start_in(folder.path(), executor, HubClock::real()).await;
        Self { hub, folder, client }
    }

    pub(crate) fn request(&self, method: Method, path: &str, token: &str) -> RequestBuilder {
        let request = self
            .client
            .request(method, format!("{}{path}", self.hub.endpoint()));
        if token.is_empty() {
            request
        } else {
            request.bearer_auth(token)
        }
    }

    /// Sends a request and reads a JSON reply.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Option<&Value>,
    ) -> (StatusCode, Value) {
        let mut request = self.request(method, path, token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.unwrap();
        let status = response.status();
        (status, response.json().await.unwrap_or(Value::Null))
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, ADA, None).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Value {
        let (status, body) = self.call(Method::POST, path, ADA, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }

    /// Submits a job and returns its id.
    pub(crate) async fn submit(&self, job: &Value) -> String {
        let job = self.post("/api/jobs/ada", job).await;
        job["id"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn inspect(&self, id: &str) -> Value {
        self.get(&format!("/api/jobs/ada/{id}")).await
    }

    pub(crate) async fn stage(&self, id: &str) -> String {
        self.inspect(id).await["status"]["stage"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    pub(crate) async fn cancel(&self, id: &str) -> Value {
        self.post(&format!("/api/jobs/ada/{id}/cancel"), &json!({})).await
    }

    /// Waits for the end of a job and returns it.
    pub(crate) async fn finished(&self, id: &str) -> Value {
        eventually("the end of a job", || async {
            let job = self.inspect(id).await;
            let stage = job["status"]["stage"].as_str().unwrap();
            matches!(stage, "COMPLETED" | "CANCELED" | "ERROR").then(|| job.clone())
        })
        .await
    }

    pub(crate) async fn run(&self, job: &Value) -> (Value, Vec<String>) {
        let id = self.submit(job).await;
        let job = self.finished(&id).await;
        (job, self.log(&id, "").await.lines)
    }

    /// Reads a log to the end of the stream.
    pub(crate) async fn log(&self, id: &str, query: &str) -> Log {
        let response = self
            .request(Method::GET, &format!("/api/jobs/ada/{id}/logs{query}"), ADA)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        let text = tokio::time::timeout(DEADLINE, response.text())
            .await
            .expect("the stream ends")
            .unwrap();
        let all = events(&text)
            .iter()
            .map(|event| event["data"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>();
        let lines = all.iter().filter(|line| !is_added(line)).cloned().collect();
        Log { lines, all, text }
    }

    /// The lines of the log once there are as many, of a job that goes on.
    pub(crate) async fn lines_so_far(&self, id: &str, count: usize) -> Vec<String> {
        let path = self.folder.path().join("jobs").join(id).join("log.jsonl");
        eventually("lines in a log", || async {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            let lines: Vec<String> = text
                .lines()
                .filter_map(|line| serde_json::from_str::<Value>(line).ok())
                .map(|line| line["data"].as_str().unwrap().to_owned())
                .filter(|line| !is_added(line))
                .collect();
            (lines.len() >= count).then_some(lines)
        })
        .await
    }

    /// The stages a finished job went through.
    pub(crate) async fn history(&self, id: &str) -> Vec<String> {
        let path = format!("/api/jobs/ada/{id}/events");
        let text = self
            .request(Method::GET, &path, ADA)
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        events(&text)
            .iter()
            .map(|event| event["stage"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn is_added(line: &str) -> bool {
    line.starts_with("===== ")
}

/// The data of the events of a stream.
pub(crate) fn events(text: &str) -> Vec<Value> {
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// The variables a job sees, from the output of `env`.
pub(crate) fn variables(lines: &[String]) -> BTreeMap<String, String> {
    lines
        .iter()
        .filter_map(|line| line.split_once('='))
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect()
}
