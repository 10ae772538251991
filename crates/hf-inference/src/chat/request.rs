//! What is asked.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::shared::Shared;
use crate::error::{InferenceError, Result};
use crate::model::ModelRef;

/// A request to chat.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatRequest {
    /// The model.
    pub model: ModelRef,
    /// The conversation so far.
    pub messages: Shared<Vec<Message>>,
    /// Everything else.
    pub options: Shared<ChatOptions>,
    /// What the call is for, in the caller's word; kept in its record, not sent.
    pub purpose: Option<String>,
}

impl ChatRequest {
    /// A request with nothing but a conversation.
    pub fn new(model: ModelRef, messages: impl IntoIterator<Item = Message>) -> Self {
        Self {
            model,
            messages: messages.into_iter().collect(),
            options: Shared::default(),
            purpose: None,
        }
    }

    /// Reads a request in the form of `OpenAI`'s API. Fields this crate has no name for are kept and sent on.
    ///
    /// # Errors
    /// [`InferenceError::Invalid`] and [`InferenceError::UnknownProvider`].
    pub fn from_json(body: &[u8]) -> Result<Self> {
        let (name, mut request) = Self::read(body)?;
        request.model = name.parse()?;
        Ok(request)
    }

    /// Reads a request whose model is named in another way than the Hub's: the name, and the request without a model.
    ///
    /// # Errors
    /// [`InferenceError::Invalid`].
    pub fn read(body: &[u8]) -> Result<(String, Self)> {
        let wire: Wire = serde_json::from_slice(body)
            .map_err(|error| InferenceError::invalid(format!("this is no chat request: {error}")))?;
        let request = Self {
            model: ModelRef::new(String::new()),
            messages: wire.messages.into(),
            options: wire.options.into(),
            purpose: None,
        };
        Ok((wire.model, request))
    }

    /// The body as it is sent. `model` comes first, as the official client writes it, so that a router can read it from the
    /// beginning of a body that holds megabytes of images.
    pub(crate) fn body(&self, model: &str, stream: bool) -> ChatBody {
        let mut options = self.options.clone();
        let is_own = |key: &str| matches!(key, "model" | "messages" | "stream");
        let is_left_out = |(key, value): (&String, &Value)| is_own(key) || value.is_null();
        if options.extra.iter().any(is_left_out) {
            options.extra.retain(|key, value| !is_left_out((key, value)));
        }
        // Without it nobody says how many tokens a stream cost.
        let asks_usage = stream && !options.extra.contains_key("stream_options");
        ChatBody {
            model: model.to_owned(),
            messages: self.messages.clone(),
            options,
            stream,
            stream_options: asks_usage.then_some(StreamOptions { include_usage: true }),
        }
    }
}

/// The body of a chat, `model` before all else.
#[derive(Debug, Clone)]
pub(crate) struct ChatBody {
    model: String,
    messages: Shared<Vec<Message>>,
    pub(crate) options: Shared<ChatOptions>,
    stream: bool,
    stream_options: Option<StreamOptions>,
}

#[derive(Debug, Clone, Copy, Serialize)]
struct StreamOptions {
    include_usage: bool,
}

impl Serialize for ChatBody {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Body<'a> {
            model: &'a str,
            messages: &'a [Message],
            #[serde(flatten)]
            options: &'a ChatOptions,
            stream: bool,
            #[serde(skip_serializing_if = "Option::is_none")]
            stream_options: Option<StreamOptions>,
        }
        let body = Body {
            model: &self.model,
            messages: &self.messages,
            options: &self.options,
            stream: self.stream,
            stream_options: self.stream_options,
        };
        body.serialize(serializer)
    }
}

#[derive(Deserialize)]
struct Wire {
    model: String,
    messages: Vec<Message>,
    #[serde(flatten)]
    options: ChatOptions,
}

