//! Runs: from sessions, or a dataset, to a verified student.

use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::State;
use bashgym_core::events::{EventSink, RunEvent};
use bashgym_core::run::{RunId, RunRecord, RunSpec, RunState};
use bashgym_core::task::{NewTask, TaskContext, TaskError, TaskHandler, TaskProgress};
use bashgym_core::trainer::{EmbeddedBackend, Launch, Preset, TrainerConfig, TrainingBackend, TrlBackend};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::dataset_tasks::same_hub;
use super::datasets::share;
use super::jobs::named;
use super::sessions::inputs;
use super::tasks::{apart, failed};
use crate::audit::Did;
use crate::extract::{Json, Path, Query};
use crate::page::{Page, PageQuery};
use crate::parts::{HubConnection, ServerParts};
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::state::AppState;

/// The kind of a run's task.
pub(crate) const RUN: &str = "run";

#[derive(Debug, Serialize, Deserialize)]
struct RunInput {
    run_id: RunId,
    continued: bool,
}

/// Drives a run to its end.
pub(crate) struct Drive(pub(crate) ServerParts);

#[async_trait]
impl TaskHandler for Drive {
    async fn run(&self, task: &TaskContext) -> Result<Value, TaskError> {
        let input: RunInput = task.input()?;
        let parts = self.0.clone();
        let driving = apart(task, move |told| drive(parts, input, Told(told)));
        driving.await.map_err(|problem| failed(&problem))
    }
}

async fn drive(parts: ServerParts, input: RunInput, told: Told) -> Result<Value, Problem> {
    let record = parts.store.find_run(input.run_id).await?;
    let record = record.ok_or_else(|| Problem::new(Code::NotFound, "the run is not there any more"))?;
    let hub = parts.composition.connect().await?;
    same_hub(&hub, &record.spec.target.hub)?;
    let service = parts
        .composition
        .run_service(&hub, backend(&hub, &record.spec.training))?;
    let result = service.drive(input.run_id, input.continued, &told).await?;
    Ok(json!(result))
}

/// What trains.
fn backend(hub: &HubConnection, training: &TrainerConfig) -> Arc<dyn TrainingBackend> {
    match &training.trl {
        Some(options) => Arc::new(TrlBackend::new(options, launch(hub))),
        None => Arc::new(EmbeddedBackend),
    }
}

/// How a job gets its script: a Hub on this machine cannot mount.
pub(crate) fn launch(hub: &HubConnection) -> Launch {
    if hub.client.endpoint().is_loopback() {
        Launch::Fetched
    } else {
        Launch::Mounted
    }
}

/// Tells a task how its run gets on. The events themselves are in the store.
struct Told(mpsc::Sender<TaskProgress>);

#[async_trait]
impl EventSink for Told {
    async fn emit(&self, event: RunEvent) {
        let RunEvent::Stage { stage, .. } = &event else {
            return;
        };
        let stages = ["import", "publish", "submit", "train", "verify", "sample"];
        let word = serde_json::to_value(stage).unwrap_or_default();
        let at = stages
            .iter()
            .position(|stage| word == **stage)
            .unwrap_or_default();
        let progress = TaskProgress {
            done: at as u64,
            total: Some(stages.len() as u64),
            unit: "stages".to_owned(),
            message: word.as_str().map(str::to_owned),
        };
        // One that is not heard is followed by another.
        let _ = self.0.try_send(progress);
    }
}

/// A run.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunView {
    /// Its id.
    id: String,
    /// How far it got.
    state: &'static str,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its state last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: Timestamp,
    /// The dataset repository.
    dataset_repo: String,
    /// The model repository.
    model_repo: String,
    /// Its job, once there is one.
    #[schema(required)]
    job_id: Option<String>,
    /// The state with all that is known in it.
    #[schema(value_type = Object)]
    detail: Value,
    /// What was asked.
    #[schema(value_type = Object)]
    spec: Value,
}

