//! What is asked for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use url::Url;

use crate::error::HfError;
use crate::transport::{ByteStream, HttpBody};

/// How long an event stream may be silent: the Hub's keep-alives come every 30 s.
const EVENTS_IDLE_TIMEOUT: Duration = Duration::from_mins(2);

/// The body of a request, in a form that can be sent again.
#[derive(Clone, Default)]
pub enum RequestBody {
    /// No body.
    #[default]
    Empty,
    /// A body held in memory.
    Bytes(Bytes),
    /// A body made anew for each try.
    Factory {
        /// Starts the body from its first byte.
        make: Arc<dyn Fn() -> ByteStream + Send + Sync>,
        /// Its size, when it is known.
        length: Option<u64>,
    },
}

impl RequestBody {
    /// A body made anew for each try.
    pub fn factory(length: Option<u64>, make: impl Fn() -> ByteStream + Send + Sync + 'static) -> Self {
        Self::Factory {
            make: Arc::new(make),
            length,
        }
    }

    pub(super) fn start(&self) -> HttpBody {
        match self {
            Self::Empty => HttpBody::Empty,
            Self::Bytes(bytes) => HttpBody::Full(bytes.clone()),
            Self::Factory { make, length } => HttpBody::Stream {
                stream: make(),
                length: *length,
            },
        }
    }
}

impl fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Bodies may hold secrets, so only sizes are shown.
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Bytes(bytes) => write!(f, "Bytes({})", bytes.len()),
            Self::Factory { length, .. } => write!(f, "Factory({length:?})"),
        }
    }
}

/// Which redirects [`HfClient::request`](crate::HfClient::request) follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redirects {
    /// All, as long as they do not carry a body to another origin. The token stays behind when the origin changes.
    #[default]
    Follow,
    /// Only those that stay on the same origin; the first other one is returned as the answer.
    SameOrigin,
    /// None: the 3xx is the answer.
    Manual,
}

#[derive(Debug, Clone)]
pub(super) enum Target {
    Path(String),
    Url(Url),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Retries {
    ByMethod,
    Always,
    Never,
}

/// A request to send with [`HfClient::request`](crate::HfClient::request).
#[derive(Debug, Clone)]
pub struct RequestSpec {
    pub(super) method: Method,
    pub(super) target: Target,
    pub(super) query: Vec<(String, String)>,
    pub(super) headers: HeaderMap,
    pub(super) body: RequestBody,
    pub(super) redirects: Redirects,
    pub(super) retries: Retries,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) anonymous: bool,
}

impl RequestSpec {
    /// A request to `path` on the client's Hub. The path starts with `/` and is percent-encoded already; see
    /// [`encode_segment`](crate::encode_segment).
    pub fn new(method: Method, path: impl Into<String>) -> Self {
        Self::with_target(method, Target::Path(path.into()))
    }

    /// A request to an absolute address. It carries the token only if the address has the Hub's own origin.
    pub fn to_url(method: Method, url: Url) -> Self {
        Self::with_target(method, Target::Url(url))
    }

    /// A GET of `path`.
    pub fn get(path: impl Into<String>) -> Self {
        Self::new(Method::GET, path)
    }

    /// A HEAD of `path`.
    pub fn head(path: impl Into<String>) -> Self {
        Self::new(Method::HEAD, path)
    }

    /// A POST to `path`.
    pub fn post(path: impl Into<String>) -> Self {
        Self::new(Method::POST, path)
    }

    /// A PUT to `path`.
    pub fn put(path: impl Into<String>) -> Self {
        Self::new(Method::PUT, path)
    }

    /// A DELETE of `path`.
    pub fn delete(path: impl Into<String>) -> Self {
        Self::new(Method::DELETE, path)
    }

    fn with_target(method: Method, target: Target) -> Self {
        Self {
            method,
            target,
            query: Vec::new(),
            headers: HeaderMap::new(),
            body: RequestBody::Empty,
            redirects: Redirects::default(),
            retries: Retries::ByMethod,
            idle_timeout: None,
            anonymous: false,
        }
    }

    /// Adds a query parameter; it is encoded here.
    #[must_use]
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((key.into(), value.into()));
        self
    }

    /// Adds query parameters.
    #[must_use]
    pub fn queries<K: AsRef<str>, V: AsRef<str>>(mut self, pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        self.query.extend(
            pairs
                .into_iter()
                .map(|(k, v)| (k.as_ref().to_owned(), v.as_ref().to_owned())),
        );
        self
    }

    /// Sets a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: RequestBody) -> Self {
        self.body = body;
        self
    }

    /// Sets a JSON body.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when the value can not be written as JSON.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self, HfError> {
        let bytes = serde_json::to_vec(value).map_err(|error| {
            HfError::invalid(format!("the request body can not be written as JSON: {error}"))
        })?;
        let json = HeaderValue::from_static("application/json");
        Ok(self
            .header(CONTENT_TYPE, json)
            .body(RequestBody::Bytes(bytes.into())))
    }

    /// Sets which redirects are followed.
    #[must_use]
    pub fn redirects(mut self, redirects: Redirects) -> Self {
        self.redirects = redirects;
        self
    }

    /// Says that sending this twice does no harm, so that a POST or PATCH may be retried too.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.retries = Retries::Always;
        self
    }

    /// Forbids retries.
    #[must_use]
    pub fn no_retry(mut self) -> Self {
        self.retries = Retries::Never;
        self
    }

    /// Sets how long the server may be silent.
    #[must_use]
    pub fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = Some(idle_timeout);
        self
    }

    /// Sends no token.
    #[must_use]
    pub fn anonymous(mut self) -> Self {
        self.anonymous = true;
        self
    }

    /// Asks for an event stream: `Accept: text/event-stream`, and two minutes of silence allowed unless set otherwise.
    #[must_use]
    pub fn for_events(mut self) -> Self {
        self.idle_timeout.get_or_insert(EVENTS_IDLE_TIMEOUT);
        self.header(ACCEPT, HeaderValue::from_static("text/event-stream"))
    }

    pub(super) fn may_retry(&self) -> bool {
        match self.retries {
            Retries::Always => true,
            Retries::Never => false,
            Retries::ByMethod => matches!(
                self.method,
                Method::GET | Method::HEAD | Method::PUT | Method::DELETE
            ),
        }
    }
}
