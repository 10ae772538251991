//! What a Space is set to: secrets, variables, hardware, sleep, Dev Mode; and pause and restart.

use axum::extract::State;
use bashgym_core::space::{SpaceTerms, check_cost, check_variables};
use hf_core::{RepoId, SecretValue};
use hf_spaces::{HfSpaceManager, SpaceHardware, SpaceRuntime};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::space_tasks::sleep_of;
use super::spaces::{books, named, spaces};
use crate::audit::Did;
use crate::extract::{Json, Path};
use crate::problem::{Failures, HubFailures, Missing, Problem, Refusals};
use crate::state::AppState;

/// How a Space stands after a change.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpaceState {
    /// `namespace/name`.
    space_id: String,
    /// Where it is in its life, in the Hub's word.
    stage: String,
    /// What it runs on.
    #[schema(required)]
    hardware: Option<String>,
    /// What it is to run on.
    #[schema(required)]
    hardware_requested: Option<String>,
    /// Seconds without a visitor until it sleeps.
    #[schema(required)]
    sleep_seconds: Option<u64>,
    /// Whether Dev Mode is on.
    dev_mode: bool,
}

/// Takes in what the Hub answered to a change, and looks on until the Space has settled.
async fn changed(state: &AppState, id: &RepoId, runtime: SpaceRuntime) -> axum::Json<SpaceState> {
    state.spaces.see(state.parts.events.as_ref(), id, &runtime).await;
    state.spaces.watch(id);
    axum::Json(SpaceState {
        space_id: id.to_string(),
        stage: runtime.stage.to_string(),
        hardware: runtime.hardware.current,
        hardware_requested: runtime.hardware.requested,
        sleep_seconds: runtime.sleep_time_s,
        dev_mode: runtime.dev_mode,
    })
}

/// Notes how a Space stands before it is changed, so that the change is news.
async fn before(state: &AppState, spaces: &HfSpaceManager, id: &RepoId) -> Result<(), Problem> {
    let runtime = spaces.get_space_status(id).await?;
    state.spaces.see(state.parts.events.as_ref(), id, &runtime).await;
    Ok(())
}

/// Hardware of Spaces.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpaceHardwareView {
    /// The name, as a Space asks for it.
    name: String,
    /// The name people read.
    #[schema(required)]
    title: Option<String>,
    /// Its processors.
    #[schema(required)]
    cpu: Option<String>,
    /// Its memory.
    #[schema(required)]
    ram: Option<String>,
    /// The price of a minute in millionths of a US dollar; null is unknown, not free.
    #[schema(required)]
    micro_usd_per_minute: Option<u64>,
}

/// What Spaces can run on, with prices.
#[utoipa::path(get, path = "/api/hf/space-hardware", tag = "spaces",
    responses((status = 200, body = Vec<SpaceHardwareView>), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn hardware_list(
    State(state): State<AppState>,
) -> Result<axum::Json<Vec<SpaceHardwareView>>, Problem> {
    let hub = state.hub().await?;
    let flavors = spaces(&hub).hardware().await?;
    let shown = flavors.into_iter().map(|flavor| SpaceHardwareView {
        micro_usd_per_minute: flavor.micro_usd_per_minute(),
        name: flavor.name,
        title: flavor.pretty_name,
        cpu: flavor.cpu,
        ram: flavor.ram,
    });
    Ok(axum::Json(shown.collect()))
}

/// A secret of a Space, without its value, which the Hub does not give back.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SecretName {
    /// Its name.
    key: String,
    /// What its owner says of it.
    #[schema(required)]
    description: Option<String>,
    /// When it was set.
    #[schema(required)]
    updated_at: Option<String>,
}

/// The names of a Space's secrets.
#[utoipa::path(get, path = "/api/hf/spaces/{name}/secrets", tag = "spaces",
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 200, body = Vec<SecretName>), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn secrets(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<Vec<SecretName>>, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    let found = spaces.list_secrets(&id).await?;
    let shown = found.into_iter().map(|(key, secret)| SecretName {
        key,
        description: secret.description,
        updated_at: secret.updated_at,
    });
    Ok(axum::Json(shown.collect()))
}

/// A secret or a variable to set.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SettingRequest {
    /// Its name: a letter first, then letters, digits and `_`.
    #[schema(example = "MODEL_STYLE")]
    key: String,
    /// Its value.
    value: String,
    /// What it is for.
    description: Option<String>,
}

