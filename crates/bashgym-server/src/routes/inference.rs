//! Calls of served models, within the budget.

use std::convert::Infallible;

use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use bashgym_core::inference::{CallSums, InferenceDesk, PaidStream, UnknownPrice, UsageBy};
use futures::{Stream, StreamExt, stream};
use hf_inference::{CallReport, ChatRequest, EmbedOptions, Label, Message, ModelRef, NanoUsd, Provider};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Json, Query};
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::state::AppState;

/// The most texts of one request.
const MOST_TEXTS: usize = 1024;

/// What a model is to answer.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GenerateRequest {
    /// The model; `:fastest`, `:cheapest`, `:preferred` or a provider may stand behind it.
    #[schema(example = "Qwen/Qwen2.5-72B-Instruct:cheapest")]
    model: String,
    /// What to answer.
    prompt: String,
    /// What the model is told to be.
    system: Option<String>,
    /// Tokens of the answer at most; 512 without it.
    #[schema(minimum = 1, maximum = 131_072)]
    max_tokens: Option<u32>,
    /// 0 always takes the likeliest token.
    #[schema(minimum = 0, maximum = 2)]
    temperature: Option<f64>,
    /// The same seed gives the same answer, where the provider can.
    seed: Option<i64>,
    /// What it is for; usage is added up by it.
    #[schema(max_length = 100)]
    purpose: Option<String>,
    /// Answer with server-sent events: `piece` each with its `text`, then `done` with what is known of the call, or `error`.
    #[serde(default)]
    stream: bool,
    /// Make the call even if nobody names its price; caps then cannot count it.
    #[serde(default)]
    allow_unknown_price: bool,
}

/// Tokens of a call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tokens {
    /// Of the prompt.
    prompt_tokens: u64,
    /// Of the answer.
    completion_tokens: u64,
}

/// What is known of a call.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Told {
    /// The model.
    model: String,
    /// Who served it; null where the router chose and did not say.
    #[schema(required)]
    provider: Option<String>,
    /// How often it was tried.
    attempts: usize,
    /// Tokens; null where nobody counted them.
    #[schema(required)]
    usage: Option<Tokens>,
    /// US dollars; null is not known, and not free.
    #[schema(required)]
    cost_usd: Option<f64>,
    /// `reported`, `route_price` or `unknown`.
    cost_source: &'static str,
    /// How long it took.
    millis: u64,
}

impl From<&CallReport> for Told {
    fn from(report: &CallReport) -> Self {
        Self {
            model: report.model.clone(),
            provider: report.provider.as_ref().map(Provider::to_string),
            attempts: report.attempts.len(),
            usage: report.usage.map(|usage| Tokens {
                prompt_tokens: usage.prompt_tokens,
                completion_tokens: usage.completion_tokens,
            }),
            cost_usd: report.cost.amount().map(NanoUsd::to_usd),
            cost_source: report.cost.source(),
            millis: report.millis,
        }
    }
}

/// An answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Generated {
    /// The text.
    text: String,
    /// Why it ends, in the provider's word.
    #[schema(required)]
    finish_reason: Option<String>,
    #[serde(flatten)]
    told: Told,
}

fn model(text: &str) -> Result<ModelRef, Problem> {
    Ok(text.parse()?)
}

fn desk(
    state: &AppState,
    hub: &crate::parts::HubConnection,
    allow_unknown: bool,
) -> Result<InferenceDesk, Problem> {
    let unknown_price = UnknownPrice::at(hub.embedded, allow_unknown);
    Ok(state.desk(hub)?.with_unknown_price(unknown_price))
}

impl GenerateRequest {
    fn chat(&self) -> Result<ChatRequest, Problem> {
        if self.prompt.trim().is_empty() {
            return Err(Problem::new(Code::Invalid, "the prompt is empty"));
        }
        let max_tokens = self.max_tokens.unwrap_or(512);
        if !(1..=131_072).contains(&max_tokens) {
            return Err(Problem::new(Code::Invalid, "max_tokens is 1 to 131072"));
        }
        if self.temperature.is_some_and(|it| !(0.0..=2.0).contains(&it)) {
            return Err(Problem::new(Code::Invalid, "temperature is 0 to 2"));
        }
        let system = self.system.clone().map(Message::system);
        let messages = system.into_iter().chain([Message::user(&self.prompt)]);
        let mut request = ChatRequest::new(model(&self.model)?, messages);
        request.options.max_tokens = Some(max_tokens);
        request.options.temperature = self.temperature;
        request.options.seed = self.seed;
        request.purpose = Some(purpose(self.purpose.as_ref())?);
        Ok(request)
    }
}

