//! What a scripted provider sends.

use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::chat::{Stamp, usage};
use super::engine::{ChatEnd, FinishReason};
use super::error::{Answer, Refusal};
use super::request::ChatBody;
use super::scripted::{ScriptedCall, ScriptedFault};
use super::stream::{chunk, event};
use crate::clock::HubClock;
use crate::reply::HubError;
use crate::state::Hub;

/// Answers a chat request from the script. Tokens are words here: nothing was read or said by a model.
pub(super) async fn respond(
    hub: &Hub,
    provider: &str,
    call: ScriptedCall,
    body: &ChatBody,
    model: &str,
) -> Answer<Response> {
    let task = body.task()?;
    if let Some(ScriptedFault::Status {
        code, retry_after, ..
    }) = &call.fault
    {
        let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let error = HubError::new(
            status,
            format!("The script of {provider} has the status {code} here"),
        );
        return Err(Refusal::Hub(match retry_after {
            Some(seconds) => error.with_header(RETRY_AFTER, &seconds.to_string()),
            None => error,
        }));
    }
    let clock = hub.clock.clone();
    clock
        .sleep(Duration::from_millis(call.first_token_latency_ms))
        .await;
    let words: Vec<String> = call.reply.split_inclusive(' ').map(str::to_owned).collect();
    let read = task
        .messages
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|message| message.get("content").and_then(Value::as_str))
        .map(|content| content.split_whitespace().count() as u64)
        .sum();
    let said = words.len().min(task.max_tokens.unwrap_or(usize::MAX));
    let end = ChatEnd {
        finish_reason: if said < words.len() {
            FinishReason::Length
        } else {
            FinishReason::Stop
        },
        prompt_tokens: read,
        completion_tokens: said as u64,
    };
    let words = words[..said].to_vec();
    let stamp = Stamp::new(hub.clock.now(), model);
    if !body.stream.unwrap_or(false) {
        let reply = json!({
            "id": stamp.id, "object": "chat.completion", "created": stamp.created, "model": stamp.model,
            "system_fingerprint": "hf-local-scripted",
            "choices": [{"index": 0, "message": {"role": "assistant", "content": words.concat()},
                "finish_reason": end.finish_reason.name(), "logprobs": null}],
            "usage": usage(&end)});
        return Ok(json_response(&reply));
    }
    let mut parts = events(&words, &stamp, end, body.include_usage(), call.fault.as_ref()).into_iter();
    let wait = Duration::from_millis(call.chunk_latency_ms);
    let mut is_first = true;
    let next = move || {
        let part = parts.next();
        let clock: HubClock = clock.clone();
        let pause = !std::mem::take(&mut is_first) && !wait.is_zero();
        async move {
            if pause {
                clock.sleep(wait).await;
            }
            if matches!(part, Some(Err(_))) {
                // What was said before goes out while nothing is ready; the break would take it along.
                tokio::task::yield_now().await;
            }
            part
        }
    };
    let body = stream::unfold(next, |mut next| async move { Some((next().await?, next)) });
    let headers = [(CONTENT_TYPE, "text/event-stream")];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// A JSON answer.
pub(super) fn json_response(value: &Value) -> Response {
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (headers, value.to_string()).into_response()
}

type Part = std::io::Result<Bytes>;

fn events(
    words: &[String],
    stamp: &Stamp,
    end: ChatEnd,
    include_usage: bool,
    fault: Option<&ScriptedFault>,
) -> Vec<Part> {
    let plain = |delta: Value| event(&chunk(stamp, &delta, None, &Value::Null));
    let said = match fault {
        Some(ScriptedFault::BreakAfter { words, .. } | ScriptedFault::ErrorAfter { words, .. }) => *words,
        _ => usize::MAX,
    };
    let mut parts: Vec<Part> = words
        .iter()
        .take(said)
        .map(|word| Ok(plain(json!({"role": "assistant", "content": word})).into()))
        .collect();
    match fault {
        Some(ScriptedFault::BreakAfter { .. }) => {
            parts.push(Err(std::io::Error::other("the script breaks the stream here")));
            return parts;
        }
        Some(ScriptedFault::ErrorAfter { .. }) => {
            let error = json!({"error": {"message": "the script has an error here", "type": "server_error",
                "code": "scripted_error"}});
            parts.push(Ok(event(&error).into()));
            return parts;
        }
        Some(ScriptedFault::NoEnd { .. }) => return parts,
        Some(ScriptedFault::Malformed { .. }) => {
            parts.push(Ok(Bytes::from_static(b"data: {\"this is\": no JSON\n\n")));
        }
        _ => {}
    }
    let mut last = event(&chunk(stamp, &json!({}), Some(end.finish_reason), &Value::Null));
    if include_usage {
        let mut counted = chunk(stamp, &json!({}), None, &Value::Null);
        counted["choices"] = json!([]);
        counted["usage"] = usage(&end);
        last.push_str(&event(&counted));
    }
    last.push_str("data: [DONE]\n\n");
    parts.push(Ok(last.into()));
    parts
}
