//! Jobs: list, start, show, cancel, and what one would cost.

use axum::extract::State;
use bashgym_core::launch::{BoardPage, Stale, Work};
use bashgym_core::run::Target;
use bashgym_core::store::SeenJobFilter;
use hf_core::{JobId, Namespace, SecretValue};
use hf_jobs::{HfJobRunner, JobInfo};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::job_request::JobRequest;
use crate::audit::Did;
use crate::extract::{Json, Path, Query};
use crate::page::{Page, PageQuery};
use crate::parts::HubConnection;
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::replay::key_of;
use crate::state::AppState;

/// A job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobView {
    /// Its id.
    pub(crate) id: String,
    /// SCHEDULING, RUNNING, COMPLETED, CANCELED, ERROR or DELETED; or a word of the Hub that is new.
    stage: String,
    /// Whether it has ended.
    is_over: bool,
    /// What the Hub says about its stage.
    #[schema(required)]
    message: Option<String>,
    /// Its hardware.
    flavor: String,
    /// Where it is on the Hub.
    url: String,
    /// When it was submitted.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    created_at: Option<Timestamp>,
    /// How long it ran, in seconds.
    #[schema(required)]
    running_seconds: Option<f64>,
    /// All that the Hub says of it. Secrets are names only.
    #[schema(value_type = Object)]
    hub: Value,
}

impl JobView {
    pub(crate) fn new(job: &JobInfo, runner: &HfJobRunner) -> Self {
        Self {
            id: job.id.to_string(),
            stage: job.status.stage.to_string(),
            is_over: job.stage().is_terminal(),
            message: job.status.message.clone(),
            flavor: job.flavor.clone(),
            url: runner.job_url(job),
            created_at: job.created_at,
            running_seconds: job
                .durations
                .as_ref()
                .and_then(|durations| durations.running_secs),
            hub: serde_json::to_value(job).unwrap_or_default(),
        }
    }
}

/// The jobs that a name such as `id` or `namespace/id` is of, and the id.
pub(crate) fn named(hub: &HubConnection, name: &str) -> Result<(HfJobRunner, JobId), Problem> {
    match name.split_once('/') {
        Some((namespace, id)) => {
            let namespace = Namespace::parse(namespace)?;
            Ok((HfJobRunner::new(&hub.client, namespace), id.parse()?))
        }
        None => Ok((hub.jobs(), name.parse()?)),
    }
}

/// Which jobs.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct JobQuery {
    /// Only jobs of these stages, with commas between.
    stage: Option<String>,
    /// Only jobs with this label, as `KEY=VALUE`.
    label: Option<String>,
}

impl JobQuery {
    fn filter(&self) -> Result<SeenJobFilter, Problem> {
        let stages = self.stage.as_deref().unwrap_or_default().split(',');
        let label = match self.label.as_deref().map(|label| label.split_once('=')) {
            None => None,
            Some(Some((key, value))) if !key.is_empty() => Some((key.to_owned(), value.to_owned())),
            Some(_) => return Err(Problem::new(Code::BadRequest, "a label is KEY=VALUE")),
        };
        Ok(SeenJobFilter {
            stages: stages
                .map(|stage| stage.trim().to_uppercase())
                .filter(|stage| !stage.is_empty())
                .collect(),
            label,
        })
    }
}

/// A page of jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobPage {
    /// The jobs, newest first.
    items: Vec<JobView>,
    /// What `after` is for the next page; null at the end.
    #[schema(required)]
    next: Option<String>,
    /// Where the jobs are shown as they were some time ago; null where they are as they are.
    #[schema(required)]
    stale: Option<StaleView>,
}

/// That what is shown is older than it should be.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StaleView {
    /// When it was seen so.
    #[schema(value_type = String, format = DateTime)]
    seen_at: Timestamp,
    /// Why it is not newer.
    why: String,
}

impl JobPage {
    fn new(page: &BoardPage, limit: u32, runner: &HfJobRunner) -> Self {
        let views = page.jobs.iter().map(|job| JobView::new(job, runner)).collect();
        let Page { items, next } = Page::cut(views, limit, |job: &JobView| job.id.clone());
        let stale = page.stale.as_ref().map(|Stale { seen_at, why }| StaleView {
            seen_at: *seen_at,
            why: hf_core::scrub_secrets(why),
        });
        Self { items, next, stale }
    }
}

