//! Where calls are paid for.

use std::io;
use std::sync::Arc;

use async_trait::async_trait;
use hf_core::{HfClient, MicroUsd};
use hf_inference::{
    Attempt, AttemptEnd, CallObserver, CallRecord, CallReport, Catalog, ChatAnswer, ChatRequest, Classified,
    Content, ContentPart, Cost, EmbedOptions, Embeddings, HfInferenceClient, HfInferenceConfig,
    InferenceError, ModelRef, NanoUsd, Provider, Usage,
};
use serde::Serialize;

use super::calls::{CallId, CallStore, StoredCall};
use super::paid::PaidStream;
use crate::ledger::{Budget, CostSource, LedgerEntry, LedgerError, ReserveRequest, Service, Settlement};

/// What is done with a call whose price nobody knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnknownPrice {
    /// It is refused.
    #[default]
    Refuse,
    /// It is made, and counts as unknown.
    Accept,
    /// It is made and costs nothing: the model runs on this machine.
    Free,
}

impl UnknownPrice {
    /// What holds at a Hub: what runs on this machine is paid to nobody, elsewhere it has to be allowed.
    pub fn at(embedded: bool, allowed: bool) -> Self {
        match (embedded, allowed) {
            (true, _) => Self::Free,
            (false, true) => Self::Accept,
            (false, false) => Self::Refuse,
        }
    }
}

/// Why a call was not answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceFailure {
    /// The budget refused it; nothing was sent.
    #[error(transparent)]
    Budget(#[from] LedgerError),
    /// It was sent, or could not be.
    #[error(transparent)]
    Inference(#[from] InferenceError),
}

/// Makes calls within the budget, and remembers them. Cloning shares everything.
#[derive(Clone)]
pub struct InferenceDesk {
    client: HfInferenceClient,
    budget: Arc<dyn Budget>,
    unknown_price: UnknownPrice,
}

impl std::fmt::Debug for InferenceDesk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InferenceDesk")
            .field("client", &self.client)
            .field("unknown_price", &self.unknown_price)
            .finish_non_exhaustive()
    }
}

/// Writes calls into the store.
struct Recorder(Arc<dyn CallStore>);

#[async_trait]
impl CallObserver for Recorder {
    async fn record(&self, call: &CallRecord) {
        let stored = StoredCall {
            id: CallId::generate(),
            call: call.clone(),
        };
        // The call is made and paid for in the ledger; that it is missing in the statistics does not undo it.
        if let Err(error) = self.0.add_call(&stored).await {
            tracing::warn!(%error, "a call could not be remembered");
        }
    }
}

/// An image's tokens come from its pixels, not its bytes. No API says a bound for all models; this is above those that
/// the documentation of common ones names.
const TOKENS_OF_AN_IMAGE: u64 = 16_384;

fn images(request: &ChatRequest) -> u64 {
    let of = |content: &Content| match content {
        Content::Parts(parts) => {
            let others = parts
                .iter()
                .filter(|part| !matches!(part, ContentPart::Text { .. }));
            others.count() as u64
        }
        Content::Text(_) => 0,
    };
    request
        .messages
        .iter()
        .filter_map(|message| message.content.as_ref())
        .map(of)
        .sum()
}

/// Bytes of a value as JSON, without keeping them.
fn json_bytes(value: &impl Serialize) -> u64 {
    struct Count(u64);
    impl io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    // What cannot be written is not sent, and refused there.
    let _ = serde_json::to_writer(&mut count, value);
    count.0
}

/// The most a call can use.
#[derive(Debug, Clone, Copy)]
struct Bound {
    usage: Usage,
    /// Whether the answer is bounded at all.
    known: bool,
}

impl InferenceDesk {
    /// A desk for the router beside `hub`.
    ///
    /// # Errors
    /// As [`HfInferenceClient::new`].
    pub fn new(
        hub: &HfClient,
        config: HfInferenceConfig,
        budget: Arc<dyn Budget>,
        calls: Arc<dyn CallStore>,
        unknown_price: UnknownPrice,
    ) -> Result<Self, InferenceError> {
        let client = HfInferenceClient::with_observer(hub, config, Some(Arc::new(Recorder(calls))))?;
        Ok(Self {
            client,
            budget,
            unknown_price,
        })
    }

    /// A desk for one server with `OpenAI`'s API that is no Hub.
    ///
    /// # Errors
    /// As [`HfInferenceClient::of_server`].
    pub fn of_server(
        server: &HfClient,
        provider: Provider,
        catalog: Catalog,
        config: HfInferenceConfig,
        budget: Arc<dyn Budget>,
        calls: Arc<dyn CallStore>,
        unknown_price: UnknownPrice,
    ) -> Result<Self, InferenceError> {
        let recorder: Arc<dyn CallObserver> = Arc::new(Recorder(calls));
        let client = HfInferenceClient::of_server(server, provider, catalog, config, Some(recorder))?;
        Ok(Self {
            client,
            budget,
            unknown_price,
        })
    }

