//! Spaces: list, make, show, delete, and give them another model.

use std::collections::BTreeMap;

use axum::extract::State;
use bashgym_core::space::{
    SpaceBillError, SpaceBooks, SpaceRefusal, check_cost, check_variables, look, model_access,
};
use bashgym_core::task::NewTask;
use futures::{StreamExt, TryStreamExt};
use hf_core::{HfError, RepoId, Revision, SecretValue};
use hf_spaces::{AppLimits, HfSpaceManager, SpaceApp, SpaceConfig, SpaceInfo, check_key};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::space_tasks::{Change, DEPLOY, DeployInput, NewSpace, sleep_of, visibility};
use super::tasks::TaskView;
use crate::audit::Did;
use crate::extract::{Json, Path, Query};
use crate::page::{Page, PageQuery};
use crate::parts::HubConnection;
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::replay::key_of;
use crate::state::AppState;

/// The longest that is waited for an app to run.
const LONGEST_WAIT: u64 = 24 * 3600;

impl From<SpaceBillError> for Problem {
    fn from(error: SpaceBillError) -> Self {
        match error {
            SpaceBillError::Ledger(error) => error.into(),
            SpaceBillError::Hub(error) => error.into(),
            SpaceBillError::Deploy(error) => error.into(),
            other => Self::new(Code::Internal, other.to_string()),
        }
    }
}

/// Where what Spaces cost is written down.
pub(super) fn books(state: &AppState, spaces: &HfSpaceManager) -> SpaceBooks {
    SpaceBooks::new(&state.parts.ledger, spaces)
}

impl From<SpaceRefusal> for Problem {
    fn from(refusal: SpaceRefusal) -> Self {
        match refusal {
            SpaceRefusal::Billed { .. } => Self::new(Code::QuotaExceeded, refusal.to_string())
                .hint("send `accept_cost: true`, and `sleep_seconds` to choose when it sleeps")
                .hint("zero-gpu and cpu-basic are not billed"),
            SpaceRefusal::OwnToken => Self::new(Code::Invalid, refusal.to_string()).hint(
                "make one that only reads it: https://huggingface.co/settings/tokens/new?tokenType=fineGrained",
            ),
            SpaceRefusal::SecretVariable { .. } => Self::new(Code::Forbidden, refusal.to_string())
                .hint("set it as a secret, which nobody can read"),
            SpaceRefusal::Hub(error) => error.into(),
            _ => Self::new(Code::Internal, refusal.to_string()),
        }
    }
}

/// The Spaces of a connection.
pub(super) fn spaces(hub: &HubConnection) -> HfSpaceManager {
    HfSpaceManager::new(&hub.client, hub.namespace.clone())
}

/// The Hub's Spaces and the id of the one that is named.
pub(super) async fn named(
    state: &AppState,
    name: &str,
) -> Result<(HubConnection, HfSpaceManager, RepoId), Problem> {
    let hub = state.hub().await?;
    let id = hub.repo_id(name)?;
    let spaces = spaces(&hub);
    Ok((hub, spaces, id))
}

/// A Space in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpaceItem {
    /// `namespace/name`.
    space_id: String,
    /// Where it is in its life, in the Hub's word.
    #[schema(required)]
    stage: Option<String>,
    /// What it runs on, or is to run on.
    #[schema(required)]
    hardware: Option<String>,
    /// `gradio`, `docker` or `static`.
    #[schema(required)]
    sdk: Option<String>,
    /// Whether only its owner sees it.
    #[schema(required)]
    private: Option<bool>,
    /// When it last changed.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    last_modified: Option<Timestamp>,
}

impl From<SpaceInfo> for SpaceItem {
    fn from(space: SpaceInfo) -> Self {
        let runtime = space.runtime.as_ref();
        let hardware = runtime.map(|runtime| &runtime.hardware);
        Self {
            stage: runtime.map(|runtime| runtime.stage.to_string()),
            hardware: hardware.and_then(|it| it.current.clone().or_else(|| it.requested.clone())),
            space_id: space.id,
            sdk: space.sdk,
            private: space.private,
            last_modified: space.last_modified,
        }
    }
}

