//! Spaces that run as processes, built by a scripted `uv` that installs nothing: the apps here need no package. The real one is
//! asked by the conformance tests.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use hf_local::{LocalHub, LocalHubConfig};
use reqwest::{Client, Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ADA, Caller, TestHub, accounts, file};

/// Anything that takes longer hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// Makes an environment of the machine's own Python, and "installs" what is not called `missing`.
const SCRIPTED_UV: &str = r#"#!/bin/sh
case "$1" in
venv)
    for place; do :; done
    mkdir -p "$place/bin" && ln -sf "$(command -v python3)" "$place/bin/python" && echo "scripted environment"
    ;;
pip)
    for requirements; do :; done
    if grep -q missing "$requirements"; then echo "there is no package missing" >&2; exit 1; fi
    echo "scripted install: $*"
    ;;
esac
"#;

const APP: &str = r#"
import http.server, json, os, sys

class App(http.server.BaseHTTPRequestHandler):
    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "session=1; Path=/")
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/crash":
            os._exit(3)
        self.answer(json.dumps({"path": self.path, "headers": dict(self.headers), "env": dict(os.environ),
                                "pid": os.getpid()}).encode())

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"]))[::-1])

    def log_message(self, *_):
        pass

print("the app begins", flush=True)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), App).serve_forever()
"#;

struct Place {
    hub: TestHub,
}

async fn place() -> Place {
    let dir = tempfile::tempdir().unwrap();
    let hub = open(dir.path()).await;
    let client = Client::builder().no_proxy().build().unwrap();
    Place {
        hub: TestHub { hub, dir, client },
    }
}

