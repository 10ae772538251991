//! Files of a revision.

use std::collections::{BTreeMap, HashMap};

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Uri};

use super::page;
use super::query::Params;
use super::target::Target;
use crate::extract::Caller;
use crate::git::Mode;
use crate::reply::{HubError, HubResult, X_REPO_COMMIT};
use crate::repos::{Commit, Item, LastCommit, Repo, RepoPath};
use crate::state::AppState;
use crate::wire;
use crate::wire::files::{OneOrMany, PathsInfo, SecurityStatus, TreeCommit, TreeItem, TreeLfs, TreeSize};

const MAX_PATHS: usize = 2000;

/// `GET /api/{type}s/{id}/tree/{rev}[/{path}]`
pub(crate) async fn tree(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    uri: Uri,
    params: Params,
) -> HubResult<Response> {
    let repo = target.read(&hub, &caller).await?;
    let (revision, path) = target.revision_and_path()?;
    let expand = params.flag("expand");
    let limit = params
        .number(
            "limit",
            if expand { 100 } else { 1000 },
            if expand { 100 } else { 1000 },
        )
        .max(1);
    // The pages of one listing are of one commit, even if the branch moves between them.
    let (commit, after) = match params.text("cursor") {
        None => (hub.revision(&repo, &revision).await?, None),
        Some(cursor) => {
            let place = page::place(cursor)?;
            let (oid, after) = place
                .split_once(':')
                .ok_or_else(|| HubError::bad_request("Invalid cursor"))?;
            (hub.revision(&repo, oid).await?, Some(after.to_owned()))
        }
    };
    let base = path.as_deref().map(RepoPath::parse).transpose()?;
    if hub.folder(commit.tree, base.as_ref()).await?.is_none() {
        let path = path.unwrap_or_default();
        return Err(
            HubError::entry_not_found(format!("{path} does not exist on \"{revision}\""))
                .with_header(X_REPO_COMMIT, &commit.oid.to_string()),
        );
    }
    let folder = hub
        .folder(commit.tree, base.as_ref())
        .await?
        .unwrap_or(commit.tree);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (items, more) = hub
        .walk(
            folder,
            base.as_ref(),
            params.flag("recursive"),
            after.as_deref(),
            limit,
        )
        .await?;
    let next = items
        .last()
        .filter(|_| more)
        .map(|last| page::cursor(&format!("{}:{}", commit.oid, last.path)));
    let items = wire_items(&hub, &repo, &commit, items, expand).await?;
    Ok(page::reply(
        &hub,
        &uri,
        &params,
        &items,
        next.as_deref().map(|next| ("cursor", next)),
    ))
}

async fn wire_items(
    hub: &AppState,
    repo: &Repo,
    commit: &Commit,
    items: Vec<Item>,
    expand: bool,
) -> HubResult<Vec<TreeItem>> {
    let mut last = if expand {
        last_commits(hub, repo, commit, &items).await?
    } else {
        HashMap::new()
    };
    let mut found = Vec::with_capacity(items.len());
    for item in items {
        let pointer = item
            .blob
            .as_ref()
            .and_then(|blob| blob.pointer.as_ref().map(|pointer| (pointer, blob.size)));
        let xet_hash = match pointer {
            Some((pointer, _)) => hub.large.xet_hash(&pointer.sha256).await?,
            None => None,
        };
        found.push(TreeItem {
            kind: if item.blob.is_some() { "file" } else { "directory" },
            oid: item.oid.to_string(),
            size: item.blob.as_ref().map_or(0, |blob| blob.real_size()),
            lfs: pointer.map(|(pointer, pointer_size)| TreeLfs {
                oid: pointer.sha256.clone(),
                size: pointer.size,
                pointer_size,
            }),
            xet_hash,
            last_commit: last.remove(&item.path).map(|last| TreeCommit {
                id: last.oid,
                title: last.title,
                date: wire::time(last.at_ms),
            }),
            security_file_status: (expand && item.blob.is_some()).then_some(SecurityStatus::UNSCANNED),
            path: item.path,
        });
    }
    Ok(found)
}

