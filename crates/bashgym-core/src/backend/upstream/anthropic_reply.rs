//! What Anthropic's Messages API answers, in `OpenAI`'s words: whole, and event by event.

use hf_core::SseEvent;
use serde_json::{Map, Value, json};

/// The word for why an answer ends.
///
/// # Source
/// `anthropic` 2.12.0 `types/stop_reason.py`.
fn finish_reason(stop: Option<&str>) -> Value {
    match stop {
        None => Value::Null,
        Some("max_tokens" | "model_context_window_exceeded") => "length".into(),
        Some("tool_use") => "tool_calls".into(),
        Some("refusal") => "content_filter".into(),
        Some(_) => "stop".into(),
    }
}

/// Tokens. What came out of the cache, or went into it, is part of the prompt.
///
/// # Source
/// `anthropic` 2.12.0 `types/message.py`: "Total input tokens in a request is the summation of `input_tokens`,
/// `cache_creation_input_tokens`, and `cache_read_input_tokens`."
fn usage(theirs: &Map<String, Value>) -> Value {
    let count = |key: &str| theirs.get(key).and_then(Value::as_u64).unwrap_or_default();
    let read = count("cache_read_input_tokens");
    let written = count("cache_creation_input_tokens");
    let prompt = count("input_tokens") + read + written;
    let completion = count("output_tokens");
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": read, "cache_creation_tokens": written}})
}

/// Turns a message into a chat completion.
///
/// # Source
/// `anthropic` 2.12.0 `types/message.py` and `types/content_block.py`.
pub(super) fn completion_of(message: &Value, created: i64) -> Value {
    let (mut text, mut thoughts, mut calls) = (String::new(), String::new(), Vec::new());
    for block in message["content"].as_array().into_iter().flatten() {
        match block["type"].as_str() {
            Some("text") => text.push_str(block["text"].as_str().unwrap_or_default()),
            Some("thinking") => thoughts.push_str(block["thinking"].as_str().unwrap_or_default()),
            Some("tool_use") => calls.push(json!({"id": block["id"], "type": "function",
                "function": {"name": block["name"], "arguments": block["input"].to_string()}})),
            _ => {}
        }
    }
    let mut said = json!({"role": "assistant", "content": text});
    if !calls.is_empty() {
        if text.is_empty() {
            said["content"] = Value::Null;
        }
        said["tool_calls"] = Value::Array(calls);
    }
    if !thoughts.is_empty() {
        said["reasoning_content"] = thoughts.into();
    }
    let mut whole = json!({"id": message["id"], "object": "chat.completion", "created": created, "model": message["model"],
        "choices": [{"index": 0, "message": said, "logprobs": null,
            "finish_reason": finish_reason(message["stop_reason"].as_str())}]});
    if let Some(theirs) = message["usage"].as_object() {
        whole["usage"] = usage(theirs);
    }
    whole
}

/// A stream of messages on its way to a stream of chunks.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    id: Value,
    model: Value,
    created: i64,
    usage: Map<String, Value>,
    stop: Option<String>,
    /// The calls of tools so far, by the place of their block: their own place, and whether anything of the input came.
    calls: Vec<(u64, usize, bool)>,
}

impl Chunks {
    pub(super) fn new(created: i64) -> Self {
        Self {
            created,
            ..Self::default()
        }
    }

    /// Turns an event into the chunks it means, as `data` of events.
    ///
    /// # Source
    /// `anthropic` 2.12.0 `types/raw_message_stream_event.py` and `_streaming.py`: `ping` means nothing, `error` ends it.
    pub(super) fn of(&mut self, event: &SseEvent) -> Vec<String> {
        let Ok(value) = serde_json::from_str::<Value>(&event.data) else {
            // Broken JSON stays broken, for the reader to say so.
            return vec![event.data.clone()];
        };
        match value["type"].as_str() {
            Some("message_start") => {
                let message = &value["message"];
                (self.id, self.model) = (message["id"].clone(), message["model"].clone());
                self.learn(&message["usage"]);
                vec![self.chunk(&json!({"role": "assistant", "content": ""}), &Value::Null)]
            }
            Some("content_block_start") => self.begin(&value),
            Some("content_block_delta") => self.go_on(&value),
            Some("content_block_stop") => self.end_block(&value),
            Some("message_delta") => {
                self.stop = value["delta"]["stop_reason"].as_str().map(str::to_owned);
                self.learn(&value["usage"]);
                Vec::new()
            }
            Some("message_stop") => {
                let reason = finish_reason(self.stop.as_deref().or(Some("end_turn")));
                let mut last = self.frame();
                last["choices"] = json!([]);
                last["usage"] = usage(&self.usage);
                vec![
                    self.chunk(&json!({}), &reason),
                    last.to_string(),
                    "[DONE]".to_owned(),
                ]
            }
            Some("error") => vec![json!({"error": value["error"]}).to_string()],
            _ => Vec::new(),
        }
    }

    /// Counts are told anew as they grow; a later one stands.
    fn learn(&mut self, theirs: &Value) {
        for (key, value) in theirs.as_object().into_iter().flatten() {
            if value.is_u64() {
                self.usage.insert(key.clone(), value.clone());
            }
        }
    }

    fn begin(&mut self, value: &Value) -> Vec<String> {
        let block = &value["content_block"];
        match block["type"].as_str() {
            Some("tool_use") => {
                let place = self.calls.len();
                self.calls
                    .push((value["index"].as_u64().unwrap_or_default(), place, false));
                let call = json!({"index": place, "id": block["id"], "type": "function",
                    "function": {"name": block["name"], "arguments": ""}});
                vec![self.chunk(&json!({"tool_calls": [call]}), &Value::Null)]
            }
            Some("text") if block["text"].as_str().is_some_and(|text| !text.is_empty()) => {
                vec![self.chunk(&json!({"content": block["text"]}), &Value::Null)]
            }
            _ => Vec::new(),
        }
    }

