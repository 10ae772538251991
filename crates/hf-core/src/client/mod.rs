//! The client: auth header, redirects, retry, status check and decoding happen here, once.

#[cfg(test)]
mod acceptance;
mod builder;
mod events;
mod redirect;
mod request;
mod response;
mod send;
mod service;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt};
use http::HeaderValue;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Mutex;
use url::Url;

pub use self::builder::HfClientBuilder;
use self::request::Target;
pub use self::request::{Redirects, RequestBody, RequestSpec};
pub use self::response::{HfResponse, MAX_BODY_BYTES};
use self::send::{Failure, Head};
use crate::account::WhoAmI;
use crate::auth::Token;
use crate::capability::Refusals;
use crate::clock::Clock;
use crate::endpoint::{DEFAULT_ENDPOINT, Endpoint};
use crate::error::{self, HfError};
use crate::page::next_link;
use crate::rate::RateLimiter;
use crate::retry::{Backoff, RetryPolicy};
use crate::settings::HuggingFaceSettings;
use crate::sse::SseEvent;
use crate::transport::HttpTransport;

/// Where the Hub tells who asks.
pub(crate) const WHOAMI: &str = "/api/whoami-v2";

/// A client of one Hub. Cloning is cheap and shares everything.
#[derive(Clone)]
pub struct HfClient {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: Endpoint,
    token: Option<Token>,
    auth_header: Option<HeaderValue>,
    user_agent: HeaderValue,
    transport: Arc<dyn HttpTransport>,
    clock: Arc<dyn Clock>,
    retry: RetryPolicy,
    backoff: Backoff,
    idle_timeout: Duration,
    offline: bool,
    rates: Arc<RateLimiter>,
    refusals: Arc<Refusals>,
    whoami: Mutex<Option<Arc<WhoAmI>>>,
}

impl fmt::Debug for HfClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HfClient")
            .field("endpoint", &self.inner.endpoint)
            .field("token", &self.inner.token)
            .field("transport", &self.inner.transport)
            .field("offline", &self.inner.offline)
            .finish_non_exhaustive()
    }
}

impl HfClient {
    /// Starts a client of [`DEFAULT_ENDPOINT`] without a token.
    pub fn builder() -> HfClientBuilder {
        HfClientBuilder::default()
    }

    /// Starts a builder from resolved settings.
    pub fn builder_from(settings: &HuggingFaceSettings) -> HfClientBuilder {
        Self::builder()
            .endpoint(settings.endpoint.clone())
            .token(settings.token.clone())
            .offline(settings.offline)
    }

    /// Makes a client from resolved settings.
    ///
    /// # Errors
    /// As [`HfClientBuilder::build`].
    pub fn from_settings(settings: &HuggingFaceSettings) -> Result<Self, HfError> {
        Self::builder_from(settings).build()
    }

    /// A client of the same Hub with another token, which shares nothing that belongs to an account.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when the token can not stand in a header.
    pub fn with_token(&self, token: Token) -> Result<Self, HfError> {
        let inner = &self.inner;
        let mut builder = Self::builder()
            .endpoint(inner.endpoint.clone())
            .token(token)
            .transport(Arc::clone(&inner.transport))
            .clock(Arc::clone(&inner.clock))
            .retry(inner.retry.clone())
            .idle_timeout(inner.idle_timeout)
            .offline(inner.offline);
        if let Ok(user_agent) = inner.user_agent.to_str() {
            builder = builder.user_agent(user_agent);
        }
        builder.build()
    }

    /// The Hub this client talks to.
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    /// The token, for handing to another client of the same Hub.
    pub fn token(&self) -> Option<&Token> {
        self.inner.token.as_ref()
    }

    /// The clock this client waits by.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    /// Whether the network is forbidden.
    pub fn is_offline(&self) -> bool {
        self.inner.offline
    }

    /// What is known of the Hub's rate limits; shared by all clones.
    pub fn rate_limiter(&self) -> &Arc<RateLimiter> {
        &self.inner.rates
    }

    /// What the Hub refused lately; shared by all clones.
    pub fn refusals(&self) -> &Arc<Refusals> {
        &self.inner.refusals
    }

    /// Draws a jittered wait after the failure number `failures` (1 for the first), by this client's retry policy.
    pub fn backoff(&self, failures: u32) -> Duration {
        self.inner.backoff.wait(failures)
    }

