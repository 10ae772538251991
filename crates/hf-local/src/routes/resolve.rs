//! Downloading.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT, ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, HeaderName, LINK, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::lfs::{check_download, download_link};
use super::query::Params;
use super::range::{Wanted, is_held, wanted};
use super::target::Target;
use crate::extract::Caller;
use crate::git::{Oid, Pointer};
use crate::reply::{HubError, HubResult, X_REPO_COMMIT};
use crate::repos::{Blob, Commit, Repo, RepoPath};
use crate::state::AppState;

const X_LINKED_SIZE: HeaderName = HeaderName::from_static("x-linked-size");
const X_LINKED_ETAG: HeaderName = HeaderName::from_static("x-linked-etag");
const X_XET_HASH: HeaderName = HeaderName::from_static("x-xet-hash");
const XET_FILEINFO: &str = "application/vnd.xet-fileinfo+json";

/// What a client that downloads over Xet by itself asks for.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct XetFileInfo {
    hash: String,
    refresh_url: String,
    reconstruction_url: String,
    etag: String,
    size: u64,
}

/// `GET|HEAD /{prefix}{id}/resolve/{rev}/{path}`
///
/// # Source
/// Recorded replies of the Hub; `huggingface_hub` 2.4.0 `file_download.py`, `get_hf_file_metadata`.
pub(crate) async fn resolve(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    method: Method,
    params: Params,
    headers: HeaderMap,
) -> HubResult<Response> {
    let (repo, commit, path, oid, blob) = find(&hub, &caller, &target).await?;
    let attachment = params.flag("download");
    match &blob.pointer {
        None => small(&hub, &commit, &path, oid, &blob, &method, &headers, attachment).await,
        Some(pointer) => large(&hub, &repo, &commit, &path, pointer, &headers).await,
    }
}

/// `GET|HEAD /{prefix}{id}/raw/{rev}/{path}`: the blob itself, which for a large file is its pointer.
pub(crate) async fn raw(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    method: Method,
    headers: HeaderMap,
) -> HubResult<Response> {
    let (_, commit, path, oid, blob) = find(&hub, &caller, &target).await?;
    small(&hub, &commit, &path, oid, &blob, &method, &headers, false).await
}

type Found = (Repo, Commit, RepoPath, Oid, std::sync::Arc<Blob>);

async fn find(hub: &AppState, caller: &Caller, target: &Target) -> HubResult<Found> {
    let repo = target.read(hub, caller).await?;
    let (revision, path) = target.revision_and_path()?;
    let commit = hub.revision(&repo, &revision).await?;
    let missing =
        || HubError::entry_not_found("Entry not found").with_header(X_REPO_COMMIT, &commit.oid.to_string());
    // What can't be a path can't be in the repo.
    let path = path
        .and_then(|path| RepoPath::parse(&path).ok())
        .ok_or_else(missing)?;
    let (oid, blob) = hub.file(commit.tree, &path).await?.ok_or_else(missing)?;
    Ok((repo, commit, path, oid, blob))
}

#[expect(
    clippy::too_many_arguments,
    reason = "they are the parts of one request and one file"
)]
async fn small(
    hub: &AppState,
    commit: &Commit,
    path: &RepoPath,
    oid: Oid,
    blob: &Blob,
    method: &Method,
    headers: &HeaderMap,
    attachment: bool,
) -> HubResult<Response> {
    let etag = oid.to_string();
    let mut response = if is_held(headers, &etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        // A HEAD needs no body, and the kind of a file shows in its first bytes or its name.
        let body = if *method == Method::HEAD {
            Bytes::new()
        } else {
            hub.blob_body(oid).await?
        };
        let size = blob.size;
        let is_head = *method == Method::HEAD;
        let mut response = match wanted(headers, size, &etag) {
            Wanted::Outside => outside(size),
            Wanted::Whole => reply(
                StatusCode::OK,
                if is_head { Body::empty() } else { Body::from(body) },
                size,
            ),
            Wanted::Part(range) => {
                let (start, end) = (usize::try_from(range.start), usize::try_from(range.end));
                let part = match (start, end) {
                    (Ok(start), Ok(end)) if !is_head && end <= body.len() => body.slice(start..end),
                    _ => Bytes::new(),
                };
                partial(Body::from(part), &range, size)
            }
        };
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        disposition(headers, path.as_str(), attachment);
        response
    };
    let headers = response.headers_mut();
    insert(headers, ETAG, &format!("\"{etag}\""));
    insert(headers, X_REPO_COMMIT, &commit.oid.to_string());
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    shield(headers);
    Ok(response)
}

