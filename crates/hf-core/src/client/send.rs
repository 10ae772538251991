//! One request: tries, redirects, headers, and what an answer means.

use std::time::Duration;

use futures::stream::StreamExt;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tracing::{Instrument, Span, debug, field, warn};
use url::Url;

use super::redirect::{check_redirect, redirect_target, turns_into_get};
use super::request::Target;
use super::{HfClient, HfResponse, Inner, Redirects, RequestBody, RequestSpec};
use crate::encode::encode_query;
use crate::endpoint::is_loopback;
use crate::error::{self, HfError};
use crate::rate::RateClass;
use crate::retry::{is_retryable_status, server_wait};
use crate::telemetry::SPANS;
use crate::transport::{ByteStream, HttpRequest, HttpResponse, TransportError, TransportKind};

/// The most bytes of an error answer that are looked at.
const MAX_ERROR_BYTES: usize = 64 << 10;
/// The most redirects that are followed.
const MAX_REDIRECTS: u32 = 10;

impl HfClient {
    /// Runs `attempt` until it succeeds, or trying again is of no use, not allowed, or too late.
    pub(super) async fn retrying<T>(
        &self,
        spec: &RequestSpec,
        attempt: impl AsyncFn(&Self, &RequestSpec) -> Result<T, Failure>,
    ) -> Result<T, HfError> {
        let Inner {
            clock,
            retry,
            backoff,
            ..
        } = &*self.inner;
        let start = clock.elapsed();
        let mut failures = 0;
        loop {
            let Failure { error, asked_wait } = match attempt(self, spec).await {
                Ok(done) => return Ok(done),
                Err(failure) => failure,
            };
            failures += 1;
            // A 413 that names a time is about now, not about the request.
            let waits_for_room =
                error.status() == Some(StatusCode::PAYLOAD_TOO_LARGE) && asked_wait.is_some();
            let may_pass = error.is_transient() || waits_for_room;
            if failures >= retry.max_attempts || !spec.may_retry() || !may_pass {
                return Err(error);
            }
            // `Retry-After: 0` is no leave to hammer.
            let wait = backoff.wait(failures).max(asked_wait.unwrap_or_default());
            let spent = clock.elapsed().saturating_sub(start);
            if spent.saturating_add(wait) > retry.deadline {
                return Err(error);
            }
            warn!(%error, failures, wait_ms = wait.as_millis(), "trying again");
            clock.sleep(wait).await;
        }
    }

