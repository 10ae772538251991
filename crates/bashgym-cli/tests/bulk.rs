//! `bashgym data augment|score|dedup|generate` against the embedded Hub's scripted providers.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;

use common::{Environment, Hub, assert_success, json_lines, stderr, wait_until};
use serde_json::{Value, json};

/// A provider that answers all with `replies` in turn, for a dollar a million tokens.
fn script(hub: &Hub, replies: &[&str], more: &Value) {
    let mut script = json!({
        "models": {"org/m": {"pricing": {"input": 1.0, "output": 1.0}, "context_length": 8000}}, "replies": replies,
    });
    script
        .as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let spec = hf_core::RequestSpec::put("/_local/inference/providers/scripted-cheap")
        .json(&script)
        .unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(hub.client().request_bytes(spec)).unwrap();
}

/// How many calls the provider has had.
fn calls(hub: &Hub) -> u64 {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let spec = hf_core::RequestSpec::get("/_local/inference/providers");
    let client = hub.client();
    let listed: Value = runtime.block_on(async { client.request_json(spec).await.unwrap() });
    listed[0]["calls"].as_u64().unwrap()
}

fn prompts(environment: &Environment, count: usize) -> PathBuf {
    let path = environment.path("prompts.txt");
    let lines: Vec<String> = (0..count).map(|n| format!("Name file number {n}")).collect();
    std::fs::write(&path, lines.join("\n")).unwrap();
    path
}

fn generate(hub: &Hub, environment: &Environment, prompts: &Path, more: &[&str]) -> std::process::Command {
    let mut command = hub.bashgym(
        environment,
        ["--format", "json", "data", "generate", "--model", "org/m"],
    );
    command
        .args([
            "--max-tokens",
            "50",
            "--rows",
            "sft",
            "--out",
            "generated",
            "--prompts",
        ])
        .arg(prompts)
        .args(more);
    command
}

/// Answers in the journals of this home.
fn answers(environment: &Environment) -> u64 {
    let journals = std::fs::read_dir(environment.home().join("bulk"))
        .into_iter()
        .flatten();
    let text: String = journals
        .flatten()
        .filter_map(|dir| std::fs::read_to_string(dir.path().join("journal.jsonl")).ok())
        .collect();
    text.matches("\"event\":\"answer\"").count() as u64
}

fn event(lines: &[Value], name: &str) -> Value {
    let found = lines.iter().find(|line| line["event"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {lines:?}")).clone()
}

#[test]
fn a_judged_dataset_can_be_pushed_and_a_second_run_pays_nothing() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    hub.push_sessions(&environment);
    script(
        &hub,
        &[r#"{"reason": "the tests pass", "score": 5}"#, "no idea"],
        &json!({}),
    );
    let score = |more: &[&str]| {
        hub.bashgym(
            &environment,
            [
                "--format", "json", "data", "score", "dataset", "--model", "org/m", "--out", "judged",
            ],
        )
        .args(more)
        .output()
        .unwrap()
    };
    let planned = score(&["--dry-run"]);
    assert_success(&planned);
    let plan = event(&json_lines(&planned), "plan");
    assert!(
        plan["estimate"]["price_worst_usd"].as_f64().unwrap() > 0.0,
        "{plan}"
    );
    assert_eq!(calls(&hub), 0);

    let scored = score(&[]);
    assert_success(&scored);
    let result = event(&json_lines(&scored), "result");
    let questions = plan["estimate"]["questions"].as_u64().unwrap();
    assert_eq!(result["calls"]["answered"], questions);
    assert!(result["cost_usd"].as_f64().unwrap() > 0.0, "{result}");
    let rows = &result["result"]["rows"];
    let (judged, unreadable) = (
        rows["judged"].as_u64().unwrap(),
        rows["unreadable_answer"].as_u64().unwrap(),
    );
    assert_eq!(judged + unreadable, questions);
    assert!(judged > 0 && unreadable > 0);
    let paid = calls(&hub);

    let again = score(&[]);
    assert_success(&again);
    let again = event(&json_lines(&again), "result");
    assert_eq!(
        (&again["calls"]["answered"], &again["cost_usd"]),
        (&json!(0), &json!(0.0))
    );
    assert_eq!(calls(&hub), paid);

    let pushed = hub
        .bashgym(
            &environment,
            ["--format", "json", "data", "push", "judged", "judged"],
        )
        .output()
        .unwrap();
    assert_success(&pushed);
    // Another command may not write over it.
    let elsewhere = hub
        .bashgym(
            &environment,
            [
                "data", "augment", "dataset", "--model", "org/m", "--out", "judged",
            ],
        )
        .output()
        .unwrap();
    assert_eq!(elsewhere.status.code(), Some(7), "{}", stderr(&elsewhere));
}

#[test]
fn killed_halfway_it_goes_on_and_pays_for_no_answer_twice() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    script(&hub, &["a", "b", "c"], &json!({"first_token_latency_ms": 150}));
    let file = prompts(&environment, 60);
    let mut child = generate(&hub, &environment, &file, &["--concurrency", "2"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let answered = || answers(&environment);
    wait_until("some answers are in the journal", || answered() >= 8);
    // Meanwhile nobody else may work on it.
    let second = generate(&hub, &environment, &file, &[]).output().unwrap();
    assert_eq!(second.status.code(), Some(7), "{}", stderr(&second));
    child.kill().unwrap();
    child.wait().unwrap();
    let kept = answered();
    assert!((8..60).contains(&kept), "{kept}");

    let resumed = generate(&hub, &environment, &file, &[]).output().unwrap();
    assert_success(&resumed);
    let told = event(&json_lines(&resumed), "result");
    let count = |key: &str| told["calls"][key].as_u64().unwrap();
    // What was under way when it died is not sent again: it may have been paid.
    assert_eq!(count("from_journal") + count("answered") + count("unclear"), 60);
    assert!(count("from_journal") >= kept, "{told}");
    assert!(count("unclear") <= 2, "{told}");
    assert!(calls(&hub) <= 60, "{}", calls(&hub));

    let unclear = count("unclear");
    let rest = generate(&hub, &environment, &file, &["--retry-unclear"])
        .output()
        .unwrap();
    assert_success(&rest);
    let told = event(&json_lines(&rest), "result");
    assert_eq!(
        (&told["complete"], &told["calls"]["answered"]),
        (&json!(true), &json!(unclear))
    );
    let rows = |name: &str| {
        let text = std::fs::read_to_string(environment.path("generated").join(name)).unwrap();
        text.lines().count()
    };
    assert_eq!(rows("train.jsonl") + rows("val.jsonl"), 60);
}

#[test]
fn at_the_cap_it_ends_with_what_is_done() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    script(&hub, &["a"], &json!({}));
    let capped = hub
        .bashgym(
            &environment,
            ["budget", "set", "--service", "inference", "--day", "0.002"],
        )
        .output()
        .unwrap();
    assert_success(&capped);
    let file = prompts(&environment, 2_000);
    let ended = generate(&hub, &environment, &file, &["--concurrency", "2"])
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(5), "{}", stderr(&ended));
    let told = event(&json_lines(&ended), "result");
    assert_eq!(told["complete"], false);
    assert!(told["cost_usd"].as_f64().unwrap() <= 0.002, "{told}");
    let kept = told["calls"]["answered"].as_u64().unwrap();
    assert!(kept > 0);
    let text = std::fs::read_to_string(environment.path("generated/metadata.json")).unwrap();
    let manifest: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        manifest["rows_train"].as_u64().unwrap() + manifest["rows_val"].as_u64().unwrap(),
        kept
    );
    assert_eq!(manifest["lineage"][0]["complete"], false);
}