/// The Spaces of the namespace.
#[utoipa::path(get, path = "/api/hf/spaces", tag = "spaces", params(PageQuery),
    responses((status = 200, body = Page<SpaceItem>), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<SpaceItem>>, Problem> {
    let limit = page.limit()?;
    let hub = state.hub().await?;
    let after = page.after;
    let mut passed = after.is_none();
    let found: Vec<SpaceInfo> = spaces(&hub)
        .list_spaces()
        .try_filter(move |space| {
            let wanted = passed;
            passed |= Some(&space.id) == after.as_ref();
            std::future::ready(wanted)
        })
        .take(limit as usize + 1)
        .try_collect()
        .await?;
    for space in &found {
        if let (Some(runtime), Ok(id)) = (&space.runtime, space.id.parse()) {
            state.spaces.see(state.parts.events.as_ref(), &id, runtime).await;
        }
    }
    let views = found.into_iter().map(SpaceItem::from).collect();
    Ok(axum::Json(Page::cut(views, limit, |space: &SpaceItem| {
        space.space_id.clone()
    })))
}

/// How a Space stands and what it serves.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SpaceStatus {
    /// `namespace/name`.
    space_id: String,
    /// Its page.
    url: String,
    /// Where the app is reached.
    #[schema(required)]
    app_url: Option<String>,
    /// What answers in it: `gradio` or `bashgym`; none for a Space of another making.
    #[schema(required)]
    app: Option<String>,
    /// Where it is in its life, in the Hub's word.
    stage: String,
    /// Whether some version of the app answers now.
    is_serving: bool,
    /// Whether it changes by itself before long.
    is_changing: bool,
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
    /// The commit that runs.
    #[schema(required)]
    commit: Option<String>,
    /// Why it failed, in the Hub's words.
    #[schema(required)]
    error: Option<String>,
    /// What a Hub that only simulates it says of that.
    #[schema(required)]
    simulated: Option<String>,
    /// The model it serves; null for a Space of another making.
    #[schema(required)]
    model_repo: Option<String>,
    /// The model's commit.
    #[schema(required)]
    model_revision: Option<String>,
    /// What it served before: `repo_id`, `revision`.
    #[schema(value_type = Option<Object>, required)]
    previous: Option<Value>,
    /// What is left of the ZeroGPU quota, for a Space on it.
    #[schema(value_type = Option<Object>, required)]
    zero_gpu: Option<Value>,
}

/// One Space.
#[utoipa::path(get, path = "/api/hf/spaces/{name}", tag = "spaces",
    params(("name" = String, Path, description = "The Space, with or without its namespace")),
    responses((status = 200, body = SpaceStatus), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<SpaceStatus>, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    let seen = look(&spaces, &id).await?;
    if seen.stage.is_changing() {
        state.spaces.watch(&id);
    }
    Ok(axum::Json(SpaceStatus {
        is_serving: seen.stage.is_serving(),
        is_changing: seen.stage.is_changing(),
        stage: seen.stage.to_string(),
        previous: seen.previous.map(|model| json!(model)),
        zero_gpu: seen.zero_gpu.map(|quota| json!(quota)),
        space_id: seen.space_id,
        url: seen.url,
        app_url: seen.app_url,
        app: seen.app.map(|app| app.to_string()),
        hardware: seen.hardware,
        hardware_requested: seen.hardware_requested,
        sleep_seconds: seen.sleep_time_s,
        dev_mode: seen.dev_mode,
        commit: seen.commit,
        error: seen.error,
        simulated: seen.simulated,
        model_repo: seen.model_repo,
        model_revision: seen.model_revision,
    }))
}

