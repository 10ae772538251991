//! One session, step by step. Everything that is shown has passed the secret gate.

use axum::extract::State;
use bashgym_core::session::{Conversation, Cut, Step, Timeline, subagents_of};
use bashgym_traces::quality::Score;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::extract::Query;
use crate::page::{Page, PageQuery};
use crate::problem::{Code, Failures, Missing, Problem};
use crate::state::AppState;

/// Which session.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SessionRef {
    /// The session's file, as `GET /api/sessions` names it.
    file: String,
    /// Its id there, where the file holds many.
    session_id: Option<String>,
}

/// Which of its conversations.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StepQuery {
    /// The conversation's place in the session, from 0: its own, then its subagents'.
    #[param(default = 0)]
    conversation: Option<usize>,
}

/// How one task was judged.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskScore {
    /// The step that asked for it.
    first_step: usize,
    /// From 0 (failed) to 1 (reached); 0.5 when the session does not tell.
    value: f64,
    /// What it is made of: `part`, `value`, `weight`, `reason`.
    #[schema(value_type = Vec<Object>)]
    parts: Value,
}

impl TaskScore {
    fn new(first_message: usize, score: &Score) -> Self {
        Self {
            first_step: first_message + 1,
            value: score.value,
            parts: json!(score.parts),
        }
    }
}

/// A conversation of a session: its own, or a subagent's.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ConversationView {
    /// The session's id, as the rows made of it name it.
    session_id: String,
    /// The session that started this subagent.
    #[schema(required)]
    parent_session_id: Option<String>,
    /// The agent.
    agent: &'static str,
    /// The version of its program.
    #[schema(required)]
    agent_version: Option<String>,
    /// Models that answered.
    models: Vec<String>,
    /// The folder it worked in.
    #[schema(required)]
    cwd: Option<String>,
    /// The time of the first record.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    started_at: Option<Timestamp>,
    /// The time of the last record.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    ended_at: Option<Timestamp>,
    /// How many steps it has.
    steps: usize,
    /// Tokens as the provider counted them: `input`, `output`, `cache_creation`, `cache_read`; they do not overlap.
    #[schema(value_type = Object)]
    tokens: Value,
    /// Prompts that a person typed.
    prompts: u64,
    /// Tool calls of the model.
    tool_calls: u64,
    /// Tool results marked as failed.
    tool_errors: u64,
    /// How each task was judged that would give rows.
    tasks: Vec<TaskScore>,
}

impl From<Conversation> for ConversationView {
    fn from(one: Conversation) -> Self {
        let tasks = one.tasks.iter();
        Self {
            tasks: tasks
                .map(|task| TaskScore::new(task.first_message, &task.score))
                .collect(),
            session_id: one.session_id,
            parent_session_id: one.parent_session_id,
            agent: one.agent.as_str(),
            agent_version: one.agent_version,
            models: one.models,
            cwd: one.cwd,
            started_at: one.started_at,
            ended_at: one.ended_at,
            steps: one.steps,
            tokens: json!(one.usage),
            prompts: one.counts.prompts,
            tool_calls: one.counts.tool_calls,
            tool_errors: one.counts.tool_errors,
        }
    }
}

/// A text that may be cut.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CutText {
    /// Its beginning.
    text: String,
    /// How many bytes are left out at its end.
    left_out: usize,
}

impl From<Cut> for CutText {
    fn from(cut: Cut) -> Self {
        Self {
            text: cut.text,
            left_out: cut.left_out,
        }
    }
}

/// A call of a tool.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallView {
    /// The id that its result names.
    id: String,
    /// The tool.
    name: String,
    /// The JSON text of its arguments.
    arguments: CutText,
}

/// What a call gave back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResultView {
    /// The call.
    call_id: String,
    /// What the model saw of it.
    content: CutText,
    /// Whether the log marks it as failed.
    is_error: bool,
    /// The exit status of a command.
    #[schema(required)]
    exit_status: Option<i32>,
}

