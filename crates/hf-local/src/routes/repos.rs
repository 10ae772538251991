//! Making, removing, moving and setting up repos.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use serde_json::{Map, Value, json};

use super::body::JsonBody;
use super::query::Params;
use super::target::Target;
use crate::accounts::{Permission, is_namespace};
use crate::extract::Caller;
use crate::git::{DATASET_ATTRIBUTES, MODEL_ATTRIBUTES};
use crate::reply::{HubError, HubResult};
use crate::repos::{
    Change, ListFilter, MAIN, NewBlob, NewCommit, NewRepo, Repo, RepoId, RepoKind, RepoPath, Visibility,
};
use crate::state::{AppState, Hub};
use crate::wire;
use crate::wire::repos::{AlreadyThere, CreateRepo, Created, DeleteRepo, InitialFile, MoveRepo, RepoStorage};

pub(super) const SDKS: [&str; 3] = ["gradio", "docker", "static"];

fn kind_of(kind: Option<&str>) -> HubResult<RepoKind> {
    match kind {
        None => Ok(RepoKind::Model),
        Some(kind @ ("kernel" | "bucket")) => Err(HubError::not_served(&format!("A repo of type {kind}"))),
        Some(kind) => RepoKind::parse(kind).ok_or_else(|| {
            HubError::bad_request(format!(
                "\u{2716} Invalid option: expected one of \"model\"|\"dataset\"|\"space\", got {kind:?}\n  \u{2192} at type"
            ))
        }),
    }
}

/// Reads which repo a body means: a name with an organisation, or `namespace/name`, or a name of the caller's.
pub(super) fn repo_of(
    caller: &Caller,
    kind: RepoKind,
    name: &str,
    organization: Option<&str>,
) -> HubResult<RepoId> {
    let account = caller.require()?;
    let organization = organization.filter(|organization| !organization.is_empty());
    Ok(match (organization, name.split_once('/')) {
        (Some(organization), _) => RepoId::new(kind, organization, name),
        (None, Some((namespace, name))) => RepoId::new(kind, namespace, name),
        (None, None) => RepoId::new(kind, account.name.clone(), name),
    })
}

pub(super) fn check_name(name: &str) -> HubResult<()> {
    if is_namespace(name) {
        return Ok(());
    }
    Err(HubError::bad_request(format!(
        "\u{2716} Invalid repo name {name:?}: letters, digits, '-', '_' and '.', at most 96 of them, without '--' and \
         '..', not starting or ending with '-' or '.', not ending with '.git'\n  \u{2192} at name"
    )))
}

pub(super) fn url_of(hub: &Hub, id: &RepoId) -> String {
    format!("{}/{}", hub.origins.hub, id.web_path())
}

/// What is told of a name that is taken.
pub(super) fn already_there(hub: &Hub, id: &RepoId) -> impl IntoResponse + use<> {
    let error = format!("You already created this {} repo", id.kind.name());
    let body = Json(AlreadyThere {
        error: error.clone(),
        url: url_of(hub, id),
    });
    ([("x-error-message", error)], body)
}

/// `POST /api/repos/create`
pub(crate) async fn create(
    State(hub): State<AppState>,
    caller: Caller,
    JsonBody(body): JsonBody<CreateRepo>,
) -> HubResult<Response> {
    let kind = kind_of(body.kind.as_deref())?;
    let id = repo_of(&caller, kind, &body.name, body.organization.as_deref())?;
    let account = caller.require_write(&id.namespace)?;
    check_name(&id.name)?;
    let visibility = visibility_of(kind, body.visibility, body.private)?.unwrap_or(Visibility::Public);
    let sdk = match (kind, body.sdk.clone()) {
        (RepoKind::Space, Some(sdk)) if SDKS.contains(&sdk.as_str()) => Some(sdk),
        (RepoKind::Space, _) => {
            return Err(HubError::bad_request(
                "\u{2716} Invalid option: expected one of \"gradio\"|\"docker\"|\"static\"\n  \u{2192} at sdk",
            ));
        }
        (RepoKind::Model | RepoKind::Dataset, _) => None,
    };
    // The namespace as its owner writes it, whatever the case of the request.
    let namespace = hub
        .namespace(&id.namespace)
        .ok_or_else(|| HubError::not_found("Namespace not found"))?
        .1;
    let id = RepoId { namespace, ..id };
    let space = match &sdk {
        Some(sdk) if hub.find_repo(&id).await?.is_none() => {
            Some(crate::spaces::setup(&hub, account, &id.namespace, sdk, &body).await?)
        }
        _ => None,
    };
    let (changes, blobs) = first_files(&id, sdk.as_deref(), body.license.as_deref(), &body.files)?;
    let first = NewCommit {
        branch: MAIN.to_owned(),
        author: account.name.clone(),
        title: "initial commit".to_owned(),
        message: String::new(),
        parent: None,
        changes,
    };
    match hub
        .create_repo(
            NewRepo {
                id,
                visibility,
                sdk,
                space,
            },
            first,
            blobs,
        )
        .await?
    {
        Ok(repo) => {
            let (url, name) = (url_of(&hub, &repo.id), repo.id.path());
            Ok(Json(Created {
                url,
                name,
                id: repo.oid,
            })
            .into_response())
        }
        Err(taken) => Ok((StatusCode::CONFLICT, already_there(&hub, &taken.id)).into_response()),
    }
}