    /// Sends a request, follows redirects, tries again where that is safe, and returns a good answer.
    ///
    /// GET, HEAD, PUT and DELETE are retried; others only if [`RequestSpec::idempotent`] says so. What fails while the
    /// body flows is the caller's to handle.
    ///
    /// # Errors
    /// Any [`HfError`]: the answer's meaning, or the transport's failure after the last try.
    pub async fn request(&self, spec: RequestSpec) -> Result<HfResponse, HfError> {
        self.retrying(&spec, async |client, spec| client.send_once(spec).await)
            .await
    }

    /// Sends a request and reads the whole answer; a body that breaks off counts as a failed try.
    ///
    /// # Errors
    /// As [`HfClient::request`] and [`HfResponse::bytes`].
    pub async fn request_bytes(&self, spec: RequestSpec) -> Result<Bytes, HfError> {
        Ok(self.request_collected(&spec).await?.1)
    }

    /// Sends a request and reads the answer as JSON.
    ///
    /// # Errors
    /// As [`HfClient::request_bytes`], and [`HfError::Decode`].
    pub async fn request_json<T: DeserializeOwned>(&self, spec: RequestSpec) -> Result<T, HfError> {
        let bytes = self.request_collected(&spec).await?.1;
        self.decode(&spec, &bytes)
    }

    /// `GET path`, read as JSON.
    ///
    /// # Errors
    /// As [`HfClient::request_json`].
    pub async fn get_json<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, HfError> {
        self.request_json(RequestSpec::get(path).queries(query.iter().copied()))
            .await
    }

    /// `GET path`, read as text.
    ///
    /// # Errors
    /// As [`HfClient::request_bytes`].
    pub async fn get_text(&self, path: &str, query: &[(&str, &str)]) -> Result<String, HfError> {
        let bytes = self
            .request_bytes(RequestSpec::get(path).queries(query.iter().copied()))
            .await?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// `POST path` with a JSON body, not retried; see [`RequestSpec::idempotent`].
    ///
    /// # Errors
    /// As [`HfClient::request_json`].
    pub async fn post_json<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, HfError> {
        self.request_json(RequestSpec::post(path).json(body)?).await
    }

    /// `PUT path` with a JSON body.
    ///
    /// # Errors
    /// As [`HfClient::request_json`].
    pub async fn put_json<B: Serialize + ?Sized, T: DeserializeOwned>(
        &self,
        path: &str,
        body: &B,
    ) -> Result<T, HfError> {
        self.request_json(RequestSpec::put(path).json(body)?).await
    }

    /// `DELETE path` with a JSON body; whatever the answer holds is dropped.
    ///
    /// # Errors
    /// As [`HfClient::request_bytes`].
    pub async fn delete_json<B: Serialize + ?Sized>(&self, path: &str, body: &B) -> Result<(), HfError> {
        self.request_bytes(RequestSpec::delete(path).json(body)?)
            .await
            .map(drop)
    }

    /// The items of a paged list, page after page, as they are asked for.
    ///
    /// After an error the stream ends.
    ///
    /// # Errors
    /// Items are errors as of [`HfClient::request_json`]; a next page on another origin is [`HfError::Decode`].
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `utils/_pagination.py`: the address in `Link: <…>; rel="next"` is followed as it is.
    pub fn pages<T>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> impl Stream<Item = Result<T, HfError>> + Send + Unpin + use<T>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let first = RequestSpec::get(path).queries(query.iter().copied());
        let client = self.clone();
        let pages = stream::unfold(Some(first), move |spec| {
            let client = client.clone();
            async move {
                match client.page::<T>(spec?).await {
                    Ok((items, next)) => Some((Ok(items), next)),
                    Err(error) => Some((Err(error), None)),
                }
            }
        });
        let items = pages.flat_map(|page| {
            let items = match page {
                Ok(items) => items.into_iter().map(Ok).collect(),
                Err(error) => vec![Err(error)],
            };
            stream::iter(items)
        });
        items.boxed()
    }

