//! What will be sent, before it is sent.

use hf_core::{HfClient, SecretValue};
use serde_json::json;

use super::wanted::PlanRequest;
use super::{PlannedFile, TrainPlan};
use crate::CoreError;
use crate::trainer::{
    EmbeddedBackend, INTENT_LABEL, PinnedCode, RUN_LABEL, TrainJobConfig, TrainingBackend, TrlBackend,
};

/// What stands in the request where the commit will be.
const COMMIT_TO_COME: &str = "<the commit that `train start` makes>";
const RUN_TO_COME: &str = "<the run>";

/// Exactly what will be sent, with the values of secrets hidden.
pub(super) fn describe_request(
    client: &HfClient,
    request: &PlanRequest,
    plan: &mut TrainPlan,
) -> Result<(), CoreError> {
    let (Some(flavor), Some(dataset)) = (&plan.flavor, &plan.dataset) else {
        return Ok(());
    };
    let backend: Box<dyn TrainingBackend> = match &plan.training.trl {
        Some(options) => Box::new(TrlBackend::new(options, request.launch)),
        None => Box::new(EmbeddedBackend),
    };
    let mut job = TrainJobConfig {
        dataset_repo: dataset.repo_id.clone(),
        dataset_revision: dataset.revision.clone(),
        model_repo: request.model_repo.clone(),
        training: plan.training.clone(),
        run_id: Some(RUN_TO_COME.to_owned()),
        dataset_files: Some(dataset.files.clone()),
        code: None,
    };
    let files = backend.code(&job)?;
    plan.files = files
        .iter()
        .map(|file| PlannedFile {
            repo_id: request.model_repo.clone(),
            path: file.path.clone(),
            size_bytes: file.text.len() as u64,
        })
        .collect();
    plan.config = files
        .iter()
        .find(|file| file.path == PinnedCode::CONFIG)
        .and_then(|file| serde_json::from_str(&file.text).ok());
    if !files.is_empty() {
        job.code = Some(PinnedCode {
            repo_id: request.model_repo.clone(),
            revision: COMMIT_TO_COME.to_owned(),
        });
    }
    let mut spec = backend.job_spec(&job, flavor)?;
    if let Some(token) = client.token() {
        spec.secrets
            .insert("HF_TOKEN".to_owned(), SecretValue::from(token));
    }
    spec.validate().map_err(CoreError::hub("take the job"))?;
    let mut body = spec.preview();
    body["labels"] = json!({ RUN_LABEL: RUN_TO_COME, INTENT_LABEL: format!("{RUN_TO_COME}.1") });
    plan.request = Some(json!({
        "method": "POST",
        "path": format!("/api/jobs/{}", request.namespace),
        "body": body,
    }));
    Ok(())
}
