//! A second Space like a first one.

use std::collections::BTreeMap;

use axum::extract::State;
use bashgym_core::space::{SpaceTerms, check_cost, model_access, sleep_time};
use hf_core::SecretValue;
use hf_spaces::{DuplicateOptions, HfSpaceManager, SpaceHardware, check_key};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::space_tasks::{sleep_of, visibility};
use super::spaces::{books, named, spaces};
use crate::audit::Did;
use crate::extract::{Json, Path};
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::state::AppState;

/// Where a copy goes, and in what it differs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DuplicateRequest {
    /// The copy's name, with or without its namespace.
    #[schema(example = "student-demo-2")]
    to: String,
    /// `private`, `protected` or `public`; as the original without it.
    visibility: Option<String>,
    /// What it runs on; as the original without it.
    hardware: Option<String>,
    /// Seconds without a visitor until paid hardware sleeps; 0 is never, an hour without it.
    sleep_seconds: Option<u64>,
    /// Use hardware that is billed until it sleeps; its first period is set aside, within the caps.
    #[serde(default)]
    accept_cost: bool,
    /// Secrets: those of the original cannot be read, so they are not copied.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
}

/// A copy.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpaceCopy {
    /// `namespace/name`.
    space_id: String,
    /// Its page.
    url: String,
    /// Secrets of the original that the copy lacks: they have to be set again.
    missing_secrets: Vec<String>,
}

/// What a copy runs on: as asked, or as the original.
async fn hardware_of(
    spaces: &HfSpaceManager,
    from: &hf_core::RepoId,
    asked: Option<&str>,
) -> Result<SpaceHardware, Problem> {
    if let Some(word) = asked {
        return Ok(word.parse()?);
    }
    let runtime = spaces.get_space_status(from).await?;
    let hardware = runtime.hardware.requested.or(runtime.hardware.current);
    Ok(hardware
        .as_deref()
        .map(str::parse)
        .transpose()?
        .unwrap_or_else(SpaceHardware::cpu_basic))
}

/// Copies a Space with its files and variables. Secrets cannot be read, so they are not copied; the answer names them.
///
/// 402 for hardware that is billed, unless `accept_cost` is set and the caps allow its first period; 409 when there is a Space of this name. Sent once.
#[utoipa::path(post, path = "/api/hf/spaces/{name}/duplicate", tag = "spaces", request_body = DuplicateRequest,
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 201, body = SpaceCopy), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn duplicate(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Json(request): Json<DuplicateRequest>,
) -> Result<(StatusCode, axum::Json<SpaceCopy>), Problem> {
    let (hub, manager, from) = named(&state, &name).await?;
    let to = hub.repo_id(&request.to)?;
    let seen_by = match request.visibility.as_deref() {
        None => None,
        Some(word) => Some(
            visibility(word)
                .ok_or_else(|| Problem::new(Code::Invalid, "visibility is private, protected or public"))?,
        ),
    };
    for key in request.secrets.keys() {
        check_key(key)?;
    }
    let hardware = hardware_of(&manager, &from, request.hardware.as_deref()).await?;
    let asked = request.sleep_seconds.map(sleep_of);
    check_cost(&manager, &hardware, asked, request.accept_cost).await?;
    let terms = SpaceTerms {
        sleep: sleep_time(&hardware, asked),
        hardware,
        allow_unknown_price: request.accept_cost,
    };
    let secrets: BTreeMap<String, SecretValue> = request
        .secrets
        .into_iter()
        .map(|(key, value)| (key, SecretValue::from(value)))
        .collect();
    model_access(&hub.client, secrets.get("HF_TOKEN").cloned()).await?;
    let values: Vec<&str> = secrets.values().map(SecretValue::expose).collect();
    state.parts.composition.remember_secrets(&values)?;
    let wanted = manager.list_secrets(&from).await?;
    let missing_secrets = wanted
        .into_keys()
        .filter(|key| !secrets.contains_key(key))
        .collect();
    let variables = manager.list_variables(&from).await?;
    let options = DuplicateOptions {
        visibility: seen_by,
        sleep_time: terms.sleep,
        hardware: Some(terms.hardware.clone()),
        secrets,
        variables: variables
            .into_iter()
            .map(|(key, variable)| (key, variable.value))
            .collect(),
    };
    books(&state, &manager)
        .duplicate(&from, &to, &terms, &options)
        .await?;
    state
        .audit(Did::Changed, "space_duplicated", format!("{from} to {to}"))
        .await;
    state.spaces.changed(&to);
    Ok((
        StatusCode::CREATED,
        axum::Json(SpaceCopy {
            url: spaces(&hub).page_url(&to),
            space_id: to.to_string(),
            missing_secrets,
        }),
    ))
}
