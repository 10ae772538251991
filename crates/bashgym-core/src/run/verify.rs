//! Done means there: a model counts when its files are in the output repository at a recorded revision.

use std::path::{Path, PathBuf};

use hf_core::{HfClient, RepoType, Revision};
use hf_datasets::{DownloadOptions, RepoFiles};
use serde_json::Value;

use super::model::{RunSpec, SubmittedJob, VerifiedModel};
use super::service::RunContext;
use crate::CoreError;
use crate::trainer::RESULT_FILE;

/// What was found in the output repository.
pub(crate) struct FoundModel {
    pub(crate) repo_id: String,
    pub(crate) revision: String,
    pub(crate) files: usize,
    pub(crate) val_loss_before: Option<f64>,
    pub(crate) val_loss_after: Option<f64>,
}

impl FoundModel {
    pub(crate) fn into_model(self, job: SubmittedJob, dir: PathBuf) -> VerifiedModel {
        VerifiedModel {
            job,
            repo_id: self.repo_id,
            revision: self.revision,
            dir,
            val_loss_before: self.val_loss_before,
            val_loss_after: self.val_loss_after,
        }
    }
}

pub(crate) fn repo(client: &HfClient, kind: RepoType, repo_id: &str) -> Result<RepoFiles, CoreError> {
    let id = repo_id
        .parse()
        .map_err(CoreError::hub("take the repository's name"))?;
    Ok(RepoFiles::new(client, kind, id))
}

pub(crate) fn revision(text: &str) -> Result<Revision, CoreError> {
    text.parse().map_err(CoreError::hub("take the revision"))
}

/// Finds the model and fetches its files into `dir`.
pub(crate) async fn model(
    context: &RunContext,
    spec: &RunSpec,
    job: &SubmittedJob,
    dir: &Path,
) -> Result<FoundModel, CoreError> {
    let repo = repo(&context.client, RepoType::Model, &spec.model_repo)?;
    let info = repo
        .info(None)
        .await
        .map_err(CoreError::hub("show the model repository"))?;
    let missing = |missing: String| CoreError::ModelMissing {
        job_id: job.job_id.clone(),
        repo_id: spec.model_repo.clone(),
        missing,
    };
    let sha = info.sha.clone().ok_or_else(|| missing("commit".to_owned()))?;
    for required in context.backend.required_files() {
        if !info.siblings.iter().any(|file| file.path == *required) {
            return Err(missing((*required).to_owned()));
        }
    }
    let options = DownloadOptions {
        revision: revision(&sha)?,
        ..DownloadOptions::default()
    };
    repo.download_snapshot(dir, &options)
        .await
        .map_err(CoreError::hub("send the model's files"))?;
    let path = dir.join(RESULT_FILE);
    let text = std::fs::read_to_string(&path).map_err(CoreError::io("read", &path))?;
    let result: Value =
        serde_json::from_str(&text).map_err(|error| missing(format!("readable {RESULT_FILE} ({error})")))?;
    // A model of an earlier job in the same repository is not this job's model.
    if let Some(made_by) = result.get("job_id").and_then(Value::as_str)
        && made_by != job.job_id
    {
        return Err(missing(format!(
            "model of this job; what is there was made by job {made_by}"
        )));
    }
    let number = |key: &str| {
        result
            .get(key)
            .and_then(Value::as_f64)
            .filter(|number| number.is_finite())
    };
    Ok(FoundModel {
        repo_id: spec.model_repo.clone(),
        revision: sha,
        files: info.siblings.len(),
        val_loss_before: number("val_loss_before"),
        val_loss_after: number("val_loss_after"),
    })
}