fn purpose(said: Option<&String>) -> Result<String, Problem> {
    match said {
        None => Ok("api".to_owned()),
        Some(text) if (1..=100).contains(&text.chars().count()) && !text.contains(char::is_control) => {
            Ok(text.clone())
        }
        Some(_) => Err(Problem::new(
            Code::Invalid,
            "a purpose is 1 to 100 characters, none of them a control character",
        )),
    }
}

/// Lets a model answer, its worst case set aside in the ledger first.
#[utoipa::path(post, path = "/api/hf/inference/generate", tag = "hugging face", request_body = GenerateRequest,
    responses((status = 200, content((Generated = "application/json"), (String = "text/event-stream"))),
        Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn generate(
    State(state): State<AppState>,
    Json(request): Json<GenerateRequest>,
) -> Result<Response, Problem> {
    let chat = request.chat()?;
    let hub = state.hub().await?;
    let desk = desk(&state, &hub, request.allow_unknown_price)?;
    if request.stream {
        let pieces = desk.chat_stream(&chat).await?;
        let events = Sse::new(events(pieces)).keep_alive(KeepAlive::default());
        return Ok(events.into_response());
    }
    let answer = desk.chat(&chat).await?;
    let first = answer.reply.choices.first();
    Ok(axum::Json(Generated {
        text: answer.reply.text(),
        finish_reason: first.and_then(|choice| choice.finish_reason.clone()),
        told: Told::from(&answer.report),
    })
    .into_response())
}

fn event(name: &str, value: &impl Serialize) -> Event {
    let text = serde_json::to_string(value).unwrap_or_default();
    Event::default().event(name).data(text)
}

/// The pieces of an answer; dropped when the caller hangs up, which ends the call.
fn events(pieces: PaidStream) -> impl Stream<Item = Result<Event, Infallible>> {
    stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        loop {
            match pieces.next().await {
                Some(Ok(chunk)) if chunk.body.text().is_empty() => {}
                Some(Ok(chunk)) => {
                    let piece = event("piece", &serde_json::json!({"text": chunk.body.text()}));
                    return Some((Ok(piece), Some(pieces)));
                }
                Some(Err(error)) => {
                    let problem = Problem::from(error);
                    let value = serde_json::json!({
                        "code": problem.code(), "detail": hf_core::scrub_secrets(problem.detail()),
                    });
                    return Some((Ok(event("error", &value)), None));
                }
                None => {
                    let told = pieces.report().map(Told::from);
                    return Some((Ok(event("done", &told)), None));
                }
            }
        }
    })
}

/// Texts to turn into vectors.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EmbedRequest {
    /// The model.
    #[schema(example = "BAAI/bge-large-en-v1.5")]
    model: String,
    /// The texts.
    #[schema(min_items = 1, max_items = 1024)]
    texts: Vec<String>,
    /// Scale each vector to length 1.
    #[serde(default)]
    normalize: bool,
    /// Make the call even if nobody names its price, as no provider does for embeddings; caps then cannot count it.
    #[serde(default)]
    allow_unknown_price: bool,
}

/// Vectors.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Embedded {
    /// One for each text, in their order.
    vectors: Vec<Vec<f32>>,
    #[serde(flatten)]
    told: Told,
}

