//! `bashgym sessions import --new`, `watch`, `archive` and standard input, as scripts use them.

mod common;

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::process::Stdio;

use common::{Environment, assert_success, fixtures, json_lines, stderr};

fn line(n: usize) -> String {
    format!(
        r#"{{"type":"user","uuid":"u{n}","sessionId":"s","timestamp":"2026-05-01T10:00:{n:02}Z","message":{{"role":"user","content":"prompt {n}"}}}}"#
    ) + "\n"
}

#[test]
fn only_what_is_new_is_told_again() {
    let environment = Environment::new();
    let logs = environment.path("logs");
    fs::create_dir(&logs).unwrap();
    let log = logs.join("s.jsonl");
    fs::write(&log, line(0) + &line(1)).unwrap();
    for command in [
        vec!["sessions", "import", "--new"],
        vec!["sessions", "watch", "--once"],
    ] {
        fs::write(&log, line(0) + &line(1)).unwrap();
        let look = || {
            let output = environment
                .bashgym(["--format", "json"])
                .args(&command)
                .arg(&logs)
                .output()
                .unwrap();
            assert_success(&output);
            json_lines(&output)
        };
        let session = |lines: &[serde_json::Value]| {
            let found = lines
                .iter()
                .find(|l| l["session_id"] == "s" || l["event"] == "session");
            found.map(|l| l.get("session").unwrap_or(l).clone())
        };
        let first = session(&look()).unwrap();
        assert_eq!(
            (&first["is_new"], &first["new_messages"]),
            (&true.into(), &2.into())
        );
        assert_eq!(session(&look()), None);
        let half = line(3);
        let mut file = OpenOptions::new().append(true).open(&log).unwrap();
        file.write_all((line(2) + &half[..30]).as_bytes()).unwrap();
        let grown = session(&look()).unwrap();
        assert_eq!(
            (&grown["is_new"], &grown["first_new"]),
            (&false.into(), &2.into())
        );
        assert_eq!(
            (&grown["new_messages"], &grown["prompts"]),
            (&1.into(), &3.into())
        );
        fs::write(&log, line(7)).unwrap();
        assert!(look().iter().any(|l| l["event"] == "rewritten"));
        // The other command begins with a log of its own.
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn standard_input_is_a_log_too() {
    let environment = Environment::new();
    let mut child = environment
        .bashgym(["--format", "json", "sessions", "import", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all((line(0) + &line(1)).as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_success(&output);
    let lines = json_lines(&output);
    assert_eq!(
        (&lines[0]["session_id"], &lines[0]["prompts"]),
        (&"s".into(), &2.into())
    );
    assert_eq!(lines[1]["summary"]["sessions"], 1);
}

#[test]
fn the_archive_gives_the_same_bytes_back() {
    let environment = Environment::new();
    let logs = environment.path("logs");
    fs::create_dir(&logs).unwrap();
    let log = logs.join("s.jsonl");
    fs::write(&log, line(0)).unwrap();
    let state = |output: &std::process::Output| json_lines(output)[0]["state"].clone();
    let add = || {
        let output = environment
            .bashgym(["--format", "json", "sessions", "archive", "add"])
            .arg(&logs)
            .output()
            .unwrap();
        assert_success(&output);
        output
    };
    assert_eq!(state(&add()), "new");
    OpenOptions::new()
        .append(true)
        .open(&log)
        .unwrap()
        .write_all(line(1).as_bytes())
        .unwrap();
    assert_eq!(state(&add()), "grown");
    assert_eq!(state(&add()), "unchanged");
    fs::remove_file(&log).unwrap();

    let listed = json_lines(&environment.run(["--format", "json", "sessions", "archive", "ls"]));
    let id = listed[0]["id"].as_str().unwrap();
    let restore = || {
        environment.run([
            "--format", "json", "sessions", "archive", "restore", id, "--out", "back",
        ])
    };
    let restored = restore();
    assert_success(&restored);
    let path = json_lines(&restored)[0]["restored"].as_str().unwrap().to_owned();
    assert_eq!(
        fs::read_to_string(environment.path("").join(path)).unwrap(),
        line(0) + &line(1)
    );
    let again = restore();
    assert_eq!(again.status.code(), Some(7), "{}", stderr(&again));
    let verified = environment.run(["--format", "json", "sessions", "archive", "verify"]);
    assert_success(&verified);
    assert_eq!(
        json_lines(&verified)[0]["summary"]["damaged"],
        serde_json::json!([])
    );
    let missing = environment.run(["sessions", "archive", "restore", "nothing", "--out", "back"]);
    assert_eq!(missing.status.code(), Some(6));
}

#[test]
fn escapes_of_a_log_never_reach_the_terminal() {
    let environment = Environment::new();
    let log = environment.path("evil.jsonl");
    let evil = line(0).replace("prompt 0", "\\u001b]0;owned\\u0007 \\u001b[2J");
    fs::write(&log, evil.replace("\"s\"", "\"\\u001b[31m\"")).unwrap();
    for command in [
        vec!["sessions", "import"],
        vec!["sessions", "show"],
        vec!["sessions", "watch", "--once"],
    ] {
        let output = environment
            .bashgym(["--format", "human"])
            .args(&command)
            .arg(&log)
            .output()
            .unwrap();
        assert_success(&output);
        let said = [output.stdout, output.stderr].concat();
        let raw = said.windows(2).any(|w| w == b"\x1b]")
            || said.windows(4).any(|w| w == b"\x1b[2J" || w == b"\x1b[31");
        assert!(
            !raw,
            "{command:?}: {}",
            String::from_utf8_lossy(&said).escape_debug()
        );
    }
}

#[test]
fn the_logs_of_every_agent_are_imported() {
    let environment = Environment::new();
    let output = environment
        .bashgym(["--format", "json", "sessions", "import"])
        .arg(fixtures().join("../agents"))
        .output()
        .unwrap();
    assert_success(&output);
    let lines = json_lines(&output);
    let agents = lines.last().unwrap()["summary"]["agents"].as_object().unwrap();
    let names: Vec<&str> = agents.keys().map(String::as_str).collect();
    assert_eq!(names, ["copilot_cli", "gemini_cli", "opencode", "pi"]);
    // A session of a database is found by its id.
    let shown = environment.run([
        "--format",
        "json",
        "sessions",
        "show",
        "33333333-aaaa-4bbb-8ccc-000000000001",
    ]);
    assert_success(&shown);
    assert_eq!(json_lines(&shown)[0]["agent"], "pi");
}
