//! Long work: what is asked for, how far it is, and who does it.

use std::sync::Arc;

use axum::extract::State;
use bashgym_core::task::{
    TaskContext, TaskError, TaskFilter, TaskHandler, TaskId, TaskPolicy, TaskProgress, TaskRecord,
    TaskService, TaskServiceError, TaskState,
};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};
use utoipa::{IntoParams, ToSchema};

use super::{bulk, dataset_tasks, runs, session_archive, session_tasks, space_tasks};
use crate::extract::{Path, Query};
use crate::page::{Page, PageQuery};
use crate::parts::ServerParts;
use crate::problem::{Code, Failures, Missing, Problem, Refusals};
use crate::space_watch::SpaceWatch;
use crate::state::AppState;

/// Everything this server can do as a task.
pub(crate) fn task_service(parts: &ServerParts, spaces: &Arc<SpaceWatch>) -> TaskService {
    let handlers: [(&str, Arc<dyn TaskHandler>); 8] = [
        (
            dataset_tasks::BUILD,
            Arc::new(dataset_tasks::Build(parts.clone())),
        ),
        (
            dataset_tasks::UPLOAD,
            Arc::new(dataset_tasks::Upload(parts.clone())),
        ),
        (
            session_tasks::IMPORT,
            Arc::new(session_tasks::Import(parts.clone())),
        ),
        (
            session_archive::ARCHIVE,
            Arc::new(session_archive::Keep(parts.clone())),
        ),
        (dataset_tasks::PULL, Arc::new(dataset_tasks::Pull(parts.clone()))),
        (bulk::BULK, Arc::new(bulk::Bulk(parts.clone()))),
        (runs::RUN, Arc::new(runs::Drive(parts.clone()))),
        (
            space_tasks::DEPLOY,
            Arc::new(space_tasks::Deploy {
                parts: parts.clone(),
                watch: Arc::clone(spaces),
            }),
        ),
    ];
    TaskService::new(
        Arc::clone(&parts.tasks),
        Arc::clone(&parts.clock),
        format!("server {}", uuid::Uuid::now_v7()),
        TaskPolicy::default(),
        handlers.map(|(kind, handler)| (kind.to_owned(), handler)),
    )
}

/// A task's failure out of a problem.
pub(crate) fn failed(problem: &Problem) -> TaskError {
    TaskError {
        code: problem.code().as_str().to_owned(),
        message: hf_core::scrub_secrets(problem.detail()),
        hint: problem.first_hint(),
    }
}

/// Does work on a thread of its own and tells the task how far it is. Dropping the future ends the work.
///
/// A future that borrows across its steps may not move between threads; here it does not.
///
/// # Errors
/// Those of the work; [`Problem`] of code `internal` when it broke off.
pub(crate) async fn apart<T, F, W>(task: &TaskContext, work: F) -> Result<T, Problem>
where
    T: Send + 'static,
    F: FnOnce(mpsc::Sender<TaskProgress>) -> W + Send + 'static,
    W: Future<Output = Result<T, Problem>>,
{
    let broken = || Problem::new(Code::Internal, "the work broke off");
    let canceled = CancellationToken::new();
    let _guard = canceled.clone().drop_guard();
    let (told, mut news) = mpsc::channel(8);
    let runtime = Handle::current();
    let span = Span::current();
    let working = tokio::task::spawn_blocking(move || {
        let work = async move { canceled.run_until_cancelled(work(told)).await };
        runtime.block_on(work.instrument(span))
    });
    while let Some(progress) = news.recv().await {
        task.progress(progress).await;
    }
    working.await.ok().flatten().ok_or_else(broken)?
}

impl From<TaskServiceError> for Problem {
    fn from(error: TaskServiceError) -> Self {
        let code = match error {
            TaskServiceError::Store(source) => return source.into(),
            TaskServiceError::KeyReused { .. } => Code::IdempotencyKeyReused,
            TaskServiceError::Missing { .. } => Code::NotFound,
            TaskServiceError::AlreadyOver { .. } => Code::Conflict,
            _ => Code::Internal,
        };
        Self::new(code, error.to_string())
    }
}

/// A task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskView {
    /// Its id.
    id: String,
    /// `session_import`, `session_archive`, `dataset_build`, `dataset_upload`, `dataset_pull`, `bulk`, `space_deploy` or `run`.
    kind: String,
    /// How it stands.
    #[schema(value_type = String, example = "running")]
    state: TaskState,
    /// How far it is: `done`, `total` where it is known, `unit`, `message`.
    #[schema(value_type = Option<Object>, required)]
    progress: Option<Value>,
    /// What came of it.
    #[schema(value_type = Option<Object>, required)]
    result: Option<Value>,
    /// Why it failed: `code`, `message`, `hint`.
    #[schema(value_type = Option<Object>, required)]
    error: Option<Value>,
    /// How often it was begun; more than once after a crash.
    attempts: u32,
    /// When it was asked for.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    finished_at: Option<Timestamp>,
}

impl From<TaskRecord> for TaskView {
    fn from(task: TaskRecord) -> Self {
        Self {
            id: task.id.to_string(),
            kind: task.kind,
            state: task.state,
            progress: task
                .progress
                .and_then(|progress| serde_json::to_value(progress).ok()),
            result: task.result,
            error: task.error.and_then(|error| serde_json::to_value(error).ok()),
            attempts: task.attempts,
            created_at: task.created_at,
            finished_at: task.finished_at,
        }
    }
}

/// Which tasks.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct TaskQuery {
    /// Only tasks of this kind.
    kind: Option<String>,
}

fn id(text: &str) -> Result<TaskId, Problem> {
    text.parse()
        .map_err(|_| Problem::new(Code::NotFound, "there is no task of this name"))
}

/// The tasks, newest first.
#[utoipa::path(get, path = "/api/tasks", tag = "training", params(PageQuery, TaskQuery),
    responses((status = 200, body = Page<TaskView>), Failures, Missing))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Query(page): Query<PageQuery>,
    Query(query): Query<TaskQuery>,
) -> Result<axum::Json<Page<TaskView>>, Problem> {
    let limit = page.limit()?;
    let before = page.after.as_deref().map(id).transpose()?;
    let filter = TaskFilter {
        kind: query.kind,
        state: None,
    };
    let found = state.tasks.list(&filter, before, limit + 1).await?;
    let views = found.into_iter().map(TaskView::from).collect();
    Ok(axum::Json(Page::cut(views, limit, |task| task.id.clone())))
}

/// One task.
#[utoipa::path(get, path = "/api/tasks/{id}", tag = "training", params(("id" = String, Path, description = "The task's id")),
    responses((status = 200, body = TaskView), Failures, Missing))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<TaskView>, Problem> {
    let found = state.parts.tasks.find_task(id(&name)?).await?;
    let task = found.ok_or_else(|| Problem::new(Code::NotFound, "there is no task of this name"))?;
    Ok(axum::Json(task.into()))
}

/// Asks a task to stop: 409 when it is over.
#[utoipa::path(delete, path = "/api/tasks/{id}", tag = "training", params(("id" = String, Path, description = "The task's id")),
    responses((status = 202, body = TaskView, description = "It was asked"), Failures, Missing, Refusals))]
pub(crate) async fn cancel(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<(StatusCode, axum::Json<TaskView>), Problem> {
    let task = state.tasks.cancel(id(&name)?).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(task.into())))
}
