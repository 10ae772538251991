//! A model behind a desk: at Hugging Face, at the embedded Hub, or at an address of its own.

use async_trait::async_trait;
use hf_core::MicroUsd;
use hf_inference::{BreakerState, ChatAnswer, ChatRequest, ModelRef, TokenPrice};

use super::{BackendRole, BackendStream, ModelBackend};
use crate::inference::{InferenceDesk, InferenceFailure};

/// A model behind an [`InferenceDesk`]: at Inference Providers, a student that the Hub's own router serves, or an
/// [`Upstream`](super::Upstream).
#[derive(Debug, Clone)]
pub struct HfBackend {
    desk: InferenceDesk,
    model: ModelRef,
    role: BackendRole,
    /// Tokens of an answer at most where a request does not say, and the field that says it.
    answer_tokens: Option<(u32, &'static str)>,
}

impl HfBackend {
    /// A model at Hugging Face.
    pub fn new(desk: InferenceDesk, model: ModelRef) -> Self {
        Self {
            desk,
            model,
            role: BackendRole::Hf,
            answer_tokens: None,
        }
    }

    /// The same model, in another part: a student that this router serves.
    #[must_use]
    pub fn with_role(mut self, role: BackendRole) -> Self {
        self.role = role;
        self
    }

    /// Bounds answers whose request does not.
    #[must_use]
    pub(super) fn with_answer_tokens(mut self, tokens: u32, field: &'static str) -> Self {
        self.answer_tokens = Some((tokens, field));
        self
    }

    fn own(&self, request: &ChatRequest) -> ChatRequest {
        let mut own = ChatRequest {
            model: self.model.clone(),
            ..request.clone()
        };
        if let Some((tokens, field)) = self.answer_tokens
            && own.options.answer_bound().is_none()
        {
            own.options.extra.insert(field.to_owned(), tokens.into());
        }
        own
    }
}

#[async_trait]
impl ModelBackend for HfBackend {
    fn role(&self) -> BackendRole {
        self.role
    }

    fn model(&self) -> &str {
        &self.model.id
    }

    async fn price(&self) -> Option<TokenPrice> {
        let catalog = self.desk.client().catalog().await.ok()?;
        catalog.model(&self.model.id)?.highest_price()
    }

    async fn worst_case(&self, request: &ChatRequest) -> Result<Option<MicroUsd>, InferenceFailure> {
        self.desk.worst_case(&self.own(request)).await
    }

    /// Open only when every provider of the model that was ever troubled is out of service.
    fn breaker(&self) -> BreakerState {
        let mut worst = None;
        for (model, _, state) in self.desk.client().breakers() {
            match state {
                _ if model != self.model.id => {}
                BreakerState::Open { .. } => worst = worst.or(Some(state)),
                BreakerState::Closed { .. } | BreakerState::HalfOpen => return state,
            }
        }
        worst.unwrap_or(BreakerState::Closed { failures: 0 })
    }

    async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, InferenceFailure> {
        self.desk.chat(&self.own(request)).await
    }

    async fn chat_stream(&self, request: &ChatRequest) -> Result<BackendStream, InferenceFailure> {
        Ok(BackendStream::new(
            self.desk.chat_stream(&self.own(request)).await?,
        ))
    }
}
