//! What rows teach: every kind of row made from sessions whose content is known.

#![expect(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "test helpers outside of test functions, called with json!"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_traces::columns::{self, RowKind, Split, features};
use bashgym_traces::quality::{Label, Labels};
use bashgym_traces::{
    BuildOptions, DatasetManifest, Example, ImportEvent, ImportOptions, PreferenceRow, RlvrRow, Trace,
    build_dataset, find_session_files, import,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// Writes sessions in the form of Claude Code.
struct Log {
    session: String,
    lines: Vec<Value>,
}

impl Log {
    fn new(session: &str) -> Self {
        Self {
            session: session.to_owned(),
            lines: Vec::new(),
        }
    }

    fn record(&mut self, kind: &str, message: Value) -> &mut Self {
        let n = self.lines.len();
        let parent = n.checked_sub(1).map(|p| format!("{}-{p}", self.session));
        self.lines.push(json!({
            "type": kind, "uuid": format!("{}-{n}", self.session), "parentUuid": parent,
            "sessionId": self.session, "cwd": "/srv/app", "version": "2.1.0", "isSidechain": false,
            "userType": "external", "timestamp": format!("2026-03-01T10:{:02}:{:02}.000Z", n / 60, n % 60),
            "message": message,
        }));
        self
    }

    fn typed(&mut self, text: &str) -> &mut Self {
        self.record("user", json!({"role": "user", "content": text}))
    }

    fn block(&mut self, block: &Value, message_id: &str) -> &mut Self {
        let message = json!({
            "id": message_id, "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
            "content": [block], "usage": {"input_tokens": 1, "output_tokens": 1},
        });
        self.record("assistant", message)
    }

    fn says(&mut self, text: &str) -> &mut Self {
        let id = format!("msg-{}-{}", self.session, self.lines.len());
        self.block(&json!({"type": "text", "text": text}), &id)
    }

    fn calls(&mut self, message_id: &str, id: &str, name: &str, input: Value) -> &mut Self {
        let message_id = format!("{message_id}-{}", self.session);
        self.block(
            &json!({"type": "tool_use", "id": id, "name": name, "input": input}),
            &message_id,
        )
    }

    fn gets(&mut self, id: &str, output: &str, is_error: bool) -> &mut Self {
        let block =
            json!({"type": "tool_result", "tool_use_id": id, "content": output, "is_error": is_error});
        self.record("user", json!({"role": "user", "content": [block]}))
    }

    fn write(&self, dir: &Path) {
        let lines: Vec<String> = self.lines.iter().map(Value::to_string).collect();
        fs::write(
            dir.join(format!("{}.jsonl", self.session)),
            lines.join("\n") + "\n",
        )
        .unwrap();
    }
}

fn read(dir: &Path) -> Vec<Trace> {
    let files = find_session_files(&[dir.to_owned()]).unwrap();
    let mut traces = Vec::new();
    import(&files, &ImportOptions::default(), &mut |event| {
        if let ImportEvent::Session(trace) = event {
            traces.push(*trace);
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    traces
}

fn fixtures() -> Vec<Trace> {
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sessions"))
}

fn build(traces: Vec<Trace>, options: &BuildOptions) -> DatasetManifest {
    build_dataset(traces.into_iter(), options, &mut |_| ControlFlow::Continue(())).unwrap()
}

fn rows<T: serde::de::DeserializeOwned>(dir: &Path, folder: &str) -> Vec<T> {
    Split::ALL
        .iter()
        .flat_map(|split| {
            let text = fs::read_to_string(dir.join(folder).join(split.file_name())).unwrap();
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn all_kinds(dir: &Path) -> BuildOptions {
    BuildOptions {
        rows: RowKind::ALL.to_vec(),
        ..BuildOptions::new(dir)
    }
}

/// A session that mends a test, with parallel calls and a call that failed first.
fn mending(session: &str, task: &str) -> Log {
    let mut log = Log::new(session);
    log.typed(task)
        .calls("m1", "c1", "Read", json!({"file_path": "/srv/app/src/parse.rs"}))
        .calls("m1", "c2", "Bash", json!({"command": "cargo test -p parse", "timeout": 1.50}))
        .gets("c2", "test result: FAILED. 3 passed; 1 failed", true)
        .gets("c1", "fn parse() {}", false)
        .calls("m2", "c3", "Edit", json!({"file_path": "/srv/app/src/parse.rs", "old_string": "fn parsed()", "new_string": "fn parse(x: u8)"}))
        .gets("c3", "String to replace not found in file", true)
        .calls("m3", "c4", "Edit", json!({"file_path": "/srv/app/src/parse.rs", "old_string": "fn parse()", "new_string": "fn parse(x: u8)"}))
        .gets("c4", "The file was updated", false)
        .calls("m4", "c5", "Bash", json!({"command": "cargo test -p parse"}))
        .gets("c5", "test result: ok. 4 passed; 0 failed", false)
        .says("The parser takes its argument again and all four tests pass.");
    log
}

#[test]
fn case_20_columns_and_splits_are_those_of_the_shared_definition() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = build(fixtures(), &all_kinds(dir.path()));
    assert_eq!(manifest.row_sets.len(), 4);
    for (place, set) in manifest.row_sets.iter().enumerate() {
        let (config, folder) = if place == 0 {
            (columns::DEFAULT_CONFIG, "")
        } else {
            (set.kind.as_str(), set.kind.as_str())
        };
        assert_eq!(set.config, config);
        let names: Vec<_> = set.features.iter().map(|f| f.name.as_str()).collect();
        assert_eq!(names, set.kind.columns());
        assert_eq!(set.features, features(set.kind));
        for (file, split) in set.splits.iter().zip(Split::ALL) {
            assert_eq!(file.split, split);
            let path = Path::new(folder).join(split.file_name());
            assert_eq!(Path::new(&file.file), path);
            let text = fs::read_to_string(dir.path().join(&path)).unwrap();
            assert_eq!(text.lines().count() as u64, file.rows);
            for line in text.lines() {
                let row: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
                let keys: BTreeSet<_> = row.keys().map(String::as_str).collect();
                assert_eq!(keys, set.kind.columns().iter().copied().collect());
            }
        }
    }
    assert_eq!(&DatasetManifest::read(dir.path()).unwrap(), &manifest);
}

#[test]
fn case_21_preference_rows_are_conversational() {
    let (logs, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    mending("a", "The parser lost its argument, please mend it").write(logs.path());
    let options = BuildOptions {
        rows: vec![RowKind::Preference],
        ..BuildOptions::new(out.path())
    };
    build(read(logs.path()), &options);
    let rows: Vec<PreferenceRow> = rows(out.path(), "");
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!(row.prompt[0].role, "user");
    assert_eq!(
        row.prompt.last().unwrap().role,
        "tool",
        "what came before the failure is the prompt"
    );
    for (side, text) in [(&row.chosen, "fn parse()"), (&row.rejected, "fn parsed()")] {
        assert_eq!(side.len(), 1);
        assert_eq!(side[0].role, "assistant");
        let call = &side[0].tool_calls.as_ref().unwrap()[0];
        let arguments: Value = serde_json::from_str(&call.function.arguments).unwrap();
        assert_eq!(arguments["old_string"], text);
    }
}

#[test]
fn two_sessions_with_one_task_give_a_pair_and_stay_on_one_side() {
    let (logs, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let task = "Add a flag that prints the version of the program";
    let mut good = Log::new("good");
    good.typed(task)
        .calls("m", "c1", "Bash", json!({"command": "cargo test"}))
        .gets("c1", "test result: ok. 9 passed; 0 failed", false)
        .says("The flag is there.")
        .typed("Thanks!")
        .says("You are welcome.");
    let mut bad = Log::new("bad");
    bad.typed(task)
        .calls("m", "c1", "Bash", json!({"command": "cargo test"}))
        .gets("c1", "test result: FAILED. 1 passed; 8 failed", true)
        .says("Something is wrong with the tests, I leave it there.")
        .typed("No, that is wrong")
        .says("I see.");
    good.write(logs.path());
    bad.write(logs.path());
    mending("other", "Mend the parser of the configuration file").write(logs.path());
    let options = BuildOptions {
        rows: vec![RowKind::Preference, RowKind::Sft],
        ..BuildOptions::new(out.path())
    };
    let manifest = build(read(logs.path()), &options);
    let pairs: Vec<PreferenceRow> = rows(out.path(), "");
    let pair = pairs
        .iter()
        .find(|row| row.metadata.example_id.ends_with("-paired"))
        .unwrap();
    assert_eq!(pair.prompt.len(), 1);
    assert_eq!(pair.chosen.last().unwrap().content, "The flag is there.");
    assert!(
        pair.rejected
            .last()
            .unwrap()
            .content
            .starts_with("Something is wrong")
    );
    // The failed one is no example to follow.
    let kept: Vec<Example> = rows(out.path(), "sft");
    assert!(
        kept.iter()
            .all(|row| row.metadata.session_id != "bad" || row.metadata.segment > 0)
    );
    assert!(manifest.losses.tasks_below_score >= 1);
    assert_eq!(manifest.groups, 2);
}

#[test]
fn case_23_arguments_are_the_logged_object_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let traces = fixtures();
    build(traces.clone(), &BuildOptions::new(dir.path()));
    let mut logged: BTreeMap<(String, String), &str> = BTreeMap::new();
    for trace in &traces {
        for call in trace.messages.iter().flat_map(|m| &m.tool_calls) {
            logged.insert((trace.session_id.clone(), call.id.clone()), call.arguments.get());
        }
    }
    let (mut same, mut redacted) = (0, 0);
    for row in rows::<Example>(dir.path(), "") {
        for call in row.messages.iter().flat_map(|m| m.tool_calls.iter().flatten()) {
            let key = (row.metadata.session_id.clone(), call.id.clone());
            let Some(original) = logged.get(&key) else {
                continue;
            };
            if call.function.arguments == *original {
                same += 1;
            } else {
                // Only a placeholder may differ, and what is left is still the same object.
                redacted += 1;
                let (a, b): (Value, Value) = (
                    serde_json::from_str(original).unwrap(),
                    serde_json::from_str(&call.function.arguments).unwrap(),
                );
                let keys = |v: &Value| v.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
                assert_eq!(keys(&a), keys(&b));
                assert!(call.function.arguments.contains('<') || call.function.arguments.contains("user"));
            }
        }
    }
    assert!(same > 50, "{same} same, {redacted} redacted");
}

#[test]
fn case_23_numbers_and_key_order_survive() {
    let (logs, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut text = String::new();
    for line in &mending("a", "The parser lost its argument, please mend it").lines {
        // An object no serializer would write so.
        let odd = r#"{"z": 1.50, "command":"cargo test -p parse",  "a":[1e3, "\u00e9\/"]}"#;
        text.push_str(
            &line
                .to_string()
                .replace(r#"{"command":"cargo test -p parse","timeout":1.5}"#, odd),
        );
        text.push('\n');
    }
    fs::write(logs.path().join("a.jsonl"), text).unwrap();
    build(read(logs.path()), &BuildOptions::new(out.path()));
    let row = &rows::<Example>(out.path(), "")[0];
    let calls = row.messages[1].tool_calls.as_ref().unwrap();
    assert_eq!(
        calls[1].function.arguments,
        r#"{"z": 1.50, "command":"cargo test -p parse",  "a":[1e3, "\u00e9\/"]}"#
    );
}

#[test]
fn case_24_parallel_calls_are_one_turn_and_the_closing_answer_is_kept() {
    let (logs, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut log = mending("a", "The parser lost its argument, please mend it");
    log.typed("Now write a line about it into the changelog")
        .says("The changelog has a line about it.");
    log.write(logs.path());
    build(read(logs.path()), &BuildOptions::new(out.path()));
    let mut all: Vec<Example> = rows(out.path(), "");
    all.sort_by_key(|row| row.metadata.segment);
    assert_eq!(all.len(), 2);
    let roles: Vec<_> = all[0].messages.iter().map(|m| m.role.as_str()).collect();
    assert_eq!(roles[..4], ["user", "assistant", "tool", "tool"]);
    let calls = all[0].messages[1].tool_calls.as_ref().unwrap();
    assert_eq!(calls.len(), 2);
    let answered: BTreeSet<_> = all[0].messages[2..4]
        .iter()
        .filter_map(|m| m.tool_call_id.as_deref())
        .collect();
    assert_eq!(answered, calls.iter().map(|c| c.id.as_str()).collect());
    assert!(
        all[0]
            .messages
            .last()
            .unwrap()
            .content
            .ends_with("all four tests pass.")
    );
    assert_eq!(
        all[1].messages[0].content,
        "Now write a line about it into the changelog"
    );
    assert_eq!(
        all[1].messages.last().unwrap().content,
        "The changelog has a line about it."
    );
}

#[test]
fn checked_prompts_carry_the_tests_that_passed_after_the_last_edit() {
    let (logs, out) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    mending("a", "The parser lost its argument, please mend it").write(logs.path());
    let options = BuildOptions {
        rows: vec![RowKind::Rlvr, RowKind::Distillation],
        ..BuildOptions::new(out.path())
    };
    build(read(logs.path()), &options);
    let rows_: Vec<RlvrRow> = rows(out.path(), "");
    let checks = serde_json::to_value(&rows_[0].checks).unwrap();
    assert_eq!(
        checks,
        json!([
            {"kind": "command", "command": "cargo test -p parse", "path": "", "exit_status": 0},
            {"kind": "file", "command": "", "path": "/srv/app/src/parse.rs", "exit_status": 0},
        ])
    );
    assert_eq!(rows_[0].prompt.len(), 1);
    let taught: Vec<Value> = rows(out.path(), "distillation");
    assert_eq!(taught[0]["metadata"]["model"], "claude-sonnet-4-5");
    assert_eq!(taught[0]["completion"][0]["role"], "assistant");
}

#[test]
fn a_label_keeps_a_session_in_or_out() {
    let logs = tempfile::tempdir().unwrap();
    mending("a", "The parser lost its argument, please mend it").write(logs.path());
    let mut other = Log::new("b");
    other
        .typed("Say something nice about the weather")
        .says("It is fine today.");
    other.write(logs.path());
    let out = tempfile::tempdir().unwrap();
    let mut labels = Labels::default();
    labels.set("a", Label::Bad);
    let options = BuildOptions {
        labels,
        ..BuildOptions::new(out.path())
    };
    let manifest = build(read(logs.path()), &options);
    let kept: Vec<Example> = rows(out.path(), "");
    assert!(kept.iter().all(|row| row.metadata.session_id == "b"));
    assert_eq!((kept.len(), manifest.losses.tasks_below_score), (1, 1));
}

#[test]
fn items_of_an_evaluation_set_are_removed_and_counted() {
    let logs = tempfile::tempdir().unwrap();
    let leaked = "Write a function that returns the indices of the two numbers that add up to the target";
    mending("a", "The parser lost its argument, please mend it").write(logs.path());
    mending("b", &format!("{leaked}. Use Rust.")).write(logs.path());
    let eval = logs.path().join("eval.txt");
    fs::write(&eval, format!("{leaked}\n")).unwrap();
    let out = tempfile::tempdir().unwrap();
    let traces = read(logs.path());
    let options = BuildOptions {
        eval_files: vec![eval],
        ..BuildOptions::new(out.path())
    };
    let manifest = build(traces, &options);
    assert_eq!(manifest.dedup.contaminated_removed, 1);
    assert_eq!(manifest.dedup.eval_sets[0].items, 1);
    assert!(
        rows::<Example>(out.path(), "")
            .iter()
            .all(|row| row.metadata.session_id == "a")
    );
}

/// Sessions of which some nearly repeat others, and some repeat them word for word.
fn repeated(count: usize, every: usize) -> Vec<Trace> {
    let logs = tempfile::tempdir().unwrap();
    for n in 0..count {
        let like = if n % every == 0 && n > 0 { n - 1 } else { n };
        let words: Vec<String> = (0..60)
            .map(|k| format!("w{}", (like * 7919 + k * (like + 13)) % 9973))
            .collect();
        let mut log = Log::new(&format!("s{n}"));
        let tail = if n % every == 0 && n % 2 == 0 {
            "please"
        } else {
            "now"
        };
        log.typed(&format!("{} {tail}", words.join(" ")))
            .says(&format!("Done with {}.", words[..20].join(" ")));
        log.write(logs.path());
    }
    read(logs.path())
}

fn sides(dir: &Path) -> [Vec<Example>; 2] {
    Split::ALL.map(|split| {
        let text = fs::read_to_string(dir.join(split.file_name())).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    })
}

#[test]
fn case_29_near_duplicates_are_removed_and_never_cross() {
    let out = tempfile::tempdir().unwrap();
    let traces = repeated(60, 4);
    let manifest = build(traces, &BuildOptions::new(out.path()));
    assert_eq!(manifest.dedup.exact_removed + manifest.dedup.near_removed, 14);
    assert_eq!(manifest.rows_train + manifest.rows_val, 46);
    assert_eq!(manifest.losses.near_duplicate_rows, manifest.dedup.near_removed);
    let [train, val] = sides(out.path());
    let texts = |rows: &[Example]| -> BTreeSet<String> {
        rows.iter().map(|row| row.messages[1].content.clone()).collect()
    };
    assert!(texts(&train).is_disjoint(&texts(&val)));
    assert!(!val.is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]

    #[test]
    fn case_29_sessions_stay_whole_and_the_same_seed_gives_the_same_split(
        seed: u64, percent in 5_u32..50, every in 2_usize..6,
    ) {
        let mut traces = repeated(24, every);
        // Half of the sessions continue another one.
        for n in (1..traces.len()).step_by(2) {
            let earlier = traces[n - 1].session_id.clone();
            traces[n].related_session_ids.insert(earlier);
        }
        let split = bashgym_traces::SplitOptions { seed, val_fraction: f64::from(percent) / 100.0 };
        let place = |traces: Vec<Trace>| {
            let out = tempfile::tempdir().unwrap();
            build(traces, &BuildOptions { split, ..BuildOptions::new(out.path()) });
            let [train, val] = sides(out.path());
            let ids = |rows: Vec<Example>| -> BTreeSet<String> {
                rows.into_iter().map(|row| row.metadata.session_id).collect()
            };
            (ids(train), ids(val))
        };
        let (train, val) = place(traces.clone());
        prop_assert!(train.is_disjoint(&val));
        prop_assert!(!train.is_empty() && !val.is_empty());
        for trace in &traces {
            for other in &trace.related_session_ids {
                let crosses = train.contains(&trace.session_id) && val.contains(other)
                    || val.contains(&trace.session_id) && train.contains(other);
                prop_assert!(!crosses);
            }
        }
        let again = place(traces.clone());
        prop_assert_eq!(again, (train, val));
    }
}

#[test]
fn shared_corpus_builds_without_losing_a_session() {
    let corpus: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/traces");
    if !corpus.is_dir() {
        eprintln!("skipped: there are no shared logs here");
        return;
    }
    let traces = read(&corpus);
    let out = tempfile::tempdir().unwrap();
    let sessions = traces.len() as u64;
    let manifest = build(traces, &all_kinds(out.path()));
    assert_eq!(manifest.sessions, sessions);
}
