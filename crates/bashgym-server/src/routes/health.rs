//! Whether the server is well, and what it counts.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header;
use serde::Serialize;
use utoipa::ToSchema;

use crate::problem::{Code, Failures, Problem};
use crate::router;
use crate::security::Caller;
use crate::state::AppState;

/// How the server is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Health {
    /// `ok`, or `degraded` when a part is not well; the rest works all the same.
    #[schema(example = "ok")]
    status: &'static str,
    /// Each part; told only to those with the key.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    parts: Vec<PartHealth>,
}

/// How a part is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PartHealth {
    /// `store` or `hub`.
    name: &'static str,
    /// `ok` or `degraded`.
    status: &'static str,
    /// Why it is degraded.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

impl PartHealth {
    fn ok(name: &'static str) -> Self {
        Self {
            name,
            status: "ok",
            why: None,
            next: None,
        }
    }

    fn degraded(name: &'static str, why: &str, next: &str) -> Self {
        Self {
            name,
            status: "degraded",
            why: Some(hf_core::scrub_secrets(why)),
            next: Some(next.to_owned()),
        }
    }
}

async fn store(state: &AppState) -> PartHealth {
    let next = "look at the server's log, and at the disk's free space";
    match state.parts.store.list_runs(None, 1).await {
        Ok(_) => PartHealth::ok("store"),
        Err(error) => PartHealth::degraded("store", &error.to_string(), next),
    }
}

async fn hub(state: &AppState) -> PartHealth {
    let account = match state.parts.composition.account().await {
        Ok(view) => view.account,
        Err(problem) => {
            return PartHealth::degraded("hub", problem.detail(), "look at the settings: GET /api/settings");
        }
    };
    let why = account["why"].as_str().unwrap_or("the Hub does not answer");
    let later = "what was started goes on; try again later";
    match account["state"].as_str() {
        Some("unreachable") => PartHealth::degraded("hub", why, later),
        Some("refused") => PartHealth::degraded("hub", why, "store another token: PUT /api/settings/token"),
        Some("signed_in") if account["stale"] == true => PartHealth::degraded("hub", why, later),
        _ => PartHealth::ok("hub"),
    }
}

/// How the server is: what is degraded, and why.
///
/// Anybody may ask; the parts are told to those with the key.
#[utoipa::path(get, path = "/api/health", tag = "server", security(()),
    responses((status = 200, body = Health), Failures))]
pub(crate) async fn health(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
) -> axum::Json<Health> {
    let store = store(&state).await;
    if !caller.is_known() {
        return axum::Json(Health {
            status: store.status,
            parts: Vec::new(),
        });
    }
    let parts = vec![store, hub(&state).await];
    let degraded = parts.iter().any(|part| part.status != "ok");
    axum::Json(Health {
        status: if degraded { "degraded" } else { "ok" },
        parts,
    })
}

/// Whether the server takes requests: 503 while it ends, or while its store fails.
#[utoipa::path(get, path = "/api/ready", tag = "server", security(()),
    responses((status = 204, description = "It does"), Failures))]
pub(crate) async fn ready(State(state): State<AppState>) -> Result<http::StatusCode, Problem> {
    if state.ending.is_cancelled() {
        return Err(Problem::new(Code::Ending, "the server is ending"));
    }
    state.parts.store.list_runs(None, 1).await?;
    Ok(http::StatusCode::NO_CONTENT)
}

/// What this program is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Version {
    /// `bashgym`.
    name: &'static str,
    /// Its version.
    version: &'static str,
}

/// Which version this is.
#[utoipa::path(get, path = "/api/version", tag = "server", responses((status = 200, body = Version), Failures))]
pub(crate) async fn version(State(state): State<AppState>) -> axum::Json<Version> {
    axum::Json(Version {
        name: "bashgym",
        version: state.parts.version,
    })
}

/// What the server counts about itself, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "server",
    responses((status = 200, body = String, content_type = "application/openmetrics-text"), Failures))]
pub(crate) async fn metrics(State(state): State<AppState>) -> Result<Response, Problem> {
    let text = state.meter.text();
    let text = text.map_err(|_| Problem::new(Code::Internal, "the counters cannot be written"))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

/// This description, as OpenAPI 3.1.
#[utoipa::path(get, path = "/api/openapi.json", tag = "server", responses((status = 200, body = Object), Failures))]
pub(crate) async fn description() -> axum::Json<&'static utoipa::openapi::OpenApi> {
    axum::Json(router::description())
}