/// One message of a session.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepView {
    /// Its number, from 1 without a gap.
    number: usize,
    /// `system`, `user`, `assistant` or `tool`.
    role: &'static str,
    /// What it really is: `prompt`, `delegated`, `command`, `command_output`, `interrupt`, `injected`, `compact_summary`,
    /// `assistant`, `synthetic` (a message of the agent's program, such as an API error) or `tool_result`.
    kind: &'static str,
    /// The text.
    text: CutText,
    /// The model's visible reasoning.
    #[schema(required)]
    thinking: Option<CutText>,
    /// Calls of tools.
    calls: Vec<CallView>,
    /// What a call gave back.
    #[schema(required)]
    result: Option<ResultView>,
    /// When it was written.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    at: Option<Timestamp>,
    /// Whether the person went back and replaced it.
    rewound: bool,
    /// Whether it was copied here from another session.
    copied: bool,
}

impl From<Step> for StepView {
    fn from(step: Step) -> Self {
        let calls = step.calls.into_iter().map(|call| CallView {
            id: call.id,
            name: call.name,
            arguments: call.arguments.into(),
        });
        Self {
            number: step.number,
            role: step.role,
            kind: step.kind,
            text: step.text.into(),
            thinking: step.thinking.map(CutText::from),
            calls: calls.collect(),
            result: step.result.map(|result| ResultView {
                call_id: result.call_id,
                content: result.content.into(),
                is_error: result.is_error,
                exit_status: result.exit_status,
            }),
            at: step.at,
            rewound: step.rewound,
            copied: step.copied,
        }
    }
}

/// Reads a session on a thread that may wait, and takes what is wanted of it.
async fn read<T: Send + 'static>(
    state: &AppState,
    of: SessionRef,
    take: impl FnOnce(Timeline) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    let file = state.parts.resolve(&of.file)?;
    // A folder of subagents has to be below an allowed folder, too.
    let subagents = subagents_of(&file);
    let subagents = subagents.to_str().and_then(|path| state.parts.resolve(path).ok());
    let gate = state.parts.composition.gate()?;
    tokio::task::spawn_blocking(move || {
        if !file.is_file() {
            return Err(Problem::new(Code::NotFound, "this is not the file of a session")
                .hint("`GET /api/sessions` lists them"));
        }
        take(Timeline::read(
            &file,
            of.session_id.as_deref(),
            subagents.as_deref(),
            gate.into(),
        )?)
    })
    .await
    .map_err(|_| Problem::new(Code::Internal, "the session could not be read"))?
}

/// What one session is: its own conversation first, then its subagents', each with the scores of its tasks.
#[utoipa::path(get, path = "/api/sessions/session", tag = "data", params(SessionRef),
    responses((status = 200, body = Vec<ConversationView>), Failures, Missing))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Query(of): Query<SessionRef>,
) -> Result<axum::Json<Vec<ConversationView>>, Problem> {
    let all = read(&state, of, |timeline| Ok(timeline.overview()?)).await?;
    Ok(axum::Json(all.into_iter().map(ConversationView::from).collect()))
}

/// The steps of one conversation of a session, oldest first. `after` is the number of a step.
#[utoipa::path(get, path = "/api/sessions/steps", tag = "data", params(SessionRef, StepQuery, PageQuery),
    responses((status = 200, body = Page<StepView>), Failures, Missing))]
pub(crate) async fn steps(
    State(state): State<AppState>,
    Query(of): Query<SessionRef>,
    Query(query): Query<StepQuery>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<StepView>>, Problem> {
    let limit = page.limit()?;
    let after = page.after.as_deref().map(str::parse::<usize>).transpose();
    let after = after.map_err(|_| Problem::new(Code::BadRequest, "after is the number of a step"))?;
    let conversation = query.conversation.unwrap_or_default();
    let steps = read(&state, of, move |timeline| {
        if conversation >= timeline.conversations() {
            return Err(Problem::new(
                Code::NotFound,
                "the session has no such conversation",
            ));
        }
        Ok(timeline.steps(conversation, after.unwrap_or_default(), limit as usize + 1)?)
    })
    .await?;
    let views = steps.into_iter().map(StepView::from).collect();
    Ok(axum::Json(Page::cut(views, limit, |step| {
        step.number.to_string()
    })))
}
