//! Reading sessions and writing the dataset's folder, on a thread of its own.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_traces::dedup::DedupOptions;
use bashgym_traces::quality::{Labels, QualityOptions};
use bashgym_traces::{
    BuildOptions, DatasetBuilder, DatasetManifest, ExampleOptions, Gate, ImportEvent, ImportOptions, Problem,
    RowKind, SessionFile, SplitOptions, TracesError, WorkDir, find_session_files, hash_inputs, import,
};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::card;
use crate::CoreError;
use crate::run::BuiltDataset;

/// Problems that are reported one by one; those beyond are counted.
const LISTED_PROBLEMS: usize = 20;

/// What to build, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct DatasetBuild {
    /// Session logs, or folders of them.
    pub inputs: Vec<PathBuf>,
    /// The folder to write.
    pub out_dir: PathBuf,
    /// Decides which sessions are held out.
    pub seed: u64,
    /// The share of rows held out for validation.
    pub val_fraction: f64,
    /// The repository that the dataset is for, if that is known; the card then says how to load it, and placeholders are
    /// the dataset's own.
    pub repo_id: Option<String>,
    /// Which rows are made, and what is left out.
    pub config: BuildConfig,
}

/// Which rows a dataset has, and what is left out of it.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildConfig {
    /// The kinds of rows; the first one lies at the root of the folder.
    pub rows: Vec<RowKind>,
    /// How examples are made.
    pub examples: ExampleOptions,
    /// Limits of the scores.
    pub quality: QualityOptions,
    /// How near-duplicates are found.
    pub dedup: DedupOptions,
    /// What people said about sessions.
    pub labels: Labels,
    /// Evaluation sets whose items must not be trained on.
    pub eval_files: Vec<PathBuf>,
    /// A folder in which each stage leaves its output, so that the next build redoes only what changed.
    pub work_dir: Option<PathBuf>,
}

impl Default for BuildConfig {
    fn default() -> Self {
        Self {
            rows: vec![RowKind::Sft],
            examples: ExampleOptions::default(),
            quality: QualityOptions::default(),
            dedup: DedupOptions::default(),
            labels: Labels::default(),
            eval_files: Vec::new(),
            work_dir: None,
        }
    }
}

impl DatasetBuild {
    /// Returns the options of the build itself.
    pub fn options(&self) -> BuildOptions {
        let config = self.config.clone();
        BuildOptions {
            rows: config.rows,
            examples: config.examples,
            quality: config.quality,
            dedup: config.dedup,
            labels: config.labels,
            eval_files: config.eval_files,
            split: SplitOptions {
                seed: self.seed,
                val_fraction: self.val_fraction,
            },
            ..BuildOptions::new(&self.out_dir)
        }
    }
}

/// How far a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BuildProgress {
    /// Files read.
    pub files_done: u64,
    /// Files in all.
    pub files_total: u64,
    /// Rows made so far.
    pub rows: u64,
}

/// Builds a dataset folder and tells how far it is; a report for people and scripts comes with it.
///
/// Every text passes `gate` first. The folder holds `train.jsonl`, `val.jsonl`, `metadata.json` and `README.md`. On failure, an older dataset there
/// stays as it was. A listener that is slow misses updates and does not slow the build.
///
/// # Errors
/// [`CoreError::Traces`] if the sessions give no rows or the folder cannot be written.
pub async fn build_dataset_dir(
    build: DatasetBuild,
    gate: Gate,
    progress: mpsc::Sender<BuildProgress>,
) -> Result<(BuiltDataset, Value), CoreError> {
    tokio::task::spawn_blocking(move || build_here(&build, gate, &progress))
        .await
        .unwrap_or_else(|error| {
            Err(CoreError::Internal {
                message: format!("the build broke off: {error}"),
            })
        })
}

fn build_here(
    build: &DatasetBuild,
    gate: Gate,
    progress: &mpsc::Sender<BuildProgress>,
) -> Result<(BuiltDataset, Value), CoreError> {
    let files = find_session_files(&build.inputs)?;
    let gate = match &build.repo_id {
        Some(repo) => gate.for_dataset(repo),
        None => gate,
    };
    let mut problems = Problems::default();
    let manifest = match &build.config.work_dir {
        Some(work) => by_stages(build, &files, work, gate, progress, &mut problems)?,
        None => in_one_pass(build, &files, gate, progress, &mut problems)?,
    };
    write_card(&build.out_dir, &manifest, build.repo_id.as_deref())?;
    let built = BuiltDataset {
        dir: build.out_dir.clone(),
        sessions: manifest.sessions,
        rows_train: manifest.rows_train,
        rows_val: manifest.rows_val,
    };
    let report = report(&manifest, &problems, build);
    Ok((built, report))
}

