//! `bashgym space`, the command itself, against a Hub of the test's own.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};

use common::{Environment, Hub, assert_success, json_lines, stderr};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

fn space(environment: &Environment, hub: &Hub, args: &[&str]) -> std::process::Output {
    let all = ["--format", "json", "space"].iter().chain(args);
    hub.bashgym(environment, all)
        .output()
        .expect("the command starts")
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Asks the Hub something the command line does not offer.
fn post(hub: &Hub, path: &str, kind: &str, body: &str) -> String {
    let address = hub.endpoint.strip_prefix("http://").expect("a loopback address");
    let mut stream = TcpStream::connect(address).expect("the Hub listens");
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{body}",
        hub.token
    )
    .expect("the Hub takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the Hub answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    answer
}

/// Trains a student that says something, and puts it into a private repository.
fn model(environment: &Environment, hub: &Hub) {
    let (data, folder) = (environment.path("data"), environment.path("student"));
    std::fs::create_dir(&data).expect("a folder for the rows");
    let row = json!({"messages": [{"role": "user", "content": "Say hello."}, {"role": "assistant", "content": "Hello there."}]});
    std::fs::write(data.join("train.jsonl"), format!("{row}\n").repeat(400)).expect("the rows");
    let trained = environment
        .bashgym(["train"])
        .arg(&data)
        .arg("--out")
        .arg(&folder)
        .args(["--preset", "tiny", "--max-steps", "200"])
        .output()
        .expect("the command starts");
    assert_success(&trained);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let id = format!("{}/student", hub.name).parse().expect("a name");
        let repo = hf_datasets::RepoFiles::new(&hub.client(), hf_core::RepoType::Model, id);
        let options = hf_datasets::CreateOptions::default();
        repo.create(&options).await.expect("the repository is made");
        repo.upload_folder(&folder, &hf_datasets::UploadOptions::default())
            .await
            .expect("the student is pushed");
    });
}

fn commit(hub: &Hub) {
    let header = json!({"key": "header", "value": {"summary": "more"}});
    let file = json!({"key": "file", "value": {"path": "a.txt", "content": "YQ==", "encoding": "base64"}});
    let path = format!("/api/models/{}/student/commit/main", hub.name);
    post(hub, &path, "application/x-ndjson", &format!("{header}\n{file}\n"));
}

