//! Datasets built from the sessions that ship with the project.

#![expect(clippy::unwrap_used, reason = "test helpers outside of test functions")]

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use bashgym_traces::{
    BuildOptions, DatasetBuilder, DatasetManifest, Example, ExampleOptions, GateStatus, ImportEvent,
    ImportOptions, Split, SplitOptions, SplitWarning, Trace, TracesError, build_dataset, find_session_files,
    import,
};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

fn traces() -> Vec<Trace> {
    static TRACES: LazyLock<Vec<Trace>> = LazyLock::new(import_fixtures);
    TRACES.clone()
}

fn import_fixtures() -> Vec<Trace> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sessions");
    let files = find_session_files(&[fixtures]).unwrap();
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

fn build(traces: &[Trace], options: &BuildOptions) -> Result<DatasetManifest, TracesError> {
    build_dataset(
        traces.iter().cloned(),
        options,
        &mut |_| ControlFlow::Continue(()),
    )
}

fn rows(dir: &Path, split: Split) -> Vec<Example> {
    let text = fs::read_to_string(dir.join(split.file_name())).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn names(dir: &Path) -> BTreeSet<String> {
    fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect()
}

fn file_names() -> BTreeSet<String> {
    ["train.jsonl", "val.jsonl", "metadata.json"]
        .map(str::to_owned)
        .into()
}

#[test]
fn rows_are_chats_that_a_template_can_render() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = build(&traces(), &BuildOptions::new(dir.path())).unwrap();
    let all: Vec<_> = Split::ALL.iter().flat_map(|&s| rows(dir.path(), s)).collect();
    assert_eq!(all.len() as u64, manifest.rows_train + manifest.rows_val);
    assert!(all.len() > 80);
    let mut ids = BTreeSet::new();
    let mut parallel = 0;
    for row in &all {
        assert!(ids.insert(row.metadata.example_id.clone()));
        let roles: Vec<_> = row.messages.iter().map(|m| m.role.as_str()).collect();
        assert_eq!(roles[0], "user");
        assert_eq!(roles.iter().filter(|r| **r == "user").count(), 1);
        assert_eq!(*roles.last().unwrap(), "assistant");
        assert!(roles.windows(2).all(|w| w[0] != "assistant" || w[1] == "tool"));
        let tools: serde_json::Value = serde_json::from_str(&row.tools).unwrap();
        let known: BTreeSet<_> = tools
            .as_array()
            .unwrap()
            .iter()
            .map(|t| t["function"]["name"].as_str().unwrap())
            .collect();
        let mut open = BTreeSet::new();
        for message in &row.messages {
            match message.role.as_str() {
                "assistant" => {
                    assert!(open.is_empty(), "a call without a result");
                    let calls = message.tool_calls.as_deref().unwrap_or_default();
                    assert!(!calls.is_empty() || !message.content.trim().is_empty());
                    parallel += usize::from(calls.len() > 1);
                    for call in calls {
                        assert_eq!(call.kind, "function");
                        assert!(known.contains(call.function.name.as_str()));
                        let arguments: serde_json::Value =
                            serde_json::from_str(&call.function.arguments).unwrap();
                        assert!(arguments.is_object());
                        open.insert(call.id.clone());
                    }
                }
                "tool" => {
                    assert!(open.remove(message.tool_call_id.as_ref().unwrap()));
                    assert!(known.contains(message.name.as_deref().unwrap()));
                }
                _ => {}
            }
        }
    }
    assert!(parallel > 20);
}

#[test]
fn each_task_has_its_own_prompt_and_its_closing_answer() {
    let dir = tempfile::tempdir().unwrap();
    let traces = traces();
    build(&traces, &BuildOptions::new(dir.path())).unwrap();
    let all: Vec<_> = Split::ALL.iter().flat_map(|&s| rows(dir.path(), s)).collect();
    let mut by_session: BTreeMap<&str, Vec<&Example>> = BTreeMap::new();
    for row in &all {
        by_session.entry(&row.metadata.session_id).or_default().push(row);
    }
    for trace in &traces {
        let own: Vec<_> = trace
            .messages
            .iter()
            .filter(|m| m.kind.opens_segment() && !m.copied && !m.rewound)
            .map(|m| m.text.as_str())
            .collect();
        let distinct: BTreeSet<_> = own.iter().collect();
        let mut prompts = BTreeSet::new();
        let answered = by_session.contains_key(trace.session_id.as_str());
        for row in by_session.remove(trace.session_id.as_str()).unwrap_or_default() {
            let prompt = row.messages[0].content.as_str();
            assert!(own.contains(&prompt) || prompt.contains("<HF_TOKEN_"), "{prompt}");
            prompts.insert(prompt);
            assert!(
                !row.messages.last().unwrap().content.is_empty(),
                "the closing answer is kept"
            );
        }
        // A slash command that only the program answers gives no row.
        assert!(
            !answered || prompts.len() + 2 >= distinct.len(),
            "{prompts:?} of {distinct:?}"
        );
    }
    assert!(by_session.is_empty());
}

