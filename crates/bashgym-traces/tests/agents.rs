//! Gemini CLI, OpenCode, Copilot CLI and Pi: what their importers find in the sessions made for them.

#![expect(clippy::unwrap_used, reason = "test helpers outside of test functions")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_traces::{
    Agent, AgentHomes, FollowEvent, ImportEvent, ImportOptions, ImportState, Message, MessageKind, Problem,
    ProblemKind, SessionFollower, TokenUsage, Trace, detect_agent, find_session_files, import, import_reader,
};

fn agents() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/agents")
}

fn run(path: &Path) -> (Vec<Trace>, Vec<Problem>) {
    let files = find_session_files(&[path]).unwrap();
    let (mut traces, mut problems) = (Vec::new(), Vec::new());
    import(&files, &ImportOptions::default(), &mut |event| {
        match event {
            ImportEvent::Session(trace) => traces.push(*trace),
            ImportEvent::Problem(problem) => problems.push(problem),
            _ => {}
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    (traces, problems)
}

fn of<'t>(traces: &'t [Trace], id: &str) -> &'t Trace {
    traces.iter().find(|trace| trace.session_id == id).unwrap()
}

fn said(trace: &Trace) -> Vec<(MessageKind, &str)> {
    let live = trace.messages.iter().filter(|message| !message.rewound);
    live.map(|message| (message.kind, message.text.as_str()))
        .collect()
}

fn results(trace: &Trace) -> Vec<(&str, bool, Option<i32>)> {
    let results = trace
        .messages
        .iter()
        .filter_map(|message| message.tool_result.as_ref());
    results
        .map(|r| (r.tool_call_id.as_str(), r.is_error, r.exit_status))
        .collect()
}

fn tokens(input: u64, output: u64, cache_creation: u64, cache_read: u64) -> TokenUsage {
    TokenUsage {
        input,
        output,
        cache_creation,
        cache_read,
    }
}

#[test]
fn case_26_gemini_as_one_object_and_as_lines() {
    let (traces, problems) = run(&agents().join("gemini"));
    assert_eq!(problems, []);
    assert_eq!(traces.len(), 3);
    let object = of(&traces, "11111111-aaaa-4bbb-8ccc-000000000001");
    let lines = of(&traces, "11111111-aaaa-4bbb-8ccc-000000000002");
    for trace in [object, lines] {
        assert_eq!(trace.agent, Agent::GeminiCli);
        assert_eq!(
            said(trace),
            [
                (MessageKind::Prompt, "why does the kiln test fail?"),
                (MessageKind::Assistant, "I will run the tests."),
                (MessageKind::ToolResult, ""),
                (MessageKind::ToolResult, ""),
                (MessageKind::Assistant, "The limit in heat.c is wrong."),
            ]
        );
        assert_eq!(
            results(trace),
            [
                ("run_shell_command-1", true, Some(2)),
                ("read_file-2", false, None)
            ]
        );
        assert!(trace.files.read.contains("/home/dev/kiln/src/heat.c"));
        assert_eq!(
            trace
                .messages
                .iter()
                .filter(|m| !m.rewound)
                .find_map(|m| m.thinking.as_deref()),
            Some("Looking\n\nThe tests first.")
        );
        assert!(trace.report.lost.is_empty());
    }
    assert_eq!(object.usage, tokens(700, 55, 0, 1400));
    // The message that was taken back is kept, and marked.
    assert_eq!(lines.messages.iter().filter(|m| m.rewound).count(), 2);
    let side = of(&traces, "side-1");
    assert_eq!(side.parent_session_id.as_deref(), Some(lines.session_id.as_str()));
    assert_eq!(side.cwd.as_deref(), Some("/home/dev/kiln"));
    assert_eq!(side.messages[0].kind, MessageKind::Delegated);
}

#[test]
fn a_cut_gemini_object_gives_the_messages_before_the_cut() {
    let file = find_session_files(&[agents().join("gemini")])
        .unwrap()
        .into_iter()
        .find(|f| f.path.extension().unwrap() == "json")
        .unwrap();
    let whole = fs::read(&file.path).unwrap();
    let cut = whole.windows(4).position(|w| w == b"\"g3\"").unwrap();
    let mut traces = Vec::new();
    let mut kinds = Vec::new();
    import_reader(
        &whole[..cut],
        Path::new("-"),
        &ImportOptions::default(),
        &mut |event| {
            match event {
                ImportEvent::Session(trace) => traces.push(*trace),
                ImportEvent::Problem(problem) => kinds.push(problem.kind),
                _ => {}
            }
            ControlFlow::Continue(())
        },
    )
    .unwrap();
    assert_eq!(kinds, [ProblemKind::TruncatedLine]);
    assert_eq!((traces[0].messages.len(), traces[0].counts.tool_calls), (4, 2));
}

#[test]
fn case_26_copilot_with_a_subagent() {
    let (traces, problems) = run(&agents().join("copilot"));
    assert_eq!(problems, []);
    let [main, side] = traces.as_slice() else {
        panic!("two sessions")
    };
    assert_eq!(
        said(main),
        [
            (MessageKind::Prompt, "count the threads"),
            (MessageKind::Assistant, ""),
            (MessageKind::ToolResult, ""),
            (MessageKind::ToolResult, ""),
            (MessageKind::Assistant, "I cannot count them."),
        ]
    );
    assert_eq!(results(main), [("t1", true, None), ("t2", false, None)]);
    let arguments: Vec<_> = main.messages[1]
        .tool_calls
        .iter()
        .map(|c| c.arguments.get())
        .collect();
    assert_eq!(
        arguments,
        [r#"{"command":"wc -l threads"}"#, r#"{"prompt":"weigh them"}"#]
    );
    assert_eq!(main.messages[1].thinking.as_deref(), Some("I should look."));
    assert_eq!(main.git.remote.as_deref(), Some("example/loom"));
    assert_eq!(main.usage, tokens(300, 23, 0, 50));
    assert_eq!(
        main.report.lost,
        BTreeMap::from([("record:session.brand_new".to_owned(), 1)])
    );
    assert_eq!(side.session_id, format!("{}/t2", main.session_id));
    assert_eq!(said(side), [(MessageKind::Assistant, "They weigh 3 g.")]);
}

#[test]
fn case_26_pi_with_a_branch_and_a_fork() {
    let (traces, problems) = run(&agents().join("pi"));
    assert_eq!(problems, []);
    let [first, fork] = traces.as_slice() else {
        panic!("two sessions")
    };
    let kinds: Vec<_> = said(first);
    assert_eq!(kinds[4], (MessageKind::Prompt, "take blue then"));
    assert!(
        !kinds.iter().any(|(_, text)| *text == "take red then"),
        "{kinds:?}"
    );
    assert_eq!(
        &kinds[6..8],
        [
            (MessageKind::Command, "!git status"),
            (MessageKind::CommandOutput, "clean")
        ]
    );
    assert_eq!(results(first), [("k1", true, Some(2)), ("k2", false, None)]);
    assert_eq!(first.usage, tokens(30, 13, 6, 14));
    assert_eq!((first.counts.compactions, first.counts.thinking_blocks), (1, 1));
    assert_eq!(
        first.report.lost,
        BTreeMap::from([("record:a_new_kind".to_owned(), 1)])
    );
    assert_eq!(
        (fork.counts.prompts, fork.counts.tool_calls, fork.usage),
        (1, 0, TokenUsage::default())
    );
    assert!(fork.related_session_ids.contains(&first.session_id));
}

#[test]
fn case_26_opencode_is_the_same_from_files_and_from_databases() {
    let messages = |folder: &str| -> Vec<Message> {
        let (traces, problems) = run(&agents().join("opencode").join(folder));
        assert_eq!(problems, [], "{folder}");
        let ids: Vec<_> = traces.iter().map(|trace| trace.session_id.as_str()).collect();
        assert_eq!(ids, ["ses_1", "ses_2"], "{folder}");
        assert_eq!(traces[1].parent_session_id.as_deref(), Some("ses_1"));
        assert_eq!(traces[0].counts.tool_calls, 22, "{folder}");
        assert_eq!(
            traces[0].report.lost,
            BTreeMap::from([
                ("block:file".to_owned(), 1),
                ("record:part/something-new".to_owned(), 1)
            ]),
            "{folder}"
        );
        assert_eq!(traces[0].usage, tokens(220, 297, 44, 110), "{folder}");
        traces.into_iter().flat_map(|trace| trace.messages).collect()
    };
    let tree = messages("storage");
    assert_eq!(tree[0].kind, MessageKind::Prompt);
    assert_eq!(tree[1].kind, MessageKind::Injected);
    assert!(tree.iter().any(|m| m.kind == MessageKind::Interrupt));
    assert!(tree.iter().any(|m| m.text.contains("½ done 😀")));
    // The files are indented and the rows are not, so arguments are compared as values.
    let values = |messages: &[Message]| serde_json::to_value(messages).unwrap();
    for database in ["opencode", "opencode-noindex", "opencode-wal"] {
        assert!(values(&messages(database)) == values(&tree), "{database}");
    }
}

#[test]
fn a_damaged_database_is_a_problem_and_no_panic() {
    let folder = agents().join("opencode");
    for (name, cuts) in [("opencode/opencode.db", 40), ("opencode-wal/opencode-wal.db", 10)] {
        let whole = fs::read(folder.join(name)).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("opencode.db");
        for n in 0..cuts {
            fs::write(&path, &whole[..whole.len() * n / cuts]).unwrap();
            run(&path);
        }
        let mut seed = 7_u64;
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..30 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(seed >> 33).unwrap() % bytes.len();
                bytes[at] = seed.to_le_bytes()[6];
            }
            fs::write(&path, &bytes).unwrap();
            run(&path);
        }
    }
}

