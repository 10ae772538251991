//! A chat in `OpenAI`'s words, as Anthropic's Messages API takes it.

use serde_json::{Map, Value, json};

/// Why a request has no counterpart there.
pub(super) type Refusal = String;

/// Turns the body of a chat completion into the body of a message.
///
/// All system texts go to the front, where the API has its place for them. `temperature`, `top_p`, `seed`, the penalties and
/// `user` have no counterpart and are left out; what would change the answer's form, and has none, is refused.
///
/// # Errors
/// What the API has no word for.
///
/// # Source
/// `anthropic` 2.12.0 from `PyPI`: `types/message_create_params.py`, `types/message_param.py`, `types/tool_param.py`,
/// `types/tool_choice_param.py`, `types/image_block_param.py`, `types/output_config_param.py`. It has no `temperature`.
pub(super) fn message_of(body: &Map<String, Value>) -> Result<Value, Refusal> {
    let number = |key: &str| body.get(key).and_then(Value::as_u64);
    if number("n").is_some_and(|n| n > 1) {
        return Err("this model gives one answer at a time: n has to be 1".to_owned());
    }
    if body.get("logprobs") == Some(&Value::Bool(true)) {
        return Err("this model tells no log-probabilities".to_owned());
    }
    let Some(max_tokens) = number("max_completion_tokens").or(number("max_tokens")) else {
        return Err("this model needs max_tokens".to_owned());
    };
    let mut message = Map::new();
    message.insert("model".to_owned(), body.get("model").cloned().unwrap_or_default());
    message.insert("max_tokens".to_owned(), max_tokens.into());
    let (system, turns) = turns(body.get("messages").and_then(Value::as_array))?;
    if !system.is_empty() {
        message.insert("system".to_owned(), Value::Array(system));
    }
    message.insert("messages".to_owned(), Value::Array(turns));
    if body.get("stream") == Some(&Value::Bool(true)) {
        message.insert("stream".to_owned(), true.into());
    }
    if let Some(stop) = body.get("stop").filter(|stop| !stop.is_null()) {
        let list = match stop {
            Value::Array(_) => stop.clone(),
            one => json!([one]),
        };
        message.insert("stop_sequences".to_owned(), list);
    }
    tools(body, &mut message)?;
    output(body, &mut message)?;
    Ok(Value::Object(message))
}

fn output(body: &Map<String, Value>, message: &mut Map<String, Value>) -> Result<(), Refusal> {
    let mut config = Map::new();
    match body.get("reasoning_effort").and_then(Value::as_str) {
        None | Some("none") => {}
        Some("minimal") => drop(config.insert("effort".to_owned(), "low".into())),
        Some(effort) => drop(config.insert("effort".to_owned(), effort.into())),
    }
    if let Some(format) = body.get("response_format").filter(|format| !format.is_null()) {
        match format["type"].as_str() {
            Some("text") => {}
            Some("json_schema") => {
                let schema = format["json_schema"]["schema"].clone();
                config.insert(
                    "format".to_owned(),
                    json!({"type": "json_schema", "schema": schema}),
                );
            }
            _ => {
                return Err(
                    "this model writes JSON only by a schema: response_format is json_schema".to_owned(),
                );
            }
        }
    }
    if !config.is_empty() {
        message.insert("output_config".to_owned(), Value::Object(config));
    }
    Ok(())
}

