//! Reading the sessions of this machine as long work: what each holds is counted and remembered, so that lists can tell it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::PathBuf;

use async_trait::async_trait;
use axum::extract::State;
use bashgym_core::task::{TaskContext, TaskError, TaskHandler, TaskProgress};
use bashgym_traces::{
    ImportEvent, ImportOptions, ImportProgress, SessionIndex, SessionSummary, find_session_files, import,
};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::datasets::submit;
use super::sessions::{NamedSessions, SessionsRequest};
use super::tasks::{TaskView, apart, failed};
use crate::extract::Json;
use crate::parts::ServerParts;
use crate::problem::{Code, Failures, Missing, Problem, Refusals};
use crate::state::AppState;

/// The kind of the task.
pub(crate) const IMPORT: &str = "session_import";
/// What did not read and is told one by one, at most.
const PROBLEMS_LISTED: usize = 20;

/// Reads sessions and remembers what each holds, as a task. Nothing leaves this machine; look at `GET /api/tasks/{id}`.
#[utoipa::path(post, path = "/api/sessions/import", operation_id = "import_sessions", tag = "data",
    request_body = SessionsRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same task")),
    responses((status = 202, body = TaskView), Failures, Missing, Refusals))]
pub(crate) async fn start(
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(request): Json<SessionsRequest>,
) -> Result<(StatusCode, axum::Json<TaskView>), Problem> {
    submit(&state, IMPORT, json!(request.named(&state)?), &headers).await
}

/// Reads sessions. Begun again after a crash, it reads them again: what was remembered is replaced.
pub(crate) struct Import(pub(crate) ServerParts);

#[async_trait]
impl TaskHandler for Import {
    async fn run(&self, task: &TaskContext) -> Result<Value, TaskError> {
        let input: NamedSessions = task.input()?;
        let index = self.0.sessions.clone();
        let reading = apart(task, async move |told| read(&input.inputs, &index, &told));
        reading.await.map_err(|problem| failed(&problem))
    }
}

/// How far an import is.
fn progress(at: &ImportProgress) -> TaskProgress {
    TaskProgress {
        done: at.bytes_done,
        total: Some(at.bytes_total),
        unit: "bytes".to_owned(),
        message: Some(format!("{} of {} files", at.files_done, at.files_total)),
    }
}

fn read(
    inputs: &[PathBuf],
    index: &SessionIndex,
    told: &mpsc::Sender<TaskProgress>,
) -> Result<Value, Problem> {
    let files = find_session_files(inputs)?;
    let (mut sessions, mut problems, mut unread) = (Vec::new(), Vec::new(), 0_u64);
    let summary = import(&files, &ImportOptions::default(), &mut |event| {
        match event {
            ImportEvent::Session(trace) => sessions.push(SessionSummary::from(&*trace)),
            ImportEvent::Problem(problem) => {
                unread += 1;
                if problems.len() < PROBLEMS_LISTED {
                    problems.push(problem);
                }
            }
            // One that is not heard is followed by another.
            ImportEvent::Progress(at) => drop(told.try_send(progress(&at))),
            _ => {}
        }
        // Nobody listens any more once the task was stopped.
        if told.is_closed() {
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if told.is_closed() {
        return Err(Problem::new(Code::Internal, "the import was stopped"));
    }
    if sessions.is_empty() {
        return Err(Problem::new(Code::Data, "no session could be read").hint(
            "Bash Gym reads the logs of Claude Code, Codex, Gemini CLI, OpenCode, Copilot CLI and Pi",
        ));
    }
    index.add(&sessions)?;
    let mut by_agent: BTreeMap<&str, u64> = BTreeMap::new();
    for session in &sessions {
        *by_agent.entry(session.agent.as_str()).or_default() += 1;
    }
    let sum = |of: fn(&SessionSummary) -> u64| sessions.iter().map(of).sum::<u64>();
    Ok(json!({
        "sessions": sessions.len(), "by_agent": by_agent, "files": summary.files, "bytes": summary.bytes,
        "prompts": sum(|it| it.prompts), "tool_calls": sum(|it| it.tool_calls), "tool_errors": sum(|it| it.tool_errors),
        "problems": unread, "problems_listed": problems,
    }))
}
