//! The way to one upstream: its key, its words, and nowhere else.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, stream};
use hf_core::{
    ByteStream, Clock, Endpoint, HttpBody, HttpRequest, HttpResponse, HttpTransport, SecretValue, SseItem,
    SseParser, TransportError, TransportKind,
};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::Wire;
use super::anthropic_reply::{Chunks, completion_of};
use super::anthropic_request::message_of;

/// # Source
/// `anthropic` 2.12.0 `_constants.py` `ANTHROPIC_API_VERSION`.
const ANTHROPIC_VERSION: &str = "2026-10-21";
/// The largest whole answer that is translated.
const LARGEST_ANSWER: usize = 32 << 20;
/// Who served is told by this header, and only a Hub's router may tell it.
const SERVED_BY: &str = "x-inference-provider";

/// Sends to one upstream. The key goes to its own origin alone; a redirect is not followed.
pub(super) struct UpstreamTransport {
    pub(super) inner: Arc<dyn HttpTransport>,
    pub(super) wire: Wire,
    pub(super) base: Endpoint,
    pub(super) key: Option<SecretValue>,
    pub(super) clock: Arc<dyn Clock>,
}

impl fmt::Debug for UpstreamTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UpstreamTransport")
            .field("wire", &self.wire)
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

fn wrong(message: &str) -> TransportError {
    TransportError::new(TransportKind::InvalidRequest, message)
}

impl UpstreamTransport {
    fn sign(&self, headers: &mut HeaderMap) -> Result<(), TransportError> {
        headers.remove(AUTHORIZATION);
        headers.remove("x-amzn-trace-id");
        let (name, prefix) = match self.wire {
            Wire::OpenAi => (AUTHORIZATION, "Bearer "),
            Wire::Anthropic => {
                let version = HeaderValue::from_static(ANTHROPIC_VERSION);
                headers.insert("anthropic-version", version);
                (HeaderName::from_static("x-api-key"), "")
            }
        };
        if let Some(key) = &self.key {
            let mut value = HeaderValue::try_from(format!("{prefix}{}", key.expose()))
                .map_err(|_| wrong("the key can not stand in a header"))?;
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        Ok(())
    }

    /// Rewrites a chat completion to a message. A refusal comes back as the answer it would have been.
    fn translate(&self, request: &mut HttpRequest) -> Result<bool, Translation> {
        let HttpBody::Full(bytes) = &request.body else {
            return Err(Translation::failed("the request has no body"));
        };
        let Ok(Value::Object(body)) = serde_json::from_slice::<Value>(bytes) else {
            return Err(Translation::failed("the request is no JSON object"));
        };
        let message = message_of(&body).map_err(Translation::Refused)?;
        let text = serde_json::to_vec(&message).map_err(|_| Translation::failed("the message is no JSON"))?;
        request.body = HttpBody::Full(text.into());
        let path = if self.base.url().path().trim_end_matches('/').ends_with("/v1") {
            "/messages"
        } else {
            "/v1/messages"
        };
        request.url = self
            .base
            .join(path)
            .map_err(|_| Translation::failed("the address takes no path"))?;
        request.headers.remove(CONTENT_LENGTH);
        Ok(body.get("stream") == Some(&Value::Bool(true)))
    }
}

enum Translation {
    Refused(String),
    Failed(TransportError),
}

impl Translation {
    fn failed(message: &str) -> Self {
        Self::Failed(wrong(message))
    }
}

fn refusal(why: &str) -> HttpResponse {
    let error = json!({"error": {"message": why, "type": "invalid_request_error", "code": "unsupported"}});
    answer(StatusCode::BAD_REQUEST, HeaderMap::new(), &error)
}

fn answer(status: StatusCode, mut headers: HeaderMap, value: &Value) -> HttpResponse {
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let text = Bytes::from(value.to_string());
    HttpResponse {
        status,
        headers,
        body: Box::pin(stream::once(async move { Ok(text) })),
    }
}

#[async_trait]
impl HttpTransport for UpstreamTransport {
    async fn send(&self, mut request: HttpRequest) -> Result<HttpResponse, TransportError> {
        if !self.base.same_origin(&request.url) {
            return Err(wrong("the address is not the upstream's"));
        }
        let mut streams = false;
        if self.wire == Wire::Anthropic {
            streams = match self.translate(&mut request) {
                Ok(streams) => streams,
                Err(Translation::Refused(why)) => return Ok(refusal(&why)),
                Err(Translation::Failed(error)) => return Err(error),
            };
        }
        self.sign(&mut request.headers)?;
        let mut response = self.inner.send(request).await?;
        response.headers.remove(SERVED_BY);
        if response.status.is_redirection() {
            let message = format!(
                "the upstream answered {} and redirects are not followed",
                response.status
            );
            return Err(TransportError::new(TransportKind::Protocol, message));
        }
        if self.wire == Wire::OpenAi || !response.status.is_success() {
            return Ok(response);
        }
        let created = self.clock.now().as_second();
        if streams {
            response.headers.remove(CONTENT_LENGTH);
            response.body = translated(response.body, Chunks::new(created));
            return Ok(response);
        }
        let bytes = whole(response.body).await?;
        let message: Value = serde_json::from_slice(&bytes).map_err(|error| {
            TransportError::new(TransportKind::Protocol, format!("the answer is no JSON: {error}"))
        })?;
        Ok(answer(
            response.status,
            response.headers,
            &completion_of(&message, created),
        ))
    }
}

async fn whole(mut body: ByteStream) -> Result<Vec<u8>, TransportError> {
    let mut bytes = Vec::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() > LARGEST_ANSWER {
            return Err(TransportError::new(
                TransportKind::Protocol,
                "the answer is too large",
            ));
        }
    }
    Ok(bytes)
}

/// The events of a message, as events of a chat completion. Dropping it hangs up.
fn translated(body: ByteStream, chunks: Chunks) -> ByteStream {
    struct State {
        body: ByteStream,
        parser: SseParser,
        chunks: Chunks,
        ready: VecDeque<Result<Bytes, TransportError>>,
        over: bool,
    }
    let state = State {
        body,
        parser: SseParser::default(),
        chunks,
        ready: VecDeque::new(),
        over: false,
    };
    Box::pin(stream::unfold(state, |mut state| async move {
        loop {
            if let Some(next) = state.ready.pop_front() {
                return Some((next, state));
            }
            if state.over {
                return None;
            }
            let piece = match state.body.next().await {
                None => return None,
                Some(Err(error)) => {
                    state.over = true;
                    return Some((Err(error), state));
                }
                Some(Ok(piece)) => piece,
            };
            let mut items = Vec::new();
            let read = state.parser.push(&piece, &mut items);
            let mut text = String::new();
            for item in items {
                if let SseItem::Event(event) = item {
                    for data in state.chunks.of(&event) {
                        text.push_str("data: ");
                        // A line break would end the field; JSON has none outside its texts, and none inside them.
                        text.push_str(&data.replace(['\r', '\n'], " "));
                        text.push_str("\n\n");
                    }
                }
            }
            if !text.is_empty() {
                state.ready.push_back(Ok(text.into()));
            }
            if let Err(error) = read {
                state.over = true;
                let error = TransportError::new(TransportKind::Protocol, error.to_string());
                state.ready.push_back(Err(error));
            }
        }
    }))
}
