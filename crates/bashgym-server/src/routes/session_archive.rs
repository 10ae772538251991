//! Keeping the originals of sessions, since agents delete theirs: as long work, and what is kept.

use std::ops::ControlFlow;
use std::path::PathBuf;

use async_trait::async_trait;
use axum::extract::State;
use bashgym_core::task::{TaskContext, TaskError, TaskHandler, TaskProgress};
use bashgym_traces::{Added, Archive, find_session_files};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use utoipa::ToSchema;

use super::datasets::submit;
use super::sessions::{NamedSessions, SessionsRequest};
use super::tasks::{TaskView, apart, failed};
use crate::extract::Json;
use crate::parts::ServerParts;
use crate::problem::{Code, Failures, Missing, Problem, Refusals};
use crate::state::AppState;

/// The kind of the task.
pub(crate) const ARCHIVE: &str = "session_archive";
/// Files that could not be read and are told one by one, at most.
const PROBLEMS_LISTED: usize = 20;

/// What the archive keeps.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ArchiveView {
    /// Files.
    files: u64,
    /// The size of the last version of each, in bytes; what is stored is compressed, each part once.
    size_bytes: u64,
    /// When a file was kept last, in RFC 3339.
    archived_at: Option<String>,
}

/// What is kept of the originals of sessions.
#[utoipa::path(get, path = "/api/sessions/archive", operation_id = "show_session_archive", tag = "data",
    responses((status = 200, body = ArchiveView), Failures))]
pub(crate) async fn show(State(state): State<AppState>) -> Result<axum::Json<ArchiveView>, Problem> {
    let folder = state.parts.archive_dir.clone();
    let kept = tokio::task::spawn_blocking(move || Archive::list(&folder))
        .await
        .map_err(|_| Problem::new(Code::Internal, "the archive could not be looked at"))??;
    let last = kept.iter().filter_map(|file| file.versions.last());
    Ok(axum::Json(ArchiveView {
        files: kept.len() as u64,
        size_bytes: last.clone().map(|version| version.size_bytes).sum(),
        archived_at: last
            .map(|version| version.archived_at)
            .max()
            .map(|at| at.to_string()),
    }))
}

/// Keeps the originals of sessions as they are now, as a task. Nothing leaves this machine; of a file that grew only the
/// rest is stored. Look at `GET /api/tasks/{id}`.
#[utoipa::path(post, path = "/api/sessions/archive", operation_id = "archive_sessions", tag = "data",
    request_body = SessionsRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same task")),
    responses((status = 202, body = TaskView), Failures, Missing, Refusals))]
pub(crate) async fn start(
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(request): Json<SessionsRequest>,
) -> Result<(StatusCode, axum::Json<TaskView>), Problem> {
    submit(&state, ARCHIVE, json!(request.named(&state)?), &headers).await
}

/// Keeps sessions. Begun again after a crash, it finds what was kept unchanged.
pub(crate) struct Keep(pub(crate) ServerParts);

#[async_trait]
impl TaskHandler for Keep {
    async fn run(&self, task: &TaskContext) -> Result<Value, TaskError> {
        let input: NamedSessions = task.input()?;
        let parts = self.0.clone();
        let keeping = apart(task, async move |told| keep(&input.inputs, &parts, &told));
        keeping.await.map_err(|problem| failed(&problem))
    }
}

/// What came of the task.
#[derive(Debug, Default, Serialize)]
struct Kept {
    files: u64,
    new: u64,
    grown: u64,
    unchanged: u64,
    rewritten: u64,
    failed: u64,
    problems_listed: Vec<Value>,
}

fn keep(
    inputs: &[PathBuf],
    parts: &ServerParts,
    told: &mpsc::Sender<TaskProgress>,
) -> Result<Value, Problem> {
    let files = find_session_files(inputs)?;
    let mut archive = Archive::open(&parts.archive_dir)?;
    let mut result = Kept::default();
    archive.add_sessions(&files, || parts.clock.now(), &mut |kept| {
        result.files += 1;
        match kept.added {
            Ok(Added::New) => result.new += 1,
            Ok(Added::Grown) => result.grown += 1,
            Ok(Added::Unchanged) => result.unchanged += 1,
            Ok(Added::Rewritten) => result.rewritten += 1,
            Err(error) => {
                result.failed += 1;
                if result.problems_listed.len() < PROBLEMS_LISTED {
                    let problem = json!({ "file": kept.path, "reason": error.to_string() });
                    result.problems_listed.push(problem);
                }
            }
        }
        // One that is not heard is followed by another.
        let _ = told.try_send(TaskProgress {
            done: kept.done,
            total: Some(kept.total),
            unit: "files".to_owned(),
            message: None,
        });
        // Nobody listens any more once the task was stopped.
        if told.is_closed() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    Ok(json!(result))
}