pub(super) fn visibility_of(
    kind: RepoKind,
    visibility: Option<Visibility>,
    private: Option<bool>,
) -> HubResult<Option<Visibility>> {
    match (visibility, private) {
        (Some(_), Some(_)) => Err(HubError::bad_request(
            "\u{2716} Send visibility or private, not both",
        )),
        (Some(Visibility::Protected), None) if kind != RepoKind::Space => Err(HubError::bad_request(
            "\u{2716} Only Spaces can be protected\n  \u{2192} at visibility",
        )),
        (Some(visibility), None) => Ok(Some(visibility)),
        (None, Some(private)) => Ok(Some(if private {
            Visibility::Private
        } else {
            Visibility::Public
        })),
        (None, None) => Ok(None),
    }
}

fn first_files(
    id: &RepoId,
    sdk: Option<&str>,
    license: Option<&str>,
    files: &[InitialFile],
) -> HubResult<(Vec<Change>, Vec<NewBlob>)> {
    let attributes = if id.kind == RepoKind::Dataset {
        DATASET_ATTRIBUTES
    } else {
        MODEL_ATTRIBUTES
    };
    let mut contents = vec![(
        RepoPath::parse(".gitattributes")?,
        Bytes::from_static(attributes.as_bytes()),
    )];
    let sdk = sdk.map_or_else(String::new, |sdk| {
        format!("title: {}\nsdk: {sdk}\n", json!(id.name))
    });
    let license = license.map_or_else(String::new, |license| format!("license: {}\n", json!(license)));
    let fields = sdk + &license;
    if !fields.is_empty() {
        contents.push((
            RepoPath::parse("README.md")?,
            Bytes::from(format!("---\n{fields}---\n")),
        ));
    }
    for file in files {
        let path = RepoPath::parse(&file.path)?;
        let content = match file.encoding.as_deref() {
            None | Some("utf-8") => Bytes::from(file.content.clone()),
            Some("base64") => BASE64_STANDARD
                .decode(&file.content)
                .map(Bytes::from)
                .map_err(|_| HubError::bad_request(format!("The content of {path} is not base64")))?,
            Some(other) => {
                return Err(HubError::bad_request(format!(
                    "Unknown encoding {other:?} of {path}"
                )));
            }
        };
        contents.push((path, content));
    }
    Ok(contents
        .into_iter()
        .map(|(path, content)| {
            let blob = NewBlob::new(content);
            (Change::Put(path, blob.oid), blob)
        })
        .unzip())
}

/// `DELETE /api/repos/delete`
pub(crate) async fn delete(
    State(hub): State<AppState>,
    caller: Caller,
    JsonBody(body): JsonBody<DeleteRepo>,
) -> HubResult<&'static str> {
    let kind = kind_of(body.kind.as_deref())?;
    let id = repo_of(&caller, kind, &body.name, body.organization.as_deref())?;
    let repo = caller.require_repo_write(&hub, &id).await?;
    if !repo.id.path().eq_ignore_ascii_case(&id.path()) {
        // The old name of a moved repo only leads to it.
        return Err(HubError::repo_not_found());
    }
    hub.delete_repo(&repo).await?;
    hub.apps.stop(&hub, &repo.oid);
    Ok("OK")
}

/// `POST /api/repos/move`
pub(crate) async fn move_to(
    State(hub): State<AppState>,
    caller: Caller,
    JsonBody(body): JsonBody<MoveRepo>,
) -> HubResult<Json<Value>> {
    caller.require()?;
    let kind = kind_of(body.kind.as_deref())?;
    let parse = |text: &str, at: &str| match text.split_once('/') {
        Some((namespace, name)) => Ok(RepoId::new(kind, namespace, name)),
        None => Err(HubError::bad_request(format!(
            "\u{2716} Expected namespace/name\n  \u{2192} at {at}"
        ))),
    };
    let from = parse(&body.from_repo, "fromRepo")?;
    let to = parse(&body.to_repo, "toRepo")?;
    let repo = caller.require_repo_write(&hub, &from).await?;
    caller.require_write(&to.namespace)?;
    check_name(&to.name)?;
    let namespace = hub
        .namespace(&to.namespace)
        .ok_or_else(|| HubError::not_found("Namespace not found"))?
        .1;
    let to = RepoId { namespace, ..to };
    let url = url_of(&hub, &to);
    hub.move_repo(&repo, to).await?;
    Ok(Json(json!({ "url": url })))
}

