//! The client.

mod attempts;
mod call;
mod candidates;
#[cfg(test)]
mod tests;
mod texts;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hf_core::{Backoff, Clock, HfClient, HfError, TransportKind};
use tokio::sync::Mutex;

pub(crate) use self::call::Call;
pub use self::texts::{Classified, EmbedOptions, Embeddings, Label, Similarities};
use crate::breaker::{BreakerState, Breakers};
use crate::catalog::{Catalog, CatalogCache};
use crate::chat::{ChatReply, ChatRequest, ChatStream, Message, WireUsage, open};
use crate::config::HfInferenceConfig;
use crate::cost::{NanoUsd, TokenPrice, Usage};
use crate::error::{InferenceError, Result};
use crate::mapping::{self, ProviderMapping};
use crate::model::{ModelRef, Suffix};
use crate::provider::Provider;
use crate::report::{CallObserver, CallReport};

/// Who served, where the answer tells it.
///
/// # Source
/// `huggingface/chat-ui` reads it from the router's answers; Hugging Face's documentation does not name it.
const SERVED_BY: &str = "x-inference-provider";
/// How long the Hub's word on who serves a model is good.
const MAPPING_FRESH_FOR: Duration = Duration::from_mins(10);

/// A client of Inference Providers. Cloning is cheap and shares everything, the breakers too.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use hf_core::{HfClient, HuggingFaceSettings, SettingsInput};
/// use hf_inference::{HfInferenceClient, HfInferenceConfig};
///
/// let settings = HuggingFaceSettings::resolve(SettingsInput::from_process())?;
/// let hub = HfClient::from_settings(&settings)?;
/// let inference = HfInferenceClient::new(&hub, HfInferenceConfig::default())?;
/// let answer = inference.generate(&"Qwen/Qwen2.5-72B-Instruct:cheapest".parse()?, "Say hi.", None).await?;
/// println!("{} ({:?} for {:?})", answer.text, answer.report.cost, answer.report.usage);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct HfInferenceClient {
    inner: Arc<Inner>,
}

struct Inner {
    hub: HfClient,
    router: HfClient,
    config: HfInferenceConfig,
    clock: Arc<dyn Clock>,
    backoff: Backoff,
    breakers: Breakers,
    catalog: CatalogCache,
    mappings: Mutex<HashMap<String, KeptMappings>>,
    observer: Option<Arc<dyn CallObserver>>,
    /// Who is asked, where the server is one alone and no router.
    server: Option<Provider>,
}

/// Until when they are good, and who serves.
type KeptMappings = (Duration, Arc<Vec<ProviderMapping>>);

impl fmt::Debug for HfInferenceClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HfInferenceClient")
            .field("router", self.inner.router.endpoint())
            .field("config", &self.inner.config)
            .finish_non_exhaustive()
    }
}

/// A whole answer, and what is known of the call.
#[derive(Debug, Clone, PartialEq)]
pub struct ChatAnswer {
    /// The answer.
    pub reply: ChatReply,
    /// The call.
    pub report: CallReport,
}

/// A text, and what is known of the call.
#[derive(Debug, Clone, PartialEq)]
pub struct Generated {
    /// The text.
    pub text: String,
    /// The call.
    pub report: CallReport,
}

impl HfInferenceClient {
    /// Makes a client of the router beside `hub`, with the hub's token and clock. A Hub on loopback is its own router.
    ///
    /// # Errors
    /// [`InferenceError::Failed`] when there is no router beside a Hub of this address; [`InferenceError::Invalid`] for a
    /// configuration that can not work.
    ///
    /// # Source
    /// `https://router.huggingface.co`: `huggingface_hub` 2.4.0 `constants.py`.
    pub fn new(hub: &HfClient, config: HfInferenceConfig) -> Result<Self> {
        Self::with_observer(hub, config, None)
    }

    /// Makes a client whose calls are told to `observer`.
    ///
    /// # Errors
    /// As [`HfInferenceClient::new`].
    pub fn with_observer(
        hub: &HfClient,
        config: HfInferenceConfig,
        observer: Option<Arc<dyn CallObserver>>,
    ) -> Result<Self> {
        let router = hub.service("router")?;
        let catalog = CatalogCache::new(router.clone(), hub.clock().clone());
        Self::made(hub, router, config, observer, catalog, None)
    }

    /// Makes a client of one server with `OpenAI`'s API that is no Hub and no router. Its address ends where
    /// `/chat/completions` begins; `provider` stands for it in reports, and `catalog` is all that is known of its models.
    ///
    /// # Errors
    /// [`InferenceError::Invalid`] for a configuration that can not work.
    pub fn of_server(
        server: &HfClient,
        provider: Provider,
        catalog: Catalog,
        config: HfInferenceConfig,
        observer: Option<Arc<dyn CallObserver>>,
    ) -> Result<Self> {
        let catalog = CatalogCache::fixed(server.clone(), server.clock().clone(), catalog);
        Self::made(server, server.clone(), config, observer, catalog, Some(provider))
    }