#[test]
fn a_group_never_stands_on_both_sides() {
    let dir = tempfile::tempdir().unwrap();
    let traces = traces();
    let manifest = build(&traces, &BuildOptions::new(dir.path())).unwrap();
    assert!(manifest.rows_val >= 1 && manifest.warnings.is_empty());
    let mut side = HashMap::new();
    for split in Split::ALL {
        for row in rows(dir.path(), split) {
            assert_eq!(*side.entry(row.metadata.session_id).or_insert(split), split);
        }
    }
    for trace in &traces {
        for other in trace.parent_session_id.iter().chain(&trace.related_session_ids) {
            if let (Some(a), Some(b)) = (side.get(&trace.session_id), side.get(other)) {
                assert_eq!(a, b, "{} and {other}", trace.session_id);
            }
        }
    }
}

#[test]
fn no_planted_secret_is_left_and_the_manifest_says_what_was_found() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = build(&traces(), &BuildOptions::new(dir.path())).unwrap();
    for name in names(dir.path()) {
        let text = fs::read_to_string(dir.path().join(&name)).unwrap();
        for secret in ["FAKE", "not-a-real-password", "robin.tester", "/home/dev"] {
            assert!(!text.contains(secret), "{secret} in {name}");
        }
    }
    assert_eq!(manifest.gate.status, GateStatus::Full);
    for kind in [
        "hf_token",
        "anthropic_key",
        "aws_access_key",
        "email",
        // Also the one that stands as a password in an address.
        "github_token",
        "secret_assignment",
        "user_name",
    ] {
        assert!(manifest.gate.replaced[kind] > 0, "{kind}");
    }
    assert_eq!(manifest.gate.distinct["hf_token"], 1);
    assert!(
        manifest.gate.replaced["hf_token"] > 1,
        "one placeholder for one token"
    );
}

#[test]
fn the_same_input_gives_the_same_bytes_and_another_seed_another_split() {
    let traces = traces();
    let (a, b, c) = (
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
        tempfile::tempdir().unwrap(),
    );
    let first = build(&traces, &BuildOptions::new(a.path())).unwrap();
    let second = build(&traces, &BuildOptions::new(b.path())).unwrap();
    assert_eq!(first, second);
    for name in file_names() {
        assert_eq!(
            fs::read(a.path().join(&name)).unwrap(),
            fs::read(b.path().join(&name)).unwrap(),
            "{name}"
        );
    }
    let split = SplitOptions {
        seed: 7,
        ..SplitOptions::default()
    };
    let other = build(
        &traces,
        &BuildOptions {
            split,
            ..BuildOptions::new(c.path())
        },
    )
    .unwrap();
    assert_ne!(first.splits[1].sha256, other.splits[1].sha256);
    for (dir, manifest) in [(a.path(), &first), (c.path(), &other)] {
        assert_eq!(&DatasetManifest::read(dir).unwrap(), manifest);
        for file in &manifest.splits {
            let bytes = fs::read(dir.join(&file.file)).unwrap();
            assert_eq!(file.size_bytes, bytes.len() as u64);
            assert_eq!(file.sha256, hex::encode(Sha256::digest(&bytes)));
            assert_eq!(file.rows, memchr::memchr_iter(b'\n', &bytes).count() as u64);
        }
    }
}

#[test]
fn a_small_limit_cuts_marks_and_counts() {
    let dir = tempfile::tempdir().unwrap();
    let examples = ExampleOptions {
        max_chars: 1_200,
        max_tool_output_chars: 200,
        ..ExampleOptions::default()
    };
    let manifest = build(
        &traces(),
        &BuildOptions {
            examples,
            ..BuildOptions::new(dir.path())
        },
    )
    .unwrap();
    let mut marked = (0_u64, 0_u64);
    for row in Split::ALL.iter().flat_map(|&s| rows(dir.path(), s)) {
        let size: usize = row
            .messages
            .iter()
            .map(|m| {
                let calls = m.tool_calls.iter().flatten();
                m.content.chars().count() + calls.map(|c| c.function.arguments.chars().count()).sum::<usize>()
            })
            .sum();
        assert!(size <= 1_300, "{size}");
        marked.0 += u64::from(row.messages[0].content.contains("left out ...]"));
        marked.1 += row
            .messages
            .iter()
            .filter(|m| m.role == "tool" && m.content.contains("characters left out"))
            .count() as u64;
    }
    assert!(marked.0 > 10 && marked.1 > 10, "{marked:?}");
    assert!(manifest.losses.steps_left_out >= marked.0);
    assert!(manifest.losses.tool_outputs_cut >= marked.1);
}

#[test]
fn thinking_is_left_out_unless_asked_for() {
    let traces = traces();
    for include_thinking in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let examples = ExampleOptions {
            include_thinking,
            ..ExampleOptions::default()
        };
        build(
            &traces,
            &BuildOptions {
                examples,
                ..BuildOptions::new(dir.path())
            },
        )
        .unwrap();
        let text = fs::read_to_string(dir.path().join("train.jsonl")).unwrap();
        assert_eq!(text.contains("<think>"), include_thinking);
    }
}