/// `PUT /api/{type}s/{id}/settings`: answers the fields that were sent.
pub(crate) async fn settings(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    JsonBody(body): JsonBody<Map<String, Value>>,
) -> HubResult<Json<Map<String, Value>>> {
    const KEPT: [&str; 5] = [
        "discussionsDisabled",
        "discussionsSorting",
        "orgMembersGated",
        "gatedNotificationsEmail",
        "gatedNotificationsMode",
    ];
    let repo = target.write(&hub, &caller).await?;
    let invalid = |at: &str| HubError::bad_request(format!("\u{2716} Invalid input\n  \u{2192} at {at}"));
    let visibility = match body.get("visibility") {
        None => None,
        Some(value) => Some(
            value
                .as_str()
                .and_then(Visibility::parse)
                .ok_or_else(|| invalid("visibility"))?,
        ),
    };
    let private = match body.get("private") {
        None => None,
        Some(value) => Some(value.as_bool().ok_or_else(|| invalid("private"))?),
    };
    let visibility = visibility_of(repo.id.kind, visibility, private)?;
    let gated = match body.get("gated") {
        None => None,
        Some(Value::Bool(false)) => Some("false".to_owned()),
        Some(Value::String(mode)) if matches!(mode.as_str(), "auto" | "manual") => Some(mode.clone()),
        Some(_) => return Err(invalid("gated")),
    };
    let kept: Map<String, Value> = body
        .iter()
        .filter(|(key, _)| KEPT.contains(&key.as_str()))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    hub.update_repo(&repo, visibility, gated, Value::Object(kept.clone()))
        .await?;
    let known = |key: &str| KEPT.contains(&key) || matches!(key, "visibility" | "private" | "gated");
    Ok(Json(body.into_iter().filter(|(key, _)| known(key)).collect()))
}

/// `GET /api/{type}s/{id}/auth-check`
pub(crate) async fn auth_check(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
) -> HubResult<&'static str> {
    target.read(&hub, &caller).await?;
    Ok("OK")
}

/// `GET /api/{type}s/{id}/auth-check/write`
pub(crate) async fn auth_check_write(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
) -> HubResult<&'static str> {
    target.write(&hub, &caller).await?;
    Ok("OK")
}

/// `GET /api/settings/repositories`: the caller's repos and what they store.
pub(crate) async fn storage_own(
    State(hub): State<AppState>,
    caller: Caller,
    params: Params,
) -> HubResult<Json<Vec<RepoStorage>>> {
    let namespace = caller.require()?.name.clone();
    Ok(Json(storage(&hub, &namespace, &params).await?))
}

/// `GET /api/organizations/{org}/settings/repositories`
pub(crate) async fn storage_org(
    State(hub): State<AppState>,
    caller: Caller,
    axum::extract::Path(org): axum::extract::Path<String>,
    params: Params,
) -> HubResult<Json<Vec<RepoStorage>>> {
    caller.require_permission(Permission::RepoContentRead, &org)?;
    Ok(Json(storage(&hub, &org, &params).await?))
}

async fn storage(hub: &AppState, namespace: &str, params: &Params) -> HubResult<Vec<RepoStorage>> {
    let filter = ListFilter {
        author: Some(namespace.to_owned()),
        search: params.text("search").map(str::to_owned),
    };
    let mut found: Vec<(Repo, u64)> = Vec::new();
    for kind in RepoKind::ALL {
        if params.text("type").is_some_and(|wanted| wanted != kind.name()) {
            continue;
        }
        for repo in hub.list_repos(kind, &filter).await? {
            let used = hub.used_storage(&repo).await?;
            found.push((repo, used));
        }
    }
    let total: u64 = found.iter().map(|(_, used)| used).sum();
    if params.text("sort") == Some("updatedAt") {
        found.sort_by_key(|(repo, _)| std::cmp::Reverse(repo.updated_ms));
    } else {
        found.sort_by_key(|(_, used)| std::cmp::Reverse(*used));
    }
    if matches!(params.text("direction"), Some("1" | "asc")) {
        found.reverse();
    }
    let limit = usize::try_from(params.number("limit", 1000, 1000)).unwrap_or(usize::MAX);
    Ok(found
        .into_iter()
        .take(limit)
        .map(|(repo, used)| RepoStorage {
            id: repo.id.path(),
            kind: repo.id.kind.name(),
            updated_at: wire::time(repo.updated_ms),
            visibility: repo.visibility.name(),
            storage: used,
            storage_percent: if total == 0 {
                0.0
            } else {
                used as f64 / total as f64 * 100.0
            },
        })
        .collect())
}

impl Hub {
    /// Finds a user or an organisation: its id and its name as its owner writes it, and whether it is an organisation.
    pub(crate) fn namespace(&self, name: &str) -> Option<(String, String, bool)> {
        if let Some(account) = self.accounts.by_name(name) {
            return Some((account.id.clone(), account.name.clone(), false));
        }
        self.accounts
            .org(name)
            .map(|org| (org.id.clone(), org.name.clone(), true))
    }
}
