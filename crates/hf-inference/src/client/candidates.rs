//! Whom a call may be sent to, and as what.

use std::collections::VecDeque;

use hf_core::{Redirects, RequestSpec};
use http::{HeaderName, HeaderValue};
use serde::Serialize;
use serde_json::Value;

use super::HfInferenceClient;
use crate::chat::{ChatBody, ChatRequest};
use crate::config::ProviderChoice;
use crate::error::{InferenceError, Result};
use crate::model::{ModelRef, Routing, Suffix};
use crate::provider::{EmbeddingRoute, Provider, chat_route, embedding_route};

/// One way to send a call.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    /// Who is asked; none where the router chooses.
    pub(super) provider: Option<Provider>,
    pub(super) spec: RequestSpec,
}

/// All ways to send a call, found out as they are needed.
pub(super) enum Candidates<'a> {
    /// These.
    Listed(Vec<Candidate>),
    /// A chat: who serves the model is asked for when it matters.
    Chat {
        request: &'a ChatRequest,
        stream: bool,
        /// How many were asked for already: the router's own choice first, then the model's providers one by one.
        stage: u8,
    },
}

const ROUTER_CHAT: &str = "/v1/chat/completions";
/// The same at a server whose address ends with the version.
const SERVER_CHAT: &str = "/chat/completions";

