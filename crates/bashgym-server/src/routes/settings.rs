//! Settings and the token. The token goes in; it never comes out.

use std::path::PathBuf;

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::audit::Did;
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

/// Who owns what is made, and pays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewOrg {
    /// An organisation that the account is a member of; null for the account itself.
    #[schema(required, max_length = 96)]
    name: Option<String>,
}

/// Chooses who owns what is made from now on, and pays. One of a flag or of the environment cannot be changed: 409.
#[utoipa::path(put, path = "/api/settings/default_org", operation_id = "set_default_org", tag = "settings",
    request_body = NewOrg,
    responses((status = 204, description = "It is chosen"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn set_org(
    State(state): State<AppState>,
    Json(new): Json<NewOrg>,
) -> Result<StatusCode, Problem> {
    let name = new.name.map(|name| name.trim().to_owned());
    let name = name.filter(|name| !name.is_empty());
    let of = name.clone().unwrap_or_else(|| "the account itself".to_owned());
    state.parts.composition.set_default_org(name).await?;
    state.audit(Did::Changed, "who_pays", of).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The folders that requests may name paths in.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RootsView {
    /// Those that are always allowed: the agents' own, the datasets built here, those of the command line.
    fixed: Vec<String>,
    /// Those that were added here.
    added: Vec<String>,
}

fn roots_of(state: &AppState) -> RootsView {
    let shown = |folders: Vec<PathBuf>| folders.iter().map(|one| one.display().to_string()).collect();
    RootsView {
        fixed: shown(state.parts.roots.fixed()),
        added: shown(state.parts.roots.added()),
    }
}

/// The folders that requests may name paths in.
#[utoipa::path(get, path = "/api/settings/roots", operation_id = "list_roots", tag = "settings",
    responses((status = 200, body = RootsView), Failures))]
pub(crate) async fn roots(State(state): State<AppState>) -> axum::Json<RootsView> {
    axum::Json(roots_of(&state))
}

/// Folders to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRoots {
    /// All of them; one that is left out is taken back.
    #[schema(max_items = 50)]
    folders: Vec<String>,
}

/// Chooses the folders that requests may name paths in, beside those that are always allowed. At once, and after a restart.
#[utoipa::path(put, path = "/api/settings/roots", operation_id = "set_roots", tag = "settings", request_body = NewRoots,
    responses((status = 200, body = RootsView), Failures, Missing, Refusals))]
pub(crate) async fn set_roots(
    State(state): State<AppState>,
    Json(new): Json<NewRoots>,
) -> Result<axum::Json<RootsView>, Problem> {
    if new.folders.len() > 50 {
        return Err(Problem::new(Code::Invalid, "at most 50 folders are added"));
    }
    let checked = |text: &String| {
        let folder = PathBuf::from(text.trim());
        let why = if text.contains('\0') || !folder.is_absolute() {
            "is no absolute path"
        } else if folder.parent().is_none() {
            "is everything there is; name a folder below it"
        } else if !folder.is_dir() {
            "is no folder on this machine"
        } else {
            return Ok(folder);
        };
        Err(Problem::new(Code::Invalid, format!("{} {why}", text.trim())))
    };
    let folders = new.folders.iter().map(checked).collect::<Result<Vec<_>, _>>()?;
    state.parts.composition.set_roots(&folders)?;
    state.parts.roots.set_added(folders);
    state
        .audit(Did::Changed, "folders_allowed", new.folders.join(", "))
        .await;
    Ok(axum::Json(roots_of(&state)))
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
    state
        .audit(Did::Changed, "token_replaced", "the Hugging Face token")
        .await;
    Ok(axum::Json(answer))
}

/// Removes the stored token. On the Hub it stays valid.
#[utoipa::path(delete, path = "/api/settings/token", tag = "settings",
    responses((status = 204, description = "It is removed"), Failures, Missing, Refusals))]
pub(crate) async fn remove_token(State(state): State<AppState>) -> Result<StatusCode, Problem> {
    if !state.parts.composition.remove_token()? {
        return Err(Problem::new(Code::NotFound, "no token is stored"));
    }
    state
        .audit(Did::Deleted, "token_removed", "the Hugging Face token")
        .await;
    Ok(StatusCode::NO_CONTENT)
}
