//! `GET /ws`.

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::Extensions;
use axum::response::Response;
use bashgym_core::events::Topics;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use utoipa::IntoParams;

use super::messages::{ClientMessage, ServerMessage};
use super::problem::LiveProblem;
use super::subscription::{News, Subscription};
use super::{LiveLimits, LiveState};

/// What a socket reads and writes at once, in bytes. The default takes 128 KiB a socket, which is what memory goes into
/// with thousands of them.
const BUFFER_BYTES: usize = 4096;
/// How many pings may go unanswered.
const PINGS: u32 = 3;

/// Where a socket begins.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(super) struct SocketQuery {
    /// Topics, separated by commas, such as `job:66aa,run:*`; more can be subscribed to by message.
    topics: Option<String>,
    /// The number of the last event that was seen; without it only what happens from now on is told.
    after: Option<String>,
}

pub(super) fn topics(text: Option<&str>, otherwise: Topics) -> Result<Topics, LiveProblem> {
    match text.map(str::trim) {
        None => Ok(otherwise),
        Some("") => Ok(Topics::none()),
        Some(text) => Ok(Topics::parse(text.split(',').map(str::trim))?),
    }
}

pub(super) fn position(text: Option<&str>) -> Result<Option<u64>, LiveProblem> {
    match text {
        None | Some("") => Ok(None),
        Some(text) => match text.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(LiveProblem::bad_position(text)),
        },
    }
}