impl HfInferenceClient {
    pub(super) fn chat_candidates<'a>(&self, request: &'a ChatRequest, stream: bool) -> Candidates<'a> {
        Candidates::Chat {
            request,
            stream,
            stage: u8::from(self.inner.config.pin_provider),
        }
    }

    /// A POST to the router, never sent again by the transport: whether and where it is tried again is decided here.
    pub(super) fn post(&self, path: &str, body: &impl Serialize) -> Result<RequestSpec> {
        let mut spec = RequestSpec::post(path)
            .json(body)?
            .no_retry()
            .idle_timeout(self.inner.config.timeout);
        if let Some(payer) = &self.inner.config.bill_to {
            let value = HeaderValue::try_from(payer.as_str())
                .map_err(|_| InferenceError::invalid("the payer's name can't stand in a header"))?;
            spec = spec.header(HeaderName::from_static("x-hf-bill-to"), value);
        }
        Ok(spec)
    }

    fn routing(&self, model: &ModelRef) -> Routing {
        match &model.suffix {
            Some(Suffix::Routing(routing)) => *routing,
            _ => self.inner.config.routing,
        }
    }

    /// The next ways to send a call, best first; empty when there are no more.
    pub(super) async fn more(&self, candidates: &mut Candidates<'_>) -> Result<VecDeque<Candidate>> {
        match candidates {
            Candidates::Listed(list) => Ok(std::mem::take(list).into()),
            Candidates::Chat {
                request,
                stream,
                stage,
            } => {
                let now = *stage;
                *stage = now.saturating_add(1);
                if let Some(server) = &self.inner.server {
                    *stage = u8::MAX;
                    if now == u8::MAX {
                        return Ok(VecDeque::new());
                    }
                    let body = request.body(&request.model.id, *stream);
                    let spec = self.post(SERVER_CHAT, &body)?.redirects(Redirects::Manual);
                    let provider = Some(server.clone());
                    return Ok([Candidate { provider, spec }].into());
                }
                match (&request.model.suffix, &self.inner.config.provider, now) {
                    (Some(Suffix::Provider(provider)), _, 0 | 1) => {
                        // Said once; the other stage would only repeat it.
                        *stage = 2;
                        let body = request.body(&request.model.to_string(), *stream);
                        self.through_router(Some(provider.clone()), &body)
                            .map(|one| [one].into())
                    }
                    (None, ProviderChoice::Only(provider), 0 | 1) => {
                        *stage = 2;
                        self.direct_chat(request, provider, *stream)
                            .await
                            .map(|one| [one].into())
                    }
                    (_, _, 0) => {
                        let body = request.body(&self.as_asked(&request.model), *stream);
                        self.through_router(None, &body).map(|one| [one].into())
                    }
                    (_, _, 1) => self.pinned(request, *stream).await,
                    _ => Ok(VecDeque::new()),
                }
            }
        }
    }

    /// The model as the router is asked for it when it chooses.
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `AutoRouterConversationalTask`: the model as the caller wrote it; nothing stands for `fastest`.
    fn as_asked(&self, model: &ModelRef) -> String {
        match (&model.suffix, self.inner.config.routing) {
            (None, routing) if routing != Routing::Fastest => format!("{}:{}", model.id, routing.as_str()),
            _ => model.to_string(),
        }
    }

    fn through_router(&self, provider: Option<Provider>, body: &ChatBody) -> Result<Candidate> {
        Ok(Candidate {
            provider,
            spec: self.post(ROUTER_CHAT, body)?,
        })
    }

    /// One candidate for each provider that serves the model, best first.
    async fn pinned(&self, request: &ChatRequest, stream: bool) -> Result<VecDeque<Candidate>> {
        let catalog = match self.inner.catalog.get().await {
            Ok(catalog) => catalog,
            Err(error) => {
                tracing::debug!(%error, "who else serves the model is not known");
                return Ok(VecDeque::new());
            }
        };
        let Some(model) = catalog.model(&request.model.id) else {
            return Ok(VecDeque::new());
        };
        model
            .live(self.routing(&request.model))
            .into_iter()
            .map(|it| {
                let name = format!("{}:{}", request.model.id, it.provider);
                self.through_router(Some(it.provider.clone()), &request.body(&name, stream))
            })
            .collect()
    }

    /// The request as the official client sends it to one provider by name.
    async fn direct_chat(
        &self,
        request: &ChatRequest,
        provider: &Provider,
        stream: bool,
    ) -> Result<Candidate> {
        let model = &request.model.id;
        let own_name = if *provider == Provider::HF_INFERENCE {
            model.clone()
        } else {
            self.name_at(model, provider, &["conversational"]).await?
        };
        let Some(route) = chat_route(provider, &own_name) else {
            return Err(InferenceError::NotServed {
                model: model.clone(),
                task: "conversational".to_owned(),
                offered: vec![provider.clone()],
            });
        };
        let mut body = request.body(&own_name, stream);
        // Looked at before it is taken for a change, which would copy the options.
        if body.options.response_format.is_some()
            && let Some(format) = &mut body.options.response_format
        {
            route.schema.apply(format);
        }
        let mut spec = self.post(&route.path, &body)?;
        for (name, value) in route.headers {
            spec = spec.header(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Ok(Candidate {
            provider: Some(provider.clone()),
            spec,
        })
    }

    /// What `provider` calls the model.
    async fn name_at(&self, model: &str, provider: &Provider, tasks: &[&str]) -> Result<String> {
        let mappings = self.providers_of(model).await?;
        let found = mappings
            .iter()
            .find(|mapping| mapping.provider == *provider && tasks.contains(&mapping.task.as_str()));
        found.map(|mapping| mapping.provider_id.clone()).ok_or_else(|| {
            let offered = mappings
                .iter()
                .filter(|mapping| tasks.contains(&mapping.task.as_str()))
                .map(|mapping| mapping.provider.clone())
                .collect();
            InferenceError::NotServed {
                model: model.to_owned(),
                task: format!("{} at {provider}", tasks.first().unwrap_or(&"this")),
                offered,
            }
        })
    }

    /// Those who embed with the model, in the order of the account's settings.
    pub(super) async fn embedding_routes(
        &self,
        model: &ModelRef,
    ) -> Result<Vec<(Provider, String, EmbeddingRoute)>> {
        const TASKS: &[&str] = &["feature-extraction", "sentence-similarity"];
        if self.inner.server.is_some() {
            return Err(not_served(model, "feature-extraction"));
        }
        if let Some(provider) = self.only(model) {
            let own_name = if provider == Provider::HF_INFERENCE {
                model.id.clone()
            } else {
                self.name_at(&model.id, &provider, TASKS).await?
            };
            let route = embedding_route(&provider, &own_name).ok_or_else(|| InferenceError::NotServed {
                model: model.id.clone(),
                task: "feature-extraction".to_owned(),
                offered: vec![provider.clone()],
            })?;
            return Ok(vec![(provider, own_name, route)]);
        }
        let mappings = self.providers_of(&model.id).await?;
        let fitting = || {
            mappings
                .iter()
                .filter(|mapping| TASKS.contains(&mapping.task.as_str()))
        };
        let routes: Vec<_> = fitting()
            .filter_map(|mapping| {
                let route = embedding_route(&mapping.provider, &mapping.provider_id)?;
                Some((mapping.provider.clone(), mapping.provider_id.clone(), route))
            })
            .collect();
        if routes.is_empty() {
            return Err(InferenceError::NotServed {
                model: model.id.clone(),
                task: "feature-extraction".to_owned(),
                offered: fitting().map(|mapping| mapping.provider.clone()).collect(),
            });
        }
        Ok(routes)
    }

    /// A call that only Hugging Face's own serving takes.
    pub(super) fn hf_inference(
        &self,
        model: &ModelRef,
        task: &str,
        path: &str,
        body: &Value,
    ) -> Result<Candidates<'static>> {
        if self.inner.server.is_some() {
            return Err(not_served(model, task));
        }
        match self.only(model) {
            Some(provider) if provider != Provider::HF_INFERENCE => Err(InferenceError::NotServed {
                model: model.id.clone(),
                task: format!("{task} at {provider}"),
                offered: vec![Provider::HF_INFERENCE],
            }),
            _ => Ok(Candidates::Listed(vec![Candidate {
                provider: Some(Provider::HF_INFERENCE),
                spec: self.post(path, body)?,
            }])),
        }
    }
}

fn not_served(model: &ModelRef, task: &str) -> InferenceError {
    InferenceError::NotServed {
        model: model.id.clone(),
        task: task.to_owned(),
        offered: Vec::new(),
    }
}