impl From<RunRecord> for RunView {
    fn from(run: RunRecord) -> Self {
        let detail = match serde_json::to_value(&run.state) {
            Ok(Value::String(word)) => json!({ "state": word }),
            Ok(value) => value,
            Err(_) => Value::Null,
        };
        Self {
            id: run.id.to_string(),
            state: run.state.as_str(),
            created_at: run.created_at,
            updated_at: run.updated_at,
            dataset_repo: run.spec.dataset_repo.clone(),
            model_repo: run.spec.model_repo.clone(),
            job_id: run.state.job_id().map(str::to_owned),
            detail,
            spec: serde_json::to_value(&run.spec).unwrap_or_default(),
        }
    }
}

pub(super) fn id(text: &str) -> Result<RunId, Problem> {
    text.parse()
        .map_err(|_| Problem::new(Code::NotFound, "there is no run of this name"))
}

/// The runs, newest first: those of the command line too.
#[utoipa::path(get, path = "/api/runs", tag = "training", params(PageQuery),
    responses((status = 200, body = Page<RunView>), Failures, Missing))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<RunView>>, Problem> {
    let limit = page.limit()?;
    let before = page.after.as_deref().map(id).transpose()?;
    let found = state.parts.store.list_runs(before, limit + 1).await?;
    let views = found.into_iter().map(RunView::from).collect();
    Ok(axum::Json(Page::cut(views, limit, |run| run.id.clone())))
}

/// A run to start: from sessions to a student of the embedded engine.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunRequest {
    /// Session logs, or folders of them, below allowed folders; without any, the agents' own.
    #[serde(default)]
    paths: Vec<String>,
    /// The dataset repository; `bashgym-sessions` without it.
    dataset: Option<String>,
    /// The model repository; `bashgym-student` without it.
    model: Option<String>,
    /// The share of rows held out for validation.
    #[schema(exclusive_minimum = 0, exclusive_maximum = 1)]
    val_fraction: Option<f64>,
    /// The hardware; `cpu-basic` without it.
    flavor: Option<String>,
    /// The size of the student: `tiny`, `small` or `base`.
    #[schema(value_type = Option<String>, example = "small")]
    preset: Option<Preset>,
    /// Decides the order of the data and the first weights.
    seed: Option<u64>,
    /// Optimiser steps at most.
    #[schema(minimum = 1)]
    max_steps: Option<u64>,
    /// Seconds of training at most.
    #[schema(minimum = 1)]
    max_seconds: Option<u64>,
    /// Completions to sample at the end.
    #[schema(maximum = 20)]
    samples: Option<u32>,
    /// Begin anew, even if an unfinished run of the same sessions is there.
    #[serde(default)]
    new: bool,
}

/// A run that is started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RunStarted {
    /// The run.
    run: RunView,
    /// Whether an unfinished run of the same request goes on.
    continued: bool,
    /// The task that drives it.
    task_id: String,
}