    fn go_on(&mut self, value: &Value) -> Vec<String> {
        let delta = &value["delta"];
        match delta["type"].as_str() {
            Some("text_delta") => vec![self.chunk(&json!({"content": delta["text"]}), &Value::Null)],
            Some("thinking_delta") => {
                vec![self.chunk(&json!({"reasoning_content": delta["thinking"]}), &Value::Null)]
            }
            Some("input_json_delta") => {
                let text = delta["partial_json"].as_str().unwrap_or_default().to_owned();
                self.arguments(value["index"].as_u64(), &text)
            }
            _ => Vec::new(),
        }
    }

    /// A tool that takes nothing is called with an empty object, of which no piece comes.
    fn end_block(&mut self, value: &Value) -> Vec<String> {
        let index = value["index"].as_u64();
        let empty = self.calls.iter().any(|(at, _, some)| Some(*at) == index && !some);
        if empty {
            self.arguments(index, "{}")
        } else {
            Vec::new()
        }
    }

    fn arguments(&mut self, index: Option<u64>, text: &str) -> Vec<String> {
        let call = self.calls.iter_mut().find(|(at, ..)| Some(*at) == index);
        let Some((_, place, some)) = call.filter(|_| !text.is_empty()) else {
            return Vec::new();
        };
        *some = true;
        let call = json!({"index": *place, "function": {"arguments": text}});
        vec![self.chunk(&json!({"tool_calls": [call]}), &Value::Null)]
    }

    fn frame(&self) -> Value {
        json!({"id": self.id, "object": "chat.completion.chunk", "created": self.created, "model": self.model})
    }

    fn chunk(&self, delta: &Value, finish: &Value) -> String {
        let mut chunk = self.frame();
        chunk["choices"] = json!([{"index": 0, "delta": delta, "finish_reason": finish}]);
        chunk.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_a_completion() {
        let message = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
            "content": [{"type": "thinking", "thinking": "hm", "signature": "s"}, {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "t1", "name": "ls", "input": {"path": "."}}],
            "usage": {"input_tokens": 5, "cache_read_input_tokens": 20, "cache_creation_input_tokens": 3, "output_tokens": 7}});
        let whole = completion_of(&message, 4);
        let choice = &whole["choices"][0];
        assert_eq!(choice["finish_reason"], "tool_calls");
        assert_eq!(choice["message"]["content"], "I look.");
        assert_eq!(choice["message"]["reasoning_content"], "hm");
        assert_eq!(
            choice["message"]["tool_calls"],
            json!([{"id": "t1", "type": "function", "function": {"name": "ls", "arguments": "{\"path\":\".\"}"}}])
        );
        assert_eq!(
            (
                &whole["usage"]["prompt_tokens"],
                &whole["usage"]["completion_tokens"]
            ),
            (&json!(28), &json!(7))
        );
        assert_eq!(whole["usage"]["prompt_tokens_details"]["cached_tokens"], 20);
    }

    #[test]
    fn every_reason_has_a_word() {
        for (stop, word) in [
            ("end_turn", "stop"),
            ("stop_sequence", "stop"),
            ("pause_turn", "stop"),
            ("max_tokens", "length"),
            ("model_context_window_exceeded", "length"),
            ("tool_use", "tool_calls"),
            ("refusal", "content_filter"),
        ] {
            assert_eq!(finish_reason(Some(stop)), word);
        }
    }

    fn events(list: &[Value]) -> Vec<Value> {
        let mut chunks = Chunks::new(1);
        let mut told = Vec::new();
        for value in list {
            let event = SseEvent {
                data: value.to_string(),
                ..SseEvent::default()
            };
            told.extend(chunks.of(&event));
        }
        told.iter()
            .map(|text| serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()))
            .collect()
    }

    #[test]
    fn events_become_chunks() {
        let told = events(&[
            json!({"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 4, "output_tokens": 1}}}),
            json!({"type": "ping"}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t1", "name": "ls", "input": {}}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": ""}}),
            json!({"type": "content_block_delta", "index": 1, "delta": {"type": "input_json_delta", "partial_json": "{\"a\":1}"}}),
            json!({"type": "content_block_stop", "index": 1}),
            json!({"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t2", "name": "pwd", "input": {}}}),
            json!({"type": "content_block_stop", "index": 2}),
            json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 9}}),
            json!({"type": "message_stop"}),
        ]);
        let deltas: Vec<&Value> = told
            .iter()
            .filter_map(|chunk| chunk["choices"].get(0))
            .map(|choice| &choice["delta"])
            .collect();
        assert_eq!(deltas[0]["role"], "assistant");
        assert_eq!(deltas[1]["content"], "Hi");
        let call = |at: usize| &deltas[at]["tool_calls"][0];
        assert_eq!(call(2)["id"], "t1");
        assert_eq!(call(3)["function"]["arguments"], "{\"a\":1}");
        assert_eq!((&call(4)["id"], &call(4)["index"]), (&json!("t2"), &json!(1)));
        assert_eq!(call(5)["function"]["arguments"], "{}");
        let last = &told[told.len() - 3..];
        assert_eq!(last[0]["choices"][0]["finish_reason"], "tool_calls");
        assert_eq!(
            (
                &last[1]["usage"]["prompt_tokens"],
                &last[1]["usage"]["completion_tokens"]
            ),
            (&json!(4), &json!(9))
        );
        assert_eq!(last[2], "[DONE]");
    }

    #[test]
    fn an_error_inside_stays_an_error() {
        let told = events(&[
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
        ]);
        assert_eq!(told[0]["error"]["message"], "Overloaded");
    }
}
