//! Reviewing what the secret gate finds in a dataset that was built here.

use axum::extract::State;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::built::folder_of;
use crate::audit::Did;
use crate::extract::{Json, Path};
use crate::parts::FindingView;
use crate::problem::{Code, Failures, Missing, Problem, Refusals};
use crate::state::AppState;

/// What was found.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Review {
    /// Each value once. None means that the dataset passes the gate.
    findings: Vec<FindingView>,
}

async fn findings(state: &AppState, name: &str) -> Result<Vec<FindingView>, Problem> {
    let dir = folder_of(&state.parts, name)?;
    let composition = state.parts.composition.clone();
    tokio::task::spawn_blocking(move || composition.findings(&dir))
        .await
        .map_err(|_| Problem::new(Code::Internal, "the scan broke off"))?
}

/// What the secret gate finds in a dataset that was built here, masked.
#[utoipa::path(get, path = "/api/datasets/{name}/findings", tag = "data",
    params(("name" = String, Path, description = "The dataset's name here")),
    responses((status = 200, body = Review), Failures, Missing))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<Review>, Problem> {
    let findings = findings(&state, &name).await?;
    Ok(axum::Json(Review { findings }))
}

/// A decision.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Decision {
    /// Whether it is let through from now on; otherwise it never is.
    allow: bool,
}

/// Decides about a finding. It holds for this value everywhere, on the command line too.
#[utoipa::path(put, path = "/api/datasets/{name}/findings/{id}", tag = "data", request_body = Decision,
    params(("name" = String, Path, description = "The dataset's name here"),
        ("id" = String, Path, description = "The finding's id")),
    responses((status = 204, description = "It is decided"), Failures, Missing, Refusals))]
pub(crate) async fn decide(
    State(state): State<AppState>,
    Path((name, id)): Path<(String, String)>,
    Json(decision): Json<Decision>,
) -> Result<StatusCode, Problem> {
    let found = findings(&state, &name).await?;
    let finding = found.iter().find(|finding| finding.id == id);
    let finding = finding.ok_or_else(|| Problem::new(Code::NotFound, "no finding here has this id"))?;
    state.parts.composition.decide(finding, decision.allow)?;
    state
        .audit(
            Did::Changed,
            "finding_decided",
            format!(
                "{} {id}: {}",
                finding.kind,
                if decision.allow { "let through" } else { "never" }
            ),
        )
        .await;
    Ok(StatusCode::NO_CONTENT)
}