/// Options of a chat. What is none is not sent.
///
/// # Source
/// Hugging Face's documentation of the chat completion task; `huggingface_hub` 2.4.0 `InferenceClient.chat_completion`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ChatOptions {
    /// The most tokens of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// 0 for always the same answer, up to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// The share of probability to draw from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Up to four texts at which the answer ends; a text or a list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stop: Option<Value>,
    /// Makes the answer repeatable, where the provider can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frequency_penalty: Option<f64>,
    /// -2 to 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presence_penalty: Option<f64>,
    /// Whether the tokens' log-probabilities are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub logprobs: Option<bool>,
    /// How many likely tokens are told at each place, 0 to 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_logprobs: Option<u32>,
    /// How many answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub n: Option<u32>,
    /// Functions the model may call, in `OpenAI`'s form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Vec<Value>>,
    /// `auto`, `none`, `required`, or one function.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Value>,
    /// Text, JSON, or JSON of a schema.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_format: Option<Value>,
    /// How long to think.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_effort: Option<String>,
    /// Anything else, sent as it is.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ChatOptions {
    /// The most tokens of the answer, by whichever of its two names it was said; the larger where both were.
    ///
    /// # Source
    /// `openai` 3.54.0 `types/chat/completion_create_params.py`: `max_completion_tokens` replaces `max_tokens`.
    pub fn answer_bound(&self) -> Option<u64> {
        let told = |key: &str| self.extra.get(key).and_then(Value::as_u64);
        let own = self.max_tokens.map(u64::from);
        own.max(told("max_completion_tokens")).max(told("max_tokens"))
    }

    /// Asks for an answer that keeps to a JSON schema.
    #[must_use]
    pub fn json_schema(mut self, name: &str, schema: &Value) -> Self {
        self.response_format = Some(serde_json::json!({
            "type": "json_schema",
            "json_schema": {"name": name, "schema": schema, "strict": true},
        }));
        self
    }
}

/// A message of a conversation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user`, `assistant`, `tool`.
    pub role: String,
    /// What is said; an assistant that only calls tools says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content: Option<Content>,
    /// The tools the assistant calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ToolCall>>,
    /// The call a tool answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// Anything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Message {
    fn new(role: &str, content: Content) -> Self {
        Self {
            role: role.to_owned(),
            content: Some(content),
            ..Self::default()
        }
    }

    /// What the model is told to be.
    pub fn system(text: impl Into<String>) -> Self {
        Self::new("system", Content::Text(text.into()))
    }

    /// What a person says.
    pub fn user(text: impl Into<String>) -> Self {
        Self::new("user", Content::Text(text.into()))
    }

    /// What the model said.
    pub fn assistant(text: impl Into<String>) -> Self {
        Self::new("assistant", Content::Text(text.into()))
    }

    /// What a person says and shows, for models that see. The address may be `https:` or `data:`.
    pub fn user_with_image(text: impl Into<String>, image_url: impl Into<String>) -> Self {
        Self::new(
            "user",
            Content::Parts(vec![
                ContentPart::Text { text: text.into() },
                ContentPart::ImageUrl {
                    image_url: ImageUrl {
                        url: image_url.into(),
                        extra: Map::new(),
                    },
                },
            ]),
        )
    }

    /// What a tool answered.
    pub fn tool(call_id: impl Into<String>, text: impl Into<String>) -> Self {
        Self {
            tool_call_id: Some(call_id.into()),
            ..Self::new("tool", Content::Text(text.into()))
        }
    }

    /// All text of the message.
    pub fn text(&self) -> String {
        match &self.content {
            None => String::new(),
            Some(Content::Text(text)) => text.clone(),
            Some(Content::Parts(parts)) => parts
                .iter()
                .filter_map(|part| match part {
                    ContentPart::Text { text } => Some(text.as_str()),
                    _ => None,
                })
                .collect(),
        }
    }
}

/// What a message holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Content {
    /// Text.
    Text(String),
    /// Several things.
    Parts(Vec<ContentPart>),
}

