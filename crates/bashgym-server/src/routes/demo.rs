//! The demo: one click from nothing to a student that answers, on the embedded Hub.

use axum::extract::State;
use bashgym_core::demo::{DemoOptions, demo_sessions, demo_spec, is_demo, write_samples};
use bashgym_core::run::RunRecord;
use bashgym_core::task::{TaskFilter, TaskRecord};
use bashgym_core::trainer::Preset;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::runs::{RUN, RunStarted, RunView, begin};
use super::tasks::TaskView;
use crate::extract::Json;
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::state::AppState;

/// Runs and tasks that are looked at.
const LOOKED_AT: u32 = 100;

/// How the demo stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DemoView {
    /// Whether it can be begun here: only on the embedded Hub of this machine.
    available: bool,
    /// The latest demo; null where there was none.
    #[schema(required)]
    run: Option<RunView>,
    /// The task that drives it, or drove it last.
    #[schema(required)]
    task: Option<TaskView>,
}

/// A demo to begin.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DemoRequest {
    /// The size of the student: `tiny`, `small` or `base`.
    #[schema(value_type = Option<String>, example = "small")]
    preset: Option<Preset>,
    /// Seconds of training at most; 150 without it.
    #[schema(minimum = 1, maximum = 3600)]
    max_seconds: Option<u64>,
}

/// How the demo stands: whether it can be begun, and the latest one with its task.
#[utoipa::path(get, path = "/api/demo", operation_id = "show_demo", tag = "training",
    responses((status = 200, body = DemoView), Failures))]
pub(crate) async fn show(State(state): State<AppState>) -> Result<axum::Json<DemoView>, Problem> {
    let available = state.parts.composition.account().await?.embedded;
    let (run, task) = latest(&state).await?.unzip();
    Ok(axum::Json(DemoView {
        available,
        run: run.map(RunView::from),
        task: task.flatten().map(TaskView::from),
    }))
}

/// The latest demo, and the task that drives it, or drove it last.
async fn latest(state: &AppState) -> Result<Option<(RunRecord, Option<TaskRecord>)>, Problem> {
    let runs = state.parts.store.list_runs(None, LOOKED_AT).await?;
    let Some(run) = runs.into_iter().find(|run| is_demo(run, &state.parts.work_dir)) else {
        return Ok(None);
    };
    let filter = TaskFilter {
        kind: Some(RUN.to_owned()),
        state: None,
    };
    let id = run.id.to_string();
    let tasks = state.tasks.list(&filter, None, LOOKED_AT).await?;
    let task = tasks.into_iter().find(|task| task.input["run_id"] == *id);
    Ok(Some((run, task)))
}

/// Begins the demo: sample sessions, a dataset of them, a student trained on it, and its answers, all on this machine. One
/// that something is at goes on; one that ended is begun anew.
#[utoipa::path(post, path = "/api/demo", operation_id = "start_demo", tag = "training", request_body = DemoRequest,
    responses((status = 202, body = RunStarted), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn start(
    State(state): State<AppState>,
    Json(request): Json<DemoRequest>,
) -> Result<(StatusCode, axum::Json<RunStarted>), Problem> {
    if request
        .max_seconds
        .is_some_and(|seconds| !(1..=3600).contains(&seconds))
    {
        return Err(Problem::new(Code::Invalid, "max_seconds is 1 to 3600"));
    }
    let hub = state.hub().await?;
    let work = state.parts.work_dir.clone();
    let options = DemoOptions {
        preset: request.preset,
        max_seconds: request.max_seconds,
    };
    let spec = demo_spec(&hub.target(), &work, options).ok_or_else(|| {
        Problem::new(
            Code::Conflict,
            "the demo runs on the embedded Hub of this machine, and this server works on another one",
        )
        .hint("start a server on the embedded Hub: `bashgym --local up`")
    })?;
    tokio::task::spawn_blocking(move || write_samples(&demo_sessions(&work)))
        .await
        .map_err(|_| Problem::new(Code::Internal, "the sample sessions could not be written"))??;
    let going = latest(&state)
        .await?
        .is_some_and(|(_, task)| task.is_some_and(|task| !task.state.is_final()));
    begin(&state, &hub, spec, !going).await
}
