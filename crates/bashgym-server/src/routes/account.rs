//! Who is signed in, what that gives, and what the Hub says it cost.

use axum::extract::State;
use hf_core::scrub_secrets;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::problem::{Code, Failures, Problem};
use crate::state::AppState;

/// The account at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// The Hub's address, once it is known.
    #[schema(required)]
    endpoint: Option<String>,
    /// Whether requests go to the embedded Hub of this machine.
    embedded: bool,
    /// The account; its `state` is `signed_in`, `refused`, `unreachable`, `no_token` or `not_running`.
    #[schema(value_type = Object)]
    account: Value,
    /// Each feature: available, limited or not, why, and how to unlock it.
    #[schema(value_type = Vec<Object>)]
    capabilities: Value,
}

/// A value as JSON, without whatever looks like a secret: what the Hub said is repeated here.
fn json(value: &impl Serialize) -> Result<Value, Problem> {
    let mut value =
        serde_json::to_value(value).map_err(|_| Problem::new(Code::Internal, "the answer is no JSON"))?;
    scrub(&mut value);
    Ok(value)
}

fn scrub(value: &mut Value) {
    match value {
        Value::String(text) => *text = scrub_secrets(text),
        Value::Array(items) => items.iter_mut().for_each(scrub),
        Value::Object(fields) => fields.values_mut().for_each(scrub),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The account, the Hub, and what can be done with them. Never the token.
#[utoipa::path(get, path = "/api/hf/status", tag = "hugging face",
    responses((status = 200, body = Status), Failures))]
pub(crate) async fn status(State(state): State<AppState>) -> Result<axum::Json<Status>, Problem> {
    let view = state.parts.composition.account().await?;
    Ok(axum::Json(Status {
        endpoint: view.endpoint,
        embedded: view.embedded,
        account: json(&view.account)?,
        capabilities: json(&view.capabilities)?,
    }))
}

/// Each feature, whether it can be used now, why not, and how to unlock it.
#[utoipa::path(get, path = "/api/capability", tag = "hugging face",
    responses((status = 200, body = Vec<Object>), Failures))]
pub(crate) async fn capability(State(state): State<AppState>) -> Result<axum::Json<Value>, Problem> {
    let view = state.parts.composition.account().await?;
    Ok(axum::Json(json(&view.capabilities)?))
}

/// What was spent at the Hub, what the plan includes, and what is left.
#[utoipa::path(get, path = "/api/wallet", tag = "money", responses((status = 200, body = Object), Failures))]
pub(crate) async fn wallet(State(state): State<AppState>) -> Result<axum::Json<Value>, Problem> {
    let wallet = state.parts.composition.wallet().await?;
    Ok(axum::Json(json(&wallet)?))
}
