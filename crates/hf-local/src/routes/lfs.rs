//! Git-LFS: asking how to move large files, and moving them.

use std::collections::BTreeMap;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, ETAG};
use http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::body::JsonBody;
use super::query::Params;
use super::target::Target;
use crate::extract::Caller;
use crate::git::is_sha256;
use crate::large::Multipart;
use crate::reply::{HubError, HubResult};
use crate::repos::Repo;
use crate::state::{AppState, Hub};
use crate::wire::commit::{LfsAction, LfsAnswer, LfsBatch, LfsBatchReply, LfsComplete, LfsError, LfsObject};

const LFS_JSON: &str = "application/vnd.git-lfs+json";
const MAX_OBJECTS: usize = 1000;
/// From this size on, files go in parts where the client can do it: a broken part is sent again, not the file.
const MULTIPART_FROM: u64 = 256 << 20;
const PART_BYTES: u64 = 64 << 20;
const MAX_PARTS: u64 = 1000;
/// How long a link for an upload works.
const UPLOAD_SECONDS: i64 = 24 * 3600;
/// How long a link for a download works.
pub(crate) const DOWNLOAD_SECONDS: i64 = 3600;

/// `POST /{prefix}{id}.git/info/lfs/objects/batch`
///
/// # Source
/// The Git-LFS batch specification; `huggingface_hub` 2.4.0 `lfs.py`; hf-hub 1.0.0 `repository/upload.rs`.
pub(crate) async fn batch(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    JsonBody(body): JsonBody<LfsBatch>,
) -> HubResult<Response> {
    let upload = match body.operation.as_str() {
        "upload" => true,
        "download" => false,
        other => return Err(HubError::bad_request(format!("Unknown operation {other:?}"))),
    };
    let repo = if upload {
        target.write(&hub, &caller).await?
    } else {
        target.read(&hub, &caller).await?
    };
    if body
        .hash_algo
        .as_deref()
        .is_some_and(|algo| !matches!(algo, "sha256" | "sha_256"))
    {
        return Err(HubError::bad_request("The only hash_algo is sha256"));
    }
    if body.objects.len() > MAX_OBJECTS {
        return Err(HubError::bad_request(format!(
            "\u{2716} Too big: at most {MAX_OBJECTS} objects\n  \u{2192} at objects"
        )));
    }
    let offers = |name: &str| body.transfers.iter().any(|transfer| transfer == name);
    let xet = hub.large.xet().filter(|_| upload && offers("xet")).cloned();
    let multipart = offers("multipart") && body.objects.iter().any(|object| object.size >= MULTIPART_FROM);
    let transfer = if xet.is_some() {
        "xet"
    } else if upload && multipart {
        "multipart"
    } else {
        "basic"
    };
    let xet_action = match (&xet, caller.account()) {
        (Some(xet), Some(account)) => {
            let revision = body
                .reference
                .as_ref()
                .map_or("main", |reference| reference.name.as_str());
            let revision = revision.strip_prefix("refs/heads/").unwrap_or(revision);
            Some((
                format!(
                    "{}/api/{}/{}/xet-write-token/{}",
                    hub.origins.hub,
                    repo.id.kind.plural(),
                    repo.id.path(),
                    revision.replace('/', "%2F")
                ),
                xet.upload_headers(&hub, &repo, account),
            ))
        }
        _ => None,
    };
    let mut objects = Vec::with_capacity(body.objects.len());
    for object in body.objects {
        let mut answer = LfsAnswer {
            authenticated: Some(true),
            actions: BTreeMap::new(),
            error: None,
            oid: object.oid,
            size: object.size,
        };
        if !is_sha256(&answer.oid) {
            answer.error = Some(LfsError {
                code: 422,
                message: "The oid has to be 64 hexadecimal digits".to_owned(),
            });
            objects.push(answer);
            continue;
        }
        // Promised before it is looked for: a sweep in between leaves it.
        hub.large.lfs.promise(&answer.oid, hub.clock.now_ms());
        let found = hub.large.find(&answer.oid).await?;
        if found.is_none() {
            hub.large.lfs.take_back(&answer.oid);
        }
        if upload && found.is_none() {
            if let Some((href, header)) = &xet_action {
                answer.actions.insert(
                    "upload",
                    LfsAction {
                        href: href.clone(),
                        header: header.clone(),
                    },
                );
            } else {
                answer.actions =
                    upload_actions(&hub, &repo, &answer.oid, answer.size, transfer == "multipart");
            }
        } else if !upload {
            match found {
                Some(found) => {
                    let href = download_link(&hub, &found.sha256, &found.sha256);
                    answer.actions.insert(
                        "download",
                        LfsAction {
                            href,
                            header: BTreeMap::new(),
                        },
                    );
                }
                None => {
                    answer.error = Some(LfsError {
                        code: 404,
                        message: "Object does not exist".to_owned(),
                    });
                }
            }
        }
        objects.push(answer);
    }
    Ok((
        [(CONTENT_TYPE, LFS_JSON)],
        Json(LfsBatchReply { transfer, objects }),
    )
        .into_response())
}

