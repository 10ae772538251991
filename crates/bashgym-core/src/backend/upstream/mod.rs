//! A model at an address of its own: Anthropic's Messages API, or any server with `OpenAI`'s API.

mod anthropic_reply;
mod anthropic_request;
#[cfg(test)]
mod tests;
mod transport;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hf_core::{Clock, Endpoint, HfClient, HttpTransport, RetryPolicy, SecretValue};
use hf_inference::{
    Catalog, CatalogModel, CatalogProvider, HfInferenceConfig, InferenceError, ModelRef, Provider, TokenPrice,
};

use self::transport::UpstreamTransport;
use super::{BackendRole, HfBackend};
use crate::inference::{CallStore, InferenceDesk, UnknownPrice};
use crate::ledger::Budget;

/// Whose words an upstream speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// `OpenAI`'s chat completions: `OpenAI`, NVIDIA NIM, vLLM, llama.cpp, Ollama and most others.
    OpenAi,
    /// Anthropic's Messages.
    Anthropic,
}

impl FromStr for Wire {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            "openai" => Ok(Self::OpenAi),
            "anthropic" => Ok(Self::Anthropic),
            _ => Err(format!("{word:?} is no API; it is openai or anthropic")),
        }
    }
}

/// Reads a price as `IN/OUT`, in US dollars for a million tokens.
///
/// ```
/// use bashgym_core::backend::parse_price;
/// assert_eq!(parse_price("3/15").unwrap().output, 15.0);
/// assert!(parse_price("3").is_err() && parse_price("-1/2").is_err());
/// ```
///
/// # Errors
/// Says how a price is written.
pub fn parse_price(text: &str) -> Result<TokenPrice, String> {
    let number = |text: &str| {
        let value: f64 = text.trim().parse().ok()?;
        (value.is_finite() && (0.0..=1e6).contains(&value)).then_some(value)
    };
    text.split_once('/')
        .and_then(|(input, output)| {
            Some(TokenPrice {
                input: number(input)?,
                output: number(output)?,
            })
        })
        .ok_or_else(|| {
            format!("{text:?} is no price; write IN/OUT in dollars for a million tokens, like 3/15")
        })
}

/// A model at an address of its own. The address is fixed here; nothing that is asked or answered changes it.
#[derive(Clone)]
pub struct Upstream {
    /// The part it plays.
    pub role: BackendRole,
    /// The model's name there.
    pub model: String,
    /// The address: `https://api.anthropic.com`, or where `/chat/completions` begins, like `https://host/v1`.
    pub url: Endpoint,
    /// Whose words it speaks.
    pub wire: Wire,
    /// The key, for this address alone.
    pub key: Option<SecretValue>,
    /// What a token costs; none is not known, and a call is then refused unless that is allowed.
    pub price: Option<TokenPrice>,
    /// Tokens of an answer at most where a request does not say: it bounds what a call may cost.
    pub answer_tokens: u32,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream")
            .field("role", &self.role)
            .field("model", &self.model)
            .field("url", &self.url)
            .field("wire", &self.wire)
            .field("key", &self.key.as_ref().map(|_| "set"))
            .finish_non_exhaustive()
    }
}

/// What an upstream is paid and remembered with.
pub struct Desk {
    /// Sets the worst case aside.
    pub budget: Arc<dyn Budget>,
    /// Remembers calls.
    pub calls: Arc<dyn CallStore>,
    /// What is done where no price is known.
    pub unknown_price: UnknownPrice,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What sends.
    pub transport: Arc<dyn HttpTransport>,
}

impl Upstream {
    /// The name it has in reports: the host, where it is a name, and else its part.
    fn provider(&self) -> Provider {
        match self.wire {
            Wire::Anthropic => Provider::named("anthropic"),
            Wire::OpenAi => Provider::named(self.url.url().host_str().unwrap_or("upstream").to_owned()),
        }
    }

    /// `OpenAI`'s own models take the newer name alone, most other servers know the older one.
    ///
    /// # Source
    /// `openai` 3.54.0 `types/chat/completion_create_params.py`: `max_tokens` is "not compatible with o-series models".
    fn bound_field(&self) -> &'static str {
        if self.url.url().host_str() == Some("api.openai.com") {
            "max_completion_tokens"
        } else {
            "max_tokens"
        }
    }

    fn catalog(&self, provider: &Provider) -> Catalog {
        let served = CatalogProvider {
            provider: provider.clone(),
            status: "live".to_owned(),
            context_length: None,
            pricing: self.price,
            is_free: None,
            supports_tools: None,
            supports_structured_output: None,
            first_token_latency_ms: None,
            throughput: None,
        };
        Catalog::new([CatalogModel {
            id: self.model.clone(),
            providers: vec![served],
            architecture: None,
        }])
    }

    /// Makes a backend of it, paid and remembered as all others are.
    ///
    /// # Errors
    /// [`InferenceError::Invalid`] for a configuration that can not work.
    pub fn backend(&self, desk: Desk, config: HfInferenceConfig) -> Result<HfBackend, InferenceError> {
        let provider = self.provider();
        let server = HfClient::builder()
            .endpoint(self.url.clone())
            .transport(Arc::new(UpstreamTransport {
                inner: desk.transport,
                wire: self.wire,
                base: self.url.clone(),
                key: self.key.clone(),
                clock: Arc::clone(&desk.clock),
            }))
            .clock(desk.clock)
            .retry(RetryPolicy::never())
            .build()?;
        let catalog = self.catalog(&provider);
        let desk = InferenceDesk::of_server(
            &server,
            provider,
            catalog,
            config,
            desk.budget,
            desk.calls,
            desk.unknown_price,
        )?;
        Ok(HfBackend::new(desk, ModelRef::new(self.model.clone()))
            .with_role(self.role)
            .with_answer_tokens(self.answer_tokens, self.bound_field()))
    }
}
