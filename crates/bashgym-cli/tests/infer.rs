//! `bashgym infer` against the embedded Hub, which serves the student it trained.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use common::{Environment, Hub, assert_success, json_lines, stderr};
use serde_json::{Value, json};

/// A student that knows nothing, in the Hub's repository `student`; five steps are enough to answer.
fn student(environment: &Environment, hub: &Hub) -> String {
    let pushed = hub.push_sessions(environment);
    let model = format!("{}/student", hub.name);
    let config = json!({
        "dataset_repo": format!("{}/sessions", hub.name),
        "dataset_revision": pushed["revision"],
        "model_repo": model,
        "run_id": "run",
        "training": {"preset": "tiny", "seed": 1, "max_steps": 5, "max_seconds": null, "timeout_seconds": 600},
    });
    let work = environment.path("work");
    std::fs::create_dir(&work).unwrap();
    let trained = hub
        .bashgym(environment, ["worker", "train"])
        .env("BASHGYM_JOB_CONFIG", config.to_string())
        .current_dir(work)
        .output()
        .unwrap();
    assert_success(&trained);
    model
}

#[test]
fn the_student_answers_over_the_router_and_the_call_is_in_the_books() {
    let environment = Environment::new();
    let hub = Hub::start(&environment, &environment.path("hub"));
    let model = student(&environment, &hub);
    let infer = |args: &[&str]| {
        hub.bashgym(&environment, ["--format", "json", "infer"])
            .args(args)
            .output()
            .unwrap()
    };
    let answered = infer(&[
        "generate",
        "--model",
        &model,
        "--max-tokens",
        "8",
        "Fix the failing test",
    ]);
    assert_success(&answered);
    let answer = &json_lines(&answered)[0];
    assert!(answer["text"].is_string(), "{answer}");
    assert_eq!(answer["provider"], "hf-inference");
    assert_eq!(answer["attempts"], 1);
    assert!(
        answer["usage"]["completion_tokens"].as_u64().unwrap() <= 8,
        "{answer}"
    );
    assert_eq!(
        (&answer["cost_usd"], &answer["cost_source"]),
        (&json!(0.0), &json!("route_price"))
    );

    let listed = infer(&["models"]);
    assert_success(&listed);
    let listed = json_lines(&listed);
    assert!(listed.iter().any(|it| it["id"] == model.as_str()), "{listed:?}");

    let unknown = infer(&["generate", "--model", "local/nobody", "Hi"]);
    assert_eq!(unknown.status.code(), Some(5), "{}", stderr(&unknown));
    let unknown = infer(&[
        "generate",
        "--model",
        "local/nobody",
        "--allow-unknown-price",
        "Hi",
    ]);
    assert_eq!(unknown.status.code(), Some(6), "{}", stderr(&unknown));

    let usage = infer(&["usage", "--by", "model"]);
    assert_success(&usage);
    let usage = json_lines(&usage);
    let row = |name: &str| -> Value { usage.iter().find(|row| row["bucket"] == name).unwrap().clone() };
    assert_eq!(
        (&row(&model)["calls"], &row(&model)["failed"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(row("local/nobody")["failed"], 1);
}

#[test]
fn a_retired_provider_and_an_empty_prompt_are_told_before_anything_is_asked() {
    let environment = Environment::new();
    let retired = environment.run([
        "infer",
        "generate",
        "--model",
        "a/b",
        "--provider",
        "sambanova",
        "Hi",
    ]);
    assert_eq!(retired.status.code(), Some(2), "{}", stderr(&retired));
    assert!(stderr(&retired).contains("retired"), "{}", stderr(&retired));
    let empty = environment.run(["infer", "generate", "--model", "a/b", "  "]);
    assert_eq!(empty.status.code(), Some(2), "{}", stderr(&empty));
}