#[test]
fn what_is_wrong_is_told_before_anything_is_asked() {
    let environment = Environment::new();
    for args in [
        &["data", "score"][..],
        &["data", "score", "dataset"],
        &[
            "data", "score", "dataset", "--work", "w", "--model", "a/b", "--out", "o",
        ],
        &[
            "data",
            "dedup",
            "dataset",
            "--model",
            "a/b",
            "--out",
            "o",
            "--threshold",
            "0.4",
        ],
        &[
            "data",
            "generate",
            "--prompts",
            "p",
            "--model",
            "a/b",
            "--out",
            "o",
            "--rows",
            "rlvr",
        ],
    ] {
        let refused = environment.run(args);
        assert_eq!(refused.status.code(), Some(2), "{args:?}: {}", stderr(&refused));
    }
    let missing = environment.run([
        "data",
        "generate",
        "--prompts",
        "p",
        "--model",
        "a/b",
        "--out",
        "o",
    ]);
    assert_eq!(missing.status.code(), Some(6), "{}", stderr(&missing));
}

#[test]
fn told_to_end_it_waits_for_the_calls_under_way_and_the_next_one_goes_on() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    script(&hub, &["a", "b", "c"], &json!({"first_token_latency_ms": 150}));
    let file = prompts(&environment, 40);
    let child = generate(&hub, &environment, &file, &["--concurrency", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_until("some answers are in the journal", || answers(&environment) >= 4);
    let pid = nix::unistd::Pid::from_raw(child.id().try_into().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130), "{}", stderr(&ended));
    let told = event(&json_lines(&ended), "result");
    assert_eq!(
        (&told["complete"], &told["calls"]["unclear"]),
        (&json!(false), &json!(0))
    );

    let resumed = generate(&hub, &environment, &file, &[]).output().unwrap();
    assert_success(&resumed);
    let told = event(&json_lines(&resumed), "result");
    assert_eq!(
        (&told["complete"], &told["calls"]["unclear"]),
        (&json!(true), &json!(0))
    );
    assert_eq!(calls(&hub), 40, "no answer is paid twice");
}

#[test]
fn a_call_that_may_cost_more_than_it_may_is_not_made() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    script(&hub, &["a"], &json!({}));
    let infer = |most: &str| {
        let args = [
            "infer",
            "generate",
            "--model",
            "org/m",
            "--max-tokens",
            "1000",
            "--max-usd",
            most,
            "Hi",
        ];
        hub.bashgym(&environment, args).output().unwrap()
    };
    let refused = infer("0.002");
    assert_eq!(refused.status.code(), Some(5), "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--max-usd"), "{}", stderr(&refused));
    assert_eq!(calls(&hub), 0, "nothing was sent");
    assert_success(&infer("0.01"));
    assert_eq!(calls(&hub), 1);
}
