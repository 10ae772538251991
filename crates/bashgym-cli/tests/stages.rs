//! `bashgym data`: stages by themselves, kinds of rows, labels and scores.

mod common;

use std::fs;

use common::{Environment, assert_success, fixtures, json_lines, stderr};

#[test]
fn stages_by_themselves_end_in_the_dataset_of_a_build() {
    let environment = Environment::new();
    let logs = fixtures().display().to_string();
    let json = ["--format", "json", "data"];
    let run = |args: &[&str]| {
        let output = environment.run(json.iter().chain(args));
        assert_success(&output);
        json_lines(&output)
    };
    let kinds = ["--rows", "sft,preference,rlvr,distillation"];
    let with = |args: &[&'static str]| -> Vec<&'static str> { args.iter().chain(&kinds).copied().collect() };

    run(&["import", &logs, "--work", "work"]);
    assert!(run(&["redact", "--work", "work"])[0]["counts"]["email"].as_u64() > Some(0));
    let scored = run(&with(&["score", "--work", "work"]));
    assert!(scored.len() > 50);
    assert_eq!(scored[0]["event"], "score");
    assert!(scored[0]["parts"][0]["reason"].is_string());
    assert_eq!(scored.last().unwrap()["event"], "stage");
    run(&with(&["dedup", "--work", "work"]));
    run(&with(&["split", "--work", "work", "--out", "by-stages"]));

    let mut build = with(&["build", "--work", "work", "--out", "at-once"]);
    build.push(&logs);
    let manifest = &run(&build)[0];
    assert_eq!(manifest["event"], "manifest");
    let manifest = &manifest["manifest"];
    for key in [
        "sessions",
        "redactions_by_kind",
        "duplicates_removed",
        "splits",
        "losses",
        "scores",
        "inputs",
        "rules",
    ] {
        assert!(!manifest[key].is_null(), "{key} is missing");
    }
    assert_eq!(manifest["row_sets"].as_array().unwrap().len(), 4);
    for file in [
        "train.jsonl",
        "val.jsonl",
        "metadata.json",
        "README.md",
        "preference/train.jsonl",
    ] {
        let read = |dir: &str| fs::read(environment.path(dir).join(file)).unwrap();
        assert!(read("by-stages") == read("at-once"), "{file} differs");
    }
    let card = fs::read_to_string(environment.path("at-once/README.md")).unwrap();
    for said in [
        "config_name: preference",
        "preference/train.jsonl",
        "near-duplicates",
    ] {
        assert!(card.contains(said), "{said} is not in the card");
    }
}

#[test]
fn a_stage_without_its_predecessor_says_what_to_run() {
    let environment = Environment::new();
    let output = environment.run(["data", "score", "--work", "nowhere"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("bashgym data redact --work nowhere"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_label_is_kept_and_decides_the_score() {
    let environment = Environment::new();
    let logs = fixtures().display().to_string();
    let imported = environment.run(["--format", "json", "sessions", "import", &logs]);
    assert_success(&imported);
    let id = json_lines(&imported)
        .iter()
        .find(|s| s["agent"] == "codex" && s["prompts"].as_u64() > Some(0))
        .and_then(|s| s["session_id"].as_str().map(str::to_owned))
        .unwrap();
    assert_success(&environment.run(["sessions", "label", &id, "bad"]));
    let shown = environment.run(["--format", "json", "sessions", "show", &id]);
    assert_success(&shown);
    let scores = json_lines(&shown)[0]["scores"].clone();
    for task in scores.as_array().unwrap() {
        assert_eq!(task["value"], 0.0);
        assert_eq!(task["parts"][0]["part"], "label");
    }
    assert!(!scores.as_array().unwrap().is_empty());
    let output = environment.run(["data", "build", &logs, "--out", "out"]);
    assert_success(&output);
    let train = fs::read_to_string(environment.path("out/train.jsonl")).unwrap();
    let val = fs::read_to_string(environment.path("out/val.jsonl")).unwrap();
    assert!(!train.contains(&id) && !val.contains(&id));
}
