//! Branches, tags and history.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderValue, Uri};

use super::body::JsonBody;
use super::page;
use super::query::Params;
use super::target::Target;
use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::repos::{MAIN, branch_of, is_ref_name};
use crate::state::AppState;
use crate::wire;
use crate::wire::files::{
    CommitAuthor, CommitItem, CreateBranch, CreateTag, FormattedCommit, RefItem, Refs, Squashed, SuperSquash,
};

const MAX_SQUASH_MESSAGE: usize = 500;

/// `GET /api/{type}s/{id}/refs`
pub(crate) async fn list(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    params: Params,
) -> HubResult<Json<Refs>> {
    let repo = target.read(&hub, &caller).await?;
    let mut refs = Refs {
        branches: Vec::new(),
        converts: Vec::new(),
        tags: Vec::new(),
        pull_requests: (params.flag("include_prs") || params.flag("include_pull_requests")).then(Vec::new),
    };
    for item in hub.refs(&repo).await? {
        let full = item.name;
        let (list, name) = if let Some(name) = full.strip_prefix("refs/heads/") {
            (&mut refs.branches, name)
        } else if let Some(name) = full.strip_prefix("refs/tags/") {
            (&mut refs.tags, name)
        } else if let Some(name) = full.strip_prefix("refs/convert/") {
            (&mut refs.converts, name)
        } else {
            continue;
        };
        list.push(RefItem {
            name: name.to_owned(),
            target_commit: item.target.to_string(),
            full: full.clone(),
        });
    }
    Ok(Json(refs))
}

/// `POST /api/{type}s/{id}/branch/{name}`
pub(crate) async fn create_branch(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    JsonBody(body): JsonBody<CreateBranch>,
) -> HubResult<Json<serde_json::Value>> {
    let repo = target.write(&hub, &caller).await?;
    let name = branch_name(&target.name()?)?;
    if body.empty_branch {
        return Err(HubError::not_served("A branch without a commit (emptyBranch)"));
    }
    let start = body.starting_point.as_deref().unwrap_or("main");
    let commit = hub.revision(&repo, start).await?;
    hub.create_ref(&repo, name, commit.oid, None, body.overwrite)
        .await?;
    Ok(Json(serde_json::json!({})))
}

/// `DELETE /api/{type}s/{id}/branch/{name}`
pub(crate) async fn delete_branch(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
) -> HubResult<Json<serde_json::Value>> {
    let repo = target.write(&hub, &caller).await?;
    let short = target.name()?;
    let name = branch_name(&short)?;
    if name == MAIN {
        return Err(HubError::forbidden("The main branch can't be deleted"));
    }
    if !hub.delete_ref(&repo, name).await? {
        return Err(HubError::revision_not_found(&short));
    }
    Ok(Json(serde_json::json!({})))
}

fn branch_name(name: &str) -> HubResult<String> {
    if name.starts_with("refs/") && !name.starts_with("refs/convert/") && !name.starts_with("refs/heads/") {
        return Err(HubError::forbidden(format!(
            "Invalid reference for a branch: {name} is a protected name"
        )));
    }
    branch_of(name).map_err(|_| HubError::bad_request(format!("{name:?} can't be the name of a branch")))
}

/// `POST /api/{type}s/{id}/tag/{rev}`
pub(crate) async fn create_tag(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    JsonBody(body): JsonBody<CreateTag>,
) -> HubResult<Json<serde_json::Value>> {
    let repo = target.write(&hub, &caller).await?;
    if !is_ref_name(&body.tag) || body.tag.starts_with("refs/") {
        return Err(HubError::bad_request(format!(
            "{:?} can't be the name of a tag",
            body.tag
        )));
    }
    let commit = hub.revision(&repo, &target.name()?).await?;
    hub.create_ref(
        &repo,
        format!("refs/tags/{}", body.tag),
        commit.oid,
        body.message,
        false,
    )
    .await?;
    Ok(Json(serde_json::json!({})))
}

/// `DELETE /api/{type}s/{id}/tag/{tag}`
pub(crate) async fn delete_tag(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
) -> HubResult<Json<serde_json::Value>> {
    let repo = target.write(&hub, &caller).await?;
    let tag = target.name()?;
    if !hub.delete_ref(&repo, format!("refs/tags/{tag}")).await? {
        return Err(HubError::revision_not_found(&tag));
    }
    Ok(Json(serde_json::json!({})))
}

/// `GET /api/{type}s/{id}/commits/{rev}`
pub(crate) async fn commits(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    uri: Uri,
    params: Params,
) -> HubResult<Response> {
    let repo = target.read(&hub, &caller).await?;
    let from = hub.revision(&repo, &target.name()?).await?;
    let limit = params.number("limit", 50, 1000).max(1);
    let number = params.number("p", 0, u64::from(u32::MAX));
    let formatted = params.all("expand").any(|field| field == "formatted");
    let skip = number.saturating_mul(limit);
    let total = u64::try_from(from.depth).unwrap_or(0);
    let items: Vec<CommitItem> = hub
        .history(&repo, &from, skip, limit)
        .await?
        .into_iter()
        .map(|commit| CommitItem {
            id: commit.oid.to_string(),
            authors: vec![CommitAuthor {
                avatar: wire::avatar_url(
                    &hub.namespace(&commit.author)
                        .map(|found| found.0)
                        .unwrap_or_default(),
                ),
                user: commit.author,
            }],
            date: wire::time(commit.at_ms),
            formatted: formatted.then(|| FormattedCommit {
                title: escape_html(&commit.title),
                message: escape_html(&commit.message),
            }),
            title: commit.title,
            message: commit.message,
        })
        .collect();
    let next = (skip.saturating_add(limit) < total).then(|| (number + 1).to_string());
    let mut response = page::reply(
        &hub,
        &uri,
        &params,
        &items,
        next.as_deref().map(|next| ("p", next)),
    );
    response
        .headers_mut()
        .insert("x-total-count", HeaderValue::from(total));
    Ok(response)
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

/// `POST /api/{type}s/{id}/super-squash/{rev}`
pub(crate) async fn super_squash(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    JsonBody(body): JsonBody<SuperSquash>,
) -> HubResult<Json<Squashed>> {
    let repo = target.write(&hub, &caller).await?;
    let revision = target.name()?;
    hub.revision(&repo, &revision).await?;
    let branch = branch_of(&revision)?;
    let title = body
        .message
        .unwrap_or_else(|| format!("Super-squash branch '{revision}' using huggingface_hub"));
    if title.len() > MAX_SQUASH_MESSAGE {
        return Err(HubError::bad_request(format!(
            "\u{2716} Too big: expected string to have <={MAX_SQUASH_MESSAGE} characters\n  \u{2192} at message"
        )));
    }
    let author = caller.require()?.name.clone();
    let done = hub.squash(&repo, branch, author, title).await?;
    Ok(Json(Squashed {
        commit_id: done.oid.to_string(),
    }))
}