    fn made(
        hub: &HfClient,
        router: HfClient,
        config: HfInferenceConfig,
        observer: Option<Arc<dyn CallObserver>>,
        catalog: CatalogCache,
        server: Option<Provider>,
    ) -> Result<Self> {
        if config.batch_size == 0
            || config.concurrency == 0
            || config.timeout.is_zero()
            || config.deadline.is_zero()
        {
            return Err(InferenceError::invalid(
                "batch size, concurrency, time-out and deadline are at least one",
            ));
        }
        let clock = hub.clock().clone();
        Ok(Self {
            inner: Arc::new(Inner {
                hub: hub.clone(),
                backoff: Backoff::new(&config.retry),
                breakers: Breakers::new(config.breaker.clone(), clock.clone()),
                catalog,
                mappings: Mutex::default(),
                router,
                config,
                clock,
                observer,
                server,
            }),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &HfInferenceConfig {
        &self.inner.config
    }

    /// The router's catalogue of chat models, at most five minutes old; older while the router can not be asked.
    ///
    /// # Errors
    /// [`InferenceError::Failed`] when it was never read.
    pub async fn catalog(&self) -> Result<Arc<Catalog>> {
        Ok(self.inner.catalog.get().await?)
    }

    /// Who serves a model, as the Hub says, in the order of the account's settings; at most ten minutes old.
    ///
    /// # Errors
    /// [`InferenceError::Failed`].
    pub async fn providers_of(&self, model: &str) -> Result<Arc<Vec<ProviderMapping>>> {
        let now = self.inner.clock.elapsed();
        let mut kept = self.inner.mappings.lock().await;
        if let Some((good_until, mappings)) = kept.get(model)
            && now < *good_until
        {
            return Ok(mappings.clone());
        }
        let mappings = Arc::new(mapping::fetch(&self.inner.hub, model).await?);
        kept.retain(|_, (good_until, _)| now < *good_until);
        let good_until = now.saturating_add(MAPPING_FRESH_FOR);
        kept.insert(model.to_owned(), (good_until, mappings.clone()));
        Ok(mappings)
    }

    /// How the breakers stand that were ever troubled: model, provider or none where the router chose, state.
    pub fn breakers(&self) -> Vec<(String, Option<String>, BreakerState)> {
        self.inner.breakers.states()
    }

    /// The highest price of a call that may be sent to anybody `model` and the configuration allow; none when it is not known.
    ///
    /// # Errors
    /// [`InferenceError::Failed`] when the catalogue can not be read.
    pub async fn price_at_most(&self, model: &ModelRef, usage: Usage) -> Result<Option<NanoUsd>> {
        let catalog = self.catalog().await?;
        let Some(known) = catalog.model(&model.id) else {
            return Ok(None);
        };
        let price: Option<TokenPrice> = match self.only(model) {
            Some(provider) => known.price_at(&provider),
            None => known.highest_price(),
        };
        Ok(price.and_then(|price| price.cost(usage)))
    }

    /// The one provider that may be asked, if there is but one.
    fn only(&self, model: &ModelRef) -> Option<Provider> {
        use crate::config::ProviderChoice;
        match (&model.suffix, &self.inner.config.provider) {
            (Some(Suffix::Provider(provider)), _) | (None, ProviderChoice::Only(provider)) => {
                Some(provider.clone())
            }
            _ => None,
        }
    }

    /// Lets a model answer a conversation.
    ///
    /// A provider that fails is tried again or replaced by the model's next one, within the configured deadline.
    ///
    /// # Errors
    /// [`InferenceError`] with all tries that were made.
    pub async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer> {
        let mut call = self.begin(&request.model.id, "conversational", request.purpose.clone());
        let candidates = self.chat_candidates(request, false);
        let reply = self
            .run(&mut call, candidates, |router, spec| async move {
                let response = router.request(spec).await?;
                let served = response.header(SERVED_BY).map(Provider::named);
                Ok((response.json::<ChatReply>().await?, served))
            })
            .await;
        match reply {
            Ok(reply) => {
                let usage = WireUsage::of(&reply.extra);
                let report = call.finish(usage).await;
                Ok(ChatAnswer { reply, report })
            }
            Err(error) => Err(call.fail(error).await),
        }
    }

    /// Lets a model answer a conversation piece by piece.
    ///
    /// Providers are replaced only before the first content. Dropping the stream hangs up.
    ///
    /// # Errors
    /// [`InferenceError`] with all tries, when no content came.
    pub async fn chat_stream(&self, request: &ChatRequest) -> Result<ChatStream> {
        let mut call = self.begin(&request.model.id, "conversational", request.purpose.clone());
        let candidates = self.chat_candidates(request, true);
        let (clock, timeout) = (self.inner.clock.clone(), self.inner.config.timeout);
        let opened = self
            .run(&mut call, candidates, |router, spec| {
                let clock = clock.clone();
                async move {
                    let response = router.request(spec.for_events()).await?;
                    let served = response.header(SERVED_BY).map(Provider::named);
                    Ok((open(response, clock, timeout).await?, served))
                }
            })
            .await;
        match opened {
            Ok(opened) => Ok(ChatStream::new(opened, call)),
            Err(error) => Err(call.fail(error).await),
        }
    }

    /// Lets a model answer a prompt.
    ///
    /// # Errors
    /// As [`HfInferenceClient::chat`].
    pub async fn generate(
        &self,
        model: &ModelRef,
        prompt: &str,
        max_tokens: Option<u32>,
    ) -> Result<Generated> {
        let mut request = ChatRequest::new(model.clone(), [Message::user(prompt)]);
        request.options.max_tokens = max_tokens;
        let ChatAnswer { reply, report } = self.chat(&request).await?;
        Ok(Generated {
            text: reply.text(),
            report,
        })
    }
}

pub(crate) fn timed_out(what: &str, after: Duration) -> HfError {
    HfError::Transport {
        kind: TransportKind::Timeout,
        request: what.to_owned(),
        message: format!("nothing came for {} s", after.as_secs()),
        source: None,
    }
}