    async fn page<T: DeserializeOwned>(
        &self,
        spec: RequestSpec,
    ) -> Result<(Vec<T>, Option<RequestSpec>), HfError> {
        let (head, bytes) = self.request_collected(&spec).await?;
        let items = self.decode(&spec, &bytes)?;
        let Some(target) = next_link(&head.headers) else {
            return Ok((items, None));
        };
        let wrong = |why: &str| HfError::decode("the address of the next page", why);
        let next = head
            .url
            .join(&target)
            .map_err(|error| wrong(&error.to_string()))?;
        let next = self
            .own_address(next)
            .ok_or_else(|| wrong("it leads to another origin; not followed"))?;
        if next == head.url {
            return Err(wrong("it leads to the same page again"));
        }
        Ok((
            items,
            Some(RequestSpec {
                query: Vec::new(),
                target: Target::Url(next),
                ..spec
            }),
        ))
    }

    /// The address on this client's own Hub, if it is one. A mirror repeats the addresses of the Hub it mirrors.
    fn own_address(&self, url: Url) -> Option<Url> {
        let endpoint = &self.inner.endpoint;
        if endpoint.same_origin(&url) {
            return Some(url);
        }
        let rest = url.as_str().strip_prefix(DEFAULT_ENDPOINT)?;
        if !rest.starts_with(['/', '?']) {
            return None;
        }
        Url::parse(&format!("{endpoint}{rest}")).ok()
    }

    /// The events of `GET path`, as they arrive. Comments are skipped.
    ///
    /// Opening is retried, reading is not. The stream ends when the server closes it between two events.
    ///
    /// # Errors
    /// Items are errors as of [`HfClient::request`]; a stream that ends inside an event is [`HfError::Transport`].
    pub fn events(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> impl Stream<Item = Result<SseEvent, HfError>> + Send + Unpin + use<> {
        self.events_of(RequestSpec::get(path).queries(query.iter().copied()))
    }

    /// The events of any request; see [`HfClient::events`].
    pub fn events_of(
        &self,
        spec: RequestSpec,
    ) -> impl Stream<Item = Result<SseEvent, HfError>> + Send + Unpin + use<> {
        let client = self.clone();
        let spec = spec.for_events();
        let opening = async move {
            match client.request(spec).await {
                Ok(response) => response.into_events().left_stream(),
                Err(error) => stream::iter([Err(error)]).right_stream(),
            }
        };
        stream::once(opening).flatten().boxed()
    }

    /// Who the token belongs to.
    ///
    /// Asked once for this client and its clones; a failure is not kept. Concurrent callers share one request. What runs
    /// for long asks an [`AccountCache`](crate::AccountCache) instead.
    ///
    /// # Errors
    /// [`HfError::Auth`] without a token or with one the Hub does not know.
    pub async fn whoami(&self) -> Result<Arc<WhoAmI>, HfError> {
        let mut known = self.inner.whoami.lock().await;
        if let Some(me) = &*known {
            return Ok(me.clone());
        }
        let me = Arc::new(self.ask_whoami(RequestSpec::get(WHOAMI)).await?);
        *known = Some(me.clone());
        Ok(me)
    }

    /// Asks `GET /api/whoami-v2`, whatever is known already.
    pub(crate) async fn ask_whoami(&self, spec: RequestSpec) -> Result<WhoAmI, HfError> {
        if self.inner.token.is_none() {
            return Err(HfError::Auth {
                message: "no token is set".to_owned(),
                context: None,
            });
        }
        self.request_json(spec).await
    }

    fn decode<T: DeserializeOwned>(&self, spec: &RequestSpec, bytes: &[u8]) -> Result<T, HfError> {
        serde_json::from_slice(bytes).map_err(|error| {
            let url = self
                .url_of(spec)
                .map(|url| error::redact_url(&url))
                .unwrap_or_default();
            HfError::from_json(format!("the answer of {} {url}", spec.method), &error)
        })
    }

    async fn request_collected(&self, spec: &RequestSpec) -> Result<(Head, Bytes), HfError> {
        self.retrying(spec, async |client, spec| {
            let response = client.send_once(spec).await?;
            let head = Head {
                url: response.url.clone(),
                headers: response.headers.clone(),
            };
            match response.bytes().await {
                Ok(bytes) => Ok((head, bytes)),
                Err(error) => Err(Failure {
                    error,
                    asked_wait: None,
                }),
            }
        })
        .await
    }
}
