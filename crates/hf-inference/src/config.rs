//! How inference is asked for.

use std::time::Duration;

use hf_core::RetryPolicy;

use crate::breaker::BreakerPolicy;
use crate::error::InferenceError;
use crate::model::Routing;
use crate::provider::Provider;

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ProviderChoice {
    /// Whoever [`HfInferenceConfig::routing`] leads to; the next one when the first fails.
    #[default]
    Auto,
    /// This one, and nobody else when it fails.
    Only(Provider),
}

impl std::str::FromStr for ProviderChoice {
    type Err = InferenceError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.trim() {
            "auto" => Self::Auto,
            name => Self::Only(Provider::parse(name)?),
        })
    }
}

/// How inference is asked for.
///
/// ```
/// use hf_inference::{HfInferenceConfig, Routing};
/// let config = HfInferenceConfig { routing: Routing::Cheapest, bill_to: Some("acme".into()), ..HfInferenceConfig::default() };
/// assert_eq!(config.timeout.as_secs(), 30);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct HfInferenceConfig {
    /// Who is asked. A provider behind a model's name goes before.
    pub provider: ProviderChoice,
    /// How to choose among the providers of a model. A wish behind a model's name goes before.
    pub routing: Routing,
    /// The organisation that pays, instead of the token's own account.
    pub bill_to: Option<String>,
    /// How long one try may take until its answer, or until the next piece of a stream.
    pub timeout: Duration,
    /// How long all tries together may take until an answer, or until a stream's first content.
    pub deadline: Duration,
    /// Whether the provider is chosen here, from the router's catalogue, instead of by the router: then who serves, and so the
    /// price, is known before the call.
    pub pin_provider: bool,
    /// How often is tried, and the waits between. Its own deadline is not used.
    pub retry: RetryPolicy,
    /// When a provider is left out for a while.
    pub breaker: BreakerPolicy,
    /// Texts in one request for embeddings.
    pub batch_size: usize,
    /// Requests for embeddings at a time.
    pub concurrency: usize,
}

impl Default for HfInferenceConfig {
    fn default() -> Self {
        Self {
            provider: ProviderChoice::Auto,
            routing: Routing::Fastest,
            bill_to: None,
            timeout: Duration::from_secs(30),
            deadline: Duration::from_secs(90),
            pin_provider: false,
            retry: RetryPolicy::default(),
            breaker: BreakerPolicy::default(),
            batch_size: 32,
            concurrency: 4,
        }
    }
}