    /// The same desk, with another way to deal with a price that nobody knows.
    #[must_use]
    pub fn with_unknown_price(mut self, unknown_price: UnknownPrice) -> Self {
        self.unknown_price = unknown_price;
        self
    }

    /// The client behind it, for what costs nothing: catalogue, providers, breakers.
    pub fn client(&self) -> &HfInferenceClient {
        &self.client
    }

    /// What a call costs at most, all tries together; none when nobody knows.
    ///
    /// # Errors
    /// [`InferenceFailure::Inference`] when the catalogue cannot be read.
    pub async fn worst_case(&self, request: &ChatRequest) -> Result<Option<MicroUsd>, InferenceFailure> {
        let Some(one) = self.worst_try(request).await? else {
            return Ok((self.unknown_price == UnknownPrice::Free).then_some(MicroUsd::ZERO));
        };
        let tries = u64::from(self.client.config().retry.max_attempts.max(1));
        let all = NanoUsd::new(one.get().saturating_mul(tries)).to_micro_ceil();
        MicroUsd::new(all)
            .map(Some)
            .map_err(|_| LedgerError::TooLarge.into())
    }

    /// What one try of so many tokens costs, at the dearest provider that may serve; none when nobody knows.
    ///
    /// # Errors
    /// [`InferenceFailure::Inference`] when the catalogue cannot be read.
    pub async fn expected_price(
        &self,
        model: &ModelRef,
        prompt_tokens: u64,
        completion_tokens: u64,
    ) -> Result<Option<NanoUsd>, InferenceFailure> {
        let usage = Usage {
            prompt_tokens,
            completion_tokens,
        };
        Ok(self.client.price_at_most(model, usage).await?)
    }

    /// Whether what nobody names a price for costs nothing here.
    pub fn is_free(&self) -> bool {
        self.unknown_price == UnknownPrice::Free
    }

    /// What one try costs at most.
    async fn worst_try(&self, request: &ChatRequest) -> Result<Option<NanoUsd>, InferenceError> {
        let bound = self.bound(request).await?;
        if !bound.known {
            return Ok(None);
        }
        self.client.price_at_most(&request.model, bound.usage).await
    }

    /// A token stands for at least one byte, so that the bytes of what is sent bound the tokens of the prompt.
    async fn bound(&self, request: &ChatRequest) -> Result<Bound, InferenceError> {
        let prompt = json_bytes(&request.messages)
            + json_bytes(&request.options.tools)
            + TOKENS_OF_AN_IMAGE * images(request);
        let context = self
            .client
            .catalog()
            .await?
            .model(&request.model.id)
            .and_then(|model| model.providers.iter().map(|it| it.context_length).max())
            .flatten();
        let answer = request.options.answer_bound().or(context);
        let answers = u64::from(request.options.n.unwrap_or(1).max(1));
        Ok(Bound {
            usage: Usage {
                prompt_tokens: prompt,
                completion_tokens: answer.unwrap_or_default().saturating_mul(answers),
            },
            known: answer.is_some(),
        })
    }

    /// Sets the worst case of a chat aside.
    async fn open(&self, request: &ChatRequest) -> Result<Bill, InferenceFailure> {
        let worst = match self.worst_case(request).await {
            Ok(worst) => worst,
            // Without a catalogue there is no price.
            Err(InferenceFailure::Inference(error)) => {
                tracing::debug!(%error, "the price of a call is not known");
                (self.unknown_price == UnknownPrice::Free).then_some(MicroUsd::ZERO)
            }
            Err(error) => return Err(error),
        };
        let purpose = request.purpose.as_deref().unwrap_or("inference");
        self.reserve(purpose, worst).await
    }

    async fn reserve(&self, purpose: &str, worst: Option<MicroUsd>) -> Result<Bill, InferenceFailure> {
        let key = format!("call-{}", CallId::generate());
        self.budget
            .reserve(ReserveRequest {
                key: key.clone(),
                service: Service::Inference,
                run: None,
                purpose: purpose.to_owned(),
                worst,
                allow_unknown_price: self.unknown_price != UnknownPrice::Refuse,
            })
            .await?;
        Ok(Bill {
            budget: Arc::clone(&self.budget),
            key,
            free: self.unknown_price == UnknownPrice::Free && worst == Some(MicroUsd::ZERO),
            open: true,
        })
    }

    /// Lets a model answer a conversation.
    ///
    /// # Errors
    /// [`InferenceFailure::Budget`] before anything is sent, [`InferenceFailure::Inference`].
    pub async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, InferenceFailure> {
        let bill = self.open(request).await?;
        let outcome = self.client.chat(request).await;
        self.close(bill, outcome, |answer| &answer.report).await
    }