/// A Space to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SpaceRequest {
    /// The model repository, with or without its namespace.
    model: String,
    /// The Space's name, with or without its namespace.
    #[schema(example = "student-demo")]
    name: String,
    /// The model's revision; the head of main without it. It is pinned.
    revision: Option<String>,
    /// What answers: `gradio` (Python, every model) or `bashgym` (the server's own program in a container, whole Llama and GGUF
    /// models on processors); `gradio` without it.
    app: Option<String>,
    /// What it runs on; `zero-gpu` without it, `cpu-basic` for `bashgym`.
    hardware: Option<String>,
    /// `private`, `protected` or `public`; `private` without it.
    visibility: Option<String>,
    /// The title of its page.
    title: Option<String>,
    /// Secrets. `HF_TOKEN` is what the app reads a private model with.
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    /// Variables, which others can read.
    #[serde(default)]
    variables: BTreeMap<String, String>,
    /// Seconds without a visitor until paid hardware sleeps; 0 is never, an hour without it.
    sleep_seconds: Option<u64>,
    /// Use hardware that is billed until it sleeps, at whatever price. Its first period is set aside, within the caps.
    #[serde(default)]
    accept_cost: bool,
    /// Turn Dev Mode on.
    #[serde(default)]
    dev_mode: bool,
    /// Let code of the model's repository run.
    #[serde(default)]
    trust_remote_code: bool,
    /// The most tokens of an answer.
    #[schema(minimum = 1)]
    max_new_tokens: Option<u32>,
    /// The longest time until the app has to run, in seconds; half an hour without it.
    #[schema(minimum = 1, maximum = 86400)]
    timeout_seconds: Option<u64>,
    /// The first question to the app, `Say hello.` without it; an empty one asks nothing.
    question: Option<String>,
}

fn timeout(seconds: Option<u64>) -> Result<u64, Problem> {
    match seconds.unwrap_or(1800) {
        seconds @ 1..=LONGEST_WAIT => Ok(seconds),
        _ => Err(Problem::new(
            Code::Invalid,
            format!("timeout_seconds is 1 to {LONGEST_WAIT}"),
        )),
    }
}

fn question(asked: Option<String>) -> Option<String> {
    Some(asked.unwrap_or_else(|| "Say hello.".to_owned())).filter(|text| !text.trim().is_empty())
}

fn revision(text: Option<&str>) -> Result<Option<Revision>, Problem> {
    Ok(text.map(str::parse::<Revision>).transpose()?)
}

impl SpaceRequest {
    /// The Space to make, and the values of its secrets, which are not stored.
    fn checked(&self, hub: &HubConnection) -> Result<(NewSpace, BTreeMap<String, SecretValue>), Problem> {
        let word = self.visibility.as_deref().unwrap_or("private");
        if visibility(word).is_none() {
            return Err(Problem::new(
                Code::Invalid,
                "visibility is private, protected or public",
            ));
        }
        for key in self.secrets.keys().chain(self.variables.keys()) {
            check_key(key)?;
        }
        if self.secrets.keys().any(|key| self.variables.contains_key(key)) {
            return Err(Problem::new(
                Code::Invalid,
                "a name is a secret or a variable, not both",
            ));
        }
        let max_new_tokens = self
            .max_new_tokens
            .unwrap_or_else(|| AppLimits::default().max_new_tokens);
        if max_new_tokens == 0 {
            return Err(Problem::new(Code::Invalid, "max_new_tokens is at least 1"));
        }
        let app: SpaceApp = self
            .app
            .as_deref()
            .map(str::parse)
            .transpose()?
            .unwrap_or_default();
        let hardware = match &self.hardware {
            Some(name) => name.parse()?,
            None => app.usual_hardware(),
        };
        let config = SpaceConfig {
            app,
            hardware,
            trust_remote_code: self.trust_remote_code,
            ..SpaceConfig::default()
        };
        config.validate()?;
        let hardware = config.hardware;
        if self.sleep_seconds.is_some() && !hardware.is_paid() {
            return Err(Problem::new(
                Code::Invalid,
                "sleep_seconds is for hardware that is billed; the Hub decides it elsewhere",
            ));
        }
        let secrets = self
            .secrets
            .iter()
            .map(|(key, value)| (key.clone(), SecretValue::from(value.clone())))
            .collect();
        let new = NewSpace {
            model: hub.repo_id(&self.model)?,
            revision: revision(self.revision.as_deref())?,
            app,
            hardware,
            visibility: word.to_owned(),
            dev_mode: self.dev_mode,
            sleep_seconds: self.sleep_seconds,
            secrets: self.secrets.keys().cloned().collect(),
            variables: self.variables.clone(),
            title: self.title.clone(),
            accept_cost: self.accept_cost,
            trust_remote_code: self.trust_remote_code,
            max_new_tokens,
        };
        Ok((new, secrets))
    }
}

