//! The sessions of coding agents on this machine.

use axum::extract::State;
use bashgym_traces::{SessionFile, SessionSummary, find_session_files};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use std::path::PathBuf;

use crate::extract::Query;
use crate::page::{Page, PageQuery};
use crate::problem::{Code, Failures, Missing, Problem};
use crate::state::AppState;

/// A session's file.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SessionView {
    /// The agent; null where the file does not tell.
    #[schema(required)]
    agent: Option<&'static str>,
    /// The file.
    file: String,
    /// Its size in bytes.
    size_bytes: u64,
    /// When it was begun.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    started_at: Option<Timestamp>,
    /// The session, where the file holds many.
    #[schema(required)]
    session_id: Option<String>,
    /// What it held when it was imported last; null before.
    #[schema(required)]
    held: Option<Held>,
}

/// What a session held when it was imported.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Held {
    /// Its id.
    id: String,
    /// The model that answered first.
    #[schema(required)]
    model: Option<String>,
    /// Prompts that a person typed.
    prompts: u64,
    /// Calls of tools.
    tool_calls: u64,
    /// Calls of tools that failed.
    tool_errors: u64,
    /// Tokens that models read, from caches or not.
    tokens_in: u64,
    /// Tokens that models wrote, at least.
    tokens_out: u64,
}

impl From<&SessionSummary> for Held {
    fn from(session: &SessionSummary) -> Self {
        let tokens = &session.tokens;
        Self {
            id: session.session_id.clone(),
            model: session.model.clone(),
            prompts: session.prompts,
            tool_calls: session.tool_calls,
            tool_errors: session.tool_errors,
            tokens_in: tokens.input + tokens.cache_creation + tokens.cache_read,
            tokens_out: tokens.output,
        }
    }
}

impl SessionView {
    fn new(file: &SessionFile, known: &[SessionSummary]) -> Self {
        let agent = bashgym_traces::detect_agent(&file.path).ok().flatten();
        Self {
            agent: agent.map(bashgym_traces::Agent::as_str),
            file: file.path.display().to_string(),
            size_bytes: file.size_bytes,
            started_at: file.started_at,
            session_id: file.session_id.clone(),
            // Of a file that holds a session and its subagents, the session's own.
            held: known
                .iter()
                .find(|it| {
                    it.file == file.path
                        && match &file.session_id {
                            Some(id) => it.session_id == *id,
                            None => it.parent_session_id.is_none(),
                        }
                })
                .map(Held::from),
        }
    }

    fn name(&self) -> String {
        format!("{}#{}", self.file, self.session_id.as_deref().unwrap_or_default())
    }
}

/// Which sessions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionQuery {
    /// A file or folder below an allowed folder; without it, the agents' own folders.
    path: Option<String>,
}

/// The paths of a request as they really are; without any, the agents' own folders.
pub(crate) fn inputs(state: &AppState, paths: &[String]) -> Result<Vec<PathBuf>, Problem> {
    if paths.is_empty() {
        let found = state.parts.agents.folders();
        return Ok(found.into_iter().map(|folder| folder.path).collect());
    }
    paths.iter().map(|path| Ok(state.parts.resolve(path)?)).collect()
}

/// Sessions that long work is about.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionsRequest {
    /// Session logs, or folders of them, below allowed folders; without any, the agents' own.
    #[serde(default)]
    paths: Vec<String>,
}

/// The same as a task is told it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NamedSessions {
    pub(crate) inputs: Vec<PathBuf>,
}

impl SessionsRequest {
    /// The paths as they really are; that there are none is said.
    pub(crate) fn named(&self, state: &AppState) -> Result<NamedSessions, Problem> {
        let inputs = inputs(state, &self.paths)?;
        if inputs.is_empty() {
            return Err(
                Problem::new(Code::Data, "no coding agent has left sessions on this machine")
                    .hint("name a folder in `paths`"),
            );
        }
        Ok(NamedSessions { inputs })
    }
}

/// The sessions on this machine.
#[utoipa::path(get, path = "/api/sessions", tag = "data", params(PageQuery, SessionQuery),
    responses((status = 200, body = Page<SessionView>), Failures, Missing))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Query(page): Query<PageQuery>,
    Query(query): Query<SessionQuery>,
) -> Result<axum::Json<Page<SessionView>>, Problem> {
    let limit = page.limit()?;
    let named: Vec<String> = query.path.into_iter().collect();
    let inputs = inputs(&state, &named)?;
    if inputs.is_empty() {
        // No agent has been here yet.
        return Ok(axum::Json(Page {
            items: Vec::new(),
            next: None,
        }));
    }
    let index = state.parts.sessions.clone();
    // Folders are walked on a thread that may wait.
    let views = tokio::task::spawn_blocking(move || {
        let known = index.load()?;
        let mut files = find_session_files(&inputs)?;
        files.sort_by(|a, b| (&a.path, &a.session_id).cmp(&(&b.path, &b.session_id)));
        let name = |file: &SessionFile| {
            format!(
                "{}#{}",
                file.path.display(),
                file.session_id.as_deref().unwrap_or_default()
            )
        };
        let begin = match page.after {
            Some(after) => files
                .iter()
                .position(|file| name(file) == after)
                .map_or(files.len(), |at| at + 1),
            None => 0,
        };
        let shown = files.iter().skip(begin).take(limit as usize + 1);
        Ok::<_, Problem>(
            shown
                .map(|file| SessionView::new(file, &known))
                .collect::<Vec<_>>(),
        )
    })
    .await
    .map_err(|_| Problem::new(Code::Internal, "the sessions could not be listed"))??;
    Ok(axum::Json(Page::cut(views, limit, SessionView::name)))
}
