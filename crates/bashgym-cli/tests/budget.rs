//! `bashgym budget`, as scripts use it.

mod common;

use common::{Environment, assert_success, json_lines, stderr};
use serde_json::{Value, json};

#[test]
fn a_cap_is_set_shown_and_removed() {
    let environment = Environment::new();
    let show = || {
        let output = environment.run(["--format", "json", "budget", "show"]);
        assert_success(&output);
        // Every digit as it was typed, not as a float would have it.
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (json_lines(&output).pop().unwrap(), text)
    };
    let (empty, _) = show();
    assert_eq!(empty["cap_usd"]["jobs"], Value::Null);
    assert_eq!(empty["caps"], json!([]));

    assert_success(&environment.run(["budget", "set", "--service", "jobs", "--day", "1.00"]));
    assert_success(&environment.run(["budget", "set", "--month", "20", "--run", "0.000001"]));
    let (shown, text) = show();
    assert_eq!(shown["cap_usd"]["jobs"], 1.0);
    assert_eq!(shown["cap_usd"]["all"], 20.0);
    assert_eq!(shown["cap_usd"]["spaces"], Value::Null);
    assert_eq!(shown["reserved_usd"]["jobs"], 0.0);
    assert_eq!(shown["settled_usd"]["jobs"], 0.0);
    assert_eq!(shown["left_usd"]["jobs"], 1.0);
    assert_eq!(shown["services"]["jobs"]["window"], "day");
    assert_eq!(shown["timezone"], "UTC");
    assert!(
        shown["services"]["jobs"]["resets_at"]
            .as_str()
            .unwrap()
            .ends_with("T00:00:00Z")
    );
    assert!(
        text.contains(r#""cap_usd":{"all":20.00,"inference":null,"jobs":1.00,"spaces":null}"#),
        "{text}"
    );
    assert!(text.contains(r#""window":"run","cap_usd":0.000001"#), "{text}");

    let human = environment.run(["--format", "human", "budget", "show"]);
    assert_success(&human);
    assert!(String::from_utf8_lossy(&human.stdout).contains("1.00"));

    assert_success(&environment.run(["budget", "unset", "--service", "jobs", "--day"]));
    assert_eq!(show().0["cap_usd"]["jobs"], Value::Null);
    let again = environment.run(["budget", "unset", "--service", "jobs", "--day"]);
    assert_eq!(again.status.code(), Some(6), "{}", stderr(&again));
}

#[test]
fn amounts_that_are_none_are_refused() {
    let environment = Environment::new();
    for amount in ["1e3", "-1", "0.0000001", "1,5", "nan", "1000000000.01", ""] {
        let day = format!("--day={amount}");
        let output = environment.run(["budget", "set", "--service", "jobs", &day]);
        assert_eq!(output.status.code(), Some(2), "{amount}: {}", stderr(&output));
    }
    for args in [
        ["budget", "set", "--service", "jobs"].as_slice(),
        &["budget", "set", "--service", "coffee", "--day", "1"],
        &["budget", "unset", "--service", "jobs"],
        &["budget", "usage", "--by", "run", "--from", "2026-01-01"],
    ] {
        let output = environment.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn a_ledger_without_entries_lists_none() {
    let environment = Environment::new();
    let listed = environment.run([
        "--format",
        "json",
        "budget",
        "ls",
        "--from",
        "2026-01-01",
        "--until",
        "9999-12-31",
    ]);
    assert_success(&listed);
    assert!(listed.stdout.is_empty());
    let usage = environment.run(["--format", "json", "budget", "usage"]);
    assert_success(&usage);
    let lines = json_lines(&usage);
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["service"], "jobs");
    assert_eq!(lines[0]["settled_usd"], 0.0);
    let missing = environment.run(["budget", "ls", "--key", "nothing"]);
    assert_eq!(missing.status.code(), Some(6), "{}", stderr(&missing));
}

#[test]
fn password_of_the_database_is_not_told() {
    let environment = Environment::new();
    let output = environment
        .bashgym(["-vvv", "--format", "json", "budget", "show"])
        .env("BASHGYM_DATABASE_URL", "postgres://ada:geheim@127.0.0.1:1/gym")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(10));
    let said = format!("{}{}", stderr(&output), String::from_utf8_lossy(&output.stdout));
    assert!(said.contains("gym on 127.0.0.1"), "{said}");
    assert!(!said.contains("geheim"), "{said}");
}
