//! Numbers counted by an independent script on real logs. The logs are not part of the project; without them the tests
//! say so and pass.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "test helpers outside of test functions"
)]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_traces::{
    ImportEvent, ImportOptions, ImportSummary, Problem, SessionSummary, TokenUsage, Trace,
    find_session_files, import,
};

fn shared_traces() -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/traces");
    if path.is_dir() {
        return Some(path);
    }
    println!("skipped: no real session logs at {}", path.display());
    None
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
fn case_25_real_claude_code_sessions_have_the_counts_of_the_outside_script() {
    let Some(dir) = shared_traces() else { return };
    let tokens = |input, output, cache_creation, cache_read| TokenUsage {
        input,
        output,
        cache_creation,
        cache_read,
    };
    for (file, prompts, tool_calls, tool_errors, thinking_blocks, api_calls, expected) in [
        (
            "claude_code_v2.0.76_opus45_skill_task.jsonl",
            3,
            22,
            0,
            15,
            15,
            tokens(116, 3467, 172_674, 672_271),
        ),
        (
            "claude_code_v2.1.17_sonnet45_errors_thinking.jsonl",
            3,
            38,
            10,
            32,
            32,
            tokens(615, 66, 128_878, 1_336_892),
        ),
        (
            "claude_code_v2.1.33_opus46_multi_tool.jsonl",
            1,
            16,
            1,
            2,
            14,
            tokens(16, 139, 36_239, 664_524),
        ),
    ] {
        let (traces, problems, _) = run(&[dir.join(file)]);
        assert_eq!(problems, [], "{file}");
        assert_eq!(traces.len(), 1, "{file}");
        let got = SessionSummary::from(&traces[0]);
        assert_eq!(
            (
                got.prompts,
                got.tool_calls,
                got.tool_errors,
                got.thinking_blocks,
                got.api_calls
            ),
            (prompts, tool_calls, tool_errors, thinking_blocks, api_calls),
            "{file}"
        );
        assert_eq!(got.tokens, expected, "{file}");
        assert!(got.lost.is_empty(), "{file}: {:?}", got.lost);
    }
}

#[test]
fn a_recording_tools_own_facts_agree() {
    let Some(dir) = shared_traces() else { return };
    let (traces, _, _) = run(&[dir.join("claude_code_v2.1.33_opus46_multi_tool.jsonl")]);
    let trace = &traces[0];
    assert_eq!(trace.session_id, "d19ec7f9-dfaf-4c65-a9ad-ab56240f23d8");
    for touched in [
        "cmd/entire/cli/session/phase_test.go",
        "docs/generated/.gitignore",
    ] {
        assert!(
            trace.files.written.iter().any(|f| f.ends_with(touched)),
            "{touched}: {:?}",
            trace.files.written
        );
    }
}

#[test]
fn case_26_no_known_record_type_is_lost() {
    let Some(dir) = shared_traces() else { return };
    let (traces, problems, summary) = run(&[
        dir.join("claude_code_v2.1.2xx_schema_coverage.jsonl"),
        dir.join("codex_v0.146-0.149_schema_coverage.jsonl"),
    ]);
    assert_eq!(problems, []);
    assert!(
        !summary.lost.keys().any(|kind| kind.starts_with("record:")),
        "{:?}",
        summary.lost
    );
    for (file, lines) in traces
        .iter()
        .filter(|t| !t.is_subagent())
        .map(|t| (&t.source, &t.report))
    {
        let understood: u64 = lines.records.values().sum();
        assert_eq!(
            understood + lines.repeated_lines,
            lines.lines,
            "{}",
            file.display()
        );
    }
}

#[test]
fn case_26_the_other_agents_have_the_counts_of_the_outside_script() {
    let Some(dir) = shared_traces() else { return };
    let (traces, problems, summary) = run(&[dir.join("gemini_cli_gemini25_shell_write.json")]);
    assert_eq!(problems, []);
    let records = &traces[0].report.records;
    assert_eq!((records["user"], records["gemini"], records["info"]), (1, 11, 1));
    assert_eq!((summary.prompts, summary.tool_calls), (1, 9));
    let sum = summary.tokens;
    assert_eq!(
        sum.input + sum.output + sum.cache_creation + sum.cache_read,
        133_187
    );
    assert!(summary.lost.is_empty(), "{:?}", summary.lost);

    let (traces, problems, summary) = run(&[dir.join("opencode_storage_v2")]);
    assert_eq!(problems, []);
    let results: Vec<_> = traces
        .iter()
        .flat_map(|trace| &trace.messages)
        .filter_map(|message| message.tool_result.as_ref())
        .map(|result| (result.tool_call_id.as_str(), result.is_error, result.exit_status))
        .collect();
    assert_eq!(
        results,
        [
            ("call_1", false, Some(0)),
            ("call_large_1", true, Some(1)),
            ("call_legacy_1", false, None)
        ]
    );
    assert_eq!((summary.sessions, summary.prompts, summary.tool_calls), (3, 4, 3));
    assert_eq!(summary.lost, [("block:file".to_owned(), 1)].into());

    let (traces, problems, summary) = run(&[dir.join("copilot_v1.0.80_schema_coverage.jsonl")]);
    assert_eq!(problems, []);
    assert!(summary.lost.is_empty(), "{:?}", summary.lost);
    let understood: u64 = traces.iter().flat_map(|t| t.report.records.values()).sum();
    assert_eq!(understood, traces[0].report.lines);
}

#[test]
fn the_whole_corpus_imports_in_order_with_any_number_of_threads() {
    let Some(dir) = shared_traces() else { return };
    let files = find_session_files(&[dir.join("corpus")]).unwrap();
    let mut runs = [1, 2, 5].map(|threads| {
        let options = ImportOptions {
            threads: std::num::NonZeroUsize::new(threads),
            ..ImportOptions::default()
        };
        let mut events = Vec::new();
        let summary = import(&files, &options, &mut |event| {
            events.push(serde_json::to_string(&event).unwrap());
            ControlFlow::Continue(())
        });
        (events, summary.unwrap())
    });
    let summary = runs[0].1.clone();
    assert_eq!(summary.sessions, 35);
    assert_eq!(
        (summary.tool_calls, summary.tool_errors, summary.thinking_blocks),
        (1415, 43, 770)
    );
    assert_eq!(summary.api_calls, 1375);
    assert_eq!(
        summary.tokens,
        TokenUsage {
            input: 20_420,
            output: 114_457,
            cache_creation: 5_984_290,
            cache_read: 117_479_345
        }
    );
    assert_eq!(summary.lost["bad_json"], 2);
    runs.sort_by_key(|(events, _)| events.len());
    assert!(runs[0] == runs[1] && runs[1] == runs[2]);
}