fn tools(body: &Map<String, Value>, message: &mut Map<String, Value>) -> Result<(), Refusal> {
    let offered = body.get("tools").and_then(Value::as_array);
    let Some(offered) = offered.filter(|tools| !tools.is_empty()) else {
        return Ok(());
    };
    let mut tools = Vec::with_capacity(offered.len());
    for tool in offered {
        let function = tool.get("function").and_then(Value::as_object);
        let Some(function) = function else {
            return Err("this model takes tools of the type function".to_owned());
        };
        let mut own = Map::new();
        for (theirs, ours) in [
            ("name", "name"),
            ("description", "description"),
            ("strict", "strict"),
        ] {
            if let Some(value) = function.get(theirs).filter(|value| !value.is_null()) {
                own.insert(ours.to_owned(), value.clone());
            }
        }
        let schema = function.get("parameters").filter(|schema| schema.is_object());
        let schema = schema
            .cloned()
            .unwrap_or_else(|| json!({"type": "object", "properties": {}}));
        own.insert("input_schema".to_owned(), schema);
        tools.push(Value::Object(own));
    }
    message.insert("tools".to_owned(), Value::Array(tools));
    let mut choice = match body.get("tool_choice") {
        None | Some(Value::Null) => json!({"type": "auto"}),
        Some(Value::String(word)) => match word.as_str() {
            "auto" | "none" => json!({"type": word}),
            "required" => json!({"type": "any"}),
            other => return Err(format!("tool_choice {other:?} is not known")),
        },
        Some(one) => match one["function"]["name"].as_str() {
            Some(name) => json!({"type": "tool", "name": name}),
            None => return Err("tool_choice names no function".to_owned()),
        },
    };
    let parallel = body.get("parallel_tool_calls");
    if parallel == Some(&Value::Bool(false)) && choice["type"] != "none" {
        choice["disable_parallel_tool_use"] = true.into();
    }
    message.insert("tool_choice".to_owned(), choice);
    Ok(())
}

