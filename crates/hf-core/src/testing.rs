//! A transport that follows a script and a clock that obeys, for tests (feature `testing`).

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::Notify;
use url::Url;

use crate::clock::Clock;
use crate::transport::{HttpBody, HttpRequest, HttpResponse, HttpTransport, TransportError, TransportKind};

/// A request a [`ScriptedTransport`] received.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Url,
    /// The headers, the token included.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl RecordedRequest {
    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, read as JSON; null when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The URL's path.
    pub fn path(&self) -> &str {
        self.url.path()
    }
}

/// How a scripted body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Clean,
    Fail(TransportKind),
    Silence,
}

/// A scripted answer, or a failure to answer.
#[derive(Debug, Clone)]
pub struct Reply {
    failure: Option<TransportKind>,
    status: StatusCode,
    headers: HeaderMap,
    chunks: Vec<Bytes>,
    end: End,
}

impl Reply {
    /// An answer with a status and no body.
    ///
    /// # Panics
    /// When `status` is no HTTP status.
    pub fn status(status: u16) -> Self {
        #[expect(clippy::expect_used, reason = "a wrong script is the test's own fault")]
        let status = StatusCode::from_u16(status).expect("a script names real statuses");
        Self {
            failure: None,
            status,
            headers: HeaderMap::new(),
            chunks: Vec::new(),
            end: End::Clean,
        }
    }

    /// A JSON answer.
    ///
    /// # Panics
    /// When `status` is no HTTP status or `value` can not be written.
    pub fn json(status: u16, value: impl Serialize) -> Self {
        #[expect(clippy::expect_used, reason = "a wrong script is the test's own fault")]
        let text = serde_json::to_vec(&value).expect("a script holds writable values");
        Self::status(status)
            .header("content-type", "application/json")
            .body(text)
    }

    /// An event stream, 200.
    pub fn sse(text: impl Into<Bytes>) -> Self {
        Self::status(200)
            .header("content-type", "text/event-stream")
            .body(text)
    }

    /// No answer at all.
    pub fn fail(kind: TransportKind) -> Self {
        Self {
            failure: Some(kind),
            ..Self::status(599)
        }
    }

    /// Adds a header.
    ///
    /// # Panics
    /// When name or value can not stand in a header.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        #[expect(clippy::expect_used, reason = "a wrong script is the test's own fault")]
        let name: HeaderName = name.parse().expect("a script names real headers");
        #[expect(clippy::expect_used, reason = "a wrong script is the test's own fault")]
        let value = HeaderValue::from_str(value).expect("a script holds real header values");
        self.headers.append(name, value);
        self
    }

    /// Sets the body, in one piece.
    #[must_use]
    pub fn body(self, body: impl Into<Bytes>) -> Self {
        self.chunks([body.into()])
    }

    /// Sets the body, in these pieces.
    #[must_use]
    pub fn chunks(mut self, chunks: impl IntoIterator<Item = impl Into<Bytes>>) -> Self {
        self.chunks = chunks.into_iter().map(Into::into).collect();
        self
    }

    /// Breaks the connection after the body's last piece.
    #[must_use]
    pub fn then_reset(mut self) -> Self {
        self.end = End::Fail(TransportKind::Body);
        self
    }

    /// Fails with `kind` after the body's last piece.
    #[must_use]
    pub fn then_fail(mut self, kind: TransportKind) -> Self {
        self.end = End::Fail(kind);
        self
    }

    /// Sends nothing after the body's last piece and keeps the connection open, for ever.
    #[must_use]
    pub fn then_silence(mut self) -> Self {
        self.end = End::Silence;
        self
    }

    fn into_response(self) -> Result<HttpResponse, TransportError> {
        if let Some(kind) = self.failure {
            return Err(TransportError::new(kind, "scripted failure"));
        }
        let pieces = stream::iter(self.chunks.into_iter().map(Ok));
        let body = match self.end {
            End::Clean => pieces.boxed(),
            End::Fail(kind) => pieces
                .chain(stream::iter([Err(TransportError::new(kind, "scripted break"))]))
                .boxed(),
            End::Silence => pieces.chain(stream::pending()).boxed(),
        };
        Ok(HttpResponse {
            status: self.status,
            headers: self.headers,
            body,
        })
    }
}

type Answer = dyn Fn(&RecordedRequest) -> Option<Reply> + Send + Sync;

