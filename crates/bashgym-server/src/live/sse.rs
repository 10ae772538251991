//! `GET /api/events` and `GET /api/events/log`.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{Extensions, HeaderMap};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::{Json, response::IntoResponse, response::Response};
use bashgym_core::events::Topics;
use futures::{Stream, StreamExt};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::LiveState;
use super::hub::Frame;
use super::messages::ServerMessage;
use super::problem::LiveProblem;
use super::subscription::{News, Subscription};
use super::ws::{position, topics};

/// How many events a page of the log has unless it is asked for less, and at most.
const PAGE: u32 = 500;

/// Where a stream or a page begins.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Topics, separated by commas, such as `job:66aa,run:*`; everything without it.
    topics: Option<String>,
    /// The number of the last event that was seen.
    after: Option<String>,
    /// How many events a page may have, at most 500. Streams take no notice of it.
    limit: Option<u32>,
    /// `asc`, or `desc` for the newest first; `after` is then the last one that was seen, going back. Only for pages.
    order: Option<String>,
    /// Leave out what only says that something goes on: lines, measurements, progress. Only for pages that go back.
    quiet: Option<bool>,
}

type EventsQueryResult = Result<Query<EventsQuery>, axum::extract::rejection::QueryRejection>;

fn read(query: EventsQueryResult) -> Result<(EventsQuery, Topics), LiveProblem> {
    let Query(query) = query.map_err(|error| LiveProblem::bad_query(error.body_text()))?;
    let topics = topics(query.topics.as_deref(), Topics::all())?;
    Ok((query, topics))
}

/// Streams events as they happen, as server-sent events.
///
/// Each has its number as `id`, its type as `event` and the whole envelope as `data`. Without a position only what happens
/// from now on is told; `after`, or the header `Last-Event-ID` that browsers send after a break, brings what was missed, or
/// an event `resync` when that is not there any more.
#[utoipa::path(
    get,
    path = "/api/events",
    tag = "events",
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "As `after`")),
    responses(
        (status = 200, description = "The stream", body = String, content_type = "text/event-stream"),
        (status = 400, description = "A topic or the position does not read", body = LiveProblem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing", body = LiveProblem, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams are open, or the store does not answer", body = LiveProblem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stream_events(
    State(state): State<LiveState>,
    query: EventsQueryResult,
    headers: HeaderMap,
    extensions: Extensions,
) -> Result<Response, LiveProblem> {
    let seat = state.admit(&extensions)?;
    let (query, topics) = read(query)?;
    let header = headers
        .get("last-event-id")
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
    // The header is the newer one: a browser keeps the address it began with.
    let after = position(header.as_deref().or(query.after.as_deref()))?;
    let subscription = Subscription::begin(&state.hub, topics, after).await?;
    let stop = state.stop.clone();
    let begun = Begun {
        subscription,
        ready: VecDeque::new(),
        seat,
    };
    let events = futures::stream::unfold(begun, |mut begun| async move {
        let event = begun.next().await?;
        Some((Ok::<_, Infallible>(event), begun))
    });
    let events = events.take_until(async move { stop.cancelled().await });
    Ok(sse_response(events))
}

fn sse_response(events: impl Stream<Item = Result<sse::Event, Infallible>> + Send + 'static) -> Response {
    Sse::new(events).keep_alive(KeepAlive::default()).into_response()
}

struct Begun {
    subscription: Subscription,
    ready: VecDeque<Arc<Frame>>,
    #[expect(dead_code, reason = "held for as long as the stream is open")]
    seat: tokio::sync::OwnedSemaphorePermit,
}

impl Begun {
    /// The next event; none when the log can not be read: the client comes again by itself, with its position.
    async fn next(&mut self) -> Option<sse::Event> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Some(
                    sse::Event::default()
                        .id(frame.seq.to_string())
                        .event(&frame.kind)
                        .data(frame.text.as_str()),
                );
            }
            match self.subscription.next().await {
                Ok(News::Events(events)) => self.ready.extend(events),
                Ok(News::Resync(seq)) => {
                    let message = ServerMessage::Resync { seq };
                    return Some(
                        sse::Event::default()
                            .id(seq.to_string())
                            .event("resync")
                            .data(message.text()),
                    );
                }
                Err(error) => {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a stream of events ends"
                    );
                    return None;
                }
            }
        }
    }
}

/// A page of the log.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventPage {
    /// Events, in the order that was asked for: `{"seq":7,"time":"..","type":"hf:job:started","topic":"job:66aa","data":{..}}`.
    #[schema(value_type = Vec<Object>)]
    pub items: Vec<bashgym_core::events::Event>,
    /// Where the next page begins.
    pub meta: EventPageMeta,
}

/// Where a page of the log stands.
#[derive(Debug, Serialize, ToSchema)]
pub struct EventPageMeta {
    /// The `after` of the next page.
    pub after: u64,
    /// Whether there is more now.
    pub more: bool,
    /// Whether events between the position that was asked for and this page are gone, so that what is shown is to be read anew.
    pub resync: bool,
}

/// Lists events of the log, oldest first, from after a position on; or newest first, from before it back.
#[utoipa::path(
    get,
    path = "/api/events/log",
    tag = "events",
    params(EventsQuery),
    responses(
        (status = 200, description = "A page", body = EventPage),
        (status = 400, description = "A topic or the position does not read", body = LiveProblem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing", body = LiveProblem, content_type = "application/problem+json"),
        (status = 503, description = "The store does not answer", body = LiveProblem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list_events(
    State(state): State<LiveState>,
    query: EventsQueryResult,
    extensions: Extensions,
) -> Result<Json<EventPage>, LiveProblem> {
    let _seat = state.admit(&extensions)?;
    let (query, topics) = read(query)?;
    let reader = state.hub.reader();
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE);
    match query.order.as_deref() {
        None | Some("asc") => {}
        Some("desc") => {
            let before = position(query.after.as_deref())?.unwrap_or(u64::MAX);
            let progress = !query.quiet.unwrap_or_default();
            let page = reader.read_back(before, &topics, limit, progress).await?;
            return Ok(Json(EventPage {
                items: page.events,
                meta: EventPageMeta {
                    after: page.up_to,
                    more: page.more,
                    resync: false,
                },
            }));
        }
        Some(_) => return Err(LiveProblem::bad_query("order is `asc` or `desc`".to_owned())),
    }
    let oldest = reader.log().bounds().await?.oldest.saturating_sub(1);
    let after = position(query.after.as_deref())?.unwrap_or(oldest);
    let (page, resync) = match reader.read(after, &topics, limit).await? {
        Ok(page) => (page, false),
        Err(_) => (
            reader.read(oldest, &topics, limit).await?.unwrap_or_default(),
            true,
        ),
    };
    Ok(Json(EventPage {
        items: page.events,
        meta: EventPageMeta {
            after: page.up_to,
            more: page.more,
            resync,
        },
    }))
}
