//! Jobs that the Hub starts by the clock.

use axum::extract::State;
use bashgym_core::launch::{SCHEDULE_LABEL, ScheduleError, Work};
use hf_core::JobId;
use hf_jobs::{HfJobRunner, Schedule, ScheduledJobInfo};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use super::job_changes::AgainRequest;
use super::job_request::JobRequest;
use super::jobs::{JobView, target_of};
use crate::audit::Did;
use crate::extract::{Json, Path};
use crate::parts::HubConnection;
use crate::problem::{Failures, HubFailures, Missing, Problem, Refusals};
use crate::schedule_watch::books;
use crate::state::AppState;

impl From<ScheduleError> for Problem {
    fn from(error: ScheduleError) -> Self {
        match error {
            ScheduleError::Hub(source) => source.into(),
            ScheduleError::Ledger(source) => source.into(),
            ScheduleError::Store(source) => source.into(),
            other => Self::new(crate::problem::Code::Internal, other.to_string()),
        }
    }
}

/// A scheduled job.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ScheduleView {
    /// Its id.
    id: String,
    /// When it runs.
    #[schema(required)]
    when: Option<String>,
    /// Whether it rests.
    suspended: bool,
    /// When it runs next.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    next_run_at: Option<Timestamp>,
    /// What it runs.
    command: Vec<String>,
    /// Whether one run's worst case is held for it in this program's books.
    is_ours: bool,
    /// All that the Hub says of it. Secrets are names only.
    #[schema(value_type = Object)]
    hub: Value,
}

impl From<ScheduledJobInfo> for ScheduleView {
    fn from(job: ScheduledJobInfo) -> Self {
        Self {
            id: job.id.to_string(),
            when: job.schedule.clone(),
            suspended: job.suspend == Some(true),
            next_run_at: job.status.next_job_run_at,
            command: job.job_spec.command.clone(),
            is_ours: job.job_spec.labels.contains_key(SCHEDULE_LABEL),
            hub: serde_json::to_value(&job).unwrap_or_default(),
        }
    }
}

async fn named(state: &AppState, id: &str) -> Result<(HubConnection, HfJobRunner, JobId), Problem> {
    let hub = state.hub().await?;
    let runner = hub.jobs();
    Ok((hub, runner, id.parse()?))
}

/// The scheduled jobs of the namespace.
#[utoipa::path(get, path = "/api/hf/schedules", operation_id = "list_schedules", tag = "hugging face",
    responses((status = 200, body = Vec<ScheduleView>), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn list(State(state): State<AppState>) -> Result<axum::Json<Vec<ScheduleView>>, Problem> {
    let hub = state.hub().await?;
    let found = hub.jobs().list_scheduled(&[]).await?;
    Ok(axum::Json(found.into_iter().map(ScheduleView::from).collect()))
}

/// A job to start by the clock.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleRequest {
    /// When: `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, or cron fields (UTC).
    #[schema(example = "0 9 * * 1")]
    when: String,
    /// Begin suspended.
    #[serde(default)]
    suspend: bool,
    /// Let a run begin while the last one goes on.
    #[serde(default)]
    concurrency: bool,
    /// The job.
    job: JobRequest,
}

