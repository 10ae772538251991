//! The shape of one row: a conversation with tool calls.

use std::borrow::Cow;

use super::Json;

/// One conversation of a data set.
///
/// # Shape
/// `{"messages": [...], "tools": [...] or JSON text, ...}`; other keys are passed over.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatRow {
    /// The turns, in order.
    pub messages: Vec<ChatMessage>,
    /// Descriptions of the tools on offer, in OpenAI's form.
    pub tools: Vec<Json>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChatMessage {
    /// Who speaks: `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// What is said.
    pub content: Content,
    /// What the assistant calls.
    pub tool_calls: Vec<ToolCall>,
    /// The call that a `tool` message answers. Not part of the rendered text.
    pub tool_call_id: Option<String>,
    /// The name of the tool or speaker. Not part of the rendered text.
    pub name: Option<String>,
}

/// What a message says.
#[derive(Debug, Clone, PartialEq)]
pub enum Content {
    /// Plain text; empty where the row has none.
    Text(String),
    /// The text of a list of parts; parts of other types are left out.
    Parts(Vec<String>),
}

impl Default for Content {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Content {
    /// Gives the text, parts put together.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Parts(parts) => Cow::Owned(parts.concat()),
        }
    }
}

/// One call of a tool by the assistant.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolCall {
    /// The call's id. Not part of the rendered text.
    pub id: Option<String>,
    /// The function and its arguments.
    pub function: FunctionCall,
}

/// The function of a [`ToolCall`].
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionCall {
    /// The function's name.
    pub name: String,
    /// Its arguments.
    pub arguments: Arguments,
}

/// The arguments of a call, as the row holds them.
#[derive(Debug, Clone, PartialEq)]
pub enum Arguments {
    /// JSON as text, as OpenAI's API gives it. Rendered as it is.
    Text(String),
    /// A value, as TRL wants it. Rendered as Python's `json.dumps` writes it.
    Value(Json),
}

impl ChatMessage {
    /// Makes a message that only says something.
    pub fn text(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: Content::Text(content.into()),
            ..Self::default()
        }
    }

    /// Reads a message from JSON.
    ///
    /// # Errors
    /// Says what is missing when the value is not an object with a `role`.
    pub fn from_json(value: &Json) -> Result<Self, String> {
        let role = value
            .get("role")
            .and_then(Json::as_text)
            .ok_or("a message has no role")?;
        let content = match value.get("content") {
            Some(Json::Text(text)) => Content::Text(text.clone()),
            Some(Json::List(parts)) => Content::Parts(
                parts
                    .iter()
                    .filter(|part| part.get("type").and_then(Json::as_text) == Some("text"))
                    .filter_map(|part| part.get("text").and_then(Json::as_text).map(str::to_owned))
                    .collect(),
            ),
            _ => Content::default(),
        };
        let tool_calls = match value.get("tool_calls") {
            Some(Json::List(calls)) => calls.iter().filter_map(ToolCall::from_json).collect(),
            _ => Vec::new(),
        };
        let text_of = |key: &str| value.get(key).and_then(Json::as_text).map(str::to_owned);
        Ok(Self {
            role: role.to_owned(),
            content,
            tool_calls,
            tool_call_id: text_of("tool_call_id"),
            name: text_of("name"),
        })
    }
}

impl ToolCall {
    fn from_json(value: &Json) -> Option<Self> {
        let function = value.get("function")?;
        let arguments = match function.get("arguments") {
            Some(Json::Text(text)) => Arguments::Text(text.clone()),
            None | Some(Json::Null) => Arguments::Value(Json::Object(Vec::new())),
            Some(other) => Arguments::Value(other.clone()),
        };
        Some(Self {
            id: value.get("id").and_then(Json::as_text).map(str::to_owned),
            function: FunctionCall {
                name: function.get("name")?.as_text()?.to_owned(),
                arguments,
            },
        })
    }
}

impl ChatRow {
    /// Reads a row from JSON.
    ///
    /// # Errors
    /// Says what is missing when there are no messages or one of them has no role.
    pub fn from_json(value: &Json) -> Result<Self, String> {
        let Some(Json::List(messages)) = value.get("messages") else {
            return Err("no list of `messages`".to_owned());
        };
        if messages.is_empty() {
            return Err("`messages` is empty".to_owned());
        }
        let messages = messages
            .iter()
            .map(ChatMessage::from_json)
            .collect::<Result<_, _>>()?;
        let tools = match value.get("tools") {
            Some(Json::List(tools)) => tools.clone(),
            Some(Json::Text(text)) => match serde_json::from_str(text) {
                Ok(Json::List(tools)) => tools,
                _ => Vec::new(),
            },
            _ => Vec::new(),
        };
        Ok(Self { messages, tools })
    }

    /// Tells if there is anything to learn: an assistant that says or calls something.
    pub fn has_assistant_turn(&self) -> bool {
        self.messages.iter().any(|message| {
            message.role == "assistant"
                && (!message.tool_calls.is_empty() || !message.content.text().trim().is_empty())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(text: &str) -> ChatRow {
        ChatRow::from_json(&serde_json::from_str(text).unwrap()).unwrap()
    }

    #[test]
    fn reads_tool_calls_in_both_forms() {
        let row = row(r#"{"messages":[{"role":"assistant","content":null,"tool_calls":[
                {"id":"1","type":"function","function":{"name":"bash","arguments":{"command":"ls"}}},
                {"id":"2","type":"function","function":{"name":"bash","arguments":"{\"command\":\"ls\"}"}},
                {"nonsense":true}]}],
               "tools":"[{\"type\":\"function\",\"function\":{\"name\":\"bash\"}}]"}"#);
        let calls = &row.messages[0].tool_calls;
        assert_eq!(calls.len(), 2);
        assert!(matches!(
            calls[0].function.arguments,
            Arguments::Value(Json::Object(_))
        ));
        assert!(matches!(&calls[1].function.arguments, Arguments::Text(text) if text.starts_with('{')));
        assert_eq!(row.tools.len(), 1);
        assert!(row.has_assistant_turn());
    }

    #[test]
    fn an_assistant_that_only_clears_its_throat_is_no_turn() {
        assert!(!row(r#"{"messages":[{"role":"assistant","content":" \n"}]}"#).has_assistant_turn());
    }
}