/// The system texts, and the turns of user and assistant; neighbours of one role become one turn.
fn turns(messages: Option<&Vec<Value>>) -> Result<(Vec<Value>, Vec<Value>), Refusal> {
    let mut system = Vec::new();
    let mut turns: Vec<(&'static str, Vec<Value>)> = Vec::new();
    for message in messages.into_iter().flatten() {
        let role = message["role"].as_str().unwrap_or_default();
        let (speaker, blocks) = match role {
            "system" | "developer" => {
                system.extend(blocks(&message["content"])?);
                continue;
            }
            "user" => ("user", blocks(&message["content"])?),
            "assistant" => ("assistant", said(message)?),
            "tool" => ("user", vec![result(message)?]),
            other => return Err(format!("the role {other:?} is not known")),
        };
        match turns.last_mut() {
            Some((last, so_far)) if *last == speaker => so_far.extend(blocks),
            _ => turns.push((speaker, blocks)),
        }
    }
    let turns = turns
        .into_iter()
        .filter(|(_, blocks)| !blocks.is_empty())
        .map(|(role, content)| json!({"role": role, "content": content}));
    Ok((system, turns.collect()))
}

fn said(message: &Value) -> Result<Vec<Value>, Refusal> {
    let mut said = blocks(&message["content"])?;
    for call in message["tool_calls"].as_array().into_iter().flatten() {
        let arguments = &call["function"]["arguments"];
        let text = arguments.as_str().unwrap_or_default();
        let input = match serde_json::from_str::<Value>(text) {
            Ok(Value::Object(input)) => Value::Object(input),
            _ if text.trim().is_empty() => json!({}),
            // A model wrote it so, and the conversation goes on all the same.
            _ => json!({"not_json": text}),
        };
        said.push(
            json!({"type": "tool_use", "id": call["id"], "name": call["function"]["name"], "input": input}),
        );
    }
    Ok(said)
}

fn result(message: &Value) -> Result<Value, Refusal> {
    let content = match &message["content"] {
        Value::String(text) => Value::String(text.clone()),
        other => Value::Array(blocks(other)?),
    };
    Ok(json!({"type": "tool_result", "tool_use_id": message["tool_call_id"], "content": content}))
}

/// The blocks of a content; the API takes no empty text.
fn blocks(content: &Value) -> Result<Vec<Value>, Refusal> {
    let text = |text: &str| json!({"type": "text", "text": text});
    match content {
        Value::Null => Ok(Vec::new()),
        Value::String(words) if words.is_empty() => Ok(Vec::new()),
        Value::String(words) => Ok(vec![text(words)]),
        Value::Array(parts) => parts
            .iter()
            .filter(|part| part["text"] != "")
            .map(|part| match part["type"].as_str() {
                Some("text") => Ok(text(part["text"].as_str().unwrap_or_default())),
                Some("image_url") => image(&part["image_url"]),
                Some("refusal") => Ok(text(part["refusal"].as_str().unwrap_or_default())),
                other => Err(format!(
                    "this model takes text and images, not {}",
                    other.unwrap_or("this")
                )),
            })
            .collect(),
        _ => Err("content is a text or a list of parts".to_owned()),
    }
}

fn image(image: &Value) -> Result<Value, Refusal> {
    let url = image["url"].as_str().unwrap_or_default();
    let Some(data) = url.strip_prefix("data:") else {
        return Ok(json!({"type": "image", "source": {"type": "url", "url": url}}));
    };
    let (kind, data) = data
        .split_once(";base64,")
        .ok_or("an image in data: has to be base64")?;
    let known = ["image/jpeg", "image/png", "image/gif", "image/webp"];
    if !known.contains(&kind) {
        return Err(format!("images are {}", known.join(", ")));
    }
    Ok(json!({"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn translated(body: Value) -> Result<Value, Refusal> {
        let Value::Object(body) = body else {
            unreachable!("tests give objects")
        };
        message_of(&body)
    }

    #[test]
    fn a_conversation_with_tools_and_images_keeps_its_meaning() {
        let body = json!({"model": "m", "max_tokens": 9, "temperature": 0.3, "stop": "x", "parallel_tool_calls": false,
            "reasoning_effort": "minimal",
            "tools": [{"type": "function", "function": {"name": "ls", "description": "Lists", "parameters": {"type": "object"}}}],
            "tool_choice": "required",
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": [{"type": "text", "text": "See"}, {"type": "text", "text": ""},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
                    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]},
                {"role": "assistant", "content": "", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": "{\"path\":\".\"}"}},
                    {"id": "c2", "type": "function", "function": {"name": "ls", "arguments": "{broken"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "a b"},
                {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "no"}]},
                {"role": "user", "content": "Go on"},
                {"role": "developer", "content": "In English."}]});
        assert_eq!(
            translated(body).unwrap(),
            json!({"model": "m", "max_tokens": 9, "stop_sequences": ["x"],
                "system": [{"type": "text", "text": "Be short."}, {"type": "text", "text": "In English."}],
                "tools": [{"name": "ls", "description": "Lists", "input_schema": {"type": "object"}}],
                "tool_choice": {"type": "any", "disable_parallel_tool_use": true},
                "output_config": {"effort": "low"},
                "messages": [
                    {"role": "user", "content": [{"type": "text", "text": "See"},
                        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
                        {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}]},
                    {"role": "assistant", "content": [
                        {"type": "tool_use", "id": "c1", "name": "ls", "input": {"path": "."}},
                        {"type": "tool_use", "id": "c2", "name": "ls", "input": {"not_json": "{broken"}}]},
                    {"role": "user", "content": [
                        {"type": "tool_result", "tool_use_id": "c1", "content": "a b"},
                        {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "no"}]},
                        {"type": "text", "text": "Go on"}]}]})
        );
    }

    #[test]
    fn what_has_no_counterpart_is_refused_by_name() {
        let ask = |key: &str, value: Value| {
            let mut body = json!({"model": "m", "max_tokens": 1, "messages": []});
            body[key] = value;
            translated(body).unwrap_err()
        };
        assert!(ask("n", json!(2)).contains("n has to be 1"));
        assert!(ask("logprobs", json!(true)).contains("log-probabilities"));
        assert!(ask("max_tokens", Value::Null).contains("max_tokens"));
        assert!(ask("response_format", json!({"type": "json_object"})).contains("schema"));
        assert!(ask("tools", json!([{"type": "custom"}])).contains("function"));
        let audio = json!([{"role": "user", "content": [{"type": "input_audio"}]}]);
        assert!(ask("messages", audio).contains("input_audio"));
        let svg = json!([{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/svg;base64,A"}}]}]);
        assert!(ask("messages", svg).contains("image/png"));
    }

    #[test]
    fn a_schema_and_one_tool_are_asked_for_in_its_words() {
        let body = json!({"model": "m", "max_completion_tokens": 5, "max_tokens": 3, "stream": true,
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "function", "function": {"name": "f", "strict": true}}],
            "tool_choice": {"type": "function", "function": {"name": "f"}},
            "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}});
        let message = translated(body).unwrap();
        assert_eq!(
            (&message["max_tokens"], &message["stream"]),
            (&json!(5), &json!(true))
        );
        assert_eq!(message["tool_choice"], json!({"type": "tool", "name": "f"}));
        assert_eq!(
            message["tools"][0],
            json!({"name": "f", "strict": true, "input_schema": {"type": "object", "properties": {}}})
        );
        assert_eq!(
            message["output_config"]["format"]["schema"],
            json!({"type": "object"})
        );
    }
}
