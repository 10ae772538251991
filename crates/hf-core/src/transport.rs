//! The lowest seam: a request in, a response out. The only file that names reqwest.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use url::Url;

use crate::endpoint::is_loopback;

/// A body in pieces.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, TransportError>> + Send>>;

/// Sends one request and returns the head of the answer, its body still flowing.
///
/// An implementation follows no redirects, retries nothing and adds no credentials: that is [`HfClient`](crate::HfClient)'s work.
#[async_trait]
pub trait HttpTransport: fmt::Debug + Send + Sync {
    /// Sends `request`.
    ///
    /// # Errors
    /// A [`TransportError`] when no answer came. An answer with an error status is not one.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError>;
}

/// A request as the transport sees it.
#[derive(Debug)]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The absolute URL.
    pub url: Url,
    /// All headers, credentials included.
    pub headers: HeaderMap,
    /// The body.
    pub body: HttpBody,
    /// How long neither side may be silent: while waiting for the head, and between two pieces of the body.
    pub idle_timeout: Option<Duration>,
}

/// The body of a request.
#[derive(Default)]
pub enum HttpBody {
    /// No body.
    #[default]
    Empty,
    /// A body held in memory.
    Full(Bytes),
    /// A body that flows.
    Stream {
        /// The pieces.
        stream: ByteStream,
        /// Its size, when it is known.
        length: Option<u64>,
    },
}

impl fmt::Debug for HttpBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("Empty"),
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream { length, .. } => write!(f, "Stream({length:?} bytes)"),
        }
    }
}

/// An answer, its body still flowing.
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: ByteStream,
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// What went wrong below HTTP, and so whether another try helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    /// No connection: name not found, refused, unreachable. Nothing was sent.
    Connect,
    /// The TLS handshake or the certificate failed. Nothing was sent.
    Tls,
    /// Silence for longer than allowed.
    Timeout,
    /// The connection broke before the head of the answer.
    Reset,
    /// The body ended early or broke.
    Body,
    /// The request can not be sent as it is.
    InvalidRequest,
    /// Offline mode forbids the network.
    Offline,
    /// The other side does not speak HTTP as expected.
    Protocol,
}

impl TransportKind {
    /// Whether the same request may pass at another try.
    pub fn is_retryable(self) -> bool {
        matches!(self, Self::Connect | Self::Timeout | Self::Reset | Self::Body)
    }

    /// Whether the other side may have received the request; if so, its effect is unknown.
    pub fn may_have_arrived(self) -> bool {
        matches!(self, Self::Timeout | Self::Reset | Self::Body | Self::Protocol)
    }

    /// A stable word for logs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Body => "body",
            Self::InvalidRequest => "invalid_request",
            Self::Offline => "offline",
            Self::Protocol => "protocol",
        }
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::Tls => "no secure connection",
            Self::Timeout => "no answer in time",
            Self::Reset => "the connection broke before an answer",
            Self::Body => "the connection broke inside the body",
            Self::InvalidRequest => "the request can not be sent",
            Self::Offline => "offline mode is on",
            Self::Protocol => "the answer is not valid HTTP",
        })
    }
}

/// A failure below HTTP.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct TransportError {
    /// What kind of failure.
    pub kind: TransportKind,
    /// The details, without credentials.
    pub message: String,
    /// What the layer below said.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl TransportError {
    /// Makes an error without a source.
    pub fn new(kind: TransportKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            source: None,
        }
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// An idle connection is dropped before the Hub's balancers would (60 s), so a POST seldom meets a dead one.
const POOL_IDLE: Duration = Duration::from_secs(45);
/// Larger bodies are handed over in pieces of this size, so that sending counts as activity.
const SEND_PIECE: usize = 64 * 1024;

/// The transport over a real network, on reqwest.
///
/// No redirects are followed. Toward loopback no proxy is used, whatever the environment says.
pub struct ReqwestTransport {
    connect_timeout: Duration,
    direct: OnceLock<reqwest::Client>,
    proxied: OnceLock<reqwest::Client>,
}

impl ReqwestTransport {
    /// Makes a transport; connections and TLS are set up at first use.
    pub fn new() -> Self {
        Self::with_connect_timeout(CONNECT_TIMEOUT)
    }

    /// Makes a transport that gives up connecting after `connect_timeout`.
    pub fn with_connect_timeout(connect_timeout: Duration) -> Self {
        Self {
            connect_timeout,
            direct: OnceLock::new(),
            proxied: OnceLock::new(),
        }
    }

    fn client_for(&self, url: &Url) -> Result<&reqwest::Client, TransportError> {
        let local = is_loopback(url);
        let cell = if local { &self.direct } else { &self.proxied };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .tcp_nodelay(true)
            .referer(false);
        if local {
            builder = builder.no_proxy();
        }
        let client = builder
            .build()
            .map_err(|error| from_reqwest(error, TransportKind::InvalidRequest))?;
        Ok(cell.get_or_init(|| client))
    }
}

impl Default for ReqwestTransport {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ReqwestTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReqwestTransport")
            .field("connect_timeout", &self.connect_timeout)
            .finish_non_exhaustive()
    }
}

