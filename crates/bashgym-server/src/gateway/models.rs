//! The models there are.

use axum::extract::State;
use bashgym_core::backend::BackendRole;
use serde::Serialize;
use utoipa::ToSchema;

use super::backends::Backends;
use super::error::Failures;
use super::names::{self, AUTO, Asked, HF, STUDENT, TEACHER};
use crate::extract::Path;
use crate::problem::Problem;
use crate::state::AppState;

/// A model, as `OpenAI`'s API tells it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelCard {
    /// The name to ask for it by.
    id: String,
    /// `model`.
    object: &'static str,
    /// When this server began to offer it, in seconds since 1970.
    created: i64,
    /// Whose it is.
    owned_by: String,
}

/// Models.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelList {
    /// `list`.
    object: &'static str,
    /// The models.
    data: Vec<ModelCard>,
}

fn card(id: impl Into<String>, owned_by: &str, backends: &Backends) -> ModelCard {
    ModelCard {
        id: id.into(),
        object: "model",
        created: backends.since,
        owned_by: owned_by.to_owned(),
    }
}

fn own(backends: &Backends) -> Vec<ModelCard> {
    let mut cards = Vec::new();
    if !backends.is_empty() {
        cards.push(card(AUTO, "bashgym", backends));
    }
    if backends.plays(BackendRole::Student) {
        cards.push(card(STUDENT, "bashgym", backends));
    }
    if backends.plays(BackendRole::Teacher) {
        cards.push(card(TEACHER, "bashgym", backends));
    }
    cards
}

/// Lists the names that can be asked for. Models of Hugging Face that its catalogue lists are among them; others may work.
#[utoipa::path(get, path = "/v1/models", tag = "gateway", responses((status = 200, body = ModelList), Failures))]
pub(crate) async fn list_models(State(state): State<AppState>) -> Result<axum::Json<ModelList>, Problem> {
    let backends = state.gateway.backends(&state).await?;
    let mut data = own(&backends);
    if let Ok(desk) = backends.desk() {
        // A catalogue that can not be read leaves the names of this server.
        if let Ok(catalog) = desk.client().catalog().await {
            let models = catalog.models();
            data.extend(models.into_iter().map(|model| {
                let owner = model.id.split('/').next().unwrap_or_default();
                card(format!("{HF}{}", model.id), owner, &backends)
            }));
        }
    }
    Ok(axum::Json(ModelList { object: "list", data }))
}

/// Shows one model.
#[utoipa::path(get, path = "/v1/models/{model}", tag = "gateway",
    params(("model" = String, Path, description = "The name; slashes as they are, or as %2F")),
    responses((status = 200, body = ModelCard), Failures))]
pub(crate) async fn show_model(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<ModelCard>, Problem> {
    let asked = names::read(&name)?;
    let backends = state.gateway.backends(&state).await?;
    match asked {
        Asked::Hf(model) => {
            let client = backends.desk()?.client();
            let catalog = client.catalog().await?;
            let known = catalog.model(&model.id).is_some();
            // Models that embed are in no catalogue; the Hub says who serves them.
            let served = known
                || client
                    .providers_of(&model.id)
                    .await
                    .is_ok_and(|all| !all.is_empty());
            if !served {
                return Err(names::not_found("nobody serves this model"));
            }
            let owner = model.id.split('/').next().unwrap_or_default();
            Ok(axum::Json(card(name.clone(), owner, &backends)))
        }
        Asked::Auto | Asked::Role(_) => own(&backends)
            .into_iter()
            .find(|card| card.id == name)
            .map(axum::Json)
            .ok_or_else(|| names::not_found("this server has no model for this name")),
    }
}