#[test]
fn one_session_is_all_training_with_a_warning() {
    let traces = traces();
    let one = traces
        .iter()
        .find(|t| t.related_session_ids.is_empty() && t.counts.prompts > 1)
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let manifest = build(std::slice::from_ref(one), &BuildOptions::new(dir.path())).unwrap();
    assert_eq!(manifest.rows_val, 0);
    assert_eq!(manifest.warnings, [SplitWarning::NoValidationRows { groups: 1 }]);
    assert_eq!(fs::read(dir.path().join("val.jsonl")).unwrap(), b"");
}

#[test]
fn a_session_given_twice_gives_each_row_once() {
    let mut traces = traces();
    let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let once = build(&traces, &BuildOptions::new(a.path())).unwrap();
    let again = traces.clone();
    traces.extend(again);
    let twice = build(&traces, &BuildOptions::new(b.path())).unwrap();
    assert_eq!(once.splits, twice.splits);
    assert!(twice.losses.duplicate_rows > 0);
}

#[test]
fn without_a_row_the_error_says_why_and_the_folder_stays_as_it_was() {
    let home = tempfile::tempdir().unwrap();
    let fresh = home.path().join("new");
    let e = build(&[], &BuildOptions::new(&fresh)).unwrap_err();
    assert!(matches!(e, TracesError::NoExamples { .. }));
    assert!(e.to_string().contains("no session was imported"), "{e}");
    assert!(!fresh.exists());

    let mut silent = traces().remove(0);
    silent.messages.retain(|m| m.role == bashgym_traces::Role::User);
    let e = build(&[silent], &BuildOptions::new(&fresh)).unwrap_err();
    assert!(e.to_string().contains("no answer"), "{e}");

    build(&traces(), &BuildOptions::new(&fresh)).unwrap();
    let before = fs::read(fresh.join("metadata.json")).unwrap();
    build(&[], &BuildOptions::new(&fresh)).unwrap_err();
    assert_eq!(fs::read(fresh.join("metadata.json")).unwrap(), before);
    assert_eq!(names(&fresh), file_names());
}

#[test]
fn a_build_that_is_stopped_leaves_nothing() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("out");
    let mut seen = 0;
    let e = build_dataset(traces().into_iter(), &BuildOptions::new(&out), &mut |progress| {
        seen = progress.sessions;
        if progress.sessions == 3 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })
    .unwrap_err();
    assert!(matches!(e, TracesError::Stopped));
    assert_eq!(seen, 3);
    assert!(!out.exists());
}

#[test]
fn what_a_killed_build_left_is_removed_and_a_running_one_is_left_alone() {
    let out = tempfile::tempdir().unwrap();
    let running = DatasetBuilder::new(BuildOptions::new(out.path())).unwrap();
    let killed = out.path().join(".bashgym-build-killed");
    fs::create_dir(&killed).unwrap();
    fs::write(killed.join("lock"), "").unwrap();
    fs::write(killed.join("rows"), "half a row").unwrap();
    build(&traces(), &BuildOptions::new(out.path())).unwrap();
    assert!(!killed.exists());
    assert_eq!(
        names(out.path()).len(),
        4,
        "the dataset and the work of the running build"
    );
    drop(running);
    assert_eq!(names(out.path()), file_names());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let home = tempfile::tempdir().unwrap();
    let file: PathBuf = home.path().join("file");
    fs::write(&file, "x").unwrap();
    let e = build(&traces(), &BuildOptions::new(file.join("out"))).unwrap_err();
    assert!(
        matches!(e, TracesError::Io { .. }) && e.to_string().contains("file"),
        "{e}"
    );
}

#[test]
fn options_out_of_range_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let split = SplitOptions {
        val_fraction: 1.5,
        ..SplitOptions::default()
    };
    let e = build(
        &[],
        &BuildOptions {
            split,
            ..BuildOptions::new(home.path())
        },
    )
    .unwrap_err();
    assert!(e.to_string().contains("val_fraction is 1.5"), "{e}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_seed_and_order_no_session_is_divided(seed: u64, percent in 1_u32..60, turn in 0_usize..30) {
        let mut traces = traces();
        traces.rotate_left(turn % 30);
        let split = SplitOptions { seed, val_fraction: f64::from(percent) / 100.0 };
        let dir = tempfile::tempdir().unwrap();
        let options = BuildOptions { split, ..BuildOptions::new(dir.path()) };
        let manifest = build(&traces, &options).unwrap();
        prop_assert!(manifest.rows_val >= 1 && manifest.rows_train >= 1);
        let sessions = |split| -> BTreeSet<String> {
            rows(dir.path(), split).into_iter().map(|r| r.metadata.session_id).collect()
        };
        let (train, val) = (sessions(Split::Train), sessions(Split::Val));
        prop_assert!(train.is_disjoint(&val));
    }
}
