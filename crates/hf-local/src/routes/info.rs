//! Describing repos, one or many.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use http::Uri;
use serde_json::Value;

use super::page;
use super::query::Params;
use super::target::Target;
use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::repos::{Commit, Facts, ListFilter, Repo, RepoKind};
use crate::state::AppState;
use crate::wire;
use crate::wire::repos::{RepoInfo, Sibling, SiblingLfs};

/// The fields a client can ask for, by kind of repo.
fn expandable(kind: RepoKind) -> &'static [&'static str] {
    match kind {
        RepoKind::Model => &[
            "author",
            "baseModels",
            "cardData",
            "childrenModelCount",
            "config",
            "createdAt",
            "disabled",
            "downloads",
            "downloadsAllTime",
            "evalResults",
            "gated",
            "gguf",
            "inference",
            "inferenceProviderMapping",
            "lastModified",
            "library_name",
            "likes",
            "mask_token",
            "model-index",
            "pipeline_tag",
            "private",
            "resourceGroup",
            "safetensors",
            "sha",
            "siblings",
            "spaces",
            "tags",
            "transformersInfo",
            "trendingScore",
            "usedStorage",
            "widgetData",
            "xetEnabled",
        ],
        RepoKind::Dataset => &[
            "author",
            "cardData",
            "citation",
            "createdAt",
            "description",
            "disabled",
            "downloads",
            "downloadsAllTime",
            "gated",
            "lastModified",
            "likes",
            "mainSize",
            "paperswithcode_id",
            "private",
            "resourceGroup",
            "sha",
            "siblings",
            "tags",
            "trendingScore",
            "usedStorage",
            "xetEnabled",
        ],
        RepoKind::Space => &[
            "author",
            "cardData",
            "createdAt",
            "datasets",
            "disabled",
            "lastModified",
            "likes",
            "models",
            "private",
            "region",
            "resourceGroup",
            "runtime",
            "sdk",
            "sha",
            "siblings",
            "subdomain",
            "tags",
            "trendingScore",
            "usedStorage",
            "xetEnabled",
        ],
    }
}

const FULL: &[&str] = &[
    "author",
    "cardData",
    "config",
    "createdAt",
    "description",
    "disabled",
    "downloads",
    "gated",
    "host",
    "lastModified",
    "library_name",
    "likes",
    "model-index",
    "modelId",
    "pipeline_tag",
    "private",
    "runtime",
    "sdk",
    "sha",
    "siblings",
    "spaces",
    "subdomain",
    "tags",
    "usedStorage",
];

const SHORT: &[&str] = &[
    "author",
    "createdAt",
    "description",
    "disabled",
    "downloads",
    "gated",
    "lastModified",
    "library_name",
    "likes",
    "modelId",
    "pipeline_tag",
    "private",
    "sdk",
    "sha",
    "tags",
    "trendingScore",
];

/// Which fields a reply has.
struct Wanted<'a> {
    fields: BTreeSet<&'a str>,
    blobs: bool,
}

impl<'a> Wanted<'a> {
    fn new(kind: RepoKind, params: &'a Params, default: &[&'a str]) -> HubResult<Self> {
        let asked: BTreeSet<&str> = params.all("expand").collect();
        if let Some(unknown) = asked.iter().find(|field| !expandable(kind).contains(field)) {
            return Err(HubError::bad_request(format!(
                "\u{2716} Invalid option: {unknown:?} is not a field of a {}\n  \u{2192} at expand",
                kind.name()
            )));
        }
        let fields = if asked.is_empty() {
            default.iter().copied().collect()
        } else {
            asked
        };
        Ok(Self {
            fields,
            blobs: params.flag("blobs"),
        })
    }

    fn add(mut self, fields: &[&'a str], when: bool) -> Self {
        if when {
            self.fields.extend(fields);
        }
        self
    }

    fn has(&self, field: &str) -> bool {
        self.fields.contains(field)
    }
}

/// `GET /api/{type}s/{id}`
pub(crate) async fn info(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    params: Params,
) -> HubResult<Json<RepoInfo>> {
    let repo = target.read(&hub, &caller).await?;
    let wanted = Wanted::new(repo.id.kind, &params, FULL)?;
    let commit = hub.head(&repo).await?;
    Ok(Json(describe(&hub, &repo, commit.as_ref(), &wanted).await?))
}

