//! The server as a program: its ready line, its end, what it shares with the commands, and what it keeps to itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

mod collector;
mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Stdio};

use collector::{Collector, Span};
use common::{Environment, Hub, assert_success, fixtures, json_lines, stderr, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use opentelemetry_proto::tonic::common::v1::any_value::Value::{IntValue, StringValue};
use serde_json::{Value, json};

/// A server in the foreground.
struct Serving {
    process: Child,
    address: String,
    key: String,
}

impl Serving {
    fn start(environment: &Environment, more: &[&str]) -> Self {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(environment.path("server.log"))
            .unwrap();
        let mut process = environment
            .bashgym(["--format", "json", "serve", "--root"])
            .arg(fixtures())
            .args(more)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(ready["event"], "ready");
        let url = ready["url"].as_str().unwrap();
        Self {
            process,
            address: url.strip_prefix("http://").unwrap().to_owned(),
            key: ready["key"].as_str().unwrap().to_owned(),
        }
    }

    /// Asks with the key; the status, and the body as JSON where it is some.
    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let (status, text) = self.text(method, path, body);
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }

    fn text(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let body = body.map(ToString::to_string).unwrap_or_default();
        let kind = if body.is_empty() {
            ""
        } else {
            "Content-Type: application/json\r\n"
        };
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n{kind}\
             Content-Length: {}\r\n\r\n{body}",
            self.address,
            self.key,
            body.len()
        )
        .unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    /// Waits until a task has ended, and returns it.
    fn ended(&self, id: &Value) -> Value {
        let path = format!("/api/tasks/{}", id.as_str().unwrap());
        let mut task = Value::Null;
        wait_until("the task ended", || {
            task = self.ask("GET", &path, None).1;
            ["done", "failed", "canceled"].contains(&task["state"].as_str().unwrap_or_default())
        });
        task
    }

    fn terminate(mut self) -> bool {
        let pid = Pid::from_raw(i32::try_from(self.process.id()).unwrap());
        kill(pid, Signal::SIGTERM).unwrap();
        self.process.wait().unwrap().success()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn it_says_when_it_is_ready_and_ends_well_on_sigterm() {
    let environment = Environment::new();
    let server = Serving::start(&environment, &[]);
    let key_file = environment.home().join("server.key");
    assert_eq!(
        std::fs::metadata(&key_file).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert_eq!(std::fs::read_to_string(&key_file).unwrap(), server.key);
    assert_eq!(server.ask("GET", "/api/health", None).0, 200);
    let record = environment.home().join("server.json");
    assert!(!std::fs::read_to_string(&record).unwrap().contains(&server.key));

    // `up` finds it, has it prove that it is ours, and gives a link that is not the key.
    let up = environment.run(["--format", "json", "up", "--no-browser"]);
    assert_success(&up);
    let link = json_lines(&up)[0]["url"].as_str().unwrap().to_owned();
    assert!(link.starts_with(&format!("http://{}/login?code=", server.address)));
    assert!(!link.contains(&server.key));

    let key = server.key.clone();
    assert!(server.terminate());
    assert!(!record.exists());
    let log = std::fs::read_to_string(environment.path("server.log")).unwrap();
    assert!(
        log.contains("/api/health") && !log.contains(&key) && !log.contains("code="),
        "{log}"
    );
}

#[test]
fn it_does_not_listen_to_other_machines_by_accident() {
    let environment = Environment::new();
    let refused = environment.run(["serve", "--host", "0.0.0.0"]);
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--allow-remote"));
}

#[test]
fn what_the_server_starts_the_commands_show_and_the_other_way() {
    let environment = Environment::new();
    let server = Serving::start(&environment, &[]);
    let request = json!({ "command": ["sh", "-c", "echo from the server"], "labels": { "by": "server" } });
    let (status, job) = server.ask("POST", "/api/hf/jobs", Some(&request));
    assert_eq!(status, 201, "{job}");
    let id = job["id"].as_str().unwrap();
    let listed = environment.run(["--format", "json", "jobs", "ls"]);
    assert_success(&listed);
    assert!(json_lines(&listed).iter().any(|job| job["id"] == id));

    let started = environment.run([
        "--format",
        "json",
        "jobs",
        "run",
        "--detach",
        "--",
        "echo",
        "from a command",
    ]);
    assert_success(&started);
    let mine = json_lines(&started)[0]["job_id"].as_str().unwrap().to_owned();
    let (_, page) = server.ask("GET", "/api/hf/jobs?limit=1", None);
    assert_eq!(page["items"][0]["id"], mine.as_str());
    let (_, page) = server.ask("GET", &format!("/api/hf/jobs?after={mine}"), None);
    assert_eq!(page["items"][0]["id"], id);
    let (status, shown) = server.ask("GET", &format!("/api/hf/jobs/local/{mine}"), None);
    assert_eq!((status, shown["id"].as_str()), (200, Some(mine.as_str())));

    // The server follows both, also the one that the command left to itself, and settles what they cost.
    wait_until("both jobs are settled", || {
        let (_, entries) = server.ask("GET", "/api/usage/entries", None);
        let entries = entries["items"].as_array().unwrap().clone();
        entries.len() == 2 && entries.iter().all(|entry| entry["state"] == "settled")
    });
    for (job, text) in [(id, "from the server"), (mine.as_str(), "from a command")] {
        let (_, lines) = server.ask("GET", &format!("/api/hf/jobs/{job}/logs?tail=1"), None);
        assert_eq!(
            (&lines["lines"][0]["text"], &lines["source"]),
            (&json!(text), &json!("kept"))
        );
    }

    let cap = json!({ "micro_usd": 1 });
    assert_eq!(server.ask("PUT", "/api/budget/jobs/day", Some(&cap)).0, 204);
    let refused = environment.run(["jobs", "run", "--detach", "--", "true"]);
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
    let (status, refused) = server.ask("POST", "/api/hf/jobs", Some(&request));
    assert_eq!((status, refused["code"].as_str()), (402, Some("quota_exceeded")));
    assert!(server.terminate());
}

#[test]
fn a_job_is_started_once_for_its_key_also_after_a_restart() {
    let environment = Environment::new();
    let request = json!({ "command": ["true"] });
    let ask = |server: &Serving, body: &Value| {
        let text = body.to_string();
        let mut stream = TcpStream::connect(&server.address).unwrap();
        write!(
            stream,
            "POST /api/hf/jobs HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
             Idempotency-Key: once\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
            server.address,
            server.key,
            text.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str::<Value>(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    };
    let mut server = Serving::start(&environment, &[]);
    let first = ask(&server, &request);
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    let server = Serving::start(&environment, &[]);
    assert_eq!(ask(&server, &request)["id"], first["id"]);
    let other = json!({ "command": ["false"] });
    assert_eq!(ask(&server, &other)["code"], "idempotency_key_reused");
    assert!(server.terminate());
}

#[test]
fn a_dataset_is_built_and_sent_as_tasks_that_tell_how_far_they_are() {
    let environment = Environment::new();
    let server = Serving::start(&environment, &[]);
    let build = json!({ "name": "samples", "paths": [fixtures()] });
    let (status, task) = server.ask("POST", "/api/datasets", Some(&build));
    assert_eq!(status, 202, "{task}");
    let built = server.ended(&task["id"]);
    assert_eq!(built["state"], "done", "{built}");
    assert!(built["result"]["rows_train"].as_u64().unwrap() > 0);

    let found = environment.home().join("datasets/samples/notes.txt");
    let token = ["hf_", "abcdefghijklmnopqrstuvwxyzABCDEFGH"].concat();
    std::fs::write(&found, format!("the token is {token} here")).unwrap();
    let (status, review) = server.ask("GET", "/api/datasets/samples/findings", None);
    assert_eq!(status, 200, "{review}");
    let finding = &review["findings"][0];
    assert_eq!(finding["file"], "notes.txt", "{review}");
    assert!(!review.to_string().contains(&token), "{review}");
    let decision = format!(
        "/api/datasets/samples/findings/{}",
        finding["id"].as_str().unwrap()
    );
    assert_eq!(
        server.ask("PUT", &decision, Some(&json!({ "allow": true }))).0,
        204
    );
    let (_, review) = server.ask("GET", "/api/datasets/samples/findings", None);
    assert_eq!(
        review["findings"],
        json!([]),
        "what is let through is found no more"
    );
    std::fs::remove_file(&found).unwrap();

    let upload = json!({ "name": "samples", "repo": "samples" });
    let (status, task) = server.ask("POST", "/api/hf/datasets", Some(&upload));
    assert_eq!(status, 202, "{task}");
    let sent = server.ended(&task["id"]);
    assert_eq!(sent["state"], "done", "{sent}");
    let repo = sent["result"]["repo_id"].as_str().unwrap().to_owned();
    let (_, listed) = server.ask("GET", "/api/hf/datasets", None);
    assert_eq!(listed["items"][0]["repo_id"], repo.as_str());
    let encoded = repo.replace('/', "%2F");
    for name in [repo.as_str(), encoded.as_str(), "samples"] {
        let (status, rows) = server.ask("GET", &format!("/api/hf/datasets/{name}/rows?limit=2"), None);
        assert_eq!(status, 200, "{name}: {rows}");
        assert_eq!(rows["state"], "ready", "{name}: {rows}");
    }
    let (status, refused) = server.ask("DELETE", &format!("/api/hf/datasets/{repo}"), None);
    assert_eq!((status, refused["code"].as_str()), (422, Some("invalid")));
    assert!(server.terminate());
}

#[test]
fn a_run_goes_on_after_the_server_was_killed() {
    let environment = Environment::new();
    let mut server = Serving::start(&environment, &[]);
    let request = json!({ "paths": [fixtures()], "preset": "tiny", "max_steps": 20, "samples": 0 });
    let (status, started) = server.ask("POST", "/api/runs", Some(&request));
    assert_eq!(status, 202, "{started}");
    let path = format!("/api/runs/{}", started["run"]["id"].as_str().unwrap());
    wait_until("the run began", || {
        server.ask("GET", &path, None).1["state"] != "queued"
    });
    server.process.kill().unwrap();
    server.process.wait().unwrap();

    let server = Serving::start(&environment, &[]);
    wait_until("the run succeeded", || {
        let run = server.ask("GET", &path, None).1;
        assert_ne!(run["state"], "failed", "{run}");
        run["state"] == "succeeded"
    });
    let shown = environment.run(["--format", "json", "runs", "ls"]);
    assert_eq!(json_lines(&shown)[0]["state"], "succeeded");
    assert!(server.terminate());
}

#[test]
fn the_token_is_in_no_answer_no_log_and_no_store() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let token_file = environment.path("token");
    std::fs::write(&token_file, &hub.token).unwrap();
    let token_file = token_file.to_str().unwrap().to_owned();
    let server = Serving::start(
        &environment,
        &["--endpoint", &hub.endpoint, "--token-file", &token_file],
    );
    let request = json!({ "command": ["sh", "-c", "echo done"], "secrets": { "HF_TOKEN": null } });
    let (status, job) = server.ask("POST", "/api/hf/jobs", Some(&request));
    assert_eq!(status, 201, "{job}");
    let job = job["id"].as_str().unwrap().to_owned();
    let paths = [
        "/api/hf/status".to_owned(),
        "/api/capability".to_owned(),
        "/api/wallet".to_owned(),
        "/api/settings".to_owned(),
        "/api/settings/token".to_owned(),
        "/api/hf/jobs".to_owned(),
        format!("/api/hf/jobs/{job}"),
        format!("/api/hf/jobs/{job}/logs/stream"),
        "/api/events/log".to_owned(),
        "/api/usage/entries".to_owned(),
        "/api/tasks".to_owned(),
        "/metrics".to_owned(),
    ];
    for path in paths {
        let (status, body) = server.text("GET", &path, None);
        assert_eq!(status, 200, "{path}: {body}");
        assert!(!body.contains(&hub.token), "{path}");
    }
    let plan = server.text("POST", "/api/hf/job-plans", Some(&request));
    assert!(plan.1.contains("***") && !plan.1.contains(&hub.token));
    // A token of a flag is no other's to replace.
    let (status, fixed) = server.ask(
        "PUT",
        "/api/settings/token",
        Some(&json!({ "token": "hf_other" })),
    );
    assert!([403, 409, 422].contains(&status), "{fixed}");
    assert!(server.terminate());

    let has = |file: &Path| {
        let bytes = std::fs::read(file).unwrap();
        bytes
            .windows(hub.token.len())
            .any(|part| part == hub.token.as_bytes())
    };
    assert!(!has(&environment.path("server.log")));
    for entry in std::fs::read_dir(environment.home()).unwrap().flatten() {
        if entry.file_type().unwrap().is_file() {
            assert!(!has(&entry.path()), "{}", entry.path().display());
        }
    }
}

#[test]
fn config_tells_where_each_value_came_from() {
    let environment = Environment::new();
    let shown = environment
        .bashgym(["--format", "json", "config"])
        .env("HF_ENDPOINT", "https://hub.example.org")
        .output()
        .unwrap();
    assert_success(&shown);
    let lines = json_lines(&shown);
    let named = |name: &str| lines.iter().find(|line| line["name"] == name).unwrap();
    assert!(
        named("endpoint")["value"]
            .as_str()
            .unwrap()
            .starts_with("https://hub.example.org")
    );
    assert!(
        named("endpoint")["source"]
            .as_str()
            .unwrap()
            .contains("HF_ENDPOINT")
    );
    assert_eq!(named("home")["value"], environment.home().to_str().unwrap());
}

#[test]
fn the_config_file_says_what_flags_and_environment_leave_open() {
    let environment = Environment::new();
    std::fs::create_dir_all(environment.home()).unwrap();
    let file = environment.home().join("config.toml");
    let text = "endpoint = \"http://127.0.0.1:1\"\nusername = \"ada\"\n\n[serve]\nport = 8420\n";
    std::fs::write(&file, text).unwrap();
    let config = |args: &[&str]| {
        let shown = environment
            .bashgym([args, &["--format", "json", "config"]].concat())
            .env("HF_USERNAME", "grace")
            .output()
            .unwrap();
        assert_success(&shown);
        json_lines(&shown)
    };
    let of = |lines: &[serde_json::Value], name: &str| {
        let line = lines.iter().find(|line| line["name"] == name).unwrap();
        (
            line["value"].as_str().unwrap_or_default().to_owned(),
            line["source"].to_string(),
        )
    };
    let lines = config(&[]);
    let (endpoint, from) = of(&lines, "endpoint");
    assert!(
        endpoint.starts_with("http://127.0.0.1:1") && from.contains("config.toml, line 1"),
        "{from}"
    );
    let (port, from) = of(&lines, "serve.port");
    assert!(port == "8420" && from.contains("config.toml, line 5"), "{from}");
    let (name, from) = of(&lines, "username");
    assert!(name == "grace" && from.contains("HF_USERNAME"), "{from}");
    let (endpoint, from) = of(&config(&["--endpoint", "http://127.0.0.1:2"]), "endpoint");
    assert!(
        endpoint.starts_with("http://127.0.0.1:2") && from.contains("flag"),
        "{from}"
    );
    let (tokens, from) = of(&lines, "models.answer_tokens");
    assert!(tokens == "4096" && from.contains("default"), "{from}");
    // A mistake ends every command, and names the place and the right key.
    std::fs::write(&file, "endpint = \"http://127.0.0.1:1\"\n").unwrap();
    let wrong = environment.bashgym(["runs", "ls"]).output().unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(2), "{said}");
    for part in ["config.toml, line 1", "`endpint`", "`endpoint`"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn after_a_restart_jobs_are_listed_although_the_hub_is_away() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let token_file = environment.path("token");
    std::fs::write(&token_file, &hub.token).unwrap();
    let token_file = token_file.to_str().unwrap().to_owned();
    let settings = ["--endpoint", &hub.endpoint.clone(), "--token-file", &token_file];
    let mut server = Serving::start(&environment, &settings);
    let request = json!({ "command": ["sh", "-c", "echo done"] });
    let (status, job) = server.ask("POST", "/api/hf/jobs", Some(&request));
    assert_eq!(status, 201, "{job}");
    let (status, before) = server.ask("GET", "/api/hf/jobs", None);
    assert_eq!(status, 200, "{before}");
    server.process.kill().unwrap();
    server.process.wait().unwrap();
    hub.kill_9();

    let server = Serving::start(&environment, &settings);
    let (status, after) = server.ask("GET", "/api/hf/jobs", None);
    assert_eq!(status, 200, "{after}");
    assert_eq!(after["items"][0]["id"], job["id"]);
    // What only the Hub knows is not said to be missing.
    let (status, unknown) = server.ask("GET", "/api/hf/spaces", None);
    assert_eq!((status, &unknown["code"]), (502, &json!("hub_unreachable")));
}

#[test]
fn traces_go_to_the_collector_and_hold_no_secret() {
    let environment = Environment::new();
    let collector = Collector::start();
    collect_at(&environment, &collector.url);
    let server = Serving::start(&environment, &[]);
    let key = server.key.clone();
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let parent = "b7ad6b7169203331";
    let request =
        format!("/api/health?token={key} HTTP/1.1\r\ntraceparent: 00-{trace}-{parent}-01\r\nX-Rest:");
    assert_eq!(server.ask("GET", &request, None).0, 200);
    let wrong = json!({ "items": key });
    assert_eq!(server.ask("POST", "/api/bulk", Some(&wrong)).0, 422);
    let build = json!({ "name": "samples", "paths": [fixtures()] });
    let upload = json!({ "name": "samples", "repo": "samples" });
    for (path, what) in [("/api/datasets", build), ("/api/hf/datasets", upload)] {
        let (status, task) = server.ask("POST", path, Some(&what));
        assert_eq!(status, 202, "{task}");
        assert_eq!(server.ended(&task["id"])["state"], "done");
    }
    // The last spans are sent before it ends.
    assert!(server.terminate());

    let taken = collector.taken();
    assert!(
        taken.paths.iter().all(|path| path == "/v1/traces"),
        "{:?}",
        taken.paths
    );
    let health = taken.span("GET /api/health");
    assert_eq!((health.trace.as_str(), health.parent.as_str()), (trace, parent));
    let status = |name| taken.span(name).attributes["http.response.status_code"].clone();
    assert_eq!(status("GET /api/health"), Some(IntValue(200)));
    assert_eq!(status("POST /api/bulk"), Some(IntValue(422)));
    let name = Some(StringValue("bashgym".to_owned()));
    assert_eq!(health.resource["service.name"], name);
    // What a task asks of the Hub lies below it.
    let task = taken.span("task dataset_upload");
    let asked = |span: &&Span| span.trace == task.trace && span.attributes.contains_key("url.full");
    assert!(taken.spans.iter().any(|span| asked(&span)));
    for secret in [key.as_str(), "token=", "Bearer"] {
        let held = taken
            .bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!held, "{secret}");
    }
}

#[test]
fn a_collector_that_is_away_costs_one_warning_and_a_wrong_address_is_said_at_once() {
    let environment = Environment::new();
    let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    collect_at(&environment, &format!("http://{gone}"));
    let server = Serving::start(&environment, &[]);
    assert_eq!(server.ask("GET", "/api/health", None).0, 200);
    assert!(server.terminate());
    let log = std::fs::read_to_string(environment.path("server.log")).unwrap();
    assert_eq!(log.matches("traces are not taken").count(), 1, "{log}");

    collect_at(&environment, "unix:/collector");
    let refused = environment.run(["serve"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(stderr(&refused).contains("otlp_endpoint"), "{}", stderr(&refused));
}

/// Lets the config file name a collector.
fn collect_at(environment: &Environment, address: &str) {
    std::fs::create_dir_all(environment.home()).unwrap();
    let text = format!("[serve]\notlp_endpoint = \"{address}\"\n");
    std::fs::write(environment.home().join("config.toml"), text).unwrap();
}
