//! Settings and the token. The token goes in; it never comes out.

use axum::extract::State;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::Json;
use crate::parts::{SettingView, TokenView};
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::state::AppState;

/// Every setting, and where its value came from.
#[utoipa::path(get, path = "/api/settings", tag = "settings",
    responses((status = 200, body = Vec<SettingView>), Failures))]
pub(crate) async fn show(State(state): State<AppState>) -> Result<axum::Json<Vec<SettingView>>, Problem> {
    Ok(axum::Json(state.parts.composition.settings()?))
}

/// Whether there is a token, where it came from, and whether it can be replaced here.
#[utoipa::path(get, path = "/api/settings/token", tag = "settings",
    responses((status = 200, body = TokenView), Failures))]
pub(crate) async fn token(State(state): State<AppState>) -> Result<axum::Json<TokenView>, Problem> {
    Ok(axum::Json(state.parts.composition.token()?))
}

/// A new token.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewToken {
    /// The token.
    #[schema(min_length = 1, max_length = 4096, format = Password)]
    token: String,
}

/// Stores a token in place of the one before, once the Hub knows it. One of the environment cannot be replaced: 409.
#[utoipa::path(put, path = "/api/settings/token", tag = "settings", request_body = NewToken,
    responses((status = 200, body = Object), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn replace_token(
    State(state): State<AppState>,
    Json(new): Json<NewToken>,
) -> Result<axum::Json<Value>, Problem> {
    if new.token.trim().is_empty() || new.token.len() > 4096 {
        return Err(Problem::new(Code::Invalid, "a token is 1 to 4096 characters"));
    }
    let answer = state.parts.composition.replace_token(new.token).await?;
    tracing::info!(target: "audit", action = "token_replaced", "changed");
    Ok(axum::Json(answer))
}

/// Removes the stored token. On the Hub it stays valid.
#[utoipa::path(delete, path = "/api/settings/token", tag = "settings",
    responses((status = 204, description = "It is removed"), Failures, Missing, Refusals))]
pub(crate) async fn remove_token(State(state): State<AppState>) -> Result<StatusCode, Problem> {
    if !state.parts.composition.remove_token()? {
        return Err(Problem::new(Code::NotFound, "no token is stored"));
    }
    tracing::info!(target: "audit", action = "token_removed", "changed");
    Ok(StatusCode::NO_CONTENT)
}
