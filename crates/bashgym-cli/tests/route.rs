//! `bashgym route`, as scripts use it, over decisions that a server left.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod common;

use bashgym_core::router::{DecisionRecord, Exchange, RouteStore};
use bashgym_store::SqlStore;
use common::{Environment, assert_success, json_lines, stderr};
use serde_json::{Value, json};

const SECRET: &str = concat!("hf_", "AbCdEfGhIjKlMnOpQrStUvWxYz12345678");

fn belief(mean: f64, low: f64) -> Value {
    json!({"mean": mean, "low": low, "verdicts": 9.0, "p50_ms": 40, "p95_ms": 90, "usage": null})
}

/// A call that the student was not sure of and the teacher answered, for a tenth of a cent.
fn escalated() -> DecisionRecord {
    let one = |role: &str, model: &str, end: &str, nano: u64| {
        json!({"role": role, "model": model, "end": end, "error": null, "confidence": null, "attempts": 1,
            "usage": {"prompt_tokens": 3, "completion_tokens": 4}, "cost": {"source": "reported", "nano_usd": nano}, "millis": 5})
    };
    serde_json::from_value(json!({
        "id": bashgym_core::router::DecisionId::generate(), "at": "2026-11-20T10:00:00Z", "purpose": "tests",
        "strategy": {"strategy": "confidence_based", "threshold": 0.8},
        "features": {"kind": "chat", "prompt_bytes": 20, "messages": 1, "tools": 0, "images": false},
        "bucket": "chat/short",
        "candidates": [
            {"role": "student", "model": "me/student", "belief": belief(0.6, 0.5), "expected_nano_usd": 0, "left_out": null},
            {"role": "teacher", "model": "big", "belief": belief(0.9, 0.8), "expected_nano_usd": 900_000, "left_out": null}],
        "plan": ["me/student", "big"], "reason": "me/student first", "explored": false, "propensity": 1.0,
        "tries": [one("student", "me/student", "escalated", 0), one("teacher", "big", "answered", 1_000_000)],
        "succeeded": true, "millis": 10, "outcome": null}))
    .unwrap()
}

#[tokio::test]
async fn decisions_are_explained_judged_replayed_and_become_candidates() {
    let environment = Environment::new();
    assert_success(&environment.run(["budget", "show"]));
    let record = escalated();
    let id = record.id.to_string();
    let exchange = Exchange {
        messages: vec![hf_inference::Message::user(format!("deploy with {SECRET}"))],
        tools: Vec::new(),
        answer: hf_inference::Message::assistant("done"),
    };
    let store = SqlStore::open(&environment.home().join("bashgym.db"))
        .await
        .unwrap();
    store.add_decisions(&[(record, Some(exchange))]).await.unwrap();
    store.close().await;

    let route = |args: &[&str]| {
        let output = environment
            .bashgym(["--format", "json", "route"])
            .args(args)
            .output()
            .unwrap();
        assert_success(&output);
        json_lines(&output).remove(0)
    };
    let explained = route(&["explain", &id]);
    assert_eq!(explained["tries"][1]["model"], "big");
    assert_eq!(route(&["ls"]), explained);
    let missing = environment.run(["route", "explain", "01a2061a-5095-773f-a89f-ade87d315072"]);
    assert_eq!(missing.status.code(), Some(6), "{}", stderr(&missing));

    let replay = route(&["replay", "--strategy", "student_only"]);
    assert_eq!(replay["done"]["calls"], 1);
    assert!(
        (replay["done"]["nano_usd"].as_f64().unwrap() - 1e6).abs() < 1e-6,
        "{replay}"
    );
    assert!(
        replay["would"]["nano_usd"].as_f64().unwrap().abs() < 1e-6,
        "{replay}"
    );
    assert!(
        (replay["would"]["quality"].as_f64().unwrap() - 0.6).abs() < 1e-9,
        "{replay}"
    );

    let file = environment.path("hard.jsonl");
    let file = file.to_str().unwrap();
    assert_eq!(route(&["candidates", "--out", file])["rows"], 1);
    let text = std::fs::read_to_string(file).unwrap();
    assert!(!text.contains(SECRET) && text.contains("deploy with"), "{text}");
    let again = environment.run(["route", "candidates", "--out", file]);
    assert_eq!(again.status.code(), Some(7), "{}", stderr(&again));

    let judged = route(&["report", &id, "bad", "--source", "test"]);
    assert_eq!(judged["outcome"]["good"], false);
    let told = environment
        .bashgym(["--format", "human", "route", "explain", &id])
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&told.stdout).contains("not sure enough"));
    std::fs::remove_file(file).unwrap();
    assert_eq!(route(&["candidates", "--out", file])["wrong_left_out"], 1);
    assert_eq!(route(&["prune", "--older-than", "1m"])["removed"], 1);
}
