//! Secrets and variables.

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::routes::{Named, Space};
use super::setup::{Pair, check_key};
use super::store::{self, Kind};
use crate::extract::Caller;
use crate::reply::HubResult;
use crate::routes::body::JsonBody;
use crate::state::AppState;

#[derive(Deserialize)]
pub(super) struct Key {
    key: String,
}

/// `GET /api/spaces/{id}/secrets`: names only.
pub(super) async fn list_secrets(
    State(hub): State<AppState>,
    caller: Caller,
    named: Named,
) -> HubResult<Json<Map<String, Value>>> {
    let space = Space::write(&hub, &caller, named).await?;
    store::settings(&hub, space.repo.row, Kind::Secret)
        .await
        .map(Json)
}

/// `POST /api/spaces/{id}/secrets`
pub(super) async fn set_secret(
    State(hub): State<AppState>,
    caller: Caller,
    named: Named,
    JsonBody(pair): JsonBody<Pair>,
) -> HubResult<Json<Value>> {
    let space = Space::write(&hub, &caller, named).await?;
    check_key(&pair.key)?;
    // The value is kept in memory alone.
    store::set(
        &hub,
        space.repo.row,
        Kind::Secret,
        &pair.key,
        "",
        pair.description.as_deref(),
    )
    .await?;
    hub.apps.set_secret(&space.repo.oid, pair.key, Some(pair.value));
    Ok(Json(json!({})))
}

/// `DELETE /api/spaces/{id}/secrets`
pub(super) async fn delete_secret(
    State(hub): State<AppState>,
    caller: Caller,
    named: Named,
    JsonBody(wanted): JsonBody<Key>,
) -> HubResult<Json<Value>> {
    let space = Space::write(&hub, &caller, named).await?;
    store::unset(&hub, space.repo.row, Kind::Secret, &wanted.key).await?;
    hub.apps.set_secret(&space.repo.oid, wanted.key, None);
    Ok(Json(json!({})))
}

/// `GET /api/spaces/{id}/variables`
pub(super) async fn list_variables(
    State(hub): State<AppState>,
    caller: Caller,
    named: Named,
) -> HubResult<Json<Map<String, Value>>> {
    let space = Space::read(&hub, &caller, named).await?;
    store::settings(&hub, space.repo.row, Kind::Variable)
        .await
        .map(Json)
}

/// `POST /api/spaces/{id}/variables`
pub(super) async fn set_variable(
    State(hub): State<AppState>,
    caller: Caller,
    named: Named,
    JsonBody(pair): JsonBody<Pair>,
) -> HubResult<Json<Map<String, Value>>> {
    let space = Space::write(&hub, &caller, named).await?;
    check_key(&pair.key)?;
    let description = pair.description.as_deref();
    store::set(
        &hub,
        space.repo.row,
        Kind::Variable,
        &pair.key,
        &pair.value,
        description,
    )
    .await?;
    store::settings(&hub, space.repo.row, Kind::Variable)
        .await
        .map(Json)
}

/// `DELETE /api/spaces/{id}/variables`
pub(super) async fn delete_variable(
    State(hub): State<AppState>,
    caller: Caller,
    named: Named,
    JsonBody(wanted): JsonBody<Key>,
) -> HubResult<Json<Map<String, Value>>> {
    let space = Space::write(&hub, &caller, named).await?;
    store::unset(&hub, space.repo.row, Kind::Variable, &wanted.key).await?;
    store::settings(&hub, space.repo.row, Kind::Variable)
        .await
        .map(Json)
}