async fn open(folder: &Path) -> LocalHub {
    let uv = folder.join("scripted-uv");
    if !uv.exists() {
        std::fs::write(&uv, SCRIPTED_UV).unwrap();
        std::fs::set_permissions(&uv, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let config = LocalHubConfig::new(folder.join("hub"))
        .accounts(accounts())
        .uv(uv, BTreeMap::new());
    LocalHub::start(config).await.unwrap()
}

impl Place {
    fn ada(&self) -> Caller<'_> {
        self.hub.ada()
    }

    async fn make(&self, name: &str, app: &str, more: Value) {
        let readme = "---\ntitle: Demo\nsdk: gradio\nsdk_version: 6.31.0\n---\n";
        let mut body = json!({"type": "space", "name": name, "sdk": "gradio", "private": true,
            "files": [{"path": "app.py", "content": app, "encoding": "utf-8"},
                {"path": "README.md", "content": readme, "encoding": "utf-8"},
                {"path": "requirements.txt", "content": "plain\n", "encoding": "utf-8"}]});
        for (key, value) in more.as_object().unwrap() {
            body[key] = value.clone();
        }
        let made = self.ada().post("/api/repos/create", &body).await;
        assert_eq!(made.status(), StatusCode::OK);
    }

    /// Waits until a Space has one of these stages.
    async fn until(&self, name: &str, stages: &[&str]) -> Value {
        let path = format!("/api/spaces/ada/{name}/runtime");
        let waiting = async {
            loop {
                let runtime = self.ada().json(&path).await;
                if stages.contains(&runtime["stage"].as_str().unwrap()) {
                    return runtime;
                }
                tokio::task::yield_now().await;
            }
        };
        let found = tokio::time::timeout(DEADLINE, waiting).await;
        found.unwrap_or_else(|_| panic!("{name} was never one of {stages:?}"))
    }

    async fn log(&self, name: &str, kind: &str) -> String {
        let path = format!("/api/spaces/ada/{name}/logs/{kind}");
        self.ada().get(&path).await.text().await.unwrap()
    }

    async fn seen(&self, name: &str, path: &str) -> Value {
        let url = format!("{}/apps/ada/{name}/{path}", self.hub.hub.payload_endpoint());
        let token = ADA;
        let request = self
            .hub
            .client
            .get(url)
            .header("X-HF-Authorization", format!("Bearer {token}"));
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json().await.unwrap()
    }

    /// The folders of apps that are there.
    fn folders(&self) -> BTreeSet<String> {
        let entries = std::fs::read_dir(self.hub.dir.path().join("hub").join("apps"));
        entries.map_or_else(
            |_| BTreeSet::new(),
            |entries| {
                entries
                    .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                    .collect()
            },
        )
    }

    async fn until_gone(&self, pid: i32) {
        let waiting = async {
            while is_alive(pid) || !self.folders().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("it ends");
    }
}

fn is_alive(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rfind(')')
        .is_some_and(|end| !matches!(stat.as_bytes()[end + 2], b'Z' | b'X'))
}

fn pid(seen: &Value) -> i32 {
    i32::try_from(seen["pid"].as_i64().unwrap()).unwrap()
}

#[tokio::test]
async fn the_code_of_a_space_runs_and_answers_at_its_address() {
    let place = place().await;
    let secrets = json!({"hardware": "zero-a10g", "variables": [{"key": "STYLE", "value": "short"}],
        "secrets": [{"key": "API_KEY", "value": "only-in-memory"}]});
    place.make("demo", APP, secrets).await;
    let begun = place.log("demo", "build").await;
    assert!(
        begun.contains("process: the code"),
        "the first look tells how it is run: {begun}"
    );
    let runtime = place.until("demo", &["RUNNING"]).await;
    assert!(
        runtime["process"]
            .as_str()
            .unwrap()
            .starts_with("process: the code")
    );
    assert_eq!((runtime.get("simulated"), runtime.get("embedded")), (None, None));

    let seen = place.seen("demo", "some/path?x=1&y=%20").await;
    assert_eq!(seen["path"], "/some/path?x=1&y=%20");
    let env = &seen["env"];
    assert_eq!(
        (&env["SPACE_ID"], &env["STYLE"]),
        (&json!("ada/demo"), &json!("short"))
    );
    assert_eq!(env["API_KEY"], "only-in-memory");
    let address = format!("{}/apps/ada/demo", place.hub.hub.payload_endpoint());
    assert_eq!(env["GRADIO_ROOT_PATH"], address);
    assert_eq!(
        env["HF_TOKEN"],
        Value::Null,
        "nothing of the Hub's own environment comes along"
    );
    assert!(!seen["headers"].to_string().contains(ADA));

    let text = "stream me".repeat(100_000);
    let url = format!("{address}/echo");
    let token = ADA;
    let echoed = place
        .hub
        .client
        .post(url)
        .bearer_auth(token)
        .body(text.clone())
        .send()
        .await
        .unwrap();
    assert_eq!(echoed.headers()["set-cookie"], "session=1; Path=/apps/ada/demo/");
    assert_eq!(
        echoed.text().await.unwrap(),
        text.chars().rev().collect::<String>()
    );
    let stranger = place.hub.client.get(format!("{address}/")).send().await.unwrap();
    assert_eq!(
        stranger.status(),
        StatusCode::UNAUTHORIZED,
        "the Space is private"
    );

    let build = place.log("demo", "build").await;
    assert!(
        build.contains("scripted install: pip install") && build.contains("gradio[oauth]==6.31.0"),
        "{build}"
    );
    assert!(build.contains(" spaces "), "ZeroGPU brings its package: {build}");
    assert!(place.log("demo", "run").await.contains("the app begins"));
    let folder = place.hub.dir.path().to_path_buf();
    let kept = std::process::Command::new("grep")
        .args(["-r", "--binary-files=text", "-l", "only-in-memory"])
        .arg(&folder)
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&kept.stdout),
        "",
        "the secret is in no file"
    );
    place.hub.hub.shutdown().await;
    assert!(!is_alive(pid(&seen)), "the Hub takes its apps along");
}