/// When the request's body last moved; an upload that flows is not a silent server.
#[derive(Clone)]
struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn touch(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn request_body(
    body: HttpBody,
    says_length: bool,
    activity: &Activity,
) -> (Option<reqwest::Body>, Option<u64>) {
    let (stream, length): (ByteStream, Option<u64>) = match body {
        // Some balancers refuse a POST that does not say it is empty, and hyper says so only of a stream.
        HttpBody::Empty if says_length => (Box::pin(stream::empty()), Some(0)),
        HttpBody::Empty => return (None, None),
        HttpBody::Full(bytes) if bytes.len() <= SEND_PIECE => return (Some(bytes.into()), None),
        HttpBody::Full(bytes) => {
            let length = bytes.len() as u64;
            let pieces = stream::unfold(bytes, |mut rest| async move {
                if rest.is_empty() {
                    return None;
                }
                let piece = rest.split_to(rest.len().min(SEND_PIECE));
                Some((Ok(piece), rest))
            });
            (Box::pin(pieces), Some(length))
        }
        HttpBody::Stream { stream, length } => (stream, length),
    };
    let activity = activity.clone();
    let watched = stream.inspect(move |_| activity.touch());
    (Some(reqwest::Body::wrap_stream(watched)), length)
}

#[async_trait]
impl HttpTransport for ReqwestTransport {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, TransportError> {
        let activity = Activity::new();
        let says_length = matches!(request.method, Method::POST | Method::PUT | Method::PATCH);
        let mut builder = self
            .client_for(&request.url)?
            .request(request.method, request.url);
        let (body, length) = request_body(request.body, says_length, &activity);
        builder = builder.headers(request.headers);
        if let Some(body) = body {
            builder = builder.body(body);
        }
        if let Some(length) = length {
            builder = builder.header(CONTENT_LENGTH, length);
        }
        let idle = request.idle_timeout;
        let sending = builder.send();
        tokio::pin!(sending);
        let response = loop {
            let Some(idle) = idle else {
                break sending.as_mut().await;
            };
            let deadline = tokio::time::Instant::from_std(activity.last() + idle);
            match tokio::time::timeout_at(deadline, sending.as_mut()).await {
                Ok(answer) => break answer,
                Err(_) if activity.last() + idle > Instant::now() => {}
                Err(_) => return Err(silence(idle)),
            }
        };
        let response = response.map_err(|error| from_reqwest(error, TransportKind::Reset))?;
        let status = response.status();
        let headers = response.headers().clone();
        Ok(HttpResponse {
            status,
            headers,
            body: idle_guard(response.bytes_stream(), idle),
        })
    }
}

fn silence(idle: Duration) -> TransportError {
    TransportError::new(
        TransportKind::Timeout,
        format!("nothing came for {} s", idle.as_secs_f64()),
    )
}

/// Ends a body with an error when nothing comes for `idle`.
fn idle_guard(
    body: impl Stream<Item = Result<Bytes, reqwest::Error>> + Send + 'static,
    idle: Option<Duration>,
) -> ByteStream {
    let body = Box::pin(body);
    Box::pin(stream::unfold(Some(body), move |state| async move {
        let mut body = state?;
        let next = match idle {
            Some(idle) => match tokio::time::timeout(idle, body.next()).await {
                Ok(next) => next,
                Err(_) => return Some((Err(silence(idle)), None)),
            },
            None => body.next().await,
        };
        match next? {
            Ok(bytes) => Some((Ok(bytes), Some(body))),
            Err(error) => Some((Err(from_reqwest(error, TransportKind::Body)), None)),
        }
    }))
}

/// Sorts reqwest's errors; `otherwise` names what an unclear failure at this place means.
fn from_reqwest(error: reqwest::Error, otherwise: TransportKind) -> TransportError {
    let chain = chain(&error);
    let kind = if error.is_timeout() {
        TransportKind::Timeout
    } else if error.is_builder() {
        TransportKind::InvalidRequest
    } else if error.is_connect() {
        // rustls reports a bad certificate as a failed connection, and trying again does not make it good.
        if chain.contains("certificate") || chain.contains("InvalidContentType") {
            TransportKind::Tls
        } else {
            TransportKind::Connect
        }
    } else if chain.contains("invalid HTTP") {
        TransportKind::Protocol
    } else {
        otherwise
    };
    // The URL may carry a signature, and the caller names the request anyway.
    TransportError::new(kind, chain).with_source(error.without_url())
}

/// The causes of an error, outermost first, without the URL reqwest prints.
fn chain(error: &reqwest::Error) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut cause = error.source();
    while let Some(current) = cause {
        let text = current.to_string();
        if parts.last().is_none_or(|last| !last.contains(&text)) {
            parts.push(text);
        }
        cause = current.source();
    }
    if parts.is_empty() {
        "the HTTP client gave no reason".to_owned()
    } else {
        parts.join(": ")
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Reads a request up to the end of its head, and as much of its body as is announced.
    async fn read_request(socket: &mut TcpStream) -> String {
        let mut text = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let count = socket.read(&mut buffer).await.unwrap();
            text.extend_from_slice(&buffer[..count]);
            let shown = String::from_utf8_lossy(&text);
            if let Some((head, body)) = shown.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "));
                if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                    return shown.into_owned();
                }
            }
            assert!(count > 0, "the request ended early: {shown}");
        }
    }

    /// Serves one connection and returns its address and what was asked.
    async fn serve(answer: &'static [u8], stay: bool) -> (Url, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("http://{}/x", listener.local_addr().unwrap())).unwrap();
        let asked = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let asked = read_request(&mut socket).await;
            socket.write_all(answer).await.unwrap();
            if stay {
                // Until the client hangs up.
                let _ = socket.read(&mut [0; 1]).await;
            }
            asked
        });
        (url, asked)
    }

    fn request(method: Method, url: Url, body: HttpBody) -> HttpRequest {
        let idle_timeout = Some(Duration::from_secs(20));
        HttpRequest {
            method,
            url,
            headers: HeaderMap::new(),
            body,
            idle_timeout,
        }
    }

    async fn read(response: HttpResponse) -> Result<Vec<u8>, TransportError> {
        let mut body = response.body;
        let mut all = Vec::new();
        while let Some(piece) = body.next().await {
            all.extend_from_slice(&piece?);
        }
        Ok(all)
    }

    #[tokio::test]
    async fn redirects_come_back_as_answers() {
        let (url, asked) = serve(
            b"HTTP/1.1 302 Found\r\nlocation: /y\r\ncontent-length: 2\r\n\r\nhi",
            false,
        )
        .await;
        let response = ReqwestTransport::new()
            .send(request(Method::POST, url, HttpBody::Empty))
            .await
            .unwrap();
        assert_eq!(
            (response.status.as_u16(), &response.headers["location"]),
            (302, &"/y".parse().unwrap())
        );
        assert_eq!(read(response).await.unwrap(), b"hi");
        let asked = asked.await.unwrap();
        assert!(
            asked.starts_with("POST /x HTTP/1.1\r\n") && asked.contains("content-length: 0"),
            "{asked}"
        );
    }

    #[tokio::test]
    async fn a_large_body_is_sent_whole_and_announced() {
        let (url, asked) = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false).await;
        let body = Bytes::from(vec![b'z'; 3 * SEND_PIECE + 1]);
        let sent = request(Method::PUT, url, HttpBody::Full(body.clone()));
        ReqwestTransport::new().send(sent).await.unwrap();
        let asked = asked.await.unwrap();
        assert!(asked.contains(&format!("content-length: {}", body.len())) && !asked.contains("chunked"));
        assert!(asked.ends_with(std::str::from_utf8(&body).unwrap()));
    }

    #[tokio::test]
    async fn failures_are_told_apart() {
        let transport = ReqwestTransport::new();
        let get = |url: &Url| request(Method::GET, url.clone(), HttpBody::Empty);

        let closed = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        let closed = Url::parse(&format!("http://{closed}/?secret=1")).unwrap();
        let error = transport.send(get(&closed)).await.unwrap_err();
        assert_eq!(error.kind, TransportKind::Connect);
        assert!(!format!("{error} {error:?}").contains("secret"));

        let (url, _) = serve(b"", false).await;
        assert_eq!(
            transport.send(get(&url)).await.unwrap_err().kind,
            TransportKind::Reset
        );

        let (url, _) = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", false).await;
        let error = read(transport.send(get(&url)).await.unwrap()).await.unwrap_err();
        assert_eq!(error.kind, TransportKind::Body);

        let (url, _) = serve(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            false,
        )
        .await;
        let error = read(transport.send(get(&url)).await.unwrap()).await.unwrap_err();
        assert_eq!(error.kind, TransportKind::Body);

        let (url, _) = serve(b"SSH-2.0-OpenSSH_9.9\r\n\r\n", false).await;
        assert_eq!(
            transport.send(get(&url)).await.unwrap_err().kind,
            TransportKind::Protocol
        );
    }

    #[tokio::test]
    async fn a_plain_server_behind_https_is_a_tls_failure() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let _ = socket.read(&mut [0; 16]).await;
            socket
                .write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                .await
                .unwrap();
        });
        let error = ReqwestTransport::new()
            .send(request(Method::GET, url, HttpBody::Empty))
            .await
            .unwrap_err();
        assert_eq!(error.kind, TransportKind::Tls, "{error}");
    }

    #[tokio::test]
    async fn silence_ends_in_time() {
        let transport = ReqwestTransport::new();
        let idle_timeout = Some(Duration::from_millis(300));
        let (url, _) = serve(b"", true).await;
        let silent = HttpRequest {
            idle_timeout,
            ..request(Method::GET, url, HttpBody::Empty)
        };
        assert_eq!(
            transport.send(silent).await.unwrap_err().kind,
            TransportKind::Timeout
        );

        let (url, _) = serve(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", true).await;
        let stalls = HttpRequest {
            idle_timeout,
            ..request(Method::GET, url, HttpBody::Empty)
        };
        // On a busy machine even the head may come too late, which is silence as well.
        let error = match transport.send(stalls).await {
            Ok(response) => read(response).await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind, TransportKind::Timeout);
    }
}
