//! Who serves a model.

mod route;

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub(crate) use self::route::{EmbeddingRoute, chat_route, embedding_route};
use crate::error::InferenceError;

/// The providers a request can be sent to by name.
///
/// # Source
/// `huggingface_hub` 2.4.0 `inference/_providers/__init__.py`.
const KNOWN: &[&str] = &[
    "baseten",
    "cerebras",
    "cohere",
    "deepinfra",
    "fal-ai",
    "featherless-ai",
    "fireworks-ai",
    "groq",
    "hf-inference",
    "novita",
    "nscale",
    "openai",
    "ovhcloud",
    "publicai",
    "replicate",
    "scaleway",
    "together",
    "wavespeed",
    "zai-org",
];

/// Providers that the official clients knew once.
const RETIRED: &[&str] = &[
    "sambanova",
    "nebius",
    "hyperbolic",
    "black-forest-labs",
    "clarifai",
];

/// A provider's id, as Hugging Face writes it. Ids in answers are kept as they come, known or not.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Provider(Cow<'static, str>);

impl Provider {
    /// Hugging Face's own CPU and GPU serving: embeddings, classification and the like.
    pub const HF_INFERENCE: Self = Self(Cow::Borrowed("hf-inference"));

    /// Reads a provider that somebody asks for. `fal` is understood as `fal-ai`.
    ///
    /// ```
    /// use hf_inference::Provider;
    /// assert_eq!(Provider::parse("fal").unwrap().as_str(), "fal-ai");
    /// let gone = Provider::parse("sambanova").unwrap_err();
    /// assert!(gone.to_string().contains("retired"));
    /// ```
    ///
    /// # Errors
    /// [`InferenceError::UnknownProvider`], which names those that can be asked for.
    pub fn parse(text: &str) -> Result<Self, InferenceError> {
        let text = text.trim();
        let id = if text == "fal" { "fal-ai" } else { text };
        if let Some(id) = KNOWN.iter().find(|known| **known == id) {
            return Ok(Self(Cow::Borrowed(id)));
        }
        Err(InferenceError::UnknownProvider {
            name: text.to_owned(),
            retired: RETIRED.contains(&id),
        })
    }

    /// A provider as an answer names it.
    pub fn named(id: impl Into<String>) -> Self {
        Self(Cow::Owned(id.into()))
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// All providers that can be asked for by name, in alphabetical order.
    pub fn known() -> impl Iterator<Item = Self> {
        KNOWN.iter().map(|id| Self(Cow::Borrowed(id)))
    }
}

impl fmt::Display for Provider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Provider {
    type Err = InferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_the_design_are_understood_or_explained() {
        for (name, id) in [
            ("together", "together"),
            ("replicate", "replicate"),
            ("fal", "fal-ai"),
        ] {
            assert_eq!(Provider::parse(name).unwrap().as_str(), id);
        }
        let error = Provider::parse("sambanova").unwrap_err();
        let text = error.to_string();
        assert!(text.contains("sambanova") && text.contains("retired"), "{text}");
        let hint = error.hint().unwrap();
        assert!(hint.contains("auto") && hint.contains("cerebras"), "{hint}");
        let error = Provider::parse("nobody").unwrap_err();
        assert!(!error.to_string().contains("retired"), "{error}");
    }

    #[test]
    fn every_known_provider_reads_as_itself() {
        assert_eq!(Provider::known().count(), 19);
        for provider in Provider::known() {
            assert_eq!(Provider::parse(provider.as_str()).unwrap(), provider);
        }
    }
}
