//! Names of models, with the wish behind the colon.

use std::fmt;
use std::str::FromStr;

use crate::error::InferenceError;
use crate::provider::Provider;

/// Which of the providers of a model the router takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Routing {
    /// The one with the highest throughput: what the router does when nothing is said.
    #[default]
    Fastest,
    /// The one with the lowest price of an output token.
    Cheapest,
    /// The first in the order of the account's settings.
    Preferred,
}

impl Routing {
    /// The router's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fastest => "fastest",
            Self::Cheapest => "cheapest",
            Self::Preferred => "preferred",
        }
    }
}

impl FromStr for Routing {
    type Err = InferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "fastest" => Ok(Self::Fastest),
            "cheapest" => Ok(Self::Cheapest),
            "preferred" => Ok(Self::Preferred),
            _ => Err(InferenceError::invalid(format!(
                "{text:?} is no routing; it is fastest, cheapest or preferred"
            ))),
        }
    }
}

/// What is asked for behind a model's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Suffix {
    /// A way to choose.
    Routing(Routing),
    /// One provider.
    Provider(Provider),
}

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Routing(routing) => f.write_str(routing.as_str()),
            Self::Provider(provider) => fmt::Display::fmt(provider, f),
        }
    }
}

/// A model on the Hub, and how to choose among its providers: `org/name`, `org/name:cheapest`, `org/name:groq`.
///
/// ```
/// use hf_inference::ModelRef;
/// let model: ModelRef = "Qwen/Qwen2.5-72B-Instruct:cheapest".parse().unwrap();
/// assert_eq!(model.id, "Qwen/Qwen2.5-72B-Instruct");
/// assert_eq!(model.to_string(), "Qwen/Qwen2.5-72B-Instruct:cheapest");
/// ```
///
/// # Source
/// Hugging Face's documentation of Inference Providers, "Provider selection".
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ModelRef {
    /// The repository's id.
    pub id: String,
    /// The wish, if one was said.
    pub suffix: Option<Suffix>,
}

impl ModelRef {
    /// The model without a wish.
    pub fn new(id: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            suffix: None,
        }
    }
}

impl fmt::Display for ModelRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)?;
        match &self.suffix {
            Some(suffix) => write!(f, ":{suffix}"),
            None => Ok(()),
        }
    }
}

impl FromStr for ModelRef {
    type Err = InferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, suffix) = match text.split_once(':') {
            Some((id, suffix)) => (id, Some(suffix)),
            None => (text, None),
        };
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'/');
        let well_formed = !id.is_empty()
            && id.bytes().all(fits)
            && id
                .split('/')
                .all(|part| !part.is_empty() && part != "." && part != "..");
        if !well_formed || id.split('/').count() > 2 {
            return Err(InferenceError::invalid(format!(
                "{text:?} is no model; write it as organisation/name, with :fastest, :cheapest, :preferred or a provider behind it \
                 if you like"
            )));
        }
        let suffix = match suffix {
            None => None,
            Some(word) => Some(match word.parse::<Routing>() {
                Ok(routing) => Suffix::Routing(routing),
                Err(_) => Suffix::Provider(Provider::parse(word)?),
            }),
        };
        Ok(Self {
            id: id.to_owned(),
            suffix,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_read_and_print_as_the_same() {
        for text in [
            "gpt2",
            "a/b",
            "a/b:fastest",
            "a/b:cheapest",
            "a/b:preferred",
            "a/b:groq",
        ] {
            assert_eq!(text.parse::<ModelRef>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_could_lead_elsewhere_is_refused() {
        for text in [
            "",
            "/",
            "a/",
            "/a",
            "a/../b",
            "../a",
            "a/b/c",
            "a b",
            "a/b?x",
            "a/b#",
            "a/b:",
            "a/b:nobody",
            "a\nb",
        ] {
            assert!(text.parse::<ModelRef>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_model_or_an_error(text in ".{0,60}") {
            if let Ok(model) = text.parse::<ModelRef>() {
                prop_assert!(!model.id.contains(".."));
                prop_assert_eq!(model.to_string().parse::<ModelRef>().unwrap(), model);
            }
        }
    }
}