    /// Lets a model answer a conversation piece by piece. What it cost is settled when the stream ends or is dropped.
    ///
    /// # Errors
    /// As [`InferenceDesk::chat`].
    pub async fn chat_stream(&self, request: &ChatRequest) -> Result<PaidStream, InferenceFailure> {
        let bill = self.open(request).await?;
        match self.client.chat_stream(request).await {
            Ok(stream) => Ok(PaidStream::new(stream, bill)),
            Err(error) => {
                bill.settle_failed(error.attempts()).await;
                Err(error.into())
            }
        }
    }

    /// Turns texts into vectors. Providers name no price for it.
    ///
    /// # Errors
    /// As [`InferenceDesk::chat`].
    pub async fn embed(
        &self,
        model: &ModelRef,
        texts: &[String],
        options: &EmbedOptions,
    ) -> Result<Embeddings, InferenceFailure> {
        let purpose = options.purpose.as_deref().unwrap_or("inference");
        let bill = self.reserve(purpose, self.unpriced()).await?;
        let outcome = self.client.embed(model, texts, options).await;
        self.close(bill, outcome, |answer| &answer.report).await
    }

    /// Says which labels fit a text. Providers name no price for it.
    ///
    /// # Errors
    /// As [`InferenceDesk::chat`].
    pub async fn classify(
        &self,
        model: &ModelRef,
        text: &str,
        top_k: Option<u32>,
    ) -> Result<Classified, InferenceFailure> {
        let bill = self.reserve("inference", self.unpriced()).await?;
        let outcome = self.client.classify(model, text, top_k).await;
        self.close(bill, outcome, |answer| &answer.report).await
    }

    /// The worst case of what has no price.
    fn unpriced(&self) -> Option<MicroUsd> {
        (self.unknown_price == UnknownPrice::Free).then_some(MicroUsd::ZERO)
    }

    async fn close<T>(
        &self,
        bill: Bill,
        outcome: Result<T, InferenceError>,
        report: impl Fn(&T) -> &CallReport,
    ) -> Result<T, InferenceFailure> {
        match outcome {
            Ok(answer) => {
                bill.settle(report(&answer)).await;
                Ok(answer)
            }
            Err(error) => {
                bill.settle_failed(error.attempts()).await;
                Err(error.into())
            }
        }
    }
}

/// An open reservation. Dropped without being settled, it is settled as unknown: the worst case stands.
pub(super) struct Bill {
    budget: Arc<dyn Budget>,
    key: String,
    /// Whether it costs nothing, whatever is not known.
    free: bool,
    open: bool,
}

impl Bill {
    /// The call was answered.
    pub(super) async fn settle(mut self, report: &CallReport) {
        let settlement = self.settlement(report.cost, &report.attempts);
        self.open = false;
        keep_open(self.budget.settle(&self.key, settlement).await);
    }

    /// The call was not answered.
    pub(super) async fn settle_failed(mut self, attempts: &[Attempt]) {
        self.open = false;
        let written = if attempts.iter().any(|attempt| attempt.may_be_billed) {
            let settlement = self.settlement(Cost::Unknown, attempts);
            self.budget.settle(&self.key, settlement).await
        } else {
            let reason = "no provider took the call";
            self.budget.release(&self.key, reason).await
        };
        keep_open(written);
    }

    /// An amount counts only if no failed try may have cost something beside it.
    fn settlement(&self, cost: Cost, attempts: &[Attempt]) -> Settlement {
        if self.free {
            return Settlement {
                actual: Some(MicroUsd::ZERO),
                source: CostSource::ReportedUsage,
            };
        }
        let unsure = attempts
            .iter()
            .any(|attempt| attempt.may_be_billed && attempt.end != AttemptEnd::Answered);
        let amount = cost
            .amount()
            .filter(|_| !unsure)
            .and_then(|amount| MicroUsd::new(amount.to_micro_ceil()).ok());
        match amount {
            Some(amount) => Settlement {
                actual: Some(amount),
                source: CostSource::ReportedUsage,
            },
            None => Settlement::UNKNOWN,
        }
    }
}

/// An answer is not taken away from its caller because the books cannot be written: the worst case stays reserved, and counts.
fn keep_open(written: Result<LedgerEntry, LedgerError>) {
    if let Err(error) = written {
        tracing::warn!(%error, "what a call cost could not be written down; its worst case stays reserved");
    }
}

impl Drop for Bill {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        let (budget, key) = (Arc::clone(&self.budget), std::mem::take(&mut self.key));
        let settlement = self.settlement(Cost::Unknown, &[]);
        // Without a runtime the reservation stays, which counts the same.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { keep_open(budget.settle(&key, settlement).await) });
        }
    }
}