/// Sets a secret; the app restarts. The value never comes back.
#[utoipa::path(put, path = "/api/hf/spaces/{name}/secrets", tag = "spaces", request_body = SettingRequest,
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 204, description = "It is set"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn set_secret(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Json(request): Json<SettingRequest>,
) -> Result<StatusCode, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    hf_spaces::check_key(&request.key)?;
    state.parts.composition.remember_secrets(&[&request.value])?;
    before(&state, &spaces, &id).await?;
    let value = SecretValue::from(request.value);
    spaces
        .set_secret(&id, &request.key, &value, request.description.as_deref())
        .await?;
    state
        .audit(
            Did::Changed,
            "space_secret_set",
            format!("{} of {id}", request.key),
        )
        .await;
    state.spaces.watch(&id);
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a secret; the app restarts.
#[utoipa::path(delete, path = "/api/hf/spaces/{name}/secrets/{key}", tag = "spaces",
    params(("name" = String, Path, description = "The Space, with or without its namespace"),
        ("key" = String, Path, description = "The secret's name")),
    responses((status = 204, description = "It is not there any more"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn remove_secret(
    State(state): State<AppState>,
    Path((name, key)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    hf_spaces::check_key(&key)?;
    before(&state, &spaces, &id).await?;
    spaces.delete_secret(&id, &key).await?;
    state
        .audit(Did::Deleted, "space_secret_removed", format!("{key} of {id}"))
        .await;
    state.spaces.watch(&id);
    Ok(StatusCode::NO_CONTENT)
}

/// A variable of a Space, which everybody who sees the Space can read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct VariableView {
    /// Its name.
    key: String,
    /// Its value.
    value: String,
    /// What its owner says of it.
    #[schema(required)]
    description: Option<String>,
    /// When it was set.
    #[schema(required)]
    updated_at: Option<String>,
}

type Variables = std::collections::BTreeMap<String, hf_spaces::SpaceVariable>;

fn shown(found: Variables) -> axum::Json<Vec<VariableView>> {
    let views = found.into_iter().map(|(key, variable)| VariableView {
        key,
        value: variable.value,
        description: variable.description,
        updated_at: variable.updated_at,
    });
    axum::Json(views.collect())
}

/// A Space's variables.
#[utoipa::path(get, path = "/api/hf/spaces/{name}/variables", tag = "spaces",
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 200, body = Vec<VariableView>), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn variables(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<Vec<VariableView>>, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    Ok(shown(spaces.list_variables(&id).await?))
}

/// Sets a variable, which whoever sees the Space can read: one that holds something secret is refused. The app restarts.
#[utoipa::path(put, path = "/api/hf/spaces/{name}/variables", tag = "spaces", request_body = SettingRequest,
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 200, body = Vec<VariableView>), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn set_variable(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Json(request): Json<SettingRequest>,
) -> Result<axum::Json<Vec<VariableView>>, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    hf_spaces::check_key(&request.key)?;
    check_variables(
        &state.parts.composition.inspector()?,
        [(&request.key, &request.value)],
    )?;
    before(&state, &spaces, &id).await?;
    let found = spaces
        .set_variable(&id, &request.key, &request.value, request.description.as_deref())
        .await?;
    state.spaces.watch(&id);
    Ok(shown(found))
}

/// Removes a variable; the app restarts.
#[utoipa::path(delete, path = "/api/hf/spaces/{name}/variables/{key}", tag = "spaces",
    params(("name" = String, Path, description = "The Space, with or without its namespace"),
        ("key" = String, Path, description = "The variable's name")),
    responses((status = 200, body = Vec<VariableView>), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn remove_variable(
    State(state): State<AppState>,
    Path((name, key)): Path<(String, String)>,
) -> Result<axum::Json<Vec<VariableView>>, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    hf_spaces::check_key(&key)?;
    before(&state, &spaces, &id).await?;
    let found = spaces.delete_variable(&id, &key).await?;
    state.spaces.watch(&id);
    Ok(shown(found))
}

/// Other hardware for a Space.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HardwareRequest {
    /// Its name.
    #[schema(example = "cpu-basic")]
    hardware: String,
    /// Seconds without a visitor until it sleeps; 0 is never. For hardware that is billed.
    sleep_seconds: Option<u64>,
    /// Use hardware that is billed until it sleeps, at whatever price. Its first period is set aside, within the caps.
    #[serde(default)]
    accept_cost: bool,
}