/// Opens a WebSocket that tells events as they happen.
///
/// Text messages, each one JSON object: events with a `seq`, and messages of the stream itself without one. After a break,
/// `after` with the last `seq` that was seen brings what was missed, or `resync` when that is not there any more.
#[utoipa::path(
    get,
    path = "/ws",
    tag = "events",
    params(SocketQuery),
    responses(
        (status = 101, description = "The stream is open"),
        (status = 400, description = "A topic or the position does not read", body = LiveProblem, content_type = "application/problem+json"),
        (status = 401, description = "The key is missing", body = LiveProblem, content_type = "application/problem+json"),
        (status = 426, description = "The request is no WebSocket handshake", body = LiveProblem, content_type = "application/problem+json"),
        (status = 503, description = "Too many streams are open, or the store does not answer", body = LiveProblem, content_type = "application/problem+json"),
    )
)]
pub(super) async fn open_socket(
    State(state): State<LiveState>,
    query: Result<Query<SocketQuery>, axum::extract::rejection::QueryRejection>,
    extensions: Extensions,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, LiveProblem> {
    let seat = state.admit(&extensions)?;
    let Query(query) = query.map_err(|error| LiveProblem::bad_query(error.body_text()))?;
    let topics = topics(query.topics.as_deref(), Topics::none())?;
    let after = position(query.after.as_deref())?;
    let upgrade = upgrade.map_err(|error| LiveProblem::bad_upgrade(error.body_text()))?;
    let subscription = Subscription::begin(&state.hub, topics, after).await?;
    let limits = state.limits;
    Ok(upgrade
        .read_buffer_size(BUFFER_BYTES)
        .write_buffer_size(BUFFER_BYTES)
        .max_message_size(limits.message_bytes)
        .max_frame_size(limits.message_bytes)
        .on_upgrade(move |socket| serve(socket, state, subscription, seat)))
}

/// Why a socket is closed from here.
enum Closing {
    /// The other side went, or does not take anything.
    Gone,
    /// It is told why.
    Told(u16, &'static str),
}

async fn serve(socket: WebSocket, state: LiveState, subscription: Subscription, _seat: OwnedSemaphorePermit) {
    let (sink, stream) = socket.split();
    let mut client = Client {
        sink,
        subscription,
        limits: state.limits,
    };
    let closing = tokio::select! {
        closing = client.talk(stream) => closing,
        () = state.stop.cancelled() => Closing::Told(close_code::AWAY, "the server ends"),
    };
    if let Closing::Told(code, reason) = closing {
        let close = Message::Close(Some(CloseFrame {
            code,
            reason: reason.into(),
        }));
        let _ = timeout(client.limits.stalled, client.sink.send(close)).await;
    }
}

struct Client {
    sink: SplitSink<WebSocket, Message>,
    subscription: Subscription,
    limits: LiveLimits,
}

impl Client {
    async fn talk(&mut self, mut stream: SplitStream<WebSocket>) -> Closing {
        if !self.subscription.topics().is_empty()
            && let Err(closing) = self.tell(&self.subscribed()).await
        {
            return closing;
        }
        let mut ping = interval(self.limits.ping);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ping.reset();
        let mut heard = Instant::now();
        loop {
            let done = tokio::select! {
                message = stream.next() => match message {
                    Some(Ok(message)) => {
                        heard = Instant::now();
                        self.hear(message).await
                    }
                    // What was too long, or no WebSocket, can not be answered in the stream's own words.
                    Some(Err(_)) => Err(Closing::Told(close_code::POLICY, "the message is too long or broken")),
                    None => Err(Closing::Gone),
                },
                news = self.subscription.next() => match news {
                    Ok(news) => self.hand_on(news).await,
                    Err(error) => {
                        tracing::error!(error = &error as &dyn std::error::Error, "a stream of events ends");
                        Err(Closing::Told(close_code::AGAIN, "the server's store does not answer now"))
                    }
                },
                _ = ping.tick() => {
                    if heard.elapsed() > self.limits.ping * PINGS {
                        return Closing::Gone;
                    }
                    self.send(Message::Ping(axum::body::Bytes::new())).await
                }
            };
            if let Err(closing) = done {
                return closing;
            }
        }
    }

    fn subscribed(&self) -> ServerMessage {
        ServerMessage::Subscribed {
            topics: self.subscription.topics().clone(),
            seq: self.subscription.seq(),
        }
    }

    async fn hear(&mut self, message: Message) -> Result<(), Closing> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => {
                return self
                    .refuse("bad_message", "messages are text: one JSON object each")
                    .await;
            }
            Message::Ping(_) | Message::Pong(_) => return Ok(()),
            Message::Close(_) => return Err(Closing::Gone),
        };
        let changed = match serde_json::from_str(&text) {
            Ok(ClientMessage::Subscribe { topics, after }) => self.subscription.subscribe(&topics, after),
            Ok(ClientMessage::Unsubscribe { topics }) => self.subscription.unsubscribe(&topics),
            Err(error) => {
                let message = format!(
                    "{error}; write {{\"type\":\"subscribe\",\"topics\":[\"job:*\"]}} or the same with unsubscribe"
                );
                return self.refuse("bad_message", &message).await;
            }
        };
        match changed {
            Ok(()) => self.tell(&self.subscribed()).await,
            Err(error) => self.refuse("bad_topic", &error.to_string()).await,
        }
    }

    async fn hand_on(&mut self, news: News) -> Result<(), Closing> {
        match news {
            News::Resync(seq) => self.tell(&ServerMessage::Resync { seq }).await,
            News::Events(events) => {
                let sending = async {
                    // All that is there goes out with one flush.
                    for event in events {
                        self.sink.feed(Message::Text(event.text.clone())).await?;
                    }
                    self.sink.flush().await
                };
                match timeout(self.limits.stalled, sending).await {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(_)) | Err(_) => Err(Closing::Gone),
                }
            }
        }
    }

    async fn refuse(&mut self, code: &'static str, message: &str) -> Result<(), Closing> {
        self.tell(&ServerMessage::Error {
            code,
            message: message.to_owned(),
        })
        .await
    }

    async fn tell(&mut self, message: &ServerMessage) -> Result<(), Closing> {
        self.send(Message::Text(message.text().into())).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Closing> {
        match timeout(self.limits.stalled, self.sink.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(Closing::Gone),
        }
    }
}
