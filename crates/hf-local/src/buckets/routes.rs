//! The routes of buckets.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use super::store::{self, Bucket, Change, File};
use crate::accounts::{Permission, is_namespace};
use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::routes::body::JsonBody;
use crate::routes::query::Params;
use crate::state::{AppState, Hub, ids};

const MAX_OPERATIONS: usize = 1000;
const BATCH_BYTES: usize = 16 << 20;

/// The routes below `/api/buckets`.
///
/// # Source
/// Hub OpenAPI; `huggingface_hub` 2.4.0 `hf_api.py`, `create_bucket` to `batch_bucket_files`, and `utils/_xet.py`.
pub(crate) fn router() -> Router<AppState> {
    let at = |below: &str| format!("/api/buckets/{{namespace}}/{{name}}{below}");
    Router::new()
        .route("/api/buckets/{namespace}", get(list_buckets))
        .route(&at(""), get(info).post(create).delete(remove))
        .route(
            &at("/batch"),
            post(batch).layer(DefaultBodyLimit::max(BATCH_BYTES)),
        )
        .route(&at("/tree"), get(tree))
        .route(&at("/tree/{*prefix}"), get(tree_below))
        .route(&at("/xet-read-token"), get(read_token))
        .route(&at("/xet-write-token"), get(write_token))
}

fn time(ms: i64) -> String {
    let time = Timestamp::from_millisecond(ms).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

async fn show(hub: &Hub, bucket: &Bucket) -> HubResult<Value> {
    let (files, size) = store::totals(hub, bucket).await?;
    Ok(json!({
        "id": bucket.path(), "_id": bucket.id, "author": bucket.namespace, "private": bucket.private,
        "createdAt": time(bucket.created_ms), "updatedAt": time(bucket.updated_ms), "size": size, "totalFiles": files,
        "repoType": "bucket", "cdnRegions": [],
    }))
}

/// The namespace a path names: `me` is the caller's own.
fn namespace_of(caller: &Caller, namespace: String) -> HubResult<String> {
    if namespace == "me" {
        return Ok(caller.require()?.name.clone());
    }
    Ok(namespace)
}

#[derive(Deserialize)]
struct NewBucket {
    visibility: Option<String>,
    private: Option<bool>,
}

/// `POST /api/buckets/{namespace}/{name}`
async fn create(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
    JsonBody(new): JsonBody<NewBucket>,
) -> HubResult<Response> {
    let namespace = namespace_of(&caller, namespace)?;
    caller.require_permission(Permission::RepoWrite, &namespace)?;
    if !is_namespace(&name) {
        return Err(HubError::bad_request(format!("{name:?} is no name for a bucket")));
    }
    let private = match new.visibility.as_deref() {
        Some("private") => true,
        Some("public") => false,
        None => new.private.unwrap_or(false),
        Some(other) => {
            return Err(HubError::bad_request(format!(
                "{other:?} is no visibility of a bucket"
            )));
        }
    };
    let now = hub.clock.now_ms();
    let bucket = Bucket {
        seq: 0,
        id: ids::fresh(now),
        namespace,
        name,
        private,
        created_ms: now,
        updated_ms: now,
    };
    let url = format!("{}/buckets/{}", hub.origins.hub, bucket.path());
    if store::create(&hub, &bucket).await? {
        return Ok(Json(json!({"url": url, "name": bucket.path(), "id": bucket.id})).into_response());
    }
    // The official client reads `url` of this answer too.
    let body = json!({"error": "You already created this bucket repo", "url": url});
    Ok((StatusCode::CONFLICT, Json(body)).into_response())
}

/// `GET /api/buckets/{namespace}/{name}`
async fn info(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
) -> HubResult<Json<Value>> {
    let bucket = store::find_readable(&hub, &caller, &format!("{namespace}/{name}")).await?;
    Ok(Json(show(&hub, &bucket).await?))
}

/// `GET /api/buckets/{namespace}`
async fn list_buckets(
    State(hub): State<AppState>,
    caller: Caller,
    Path(namespace): Path<String>,
    params: Params,
) -> HubResult<Json<Vec<Value>>> {
    let namespace = namespace_of(&caller, namespace)?;
    let search = params.get("search").unwrap_or_default().to_ascii_lowercase();
    let mut shown = Vec::new();
    for bucket in store::of_namespace(&hub, &namespace).await? {
        let visible = caller.sees(!bucket.private, &bucket.namespace);
        if visible && bucket.name.to_ascii_lowercase().contains(&search) {
            shown.push(show(&hub, &bucket).await?);
        }
    }
    Ok(Json(shown))
}

/// `DELETE /api/buckets/{namespace}/{name}`
async fn remove(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
) -> HubResult<StatusCode> {
    let bucket = store::find_writable(&hub, &caller, &format!("{namespace}/{name}")).await?;
    store::remove(&hub, &bucket).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all_fields = "camelCase")]
enum Operation {
    #[serde(rename = "addFile")]
    Add {
        path: String,
        xet_hash: String,
        mtime: i64,
        content_type: Option<String>,
    },
    #[serde(rename = "copyFile")]
    Copy {},
    #[serde(rename = "deleteFile")]
    Delete { path: String },
}