/// The jobs of the namespace, newest first.
///
/// Answered from what is kept of them, which is brought to date when it is older than two seconds. When the Hub does not
/// answer, they are shown as they were, and `stale` says since when and why.
#[utoipa::path(get, path = "/api/hf/jobs", tag = "hugging face", params(PageQuery, JobQuery),
    responses((status = 200, body = JobPage), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Query(page): Query<PageQuery>,
    Query(query): Query<JobQuery>,
) -> Result<axum::Json<JobPage>, Problem> {
    let limit = page.limit()?;
    let filter = query.filter()?;
    let after = page.after.as_deref().map(str::parse::<JobId>).transpose()?;
    let (after, most) = (after.as_ref(), limit + 1);
    match state.hub().await {
        Ok(hub) => {
            let runner = hub.jobs();
            let page = state
                .board
                .list(&runner, &hub.target(), &filter, after, most)
                .await?;
            Ok(axum::Json(JobPage::new(&page, limit, &runner)))
        }
        Err(problem) => {
            let Some(last) = state
                .last_hub()
                .filter(|_| problem.code() == Code::HubUnreachable)
            else {
                return Err(problem);
            };
            let why = problem.detail().to_owned();
            let kept = state
                .board
                .list_kept(&last.target(), &filter, after, most, why)
                .await?;
            let page = kept.ok_or(problem)?;
            Ok(axum::Json(JobPage::new(&page, limit, &last.jobs())))
        }
    }
}

/// Where the board has the jobs that a runner is of.
pub(crate) fn target_of(hub: &HubConnection, runner: &HfJobRunner) -> Target {
    Target {
        namespace: runner.namespace().to_string(),
        ..hub.target()
    }
}

/// Starts a job, with its worst case reserved in the ledger first.
///
/// The same `Idempotency-Key` again is the same job, also after a crash of the server.
#[utoipa::path(post, path = "/api/hf/jobs", tag = "hugging face", request_body = JobRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same job")),
    responses((status = 201, body = JobView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn submit(
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(request): Json<JobRequest>,
) -> Result<(StatusCode, axum::Json<JobView>), Problem> {
    let key = key_of(&headers)?;
    let hub = state.hub().await?;
    let spec = request.spec(&hub)?;
    let secrets: Vec<&str> = spec.secrets.values().map(SecretValue::expose).collect();
    state.parts.composition.remember_secrets(&secrets)?;
    let starter = state.parts.starter(&hub);
    let price = Work::of_spec(&spec)
        .price(&starter.runner, request.allow_unknown_price)
        .await?;
    let launched = starter.submit(&spec, price, key.as_deref()).await?;
    let Some(job_id) = launched.job_id() else {
        return Err(Problem::new(Code::Internal, "a launch went well without a job"));
    };
    let job = starter.runner.get_job(job_id).await?;
    state
        .audit(Did::Spent, "job_started", format!("{} on {}", job.id, job.flavor))
        .await;
    state.launched.notify_one();
    state.board.note(&hub.target(), &job).await;
    let view = JobView::new(&job, &hub.jobs());
    Ok((StatusCode::CREATED, axum::Json(view)))
}

/// What a job would cost and what would be sent. Nothing is started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobPlan {
    /// The namespace that would pay.
    namespace: String,
    /// The request, with the values of secrets hidden.
    #[schema(value_type = Object)]
    request: Value,
    /// The most it can cost in millionths of a US dollar; null is unknown, not free.
    #[schema(required)]
    worst_micro_usd: Option<u64>,
}

/// What a job would cost and what would be sent. Nothing is started.
#[utoipa::path(post, path = "/api/hf/job-plans", tag = "hugging face", request_body = JobRequest,
    responses((status = 200, body = JobPlan), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn plan(
    State(state): State<AppState>,
    Json(request): Json<JobRequest>,
) -> Result<axum::Json<JobPlan>, Problem> {
    let hub = state.hub().await?;
    let spec = request.spec(&hub)?;
    let price = Work::of_spec(&spec)
        .price(&hub.jobs(), request.allow_unknown_price)
        .await?;
    Ok(axum::Json(JobPlan {
        namespace: hub.namespace.to_string(),
        request: spec.preview(),
        worst_micro_usd: price.worst_micro_usd(),
    }))
}

/// One job. A job that failed is shown with its stage; that is no error.
#[utoipa::path(get, path = "/api/hf/jobs/{id}", tag = "hugging face",
    params(("id" = String, Path, description = "The job's id, or `namespace/id`")),
    responses((status = 200, body = JobView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<axum::Json<JobView>, Problem> {
    let hub = state.hub().await?;
    let (runner, id) = named(&hub, &id)?;
    let job = runner.get_job(&id).await?;
    state.board.note(&target_of(&hub, &runner), &job).await;
    Ok(axum::Json(JobView::new(&job, &runner)))
}

/// Asks the Hub to cancel a job: 409 when it is over.
#[utoipa::path(delete, path = "/api/hf/jobs/{id}", tag = "hugging face",
    params(("id" = String, Path, description = "The job's id, or `namespace/id`")),
    responses((status = 202, body = JobView, description = "The Hub was asked"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<(StatusCode, axum::Json<JobView>), Problem> {
    let hub = state.hub().await?;
    let (runner, id) = named(&hub, &id)?;
    let before = runner.get_job(&id).await?;
    if before.stage().is_terminal() {
        let over = format!("job {id} is over, as {}", before.status.stage);
        return Err(Problem::new(Code::Conflict, over));
    }
    let job = runner.cancel_job(&id).await?;
    state.audit(Did::Changed, "job_canceled", &id).await;
    state.board.note(&target_of(&hub, &runner), &job).await;
    Ok((StatusCode::ACCEPTED, axum::Json(JobView::new(&job, &runner))))
}
