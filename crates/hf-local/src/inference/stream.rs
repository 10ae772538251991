//! An answer as events.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Value, json};

use super::chat::{Event, Running, Stamp, scored, tool_call, usage};
use super::engine::{ChatPiece, FinishReason};

struct Writer {
    running: Running,
    logprobs: bool,
    include_usage: bool,
    role_said: bool,
    calls: usize,
    over: bool,
}

/// Answers with the events of an answer. A client that stops reading stops the model.
pub(super) fn respond(running: Running, logprobs: bool, include_usage: bool) -> Response {
    let writer = Writer {
        running,
        logprobs,
        include_usage,
        role_said: false,
        calls: 0,
        over: false,
    };
    let events = stream::unfold(writer, |mut writer| async {
        let piece = writer.next().await?;
        Some((Ok::<_, std::io::Error>(piece), writer))
    });
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    (headers, Body::from_stream(events)).into_response()
}

/// One event.
pub(super) fn event(data: &Value) -> String {
    format!("data: {data}\n\n")
}

/// One chunk of an answer.
pub(super) fn chunk(stamp: &Stamp, delta: &Value, finish: Option<FinishReason>, logprobs: &Value) -> Value {
    let mut choice = json!({"index": 0, "delta": delta, "finish_reason": finish.map(FinishReason::name)});
    if !logprobs.is_null() {
        choice["logprobs"] = logprobs.clone();
    }
    json!({"id": stamp.id, "object": "chat.completion.chunk", "created": stamp.created, "model": stamp.model,
        "system_fingerprint": "hf-local", "choices": [choice]})
}

impl Writer {
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let text = match self.running.next().await {
            Some(Event::Piece(ChatPiece::Text { text, tokens })) => {
                let scores = if self.logprobs {
                    scored(&tokens)
                } else {
                    Value::Null
                };
                let delta = self.delta(json!({ "content": text }));
                event(&chunk(&self.running.stamp, &delta, None, &scores))
            }
            Some(Event::Piece(ChatPiece::ToolCall { name, arguments })) => {
                let mut call = tool_call(&name, &arguments);
                call["index"] = self.calls.into();
                self.calls += 1;
                let delta = self.delta(json!({ "tool_calls": [call] }));
                event(&chunk(&self.running.stamp, &delta, None, &Value::Null))
            }
            Some(Event::End(end)) => {
                self.over = true;
                let delta = if self.role_said {
                    json!({})
                } else {
                    self.delta(json!({"content": ""}))
                };
                let stamp = &self.running.stamp;
                let mut text = event(&chunk(stamp, &delta, Some(end.finish_reason), &Value::Null));
                if self.include_usage {
                    let mut last = chunk(stamp, &json!({}), None, &Value::Null);
                    last["choices"] = json!([]);
                    last["usage"] = usage(&end);
                    text.push_str(&event(&last));
                }
                text.push_str("data: [DONE]\n\n");
                text
            }
            Some(Event::Failed(failure)) => {
                self.over = true;
                tracing::error!(error = %failure, "an answer broke off");
                event(
                    &json!({"error": {"message": failure.to_string(), "type": "server_error", "code": "engine_failed"}}),
                )
            }
            None => {
                self.over = true;
                event(
                    &json!({"error": {"message": "the model ended without finishing its answer",
                    "type": "server_error", "code": "engine_failed"}}),
                )
            }
        };
        Some(Bytes::from(text))
    }

    fn delta(&mut self, mut delta: Value) -> Value {
        if !self.role_said {
            self.role_said = true;
            delta["role"] = "assistant".into();
        }
        delta
    }
}