#[test]
fn every_agent_is_recognised_and_its_folders_are_found() {
    let home = tempfile::tempdir().unwrap();
    let at = |path: &str| home.path().join(path);
    let copy = |from: &str, to: &str| {
        let source = agents().join(from);
        for entry in walkdir::WalkDir::new(&source) {
            let entry = entry.unwrap();
            let target = at(to).join(entry.path().strip_prefix(&source).unwrap());
            if entry.file_type().is_dir() {
                fs::create_dir_all(target).unwrap();
            } else {
                fs::copy(entry.path(), target).unwrap();
            }
        }
    };
    copy("gemini", ".gemini");
    copy("copilot/session-state", "elsewhere/session-state");
    copy("pi/sessions", "pi-here/sessions");
    copy("opencode/storage", "data/opencode/storage");
    copy("opencode/opencode", "data/opencode");
    let homes = AgentHomes {
        xdg_data_home: Some(at("data")),
        copilot_home: Some(at("elsewhere")),
        pi_agent_dir: Some(at("pi-here")),
        ..AgentHomes::new(home.path())
    };
    let folders = homes.folders();
    let mut agents: Vec<_> = folders.iter().map(|folder| folder.agent).collect();
    agents.dedup();
    assert_eq!(
        agents,
        [Agent::GeminiCli, Agent::OpenCode, Agent::CopilotCli, Agent::Pi]
    );
    for folder in &folders {
        // Nothing but sessions is listed: no message, no part, no list of prompts.
        for file in find_session_files(&[&folder.path]).unwrap() {
            assert_eq!(
                detect_agent(&file.path).unwrap(),
                Some(folder.agent),
                "{}",
                file.path.display()
            );
        }
    }
    assert_eq!(AgentHomes::new(at("nobody")).folders(), []);
}

