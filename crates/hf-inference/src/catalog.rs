//! The router's catalogue: models, who serves them, how fast and at what price.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hf_core::{Clock, HfClient, HfError};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::cost::TokenPrice;
use crate::model::Routing;
use crate::provider::Provider;

/// How long a catalogue is good.
const FRESH_FOR: Duration = Duration::from_mins(5);
/// How long after a failure the router is not asked for it again.
const RETRY_AFTER: Duration = Duration::from_secs(30);

/// A model of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogModel {
    /// The repository's id.
    pub id: String,
    /// Who serves it.
    #[serde(default)]
    pub providers: Vec<CatalogProvider>,
    /// What goes in and comes out.
    #[serde(default)]
    pub architecture: Option<Architecture>,
}

/// What goes into a model and comes out of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Architecture {
    /// `text`, `image`…
    #[serde(default)]
    pub input_modalities: Vec<String>,
    /// `text`…
    #[serde(default)]
    pub output_modalities: Vec<String>,
}

/// How one provider serves a model of the catalogue. What is not said is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CatalogProvider {
    /// Who.
    pub provider: Provider,
    /// `live`, `error`, `staging`, or a word that is newer than this client.
    pub status: String,
    /// The most tokens of a request.
    #[serde(default)]
    pub context_length: Option<u64>,
    /// US dollars for a million tokens.
    #[serde(default)]
    pub pricing: Option<TokenPrice>,
    /// Whether it costs nothing.
    #[serde(default)]
    pub is_free: Option<bool>,
    /// Whether tools may be offered.
    #[serde(default)]
    pub supports_tools: Option<bool>,
    /// Whether a JSON schema is kept to.
    #[serde(default)]
    pub supports_structured_output: Option<bool>,
    /// Milliseconds to the first token.
    #[serde(default)]
    pub first_token_latency_ms: Option<f64>,
    /// Tokens in a second.
    #[serde(default)]
    pub throughput: Option<f64>,
}

impl CatalogProvider {
    /// The price of its tokens, if it is known.
    pub fn price(&self) -> Option<TokenPrice> {
        if self.is_free == Some(true) {
            return Some(TokenPrice {
                input: 0.0,
                output: 0.0,
            });
        }
        self.pricing
    }

    /// Whether its last check did not fail.
    pub fn is_live(&self) -> bool {
        self.status == "live"
    }
}

impl CatalogModel {
    /// Those who serve it now, best first by `routing`. For [`Routing::Preferred`] the catalogue's own order is kept: the
    /// account's settings are not in it.
    pub fn live(&self, routing: Routing) -> Vec<&CatalogProvider> {
        let mut live: Vec<_> = self
            .providers
            .iter()
            .filter(|provider| provider.is_live())
            .collect();
        let most = |value: Option<f64>| value.unwrap_or(f64::INFINITY);
        match routing {
            Routing::Fastest => live.sort_by(|a, b| {
                let speed = |it: &CatalogProvider| it.throughput.unwrap_or(0.0);
                speed(b).total_cmp(&speed(a))
            }),
            Routing::Cheapest => live.sort_by(|a, b| {
                let price = |it: &CatalogProvider| most(it.price().map(|price| price.output));
                price(a).total_cmp(&price(b))
            }),
            Routing::Preferred => {}
        }
        live
    }

    /// The price of its tokens at `provider`.
    pub fn price_at(&self, provider: &Provider) -> Option<TokenPrice> {
        self.providers.iter().find(|it| it.provider == *provider)?.price()
    }

    /// The highest price among those who serve it now, for both kinds of tokens: what a call costs at most when the router
    /// chooses. None if one of them has no price.
    pub fn highest_price(&self) -> Option<TokenPrice> {
        let mut highest: Option<TokenPrice> = None;
        for provider in self.providers.iter().filter(|provider| provider.is_live()) {
            let price = provider.price()?;
            highest = Some(match highest {
                None => price,
                Some(so_far) => TokenPrice {
                    input: so_far.input.max(price.input),
                    output: so_far.output.max(price.output),
                },
            });
        }
        highest
    }
}

/// The whole catalogue at one time.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    models: HashMap<String, CatalogModel>,
}

