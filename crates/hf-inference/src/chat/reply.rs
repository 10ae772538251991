//! What is answered. Only what this crate uses has a name; all else is kept.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::request::Message;
use crate::cost::{NanoUsd, Usage};

/// A whole answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChatReply {
    /// The provider's id of the answer.
    #[serde(default)]
    pub id: String,
    /// The provider's own name of the model.
    #[serde(default)]
    pub model: String,
    /// The answers, one unless more were asked for.
    pub choices: Vec<Choice>,
    /// `usage` as it came, and anything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ChatReply {
    /// The text of the first answer.
    pub fn text(&self) -> String {
        self.choices
            .first()
            .map(|choice| choice.message.text())
            .unwrap_or_default()
    }

    /// The tokens, if the provider counted them.
    pub fn usage(&self) -> Option<Usage> {
        WireUsage::of(&self.extra).map(|wire| wire.usage)
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Its place.
    #[serde(default)]
    pub index: u32,
    /// What the model says.
    pub message: Message,
    /// `stop`, `length`, `tool_calls`, or another word.
    #[serde(default)]
    pub finish_reason: Option<String>,
    /// `logprobs` and anything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

/// A piece of an answer, as it is read.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct ChunkBody {
    /// What is new, by answer. The last piece may hold none and tell the usage.
    #[serde(default)]
    pub choices: Vec<ChunkChoice>,
    /// `usage` as it came, and anything else.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl ChunkBody {
    /// The text of the first answer in this piece.
    pub fn text(&self) -> &str {
        self.choices
            .iter()
            .find(|choice| choice.index == 0)
            .and_then(|choice| choice.delta.content.as_deref())
            .unwrap_or_default()
    }

    /// The tokens of the whole answer, if this piece tells them.
    pub fn usage(&self) -> Option<Usage> {
        WireUsage::of(&self.extra).map(|wire| wire.usage)
    }

    /// Whether the model has said anything in it.
    pub(crate) fn has_content(&self) -> bool {
        let said = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        self.choices.iter().any(|choice| {
            let delta = &choice.delta;
            said(&delta.content)
                || said(&delta.reasoning_content)
                || said(&delta.reasoning)
                || delta.tool_calls.as_ref().is_some_and(|calls| !calls.is_empty())
                || choice.finish_reason.is_some()
        })
    }

    /// Whether the first answer ends with it.
    pub(crate) fn is_last(&self) -> bool {
        self.choices.iter().any(|choice| choice.finish_reason.is_some())
    }
}

/// What is new in one answer.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct ChunkChoice {
    /// Its place.
    #[serde(default)]
    pub index: u32,
    /// What is new.
    #[serde(default)]
    pub delta: Delta,
    /// Why it ends, in its last piece.
    #[serde(default)]
    pub finish_reason: Option<String>,
}

/// What is new.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
pub struct Delta {
    /// Who speaks, in the first piece.
    #[serde(default)]
    pub role: Option<String>,
    /// Text.
    #[serde(default)]
    pub content: Option<String>,
    /// Thoughts, in most providers' word.
    #[serde(default)]
    pub reasoning_content: Option<String>,
    /// Thoughts, in some providers' word.
    #[serde(default)]
    pub reasoning: Option<String>,
    /// Pieces of calls of tools.
    #[serde(default)]
    pub tool_calls: Option<Vec<Value>>,
}

/// `usage` of an answer.
pub(crate) struct WireUsage {
    pub(crate) usage: Usage,
    /// What the provider says that it cost.
    pub(crate) reported: Option<NanoUsd>,
}

impl WireUsage {
    /// Reads `usage` if it counts anything.
    ///
    /// # Source
    /// `estimated_cost` in US dollars: `DeepInfra`'s API. Which other providers tell a cost is not known.
    pub(crate) fn of(extra: &Map<String, Value>) -> Option<Self> {
        let wire = extra.get("usage")?.as_object()?;
        let count = |key: &str| wire.get(key).and_then(Value::as_u64);
        let usage = Usage {
            prompt_tokens: count("prompt_tokens")?,
            completion_tokens: count("completion_tokens").unwrap_or_default(),
        };
        let reported = wire
            .get("estimated_cost")
            .and_then(Value::as_f64)
            .and_then(NanoUsd::from_usd);
        Some(Self { usage, reported })
    }
}
