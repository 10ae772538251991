//! What a request is like, without what it says.

use std::fmt;

use hf_inference::ChatRequest;
use serde::{Deserialize, Serialize};

/// The kind of a task, told from the form of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// A tool has answered: the work goes on.
    ToolResult,
    /// Tools are offered.
    Tools,
    /// The answer has to be JSON.
    Structured,
    /// Anything else.
    #[default]
    Chat,
}

impl TaskKind {
    /// The word in JSON and in the name of a bucket.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ToolResult => "tool_result",
            Self::Tools => "tools",
            Self::Structured => "structured",
            Self::Chat => "chat",
        }
    }
}

/// What a request is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Features {
    /// Its kind.
    pub kind: TaskKind,
    /// Bytes of all texts of its conversation.
    pub prompt_bytes: u64,
    /// Messages.
    pub messages: u32,
    /// Tools that are offered.
    pub tools: u32,
    /// Whether there are pictures in it.
    pub images: bool,
}

impl Features {
    /// Looks at a request.
    pub fn of(request: &ChatRequest) -> Self {
        let tools = request.options.tools.as_ref().map_or(0, Vec::len);
        let last_is_tool = request
            .messages
            .last()
            .is_some_and(|message| message.role == "tool");
        let kind = match (last_is_tool, tools > 0, &request.options.response_format) {
            (true, _, _) => TaskKind::ToolResult,
            (_, true, _) => TaskKind::Tools,
            (_, _, Some(format)) if format["type"] != "text" => TaskKind::Structured,
            _ => TaskKind::Chat,
        };
        let (mut prompt_bytes, mut images) = (0_u64, false);
        for message in &request.messages {
            match &message.content {
                Some(hf_inference::Content::Text(text)) => prompt_bytes += text.len() as u64,
                Some(hf_inference::Content::Parts(parts)) => {
                    for part in parts {
                        match part {
                            hf_inference::ContentPart::Text { text } => prompt_bytes += text.len() as u64,
                            hf_inference::ContentPart::ImageUrl { .. } => images = true,
                            hf_inference::ContentPart::Other(_) => {}
                        }
                    }
                }
                None => {}
            }
        }
        Self {
            kind,
            prompt_bytes,
            messages: u32::try_from(request.messages.len()).unwrap_or(u32::MAX),
            tools: u32::try_from(tools).unwrap_or(u32::MAX),
            images,
        }
    }

    /// The bucket whose evidence counts: kind and length.
    pub fn bucket(&self) -> String {
        self.to_string()
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = match self.prompt_bytes {
            0..2_000 => "short",
            2_000..16_000 => "medium",
            _ => "long",
        };
        write!(f, "{}/{length}", self.kind.as_str())
    }
}
