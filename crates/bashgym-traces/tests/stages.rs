//! Stages one by one: the same bytes as in one go, and only what changed is done again.

#![expect(clippy::unwrap_used, reason = "test helpers outside of test functions")]

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_traces::{
    BuildOptions, DatasetBuilder, Gate, ImportEvent, ImportOptions, RowKind, SessionFile, Stage, StageRecord,
    TracesError, WorkDir, find_session_files, hash_inputs, import,
};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/sessions")
}

fn in_one_go(files: &[SessionFile], options: &BuildOptions) {
    let mut builder = DatasetBuilder::new(options.clone()).unwrap();
    builder.record_inputs(hash_inputs(files));
    let summary = import(files, &ImportOptions::default(), &mut |event| {
        if let ImportEvent::Session(trace) = event {
            builder.take(*trace).unwrap();
        }
        ControlFlow::Continue(())
    })
    .unwrap();
    builder.record_import(&summary);
    builder.finish().unwrap();
}

fn by_stages(files: &[SessionFile], work: &WorkDir, options: &BuildOptions) -> Vec<StageRecord> {
    let quiet = &mut |_| ControlFlow::Continue(());
    let records = vec![
        work.import(files, &ImportOptions::default(), quiet).unwrap(),
        work.redact(Gate::new()).unwrap(),
        work.score(options).unwrap(),
        work.dedup(options).unwrap(),
    ];
    work.split(options).unwrap();
    records
}

fn contents(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    for entry in walkdir::WalkDir::new(dir) {
        let entry = entry.unwrap();
        if entry.file_type().is_file() {
            let name = entry.path().strip_prefix(dir).unwrap().to_owned();
            all.insert(name, fs::read(entry.path()).unwrap());
        }
    }
    all
}

fn options(out: &Path) -> BuildOptions {
    BuildOptions {
        rows: RowKind::ALL.to_vec(),
        ..BuildOptions::new(out)
    }
}

#[test]
fn stages_give_the_bytes_of_a_build_in_one_go() {
    let home = tempfile::tempdir().unwrap();
    let files = find_session_files(&[fixtures()]).unwrap();
    let (one, other) = (home.path().join("one"), home.path().join("other"));
    in_one_go(&files, &options(&one));
    by_stages(&files, &WorkDir::new(home.path().join("work")), &options(&other));
    let (one, other) = (contents(&one), contents(&other));
    assert_eq!(one.len(), 9);
    assert_eq!(one, other);
}

#[test]
fn nothing_is_done_again_when_nothing_changed_and_only_what_changed_otherwise() {
    let home = tempfile::tempdir().unwrap();
    let logs = home.path().join("logs");
    fs::create_dir(&logs).unwrap();
    for (n, file) in find_session_files(&[fixtures()]).unwrap().iter().enumerate() {
        let name = file.path.file_name().unwrap();
        // Names may repeat in different folders.
        fs::create_dir(logs.join(n.to_string())).unwrap();
        fs::copy(&file.path, logs.join(n.to_string()).join(name)).unwrap();
    }
    let files = find_session_files(std::slice::from_ref(&logs)).unwrap();
    let work = WorkDir::new(home.path().join("work"));
    let out = home.path().join("out");
    let first = by_stages(&files[1..], &work, &options(&out));
    assert!(first.iter().all(|record| !record.reused));
    let before = contents(&out);

    let again = by_stages(&files[1..], &work, &options(&out));
    assert!(again.iter().all(|record| record.reused));
    assert_eq!(contents(&out), before);

    // Another limit of the score: the rows are as they were.
    let mut strict = options(&out);
    strict.quality.min_score = 0.6;
    let reused: Vec<bool> = by_stages(&files[1..], &work, &strict)
        .iter()
        .map(|r| r.reused)
        .collect();
    assert_eq!(reused, [true, true, true, false]);

    // One more file: the other sessions keep their rows.
    let more = by_stages(&files, &work, &options(&out));
    assert!(more.iter().all(|record| !record.reused));
    assert!(
        more[2].counts["sessions_reused"] * 2 > first[2].sessions,
        "{:?}",
        more[2].counts
    );
    let fresh = home.path().join("fresh");
    in_one_go(&files, &options(&fresh));
    assert_eq!(contents(&out), contents(&fresh));
}

#[test]
fn a_stage_out_of_order_names_the_one_that_is_missing() {
    let home = tempfile::tempdir().unwrap();
    let work = WorkDir::new(home.path().join("work"));
    let error = work.score(&options(&home.path().join("out"))).unwrap_err();
    assert!(matches!(error, TracesError::StageMissing { stage: "redact", .. }));
    assert!(
        error.to_string().contains("bashgym data redact --work"),
        "{error}"
    );
    assert!(work.record(Stage::Import).unwrap().is_none());
}

#[test]
fn output_that_was_damaged_is_made_again() {
    let home = tempfile::tempdir().unwrap();
    let files = find_session_files(&[fixtures()]).unwrap();
    let work = WorkDir::new(home.path().join("work"));
    let out = home.path().join("out");
    by_stages(&files, &work, &options(&out));
    let before = contents(&out);
    fs::write(home.path().join("work/redact/traces.jsonl"), "{\"half").unwrap();
    let records = by_stages(&files, &work, &options(&out));
    assert!(records[0].reused && !records[1].reused);
    assert_eq!(contents(&out), before);
}

#[test]
fn the_redacted_output_holds_no_planted_secret() {
    let home = tempfile::tempdir().unwrap();
    let files = find_session_files(&[fixtures()]).unwrap();
    let root = home.path().join("work");
    let work = WorkDir::new(&root);
    by_stages(&files, &work, &options(&home.path().join("out")));
    for stage in ["redact", "score", "dedup"] {
        for (name, bytes) in contents(&root.join(stage)) {
            let text = String::from_utf8_lossy(&bytes);
            for secret in ["FAKE", "not-a-real-password", "robin.tester", "/home/dev"] {
                assert!(!text.contains(secret), "{secret} in {stage}/{}", name.display());
            }
        }
    }
}