/// `POST .../batch`: a line of JSON for each change. One that can't be made fails by itself; the others are made together.
async fn batch(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
    body: Bytes,
) -> HubResult<Response> {
    let bucket = store::find_writable(&hub, &caller, &format!("{namespace}/{name}")).await?;
    let lines: Vec<&[u8]> = body
        .split(|&byte| byte == b'\n')
        .filter(|line| !line.iter().all(u8::is_ascii_whitespace))
        .collect();
    if lines.len() > MAX_OPERATIONS {
        return Err(HubError::bad_request(format!(
            "At most {MAX_OPERATIONS} operations at a time"
        )));
    }
    let (mut adds, mut deletes, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for line in &lines {
        let operation: Operation = serde_json::from_slice(line)
            .map_err(|error| HubError::bad_request(format!("A line is no operation: {error}")))?;
        match operation {
            Operation::Add {
                path,
                xet_hash,
                mtime,
                content_type,
            } => match size_of(&hub, &path, &xet_hash).await {
                Ok((path, size)) => adds.push(Change::Add(File {
                    path,
                    xet_hash,
                    size,
                    mtime_ms: mtime,
                    uploaded_ms: hub.clock.now_ms(),
                    content_type,
                })),
                Err(error) => failed.push(json!({"path": path, "error": error.message()})),
            },
            Operation::Copy {} => return Err(HubError::not_served("Copying into a bucket (copyFile)")),
            Operation::Delete { path } => deletes.push(Change::Delete(path)),
        }
    }
    adds.append(&mut deletes);
    store::apply(&hub, &bucket, &adds).await?;
    let answer = json!({
        "success": failed.is_empty(), "processed": lines.len(), "succeeded": adds.len(), "failed": failed,
    });
    let status = if failed.is_empty() {
        StatusCode::OK
    } else {
        StatusCode::UNPROCESSABLE_ENTITY
    };
    Ok((status, Json(answer)).into_response())
}

/// The size of a file that is in Xet storage, and its path as it is kept.
#[cfg(feature = "xet")]
async fn size_of(hub: &Hub, path: &str, hash: &str) -> HubResult<(String, i64)> {
    let path = store::path_of(path)?;
    let unknown = || HubError::bad_request("There is no file with this Xet hash: upload it first");
    let hash = hash.parse().map_err(|_no_hash| unknown())?;
    let file = hub
        .xet
        .file(&hash)
        .await
        .map_err(|error| HubError::internal(&error))?
        .ok_or_else(unknown)?;
    Ok((path, i64::try_from(file.size).unwrap_or(i64::MAX)))
}

#[cfg(not(feature = "xet"))]
async fn size_of(_: &Hub, path: &str, _: &str) -> HubResult<(String, i64)> {
    store::path_of(path)?;
    Err(HubError::not_served("Buckets in a build without Xet"))
}

/// `GET .../tree`
async fn tree(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
    params: Params,
) -> HubResult<Json<Vec<Value>>> {
    list_tree(&hub, &caller, &format!("{namespace}/{name}"), "", &params).await
}

/// `GET .../tree/{prefix}`
async fn tree_below(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, name, prefix)): Path<(String, String, String)>,
    params: Params,
) -> HubResult<Json<Vec<Value>>> {
    list_tree(&hub, &caller, &format!("{namespace}/{name}"), &prefix, &params).await
}

/// All in one page.
async fn list_tree(
    hub: &Hub,
    caller: &Caller,
    id: &str,
    prefix: &str,
    params: &Params,
) -> HubResult<Json<Vec<Value>>> {
    let bucket = store::find_readable(hub, caller, id).await?;
    let folder = match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("{prefix}/"),
    };
    let recursive = params.flag("recursive");
    let mut shown: Vec<Value> = Vec::new();
    let mut last_folder = String::new();
    for file in store::list(hub, &bucket, &folder).await? {
        let rest = file.path.strip_prefix(&folder).unwrap_or(&file.path);
        match rest.split_once('/') {
            Some((below, _)) if !recursive => {
                let path = format!("{folder}{below}");
                if path != last_folder {
                    shown.push(json!({"type": "directory", "path": path}));
                    last_folder = path;
                }
            }
            _ => shown.push(json!({
                "type": "file", "path": file.path, "size": file.size, "xetHash": file.xet_hash,
                "mtime": time(file.mtime_ms), "uploadedAt": time(file.uploaded_ms), "contentType": file.content_type,
            })),
        }
    }
    Ok(Json(shown))
}

/// `GET .../xet-read-token`
async fn read_token(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
) -> HubResult<Response> {
    let bucket = store::find_readable(&hub, &caller, &format!("{namespace}/{name}")).await?;
    Ok(token(&hub, &bucket, false))
}

/// `GET .../xet-write-token`
async fn write_token(
    State(hub): State<AppState>,
    caller: Caller,
    Path((namespace, name)): Path<(String, String)>,
) -> HubResult<Response> {
    let bucket = store::find_writable(&hub, &caller, &format!("{namespace}/{name}")).await?;
    Ok(token(&hub, &bucket, true))
}

#[cfg(feature = "xet")]
fn token(hub: &Hub, bucket: &Bucket, write: bool) -> Response {
    use crate::xet::XetScope;
    let scope = if write { XetScope::Write } else { XetScope::Read };
    let name = format!("buckets/{}", bucket.path());
    let token = hub.xet.issue_token(scope, &name, &hub.origins.payload);
    (token.headers(), Json(token)).into_response()
}

#[cfg(not(feature = "xet"))]
fn token(_: &Hub, _: &Bucket, _: bool) -> Response {
    HubError::not_served("Buckets in a build without Xet").into_response()
}
