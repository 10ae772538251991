//! A run that begins at a dataset on the Hub: nothing is built or sent, the commit is recorded.

use std::io::BufRead;
use std::path::Path;

use bashgym_traces::{DatasetManifest, METADATA_FILE, Split};
use hf_core::RepoType;
use hf_datasets::DownloadOptions;
use serde_json::json;

use super::model::{BuiltDataset, RunRecord};
use super::service::{Recorder, RunContext};
use super::state::{RunState, Stage};
use super::verify;
use crate::CoreError;
use crate::events::StageStatus;

/// Fetches the dataset at its commit and counts its rows.
pub(crate) async fn find(
    context: &RunContext,
    record: &RunRecord,
    run_dir: &Path,
    events: &Recorder<'_>,
) -> Result<BuiltDataset, CoreError> {
    let Some(source) = &record.spec.source else {
        return Err(CoreError::Internal {
            message: "the run has no dataset to begin at".to_owned(),
        });
    };
    let dir = run_dir.join("dataset");
    let mut allow_patterns: Vec<String> = source.files.values().flatten().cloned().collect();
    allow_patterns.push(METADATA_FILE.to_owned());
    let options = DownloadOptions {
        revision: verify::revision(&source.revision)?,
        allow_patterns,
        ..DownloadOptions::default()
    };
    verify::repo(&context.client, RepoType::Dataset, &record.spec.dataset_repo)?
        .download_snapshot(&dir, &options)
        .await
        .map_err(CoreError::hub("send the dataset"))?;
    let count = |split: Split| -> Result<u64, CoreError> {
        let files = source
            .files
            .get(split.name())
            .map(Vec::as_slice)
            .unwrap_or_default();
        files.iter().map(|file| rows(&dir.join(file))).sum()
    };
    let built = BuiltDataset {
        sessions: DatasetManifest::read(&dir).map_or(0, |manifest| manifest.sessions),
        rows_train: count(Split::Train)?,
        rows_val: count(Split::Val)?,
        dir,
    };
    let detail = json!({
        "dataset_repo": record.spec.dataset_repo, "dataset_revision": source.revision,
        "rows_train": built.rows_train, "rows_val": built.rows_val, "sessions": built.sessions,
    });
    events.stage(Stage::Import, StageStatus::Finished, detail).await?;
    Ok(built)
}

/// The dataset is where it is: its commit is recorded, and nothing sent.
pub(crate) async fn publish(
    record: &RunRecord,
    built: BuiltDataset,
    events: &Recorder<'_>,
) -> Result<RunState, CoreError> {
    let revision = record
        .spec
        .source
        .as_ref()
        .map(|source| source.revision.clone())
        .unwrap_or_default();
    let repo = record.spec.dataset_repo.clone();
    let detail = json!({ "dataset_repo": repo, "dataset_revision": revision, "already_there": true });
    events
        .stage(Stage::Publish, StageStatus::Finished, detail)
        .await?;
    Ok(RunState::Built(built).published(repo, revision)?)
}

fn rows(path: &Path) -> Result<u64, CoreError> {
    let file = std::fs::File::open(path).map_err(CoreError::io("read", path))?;
    let mut reader = std::io::BufReader::with_capacity(1 << 18, file);
    let (mut rows, mut line) = (0, Vec::new());
    loop {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(CoreError::io("read", path))?;
        if read == 0 {
            return Ok(rows);
        }
        rows += u64::from(!line.trim_ascii().is_empty());
    }
}
