//! Reading sessions and writing the dataset's folder, on a thread of its own.

use std::ops::ControlFlow;
use std::path::PathBuf;

use bashgym_traces::{
    BuildOptions, DatasetBuilder, DatasetManifest, ImportEvent, ImportOptions, Problem, SplitOptions,
    TracesError, find_session_files, import,
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
    /// The repository that the dataset is for, if that is known; the card then says how to load it.
    pub repo_id: Option<String>,
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
/// The folder holds `train.jsonl`, `val.jsonl`, `metadata.json` and `README.md`. On failure, an older dataset there
/// stays as it was. A listener that is slow misses updates and does not slow the build.
///
/// # Errors
/// [`CoreError::Traces`] if the sessions give no rows or the folder cannot be written.
pub async fn build_dataset_dir(
    build: DatasetBuild,
    progress: mpsc::Sender<BuildProgress>,
) -> Result<(BuiltDataset, Value), CoreError> {
    tokio::task::spawn_blocking(move || build_here(&build, &progress))
        .await
        .unwrap_or_else(|error| {
            Err(CoreError::Internal {
                message: format!("the build broke off: {error}"),
            })
        })
}

fn build_here(
    build: &DatasetBuild,
    progress: &mpsc::Sender<BuildProgress>,
) -> Result<(BuiltDataset, Value), CoreError> {
    let files = find_session_files(&build.inputs)?;
    let mut options = BuildOptions::new(&build.out_dir);
    options.split = SplitOptions {
        seed: build.seed,
        val_fraction: build.val_fraction,
    };
    let mut builder = DatasetBuilder::new(options)?;
    let mut problems = Problems::default();
    let mut failed: Option<TracesError> = None;
    let summary = import(&files, &ImportOptions::default(), &mut |event| {
        match event {
            ImportEvent::Session(trace) => {
                if let Err(error) = builder.add(&trace) {
                    failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            ImportEvent::Problem(problem) => problems.take(problem),
            ImportEvent::Progress(done) => {
                let _ = progress.try_send(BuildProgress {
                    files_done: done.files_done,
                    files_total: done.files_total,
                    rows: builder.progress().rows,
                });
            }
            _ => {}
        }
        // Nobody listens any more: the caller is gone, and so is the reason to go on.
        if progress.is_closed() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if summary.stopped {
        return Err(TracesError::Stopped.into());
    }
    builder.record_import(&summary);
    let manifest = builder.finish()?;
    let readme = build.out_dir.join("README.md");
    let card = card::render(&manifest, build.repo_id.as_deref())
        .map_err(CoreError::hub("write the dataset's card"))?;
    std::fs::write(&readme, card).map_err(CoreError::io("write", &readme))?;
    let built = BuiltDataset {
        dir: build.out_dir.clone(),
        sessions: manifest.sessions,
        rows_train: manifest.rows_train,
        rows_val: manifest.rows_val,
    };
    let report = report(&manifest, &problems, build);
    Ok((built, report))
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
