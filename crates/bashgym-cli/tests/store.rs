//! `bashgym store`, as scripts use it.

mod common;

use std::os::unix::fs::PermissionsExt;

use common::{Environment, assert_success, json_lines, stderr};

#[test]
fn store_is_backed_up_and_restored() {
    let environment = Environment::new();
    assert_success(&environment.run(["budget", "set", "--service", "jobs", "--day", "1.25"]));
    let file = environment.path("gym.backup");
    let file = file.to_str().unwrap();
    let output = environment.run(["--format", "json", "store", "backup", file]);
    assert_success(&output);
    let told = json_lines(&output).pop().unwrap();
    assert_eq!(
        (told["event"].as_str(), told["kind"].as_str()),
        (Some("backup"), Some("sqlite"))
    );
    let mode = std::fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let again = environment.run(["store", "backup", file]);
    assert_eq!(again.status.code(), Some(7), "{}", stderr(&again));

    let other = Environment::new();
    assert_success(&other.run(["store", "restore", file]));
    let shown = other.run(["--format", "json", "budget", "show"]);
    assert_eq!(json_lines(&shown).pop().unwrap()["cap_usd"]["jobs"], 1.25);

    assert_success(&other.run(["budget", "set", "--service", "jobs", "--day", "9"]));
    let full = other.run(["store", "restore", file]);
    assert_eq!(full.status.code(), Some(7), "{}", stderr(&full));
    assert!(stderr(&full).contains("--replace"), "{}", stderr(&full));
    let shown = other.run(["--format", "json", "budget", "show"]);
    assert_eq!(json_lines(&shown).pop().unwrap()["cap_usd"]["jobs"], 9.0);
    assert_success(&other.run(["store", "restore", file, "--replace"]));
    let shown = other.run(["--format", "json", "budget", "show"]);
    assert_eq!(json_lines(&shown).pop().unwrap()["cap_usd"]["jobs"], 1.25);

    let missing = other.run(["store", "restore", "never.backup"]);
    assert_eq!(missing.status.code(), Some(6), "{}", stderr(&missing));
}

#[test]
fn store_tells_what_is_in_it_and_whether_it_is_whole() {
    let environment = Environment::new();
    assert_success(&environment.run(["budget", "set", "--service", "jobs", "--day", "1"]));
    let output = environment.run(["--format", "json", "store", "info"]);
    assert_success(&output);
    let told = json_lines(&output).pop().unwrap();
    assert!(told["place"].as_str().unwrap().ends_with("bashgym.db"));
    let rows = told["rows"].as_array().unwrap();
    let caps = rows.iter().find(|row| row["table"] == "ledger_caps").unwrap();
    assert_eq!(caps["rows"], 1);
    assert_eq!(told["damage"], serde_json::json!([]));
    let human = environment.run(["--format", "human", "store", "info"]);
    assert!(String::from_utf8_lossy(&human.stdout).contains("ledger_caps"));
}
