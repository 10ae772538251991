//! What a Space writes and answers, as it does: its logs, and one prompt to its app.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::{Stream, StreamExt, TryStreamExt};
use hf_core::scrub_secrets;
use hf_spaces::{AppLimits, AppPiece, AppQuestion, SpaceLog, SpaceLogLine, SpaceLogOptions, SpaceStage};
use http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};

use super::job_logs::told;
use super::spaces::named;
use crate::extract::{Json, Path, Query};
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::state::AppState;

const MOST_LINES: u32 = 5000;
/// How long a silence ends a log that is not followed: the Hub leaves the stream open.
const QUIET: Duration = Duration::from_secs(2);

/// Which log.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SpaceLogQuery {
    /// `build` or `run`; `run` without it.
    log: Option<String>,
    /// How many of the last lines.
    #[param(minimum = 1, maximum = 5000, default = 1000)]
    tail: Option<u32>,
}

fn which(word: Option<&str>) -> Result<SpaceLog, Problem> {
    match word.unwrap_or("run") {
        "run" => Ok(SpaceLog::Run),
        "build" => Ok(SpaceLog::Build),
        _ => Err(Problem::new(Code::BadRequest, "log is build or run")),
    }
}

/// A line of a Space's log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpaceLine {
    /// When it was written.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    timestamp: Option<Timestamp>,
    /// The line.
    text: String,
}

impl From<SpaceLogLine> for SpaceLine {
    fn from(line: SpaceLogLine) -> Self {
        Self {
            timestamp: line.timestamp,
            text: line.text,
        }
    }
}

/// The end of a Space's log, oldest line first.
#[utoipa::path(get, path = "/api/hf/spaces/{name}/logs", operation_id = "list_space_log", tag = "spaces",
    params(("name" = String, Path, description = "The Space, with or without its namespace"), SpaceLogQuery),
    responses((status = 200, body = Vec<SpaceLine>), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn logs(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<SpaceLogQuery>,
) -> Result<axum::Json<Vec<SpaceLine>>, Problem> {
    let log = which(query.log.as_deref())?;
    let tail = query.tail.unwrap_or(1000);
    if !(1..=MOST_LINES).contains(&tail) {
        return Err(Problem::new(
            Code::BadRequest,
            format!("tail is 1 to {MOST_LINES}"),
        ));
    }
    let (_, spaces, id) = named(&state, &name).await?;
    spaces.get_space(&id).await?;
    let options = SpaceLogOptions {
        tail: Some(u64::from(tail)),
        quiet: QUIET,
        ..SpaceLogOptions::default()
    };
    let lines = spaces.stream_logs(&id, log, options).map_ok(SpaceLine::from);
    Ok(axum::Json(lines.try_collect().await?))
}

/// Which log to follow, and where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SpaceFollowQuery {
    /// `build` or `run`; `run` without it.
    log: Option<String>,
    /// Only lines after this number. `Last-Event-ID` says the same.
    after: Option<u64>,
}

/// A Space's log as it is written, as server-sent events: `line` with its number as id, then `end` when it cannot grow any more.
#[utoipa::path(get, path = "/api/hf/spaces/{name}/logs/stream", operation_id = "follow_space_log", tag = "spaces",
    params(("name" = String, Path, description = "The Space, with or without its namespace"), SpaceFollowQuery),
    responses((status = 200, body = String, content_type = "text/event-stream"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn follow(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<SpaceFollowQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let log = which(query.log.as_deref())?;
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let seen = seen.and_then(|id| id.parse().ok()).or(query.after);
    let seen: u64 = seen.unwrap_or_default();
    let (_, spaces, id) = named(&state, &name).await?;
    // What cannot be followed is told as a problem, before the stream begins.
    spaces.get_space(&id).await?;
    let options = SpaceLogOptions {
        follow: true,
        ..SpaceLogOptions::default()
    };
    let mut number = 0;
    let lines = spaces
        .stream_logs(&id, log, options)
        .map_ok(move |line| {
            number += 1;
            Numbered {
                number,
                line: line.into(),
            }
        })
        .try_filter(move |line| std::future::ready(line.number > seen));
    let events = told(&state, lines, |line| {
        Event::default().event("line").id(line.number.to_string())
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

#[derive(Serialize)]
struct Numbered {
    number: u64,
    #[serde(flatten)]
    line: SpaceLine,
}

/// One prompt to a Space.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TryRequest {
    /// The prompt.
    #[schema(min_length = 1, max_length = 100_000)]
    prompt: String,
    /// Tokens the answer may have; as many as the app gives without it.
    #[schema(minimum = 1, maximum = 131_072)]
    max_new_tokens: Option<u32>,
    /// How freely it answers; 0, which it is without it, is always the same.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
}

/// Asks the app of a Space, as server-sent events: `so_far` with the `text` up to now, then `done` with the whole `text`, or `error`.
///
/// The account's own token is not sent to the app: a private Space is asked with a key to it alone.
#[utoipa::path(post, path = "/api/hf/spaces/{name}/try", operation_id = "try_space", tag = "spaces", request_body = TryRequest,
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 200, body = String, content_type = "text/event-stream"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn ask(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Json(request): Json<TryRequest>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let invalid = |why: &'static str| Problem::new(Code::Invalid, why);
    let max_new_tokens = request
        .max_new_tokens
        .unwrap_or(AppLimits::default().max_new_tokens);
    if request.prompt.trim().is_empty() || request.prompt.chars().count() > 100_000 {
        return Err(invalid("a prompt is 1 to 100000 characters"));
    }
    if !(1..=131_072).contains(&max_new_tokens) {
        return Err(invalid("max_new_tokens is 1 to 131072"));
    }
    let temperature = request.temperature.unwrap_or_default();
    if !(0.0..=2.0).contains(&temperature) {
        return Err(invalid("temperature is 0 to 2"));
    }
    let (_, spaces, id) = named(&state, &name).await?;
    let stage = spaces.get_space_status(&id).await?.stage;
    if !stage.is_serving() && stage != SpaceStage::Sleeping {
        let why = format!("{id} is {stage}; its app does not answer");
        let hint = format!("POST /api/hf/spaces/{id}/restart starts one that is paused or stopped");
        return Err(Problem::new(Code::Conflict, why).hint(hint));
    }
    let question = AppQuestion {
        prompt: request.prompt,
        max_new_tokens,
        temperature,
    };
    let pieces = spaces.ask_app(&id, &question).await?;
    let events = pieces
        .map(|piece| {
            let (name, data) = match piece {
                Ok(AppPiece::SoFar(text)) => ("so_far", json!({ "text": text })),
                Ok(AppPiece::Whole(text)) => ("done", json!({ "text": text })),
                Ok(AppPiece::Failed(why)) => (
                    "error",
                    json!({ "code": Code::JobFailed, "detail": scrub_secrets(&why) }),
                ),
                Ok(_) => ("so_far", json!({ "text": null })),
                Err(error) => {
                    let problem = Problem::from(error);
                    let detail = scrub_secrets(problem.detail());
                    ("error", json!({ "code": problem.code(), "detail": detail }))
                }
            };
            Ok(Event::default().event(name).data(data.to_string()))
        })
        .take_until(state.ending.clone().cancelled_owned());
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}
