//! A copy of a repository.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::body::JsonBody;
use super::repos::{SDKS, already_there, check_name, repo_of, url_of, visibility_of};
use super::target::Target;
use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::repos::{Change, MAIN, NewCommit, NewRepo, RepoId, RepoPath};
use crate::state::AppState;
use crate::wire::repos::CreateRepo;

/// `POST /api/{type}s/{id}/duplicate`: a new repository with the files of the head of `main`, as one commit. It is seen by whom the
/// original is seen, unless asked otherwise. Of a Space, variables and secrets come from the request alone.
///
/// # Source
/// Hub OpenAPI; `huggingface_hub` 2.4.0 `hf_api.py`, `duplicate_repo`. Whether the Hub copies variables is not recorded.
pub(crate) async fn duplicate(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    JsonBody(mut body): JsonBody<Map<String, Value>>,
) -> HubResult<Response> {
    let from = target.read(&hub, &caller).await?;
    if body
        .get("volumes")
        .is_some_and(|it| it.as_array().is_none_or(|it| !it.is_empty()))
    {
        return Err(HubError::not_served("Volumes of a Space"));
    }
    let to = body.remove("repository").unwrap_or_default();
    body.insert("name".to_owned(), to);
    body.retain(|key, value| !(value.is_null() || (key == "hardware" && *value == json!(""))));
    let body: CreateRepo = serde_json::from_value(Value::Object(body))
        .map_err(|error| HubError::bad_request(format!("\u{2716} Invalid request body: {error}")))?;
    let kind = from.id.kind;
    let id = repo_of(&caller, kind, &body.name, None)?;
    let account = caller.require_write(&id.namespace)?;
    check_name(&id.name)?;
    let visibility = visibility_of(kind, body.visibility, body.private)?.unwrap_or(from.visibility);
    let namespace = hub
        .namespace(&id.namespace)
        .ok_or_else(|| HubError::not_found("Namespace not found"))?
        .1;
    let id = RepoId { namespace, ..id };
    let sdk = from.sdk.clone().filter(|sdk| SDKS.contains(&sdk.as_str()));
    let space = match &sdk {
        Some(sdk) if hub.find_repo(&id).await?.is_none() => {
            Some(crate::spaces::setup(&hub, account, &id.namespace, sdk, &body).await?)
        }
        _ => None,
    };
    // The blobs stay those of the original as long as both hold them; a sweep between the two would take them away.
    let _uploading = hub.sweeping.uploads.read().await;
    let mut changes = Vec::new();
    if let Some(head) = hub.head(&from).await? {
        for item in hub.all_files(head.tree, None).await? {
            if item.blob.is_some() {
                changes.push(Change::Put(RepoPath::parse(&item.path)?, item.oid));
            }
        }
    }
    let first = NewCommit {
        branch: MAIN.to_owned(),
        author: account.name.clone(),
        title: format!("Duplicate from {}", from.id.path()),
        message: String::new(),
        parent: None,
        changes,
    };
    let new = NewRepo {
        id,
        visibility,
        sdk,
        space,
    };
    Ok(match hub.create_repo(new, first, Vec::new()).await? {
        Ok(repo) => Json(json!({"url": url_of(&hub, &repo.id)})).into_response(),
        Err(taken) => (StatusCode::CONFLICT, already_there(&hub, &taken.id)).into_response(),
    })
}