#[test]
fn a_student_is_served_updated_taken_back_promoted_and_removed() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    model(&environment, &hub);
    let id = format!("{}/demo", hub.name);
    let made = space(
        &environment,
        &hub,
        &[
            "create",
            "student",
            "--name",
            "demo",
            "--env",
            "LANGUAGE=en",
            "--secret",
            "KEY=s3cret",
        ],
    );
    assert_success(&made);
    let lines = json_lines(&made);
    let [made] = lines.as_slice() else {
        panic!("one object and nothing else: {lines:?}");
    };
    assert_eq!(text(&made["space_id"]), id);
    assert_eq!(text(&made["url"]), format!("{}/spaces/{id}", hub.endpoint));
    assert_eq!(
        (text(&made["stage"]), text(&made["hardware"])),
        ("RUNNING", "zero-a10g")
    );
    let first = text(&made["model_revision"]).to_owned();
    assert_eq!(first.len(), 40);
    assert_eq!(
        (text(&made["smoke"]["state"]), text(&made["smoke"]["text"])),
        ("answered", "Hello there."),
        "the student itself"
    );

    let status = &json_lines(&space(&environment, &hub, &["status", "demo"]))[0];
    assert_eq!(
        (text(&status["stage"]), text(&status["model_revision"])),
        ("RUNNING", first.as_str())
    );
    assert!(text(&status["embedded"]).starts_with("embedded runtime"));
    assert_eq!(
        (&status["simulated"], &status["measured"]["requests"]),
        (&Value::Null, &json!(1))
    );
    assert!(status["zero_gpu"]["left_seconds"].as_f64() > Some(0.0));

    let taken = space(&environment, &hub, &["create", "student", "--name", "demo"]);
    assert_eq!(taken.status.code(), Some(7), "{}", stderr(&taken));
    assert!(stderr(&taken).contains("nothing was made"));

    commit(&hub);
    let updated = space(&environment, &hub, &["update", "demo", "student"]);
    assert_success(&updated);
    let second = text(&json_lines(&updated)[0]["model_revision"]).to_owned();
    assert_ne!(first, second);
    let back = space(&environment, &hub, &["rollback", "demo"]);
    assert_success(&back);
    assert_eq!(text(&json_lines(&back)[0]["model_revision"]), first);
    assert_eq!(json_lines(&back)[0]["smoke"]["text"], "Hello there.");
    assert_success(&space(
        &environment,
        &hub,
        &[
            "create",
            "student",
            "--name",
            "trial",
            "--hardware",
            "cpu-basic",
            "--no-ask",
        ],
    ));
    let promoted = space(&environment, &hub, &["promote", "trial", "demo"]);
    assert_success(&promoted);
    assert_eq!(text(&json_lines(&promoted)[0]["model_revision"]), second);

    let secrets = space(&environment, &hub, &["secrets", "ls", "demo"]);
    assert_eq!(json_lines(&secrets)[0]["key"], "KEY");
    assert!(!String::from_utf8_lossy(&secrets.stdout).contains("s3cret"));
    assert_success(&space(&environment, &hub, &["secrets", "set", "demo", "OTHER=x"]));
    assert_success(&space(&environment, &hub, &["secrets", "rm", "demo", "KEY"]));
    let left = json_lines(&space(&environment, &hub, &["secrets", "ls", "demo"]));
    assert_eq!((left.len(), &left[0]["key"]), (1, &json!("OTHER")));

    let vars = |args: &[&str]| {
        let all: Vec<&str> = ["vars"].iter().chain(args).copied().collect();
        space(&environment, &hub, &all)
    };
    assert_success(&vars(&["set", "demo", "STYLE=short", "LANGUAGE=en"]));
    assert_success(&vars(&["rm", "demo", "LANGUAGE"]));
    let kept = json_lines(&vars(&["ls", "demo"]));
    let style = kept.iter().find(|row| row["key"] == "STYLE");
    assert_eq!(style.map(|row| text(&row["value"])), Some("short"));
    assert!(kept.iter().all(|row| row["key"] != "LANGUAGE"));
    let told = vars(&["set", "demo", &format!("KEY={}", hub.token)]);
    assert_eq!(told.status.code(), Some(4), "{}", stderr(&told));
    assert!(!stderr(&told).contains(&hub.token));

    let unfit = space(&environment, &hub, &["fit", "trial"]);
    assert_eq!(unfit.status.code(), Some(2), "{}", stderr(&unfit));
    assert!(
        stderr(&unfit).contains("5 are needed"),
        "nobody asked it anything: {}",
        stderr(&unfit)
    );
    let paused = json_lines(&space(&environment, &hub, &["pause", "trial"]));
    assert_eq!(text(&paused[0]["stage"]), "PAUSED");
    assert_success(&space(&environment, &hub, &["restart", "trial", "--factory"]));

    let build = hub
        .bashgym(&environment, ["space", "logs", "demo", "--build"])
        .output()
        .unwrap();
    assert_success(&build);
    assert!(String::from_utf8_lossy(&build.stdout).contains("embedded runtime"));
    let listed = json_lines(&space(&environment, &hub, &["ls"]));
    assert_eq!(listed.len(), 2);
    let shell = &json_lines(&space(&environment, &hub, &["dev", "demo"]))[0];
    assert_eq!(
        text(&shell["command"]),
        format!("ssh {}-demo@ssh.hf.space", hub.name)
    );

    let unsure = space(&environment, &hub, &["rm", "demo"]);
    assert_eq!(unsure.status.code(), Some(2), "deletion asks");
    assert_eq!(json_lines(&space(&environment, &hub, &["ls"])).len(), 2);
    let gone = space(&environment, &hub, &["rm", "demo", "--yes"]);
    assert_eq!(json_lines(&gone)[0], json!({"space_id": id, "deleted": true}));
    assert_eq!(
        space(&environment, &hub, &["status", "demo"]).status.code(),
        Some(6)
    );
    assert_eq!(
        space(&environment, &hub, &["rm", "demo", "--yes"]).status.code(),
        Some(6)
    );
    assert!(hub.terminate());
}

