//! What bad input gets: the cause by name, the next step, the right exit code.

mod common;

use common::{Environment, Hub, assert_success, fixtures, json_lines, stderr};

#[track_caller]
fn assert_fails(output: &std::process::Output, code: i32, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for word in words {
        assert!(said.contains(word), "`{word}` is not in:\n{said}");
    }
}

#[test]
fn a_path_that_is_not_there_is_named() {
    let environment = Environment::new();
    assert_fails(
        &environment.run(["sessions", "import", "nowhere"]),
        6,
        &["nowhere"],
    );
    assert_fails(
        &environment.run(["data", "build", "nowhere", "--out", "out"]),
        6,
        &["nowhere"],
    );
    assert!(!environment.path("out").exists(), "nothing half-written");
}

#[test]
fn folders_without_sessions_are_no_use() {
    let environment = Environment::new();
    std::fs::create_dir(environment.path("empty")).unwrap();
    assert_fails(
        &environment.run(["data", "build", "empty", "--out", "out"]),
        3,
        &["empty"],
    );
    std::fs::write(environment.path("empty/other.jsonl"), "{\"what\":\"is this\"}\n").unwrap();
    assert_fails(
        &environment.run(["data", "build", "empty", "--out", "out"]),
        3,
        &["no training examples"],
    );
    assert_fails(
        &environment.run(["sessions", "import", "empty"]),
        3,
        &["no session could be read"],
    );
    assert!(
        !environment.path("out/train.jsonl").exists(),
        "nothing half-written"
    );
}

#[test]
fn without_any_agent_on_the_machine_the_next_step_is_said() {
    let environment = Environment::new();
    assert_fails(&environment.run(["run"]), 3, &["next:", "bashgym run PATH"]);
}

#[test]
fn a_wrong_token_is_told_from_an_unreachable_hub() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let refused = environment
        .bashgym(["data", "ls"])
        .env("HF_ENDPOINT", &hub.endpoint)
        .env("HF_TOKEN", "hf_wrongwrongwrongwrong")
        .output()
        .unwrap();
    assert_fails(&refused, 4, &[]);
    assert!(!stderr(&refused).contains("hf_wrongwrong"), "the token is shown");

    let endpoint = hub.endpoint.clone();
    assert!(hub.terminate());
    let away = environment
        .bashgym(["--format", "json", "status"])
        .env("HF_ENDPOINT", &endpoint)
        .env("HF_TOKEN", "hf_wrongwrongwrongwrong")
        .output()
        .unwrap();
    assert_success(&away);
    assert_eq!(json_lines(&away)[0]["account"]["state"], "unreachable");
}

#[test]
fn nothing_is_sent_to_another_machine_that_the_gate_has_not_passed() {
    let environment = Environment::new();
    let dataset = environment.path("dataset");
    assert_success(
        &environment
            .bashgym(["data", "build"])
            .arg(fixtures())
            .arg("--out")
            .arg(&dataset)
            .output()
            .unwrap(),
    );
    let train = dataset.join("train.jsonl");
    let rows = std::fs::read_to_string(&train).unwrap();
    let planted = rows.replacen("\"content\":\"", "\"content\":\"DB_PASSWORD=zebra-piano-42 ", 1);
    std::fs::write(&train, planted).unwrap();
    let refused = environment
        .bashgym(["data", "push"])
        .arg(&dataset)
        .arg("ada/rows")
        // An address that answers nobody: the refusal comes before any connection.
        .env("HF_ENDPOINT", "http://192.0.2.1")
        .env("HF_TOKEN", "hf_0123456789abcdef0123")
        .env("HF_USERNAME", "ada")
        .output()
        .unwrap();
    assert_fails(&refused, 4, &["train.jsonl", "secret_assignment", "data review"]);
}

#[test]
fn a_dataset_of_one_row_trains_and_says_what_it_lacks() {
    let environment = Environment::new();
    let dataset = environment.path("one");
    std::fs::create_dir(&dataset).unwrap();
    let row = r#"{"messages":[{"role":"user","content":"say hi, and say it twice"},{"role":"assistant","content":"hi hi"}]}"#;
    std::fs::write(dataset.join("train.jsonl"), format!("{row}\n")).unwrap();
    std::fs::write(dataset.join("val.jsonl"), "").unwrap();
    let output = environment
        .bashgym([
            "--format",
            "json",
            "train",
            "--preset",
            "tiny",
            "--max-steps",
            "2",
            "--out",
        ])
        .arg(environment.path("student"))
        .arg(&dataset)
        .output()
        .unwrap();
    assert_success(&output);
    assert!(environment.path("student/model.safetensors").exists());
}

#[test]
fn a_dataset_without_rows_is_no_use() {
    let environment = Environment::new();
    let dataset = environment.path("none");
    std::fs::create_dir(&dataset).unwrap();
    std::fs::write(dataset.join("train.jsonl"), "not json\n").unwrap();
    let output = environment
        .bashgym(["train", "--out", "student"])
        .arg(&dataset)
        .output()
        .unwrap();
    assert_fails(&output, 3, &["train.jsonl"]);
    assert!(!environment.path("student/model.safetensors").exists());
}

#[test]
fn a_model_that_is_not_there_is_named() {
    let environment = Environment::new();
    let output = environment.run(["generate", "no-such-student", "--prompt", "hi"]);
    assert_fails(&output, 6, &["no-such-student"]);
}

#[test]
fn help_version_and_completions_need_no_state() {
    let environment = Environment::new();
    for args in [
        &["--help"][..],
        &["--version"],
        &["completions", "bash"],
        &["run", "--help"],
    ] {
        let output = environment.run(args);
        assert_success(&output);
        assert!(!output.stdout.is_empty());
    }
    assert!(!environment.home().exists(), "state was made by asking for help");
}

#[test]
fn deletion_asks_before_it_deletes() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let dataset = environment.path("dataset");
    assert_success(
        &environment
            .bashgym(["data", "build"])
            .arg(fixtures())
            .arg("--out")
            .arg(&dataset)
            .output()
            .unwrap(),
    );
    assert_success(
        &hub.bashgym(&environment, ["data", "push"])
            .arg(&dataset)
            .arg("rows")
            .output()
            .unwrap(),
    );
    let list =
        || String::from_utf8(hub.bashgym(&environment, ["data", "ls"]).output().unwrap().stdout).unwrap();
    let name = format!("{}/rows", hub.name);
    assert_eq!(list().trim(), name);
    assert_fails(
        &hub.bashgym(&environment, ["data", "rm", "rows"])
            .output()
            .unwrap(),
        2,
        &["--yes"],
    );
    assert_eq!(list().trim(), name);
    assert_success(
        &hub.bashgym(&environment, ["data", "rm", "rows", "--yes"])
            .output()
            .unwrap(),
    );
    assert_eq!(list().trim(), "");
}