/// Writes the `README.md` of a dataset's folder from its manifest.
///
/// # Errors
/// [`CoreError::Hub`] if the card cannot be rendered, [`CoreError::Io`] if it cannot be written.
pub fn write_card(dir: &Path, manifest: &DatasetManifest, repo_id: Option<&str>) -> Result<(), CoreError> {
    let readme = dir.join("README.md");
    let card = card::render(manifest, repo_id).map_err(CoreError::hub("write the dataset's card"))?;
    std::fs::write(&readme, card).map_err(CoreError::io("write", &readme))
}

fn in_one_pass(
    build: &DatasetBuild,
    files: &[SessionFile],
    gate: Gate,
    progress: &mpsc::Sender<BuildProgress>,
    problems: &mut Problems,
) -> Result<DatasetManifest, CoreError> {
    let mut builder = DatasetBuilder::new(build.options())?.with_gate(gate);
    builder.record_inputs(hash_inputs(files));
    let mut failed: Option<TracesError> = None;
    let summary = import(files, &ImportOptions::default(), &mut |event| {
        match event {
            ImportEvent::Session(trace) => {
                if let Err(error) = builder.take(*trace) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            other => watch(other, builder.progress().rows, progress, problems),
        }
        go_on(progress)
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if summary.stopped {
        return Err(TracesError::Stopped.into());
    }
    builder.record_import(&summary);
    Ok(builder.finish()?)
}

fn by_stages(
    build: &DatasetBuild,
    files: &[SessionFile],
    work: &Path,
    gate: Gate,
    progress: &mpsc::Sender<BuildProgress>,
    problems: &mut Problems,
) -> Result<DatasetManifest, CoreError> {
    let options = build.options();
    let work = WorkDir::new(work);
    work.import(files, &ImportOptions::default(), &mut |event| {
        watch(event, 0, progress, problems);
        go_on(progress)
    })?;
    work.redact(gate)?;
    work.score(&options)?;
    work.dedup(&options)?;
    Ok(work.split(&options)?)
}

fn watch(event: ImportEvent, rows: u64, progress: &mpsc::Sender<BuildProgress>, problems: &mut Problems) {
    match event {
        ImportEvent::Problem(problem) => problems.take(problem),
        ImportEvent::Progress(done) => {
            let _ = progress.try_send(BuildProgress {
                files_done: done.files_done,
                files_total: done.files_total,
                rows,
            });
        }
        _ => {}
    }
}

/// Where nobody listens any more, the caller is gone, and so is the reason to go on.
fn go_on(progress: &mpsc::Sender<BuildProgress>) -> ControlFlow<()> {
    if progress.is_closed() {
        ControlFlow::Break(())
    } else {
        ControlFlow::Continue(())
    }
}

fn report(manifest: &DatasetManifest, problems: &Problems, build: &DatasetBuild) -> Value {
    json!({
        "dir": build.out_dir,
        "sessions": manifest.sessions,
        "rows_train": manifest.rows_train,
        "rows_val": manifest.rows_val,
        "agents": manifest.agents,
        "redactions": manifest.gate.replaced.values().sum::<u64>(),
        "redactions_by_kind": manifest.gate.replaced,
        "gate": manifest.gate.status,
        "row_sets": manifest.row_sets.iter().map(|set| json!({
            "kind": set.kind, "config": set.config, "splits": set.splits,
        })).collect::<Vec<_>>(),
        "scores": manifest.scores,
        "dedup": manifest.dedup,
        "duplicates_removed": manifest.dedup.exact_removed + manifest.dedup.near_removed,
        "inputs": manifest.inputs.as_ref().map(|inputs| json!({
            "files": inputs.files, "bytes": inputs.bytes, "blake3": inputs.blake3,
        })),
        "rules": manifest.rules,
        "seed": manifest.split.seed,
        "truncated_rows": manifest.truncated_rows,
        "warnings": manifest.warnings,
        "losses": manifest.losses,
        "splits": manifest.splits,
        "problems": problems.count,
        "problems_listed": problems.listed,
    })
}

#[derive(Default)]
struct Problems {
    count: u64,
    listed: Vec<Problem>,
}

impl Problems {
    fn take(&mut self, problem: Problem) {
        self.count += 1;
        if self.listed.len() < LISTED_PROBLEMS {
            self.listed.push(problem);
        }
    }
}