async fn large(
    hub: &AppState,
    repo: &Repo,
    commit: &Commit,
    path: &RepoPath,
    pointer: &Pointer,
    headers: &HeaderMap,
) -> HubResult<Response> {
    let object = hub.large.find(&pointer.sha256).await?.ok_or_else(|| {
        tracing::error!(
            sha256 = pointer.sha256,
            "a committed large file is not in the data folder"
        );
        HubError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "The object of this file is missing from the data folder",
        )
    })?;
    let etag = format!("\"{}\"", pointer.sha256);
    let xet = hub.large.xet().zip(object.xet_hash.as_ref()).map(|(xet, hash)| {
        let (plural, id) = (repo.id.kind.plural(), repo.id.path());
        let refresh = format!(
            "{}/api/{plural}/{id}/xet-read-token/{}",
            hub.origins.hub, commit.oid
        );
        (hash.clone(), refresh, xet.reconstruction_url(hub, hash))
    });
    let wants_info = headers
        .get(ACCEPT)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kinds| kinds.contains(XET_FILEINFO));
    let mut response = match &xet {
        Some((hash, refresh_url, reconstruction_url)) if wants_info => {
            let info = XetFileInfo {
                hash: hash.clone(),
                refresh_url: refresh_url.clone(),
                reconstruction_url: reconstruction_url.clone(),
                etag: etag.clone(),
                size: pointer.size,
            };
            let mut response = Json(info).into_response();
            response
                .headers_mut()
                .insert(CONTENT_TYPE, HeaderValue::from_static(XET_FILEINFO));
            insert(response.headers_mut(), ETAG, &etag);
            response
        }
        _ if is_held(headers, &pointer.sha256) => {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            insert(response.headers_mut(), ETAG, &etag);
            response
        }
        _ => {
            let name = path.as_str().rsplit('/').next().unwrap_or_default();
            let location = download_link(hub, &pointer.sha256, name);
            let text = format!("Found. Redirecting to {location}");
            (StatusCode::FOUND, [(LOCATION, location)], text).into_response()
        }
    };
    let headers = response.headers_mut();
    insert(headers, X_REPO_COMMIT, &commit.oid.to_string());
    insert(headers, X_LINKED_SIZE, &pointer.size.to_string());
    insert(headers, X_LINKED_ETAG, &etag);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if let Some((hash, refresh, reconstruction)) = &xet {
        insert(headers, X_XET_HASH, hash);
        insert(
            headers,
            LINK,
            &format!("<{refresh}>; rel=\"xet-auth\", <{reconstruction}>; rel=\"xet-reconstruction-info\""),
        );
    }
    Ok(response)
}

/// `GET|HEAD /objects/{sha256}` on the payload origin: the bytes of a large file.
pub(crate) async fn get_object(
    State(hub): State<AppState>,
    Path(oid): Path<String>,
    uri: Uri,
    method: Method,
    params: Params,
    headers: HeaderMap,
) -> HubResult<Response> {
    check_download(&hub, &uri)?;
    let object = hub
        .large
        .find(&oid)
        .await?
        .ok_or_else(|| HubError::not_found("The object is not here"))?;
    let size = object.size;
    let body = |range: std::ops::Range<u64>| {
        if method == Method::HEAD || range.is_empty() {
            Body::empty()
        } else {
            Body::from_stream(hub.large.stream(&object, range))
        }
    };
    let mut response = if is_held(&headers, &oid) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        match wanted(&headers, size, &oid) {
            Wanted::Outside => outside(size),
            Wanted::Whole => reply(StatusCode::OK, body(0..size), size),
            Wanted::Part(range) => partial(body(range.clone()), &range, size),
        }
    };
    let headers = response.headers_mut();
    headers
        .entry(CONTENT_TYPE)
        .or_insert(HeaderValue::from_static("application/octet-stream"));
    insert(headers, ETAG, &format!("\"{oid}\""));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    disposition(headers, params.get("filename").unwrap_or(&oid), true);
    shield(headers);
    Ok(response)
}

fn reply(status: StatusCode, body: Body, length: u64) -> Response {
    let mut response = (status, body).into_response();
    response
        .headers_mut()
        .insert(CONTENT_LENGTH, HeaderValue::from(length));
    response
}

fn partial(body: Body, range: &std::ops::Range<u64>, size: u64) -> Response {
    let mut response = reply(StatusCode::PARTIAL_CONTENT, body, range.end - range.start);
    insert(
        response.headers_mut(),
        CONTENT_RANGE,
        &format!("bytes {}-{}/{size}", range.start, range.end - 1),
    );
    response
}

fn outside(size: u64) -> Response {
    let mut response = HubError::new(
        StatusCode::RANGE_NOT_SATISFIABLE,
        "The range is outside of the file",
    )
    .into_response();
    insert(response.headers_mut(), CONTENT_RANGE, &format!("bytes */{size}"));
    response
}

fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn disposition(headers: &mut HeaderMap, path: &str, attachment: bool) {
    let name = path.rsplit('/').next().unwrap_or(path);
    let kind = if attachment { "attachment" } else { "inline" };
    let encoded = utf8_percent_encode(name, NON_ALPHANUMERIC);
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii_graphic() && c != '"' { c } else { '_' })
        .collect();
    insert(
        headers,
        CONTENT_DISPOSITION,
        &format!("{kind}; filename*=UTF-8''{encoded}; filename=\"{plain}\";"),
    );
}

/// A file of a repo is never a page of this Hub.
fn shield(headers: &mut HeaderMap) {
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; sandbox"),
    );
}