#[test]
fn a_session_in_a_tree_that_grows_tells_only_its_new_messages() {
    let dir = tempfile::tempdir().unwrap();
    let put = |path: &str, json: &str| {
        let path = dir.path().join("storage").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, json).unwrap();
    };
    put(
        "session/p/ses_1.json",
        r#"{"id":"ses_1","projectID":"p","directory":"/d","time":{"created":1775120400000}}"#,
    );
    put(
        "message/ses_1/msg_1.json",
        r#"{"id":"msg_1","role":"user","time":{"created":1775120400000}}"#,
    );
    put(
        "part/msg_1/prt_1.json",
        r#"{"id":"prt_1","type":"text","text":"go"}"#,
    );
    let mut follower = SessionFollower::new(ImportOptions::default(), ImportState::new(), 4);
    let poll = |follower: &mut SessionFollower| {
        let mut updates = Vec::new();
        let files = find_session_files(&[dir.path()]).unwrap();
        follower
            .poll(&files, &mut |event| {
                if let FollowEvent::Session(update) = event {
                    updates.push((
                        update.first_new,
                        update.changed.clone(),
                        update.trace.messages.len(),
                    ));
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        updates
    };
    assert_eq!(poll(&mut follower), [(0, vec![], 1)]);
    assert_eq!(poll(&mut follower), []);
    put(
        "message/ses_1/msg_2.json",
        r#"{"id":"msg_2","role":"assistant","time":{"created":1775120401000}}"#,
    );
    put(
        "part/msg_2/prt_2.json",
        r#"{"id":"prt_2","type":"text","text":"I"}"#,
    );
    assert_eq!(poll(&mut follower), [(1, vec![], 2)]);
    // The answer goes on in the same file.
    put(
        "part/msg_2/prt_2.json",
        r#"{"id":"prt_2","type":"text","text":"I went"}"#,
    );
    assert_eq!(poll(&mut follower), [(2, vec![1], 2)]);
}
