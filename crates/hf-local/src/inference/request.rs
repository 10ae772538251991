//! A chat request, read and checked.

use serde::Deserialize;
use serde_json::Value;

use super::engine::ChatTask;
use super::error::{Answer, Refusal};

/// The body of a chat request. What is not listed is passed over, as the router does.
#[derive(Debug, Deserialize)]
pub(super) struct ChatBody {
    #[serde(default)]
    pub(super) model: Option<String>,
    #[serde(default)]
    messages: Value,
    #[serde(default)]
    pub(super) stream: Option<bool>,
    #[serde(default)]
    stream_options: Option<StreamOptions>,
    #[serde(default)]
    max_tokens: Option<u64>,
    #[serde(default)]
    max_completion_tokens: Option<u64>,
    #[serde(default)]
    temperature: Option<f64>,
    #[serde(default)]
    top_p: Option<f64>,
    #[serde(default)]
    stop: Option<Stop>,
    #[serde(default)]
    seed: Option<i64>,
    #[serde(default)]
    n: Option<u64>,
    #[serde(default)]
    logprobs: Option<bool>,
    #[serde(default)]
    tools: Option<Value>,
    #[serde(default)]
    tool_choice: Option<Value>,
    #[serde(default)]
    response_format: Option<Value>,
}

#[derive(Debug, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: Option<bool>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Stop {
    One(String),
    Many(Vec<String>),
}

/// The most stop texts.
///
/// # Source
/// Hugging Face, Inference Providers, chat completion: `stop`, "up to 4 sequences".
const MAX_STOPS: usize = 4;

impl ChatBody {
    /// Whether a stream ends with a chunk of the usage.
    pub(super) fn include_usage(&self) -> bool {
        self.stream_options
            .as_ref()
            .and_then(|options| options.include_usage)
            .unwrap_or(false)
    }

    /// Reads what the model is asked for.
    ///
    /// # Errors
    /// 422 names the parameter that can't be served.
    pub(super) fn task(&self) -> Answer<ChatTask> {
        let messages = self
            .messages
            .as_array()
            .filter(|list| !list.is_empty())
            .ok_or_else(|| {
                Refusal::invalid("messages", "messages has to be a list of at least one message")
            })?;
        for message in messages {
            check_message(message)?;
        }
        if self.n.is_some_and(|n| n != 1) {
            return Err(Refusal::invalid(
                "n",
                "one answer a request is given here: leave n out or set it to 1",
            ));
        }
        if self.temperature.is_some_and(|it| !(0.0..=2.0).contains(&it)) {
            return Err(Refusal::invalid(
                "temperature",
                "temperature has to be within 0 to 2",
            ));
        }
        if self.top_p.is_some_and(|it| !(it > 0.0 && it <= 1.0)) {
            return Err(Refusal::invalid("top_p", "top_p has to be above 0 and at most 1"));
        }
        let max_tokens = self.max_completion_tokens.or(self.max_tokens);
        if max_tokens == Some(0) {
            return Err(Refusal::invalid("max_tokens", "max_tokens has to be at least 1"));
        }
        let format = self
            .response_format
            .as_ref()
            .and_then(|format| format.get("type"));
        if format.is_some_and(|kind| kind != "text") {
            return Err(Refusal::invalid(
                "response_format",
                "the models of this machine keep to no grammar: only the response format text is served",
            ));
        }
        let stop = match &self.stop {
            None => Vec::new(),
            Some(Stop::One(one)) => vec![one.clone()],
            Some(Stop::Many(many)) => many.clone(),
        };
        if stop.len() > MAX_STOPS || stop.iter().any(String::is_empty) {
            return Err(Refusal::invalid(
                "stop",
                format!("stop takes at most {MAX_STOPS} texts, none of them empty"),
            ));
        }
        Ok(ChatTask {
            messages: self.messages.clone(),
            tools: self.tools()?,
            max_tokens: max_tokens.map(|it| usize::try_from(it).unwrap_or(usize::MAX)),
            temperature: self.temperature,
            top_p: self.top_p,
            seed: self.seed.map_or_else(rand::random, i64::cast_unsigned),
            stop,
            logprobs: self.logprobs.unwrap_or(false),
            ..ChatTask::default()
        })
    }

    fn tools(&self) -> Answer<Value> {
        match self.tool_choice.as_ref() {
            Some(Value::String(choice)) if choice == "auto" => {}
            Some(Value::String(choice)) if choice == "none" => return Ok(Value::Null),
            None | Some(Value::Null) => {}
            Some(_) => {
                return Err(Refusal::invalid(
                    "tool_choice",
                    "the models of this machine can't be made to call a tool: tool_choice is auto or none",
                ));
            }
        }
        match &self.tools {
            None | Some(Value::Null) => Ok(Value::Null),
            Some(Value::Array(tools)) if tools.is_empty() => Ok(Value::Null),
            Some(tools @ Value::Array(list)) if list.iter().all(Value::is_object) => Ok(tools.clone()),
            Some(_) => Err(Refusal::invalid("tools", "tools has to be a list of objects")),
        }
    }
}

fn check_message(message: &Value) -> Answer<()> {
    let bad = |why: &str| Err(Refusal::invalid("messages", why.to_owned()));
    if message.get("role").and_then(Value::as_str).is_none() {
        return bad("each message needs a role");
    }
    match message.get("content") {
        None | Some(Value::Null | Value::String(_)) => Ok(()),
        Some(Value::Array(parts)) => {
            if parts
                .iter()
                .all(|part| part.get("text").is_some_and(Value::is_string))
            {
                Ok(())
            } else {
                bad("the models of this machine take text alone: leave out parts that are no text")
            }
        }
        Some(_) => bad("content has to be a text or a list of parts"),
    }
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse;
    use serde_json::json;

    use super::*;

    fn read(mut more: Value) -> Answer<ChatTask> {
        let mut body = json!({"messages": [{"role": "user", "content": "hi"}]});
        if let (Some(body), Some(more)) = (body.as_object_mut(), more.as_object_mut()) {
            body.append(more);
        }
        serde_json::from_value::<ChatBody>(body).unwrap().task()
    }

    #[test]
    fn what_can_not_be_served_is_refused_and_the_rest_is_read() {
        for bad in [
            json!({"messages": []}),
            json!({"messages": [{"content": "hi"}]}),
            json!({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}),
            json!({"n": 2}),
            json!({"temperature": 3}),
            json!({"top_p": 0}),
            json!({"max_tokens": 0}),
            json!({"stop": ["a", "b", "c", "d", "e"]}),
            json!({"stop": ""}),
            json!({"tool_choice": "required"}),
            json!({"tools": "bash"}),
            json!({"response_format": {"type": "json_object"}}),
        ] {
            let refused = read(bad.clone()).unwrap_err().into_response();
            assert_eq!(refused.status(), 422, "{bad}");
        }
        let task = read(
            json!({"stop": "END", "seed": -1, "max_tokens": 5, "temperature": 0, "tool_choice": "none",
            "tools": [{"type": "function"}], "frequency_penalty": 0.5}),
        )
        .unwrap();
        assert_eq!((task.stop, task.max_tokens), (vec!["END".to_owned()], Some(5)));
        assert_eq!((task.seed, task.tools), (u64::MAX, Value::Null));
    }
}