/// Turns texts into vectors.
#[utoipa::path(post, path = "/api/hf/inference/embed", tag = "hugging face", request_body = EmbedRequest,
    responses((status = 200, body = Embedded), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn embed(
    State(state): State<AppState>,
    Json(request): Json<EmbedRequest>,
) -> Result<axum::Json<Embedded>, Problem> {
    if !(1..=MOST_TEXTS).contains(&request.texts.len()) {
        return Err(Problem::new(
            Code::Invalid,
            format!("texts are 1 to {MOST_TEXTS}"),
        ));
    }
    let model = model(&request.model)?;
    let hub = state.hub().await?;
    let options = EmbedOptions {
        normalize: request.normalize,
        purpose: Some("api".to_owned()),
        ..EmbedOptions::default()
    };
    let desk = desk(&state, &hub, request.allow_unknown_price)?;
    let answer = desk.embed(&model, &request.texts, &options).await?;
    Ok(axum::Json(Embedded {
        told: Told::from(&answer.report),
        vectors: answer.vectors,
    }))
}

/// A text to classify.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClassifyRequest {
    /// The model.
    model: String,
    /// The text.
    #[schema(min_length = 1)]
    text: String,
    /// Labels at most.
    #[schema(minimum = 1, maximum = 1000)]
    top_k: Option<u32>,
    /// Make the call even if nobody names its price, as no provider does for classification.
    #[serde(default)]
    allow_unknown_price: bool,
}

/// A label.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LabelView {
    /// The label, in the model's word.
    label: String,
    /// 0 to 1.
    score: f64,
}

/// Labels.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Classified {
    /// The surest first.
    labels: Vec<LabelView>,
    #[serde(flatten)]
    told: Told,
}

/// Says which labels fit a text.
#[utoipa::path(post, path = "/api/hf/inference/classify", tag = "hugging face", request_body = ClassifyRequest,
    responses((status = 200, body = Classified), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn classify(
    State(state): State<AppState>,
    Json(request): Json<ClassifyRequest>,
) -> Result<axum::Json<Classified>, Problem> {
    if request.text.trim().is_empty() {
        return Err(Problem::new(Code::Invalid, "the text is empty"));
    }
    if request.top_k.is_some_and(|count| !(1..=1000).contains(&count)) {
        return Err(Problem::new(Code::Invalid, "top_k is 1 to 1000"));
    }
    let model = model(&request.model)?;
    let hub = state.hub().await?;
    let desk = desk(&state, &hub, request.allow_unknown_price)?;
    let answer = desk.classify(&model, &request.text, request.top_k).await?;
    let labels = answer
        .labels
        .into_iter()
        .map(|Label { label, score }| LabelView { label, score });
    Ok(axum::Json(Classified {
        labels: labels.collect(),
        told: Told::from(&answer.report),
    }))
}

/// What calls are added up by.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct CallUsageQuery {
    /// `model`, `provider`, `day`, `purpose` or `total`; `model` without it.
    by: Option<String>,
    /// How many sums at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// Calls, added up.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CallUsage {
    /// The model, provider, day or purpose; empty for the total.
    name: String,
    /// All calls.
    calls: u64,
    /// Those without a whole answer.
    failed: u64,
    /// Tokens of prompts.
    prompt_tokens: u64,
    /// Tokens of answers.
    completion_tokens: u64,
    /// What is known of their cost, in US dollars.
    cost_usd: f64,
    /// Calls that cost something nobody named: the cost is without them.
    unknown_cost: u64,
}

/// Calls of models, added up.
#[utoipa::path(get, path = "/api/hf/inference/usage", tag = "hugging face", params(CallUsageQuery),
    responses((status = 200, body = Vec<CallUsage>), Failures))]
pub(crate) async fn usage(
    State(state): State<AppState>,
    Query(query): Query<CallUsageQuery>,
) -> Result<axum::Json<Vec<CallUsage>>, Problem> {
    let bad = |why: &'static str| Problem::new(Code::BadRequest, why);
    let by: Result<UsageBy, _> = query.by.as_deref().unwrap_or("model").parse();
    let by = by.map_err(|_| bad("by is model, provider, day, purpose or total"))?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(bad("limit is 1 to 1000"));
    }
    let rows = state.parts.calls.list_call_usage(by, limit).await?;
    let shown = rows.into_iter().map(|row| {
        let CallSums {
            calls,
            failed,
            prompt_tokens,
            completion_tokens,
            nano_usd,
            unknown_cost,
        } = row.sums;
        CallUsage {
            name: row.bucket,
            calls,
            failed,
            prompt_tokens,
            completion_tokens,
            cost_usd: NanoUsd::new(nano_usd).to_usd(),
            unknown_cost,
        }
    });
    Ok(axum::Json(shown.collect()))
}