/// One of the things in a message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum ContentPart {
    /// An image; on the wire with `"type":"image_url"`.
    #[serde(serialize_with = "image_part")]
    ImageUrl {
        /// Where it is.
        image_url: ImageUrl,
    },
    /// Text; on the wire with `"type":"text"`.
    #[serde(serialize_with = "text_part")]
    Text {
        /// The text.
        text: String,
    },
    /// Anything else, sent as it is.
    Other(Value),
}

fn image_part<S: serde::Serializer>(
    image_url: &ImageUrl,
    serializer: S,
) -> std::result::Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap;
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("type", "image_url")?;
    map.serialize_entry("image_url", image_url)?;
    map.end()
}

fn text_part<S: serde::Serializer>(text: &String, serializer: S) -> std::result::Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap;
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("type", "text")?;
    map.serialize_entry("text", text)?;
    map.end()
}

/// Where an image is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageUrl {
    /// `https:` or `data:`.
    pub url: String,
    /// `detail` and the like.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolCall {
    /// Its id, which the tool's answer names.
    #[serde(default)]
    pub id: String,
    /// The function.
    pub function: FunctionCall,
    /// `type` and anything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A function and what it is called with.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct FunctionCall {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// JSON in a text, as the model wrote it: it may be none. Some providers write an object, which becomes its text.
    #[serde(default, deserialize_with = "text_or_json")]
    pub arguments: String,
}

fn text_or_json<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_read_is_sent_as_it_was() {
        let wire = json!({
            "model": "org/name:cheapest",
            "messages": [
                {"role": "system", "content": "Be short."},
                {"role": "user", "content": [
                    {"type": "text", "text": "What is this?"},
                    {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA==", "detail": "low"}},
                    {"type": "input_audio", "input_audio": {"data": "AA=="}}]},
                {"role": "assistant", "tool_calls": [
                    {"id": "c1", "type": "function", "function": {"name": "ls", "arguments": "{\"path\":\".\"}"}}]},
                {"role": "tool", "tool_call_id": "c1", "content": "a b"}],
            "stream": false, "max_tokens": 5, "temperature": 0.0, "stop": "x", "logit_bias": {"1": 2}});
        let request = ChatRequest::from_json(wire.to_string().as_bytes()).unwrap();
        let body = request.body("org/name:cheapest", false);
        let text = serde_json::to_string(&body).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), wire);
        assert!(
            text.starts_with("{\"model\":"),
            "a router reads it from the beginning"
        );
    }

    #[test]
    fn a_stream_asks_for_its_usage_unless_told_otherwise() {
        let mut request = ChatRequest::new("a/b".parse().unwrap(), [Message::user("hi")]);
        let body = |request: &ChatRequest| serde_json::to_value(request.body("a/b", true)).unwrap();
        assert_eq!(body(&request)["stream_options"], json!({"include_usage": true}));
        request.options.extra = Map::from_iter([
            ("stream_options".to_owned(), json!({"include_usage": false})),
            ("stream".to_owned(), json!(false)),
            ("model".to_owned(), json!("another")),
            ("logit_bias".to_owned(), Value::Null),
        ]);
        assert_eq!(
            body(&request),
            json!({"model": "a/b", "messages": [{"role": "user", "content": "hi"}], "stream": true,
                "stream_options": {"include_usage": false}})
        );
    }

    #[test]
    fn a_request_is_copied_only_to_be_changed() {
        let request = ChatRequest::new("a/b".parse().unwrap(), [Message::user("hi")]);
        let (mut other, body) = (request.clone(), request.body("a/b", false));
        assert!(std::ptr::eq(
            &raw const *request.messages,
            &raw const *body.messages
        ));
        other.options.seed = Some(1);
        assert!(std::ptr::eq(
            &raw const *request.messages,
            &raw const *other.messages
        ));
        assert_eq!(request.options.seed, None);
    }
}
