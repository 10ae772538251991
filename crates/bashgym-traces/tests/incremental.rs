//! Files that grow, wait, are replaced or move: what is new is told once, with ids and places that do not change.

#![expect(clippy::unwrap_used, reason = "test helpers outside of test functions")]

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_traces::{
    FollowEvent, FollowSummary, ImportEvent, ImportOptions, ImportState, ImportStateStore, JsonStateFile,
    Message, ProblemKind, SessionFollower, SessionSummary, SessionUpdate, Trace, find_session_files, import,
};
use proptest::prelude::*;

struct Polled {
    updates: Vec<SessionUpdate>,
    rewritten: usize,
    problems: Vec<ProblemKind>,
    summary: FollowSummary,
}

fn poll(follower: &mut SessionFollower, folder: &Path) -> Polled {
    let files = find_session_files(&[folder]).unwrap();
    let (mut updates, mut problems, mut rewritten) = (Vec::new(), Vec::new(), 0);
    let summary = follower
        .poll(&files, &mut |event| {
            match event {
                FollowEvent::Session(update) => updates.push(*update),
                FollowEvent::Problem(problem) => problems.push(problem.kind),
                FollowEvent::Rewritten { .. } => rewritten += 1,
                _ => {}
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    Polled {
        updates,
        rewritten,
        problems,
        summary,
    }
}

fn new_follower(state: ImportState) -> SessionFollower {
    SessionFollower::new(ImportOptions::default(), state, 8)
}

fn whole(folder: &Path) -> Vec<Trace> {
    let mut traces = Vec::new();
    let files = find_session_files(&[folder]).unwrap();
    import(&files, &ImportOptions::default(), &mut |event| {
        if let ImportEvent::Session(trace) = event {
            traces.push(*trace);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    traces
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn line(n: usize) -> String {
    let kind = if n.is_multiple_of(2) { "user" } else { "assistant" };
    let parent = n.checked_sub(1).map_or("root".to_owned(), |n| format!("u{n}"));
    format!(
        r#"{{"type":"{kind}","uuid":"u{n}","parentUuid":"{parent}","sessionId":"s","timestamp":"2026-05-01T10:00:{n:02}Z","requestId":"r{n}","message":{{"id":"m{n}","role":"{kind}","model":"m","content":"message {n}","usage":{{"output_tokens":1}}}}}}"#
    ) + "\n"
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.text.as_str()).collect()
}

fn fixtures(agent: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/sessions")
        .join(agent)
}

fn logs(agent: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = walkdir::WalkDir::new(fixtures(agent))
        .into_iter()
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    files.sort();
    files
}

#[test]
fn case_28_a_file_that_grew_gives_only_what_is_new_under_the_same_ids() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("s.jsonl");
    append(&log, (line(0) + &line(1)).as_bytes());
    let mut follower = new_follower(ImportState::new());
    let first = poll(&mut follower, dir.path());
    assert_eq!(first.updates.len(), 1);
    assert!(first.updates[0].is_new);
    assert_eq!(
        texts(&first.updates[0].trace.messages),
        ["message 0", "message 1"]
    );

    let quiet = poll(&mut follower, dir.path());
    assert_eq!((quiet.updates.len(), quiet.summary.files_unchanged), (0, 1));

    append(&log, (line(2) + &line(3)).as_bytes());
    let grown = poll(&mut follower, dir.path());
    let [update] = grown.updates.as_slice() else {
        panic!("one update")
    };
    assert_eq!(update.trace.session_id, first.updates[0].trace.session_id);
    assert!(!update.is_new && update.changed.is_empty());
    assert_eq!(
        texts(&update.trace.messages[update.first_new..]),
        ["message 2", "message 3"]
    );
    assert_eq!(grown.summary.bytes_new, (line(2) + &line(3)).len() as u64);
    assert_eq!(update.trace.messages[..2], first.updates[0].trace.messages[..]);
}

#[test]
fn a_half_last_line_waits_for_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("s.jsonl");
    let (half, rest) = (
        line(1).as_bytes()[..40].to_vec(),
        line(1).as_bytes()[40..].to_vec(),
    );
    append(&log, line(0).as_bytes());
    append(&log, &half);
    let mut follower = new_follower(ImportState::new());
    let first = poll(&mut follower, dir.path());
    assert_eq!(texts(&first.updates[0].trace.messages), ["message 0"]);
    assert_eq!(first.problems, []);
    append(&log, &rest);
    let second = poll(&mut follower, dir.path());
    assert_eq!(texts(&second.updates[0].trace.messages[1..]), ["message 1"]);
    assert!(second.updates[0].trace.report.lost.is_empty());
}

#[test]
fn a_restart_goes_on_where_the_last_process_ended() {
    let dir = tempfile::tempdir().unwrap();
    let sessions = dir.path().join("sessions");
    fs::create_dir(&sessions).unwrap();
    let store = JsonStateFile::new(dir.path().join("state.json"));
    let log = sessions.join("s.jsonl");
    append(&log, (line(0) + &line(1)).as_bytes());
    let mut follower = new_follower(store.load().unwrap());
    poll(&mut follower, &sessions);
    store.save(follower.state()).unwrap();

    let mut follower = new_follower(store.load().unwrap());
    assert_eq!(poll(&mut follower, &sessions).updates, []);
    append(&log, (line(2) + &line(3)).as_bytes());
    let grown = poll(&mut follower, &sessions);
    let [update] = grown.updates.as_slice() else {
        panic!("one update")
    };
    assert_eq!((update.first_new, update.is_new), (2, false));
    assert_eq!(update.trace.counts.prompts, 2);
    assert_eq!(update.trace.usage.output, 2);
    assert_eq!(grown.summary.bytes_new, (line(2) + &line(3)).len() as u64);
    assert_eq!(
        SessionSummary::from(&update.trace),
        SessionSummary::from(&whole(&sessions)[0])
    );
}

#[test]
fn a_rewritten_or_rotated_file_is_noticed() {
    for (name, in_place) in [("in place", true), ("by rename", false)] {
        for restart in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let log = dir.path().join("s.jsonl");
            append(&log, (line(0) + &line(1)).as_bytes());
            let mut follower = new_follower(ImportState::new());
            poll(&mut follower, dir.path());
            if restart {
                follower = new_follower(follower.state().clone());
            }
            let other = (line(0) + &line(1) + &line(2)).replace("message ", "another ");
            if in_place {
                fs::write(&log, &other).unwrap();
            } else {
                fs::write(dir.path().join("new"), &other).unwrap();
                fs::rename(dir.path().join("new"), &log).unwrap();
            }
            let got = poll(&mut follower, dir.path());
            assert_eq!(
                (got.rewritten, got.summary.files_rewritten),
                (1, 1),
                "{name} {restart}"
            );
            let [update] = got.updates.as_slice() else {
                panic!("one update")
            };
            assert_eq!(update.first_new, 0);
            assert_eq!(
                texts(&update.trace.messages),
                ["another 0", "another 1", "another 2"]
            );
            // A file that became shorter is another one too.
            fs::write(&log, line(0)).unwrap();
            assert_eq!(poll(&mut follower, dir.path()).rewritten, 1, "{name} {restart}");
        }
    }
}

#[test]
fn a_file_replaced_by_itself_and_more_is_the_same_file() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("s.jsonl");
    append(&log, line(0).as_bytes());
    let mut follower = new_follower(ImportState::new());
    poll(&mut follower, dir.path());
    fs::write(dir.path().join("new"), line(0) + &line(1)).unwrap();
    fs::rename(dir.path().join("new"), &log).unwrap();
    let got = poll(&mut follower, dir.path());
    assert_eq!((got.rewritten, got.updates[0].first_new), (0, 1));
}

#[test]
fn going_back_marks_messages_that_were_told_before() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("s.jsonl");
    append(&log, (line(0) + &line(1) + &line(2) + &line(3)).as_bytes());
    let mut follower = new_follower(ImportState::new());
    poll(&mut follower, dir.path());
    // The prompt is typed anew behind the same parent.
    append(
        &log,
        line(2)
            .replace("\"u2\",\"parent", "\"u9\",\"parent")
            .replace("m2", "m9")
            .as_bytes(),
    );
    let got = poll(&mut follower, dir.path());
    let [update] = got.updates.as_slice() else {
        panic!("one update")
    };
    assert_eq!(update.first_new, 4);
    assert_eq!(update.changed, [2, 3]);
    assert!(update.trace.messages[2].rewound && !update.trace.messages[4].rewound);
}

#[test]
fn a_copy_that_appears_in_a_later_process_is_not_counted_again() {
    let dir = tempfile::tempdir().unwrap();
    append(&dir.path().join("a.jsonl"), (line(0) + &line(1)).as_bytes());
    let mut follower = new_follower(ImportState::new());
    poll(&mut follower, dir.path());
    let resumed = (line(0) + &line(1) + &line(2)).replace("\"sessionId\":\"s\"", "\"sessionId\":\"t\"");
    append(&dir.path().join("b.jsonl"), resumed.as_bytes());
    let mut follower = new_follower(follower.state().clone());
    let got = poll(&mut follower, dir.path());
    let [update] = got.updates.as_slice() else {
        panic!("one update")
    };
    assert_eq!(update.trace.session_id, "t");
    assert!(update.trace.related_session_ids.contains("s"));
    assert_eq!((update.trace.counts.prompts, update.trace.usage.output), (1, 0));
    assert_eq!(got.summary.messages_new, 1);
}

#[test]
fn a_receiver_who_stops_gets_the_rest_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..4 {
        append(
            &dir.path().join(format!("{n}.jsonl")),
            line(2 * n).replace("\"s\"", &format!("\"s{n}\"")).as_bytes(),
        );
    }
    let files = find_session_files(&[dir.path()]).unwrap();
    let mut follower = new_follower(ImportState::new());
    let mut seen = Vec::new();
    let stopped = follower
        .poll(&files, &mut |event| match event {
            FollowEvent::Session(_) if seen.len() == 2 => ControlFlow::Break(()),
            FollowEvent::Session(update) => {
                seen.push(update.trace.session_id);
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Continue(()),
        })
        .unwrap();
    assert!(stopped.stopped);
    seen.extend(
        poll(&mut follower, dir.path())
            .updates
            .into_iter()
            .map(|u| u.trace.session_id),
    );
    assert_eq!(seen, ["s0", "s1", "s2", "s3"]);
}

#[test]
fn a_state_of_another_version_costs_a_full_import_and_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("state.json");
    let store = JsonStateFile::new(&path);
    assert_eq!(store.load().unwrap(), ImportState::new());
    fs::write(&path, r#"{"version":999,"files":{"x":{}}}"#).unwrap();
    assert_eq!(store.load().unwrap(), ImportState::new());
    fs::write(&path, "half").unwrap();
    assert_eq!(store.load().unwrap(), ImportState::new());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However a file arrives, piece by piece and over restarts, the end is the same as reading it at once.
    #[test]
    fn pieces_add_up_to_the_whole(
        agent in prop::sample::select(vec!["claude", "codex"]),
        pick: prop::sample::Index,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..5),
        restarts: u8,
    ) {
        let files = logs(agent);
        let source = &files[pick.index(files.len())];
        // A broken tail would wait for ever, which is another test's matter.
        let mut bytes = fs::read(source).unwrap();
        if bytes.last() != Some(&b'\n') {
            bytes.truncate(bytes.iter().rposition(|&b| b == b'\n').unwrap() + 1);
        }
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join(source.file_name().unwrap());
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(bytes.len())).collect();
        cuts.push(bytes.len());
        cuts.sort_unstable();
        let mut follower = new_follower(ImportState::new());
        let mut collected: Vec<Vec<Message>> = Vec::new();
        let mut ids: Vec<String> = Vec::new();
        let mut from = 0;
        for (n, cut) in cuts.into_iter().enumerate() {
            append(&log, &bytes[from..cut]);
            from = cut;
            if restarts >> (n % 8) & 1 == 1 {
                follower = new_follower(follower.state().clone());
            }
            for update in poll(&mut follower, dir.path()).updates {
                let at = ids.iter().position(|id| *id == update.trace.session_id).unwrap_or_else(|| {
                    prop_assert_eq_id(update.is_new);
                    ids.push(update.trace.session_id.clone());
                    collected.push(Vec::new());
                    ids.len() - 1
                });
                let messages = &mut collected[at];
                prop_assert_eq!(messages.len(), update.first_new);
                for n in update.changed {
                    messages[n] = update.trace.messages[n].clone();
                }
                messages.extend_from_slice(&update.trace.messages[update.first_new..]);
            }
        }
        let want = whole(dir.path());
        prop_assert_eq!(ids.len(), want.len());
        for (trace, messages) in want.iter().zip(&collected) {
            prop_assert_eq!(&trace.messages, messages);
        }
        let kept: Vec<_> = follower.state().files.values().flat_map(|f| &f.sessions).map(|s| &s.summary).collect();
        let want: Vec<_> = want.iter().map(SessionSummary::from).collect();
        prop_assert_eq!(kept, want.iter().collect::<Vec<_>>());
    }
}

fn prop_assert_eq_id(is_new: bool) {
    assert!(is_new, "an update of a session that was never told");
}