/// `GET /api/{type}s/{id}/revision/{rev}`
pub(crate) async fn info_at(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    params: Params,
) -> HubResult<Json<RepoInfo>> {
    let repo = target.read(&hub, &caller).await?;
    let wanted = Wanted::new(repo.id.kind, &params, FULL)?;
    let commit = hub.revision(&repo, &target.name()?).await?;
    Ok(Json(describe(&hub, &repo, Some(&commit), &wanted).await?))
}

async fn describe(
    hub: &AppState,
    repo: &Repo,
    commit: Option<&Commit>,
    wanted: &Wanted<'_>,
) -> HubResult<RepoInfo> {
    let kind = repo.id.kind;
    let is = |of: RepoKind, field: &str| kind == of && wanted.has(field);
    let facts: Option<std::sync::Arc<Facts>> = match commit {
        Some(commit) => Some(hub.facts(kind, commit).await?),
        None => None,
    };
    let facts = facts.as_deref();
    let siblings = match commit {
        Some(commit) if wanted.has("siblings") => Some(siblings(hub, commit, wanted.blobs).await?),
        _ => None,
    };
    let runtime = if is(RepoKind::Space, "runtime") {
        Some(crate::spaces::describe(hub, repo).await?)
    } else {
        None
    };
    let used_storage = if wanted.has("usedStorage") {
        Some(hub.used_storage(repo).await?)
    } else {
        None
    };
    let mapping = if is(RepoKind::Model, "inferenceProviderMapping") || is(RepoKind::Model, "inference") {
        Some(crate::inference::mapping(hub, repo).await?)
    } else {
        None
    };
    let is_served = mapping
        .as_ref()
        .is_some_and(|map| map.get("hf-inference").is_some());
    let card = facts.and_then(|facts| facts.card.clone());
    let last_modified = commit.map_or(repo.created_ms, |commit| commit.at_ms);
    Ok(RepoInfo {
        oid: repo.oid.clone(),
        id: repo.id.path(),
        private: wanted.has("private").then_some(!repo.is_public()),
        pipeline_tag: facts
            .filter(|_| is(RepoKind::Model, "pipeline_tag"))
            .and_then(|facts| facts.pipeline.clone()),
        library_name: facts
            .filter(|_| is(RepoKind::Model, "library_name"))
            .and_then(|facts| facts.library.clone()),
        tags: wanted
            .has("tags")
            .then(|| facts.map_or_else(Vec::new, |facts| facts.tags.clone())),
        // Nobody counts here: what is shown is what is true, none.
        downloads: (kind != RepoKind::Space && wanted.has("downloads")).then_some(0),
        downloads_all_time: wanted.has("downloadsAllTime").then_some(0),
        likes: wanted.has("likes").then_some(0),
        trending_score: wanted.has("trendingScore").then_some(0),
        model_id: is(RepoKind::Model, "modelId").then(|| repo.id.path()),
        author: wanted.has("author").then(|| repo.id.namespace.clone()),
        sha: commit
            .filter(|_| wanted.has("sha"))
            .map(|commit| commit.oid.to_string()),
        last_modified: wanted.has("lastModified").then(|| wire::time(last_modified)),
        gated: (kind != RepoKind::Space && wanted.has("gated")).then(|| match repo.gated.as_str() {
            "false" => Value::Bool(false),
            mode => Value::String(mode.to_owned()),
        }),
        disabled: wanted.has("disabled").then_some(false),
        model_index: is(RepoKind::Model, "model-index").then(|| {
            card.as_ref()
                .and_then(|card| card.get("model-index"))
                .cloned()
                .unwrap_or(Value::Null)
        }),
        config: is(RepoKind::Model, "config").then(|| {
            facts
                .and_then(|facts| facts.config.clone())
                .unwrap_or_else(|| serde_json::json!({}))
        }),
        card_data: card.filter(|_| wanted.has("cardData")),
        description: facts
            .filter(|_| is(RepoKind::Dataset, "description"))
            .and_then(|facts| facts.description.clone()),
        sdk: repo.sdk.clone().filter(|_| wanted.has("sdk")),
        subdomain: is(RepoKind::Space, "subdomain").then(|| crate::spaces::subdomain(&repo.id)),
        host: is(RepoKind::Space, "host").then(|| crate::spaces::host(hub, repo)),
        runtime,
        siblings,
        spaces: is(RepoKind::Model, "spaces").then(Vec::new),
        inference: (is_served && is(RepoKind::Model, "inference")).then_some("warm"),
        inference_provider_mapping: mapping.filter(|_| wanted.has("inferenceProviderMapping")),
        created_at: wanted.has("createdAt").then(|| wire::time(repo.created_ms)),
        used_storage,
    })
}

