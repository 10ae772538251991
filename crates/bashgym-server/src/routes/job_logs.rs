//! What a job wrote and what it uses: pages of its log, and streams of events.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use bashgym_core::launch::{find_lines, holds};
use bashgym_core::store::JobStream;
use futures::future::ready;
use futures::{Stream, StreamExt, TryStreamExt};
use hf_core::{HfError, scrub_secrets};
use hf_jobs::{LogLine, LogOptions};
use http::HeaderMap;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::jobs::named;
use crate::extract::{Path, Query};
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::state::AppState;

const MOST_LINES: u32 = 5000;

/// Which lines.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// Only lines after this number.
    after: Option<u64>,
    /// Only the last lines, this many. Not together with `after`.
    #[param(minimum = 1, maximum = 5000)]
    tail: Option<u32>,
    /// How many lines at most.
    #[param(minimum = 1, maximum = 5000, default = 1000)]
    limit: Option<u32>,
}

/// A line of a job's log.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Line {
    /// Its number, from 1 without a gap.
    number: u64,
    /// When it was written.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    timestamp: Option<Timestamp>,
    /// The line.
    text: String,
}

impl From<LogLine> for Line {
    fn from(line: LogLine) -> Self {
        Self {
            number: line.index + 1,
            timestamp: line.timestamp,
            text: line.text,
        }
    }
}

/// Lines of a job's log.
#[expect(clippy::struct_field_names, reason = "the names of the answer's keys")]
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Lines {
    /// The lines, oldest first.
    lines: Vec<Line>,
    /// What `after` is for the lines that follow.
    next: u64,
    /// `kept` when they are of this server's own store, `hub` when the Hub was asked.
    source: &'static str,
}

#[derive(Deserialize)]
struct Kept {
    data: String,
    timestamp: Option<Timestamp>,
}

/// A part of a job's log: a range by `after` and `limit`, or the end by `tail`.
#[utoipa::path(get, path = "/api/hf/jobs/{id}/logs", tag = "hugging face",
    params(("id" = String, Path, description = "The job's id, or `namespace/id`"), LogQuery),
    responses((status = 200, body = Lines), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn page(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(query): Query<LogQuery>,
) -> Result<axum::Json<Lines>, Problem> {
    let limit = query.limit.unwrap_or(1000);
    let in_range = |number: u32| (1..=MOST_LINES).contains(&number);
    if !in_range(limit) || query.tail.is_some_and(|tail| !in_range(tail)) {
        return Err(Problem::new(
            Code::BadRequest,
            format!("limit and tail are 1 to {MOST_LINES}"),
        ));
    }
    if query.tail.is_some() && query.after.is_some() {
        return Err(Problem::new(
            Code::BadRequest,
            "tail and after do not go together",
        ));
    }
    let hub = state.hub().await?;
    let (runner, id) = named(&hub, &id)?;
    let count = state
        .parts
        .jobs
        .count_job_lines(id.as_str(), JobStream::Log)
        .await?;
    if count > 0 {
        let after = match query.tail {
            Some(tail) => count.saturating_sub(u64::from(tail)),
            None => query.after.unwrap_or_default().min(count),
        };
        let limit = query.tail.unwrap_or(limit);
        let kept = state
            .parts
            .jobs
            .list_job_lines(id.as_str(), JobStream::Log, after, limit)
            .await?;
        let lines: Vec<Line> = kept
            .into_iter()
            .map(|line| {
                let kept = serde_json::from_str::<Kept>(&line.text);
                kept.map(|kept| Line {
                    number: line.seq,
                    timestamp: kept.timestamp,
                    text: kept.data,
                })
            })
            .collect::<Result<_, _>>()
            .map_err(|_| Problem::new(Code::Storage, "a kept line does not read"))?;
        let next = lines.last().map_or(after, |line| line.number);
        return Ok(axum::Json(Lines {
            lines,
            next,
            source: "kept",
        }));
    }
    let options = LogOptions {
        follow: false,
        tail: query.tail.map(u64::from),
        heading: true,
        ..LogOptions::default()
    };
    let after = query.after.unwrap_or_default();
    let wanted = query.tail.unwrap_or(limit) as usize;
    let lines: Vec<LogLine> = runner
        .stream_logs(&id, options)
        // The Hub sends the log from its beginning; a number beyond its end is no reason to doubt the log.
        .try_filter(|line| ready(line.index >= after))
        .take(wanted)
        .try_collect()
        .await?;
    let lines: Vec<Line> = lines.into_iter().map(Line::from).collect();
    let next = lines.last().map_or(after, |line| line.number);
    Ok(axum::Json(Lines {
        lines,
        next,
        source: "hub",
    }))
}

/// The most lines that one part of a search tells.
const MOST_HITS: usize = 1000;

/// What to look for.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SearchQuery {
    /// The text, in any case.
    #[param(min_length = 1, max_length = 500)]
    text: String,
    /// Only lines after this number: `seen` of the part before.
    after: Option<u64>,
}

