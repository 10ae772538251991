//! An answer, piece by piece.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::{BoxStream, Stream, StreamExt};
use hf_core::{Clock, HfError, HfResponse, SseEvent, TransportKind};

use super::reply::{ChunkBody, WireUsage};
use crate::client::{Call, timed_out};
use crate::error::InferenceError;
use crate::report::CallReport;

/// The most pieces without content before an answer is taken to have begun.
const MAX_EMPTY: usize = 64;

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatChunk {
    /// What it says.
    pub body: ChunkBody,
    /// The JSON as it came, for handing it on.
    pub json: String,
}

type Events = BoxStream<'static, Result<SseEvent, HfError>>;

/// A stream whose first content has come.
pub(crate) struct Opened {
    early: VecDeque<ChatChunk>,
    events: Events,
    clock: Arc<dyn Clock>,
    timeout: Duration,
    what: String,
}

/// One event, read.
enum Read {
    Chunk(Box<ChatChunk>),
    Done,
}

fn read(event: SseEvent, what: &str) -> Result<Read, HfError> {
    let data = event.data;
    if data.trim() == "[DONE]" {
        return Ok(Read::Done);
    }
    let body: ChunkBody = serde_json::from_str(&data)
        .map_err(|error| HfError::from_json(format!("a piece of {what}"), &error))?;
    if let Some(error) = body.extra.get("error").filter(|error| !error.is_null()) {
        let message = error
            .get("message")
            .and_then(serde_json::Value::as_str)
            .map_or_else(|| error.to_string(), str::to_owned);
        return Err(HfError::Transport {
            kind: TransportKind::Body,
            request: what.to_owned(),
            message: format!("the provider reports: {}", hf_core::scrub_secrets(&message)),
            source: None,
        });
    }
    Ok(Read::Chunk(Box::new(ChatChunk { body, json: data })))
}

fn broken(what: &str, message: &str) -> HfError {
    HfError::Transport {
        kind: TransportKind::Body,
        request: what.to_owned(),
        message: message.to_owned(),
        source: None,
    }
}

/// Reads until the first content, so that a provider that fails before it can be replaced by another.
pub(crate) async fn open(
    response: HfResponse,
    clock: Arc<dyn Clock>,
    timeout: Duration,
) -> Result<Opened, HfError> {
    let what = "the streamed answer".to_owned();
    let mut events: Events = response.into_events().boxed();
    let mut early = VecDeque::new();
    while early.len() < MAX_EMPTY {
        let event = tokio::select! {
            biased;
            event = events.next() => event,
            () = clock.sleep(timeout) => return Err(timed_out(&what, timeout)),
        };
        let Some(event) = event else {
            return Err(broken(&what, "it ended before the first content"));
        };
        match read(event?, &what)? {
            Read::Done => return Err(broken(&what, "it ended without content")),
            Read::Chunk(chunk) => {
                let begins = chunk.body.has_content();
                early.push_back(*chunk);
                if begins {
                    break;
                }
            }
        }
    }
    Ok(Opened {
        early,
        events,
        clock,
        timeout,
        what,
    })
}

/// An answer, piece by piece. It ends after the last piece, or with an error that holds what was received; it is never asked
/// for twice. Dropping it hangs up.
pub struct ChatStream {
    pieces: BoxStream<'static, Result<ChatChunk, HfError>>,
    call: Option<Call>,
    received: String,
    usage: Option<WireUsage>,
    /// The last work: the call's record.
    ending: Option<Pin<Box<dyn Future<Output = CallReport> + Send>>>,
    report: Option<CallReport>,
    failed: Option<InferenceError>,
}

impl std::fmt::Debug for ChatStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChatStream")
            .field("received", &self.received.len())
            .field("ended", &self.report.is_some())
            .finish_non_exhaustive()
    }
}

/// The pieces of an opened stream, up to `[DONE]`.
fn pieces(opened: Opened) -> impl Stream<Item = Result<ChatChunk, HfError>> + Send {
    struct State {
        opened: Opened,
        finished: bool,
        over: bool,
    }
    let state = State {
        opened,
        finished: false,
        over: false,
    };
    futures::stream::unfold(state, |mut state| async move {
        if state.over {
            return None;
        }
        if let Some(chunk) = state.opened.early.pop_front() {
            state.finished |= chunk.body.is_last();
            return Some((Ok(chunk), state));
        }
        let Opened {
            events,
            clock,
            timeout,
            what,
            ..
        } = &mut state.opened;
        let event = tokio::select! {
            biased;
            event = events.next() => event,
            () = clock.sleep(*timeout) => Some(Err(timed_out(what, *timeout))),
        };
        let read = match event {
            // Some providers close without the mark; after the model said why it stops, nothing is missing.
            None if state.finished => return None,
            None => Err(broken(what, "it ended before the model had finished")),
            Some(Ok(event)) => read(event, what),
            Some(Err(error)) => Err(error),
        };
        match read {
            Ok(Read::Done) => None,
            Ok(Read::Chunk(chunk)) => {
                state.finished |= chunk.body.is_last();
                Some((Ok(*chunk), state))
            }
            Err(error) => {
                state.over = true;
                Some((Err(error), state))
            }
        }
    })
}

impl ChatStream {
    pub(crate) fn new(opened: Opened, call: Call) -> Self {
        Self {
            pieces: pieces(opened).boxed(),
            call: Some(call),
            received: String::new(),
            usage: None,
            ending: None,
            report: None,
            failed: None,
        }
    }

    /// The text received so far.
    pub fn text(&self) -> &str {
        &self.received
    }

    /// What is known of the call, once the stream has ended well.
    pub fn report(&self) -> Option<&CallReport> {
        self.report.as_ref().filter(|_| self.failed.is_none())
    }

    fn end(&mut self, error: Option<HfError>) {
        let Some(call) = self.call.take() else {
            return;
        };
        let usage = self.usage.take();
        self.failed = error.map(|error| InferenceError::Broken {
            error: Box::new(error),
            received: self.received.clone(),
            attempts: Vec::new(),
        });
        let broke = self.failed.is_some();
        self.ending = Some(Box::pin(async move {
            if broke {
                call.break_off().await
            } else {
                call.finish(usage).await
            }
        }));
    }
}

impl Stream for ChatStream {
    type Item = Result<ChatChunk, InferenceError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(ending) = &mut this.ending {
                let report = std::task::ready!(ending.as_mut().poll(context));
                this.ending = None;
                let mut failed = this.failed.take();
                if let Some(InferenceError::Broken { attempts, .. }) = &mut failed {
                    attempts.clone_from(&report.attempts);
                } else {
                    this.report = Some(report);
                }
                return Poll::Ready(failed.map(Err));
            }
            if this.call.is_none() {
                return Poll::Ready(None);
            }
            match std::task::ready!(this.pieces.as_mut().poll_next(context)) {
                Some(Ok(chunk)) => {
                    this.received.push_str(chunk.body.text());
                    if let Some(usage) = WireUsage::of(&chunk.body.extra) {
                        this.usage = Some(usage);
                    }
                    return Poll::Ready(Some(Ok(chunk)));
                }
                Some(Err(error)) => this.end(Some(error)),
                None => this.end(None),
            }
        }
    }
}