/// Asks for other hardware: 402 where it is billed, unless `accept_cost` is set, and where a cap does not allow what it costs until it
/// first sleeps.
#[utoipa::path(put, path = "/api/hf/spaces/{name}/hardware", tag = "spaces", request_body = HardwareRequest,
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 200, body = SpaceState), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn hardware(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Json(request): Json<HardwareRequest>,
) -> Result<axum::Json<SpaceState>, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    let hardware: SpaceHardware = request.hardware.parse()?;
    before(&state, &spaces, &id).await?;
    let asked = request.sleep_seconds.map(sleep_of);
    check_cost(&spaces, &hardware, asked, request.accept_cost).await?;
    let terms = SpaceTerms {
        sleep: bashgym_core::space::sleep_time(&hardware, asked),
        hardware,
        allow_unknown_price: request.accept_cost,
    };
    let runtime = books(&state, &spaces)
        .change_hardware(&id, &terms, |_| {})
        .await?;
    let hardware = &terms.hardware;
    state
        .audit(Did::Spent, "space_hardware", format!("{id} on {hardware}"))
        .await;
    Ok(changed(&state, &id, runtime).await)
}

/// When a Space sleeps.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SleepRequest {
    /// Seconds without a visitor; 0 is never.
    seconds: u64,
}

/// Sets when a Space falls asleep. On billed hardware the longer period is set aside: 402 where a cap does not allow it.
#[utoipa::path(put, path = "/api/hf/spaces/{name}/sleep-time", tag = "spaces", request_body = SleepRequest,
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 200, body = SpaceState), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn sleep_time(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Json(request): Json<SleepRequest>,
) -> Result<axum::Json<SpaceState>, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    let sleep = sleep_of(request.seconds);
    let runtime = books(&state, &spaces).change_sleep(&id, sleep).await?;
    Ok(changed(&state, &id, runtime).await)
}

/// Dev Mode on or off.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DevModeRequest {
    /// Whether it is to be on.
    enabled: bool,
}

/// Dev Mode of a Space.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DevModeView {
    /// `namespace/name`.
    space_id: String,
    /// Whether it is on.
    dev_mode: bool,
    /// The host of the shell, while it is on.
    #[schema(required)]
    host: Option<String>,
    /// The user there.
    #[schema(required)]
    user: Option<String>,
    /// The command that gives a shell, while it is on.
    #[schema(required)]
    command: Option<String>,
    /// Where the SSH key that lets in is registered.
    #[schema(required)]
    keys_page: Option<String>,
}

/// Turns Dev Mode on, with the way to a shell, or off.
#[utoipa::path(post, path = "/api/hf/spaces/{name}/dev-mode", tag = "spaces", request_body = DevModeRequest,
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 200, body = DevModeView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn dev_mode(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Json(request): Json<DevModeRequest>,
) -> Result<axum::Json<DevModeView>, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    before(&state, &spaces, &id).await?;
    let shell = if request.enabled {
        Some(spaces.enable_dev_mode(&id).await?)
    } else {
        spaces.set_dev_mode(&id, false).await?;
        None
    };
    state.spaces.watch(&id);
    Ok(axum::Json(DevModeView {
        space_id: id.to_string(),
        dev_mode: request.enabled,
        host: shell.as_ref().map(|shell| shell.host.clone()),
        user: shell.as_ref().map(|shell| shell.user.clone()),
        command: shell.as_ref().map(|shell| shell.command.clone()),
        keys_page: shell.map(|shell| shell.keys_page),
    }))
}

/// Pauses a Space. Nothing is billed until it is restarted; what was set aside for it counts as spent.
#[utoipa::path(post, path = "/api/hf/spaces/{name}/pause", tag = "spaces",
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 200, body = SpaceState), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn pause(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<SpaceState>, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    before(&state, &spaces, &id).await?;
    let runtime = books(&state, &spaces).pause(&id).await?;
    Ok(changed(&state, &id, runtime).await)
}

/// How a Space is started again.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestartRequest {
    /// Build it anew, without the cache.
    #[serde(default)]
    factory: bool,
}

/// Starts a Space again. On billed hardware the period that begins is set aside: 402 where a cap does not allow it.
#[utoipa::path(post, path = "/api/hf/spaces/{name}/restart", tag = "spaces", request_body = RestartRequest,
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 200, body = SpaceState), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn restart(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Json(request): Json<RestartRequest>,
) -> Result<axum::Json<SpaceState>, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    before(&state, &spaces, &id).await?;
    let runtime = books(&state, &spaces).restart(&id, request.factory).await?;
    Ok(changed(&state, &id, runtime).await)
}
