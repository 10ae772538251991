//! Damaged, hostile and odd logs: imported as far as they go, nothing panics.

#![expect(clippy::unwrap_used, reason = "test helpers outside of test functions")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_traces::{
    Agent, ImportEvent, ImportOptions, ImportSummary, Message, MessageKind, Problem, ProblemKind,
    SessionFile, Trace, import,
};
use proptest::prelude::*;

struct Imported {
    traces: Vec<Trace>,
    problems: Vec<Problem>,
    summary: ImportSummary,
}

fn import_all(logs: &[&[u8]], options: &ImportOptions) -> Imported {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> = logs
        .iter()
        .enumerate()
        .map(|(n, log)| {
            let path = dir.path().join(format!("{n}.jsonl"));
            fs::write(&path, log).unwrap();
            SessionFile::new(path).unwrap()
        })
        .collect();
    let (mut traces, mut problems) = (Vec::new(), Vec::new());
    let summary = import(&files, options, &mut |event| {
        match event {
            ImportEvent::Session(trace) => traces.push(*trace),
            ImportEvent::Problem(problem) => problems.push(problem),
            _ => {}
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    Imported {
        traces,
        problems,
        summary,
    }
}

fn import_one(log: &[u8]) -> Imported {
    import_all(&[log], &ImportOptions::default())
}

fn messages(imported: &Imported) -> Vec<Message> {
    imported.traces.iter().flat_map(|t| t.messages.clone()).collect()
}

fn fixture(agent: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/sessions")
        .join(agent);
    let mut files: Vec<PathBuf> = walkdir::WalkDir::new(folder)
        .into_iter()
        .map(|e| e.unwrap().into_path())
        .filter(|p| p.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    files.sort_by_key(|p| fs::metadata(p).unwrap().len());
    fs::read(&files[2]).unwrap()
}

const PROMPT: &str = r#"{"type":"user","uuid":"u1","parentUuid":null,"sessionId":"s","message":{"role":"user","content":"hello"}}"#;

fn answer(uuid: &str, text: &str) -> String {
    format!(
        r#"{{"type":"assistant","uuid":"{uuid}","parentUuid":"u1","sessionId":"s","requestId":"r","message":{{"id":"m-{uuid}","model":"m","content":[{{"type":"text","text":"{text}"}}],"usage":{{"input_tokens":1,"output_tokens":2}}}}}}"#
    )
}

#[test]
fn case_27_each_kind_of_broken_line_is_counted_and_the_rest_is_kept() {
    let mut log = Vec::new();
    for line in [
        PROMPT.as_bytes(),
        b"{\"type\":\"user\", oops}",
        b"\0\0\0\0\0\0\0\0",
        b"",
        b"[1, 2, 3]",
        b"{\"type\":\"assistant\",\"sessionId\":\"s\",\"message\":\"not an object\"}",
        b"{\"type\":\"brand-new-record\",\"sessionId\":\"s\"}",
        answer("a1", "bytes \u{fffd}").replace('\u{fffd}', "%").as_bytes(),
        answer("a2", "half \\ud83d pair").as_bytes(),
    ] {
        log.extend_from_slice(line);
        log.push(b'\n');
    }
    let at = log.iter().position(|&b| b == b'%').unwrap();
    log[at] = 0xFF;
    log.extend_from_slice(answer("a3", "cut").as_bytes());
    log.truncate(log.len() - 10);
    let got = import_one(&log);
    let kinds: Vec<_> = got.problems.iter().map(|p| (p.kind, p.line.unwrap())).collect();
    assert_eq!(
        kinds,
        [
            (ProblemKind::BadJson, 2),
            (ProblemKind::NulRun, 3),
            (ProblemKind::UnexpectedShape, 5),
            (ProblemKind::UnexpectedShape, 6),
            (ProblemKind::InvalidUtf8, 8),
            (ProblemKind::LoneSurrogate, 9),
            (ProblemKind::TruncatedLine, 10),
        ]
    );
    let texts: Vec<_> = messages(&got).into_iter().map(|m| m.text).collect();
    assert_eq!(texts, ["hello", "bytes \u{fffd}", "half \u{fffd} pair"]);
    let lost = &got.summary.lost;
    assert_eq!(lost["bad_json"], 1);
    assert_eq!(lost["unexpected_shape"], 2);
    assert_eq!(lost["truncated_line"], 1);
    assert_eq!(lost["record:brand-new-record"], 1);
}

#[test]
fn case_27_a_huge_line_is_skipped_at_the_limit() {
    let huge = answer("big", &"x".repeat(3 << 20));
    let log = [PROMPT, &huge, &answer("a1", "after")].join("\n");
    let options = ImportOptions {
        max_line_bytes: 1 << 20,
        ..ImportOptions::default()
    };
    let got = import_all(&[log.as_bytes()], &options);
    assert_eq!(got.problems.len(), 1);
    assert_eq!(
        (got.problems[0].kind, got.problems[0].line),
        (ProblemKind::LineTooLong, Some(2))
    );
    assert_eq!(messages(&got).last().unwrap().text, "after");
    // Within the limit the line is kept, and its text is cut and marked.
    let got = import_one(log.as_bytes());
    assert_eq!(got.problems, []);
    let long = &messages(&got)[1].text;
    assert!(long.len() < 300_000 && long.contains("bytes left out"));
    assert_eq!(got.traces[0].report.truncated_texts, 1);
}

#[test]
fn deep_nesting_is_a_problem_and_no_overflow() {
    let deep = format!(
        r#"{{"type":"user","uuid":"u2","sessionId":"s","message":{{"role":"user","content":{}{}}}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let got = import_one([PROMPT, &deep, &answer("a1", "after")].join("\n").as_bytes());
    assert_eq!(messages(&got).last().unwrap().text, "after");
}

#[test]
fn empty_and_foreign_files_are_named() {
    let got = import_all(
        &[
            b"",
            b"\n\n",
            b"{\n  \"a\": 1\n}\n",
            b"just text",
            PROMPT.as_bytes(),
        ],
        &ImportOptions::default(),
    );
    let kinds: Vec<_> = got.problems.iter().map(|p| p.kind).collect();
    let unknown = ProblemKind::UnknownAgent;
    assert_eq!(kinds, [ProblemKind::EmptyFile, unknown, unknown, unknown]);
    assert_eq!((got.summary.sessions, got.summary.files_skipped), (1, 4));
}

#[test]
fn files_of_other_forms_are_named_with_what_to_do() {
    let mut tar = vec![b'x'; 257];
    tar.extend_from_slice(b"ustar\x0000 and more");
    let files: [(&[u8], &str, &str); 4] = [
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03\n", "gzip", "gunzip"),
        (b"PK\x03\x04\x14\0\n\0", "zip", "unpack"),
        (&tar, "tar archive", "tar -xf"),
        (b"PAR1\x15\x04", "Parquet", "data scan"),
    ];
    for (bytes, what, next) in files {
        let found = import_one(bytes);
        let [problem] = found.problems.as_slice() else {
            panic!("{what}: {:?}", found.problems);
        };
        assert_eq!(problem.kind, ProblemKind::UnknownAgent);
        assert!(problem.reason.contains(what), "{}", problem.reason);
        assert!(problem.reason.contains(next), "{}", problem.reason);
    }
}

#[test]
fn case_26_a_compressed_codex_log_is_read() {
    let plain = fixture("codex");
    let compressed =
        ruzstd::encoding::compress_to_vec(plain.as_slice(), ruzstd::encoding::CompressionLevel::Fastest);
    assert!(compressed.len() < plain.len());
    assert_eq!(messages(&import_one(&compressed)), messages(&import_one(&plain)));
    let got = import_one(&compressed[..compressed.len() / 2]);
    assert_eq!(got.problems[0].kind, ProblemKind::Unreadable);
}

#[test]
fn case_26_the_codex_form_without_envelopes_is_read() {
    let log = [
        r#"{"id":"old-session","timestamp":"2025-06-01T10:00:00Z","instructions":null,"git":{"branch":"main"}}"#,
        r#"{"record_type":"state"}"#,
        r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"<environment_context>x</environment_context>"}]}"#,
        r#"{"type":"message","role":"user","content":[{"type":"input_text","text":"list files"}]}"#,
        r#"{"type":"reasoning","summary":[{"type":"summary_text","text":"look"}]}"#,
        r#"{"type":"function_call","name":"shell","arguments":"{\"command\":[\"ls\"]}","call_id":"c1"}"#,
        r#"{"type":"function_call_output","call_id":"c1","output":"{\"output\":\"a\\n\",\"metadata\":{\"exit_code\":2}}"}"#,
        r#"{"type":"message","role":"assistant","content":[{"type":"output_text","text":"one file"}]}"#,
    ]
    .join("\n");
    let got = import_one(log.as_bytes());
    assert_eq!(got.problems, []);
    let trace = &got.traces[0];
    assert_eq!(
        (trace.agent, trace.session_id.as_str()),
        (Agent::Codex, "old-session")
    );
    assert_eq!(trace.git.branch.as_deref(), Some("main"));
    assert_eq!(
        (
            trace.counts.prompts,
            trace.counts.tool_calls,
            trace.counts.tool_errors
        ),
        (1, 1, 1)
    );
    let result = trace
        .messages
        .iter()
        .find_map(|m| m.tool_result.as_ref())
        .unwrap();
    assert_eq!((result.content.as_str(), result.exit_status), ("a\n", Some(2)));
    assert_eq!(trace.messages.last().unwrap().text, "one file");
}

#[test]
fn case_26_a_codex_fork_counts_only_what_is_new() {
    let parent = String::from_utf8(fixture("codex")).unwrap();
    let meta = parent.lines().next().unwrap();
    let id = import_one(parent.as_bytes()).traces[0].session_id.clone();
    let fork_meta = meta.replacen(&id, "the-fork", 1).replacen(
        r#""payload":{"#,
        &format!(r#""payload":{{"forked_from_id":"{id}","#),
        1,
    );
    let tail = [
        r#"{"timestamp":"2026-12-01T00:00:00Z","type":"response_item","payload":{"type":"message","role":"user","content":[{"type":"input_text","text":"and now?"}]}}"#,
        r#"{"timestamp":"2026-12-01T00:00:01Z","type":"response_item","payload":{"type":"message","role":"assistant","content":[{"type":"output_text","text":"done"}]}}"#,
    ]
    .join("\n");
    let fork = format!("{fork_meta}\n{parent}{tail}\n");
    let got = import_all(&[parent.as_bytes(), fork.as_bytes()], &ImportOptions::default());
    let [first, second] = got.traces.as_slice() else {
        panic!("two sessions")
    };
    assert_eq!(second.session_id, "the-fork");
    assert!(second.related_session_ids.contains(&first.session_id));
    assert_eq!(
        (
            second.counts.prompts,
            second.counts.tool_calls,
            second.counts.api_calls
        ),
        (1, 0, 0)
    );
    assert_eq!(second.usage, bashgym_traces::TokenUsage::default());
    let new: Vec<_> = second
        .messages
        .iter()
        .filter(|m| !m.copied)
        .map(|m| m.text.as_str())
        .collect();
    assert_eq!(new, ["and now?", "done"]);
}

#[test]
fn a_sidechain_in_the_same_file_is_kept_apart() {
    let side = |uuid: &str, parent: &str, kind: &str| {
        format!(
            r#"{{"type":"{kind}","uuid":"{uuid}","parentUuid":{parent},"sessionId":"s","isSidechain":true,"message":{{"role":"{kind}","content":"{uuid}"}}}}"#
        )
    };
    let log = [
        PROMPT.to_owned(),
        side("x1", "null", "user"),
        side("x2", "\"x1\"", "assistant"),
        answer("a1", "main"),
        side("y1", "null", "user"),
    ]
    .join("\n");
    let got = import_one(log.as_bytes());
    let ids: Vec<_> = got
        .traces
        .iter()
        .map(|t| (t.session_id.as_str(), t.messages.len()))
        .collect();
    assert_eq!(ids, [("s", 2), ("s/sidechain-1", 2), ("s/sidechain-2", 1)]);
    assert_eq!(got.traces[1].parent_session_id.as_deref(), Some("s"));
    assert_eq!(got.traces[1].messages[0].kind, MessageKind::Delegated);
}

#[test]
fn the_sink_can_stop_the_import() {
    let dir = tempfile::tempdir().unwrap();
    let files: Vec<_> = (0..20)
        .map(|n| {
            let path = dir.path().join(format!("{n}.jsonl"));
            fs::write(&path, PROMPT).unwrap();
            SessionFile::new(path).unwrap()
        })
        .collect();
    for threads in [1, 4] {
        let options = ImportOptions {
            threads: std::num::NonZeroUsize::new(threads),
            ..ImportOptions::default()
        };
        let mut sessions = 0;
        let summary = import(&files, &options, &mut |event| {
            if matches!(event, ImportEvent::Session(_)) {
                sessions += 1;
            }
            if sessions == 3 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })
        .unwrap();
        assert_eq!(sessions, 3);
        assert!(summary.stopped);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_import_without_a_panic(log: Vec<u8>) {
        let got = import_one(&log);
        prop_assert_eq!(got.summary.files, 1);
    }

    #[test]
    fn any_json_after_a_known_record_imports_without_a_panic(
        values in prop::collection::vec("[{}\\[\\]\",:a-z0-9\\\\ ]{0,60}", 0..8),
        kind in prop::sample::select(vec!["user", "assistant", "system", "response_item", "event_msg", "session_meta"]),
    ) {
        let mut log = format!("{PROMPT}\n");
        for value in values {
            let fields = format!("\"timestamp\":\"t\",\"message\":{value},\"payload\":{value}");
            log = format!("{log}{{\"type\":\"{kind}\",{fields}}}\n");
        }
        prop_assert_eq!(import_one(log.as_bytes()).summary.sessions, 1);
    }

    #[test]
    fn a_cut_file_gives_the_messages_before_the_cut(
        agent in prop::sample::select(vec!["claude", "codex"]),
        at: prop::sample::Index,
    ) {
        let log = fixture(agent);
        let cut = at.index(log.len());
        let whole_lines = log[..cut].iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
        let got = import_one(&log[..cut]);
        let want = import_one(&log[..whole_lines]);
        // A cut right before a newline leaves the last line whole.
        if log[cut] != b'\n' {
            prop_assert_eq!(messages(&got), messages(&want));
        }
        prop_assert!(messages(&got).len() <= messages(&import_one(&log)).len());
    }

    #[test]
    fn damaged_bytes_never_panic(
        agent in prop::sample::select(vec!["claude", "codex"]),
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut log = fixture(agent);
        for (at, byte) in hits {
            let at = at.index(log.len());
            log[at] = byte;
        }
        let got = import_one(&log);
        prop_assert_eq!(got.summary.files, 1);
    }
}
