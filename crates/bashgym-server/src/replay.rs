//! `Idempotency-Key`: the same request again gets the same answer, and does nothing a second time.
//!
//! Answers are kept in memory for a day. What costs money or takes long is kept by its key in the store as well (a job by
//! its intent, a task by its key), so that a restart in between changes nothing there.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use crate::gateway;
use crate::problem::{Code, Problem};
use crate::router::LARGEST_BODY;
use crate::state::AppState;

const KEPT: Duration = Duration::from_hours(24);
const ENTRIES: usize = 1024;
const LARGEST_ANSWER: usize = 256 * 1024;
/// The header.
pub(crate) const KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Answers by key.
#[derive(Default)]
pub(crate) struct Replays(Mutex<HashMap<String, Entry>>);

struct Entry {
    request: blake3::Hash,
    until: Duration,
    answer: Option<Answer>,
}

#[derive(Clone)]
struct Answer {
    status: StatusCode,
    kind: Option<HeaderValue>,
    location: Option<HeaderValue>,
    body: Bytes,
}

enum Begun {
    New,
    Known(Answer),
}

/// The key of a request, as a launch or a task takes it: its own text where that fits, else its hash.
///
/// # Errors
/// [`Problem`] of code `bad_request` when it is no key.
pub(crate) fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(&KEY) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    if text.is_empty() || text.len() > 255 || headers.get_all(&KEY).iter().nth(1).is_some() {
        return Err(Problem::new(
            Code::BadRequest,
            "an Idempotency-Key is 1 to 255 visible characters, given once",
        ));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if text.len() <= 64 && text.chars().all(plain) {
        return Ok(Some(text.to_owned()));
    }
    Ok(Some(blake3::hash(text.as_bytes()).to_hex().to_string()))
}

impl Replays {
    fn begin(&self, key: &str, request: blake3::Hash, now: Duration) -> Result<Begun, Problem> {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.retain(|_, entry| entry.until > now);
        match entries.get(key) {
            Some(entry) if entry.request != request => Err(Problem::new(
                Code::IdempotencyKeyReused,
                "this Idempotency-Key was used for another request",
            )
            .hint("give each request a key of its own, and the same key only to try the same request again")),
            Some(Entry {
                answer: Some(answer), ..
            }) => Ok(Begun::Known(answer.clone())),
            Some(_) => {
                Err(Problem::new(Code::Conflict, "the same request is being worked on").retry_after(1))
            }
            None if entries.len() >= ENTRIES => {
                Err(Problem::new(Code::SlowDown, "too many requests with keys").retry_after(60))
            }
            None => {
                let until = now + KEPT;
                entries.insert(
                    key.to_owned(),
                    Entry {
                        request,
                        until,
                        answer: None,
                    },
                );
                Ok(Begun::New)
            }
        }
    }

    fn end(&self, key: &str, answer: Option<Answer>) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (answer, entries.get_mut(key)) {
            (Some(answer), Some(entry)) => entry.answer = Some(answer),
            // A request that failed may be tried again.
            _ => {
                entries.remove(key);
            }
        }
    }
}

/// Forgets a request that was dropped before its answer.
struct Open<'a> {
    replays: &'a Replays,
    key: &'a str,
    answer: Option<Answer>,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.replays.end(self.key, self.answer.take());
    }
}

/// Answers a POST with a known key from memory.
pub(crate) async fn layer(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    // What signs in is new each time; what a model says flows, and is not kept.
    if gateway::is_ours(path)
        || request.method() != Method::POST
        || path.starts_with("/api/session")
        || path == "/api/proof"
    {
        return next.run(request).await;
    }
    match key_of(request.headers()) {
        Ok(None) => next.run(request).await,
        Ok(Some(key)) => once(&state, &key, request, next)
            .await
            .unwrap_or_else(IntoResponse::into_response),
        Err(problem) => problem.into_response(),
    }
}

async fn once(state: &AppState, key: &str, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, LARGEST_BODY)
        .await
        .map_err(|_| Problem::new(Code::TooLarge, "the body is larger than this server takes"))?;
    let mut hasher = blake3::Hasher::new();
    hasher.update(parts.uri.to_string().as_bytes());
    hasher.update(&[0]);
    hasher.update(&body);
    match state
        .replays
        .begin(key, hasher.finalize(), state.parts.clock.elapsed())?
    {
        Begun::Known(answer) => {
            let mut response = (answer.status, answer.body).into_response();
            let headers = response.headers_mut();
            headers.remove(header::CONTENT_TYPE);
            for (name, value) in [
                (header::CONTENT_TYPE, answer.kind),
                (header::LOCATION, answer.location),
            ] {
                if let Some(value) = value {
                    headers.insert(name, value);
                }
            }
            headers.insert("idempotency-replayed", HeaderValue::from_static("true"));
            Ok(response)
        }
        Begun::New => {
            let mut open = Open {
                replays: &state.replays,
                key,
                answer: None,
            };
            let response = next.run(Request::from_parts(parts, Body::from(body))).await;
            if !response.status().is_success() {
                return Ok(response);
            }
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, LARGEST_ANSWER)
                .await
                .map_err(|_| Problem::new(Code::Internal, "the answer is larger than expected"))?;
            open.answer = Some(Answer {
                status: parts.status,
                kind: parts.headers.get(header::CONTENT_TYPE).cloned(),
                location: parts.headers.get(header::LOCATION).cloned(),
                body: body.clone(),
            });
            Ok(Response::from_parts(parts, Body::from(body)))
        }
    }
}
