//! Chats.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bashgym_core::inference::InferenceFailure;
use bashgym_core::router::{RouteFailure, Routed};
use hf_inference::{CallReport, Provider};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use super::error::Failures;
use super::request::Chat;
use super::{names, stream};
use crate::problem::{Code, Problem};
use crate::state::AppState;

/// The number of the decision, for `bashgym route explain`.
const DECISION: HeaderName = HeaderName::from_static("x-bashgym-decision");

/// A chat, as `OpenAI`'s API has it. What has no name here is sent on as it is.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "describes the request; never made")]
pub(crate) struct ChatCompletionRequest {
    /// `bashgym/auto`, `bashgym/student`, `teacher`, or `hf/` and a model.
    #[schema(example = "bashgym/auto")]
    model: String,
    /// The conversation.
    #[schema(min_items = 1)]
    messages: Vec<Map<String, Value>>,
    /// Answer piece by piece, as server-sent events that end with `[DONE]`.
    stream: Option<bool>,
    /// `include_usage` has the last piece tell the tokens.
    stream_options: Option<Map<String, Value>>,
    /// Tokens of the answer at most.
    #[schema(minimum = 1)]
    max_tokens: Option<u32>,
    /// Functions the model may call.
    tools: Option<Vec<Map<String, Value>>>,
}

/// What is told of a call, in headers.
pub(super) struct Told<'a> {
    pub(super) decision: Option<String>,
    pub(super) role: &'a str,
    pub(super) model: &'a str,
    /// Known only once the call is over.
    pub(super) report: Option<&'a CallReport>,
}

impl<'a> Told<'a> {
    fn of<T>(routed: &'a Routed<T>, report: Option<&'a CallReport>) -> Self {
        Self {
            decision: Some(routed.decision.to_string()),
            role: routed.role.as_str(),
            model: &routed.model,
            report,
        }
    }

    pub(super) fn of_call(role: &'a str, report: &'a CallReport) -> Self {
        Self {
            decision: None,
            role,
            model: &report.model,
            report: Some(report),
        }
    }
}

/// Writes what is told of a call.
pub(super) fn tell(headers: &mut HeaderMap, told: &Told<'_>) {
    if let Some(decision) = told
        .decision
        .as_ref()
        .and_then(|id| HeaderValue::from_str(id).ok())
    {
        headers.insert(DECISION, decision);
    }
    let mut put = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(HeaderName::from_static(name), value);
        }
    };
    put("x-bashgym-served-by", told.role);
    put("x-bashgym-model", told.model);
    let Some(report) = told.report else {
        return;
    };
    if let Some(provider) = report.provider.as_ref().map(Provider::as_str) {
        put("x-bashgym-provider", provider);
    }
    put("x-bashgym-attempts", &report.attempts.len().to_string());
    put("x-bashgym-cost-source", report.cost.source());
    // No header for a cost that is not known: unknown is not zero.
    if let Some(amount) = report.cost.amount() {
        put("x-bashgym-cost-usd", &format!("{:.9}", amount.to_usd()));
    }
}

/// A call that failed; a model that nobody serves is one that was not found.
pub(super) fn failed(error: InferenceFailure) -> Problem {
    let problem = Problem::from(error);
    if problem.code() == Code::NotFound {
        return problem.with_code(Code::ModelNotFound);
    }
    problem
}

/// Lets a model answer a conversation, its worst case set aside in the budget first. The answer's headers say who served it,
/// what it cost, and the number of the decision.
#[utoipa::path(post, path = "/v1/chat/completions", tag = "gateway", request_body = ChatCompletionRequest,
    responses((status = 200, content((Value = "application/json"), (String = "text/event-stream"))), Failures))]
pub(crate) async fn create_chat_completion(
    State(state): State<AppState>,
    chat: Chat,
) -> Result<Response, Problem> {
    let backends = state.gateway.backends(&state).await?;
    let (router, wish) = backends.route(&chat.asked)?;
    if !chat.stream {
        return Ok(match router.chat(&chat.request, wish).await {
            Ok(routed) => {
                let mut response = axum::Json(&routed.answer.reply).into_response();
                tell(
                    response.headers_mut(),
                    &Told::of(&routed, Some(&routed.answer.report)),
                );
                response
            }
            Err(failure) => not_routed(failure),
        });
    }
    Ok(match router.chat_stream(&chat.request, wish).await {
        Ok(routed) => {
            let mut headers = HeaderMap::new();
            tell(&mut headers, &Told::of(&routed, None));
            let mut response = stream::respond(routed.answer, chat.include_usage);
            response.headers_mut().extend(headers);
            response
        }
        Err(failure) => not_routed(failure),
    })
}

/// Nobody answered; the decision is told all the same.
fn not_routed(failure: RouteFailure) -> Response {
    let decision = failure.decision();
    let problem = match failure {
        RouteFailure::Nobody { wanted } => names::not_found(&wanted)
            .hint("start the server with `bashgym serve --teacher MODEL` or `--student MODEL`, or ask for hf/ and a model"),
        RouteFailure::Failed { error, .. } => failed(error),
        RouteFailure::TooLate { .. } => Problem::new(Code::TimedOut, failure.to_string()),
        _ => Problem::new(Code::Internal, failure.to_string()),
    };
    let mut response = problem.into_response();
    if let Some(decision) = decision.and_then(|id| HeaderValue::from_str(&id.to_string()).ok()) {
        response.headers_mut().insert(DECISION, decision);
    }
    response
}