#[test]
fn what_costs_too_much_or_leaks_a_token_is_refused_before_anything_is_made() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    model(&environment, &hub);
    let budget = |args: &[&str]| -> Vec<Value> {
        let all = ["--format", "json", "budget"].iter().chain(args);
        let output = hub
            .bashgym(&environment, all)
            .output()
            .expect("the command starts");
        assert_success(&output);
        json_lines(&output)
    };
    budget(&["set", "--service", "spaces", "--day", "0.30"]);
    let paid = |more: &[&str]| {
        let args = ["create", "student", "--name", "demo", "--hardware", "t4-small"];
        let all: Vec<&str> = args.iter().chain(more).copied().collect();
        space(&environment, &hub, &all)
    };
    // An hour of it is more than a day may cost.
    let refused = paid(&[]);
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--sleep"), "{}", stderr(&refused));
    assert!(json_lines(&space(&environment, &hub, &["ls"])).is_empty());
    let reserved = |kind: &str| budget(&["show"])[0][kind]["spaces"].as_f64();
    // What fails after it was made is settled with the little time it was there.
    let broken = paid(&["--sleep", "30m", "--ask", " "]);
    assert_eq!(broken.status.code(), Some(9), "{}", stderr(&broken));
    assert_eq!(reserved("reserved_usd"), Some(0.0));
    assert!(reserved("settled_usd") < Some(0.1));
    let made = paid(&["--sleep", "30m"]);
    assert_success(&made);
    assert_eq!(
        reserved("reserved_usd").map(|usd| (usd * 100.0).round()),
        Some(20.0)
    );
    let longer = space(&environment, &hub, &["sleep", "demo", "2h"]);
    assert_eq!(longer.status.code(), Some(5), "{}", stderr(&longer));
    let bigger = space(
        &environment,
        &hub,
        &["hardware", "demo", "t4-medium", "--sleep", "1h"],
    );
    assert_eq!(bigger.status.code(), Some(5), "{}", stderr(&bigger));
    let free = space(&environment, &hub, &["hardware", "demo", "cpu-basic"]);
    assert_success(&free);
    assert_eq!(text(&json_lines(&free)[0]["hardware_requested"]), "cpu-basic");
    assert_eq!(
        reserved("reserved_usd"),
        Some(0.0),
        "what was set aside counts as spent"
    );
    assert!(reserved("settled_usd") >= Some(0.2));
    let listed = json_lines(&space(&environment, &hub, &["hardware"]));
    let t4 = listed.iter().find(|row| row["name"] == "t4-small");
    assert!(t4.is_some_and(|row| row["micro_usd_per_minute"].as_u64() > Some(0)));
    assert_success(&space(&environment, &hub, &["rm", "demo", "--yes"]));
    assert_eq!(reserved("reserved_usd"), Some(0.0));
    let own = space(
        &environment,
        &hub,
        &["create", "student", "--name", "demo", "--secret", "HF_TOKEN"],
    );
    assert_eq!(own.status.code(), Some(2));
    assert!(!stderr(&own).contains(&hub.token));
    let missing = space(&environment, &hub, &["create", "nothing", "--name", "demo"]);
    assert_eq!(missing.status.code(), Some(6), "{}", stderr(&missing));
    let leak = format!("--title=token {}", hub.token);
    let refused = space(
        &environment,
        &hub,
        &["create", "student", "--name", "demo", &leak],
    );
    assert_eq!(refused.status.code(), Some(4), "{}", stderr(&refused));
    assert!(json_lines(&space(&environment, &hub, &["ls"])).is_empty());
    assert!(hub.terminate());
}

/// What a container of a Space would run, on a free port of this machine.
struct Container {
    process: Child,
    address: String,
}

impl Container {
    fn start(environment: &Environment, hub: &Hub, folder: &Path) -> Self {
        let mut process = hub
            .bashgym(
                environment,
                ["--format", "human", "worker", "app", "--port", "0", "--dir"],
            )
            .arg(folder)
            .env("SPACE_ID", "ada/demo")
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let lines = BufReader::new(process.stdout.take().expect("its log")).lines();
        let told = lines
            .map(|line| line.expect("a line of its log"))
            .find_map(|line| line.strip_prefix("It answers on http://").map(str::to_owned));
        Self {
            process,
            address: told.expect("where it answers"),
        }
    }