fn upload_actions(
    hub: &Hub,
    repo: &Repo,
    oid: &str,
    size: u64,
    multipart: bool,
) -> BTreeMap<&'static str, LfsAction> {
    let expires = hub.clock.now().as_second() + UPLOAD_SECONDS;
    let link = |method: &str, path: &str, params: &[(&str, &str)]| {
        hub.signer
            .link(&hub.origins.payload, method, path, params, expires)
    };
    let size_text = size.to_string();
    let upload = if multipart && size >= MULTIPART_FROM {
        let chunk = PART_BYTES.max(size.div_ceil(MAX_PARTS));
        let (chunk_text, parts) = (chunk.to_string(), size.div_ceil(chunk));
        let params = [("size", size_text.as_str()), ("chunk", chunk_text.as_str())];
        let mut header: BTreeMap<String, String> = (1..=parts)
            .map(|number| {
                (
                    format!("{number:05}"),
                    link("PUT", &format!("/parts/{oid}/{number}"), &params),
                )
            })
            .collect();
        header.insert("chunk_size".to_owned(), chunk_text.clone());
        LfsAction {
            href: link("POST", &format!("/parts/{oid}/complete"), &params),
            header,
        }
    } else {
        let href = link("PUT", &format!("/objects/{oid}"), &[("size", &size_text)]);
        LfsAction {
            href,
            header: BTreeMap::new(),
        }
    };
    let verify = format!("{}/{}.git/info/lfs/verify", hub.origins.hub, repo.id.web_path());
    BTreeMap::from([
        ("upload", upload),
        (
            "verify",
            LfsAction {
                href: verify,
                header: BTreeMap::new(),
            },
        ),
    ])
}

/// Makes a link to the bytes of a large file on the payload origin.
pub(crate) fn download_link(hub: &Hub, sha256: &str, filename: &str) -> String {
    let expires = hub.clock.now().as_second() + DOWNLOAD_SECONDS;
    hub.signer.link(
        &hub.origins.payload,
        "GET",
        &format!("/objects/{sha256}"),
        &[("filename", filename)],
        expires,
    )
}

/// `POST /{prefix}{id}.git/info/lfs/verify`
pub(crate) async fn verify(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    JsonBody(object): JsonBody<LfsObject>,
) -> HubResult<Json<Value>> {
    target.write(&hub, &caller).await?;
    match hub.large.find(&object.oid).await? {
        Some(found) if found.size == object.size => Ok(Json(json!({}))),
        Some(found) => Err(HubError::bad_request(format!(
            "The object {} has {} bytes, not {}",
            object.oid, found.size, object.size
        ))),
        None => Err(HubError::not_found(format!(
            "The object {} was not uploaded",
            object.oid
        ))),
    }
}

/// `POST /{prefix}{id}.git/info/lfs/locks/verify`: nobody holds a lock here.
pub(crate) async fn locks_verify(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
) -> HubResult<Response> {
    target.write(&hub, &caller).await?;
    Ok((
        [(CONTENT_TYPE, LFS_JSON)],
        Json(json!({ "ours": [], "theirs": [] })),
    )
        .into_response())
}

fn check_link(hub: &Hub, method: &str, uri: &Uri) -> HubResult<()> {
    let now = hub.clock.now().as_second();
    if hub
        .signer
        .check_link(method, uri.path(), uri.query().unwrap_or_default(), now)
    {
        return Ok(());
    }
    Err(HubError::forbidden(
        "This link is not one of this Hub's, or it has run out: ask the Hub for a new one",
    ))
}

fn number(params: &Params, key: &str) -> HubResult<u64> {
    params
        .get(key)
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| HubError::bad_request(format!("{key} is missing")))
}

fn multipart_of(hub: &Hub, oid: &str, params: &Params) -> HubResult<Multipart> {
    Ok(hub
        .large
        .lfs
        .multipart(oid, number(params, "size")?, number(params, "chunk")?.max(1)))
}

/// `PUT /objects/{sha256}` on the payload origin: a whole file.
pub(crate) async fn put_object(
    State(hub): State<AppState>,
    Path(oid): Path<String>,
    uri: Uri,
    params: Params,
    body: Body,
) -> HubResult<StatusCode> {
    check_link(&hub, "PUT", &uri)?;
    hub.large
        .lfs
        .receive(&oid, number(&params, "size")?, body.into_data_stream())
        .await?;
    Ok(StatusCode::OK)
}

/// `PUT /parts/{sha256}/{number}` on the payload origin: a part of a file.
pub(crate) async fn put_part(
    State(hub): State<AppState>,
    Path((oid, part)): Path<(String, u64)>,
    uri: Uri,
    params: Params,
    body: Body,
) -> HubResult<Response> {
    check_link(&hub, "PUT", &uri)?;
    let etag = multipart_of(&hub, &oid, &params)?
        .receive(part, body.into_data_stream())
        .await?;
    Ok((StatusCode::OK, [(ETAG, format!("\"{etag}\""))]).into_response())
}

/// `POST /parts/{sha256}/complete` on the payload origin: the parts become a file.
pub(crate) async fn complete(
    State(hub): State<AppState>,
    Path(oid): Path<String>,
    uri: Uri,
    params: Params,
    JsonBody(body): JsonBody<LfsComplete>,
) -> HubResult<Json<Value>> {
    check_link(&hub, "POST", &uri)?;
    let mut parts = body.parts;
    parts.sort_by_key(|part| part.part_number);
    let in_order = (1..).zip(&parts).all(|(number, part)| part.part_number == number);
    if !in_order {
        return Err(HubError::bad_request("Parts are missing, or named twice"));
    }
    let etags = parts.into_iter().map(|part| part.etag).collect();
    multipart_of(&hub, &oid, &params)?.complete(etags).await?;
    Ok(Json(json!({})))
}

/// Checks the link of a download; shared with the handler that answers it.
pub(crate) fn check_download(hub: &Hub, uri: &Uri) -> HubResult<()> {
    check_link(hub, "GET", uri)
}