/// Starts a run, or goes on with the unfinished one of the same request. It goes on after a crash of the server.
#[utoipa::path(post, path = "/api/runs", tag = "training", request_body = RunRequest,
    responses((status = 202, body = RunStarted), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn start(
    State(state): State<AppState>,
    Json(request): Json<RunRequest>,
) -> Result<(StatusCode, axum::Json<RunStarted>), Problem> {
    if request.max_steps == Some(0)
        || request.max_seconds == Some(0)
        || request.samples.unwrap_or_default() > 20
    {
        return Err(Problem::new(
            Code::Invalid,
            "max_steps and max_seconds are at least 1, samples at most 20",
        ));
    }
    let val_fraction = share(request.val_fraction)?;
    let inputs = inputs(&state, &request.paths)?;
    if inputs.is_empty() {
        return Err(
            Problem::new(Code::Data, "no coding agent has left sessions on this machine")
                .hint("name a folder in `paths`"),
        );
    }
    let hub = state.hub().await?;
    let spec = RunSpec {
        target: hub.target(),
        inputs,
        dataset_repo: hub
            .repo_id(request.dataset.as_deref().unwrap_or("bashgym-sessions"))?
            .to_string(),
        model_repo: hub
            .repo_id(request.model.as_deref().unwrap_or("bashgym-student"))?
            .to_string(),
        val_fraction,
        flavor: request.flavor.unwrap_or_else(|| "cpu-basic".to_owned()),
        training: TrainerConfig {
            preset: request.preset.unwrap_or_default(),
            seed: request.seed.unwrap_or(42),
            max_steps: request.max_steps,
            max_seconds: request.max_seconds,
            ..TrainerConfig::default()
        },
        samples: request.samples.unwrap_or(3),
        source: None,
    };
    begin(&state, &hub, spec, request.new).await
}

/// Finds or makes the run and hands it to a task.
pub(super) async fn begin(
    state: &AppState,
    hub: &HubConnection,
    spec: RunSpec,
    new: bool,
) -> Result<(StatusCode, axum::Json<RunStarted>), Problem> {
    let service = state
        .parts
        .composition
        .run_service(hub, backend(hub, &spec.training))?;
    let (record, continued) = service.find_or_create(spec, new).await?;
    let input = RunInput {
        run_id: record.id,
        continued,
    };
    // One task for each attempt: the same state is taken up once.
    let key = format!("run-{}-{}", record.id, record.version);
    let task = NewTask {
        kind: RUN.to_owned(),
        input: json!(input),
        idempotency_key: Some(key),
    };
    let (task, _) = state.tasks.submit(task).await?;
    state.audit(Did::Spent, "run_started", record.id).await;
    let started = RunStarted {
        run: record.into(),
        continued,
        task_id: task.id.to_string(),
    };
    Ok((StatusCode::ACCEPTED, axum::Json(started)))
}

pub(super) async fn find(state: &AppState, name: &str) -> Result<RunRecord, Problem> {
    let found = state.parts.store.find_run(id(name)?).await?;
    found.ok_or_else(|| Problem::new(Code::NotFound, "there is no run of this name"))
}

/// One run.
#[utoipa::path(get, path = "/api/runs/{id}", tag = "training", params(("id" = String, Path, description = "The run's id")),
    responses((status = 200, body = RunView), Failures, Missing))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<RunView>, Problem> {
    Ok(axum::Json(find(&state, &name).await?.into()))
}

/// What a run told while it went on.
#[utoipa::path(get, path = "/api/runs/{id}/events", tag = "training",
    params(("id" = String, Path, description = "The run's id"), PageQuery),
    responses((status = 200, body = Page<Object>), Failures, Missing))]
pub(crate) async fn events(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<Value>>, Problem> {
    let limit = page.limit()?;
    let after = page.after.as_deref().map(str::parse::<u64>).transpose();
    let after = after.map_err(|_| Problem::new(Code::BadRequest, "after is the number of an event"))?;
    let run = find(&state, &name).await?;
    let found = state
        .parts
        .store
        .list_events(run.id, after.unwrap_or_default(), limit + 1)
        .await?;
    let shown = found.iter().map(|event| json!(event)).collect();
    Ok(axum::Json(Page::cut(shown, limit, |event: &Value| {
        event["seq"].to_string()
    })))
}

/// Ends a run: its job is canceled on the Hub, and it is driven no further. 409 when it is over.
#[utoipa::path(post, path = "/api/runs/{id}/cancel", tag = "training", params(("id" = String, Path, description = "The run's id")),
    responses((status = 202, body = RunView, description = "It was asked"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<(StatusCode, axum::Json<RunView>), Problem> {
    let run = find(&state, &name).await?;
    if matches!(run.state, RunState::Succeeded { .. }) {
        return Err(Problem::new(
            Code::Conflict,
            "the run has succeeded; nothing is left to cancel",
        ));
    }
    let hub = state.hub().await?;
    same_hub(&hub, &run.spec.target.hub)?;
    if let Some(job) = run.state.job_id() {
        let (runner, job) = named(&hub, job)?;
        let seen = runner.get_job(&job).await?;
        if !seen.stage().is_terminal() {
            runner.cancel_job(&job).await?;
        }
    } else {
        stop_task(&state, &run).await?;
    }
    state.audit(Did::Changed, "run_canceled", run.id).await;
    let now = find(&state, &name).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(now.into())))
}

/// Stops the task that drives a run which has no job yet.
async fn stop_task(state: &AppState, run: &RunRecord) -> Result<(), Problem> {
    let filter = bashgym_core::task::TaskFilter {
        kind: Some(RUN.to_owned()),
        state: None,
    };
    let id = run.id.to_string();
    let tasks = state.tasks.list(&filter, None, 500).await?;
    for task in tasks {
        if !task.state.is_final() && task.input["run_id"] == *id {
            state.tasks.cancel(task.id).await?;
        }
    }
    Ok(())
}
