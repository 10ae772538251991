//! The router's paths.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::choose::{self, Found, LOCAL, Local, Server};
use super::engine::InferenceTask;
use super::error::{Answer, Refusal};
use super::request::ChatBody;
use super::scripted::{PREFIX, ScriptedProvider};
use super::scripted_reply::{self, json_response};
use super::{chat, stream, tasks};
use crate::accounts::{Permission, TokenRole};
use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::repos::Repo;
use crate::routes::body::JsonBody;
use crate::state::{AppState, Hub};

/// Long conversations, many texts.
const BODY_BYTES: usize = 16 << 20;

/// The routes of inference.
pub(crate) fn router() -> Router<AppState> {
    let of = |below: &str| format!("/hf-inference/models/{{namespace}}/{{name}}{below}");
    Router::new()
        .route("/v1/chat/completions", post(auto_chat))
        .route("/v1/models", get(list_models))
        .route("/v1/models/{namespace}/{name}", get(model))
        .route(&of(""), post(default_task))
        .route(&of("/v1/chat/completions"), post(local_chat))
        .route(&of("/pipeline/{task}"), post(pipeline))
        .route(
            "/hf-inference/pipeline/{task}/{namespace}/{name}",
            post(old_pipeline),
        )
        .route("/{provider}/v1/chat/completions", post(scripted_chat))
        .route(
            "/_local/inference/providers",
            get(list_scripts).delete(clear_scripts),
        )
        .route("/_local/inference/providers/{provider}", put(set_script))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
}

/// Checks that the caller may use inference, and that who shall pay is one the caller may let pay.
fn admit(caller: &Caller, headers: &HeaderMap) -> Answer<()> {
    let account = caller.require()?;
    let refuse = |name: &str| {
        let why = format!(
            "This authentication method does not have sufficient permissions to call Inference Providers on behalf of \
             user {name}"
        );
        Err(Refusal::text(StatusCode::FORBIDDEN, why))
    };
    // Tokens of the role `read` may call; a fine-grained one needs the permission.
    if account.role == TokenRole::FineGrained && !account.may(Permission::InferenceWrite, &account.name) {
        return refuse(&account.name);
    }
    match headers.get("x-hf-bill-to").map(|payer| payer.to_str()) {
        None => Ok(()),
        Some(Ok(payer)) if account.role_in(payer).is_some() => Ok(()),
        Some(_) => Err(Refusal::text(
            StatusCode::FORBIDDEN,
            "X-HF-Bill-To names an organisation that the user is not in",
        )),
    }
}

fn read<T: DeserializeOwned>(body: &Bytes) -> Answer<T> {
    serde_json::from_slice(body).map_err(|error| {
        Refusal::text(
            StatusCode::UNPROCESSABLE_ENTITY,
            format!("The request body can't be read: {error}"),
        )
    })
}

/// Says who answered; for this machine, that it was this machine.
fn signed(mut response: Response, provider: &str, local: Option<&Local>) -> Response {
    let headers = response.headers_mut();
    if let Ok(name) = HeaderValue::from_str(provider) {
        headers.insert("x-inference-provider", name);
    }
    let kind = if local.is_some() { "local-cpu" } else { "scripted" };
    headers.insert("x-compute-type", HeaderValue::from_static(kind));
    if let Some(local) = local
        && let Ok(sha) = HeaderValue::from_str(&local.commit.oid.to_string())
    {
        headers.insert("x-sha", sha);
    }
    response
}

/// `POST /v1/chat/completions`
async fn auto_chat(
    State(hub): State<AppState>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    admit(&caller, &headers)?;
    let body: ChatBody = read(&body)?;
    let asked = body
        .model
        .as_deref()
        .ok_or_else(|| Refusal::invalid("model", "model has to name a model"))?;
    let (model, server) = choose::choose(&hub, &caller, asked).await?;
    match server {
        Server::Local(local) => answer(&hub, &local, &body).await,
        Server::Scripted(provider, script) => {
            let own = script.provider_id.as_deref().unwrap_or(&model);
            by_script(&hub, &provider, &body, own).await
        }
    }
}

