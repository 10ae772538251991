//! The sessions that ship with the project: what the importer finds against what their generator counted.

#![expect(clippy::unwrap_used, reason = "test helpers outside of test functions")]

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_traces::{
    Agent, ImportEvent, ImportOptions, ImportSummary, MessageKind, Problem, ProblemKind, Role,
    SessionSummary, TokenUsage, Trace, find_session_files, import,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Expected {
    file: String,
    agent: Agent,
    session_id: String,
    prompts: u64,
    tool_calls: u64,
    tool_errors: u64,
    thinking_blocks: u64,
    api_calls: u64,
    tokens: TokenUsage,
    lost: BTreeMap<String, u64>,
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sessions")
}

fn run(paths: &[PathBuf]) -> (Vec<Trace>, Vec<Problem>, ImportSummary) {
    let files = find_session_files(paths).unwrap();
    let (mut traces, mut problems) = (Vec::new(), Vec::new());
    let summary = import(&files, &ImportOptions::default(), &mut |event| {
        match event {
            ImportEvent::Session(trace) => traces.push(*trace),
            ImportEvent::Problem(problem) => problems.push(problem),
            _ => {}
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    (traces, problems, summary)
}

#[test]
fn every_session_has_the_counts_its_generator_wrote_down() {
    let expected: Vec<Expected> = serde_json::from_str(include_str!("fixtures.expected.json")).unwrap();
    let (traces, _, summary) = run(&[fixtures()]);
    assert_eq!(summary.sessions, expected.len() as u64);
    let found: HashMap<PathBuf, SessionSummary> = traces
        .iter()
        .map(|t| (t.source.clone(), SessionSummary::from(t)))
        .collect();
    for want in expected {
        let got = &found[&fixtures().join(&want.file)];
        assert_eq!(
            (got.agent, &got.session_id),
            (want.agent, &want.session_id),
            "{}",
            want.file
        );
        assert_eq!(
            (
                got.prompts,
                got.tool_calls,
                got.tool_errors,
                got.thinking_blocks,
                got.api_calls
            ),
            (
                want.prompts,
                want.tool_calls,
                want.tool_errors,
                want.thinking_blocks,
                want.api_calls
            ),
            "{}",
            want.file
        );
        assert_eq!(got.tokens, want.tokens, "{}", want.file);
        assert_eq!(got.lost, want.lost, "{}", want.file);
    }
}

#[test]
fn damage_is_reported_with_file_and_line() {
    let (_, problems, summary) = run(&[fixtures()]);
    let kinds: Vec<_> = problems.iter().map(|p| p.kind).collect();
    for kind in [
        ProblemKind::BadJson,
        ProblemKind::TruncatedLine,
        ProblemKind::LoneSurrogate,
    ] {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    assert!(problems.iter().all(|p| p.line.is_some() && p.file.is_file()));
    assert_eq!(summary.lost["bad_json"] + summary.lost["truncated_line"], 2);
    assert_eq!(summary.repaired["lone_surrogate"], 2);
}

#[test]
fn arguments_are_the_logged_bytes() {
    #[derive(Deserialize)]
    struct Line {
        message: Option<Body>,
    }
    #[derive(Deserialize)]
    struct Body {
        content: serde_json::Value,
    }
    let (traces, _, _) = run(&[fixtures().join("claude")]);
    let mut checked = 0;
    for trace in &traces {
        let text = fs::read_to_string(&trace.source).unwrap();
        let mut logged = HashMap::new();
        for line in text.lines() {
            let Ok(Line { message: Some(body) }) = serde_json::from_str::<Line>(line) else {
                continue;
            };
            for block in body.content.as_array().into_iter().flatten() {
                if block["type"] == "tool_use" {
                    logged.insert(
                        block["id"].as_str().unwrap().to_owned(),
                        (block["input"].clone(), line),
                    );
                }
            }
        }
        for call in trace.messages.iter().flat_map(|m| &m.tool_calls) {
            let (input, line) = &logged[&call.id];
            assert!(line.contains(call.arguments.get()));
            assert_eq!(
                &serde_json::from_str::<serde_json::Value>(call.arguments.get()).unwrap(),
                input
            );
            checked += 1;
        }
    }
    assert!(checked > 100);
}

#[test]
fn blocks_of_one_answer_are_one_message_and_results_find_their_call() {
    let (traces, _, _) = run(&[fixtures()]);
    for agent in [Agent::ClaudeCode, Agent::Codex] {
        let parallel = traces
            .iter()
            .filter(|t| t.agent == agent)
            .flat_map(|t| &t.messages);
        assert!(parallel.filter(|m| m.tool_calls.len() > 1).count() > 5, "{agent}");
    }
    for trace in &traces {
        let mut ids = Vec::new();
        for message in &trace.messages {
            assert_eq!(message.tool_result.is_some(), message.role == Role::Tool);
            ids.extend(message.tool_calls.iter().map(|c| &c.id));
            if let Some(result) = &message.tool_result {
                assert!(ids.contains(&&result.tool_call_id), "{}", trace.source.display());
            }
        }
    }
}

#[test]
fn a_failed_command_has_its_exit_status() {
    let (traces, _, _) = run(&[fixtures()]);
    for agent in [Agent::ClaudeCode, Agent::Codex] {
        let results: Vec<_> = traces
            .iter()
            .filter(|t| t.agent == agent)
            .flat_map(|t| &t.messages)
            .filter_map(|m| m.tool_result.as_ref())
            .collect();
        assert!(
            results.iter().any(|r| r.exit_status == Some(0) && !r.is_error),
            "{agent}"
        );
        assert!(
            results.iter().any(|r| r.exit_status == Some(1) && r.is_error),
            "{agent}"
        );
        assert!(
            !results.iter().any(|r| r.exit_status == Some(0) && r.is_error),
            "{agent}"
        );
    }
}

#[test]
fn a_resumed_session_counts_only_what_is_new() {
    let (traces, _, _) = run(&[fixtures()]);
    let resumed: Vec<_> = traces.iter().filter(|t| t.report.copied_messages > 0).collect();
    assert_eq!(resumed.len(), 1);
    let original = traces
        .iter()
        .find(|t| resumed[0].related_session_ids.contains(&t.session_id))
        .unwrap();
    assert_eq!(original.messages.len() as u64, resumed[0].report.copied_messages);
    assert!(
        resumed[0]
            .messages
            .iter()
            .any(|m| !m.copied && m.kind == MessageKind::Prompt)
    );

    // The copy alone has everything.
    let (alone, _, _) = run(std::slice::from_ref(&resumed[0].source));
    assert_eq!(alone[0].report.copied_messages, 0);
    assert_eq!(
        alone[0].counts.api_calls,
        original.counts.api_calls + resumed[0].counts.api_calls
    );
}

#[test]
fn subagents_are_traces_of_their_own() {
    let (traces, _, _) = run(&[fixtures()]);
    let subagents: Vec<_> = traces.iter().filter(|t| t.is_subagent()).collect();
    assert!(!subagents.is_empty());
    for subagent in subagents {
        let parent = subagent.parent_session_id.as_ref().unwrap();
        assert!(traces.iter().any(|t| t.session_id == *parent && !t.is_subagent()));
        assert_eq!(subagent.messages[0].kind, MessageKind::Delegated);
        assert_eq!(subagent.counts.prompts, 0);
    }
}

#[test]
fn what_no_one_typed_is_told_apart() {
    let (traces, _, _) = run(&[fixtures()]);
    let mut kinds: BTreeMap<String, u64> = BTreeMap::new();
    for trace in &traces {
        for (kind, n) in &trace.report.not_typed {
            *kinds.entry(kind.clone()).or_default() += n;
        }
    }
    for kind in [
        "command",
        "command_output",
        "compact_summary",
        "delegated",
        "injected",
        "interrupt",
    ] {
        assert!(kinds.contains_key(kind), "{kind} in {kinds:?}");
    }
    assert!(traces.iter().any(|t| t.counts.compactions == 1));
    let rewound: Vec<_> = traces
        .iter()
        .flat_map(|t| &t.messages)
        .filter(|m| m.rewound)
        .collect();
    assert!(
        rewound.iter().any(|m| m.text.starts_with("rewrite ")),
        "{rewound:?}"
    );
    assert!(!rewound.iter().any(|m| m.text.starts_with("only tell me")));
}

#[test]
fn git_facts_files_and_times_are_read() {
    let (traces, _, _) = run(&[fixtures()]);
    for trace in &traces {
        assert!(trace.cwd.as_ref().unwrap().starts_with("/home/dev/"));
        assert!(trace.git.branch.is_some());
        assert!(trace.started_at.unwrap() < trace.ended_at.unwrap());
        assert_eq!(trace.models.len(), 1);
        assert_eq!(trace.git.remote.is_some(), trace.agent == Agent::Codex);
    }
    for agent in [Agent::ClaudeCode, Agent::Codex] {
        assert!(
            traces
                .iter()
                .any(|t| t.agent == agent && !t.files.written.is_empty()),
            "{agent}"
        );
    }
}

#[test]
fn traces_survive_a_round_trip_through_json() {
    let (traces, _, _) = run(&[fixtures()]);
    for trace in traces {
        let json = serde_json::to_string(&trace).unwrap();
        assert_eq!(serde_json::from_str::<Trace>(&json).unwrap(), trace);
        let summary = SessionSummary::from(&trace);
        let value = serde_json::to_value(&summary).unwrap();
        for key in [
            "agent",
            "session_id",
            "prompts",
            "tool_calls",
            "tool_errors",
            "thinking_blocks",
            "api_calls",
            "tokens",
            "lost",
            "file",
            "started_at",
            "model",
        ] {
            assert!(value.get(key).is_some(), "{key}");
        }
    }
}
