//! What a model answered, as it is kept.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hf_inference::{CallReport, Cost, Message, NanoUsd, Usage};
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a model answered, who served it and what it cost.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// When it came.
    pub at: Timestamp,
    /// The answer.
    pub content: Content,
    /// The model that was asked for.
    pub model: String,
    /// Who served it; none where the router chose and did not say.
    pub provider: Option<String>,
    /// Tries, failed ones included.
    pub attempts: u32,
    /// Tokens of the call, as the provider counted them.
    pub usage: Option<Usage>,
    /// What the call cost.
    pub cost: Cost,
    /// How many answers came with the same call, and share its cost and tokens.
    pub shared_by: u32,
    /// Milliseconds until it came.
    pub millis: u64,
}

/// See [`Answer::content`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Content {
    /// What the model said.
    Chat {
        /// The message.
        message: Message,
        /// `stop`, `length`, `tool_calls`, or another word.
        finish_reason: Option<String>,
        /// The geometric mean of the probabilities of its tokens, where these were asked for and told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        confidence: Option<f64>,
    },
    /// A text as a vector.
    Vector(Vector),
}

/// Numbers of 32 bits, kept as the base64 of their bytes.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector(pub Vec<f32>);

impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|number| number.to_le_bytes()).collect();
        serializer.serialize_str(&STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(D::Error::custom("a vector whose last number is cut"));
        }
        Ok(Self(
            numbers.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        ))
    }
}

impl Answer {
    pub(crate) fn new(at: Timestamp, content: Content, report: &CallReport, shared_by: usize) -> Self {
        Self {
            at,
            content,
            model: report.model.clone(),
            provider: report.provider.as_ref().map(ToString::to_string),
            attempts: u32::try_from(report.attempts.len()).unwrap_or(u32::MAX),
            usage: report.usage,
            cost: report.cost,
            shared_by: u32::try_from(shared_by).unwrap_or(u32::MAX).max(1),
            millis: report.millis,
        }
    }

    /// The text of the answer; none for a vector.
    pub fn text(&self) -> Option<String> {
        match &self.content {
            Content::Chat { message, .. } => Some(message.text()),
            Content::Vector(_) => None,
        }
    }

    /// Its share of what the call cost; none where nobody knows.
    pub fn cost_share(&self) -> Option<NanoUsd> {
        let amount = self.cost.amount()?;
        Some(NanoUsd::new(
            amount.get().div_ceil(u64::from(self.shared_by.max(1))),
        ))
    }

    /// Where a row made of it came from, as it is written beside the rows.
    pub(crate) fn provenance(&self, key: super::CallKey) -> serde_json::Value {
        serde_json::json!({
            "model": self.model, "provider": self.provider, "attempts": self.attempts, "usage": self.usage,
            "cost_usd": self.cost_share().map(NanoUsd::to_usd), "cost_source": self.cost.source(),
            "prompt_hash": key, "at": self.at,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_read_back_to_the_bit() {
        let vector = Vector(vec![0.0, -0.1, f32::MIN_POSITIVE, 1.0 / 3.0]);
        let text = serde_json::to_string(&vector).unwrap();
        assert_eq!(serde_json::from_str::<Vector>(&text).unwrap(), vector);
        assert!(serde_json::from_str::<Vector>("\"AAAA\"").is_err());
    }
}
