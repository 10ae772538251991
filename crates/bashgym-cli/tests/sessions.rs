//! `bashgym sessions` and `bashgym data build`: the JSON that scripts rely on.

mod common;

use common::{Environment, assert_success, fixtures, json_lines};

#[test]
fn import_prints_a_line_a_session_and_a_summary() {
    let environment = Environment::new();
    let output = environment
        .bashgym(["--format", "json", "sessions", "import"])
        .arg(fixtures())
        .output()
        .unwrap();
    assert_success(&output);
    let lines = json_lines(&output);
    let (summary, rest) = lines.split_last().unwrap();
    let sessions: Vec<_> = rest
        .iter()
        .filter(|line| line.get("session_id").is_some())
        .collect();
    assert_eq!(summary["event"], "summary");
    assert_eq!(
        summary["summary"]["sessions"].as_u64(),
        Some(sessions.len() as u64)
    );
    for session in &sessions {
        for key in [
            "agent",
            "session_id",
            "prompts",
            "tool_calls",
            "tool_errors",
            "thinking_blocks",
            "api_calls",
            "lost",
        ] {
            assert!(session.get(key).is_some(), "{key} is missing in {session}");
        }
        for key in ["input", "output", "cache_creation", "cache_read"] {
            assert!(
                session["tokens"][key].is_u64(),
                "tokens.{key} is missing in {session}"
            );
        }
    }
    let agents: std::collections::BTreeSet<_> = sessions
        .iter()
        .map(|session| session["agent"].as_str().unwrap())
        .collect();
    assert!(
        agents.contains("claude_code") && agents.contains("codex"),
        "{agents:?}"
    );

    let id = sessions[0]["session_id"].as_str().unwrap();
    let shown = environment.run(["--format", "json", "sessions", "show", id]);
    assert_success(&shown);
    assert_eq!(json_lines(&shown)[0]["session_id"], id);
}

#[test]
fn the_same_sessions_and_seed_build_the_same_bytes() {
    let environment = Environment::new();
    let build = |out: &str| {
        let output = environment
            .bashgym(["data", "build", "--seed", "7", "--out", out])
            .arg(fixtures())
            .output()
            .unwrap();
        assert_success(&output);
    };
    build("one");
    build("two");
    for file in ["train.jsonl", "val.jsonl", "metadata.json", "README.md"] {
        let read = |dir: &str| std::fs::read(environment.path(dir).join(file)).unwrap();
        assert!(read("one") == read("two"), "{file} differs");
        assert!(!read("one").is_empty(), "{file} is empty");
    }
}