/// A part of a search.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Hits {
    /// The numbers of lines that hold the text, in order.
    lines: Vec<u64>,
    /// The number up to which lines were looked at.
    seen: u64,
    /// Whether there is more to look at: ask again with `after` at `seen`.
    more: bool,
}

/// Looks for a text in a job's log, at most 100,000 lines at once: the lines stay here, only their numbers are told.
#[utoipa::path(get, path = "/api/hf/jobs/{id}/logs/search", operation_id = "search_log", tag = "hugging face",
    params(("id" = String, Path, description = "The job's id, or `namespace/id`"), SearchQuery),
    responses((status = 200, body = Hits), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn search(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(query): Query<SearchQuery>,
) -> Result<axum::Json<Hits>, Problem> {
    if query.text.is_empty() || query.text.chars().count() > 500 {
        return Err(Problem::new(Code::BadRequest, "text is 1 to 500 characters"));
    }
    let hub = state.hub().await?;
    let (runner, id) = named(&hub, &id)?;
    let after = query.after.unwrap_or_default();
    let jobs = &state.parts.jobs;
    if jobs.count_job_lines(id.as_str(), JobStream::Log).await? > 0 {
        let found = find_lines(&**jobs, id.as_str(), &query.text, after, MOST_HITS).await?;
        return Ok(axum::Json(Hits {
            lines: found.lines,
            seen: found.seen,
            more: found.more,
        }));
    }
    let options = LogOptions {
        follow: false,
        heading: true,
        ..LogOptions::default()
    };
    let small = query.text.to_lowercase();
    // The Hub sends a log from its beginning whatever is asked for: it is gone through once.
    let mut lines = runner.stream_logs(&id, options);
    let mut hits = Hits {
        lines: Vec::new(),
        seen: after,
        more: false,
    };
    while let Some(line) = lines.try_next().await? {
        let number = line.index + 1;
        if number <= after {
            continue;
        }
        hits.seen = number;
        if holds(&line.text, &small) {
            hits.lines.push(number);
        }
        if hits.lines.len() >= MOST_HITS {
            hits.more = true;
            break;
        }
    }
    Ok(axum::Json(hits))
}

/// Where to begin.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FollowQuery {
    /// Only lines after this number. `Last-Event-ID` says the same.
    after: Option<u64>,
}

/// A job's log as it is written, as server-sent events: `line` with its number as id, then `end`.
#[utoipa::path(get, path = "/api/hf/jobs/{id}/logs/stream", tag = "hugging face",
    params(("id" = String, Path, description = "The job's id, or `namespace/id`"), FollowQuery),
    responses((status = 200, body = String, content_type = "text/event-stream"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn follow(
    State(state): State<AppState>,
    Path(id): Path<String>,
    Query(query): Query<FollowQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let seen = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let seen = seen.and_then(|id| id.parse().ok()).or(query.after);
    let hub = state.hub().await?;
    let (runner, id) = named(&hub, &id)?;
    // What cannot be followed is told as a problem, before the stream begins.
    runner.get_job(&id).await?;
    let options = LogOptions {
        skip: seen.unwrap_or_default(),
        heading: true,
        ..LogOptions::default()
    };
    let lines = runner.stream_logs(&id, options).map_ok(Line::from);
    let events = told(&state, lines, |line| {
        Event::default().event("line").id(line.number.to_string())
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// What a job uses, second by second, as server-sent events: `metrics`, then `end`. The Hub keeps no history of it.
#[utoipa::path(get, path = "/api/hf/jobs/{id}/metrics", tag = "hugging face",
    params(("id" = String, Path, description = "The job's id, or `namespace/id`")),
    responses((status = 200, body = String, content_type = "text/event-stream"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn metrics(
    State(state): State<AppState>,
    Path(id): Path<String>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let hub = state.hub().await?;
    let (runner, id) = named(&hub, &id)?;
    runner.get_job(&id).await?;
    let events = told(&state, runner.stream_metrics(&id), |_| {
        Event::default().event("metrics")
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::default()))
}

/// Items as events, `problem` where the stream broke, `end` last. Ends with the server.
pub(super) fn told<T, S, H>(
    state: &AppState,
    items: S,
    head: H,
) -> impl Stream<Item = Result<Event, Infallible>> + Send + use<T, S, H>
where
    T: Serialize + Send + 'static,
    S: Stream<Item = Result<T, HfError>> + Send + 'static,
    H: Fn(&T) -> Event + Send + 'static,
{
    let end = futures::stream::once(async { Event::default().event("end").data("{}") });
    items
        .map(move |item| match item {
            Ok(item) => {
                let text = serde_json::to_string(&item).unwrap_or_default();
                head(&item).data(text)
            }
            Err(error) => {
                let why = serde_json::json!({ "detail": scrub_secrets(&error.to_string()) });
                Event::default().event("problem").data(why.to_string())
            }
        })
        .chain(end)
        .map(Ok)
        .take_until(state.ending.clone().cancelled_owned())
}