impl Catalog {
    /// A catalogue of these models.
    pub fn new(models: impl IntoIterator<Item = CatalogModel>) -> Self {
        let models = models.into_iter().map(|model| (model.id.clone(), model));
        Self {
            models: models.collect(),
        }
    }

    /// A model by its id.
    pub fn model(&self, id: &str) -> Option<&CatalogModel> {
        self.models.get(id)
    }

    /// All models, by id.
    pub fn models(&self) -> Vec<&CatalogModel> {
        let mut models: Vec<_> = self.models.values().collect();
        models.sort_by(|a, b| a.id.cmp(&b.id));
        models
    }
}

#[derive(Debug, Deserialize)]
struct Answer {
    data: Vec<CatalogModel>,
}

#[derive(Debug, Default)]
struct Kept {
    catalog: Option<Arc<Catalog>>,
    /// When the router may be asked again.
    good_until: Duration,
}

/// The catalogue, asked for when it is needed and kept for a while.
pub(crate) struct CatalogCache {
    router: HfClient,
    clock: Arc<dyn Clock>,
    kept: Mutex<Kept>,
}

impl CatalogCache {
    pub(crate) fn new(router: HfClient, clock: Arc<dyn Clock>) -> Self {
        Self {
            router,
            clock,
            kept: Mutex::default(),
        }
    }

    /// A catalogue that is told, and never asked for.
    pub(crate) fn fixed(router: HfClient, clock: Arc<dyn Clock>, catalog: Catalog) -> Self {
        let kept = Kept {
            catalog: Some(Arc::new(catalog)),
            good_until: Duration::MAX,
        };
        Self {
            router,
            clock,
            kept: Mutex::new(kept),
        }
    }

    /// The catalogue. When the router can not be asked, the last one that was read.
    ///
    /// # Errors
    /// Any [`HfError`] when none was ever read.
    ///
    /// # Source
    /// `GET /v1/models` of the router, Hugging Face's documentation of Inference Providers.
    pub(crate) async fn get(&self) -> Result<Arc<Catalog>, HfError> {
        let mut kept = self.kept.lock().await;
        let now = self.clock.elapsed();
        if let Some(catalog) = &kept.catalog
            && now < kept.good_until
        {
            return Ok(catalog.clone());
        }
        let answer = self.router.get_json::<Answer>("/v1/models", &[]).await;
        match answer {
            Ok(answer) => {
                let catalog = Arc::new(Catalog::new(answer.data));
                kept.catalog = Some(catalog.clone());
                kept.good_until = now.saturating_add(FRESH_FOR);
                Ok(catalog)
            }
            Err(error) => match &kept.catalog {
                Some(catalog) => {
                    let catalog = catalog.clone();
                    tracing::warn!(%error, "the router's catalogue can not be read; the last one is used");
                    kept.good_until = now.saturating_add(RETRY_AFTER);
                    Ok(catalog)
                }
                None => Err(error),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn model() -> CatalogModel {
        serde_json::from_value(json!({"id": "org/name", "object": "model", "created": 1, "owned_by": "org",
            "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
            "providers": [
                {"provider": "together", "status": "live", "pricing": {"input": 0.1, "output": 0.2}, "throughput": 90},
                {"provider": "groq", "status": "live", "context_length": 131_072, "pricing": {"input": 0.15, "output": 0.6},
                 "supports_tools": true, "first_token_latency_ms": 210, "throughput": 480.5},
                {"provider": "novita", "status": "error", "pricing": {"input": 9.0, "output": 9.0}}]}))
        .unwrap()
    }

    #[test]
    fn the_best_comes_first_and_the_broken_not_at_all() {
        let model = model();
        let order = |routing| {
            let live = model.live(routing);
            live.iter().map(|it| it.provider.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(order(Routing::Fastest), ["groq", "together"]);
        assert_eq!(order(Routing::Cheapest), ["together", "groq"]);
        assert_eq!(order(Routing::Preferred), ["together", "groq"]);
    }

    #[test]
    fn the_worst_price_is_that_of_the_dearest_and_unknown_if_one_is() {
        let mut model = model();
        let worst = model.highest_price().unwrap();
        assert_eq!((worst.input, worst.output), (0.15, 0.6));
        model.providers[0].pricing = None;
        assert!(model.highest_price().is_none());
        model.providers[0].is_free = Some(true);
        assert!(model.highest_price().is_some());
    }
}