async fn answer(hub: &Arc<Hub>, local: &Local, body: &ChatBody) -> Answer<Response> {
    let task = body.task()?;
    let logprobs = task.logprobs;
    let name = local.repo.id.path();
    let running = chat::start(hub, &local.commit, &local.plan, &name, task).await?;
    let response = if body.stream.unwrap_or(false) {
        stream::respond(running, logprobs, body.include_usage())
    } else {
        json_response(&running.whole(logprobs).await?)
    };
    Ok(signed(response, LOCAL, Some(local)))
}

async fn by_script(hub: &Hub, provider: &str, body: &ChatBody, own: &str) -> Answer<Response> {
    let call = hub
        .inference
        .scripted
        .take(provider)
        .ok_or_else(|| Refusal::no_such_provider(provider))?;
    let response = match scripted_reply::respond(hub, provider, call, body, own).await {
        Ok(response) => response,
        Err(refusal) => refusal.into_response(),
    };
    Ok(signed(response, provider, None))
}

/// `POST /scripted-.../v1/chat/completions`
async fn scripted_chat(
    State(hub): State<AppState>,
    Path(provider): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    if !provider.starts_with(PREFIX) {
        return Err(HubError::not_served(&format!("POST /{provider}/v1/chat/completions")).into());
    }
    admit(&caller, &headers)?;
    let body: ChatBody = read(&body)?;
    let own = body.model.clone().unwrap_or_default();
    if hub.inference.scripted.own_name(&provider, &own).is_none() {
        return Err(Refusal::not_found(&own));
    }
    by_script(&hub, &provider, &body, &own).await
}

/// Finds the model of an `/hf-inference` path.
async fn own_model(hub: &Hub, caller: &Caller, namespace: &str, name: &str) -> Answer<Local> {
    let model = format!("{namespace}/{name}");
    match choose::local(hub, caller, &model).await? {
        None => Err(Refusal::text(
            StatusCode::NOT_FOUND,
            format!("Model {model} does not exist"),
        )),
        Some((_, None)) => Err(unsupported()),
        Some((_, Some(local))) => Ok(local),
    }
}

fn unsupported() -> Refusal {
    Refusal::text(
        StatusCode::BAD_REQUEST,
        "Model not supported by provider hf-inference",
    )
}

/// `POST /hf-inference/models/{id}/v1/chat/completions`
async fn local_chat(
    State(hub): State<AppState>,
    Path((namespace, name)): Path<(String, String)>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    admit(&caller, &headers)?;
    let local = own_model(&hub, &caller, &namespace, &name).await?;
    if local.plan.task != InferenceTask::Conversational {
        return Err(unsupported());
    }
    answer(&hub, &local, &read(&body)?).await
}

/// `POST /hf-inference/models/{id}`: the task the model is for.
async fn default_task(
    State(hub): State<AppState>,
    Path((namespace, name)): Path<(String, String)>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    admit(&caller, &headers)?;
    let local = own_model(&hub, &caller, &namespace, &name).await?;
    let task = local.plan.task.name();
    run_task(&hub, &local, task, &body).await
}

/// `POST /hf-inference/models/{id}/pipeline/{task}`
async fn pipeline(
    State(hub): State<AppState>,
    Path((namespace, name, task)): Path<(String, String, String)>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    admit(&caller, &headers)?;
    let local = own_model(&hub, &caller, &namespace, &name).await?;
    run_task(&hub, &local, &task, &body).await
}