async fn last_commits(
    hub: &AppState,
    repo: &Repo,
    commit: &Commit,
    items: &[Item],
) -> HubResult<HashMap<String, LastCommit>> {
    let mut by_folder: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for item in items {
        let (folder, name) = match item.path.rsplit_once('/') {
            Some((folder, name)) => (Some(folder), name),
            None => (None, item.path.as_str()),
        };
        by_folder.entry(folder).or_default().push(name);
    }
    let mut found = HashMap::with_capacity(items.len());
    for (folder, names) in by_folder {
        let base = folder.map(RepoPath::parse).transpose()?;
        for (name, last) in hub.last_commits(repo, commit, base.as_ref(), &names).await? {
            let path = folder.map_or_else(|| name.clone(), |folder| format!("{folder}/{name}"));
            found.insert(path, last);
        }
    }
    Ok(found)
}

/// `POST /api/{type}s/{id}/paths-info/{rev}`: a form or JSON; paths that are not there are left out.
pub(crate) async fn paths_info(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    headers: HeaderMap,
    body: Bytes,
) -> HubResult<Json<Vec<TreeItem>>> {
    let repo = target.read(&hub, &caller).await?;
    let commit = hub.revision(&repo, &target.name()?).await?;
    let (paths, expand) = read_paths(&headers, &body)?;
    if paths.len() > MAX_PATHS {
        return Err(HubError::bad_request(format!(
            "\u{2716} Too big: at most {MAX_PATHS} paths\n  \u{2192} at paths"
        )));
    }
    let mut items = Vec::with_capacity(paths.len());
    for path in paths {
        // What can't be a path can't be in the repo.
        let Ok(path) = RepoPath::parse(path.trim_end_matches('/')) else {
            continue;
        };
        let Some(entry) = hub.entry(commit.tree, &path).await? else {
            continue;
        };
        let blob = match entry.mode {
            Mode::File => hub.blobs(&[entry.oid]).await?.remove(&entry.oid),
            Mode::Directory => None,
        };
        items.push(Item {
            path: path.to_string(),
            oid: entry.oid,
            blob,
        });
    }
    Ok(Json(wire_items(&hub, &repo, &commit, items, expand).await?))
}

fn read_paths(headers: &HeaderMap, body: &[u8]) -> HubResult<(Vec<String>, bool)> {
    let is_form = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    if is_form {
        let form = Params::parse(body);
        return Ok((
            form.all("paths").map(str::to_owned).collect(),
            form.flag("expand"),
        ));
    }
    let info: PathsInfo = serde_json::from_slice(body)
        .map_err(|error| HubError::bad_request(format!("\u{2716} Invalid request body: {error}")))?;
    let paths = match info.paths {
        OneOrMany::One(path) => vec![path],
        OneOrMany::Many(paths) => paths,
    };
    Ok((paths, info.expand))
}

/// `GET /api/{type}s/{id}/treesize/{rev}[/{path}]`
pub(crate) async fn tree_size(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
) -> HubResult<Json<TreeSize>> {
    let repo = target.read(&hub, &caller).await?;
    let (revision, path) = target.revision_and_path()?;
    let commit = hub.revision(&repo, &revision).await?;
    let base = path.as_deref().map(RepoPath::parse).transpose()?;
    let folder = hub
        .folder(commit.tree, base.as_ref())
        .await?
        .ok_or_else(|| HubError::entry_not_found("Entry not found"))?;
    let files = hub.all_files(folder, base.as_ref()).await?;
    let size = files
        .iter()
        .filter_map(|item| item.blob.as_ref())
        .map(|blob| blob.real_size())
        .sum();
    Ok(Json(TreeSize {
        path: format!("/{}", path.unwrap_or_default()),
        size,
    }))
}