/// A transport that answers from a script and records what it was asked.
///
/// Replies of [`ScriptedTransport::push`] are used in order; when they are used up, the function of
/// [`ScriptedTransport::answering`] is asked; when it has none either, the request fails as [`TransportKind::InvalidRequest`].
#[derive(Clone, Default)]
pub struct ScriptedTransport {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    answer: Option<Arc<Answer>>,
    requests: Arc<Mutex<Vec<RecordedRequest>>>,
}

impl fmt::Debug for ScriptedTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScriptedTransport")
            .field("requests", &lock(&self.requests).len())
            .finish_non_exhaustive()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedTransport {
    /// Makes a transport with an empty script.
    pub fn new() -> Self {
        Self::default()
    }

    /// Makes a transport that answers with these replies, in order.
    pub fn with_replies(replies: impl IntoIterator<Item = Reply>) -> Self {
        let transport = Self::new();
        lock(&transport.replies).extend(replies);
        transport
    }

    /// Makes a transport that asks a function for each answer.
    pub fn answering(answer: impl Fn(&RecordedRequest) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self {
            answer: Some(Arc::new(answer)),
            ..Self::default()
        }
    }

    /// Adds a reply at the end of the script.
    pub fn push(&self, reply: Reply) {
        lock(&self.replies).push_back(reply);
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        lock(&self.requests).clone()
    }

    /// How many replies of the script were not used yet.
    pub fn replies_left(&self) -> usize {
        lock(&self.replies).len()
    }
}

#[async_trait]
impl HttpTransport for ScriptedTransport {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let body = match request.body {
            HttpBody::Empty => Bytes::new(),
            HttpBody::Full(bytes) => bytes,
            HttpBody::Stream { mut stream, .. } => {
                let mut all = Vec::new();
                while let Some(piece) = stream.next().await {
                    all.extend_from_slice(&piece?);
                }
                all.into()
            }
        };
        let recorded = RecordedRequest {
            method: request.method,
            url: request.url,
            headers: request.headers,
            body,
        };
        let next = lock(&self.replies).pop_front();
        let reply = next.or_else(|| self.answer.as_ref().and_then(|answer| answer(&recorded)));
        let asked = format!("the script has no reply for {} {}", recorded.method, recorded.url);
        lock(&self.requests).push(recorded);
        match reply {
            Some(reply) => reply.into_response(),
            None => Err(TransportError::new(TransportKind::InvalidRequest, asked)),
        }
    }
}

/// A clock that moves only when it is told to.
#[derive(Debug, Clone)]
pub struct ManualClock {
    state: Arc<Mutex<ClockState>>,
    moved: Arc<Notify>,
}

#[derive(Debug)]
struct ClockState {
    start: Timestamp,
    elapsed: Duration,
    auto: bool,
    sleeps: Vec<Duration>,
}

impl ManualClock {
    /// Makes a clock that stands at `start`; a sleep ends when [`ManualClock::advance`] has moved far enough.
    pub fn new(start: Timestamp) -> Self {
        let state = ClockState {
            start,
            elapsed: Duration::ZERO,
            auto: false,
            sleeps: Vec::new(),
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            moved: Arc::new(Notify::new()),
        }
    }

    /// Makes a clock whose sleeps end at once and move the time by themselves. It starts at 1970-01-01.
    pub fn auto() -> Self {
        let clock = Self::new(Timestamp::UNIX_EPOCH);
        lock(&clock.state).auto = true;
        clock
    }

    /// Moves the time.
    pub fn advance(&self, by: Duration) {
        lock(&self.state).elapsed += by;
        self.moved.notify_waiters();
    }

    /// The lengths of all sleeps that were begun.
    pub fn sleeps(&self) -> Vec<Duration> {
        lock(&self.state).sleeps.clone()
    }
}

#[async_trait]
impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        let state = lock(&self.state);
        state
            .start
            .saturating_add(state.elapsed)
            .unwrap_or(Timestamp::MAX)
    }

    fn elapsed(&self) -> Duration {
        lock(&self.state).elapsed
    }

    async fn sleep(&self, duration: Duration) {
        let until = {
            let mut state = lock(&self.state);
            state.sleeps.push(duration);
            let until = state.elapsed.saturating_add(duration);
            if state.auto {
                state.elapsed = until;
            }
            until
        };
        loop {
            let moved = self.moved.notified();
            tokio::pin!(moved);
            // Registered before the look, so that a move in between is not missed.
            moved.as_mut().enable();
            if lock(&self.state).elapsed >= until {
                return;
            }
            moved.await;
        }
    }
}