    fn ask(&self, head: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).expect("it listens");
        let (address, length) = (&self.address, body.len());
        write!(
            stream,
            "{head} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )
        .expect("it takes the request");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer
    }
}

#[test]
fn a_student_is_served_by_bashgym_in_a_container() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    model(&environment, &hub);
    let script = environment.path("bashgym.sh");
    std::fs::write(&script, "#!/bin/sh\n").expect("a script");
    let create = |program: &str| {
        let args = [
            "create",
            "student",
            "--name",
            "demo",
            "--app",
            "bashgym",
            "--program",
            program,
        ];
        space(&environment, &hub, &args)
    };
    let refused = create(&script.to_string_lossy());
    assert_eq!(refused.status.code(), Some(2), "{}", stderr(&refused));
    assert!(
        stderr(&refused).contains("no program for x86-64 Linux"),
        "{}",
        stderr(&refused)
    );
    assert!(json_lines(&space(&environment, &hub, &["ls"])).is_empty());

    // A small program stands for the large one: the embedded Hub runs neither.
    let made = create("/bin/true");
    assert_success(&made);
    let made = json_lines(&made).remove(0);
    assert_eq!(
        (
            text(&made["stage"]),
            text(&made["hardware"]),
            text(&made["smoke"]["text"])
        ),
        ("RUNNING", "cpu-basic", "Hello there.")
    );
    let status = json_lines(&space(&environment, &hub, &["status", "demo"])).remove(0);
    assert_eq!(text(&status["app"]), "bashgym");
    assert!(text(&status["embedded"]).starts_with("embedded runtime"));

    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let id: hf_core::RepoId = format!("{}/demo", hub.name).parse().expect("a name");
    let folder = environment.path("container");
    runtime.block_on(async {
        let repo = hf_datasets::RepoFiles::new(&hub.client(), hf_core::RepoType::Space, id);
        repo.download_snapshot(&folder, &hf_datasets::DownloadOptions::default())
            .await
            .expect("the Space is fetched");
    });
    let sent = std::fs::read(folder.join("bashgym")).expect("the program");
    assert_eq!(sent, std::fs::read("/bin/true").expect("the program"));

    let mut container = Container::start(&environment, &hub, &folder);
    let page = container.ask("GET /", "");
    assert!(
        page.contains("<textarea name=\"prompt\"")
            && page.contains(&format!("frame-ancestors {}", hub.endpoint)),
        "{page}"
    );
    let config = container.ask("GET /config", "");
    assert!(config.contains("\"space_id\":\"ada/demo\""), "{config}");
    let begun = container.ask(
        "POST /gradio_api/call/generate",
        &json!({"data": ["Say hello.", 24, 0]}).to_string(),
    );
    let event = begun
        .split_once("\"event_id\":\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(event, _)| event.to_owned())
        .expect("the id of the question");
    let answer = container.ask(&format!("GET /gradio_api/call/generate/{event}"), "");
    assert!(
        answer.contains("event: complete\ndata: [\"Hello there.\"]"),
        "{answer}"
    );
    let process = Pid::from_raw(i32::try_from(container.process.id()).expect("a process"));
    kill(process, Signal::SIGTERM).expect("it is told to end");
    assert!(container.process.wait().expect("it ends").success());

    // A revision that is not there is told in the log, and the container ends.
    let file = folder.join("space.json");
    let changed = std::fs::read_to_string(&file)
        .expect("space.json")
        .replace(text(&made["model_revision"]), &"0".repeat(40));
    std::fs::write(&file, changed).expect("space.json");
    let ended = hub
        .bashgym(&environment, ["worker", "app", "--port", "0", "--dir"])
        .arg(&folder)
        .output()
        .expect("the command starts");
    assert_eq!(ended.status.code(), Some(6), "{}", stderr(&ended));
    assert_success(&space(&environment, &hub, &["rm", "demo", "--yes"]));
    assert!(hub.terminate());
}