#[tokio::test]
async fn what_fails_says_where_and_why_and_leaves_nothing() {
    let place = place().await;
    let missing = json!([{"path": "app.py", "content": APP, "encoding": "utf-8"},
        {"path": "README.md", "content": "---\nsdk: gradio\n---\n", "encoding": "utf-8"},
        {"path": "requirements.txt", "content": "missing\n", "encoding": "utf-8"}]);
    place.make("unbuilt", APP, json!({"files": missing})).await;
    let runtime = place
        .until("unbuilt", &["BUILD_ERROR", "RUNTIME_ERROR", "RUNNING"])
        .await;
    assert_eq!(runtime["stage"], "BUILD_ERROR");
    assert!(
        place
            .log("unbuilt", "build")
            .await
            .contains("there is no package missing")
    );

    place.make("dies", "raise SystemExit('no luck')", json!({})).await;
    let runtime = place
        .until("dies", &["BUILD_ERROR", "RUNTIME_ERROR", "RUNNING"])
        .await;
    assert_eq!(runtime["stage"], "RUNTIME_ERROR");
    assert!(
        runtime["errorMessage"]
            .as_str()
            .unwrap()
            .contains("exit status: 1")
    );
    let waiting = async {
        while !place.log("dies", "run").await.contains("no luck") {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .expect("its last words are in the log");

    place.make("crashes", APP, json!({})).await;
    place.until("crashes", &["RUNNING"]).await;
    let app = pid(&place.seen("crashes", "").await);
    let url = format!("{}/apps/ada/crashes/crash", place.hub.hub.payload_endpoint());
    let token = ADA;
    let broken = place.hub.client.get(url).bearer_auth(token).send().await.unwrap();
    assert_eq!(broken.status(), StatusCode::BAD_GATEWAY);
    let runtime = place.until("crashes", &["RUNTIME_ERROR"]).await;
    assert!(
        runtime["errorMessage"]
            .as_str()
            .unwrap()
            .contains("exit status: 3")
    );
    place.until_gone(app).await;
    place.hub.hub.shutdown().await;
}

#[tokio::test]
async fn a_newer_commit_takes_over_and_pause_and_removal_end_the_process() {
    let place = place().await;
    place.make("demo", APP, json!({})).await;
    place.until("demo", &["RUNNING"]).await;
    let first = pid(&place.seen("demo", "").await);
    let newer = APP.replace("\"path\"", "\"newer\": True, \"path\"");
    place
        .ada()
        .commit("spaces/ada/demo", "more", &[file("app.py", newer)])
        .await;
    let waiting = async {
        // What ran before answers until the new one does.
        while place.seen("demo", "").await["newer"] != true {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .expect("the new one takes over");
    let second = pid(&place.seen("demo", "").await);
    let waiting = async {
        while is_alive(first) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting)
        .await
        .expect("the one before ends");

    let paused = place.ada().post("/api/spaces/ada/demo/pause", &json!({})).await;
    assert_eq!(paused.json::<Value>().await.unwrap()["stage"], "PAUSED");
    place.until_gone(second).await;
    place.ada().post("/api/spaces/ada/demo/restart", &json!({})).await;
    place.until("demo", &["RUNNING"]).await;
    let third = pid(&place.seen("demo", "").await);
    let body = json!({"type": "space", "name": "demo"});
    let gone = place
        .ada()
        .request(Method::DELETE, "/api/repos/delete")
        .json(&body)
        .send()
        .await
        .unwrap();
    assert_eq!(gone.status(), StatusCode::OK);
    place.until_gone(third).await;
    place.hub.hub.shutdown().await;
}

#[tokio::test]
async fn a_hub_ends_what_the_one_before_it_left_and_wakes_a_space_for_a_visitor() {
    let Place {
        hub: TestHub { hub, dir, client },
    } = place().await;
    let place = Place {
        hub: TestHub { hub, dir, client },
    };
    place
        .make(
            "demo",
            APP,
            json!({"secrets": [{"key": "API_KEY", "value": "x"}]}),
        )
        .await;
    place.until("demo", &["RUNNING"]).await;
    let TestHub { hub, dir, client } = place.hub;
    hub.shutdown().await;
    // As if that Hub had been killed: one process of its own is still there.
    let left = dir.path().join("hub").join("apps").join("left");
    std::fs::create_dir_all(left.join("app")).unwrap();
    let mut process = std::process::Command::new("sleep")
        .arg("1000")
        .env("BASHGYM_SPACE_RUN", "left")
        .spawn()
        .unwrap();
    let hub = open(dir.path()).await;
    let ended = process.try_wait().unwrap();
    assert!(ended.is_some_and(|status| !status.success()), "it was killed");
    assert!(!left.exists());
    let place = Place {
        hub: TestHub { hub, dir, client },
    };
    assert_eq!(place.until("demo", &["SLEEPING"]).await["stage"], "SLEEPING");
    let seen = place.seen("demo", "").await;
    assert_eq!(seen["env"]["API_KEY"], Value::Null);
    assert!(
        place
            .log("demo", "run")
            .await
            .contains("The secrets API_KEY were set before")
    );
    place.hub.hub.shutdown().await;
}