type Begun = (StatusCode, axum::Json<TaskView>);

async fn submit(state: &AppState, input: &DeployInput, headers: &HeaderMap) -> Result<Begun, Problem> {
    let task = NewTask {
        kind: DEPLOY.to_owned(),
        input: json!(input),
        idempotency_key: key_of(headers)?,
    };
    let (task, _) = state.tasks.submit(task).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(task.into())))
}

/// Serves a model in a new Space, as a task: it is done when the app has answered a first question, and nothing half-made stays.
///
/// 402 for hardware that is billed, unless `accept_cost` is set; 409 when there is a Space of this name. What billed hardware costs until
/// it first sleeps is set aside before the Hub is asked; the task fails where a cap does not allow it. Secrets are not stored: a
/// server that ends before it has sent them has to be asked again.
#[utoipa::path(post, path = "/api/hf/spaces", tag = "spaces", request_body = SpaceRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same task")),
    responses((status = 202, body = TaskView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn create(
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(request): Json<SpaceRequest>,
) -> Result<Begun, Problem> {
    let hub = state.hub().await?;
    let (new, secrets) = request.checked(&hub)?;
    let timeout_seconds = timeout(request.timeout_seconds)?;
    let id = hub.repo_id(&request.name)?;
    let spaces = spaces(&hub);
    check_cost(
        &spaces,
        &new.hardware,
        new.sleep_seconds.map(sleep_of),
        request.accept_cost,
    )
    .await?;
    check_variables(&state.parts.composition.inspector()?, &new.variables)?;
    model_access(&hub.client, secrets.get("HF_TOKEN").cloned()).await?;
    match spaces.get_space(&id).await {
        Ok(_) => {
            return Err(
                Problem::new(Code::Conflict, format!("there is a Space {id} already"))
                    .hint(format!("POST /api/hf/spaces/{id}/update gives it another model")),
            );
        }
        Err(HfError::NotFound { .. }) => {}
        Err(error) => return Err(error.into()),
    }
    let values: Vec<&str> = secrets.values().map(SecretValue::expose).collect();
    state.parts.composition.remember_secrets(&values)?;
    state.spaces.keep_secrets(&id, secrets);
    let input = DeployInput {
        hub: hub.target().hub,
        space: id,
        timeout_seconds,
        question: question(request.question),
        what: Change::Create(Box::new(new)),
    };
    submit(&state, &input, &headers).await
}

/// Deletes a Space and everything in it. The header `X-Confirm` repeats its full name.
#[utoipa::path(delete, path = "/api/hf/spaces/{name}", tag = "spaces",
    params(("name" = String, Path, description = "The Space, with or without its namespace"),
        ("X-Confirm" = String, Header, description = "The Space's full name once more")),
    responses((status = 204, description = "It is deleted"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let (_, spaces, id) = named(&state, &name).await?;
    let confirmed = headers.get("x-confirm").and_then(|name| name.to_str().ok());
    if confirmed != Some(id.as_str()) {
        return Err(Problem::new(
            Code::Invalid,
            format!("{id} would be deleted with everything in it"),
        )
        .hint(format!("send `X-Confirm: {id}` to delete it")));
    }
    spaces.get_space(&id).await?;
    books(&state, &spaces).remove(&id).await?;
    state.audit(Did::Deleted, "space_deleted", &id).await;
    state.spaces.deleted(state.parts.events.as_ref(), &id).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Another model for a Space.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UpdateRequest {
    /// The model repository, with or without its namespace.
    model: String,
    /// Its revision; the head of main without it. It is pinned.
    revision: Option<String>,
    /// The longest time until the app has to run, in seconds; half an hour without it.
    #[schema(minimum = 1, maximum = 86400)]
    timeout_seconds: Option<u64>,
    /// The first question to the app, `Say hello.` without it; an empty one asks nothing.
    question: Option<String>,
}

/// Serves another model or another revision, as a task. What does not answer is put back; canceling ends only the watching.
#[utoipa::path(post, path = "/api/hf/spaces/{name}/update", tag = "spaces", request_body = UpdateRequest,
    params(("name" = String, Path, description = "The Space, with or without its namespace"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same task")),
    responses((status = 202, body = TaskView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn update(
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(request): Json<UpdateRequest>,
) -> Result<Begun, Problem> {
    let hub = state.hub().await?;
    let what = Change::Update {
        model: hub.repo_id(&request.model)?,
        revision: revision(request.revision.as_deref())?,
    };
    let (wait, asked) = (request.timeout_seconds, request.question);
    change(&state, &hub, &name, what, wait, asked, &headers).await
}

/// How a Space goes back, or is fitted.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackRequest {
    /// The longest time until the app has to run, in seconds; half an hour without it.
    #[schema(minimum = 1, maximum = 86400)]
    timeout_seconds: Option<u64>,
    /// The first question to the app, `Say hello.` without it; an empty one asks nothing.
    question: Option<String>,
}

/// Goes back to the model before, as a task.
#[utoipa::path(post, path = "/api/hf/spaces/{name}/rollback", tag = "spaces", request_body = RollbackRequest,
    params(("name" = String, Path, description = "The Space, with or without its namespace"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same task")),
    responses((status = 202, body = TaskView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn rollback(
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(request): Json<RollbackRequest>,
) -> Result<Begun, Problem> {
    let hub = state.hub().await?;
    let (wait, asked) = (request.timeout_seconds, request.question);
    change(&state, &hub, &name, Change::Rollback, wait, asked, &headers).await
}

/// Gives the app the limits that fit what its requests took, as a task; the model stays. The result has `changed`, `measured`, `before` and
/// `limits`. Fewer than 5 requests in the app's log are too few.
#[utoipa::path(post, path = "/api/hf/spaces/{name}/fit", tag = "spaces", request_body = RollbackRequest,
    params(("name" = String, Path, description = "The Space, with or without its namespace"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same task")),
    responses((status = 202, body = TaskView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn fit(
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(request): Json<RollbackRequest>,
) -> Result<Begun, Problem> {
    let hub = state.hub().await?;
    let (wait, asked) = (request.timeout_seconds, request.question);
    change(&state, &hub, &name, Change::Fit, wait, asked, &headers).await
}

/// Where a tried model goes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PromoteRequest {
    /// The Space that is to serve it, with or without its namespace.
    to: String,
    /// The longest time until the app has to run, in seconds; half an hour without it.
    #[schema(minimum = 1, maximum = 86400)]
    timeout_seconds: Option<u64>,
    /// The first question to the app, `Say hello.` without it; an empty one asks nothing.
    question: Option<String>,
}

/// Serves in a second Space what this one serves, at the same revision, as a task.
#[utoipa::path(post, path = "/api/hf/spaces/{name}/promote", tag = "spaces", request_body = PromoteRequest,
    params(("name" = String, Path, description = "The Space where the model was tried"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same task")),
    responses((status = 202, body = TaskView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn promote(
    State(state): State<AppState>,
    Path(name): Path<String>,
    headers: HeaderMap,
    Json(request): Json<PromoteRequest>,
) -> Result<Begun, Problem> {
    let hub = state.hub().await?;
    let from = hub.repo_id(&name)?;
    spaces(&hub).get_space(&from).await?;
    let (wait, asked) = (request.timeout_seconds, request.question);
    change(
        &state,
        &hub,
        &request.to,
        Change::Promote { from },
        wait,
        asked,
        &headers,
    )
    .await
}

async fn change(
    state: &AppState,
    hub: &HubConnection,
    name: &str,
    what: Change,
    wait: Option<u64>,
    asked: Option<String>,
    headers: &HeaderMap,
) -> Result<Begun, Problem> {
    let timeout_seconds = timeout(wait)?;
    let space = hub.repo_id(name)?;
    spaces(hub).get_space(&space).await?;
    let input = DeployInput {
        hub: hub.target().hub,
        space,
        timeout_seconds,
        question: question(asked),
        what,
    };
    submit(state, &input, headers).await
}
