//! What may be changed of a job, and the same job once more.

use std::collections::BTreeMap;

use axum::extract::State;
use bashgym_core::launch::{SCHEDULE_LABEL, Work};
use bashgym_core::trainer::INTENT_LABEL;
use hf_jobs::{Expose, JobInfo};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;

use super::jobs::{JobView, named, target_of};
use crate::audit::Did;
use crate::extract::{Json, Path};
use crate::problem::{Failures, HubFailures, Missing, Problem, Refusals};
use crate::state::AppState;

/// The labels of a job.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LabelsRequest {
    /// All of them: what is not among them is taken away.
    labels: BTreeMap<String, String>,
}

/// Replaces the labels of a job. Those by which this program finds its own jobs stay.
#[utoipa::path(put, path = "/api/hf/jobs/{id}/labels", operation_id = "label_job", tag = "hugging face",
    request_body = LabelsRequest,
    params(("id" = String, Path, description = "The job's id, or `namespace/id`")),
    responses((status = 200, body = JobView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn labels(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Json(request): Json<LabelsRequest>,
) -> Result<axum::Json<JobView>, Problem> {
    let hub = state.hub().await?;
    let (runner, id) = named(&hub, &id)?;
    let before = runner.get_job(&id).await?;
    let mut labels = request.labels;
    for (key, value) in &before.labels {
        if key == INTENT_LABEL || key == SCHEDULE_LABEL {
            labels.insert(key.clone(), value.clone());
        }
    }
    let job = runner.set_labels(&id, &labels).await?;
    state.board.note(&target_of(&hub, &runner), &job).await;
    Ok(axum::Json(JobView::new(&job, &runner)))
}

/// The ports of a job.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PortsRequest {
    /// Ports it offers.
    #[serde(default)]
    ports: Vec<u16>,
    /// Those of them that need no token.
    #[serde(default)]
    ports_public: Vec<u16>,
}

/// Changes which ports a job offers. A public port can be reached by everybody who knows its address.
#[utoipa::path(put, path = "/api/hf/jobs/{id}/ports", operation_id = "expose_job", tag = "hugging face",
    request_body = PortsRequest,
    params(("id" = String, Path, description = "The job's id, or `namespace/id`")),
    responses((status = 200, body = JobView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn ports(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Json(request): Json<PortsRequest>,
) -> Result<axum::Json<JobView>, Problem> {
    let hub = state.hub().await?;
    let (runner, id) = named(&hub, &id)?;
    let expose = Expose {
        ports: request.ports,
        ports_public: request.ports_public,
    };
    let job = runner.set_exposed(&id, &expose).await?;
    state.audit(Did::Changed, "job_ports", &id).await;
    state.board.note(&target_of(&hub, &runner), &job).await;
    Ok(axum::Json(JobView::new(&job, &runner)))
}

/// How a job is started once more.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AgainRequest {
    /// Start it even if its price is not known; caps then cannot count it.
    #[serde(default)]
    pub(crate) allow_unknown_price: bool,
}

fn work_of(job: &JobInfo) -> Work {
    Work {
        flavor: job.flavor.clone(),
        timeout_secs: job.timeout,
        attempts: job.retry.unwrap_or_default().saturating_add(1),
        has_ports: job.expose.is_some(),
    }
}

/// Starts a job once more as it was, secrets included, with its worst case reserved first.
#[utoipa::path(post, path = "/api/hf/jobs/{id}/duplicate", operation_id = "duplicate_job", tag = "hugging face",
    request_body = AgainRequest,
    params(("id" = String, Path, description = "The job's id, or `namespace/id`"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same job")),
    responses((status = 201, body = JobView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn duplicate(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Json(request): Json<AgainRequest>,
) -> Result<(StatusCode, axum::Json<JobView>), Problem> {
    let hub = state.hub().await?;
    let (runner, id) = named(&hub, &id)?;
    let work = work_of(&runner.get_job(&id).await?);
    let mut starter = state.parts.starter(&hub);
    starter.runner = runner.clone();
    let price = work.price(&runner, request.allow_unknown_price).await?;
    let job = starter
        .start_kept(&work, price, runner.duplicate_job(&id))
        .await?;
    state
        .audit(Did::Spent, "job_started", format!("{} on {}", job.id, job.flavor))
        .await;
    state.launched.notify_one();
    state.board.note(&target_of(&hub, &runner), &job).await;
    Ok((StatusCode::CREATED, axum::Json(JobView::new(&job, &runner))))
}
