//! The apps of Spaces, on the payload origin: static ones are served, others say that they are not run.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use http::HeaderValue;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};

use super::SIMULATED;
use super::routes::{Named, id_of};
use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::repos::{Repo, RepoPath, Visibility};
use crate::state::{AppState, Hub};

/// Scripts run, and nothing else is allowed: without an origin of its own a page can not act on the Hub.
const POLICY: HeaderValue =
    HeaderValue::from_static("sandbox allow-scripts allow-forms allow-modals allow-popups");

/// The routes below `/apps`.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/apps/{namespace}/{name}", get(root))
        .route("/apps/{namespace}/{name}/", any(index))
        .route("/apps/{namespace}/{name}/{*path}", any(file))
}

async fn root(Path((namespace, name)): Named) -> Redirect {
    let segment = hf_core::encode_segment;
    Redirect::permanent(&format!("/apps/{}/{}/", segment(&namespace), segment(&name)))
}

async fn index(State(hub): State<AppState>, caller: Caller, named: Named) -> HubResult<Response> {
    serve(&hub, &caller, named, None).await
}

async fn file(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, name, path)): Path<(String, String, String)>,
) -> HubResult<Response> {
    serve(&hub, &caller, Path((namespace, name)), Some(path)).await
}

/// The app of a protected Space is public, its files are not.
async fn find(hub: &Hub, caller: &Caller, named: Named) -> HubResult<Repo> {
    let id = id_of(named);
    if let Some(repo) = hub.find_repo(&id).await?
        && repo.visibility == Visibility::Protected
    {
        return Ok(repo);
    }
    caller.require_read(hub, &id).await
}

async fn serve(hub: &AppState, caller: &Caller, named: Named, path: Option<String>) -> HubResult<Response> {
    let repo = find(hub, caller, named).await?;
    if repo.sdk.as_deref() != Some("static") {
        return Err(HubError::not_served(&format!(
            "The app of {} ({SIMULATED}); it",
            repo.id.path()
        )));
    }
    let head = hub
        .head(&repo)
        .await?
        .ok_or_else(|| HubError::entry_not_found("The Space is empty"))?;
    let card = hub
        .facts(repo.id.kind, &head)
        .await?
        .card
        .clone()
        .unwrap_or_default();
    let first = card["app_file"].as_str().unwrap_or("index.html");
    let path = match path {
        None => first.to_owned(),
        Some(folder) if folder.ends_with('/') => format!("{folder}index.html"),
        Some(path) => path,
    };
    let path = RepoPath::parse(&path)?;
    let (oid, blob) = hub
        .file(head.tree, &path)
        .await?
        .ok_or_else(|| HubError::entry_not_found(format!("There is no {path}")))?;
    let body = match &blob.pointer {
        None => Body::from(hub.blob_body(oid).await?),
        Some(pointer) => {
            let object = hub
                .large
                .find(&pointer.sha256)
                .await?
                .ok_or_else(|| HubError::entry_not_found(format!("The bytes of {path} are not there")))?;
            Body::from_stream(hub.large.stream(&object, 0..pointer.size))
        }
    };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type(path.as_str())));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    Ok(response)
}

fn media_type(path: &str) -> &'static str {
    let ending = path
        .rsplit_once('.')
        .map_or("", |(_, ending)| ending)
        .to_ascii_lowercase();
    match ending.as_str() {
        "html" | "htm" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" | "mjs" => "text/javascript; charset=utf-8",
        "json" => "application/json",
        "md" | "txt" => "text/plain; charset=utf-8",
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "gif" => "image/gif",
        "webp" => "image/webp",
        "ico" => "image/x-icon",
        "wasm" => "application/wasm",
        "woff2" => "font/woff2",
        _ => "application/octet-stream",
    }
}
