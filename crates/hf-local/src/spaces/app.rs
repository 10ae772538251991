//! The apps of Spaces, on the payload origin: static ones are served, those of the template answer, others say that they are not
//! run.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get};
use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode};

use super::access::{self, Visitor};
use super::apps::Want;
use super::routes::{Named, id_of};
use super::run::{AppRun, Served};
use super::{SIMULATED, embedded, process, stage, store};
use crate::app;
use crate::reply::{HubError, HubResult};
use crate::repos::{Repo, RepoPath};
use crate::routes::query::Params;
use crate::state::AppState;

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
    Redirect::permanent(&access::path_of(&id_of(Path((namespace, name)))))
}

async fn index(
    State(hub): State<AppState>,
    visitor: Visitor,
    named: Named,
    params: Params,
    request: Request,
) -> HubResult<Response> {
    serve(&hub, &visitor, named, "", &params, request).await
}

async fn file(
    State(hub): State<AppState>,
    visitor: Visitor,
    Path((namespace, name, path)): Path<(String, String, String)>,
    params: Params,
    request: Request,
) -> HubResult<Response> {
    // Clients put a slash between the address of an app and a path, whether the address ends in one or not.
    let path = path.trim_start_matches('/');
    serve(&hub, &visitor, Path((namespace, name)), path, &params, request).await
}

async fn serve(
    hub: &AppState,
    visitor: &Visitor,
    named: Named,
    path: &str,
    params: &Params,
    request: Request,
) -> HubResult<Response> {
    let id = id_of(named);
    if let Some(signed_in) = access::sign_in(hub, &id, path, params).await? {
        return Ok(signed_in);
    }
    let repo = visitor.admit(hub, &id).await?;
    if repo.sdk.as_deref() == Some("static") {
        return static_file(hub, &repo, path).await;
    }
    let row = store::find(hub, repo.row, false, repo.created_ms).await?;
    let head = hub.head(&repo).await?;
    let stage = stage::of(hub, &repo, &row, head.as_ref()).await?;
    match (stage.run, head) {
        (Some(run), Some(head)) => {
            let want = stage::want(&repo, &row, &head);
            running(hub, &want, run, path, request).await
        }
        _ if stage.error.is_some() || row.paused => Err(HubError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            format!(
                "The app does not answer, its stage is {}: {}",
                stage.word,
                stage.error.as_deref().unwrap_or("its owner paused it")
            ),
        )),
        _ => Err(HubError::not_served(&format!(
            "The app of {} ({SIMULATED}); it",
            repo.id.path()
        ))),
    }
}

/// Answers for an app that runs, or begins to.
async fn running(
    hub: &AppState,
    want: &Want<'_>,
    run: Arc<AppRun>,
    path: &str,
    request: Request,
) -> HubResult<Response> {
    let for_people = path.is_empty()
        && request
            .headers()
            .get(ACCEPT)
            .and_then(|value| value.to_str().ok())
            .is_some_and(|value| value.contains("text/html"));
    match hub.apps.answering(hub, want, run).await {
        Ok((run, Served::Student(student))) => {
            let host = embedded::host(hub, want.repo, run, student);
            app::handle(host, path, request).await
        }
        Ok((run, Served::Process(process))) => {
            process::forward(hub, want.repo, run, &process, path, request).await
        }
        // What the page of the trouble asks for.
        Err(_) if path == "style.css" => Ok(app::style()),
        Err(error) if for_people => {
            let title = want.repo.id.path();
            let status = StatusCode::SERVICE_UNAVAILABLE;
            Ok(app::trouble(&title, status, error.message(), None))
        }
        Err(error) => Err(error),
    }
}

async fn static_file(hub: &AppState, repo: &Repo, path: &str) -> HubResult<Response> {
    let head = hub
        .head(repo)
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
        "" => first.to_owned(),
        folder if folder.ends_with('/') => format!("{folder}index.html"),
        path => path.to_owned(),
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