    pub(super) fn url_of(&self, spec: &RequestSpec) -> Result<Url, HfError> {
        let mut url = match &spec.target {
            Target::Path(path) => self.inner.endpoint.join(path)?,
            Target::Url(url) => url.clone(),
        };
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HfError::invalid(format!(
                "{}: URLs are not fetched",
                url.scheme()
            )));
        }
        if !spec.query.is_empty() {
            let mut query = url.query().map(|query| format!("{query}&")).unwrap_or_default();
            query.push_str(&encode_query(spec.query.iter().map(|(k, v)| (k, v))));
            url.set_query(Some(&query));
        }
        Ok(url)
    }

    /// One try: sends, follows redirects, checks the status.
    pub(super) async fn send_once(&self, spec: &RequestSpec) -> Result<HfResponse, Failure> {
        let Inner {
            endpoint, transport, ..
        } = &*self.inner;
        let mut url = self.url_of(spec)?;
        let mut method = spec.method.clone();
        let mut body = spec.body.clone();
        // Once the way led elsewhere the token stays behind, even if it leads back: the other side chose that address.
        let mut trusted = !spec.anonymous && endpoint.same_origin(&url);
        let mut own_headers = spec.headers.clone();
        for _ in 0..=MAX_REDIRECTS {
            if self.inner.offline && !is_loopback(&url) {
                let error = TransportError::new(TransportKind::Offline, "HF_HUB_OFFLINE is set");
                return Err(HfError::from_transport(&method, &url, error).into());
            }
            let request = HttpRequest {
                method: method.clone(),
                url: url.clone(),
                headers: self.headers(&own_headers, trusted),
                body: body.start(),
                idle_timeout: Some(spec.idle_timeout.unwrap_or(self.inner.idle_timeout)),
            };
            let class = RateClass::of(&url).filter(|_| endpoint.same_origin(&url));
            let permit = match class {
                Some(class) => Some(self.inner.rates.acquire(class).await?),
                None => None,
            };
            let span = tracing::info_span!(
                target: SPANS,
                "hub request",
                otel.name = %method,
                otel.kind = "client",
                otel.status_code = field::Empty,
                http.request.method = %method,
                url.full = error::redact_url(&url),
                server.address = url.host_str(),
                http.response.status_code = field::Empty,
                error.type = field::Empty,
            );
            let answer = transport.send(request).instrument(span.clone()).await;
            note_answer(&span, &answer);
            let response = answer.map_err(|error| HfError::from_transport(&method, &url, error))?;
            let (status, headers) = (response.status, response.headers);
            if let Some(permit) = permit {
                permit.observe(&headers);
            }
            debug!(%method, url = error::redact_url(&url), status = status.as_u16(), "answer");
            warn_of(&headers);
            if let Some(next) = redirect_target(status, &headers, &url, spec.redirects)? {
                let leaves = next.origin() != url.origin();
                if leaves {
                    trusted = false;
                    own_headers.remove(AUTHORIZATION);
                    own_headers.remove(http::header::COOKIE);
                }
                if leaves && spec.redirects == Redirects::SameOrigin {
                    return Ok(HfResponse {
                        method,
                        url,
                        status,
                        headers,
                        body: response.body,
                    });
                }
                check_redirect(&method, &url, &next, status)?;
                if turns_into_get(status, &method) {
                    method = Method::GET;
                    body = RequestBody::Empty;
                    own_headers.remove(CONTENT_TYPE);
                }
                url = next;
                continue;
            }
            if status.is_client_error() || status.is_server_error() {
                let text = error_body(response.body).await;
                let token = self.inner.token.as_ref();
                let error = error::from_response(&method, &url, status, &headers, &text, token);
                if trusted {
                    self.inner
                        .refusals
                        .note(&method, &url, &error, self.inner.clock.now());
                }
                let names_a_time = is_retryable_status(status)
                    || (status == StatusCode::PAYLOAD_TOO_LARGE && headers.contains_key(RETRY_AFTER));
                let asked_wait = names_a_time.then(|| server_wait(&headers)).flatten();
                return Err(Failure { error, asked_wait });
            }
            if trusted && status.is_success() {
                self.inner.refusals.clear(&method, &url);
            }
            return Ok(HfResponse {
                method,
                url,
                status,
                headers,
                body: response.body,
            });
        }
        Err(HfError::decode(
            format!("the answer of {} {}", spec.method, error::redact_url(&url)),
            format!("more than {MAX_REDIRECTS} redirects"),
        )
        .into())
    }

    fn headers(&self, own: &HeaderMap, trusted: bool) -> HeaderMap {
        let mut headers = own.clone();
        headers
            .entry(USER_AGENT)
            .or_insert_with(|| self.inner.user_agent.clone());
        if trusted && let Some(auth) = &self.inner.auth_header {
            headers.entry(AUTHORIZATION).or_insert_with(|| auth.clone());
        }
        if let Ok(id) = HeaderValue::try_from(uuid_text(self.inner.backoff.trace_id())) {
            headers.entry("x-amzn-trace-id").or_insert(id);
        }
        headers
    }
}

/// What is kept of a read answer.
pub(super) struct Head {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
}

/// A failed try, with what the server asked for.
pub(super) struct Failure {
    pub(super) error: HfError,
    pub(super) asked_wait: Option<Duration>,
}

impl From<HfError> for Failure {
    fn from(error: HfError) -> Self {
        Self {
            error,
            asked_wait: None,
        }
    }
}

/// The beginning of an error's body; what breaks while reading it does not hide the error.
async fn error_body(mut body: ByteStream) -> Vec<u8> {
    let mut text = Vec::new();
    while let Some(Ok(piece)) = body.next().await {
        let room = MAX_ERROR_BYTES - text.len();
        text.extend_from_slice(&piece[..piece.len().min(room)]);
        if text.len() == MAX_ERROR_BYTES {
            break;
        }
    }
    text
}

/// Passes on `X-HF-Warning: topic; text`.
fn warn_of(headers: &HeaderMap) {
    for warning in headers.get_all("x-hf-warning") {
        if let Ok(text) = warning.to_str() {
            warn!(text = error::scrub_secrets(text), "the Hub warns");
        }
    }
}

/// Random bits in the form of a version 4 UUID.
fn uuid_text(bits: u128) -> String {
    let bits = bits & !(0xf << 76) & !(0x3 << 62) | (0x4 << 76) | (0x2 << 62);
    let hex = format!("{bits:032x}");
    format!(
        "{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// What came of a request, on its span.
fn note_answer(span: &Span, answer: &Result<HttpResponse, TransportError>) {
    match answer {
        Ok(response) => {
            let status = response.status;
            span.record("http.response.status_code", i64::from(status.as_u16()));
            if status.is_client_error() || status.is_server_error() {
                span.record("otel.status_code", "ERROR");
                span.record("error.type", status.as_str());
            }
        }
        Err(error) => {
            span.record("otel.status_code", "ERROR");
            span.record("error.type", error.kind.as_str());
        }
    }
}