async fn siblings(hub: &AppState, commit: &Commit, blobs: bool) -> HubResult<Vec<Sibling>> {
    let files = hub.all_files(commit.tree, None).await?;
    Ok(files
        .into_iter()
        .map(|item| {
            let blob = item.blob.filter(|_| blobs);
            let lfs = blob.as_ref().and_then(|blob| {
                let pointer = blob.pointer.as_ref()?;
                Some(SiblingLfs {
                    sha256: pointer.sha256.clone(),
                    size: pointer.size,
                    pointer_size: blob.size,
                })
            });
            Sibling {
                rfilename: item.path,
                size: blob.as_ref().map(|blob| blob.real_size()),
                blob_id: blob.as_ref().map(|_| item.oid.to_string()),
                lfs,
            }
        })
        .collect())
}

/// `GET /api/models`
pub(crate) async fn list_models(
    state: State<AppState>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> HubResult<Response> {
    list(state, caller, uri, params, RepoKind::Model).await
}

/// `GET /api/datasets`
pub(crate) async fn list_datasets(
    state: State<AppState>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> HubResult<Response> {
    list(state, caller, uri, params, RepoKind::Dataset).await
}

/// `GET /api/spaces`
pub(crate) async fn list_spaces(
    state: State<AppState>,
    caller: Caller,
    uri: Uri,
    params: Params,
) -> HubResult<Response> {
    list(state, caller, uri, params, RepoKind::Space).await
}

async fn list(
    State(hub): State<AppState>,
    caller: Caller,
    uri: Uri,
    params: Params,
    kind: RepoKind,
) -> HubResult<Response> {
    let limit = params.number("limit", 1000, 1000).max(1);
    let wanted = Wanted::new(kind, &params, SHORT)?
        .add(&["siblings"], params.flag("full"))
        .add(
            &["cardData"],
            params.flag("cardData") || (params.flag("full") && kind != RepoKind::Model),
        )
        .add(&["config"], params.flag("config"));
    let filter = ListFilter {
        author: params.text("author").map(str::to_owned),
        search: params.text("search").map(str::to_owned),
    };
    let mut tags: Vec<&str> = params
        .all("filter")
        .flat_map(|tags| tags.split(','))
        .filter(|tag| !tag.is_empty())
        .collect();
    tags.extend(params.text("pipeline_tag"));
    let mut repos = Vec::new();
    for repo in hub.list_repos(kind, &filter).await? {
        if !caller.sees(repo.is_public(), &repo.id.namespace) {
            continue;
        }
        if params
            .text("gated")
            .is_some_and(|gated| (gated == "true") != (repo.gated != "false"))
        {
            continue;
        }
        if !tags.is_empty() {
            let Some(commit) = hub.head(&repo).await? else {
                continue;
            };
            let facts = hub.facts(kind, &commit).await?;
            if !tags.iter().all(|tag| facts.tags.iter().any(|has| has == tag)) {
                continue;
            }
        }
        repos.push(repo);
    }
    // Newest first is also the order of equal downloads, likes and trending scores: all are 0 here.
    match params.text("sort") {
        Some("lastModified") => repos.sort_by_key(|repo| std::cmp::Reverse((repo.updated_ms, repo.row))),
        None | Some("createdAt" | "created_at" | "trendingScore" | "downloads" | "likes") => {}
        Some("last_modified") => repos.sort_by_key(|repo| std::cmp::Reverse((repo.updated_ms, repo.row))),
        Some(other) => {
            return Err(HubError::bad_request(format!(
                "\u{2716} Invalid sort {other:?}\n  \u{2192} at sort"
            )));
        }
    }
    if params.text("direction") == Some("1") {
        repos.reverse();
    }
    let start = match params.text("cursor") {
        None => 0,
        Some(cursor) => {
            let after = page::place(cursor)?;
            repos
                .iter()
                .position(|repo| repo.oid == after)
                .map_or(repos.len(), |at| at + 1)
        }
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let rest = repos.get(start..).unwrap_or_default();
    let shown = rest.get(..limit.min(rest.len())).unwrap_or_default();
    let mut items = Vec::with_capacity(shown.len());
    for repo in shown {
        let commit = hub.head(repo).await?;
        items.push(describe(&hub, repo, commit.as_ref(), &wanted).await?);
    }
    let next = shown
        .last()
        .filter(|_| rest.len() > shown.len())
        .map(|repo| page::cursor(&repo.oid));
    Ok(page::reply(
        &hub,
        &uri,
        &params,
        &items,
        next.as_deref().map(|next| ("cursor", next)),
    ))
}