/// Makes a scheduled job. The worst case of one run is held until it is removed; the Hub starts the runs, so no cap can stop one.
#[utoipa::path(post, path = "/api/hf/schedules", operation_id = "create_schedule", tag = "hugging face",
    request_body = ScheduleRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same schedule")),
    responses((status = 201, body = ScheduleView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn create(
    State(state): State<AppState>,
    Json(request): Json<ScheduleRequest>,
) -> Result<(StatusCode, axum::Json<ScheduleView>), Problem> {
    let hub = state.hub().await?;
    let runner = hub.jobs();
    let schedule = Schedule {
        when: request.when.clone(),
        suspend: request.suspend.then_some(true),
        concurrency: request.concurrency.then_some(true),
    };
    schedule.validate()?;
    let mut spec = request.job.spec(&hub)?;
    let secrets: Vec<&str> = spec.secrets.values().map(hf_core::SecretValue::expose).collect();
    state.parts.composition.remember_secrets(&secrets)?;
    let work = Work::of_spec(&spec);
    let price = work.price(&runner, request.job.allow_unknown_price).await?;
    let tag = uuid::Uuid::now_v7().to_string();
    spec.labels.insert(SCHEDULE_LABEL.to_owned(), tag.clone());
    let books = books(&state, &hub);
    books.hold(&tag, price).await?;
    let made = match runner.create_scheduled(&spec, &schedule).await {
        Ok(made) => made,
        Err(error) if error.is_ambiguous() => {
            let label = [(SCHEDULE_LABEL.to_owned(), tag)];
            let found = runner.list_scheduled(&label).await.unwrap_or_default();
            found.into_iter().next().ok_or_else(|| {
                Problem::from(error).hint(
                    "the schedule may be there all the same, so the money for one run stays held; look at the list first",
                )
            })?
        }
        Err(error) => {
            books.release(&tag, "the Hub made no schedule").await?;
            return Err(error.into());
        }
    };
    state.audit(Did::Spent, "schedule_created", &made.id).await;
    Ok((StatusCode::CREATED, axum::Json(made.into())))
}

/// One scheduled job.
#[utoipa::path(get, path = "/api/hf/schedules/{id}", operation_id = "show_schedule", tag = "hugging face",
    params(("id" = String, Path, description = "The scheduled job's id")),
    responses((status = 200, body = ScheduleView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<axum::Json<ScheduleView>, Problem> {
    let (_, runner, id) = named(&state, &id).await?;
    Ok(axum::Json(runner.get_scheduled(&id).await?.into()))
}

/// Removes a scheduled job and gives back what was held for it. Its runs stay, and what they cost is booked.
#[utoipa::path(delete, path = "/api/hf/schedules/{id}", operation_id = "delete_schedule", tag = "hugging face",
    params(("id" = String, Path, description = "The scheduled job's id")),
    responses((status = 204, description = "It is removed"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    let (hub, runner, id) = named(&state, &id).await?;
    let before = runner.get_scheduled(&id).await?.job_spec.labels;
    let tag = before.get(SCHEDULE_LABEL);
    let books = books(&state, &hub);
    if tag.is_some() {
        // Its runs are found as long as its money is held.
        books.book_runs(&runner).await?;
    }
    runner.delete_scheduled(&id).await?;
    if let Some(tag) = tag {
        if let Err(error) = books.book_runs(&runner).await {
            tracing::warn!(%error, "the last runs of a removed schedule could not be booked");
        }
        books.release(tag, "the schedule was removed").await?;
    }
    state.launched.notify_one();
    state.audit(Did::Deleted, "schedule_deleted", &id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// What changes of a scheduled job.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleChange {
    /// When it runs from now on.
    when: Option<String>,
    /// Whether it rests.
    suspended: Option<bool>,
    /// The labels of its runs to come, all of them. The one by which its runs are found stays.
    labels: Option<std::collections::BTreeMap<String, String>>,
}

/// Changes when a scheduled job runs, whether it rests, and the labels of its runs.
#[utoipa::path(put, path = "/api/hf/schedules/{id}", operation_id = "change_schedule", tag = "hugging face",
    request_body = ScheduleChange, params(("id" = String, Path, description = "The scheduled job's id")),
    responses((status = 200, body = ScheduleView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn change(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Json(request): Json<ScheduleChange>,
) -> Result<axum::Json<ScheduleView>, Problem> {
    let (_, runner, id) = named(&state, &id).await?;
    let before = runner.get_scheduled(&id).await?;
    if let Some(when) = &request.when {
        Schedule::new(when).validate()?;
        runner.reschedule(&id, when).await?;
    }
    if let Some(mut labels) = request.labels {
        if let Some(tag) = before.job_spec.labels.get(SCHEDULE_LABEL) {
            labels.insert(SCHEDULE_LABEL.to_owned(), tag.clone());
        }
        runner.set_scheduled_labels(&id, &labels).await?;
    }
    match request.suspended {
        Some(true) => runner.suspend_scheduled(&id).await?,
        Some(false) => runner.resume_scheduled(&id).await?,
        None => {}
    }
    Ok(axum::Json(runner.get_scheduled(&id).await?.into()))
}

/// Runs a scheduled job now, with its worst case reserved first.
#[utoipa::path(post, path = "/api/hf/schedules/{id}/run", operation_id = "run_schedule", tag = "hugging face",
    request_body = AgainRequest,
    params(("id" = String, Path, description = "The scheduled job's id"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same job")),
    responses((status = 201, body = JobView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn run(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Json(request): Json<AgainRequest>,
) -> Result<(StatusCode, axum::Json<JobView>), Problem> {
    let (hub, runner, id) = named(&state, &id).await?;
    let kept = runner.get_scheduled(&id).await?.job_spec;
    let is_ours = kept.labels.contains_key(SCHEDULE_LABEL);
    let work = Work {
        flavor: kept.flavor,
        timeout_secs: kept.timeout,
        attempts: kept.retry.unwrap_or_default().saturating_add(1),
        has_ports: kept.expose.is_some(),
    };
    let price = work.price(&runner, request.allow_unknown_price).await?;
    let starter = state.parts.starter(&hub);
    let job = starter
        .start_kept(&work, price, runner.run_scheduled(&id))
        .await?;
    if is_ours {
        books(&state, &hub).note_booked(&job.id).await?;
    }
    state
        .audit(Did::Spent, "job_started", format!("{} on {}", job.id, job.flavor))
        .await;
    state.launched.notify_one();
    state.board.note(&target_of(&hub, &runner), &job).await;
    Ok((StatusCode::CREATED, axum::Json(JobView::new(&job, &runner))))
}