/// `POST /hf-inference/pipeline/{task}/{id}`
async fn old_pipeline(
    state: State<AppState>,
    Path((task, namespace, name)): Path<(String, String, String)>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> Answer<Response> {
    pipeline(state, Path((namespace, name, task)), caller, headers, body).await
}

async fn run_task(hub: &Arc<Hub>, local: &Local, task: &str, body: &Bytes) -> Answer<Response> {
    let (commit, plan) = (&local.commit, &local.plan);
    let value = match (local.plan.task, task) {
        (InferenceTask::FeatureExtraction, "feature-extraction") => {
            tasks::features(hub, commit, plan, read(body)?).await?
        }
        (InferenceTask::FeatureExtraction, "sentence-similarity") => {
            tasks::similarities(hub, commit, plan, read(body)?).await?
        }
        (InferenceTask::TextClassification, "text-classification") => {
            tasks::labels(hub, commit, plan, read(body)?).await?
        }
        _ => return Err(unsupported()),
    };
    Ok(signed(json_response(&value), LOCAL, Some(local)))
}

fn describe(hub: &Hub, id: &str, created: i64, servers: &[Server]) -> Value {
    let owner = id.split('/').next().unwrap_or_default();
    let providers: Vec<Value> = servers.iter().map(|server| server.describe(hub)).collect();
    json!({"id": id, "object": "model", "created": created, "owned_by": owner,
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]}, "providers": providers})
}

/// `GET /v1/models`
async fn list_models(State(hub): State<AppState>, caller: Caller) -> Answer<Response> {
    let models = choose::chat_models(&hub, &caller).await?;
    let data: Vec<Value> = models
        .iter()
        .map(|(id, created, servers)| describe(&hub, id, *created, servers))
        .collect();
    Ok(json_response(&json!({"object": "list", "data": data})))
}

/// `GET /v1/models/{id}`
async fn model(
    State(hub): State<AppState>,
    Path((namespace, name)): Path<(String, String)>,
    caller: Caller,
) -> Answer<Response> {
    let id = format!("{namespace}/{name}");
    match choose::chat_servers(&hub, &caller, &id).await? {
        Found::Servers(servers) if !servers.is_empty() => Ok(json_response(&describe(
            &hub,
            &id,
            hub.created_ms / 1000,
            &servers,
        ))),
        _ => Err(Refusal::not_found(&id)),
    }
}

/// `inferenceProviderMapping` of a model: who serves it, by name.
pub(crate) async fn mapping(hub: &Hub, repo: &Repo) -> HubResult<Value> {
    let id = repo.id.path();
    let mut servers: Vec<Server> = Vec::new();
    if let Some(local) = choose::served(hub, repo).await? {
        servers.push(Server::Local(Box::new(local)));
    }
    let scripts = hub.inference.scripted.of(&id);
    servers.extend(
        scripts
            .into_iter()
            .map(|(name, model)| Server::Scripted(name, model)),
    );
    let map: BTreeMap<&str, Value> = servers
        .iter()
        .map(|server| (server.provider(), server.mapping(&id)))
        .collect();
    Ok(json!(map))
}

fn require_write_token(caller: &Caller) -> HubResult<()> {
    match caller.require()?.role {
        TokenRole::Write => Ok(()),
        _ => Err(HubError::forbidden("This needs a token with the role write")),
    }
}

/// `GET /_local/inference/providers`
async fn list_scripts(State(hub): State<AppState>, caller: Caller) -> HubResult<Response> {
    require_write_token(&caller)?;
    let list: Vec<Value> = hub
        .inference
        .scripted
        .list()
        .into_iter()
        .map(|(name, script, calls)| json!({"provider": name, "script": script, "calls": calls}))
        .collect();
    Ok(json_response(&json!(list)))
}

/// `PUT /_local/inference/providers/{name}`: one script.
async fn set_script(
    State(hub): State<AppState>,
    Path(provider): Path<String>,
    caller: Caller,
    JsonBody(script): JsonBody<ScriptedProvider>,
) -> HubResult<StatusCode> {
    require_write_token(&caller)?;
    hub.inference
        .scripted
        .set(&provider, script)
        .map_err(HubError::bad_request)?;
    Ok(StatusCode::NO_CONTENT)
}

/// `DELETE /_local/inference/providers`
async fn clear_scripts(State(hub): State<AppState>, caller: Caller) -> HubResult<StatusCode> {
    require_write_token(&caller)?;
    hub.inference.scripted.clear();
    Ok(StatusCode::NO_CONTENT)
}
