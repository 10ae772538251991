//! Datasets: on the Hub, and the ones built here.

use axum::extract::State;
use bashgym_core::task::NewTask;
use hf_core::{Namespace, RepoId, Revision};
use hf_datasets::{DatasetViewer, HfDatasetManager, MAX_PAGE_ROWS, ViewerState};
use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::dataset_tasks::{BUILD, BuildInput, PULL, PullInput, UPLOAD, UploadInput, taken};
use super::sessions::inputs;
use super::tasks::TaskView;
use crate::audit::Did;
use crate::extract::{Json, Path, Query};
use crate::page::{Page, PageQuery};
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::replay::key_of;
use crate::roots::folder_name;
use crate::state::AppState;

/// A dataset repository.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DatasetView {
    /// The repository.
    repo_id: String,
    /// Whether only its owner sees it.
    #[schema(required)]
    private: Option<bool>,
    /// When it last changed.
    #[schema(required)]
    last_modified: Option<String>,
}

/// Which datasets.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DatasetQuery {
    /// Only those whose name begins so.
    prefix: Option<String>,
}

/// The dataset repositories of the namespace, by name.
#[utoipa::path(get, path = "/api/hf/datasets", tag = "hugging face", params(PageQuery, DatasetQuery),
    responses((status = 200, body = Page<DatasetView>), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Query(page): Query<PageQuery>,
    Query(query): Query<DatasetQuery>,
) -> Result<axum::Json<Page<DatasetView>>, Problem> {
    let limit = page.limit()?;
    let hub = state.hub().await?;
    let manager = HfDatasetManager::new(hub.client.clone(), hub.namespace.clone());
    let mut found = manager
        .list_datasets(query.prefix.as_deref().unwrap_or_default())
        .await?;
    found.sort_by(|a, b| a.repo_id.cmp(&b.repo_id));
    let after = page.after.unwrap_or_default();
    let views = found
        .into_iter()
        .filter(|repo| repo.repo_id > after)
        .take(limit as usize + 1)
        .map(|repo| DatasetView {
            private: serde_json::to_value(repo.private)
                .ok()
                .and_then(|value| value.as_bool()),
            last_modified: serde_json::to_value(&repo.last_modified)
                .ok()
                .and_then(|value| value.as_str().map(str::to_owned)),
            repo_id: repo.repo_id,
        })
        .collect();
    Ok(axum::Json(Page::cut(views, limit, |repo| repo.repo_id.clone())))
}

/// A dataset to build from sessions.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BuildRequest {
    /// Its name here: letters, digits, points, dashes, underscores.
    #[schema(
        min_length = 1,
        max_length = 96,
        pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$",
        example = "my-sessions"
    )]
    name: String,
    /// Session logs, or folders of them, below allowed folders; without any, the agents' own.
    #[serde(default)]
    paths: Vec<String>,
    /// Decides which sessions are held out; 42 without it.
    seed: Option<u64>,
    /// The share of rows held out for validation, above 0 and below 1; 0.1 without it.
    #[schema(exclusive_minimum = 0, exclusive_maximum = 1)]
    val_fraction: Option<f64>,
}

/// The share of held-out rows.
pub(crate) fn share(asked: Option<f64>) -> Result<f64, Problem> {
    match asked.unwrap_or(0.1) {
        share if share > 0.0 && share < 1.0 => Ok(share),
        _ => Err(Problem::new(Code::Invalid, "val_fraction is above 0 and below 1")),
    }
}

/// Builds a dataset from sessions, as a task. Secrets are taken out; look at `GET /api/tasks/{id}`.
#[utoipa::path(post, path = "/api/datasets", tag = "data", request_body = BuildRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same task")),
    responses((status = 202, body = TaskView), Failures, Missing, Refusals))]
pub(crate) async fn build(
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(request): Json<BuildRequest>,
) -> Result<(StatusCode, axum::Json<TaskView>), Problem> {
    let input = BuildInput {
        name: folder_name(&request.name)?.to_owned(),
        inputs: inputs(&state, &request.paths)?,
        seed: request.seed.unwrap_or(42),
        val_fraction: share(request.val_fraction)?,
    };
    if input.inputs.is_empty() {
        return Err(
            Problem::new(Code::Data, "no coding agent has left sessions on this machine")
                .hint("name a folder in `paths`"),
        );
    }
    submit(&state, BUILD, json!(input), &headers).await
}

pub(super) async fn submit(
    state: &AppState,
    kind: &str,
    input: Value,
    headers: &HeaderMap,
) -> Result<(StatusCode, axum::Json<TaskView>), Problem> {
    let task = NewTask {
        kind: kind.to_owned(),
        input,
        idempotency_key: key_of(headers)?,
    };
    let (task, _) = state.tasks.submit(task).await?;
    Ok((StatusCode::ACCEPTED, axum::Json(task.into())))
}

/// A dataset to send to the Hub.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UploadRequest {
    /// The name of a dataset that was built here. Either this or `path`.
    name: Option<String>,
    /// A dataset folder below an allowed folder.
    path: Option<String>,
    /// The repository, with or without its namespace.
    #[schema(example = "my-sessions")]
    repo: String,
    /// Let everybody read it; otherwise only you can.
    #[serde(default)]
    public: bool,
}

/// Sends a dataset to the Hub as one commit, as a task. Every file passes the secret gate first.
#[utoipa::path(post, path = "/api/hf/datasets", tag = "hugging face", request_body = UploadRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same task")),
    responses((status = 202, body = TaskView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn upload(
    State(state): State<AppState>,
    headers: HeaderMap,
    Json(request): Json<UploadRequest>,
) -> Result<(StatusCode, axum::Json<TaskView>), Problem> {
    let dir = match (&request.name, &request.path) {
        (Some(name), None) => state.parts.datasets_dir.join(folder_name(name)?),
        (None, Some(path)) => state.parts.resolve(path)?,
        _ => {
            return Err(Problem::new(
                Code::Invalid,
                "either `name` or `path` says which dataset",
            ));
        }
    };
    if !dir.join("metadata.json").is_file() {
        return Err(Problem::new(Code::NotFound, "there is no dataset of this name")
            .hint("build one first: POST /api/datasets"));
    }
    let hub = state.hub().await?;
    let input = UploadInput {
        dir,
        repo_id: hub.repo_id(&request.repo)?.to_string(),
        private: !request.public,
        hub: hub.target().hub,
    };
    submit(&state, UPLOAD, json!(input), &headers).await
}

/// A dataset to fetch.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PullRequest {
    /// Its name here; that of the repository without it.
    #[schema(
        min_length = 1,
        max_length = 96,
        pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,95}$"
    )]
    name: Option<String>,
    /// The branch, tag or commit; main without it.
    revision: Option<String>,
}

/// Fetches a dataset from the Hub into a dataset here, as a task; 409 when there is one of this name. Half of one is not shown, and the
/// same request goes on with it.
#[utoipa::path(post, path = "/api/hf/datasets/{repo}/pull", tag = "hugging face", request_body = PullRequest,
    params(("repo" = String, Path, description = "The repository, with or without its namespace"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again is the same task")),
    responses((status = 202, body = TaskView), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn pull(
    State(state): State<AppState>,
    Path(repo): Path<String>,
    headers: HeaderMap,
    Json(request): Json<PullRequest>,
) -> Result<(StatusCode, axum::Json<TaskView>), Problem> {
    let hub = state.hub().await?;
    let repo_id = hub.repo_id(&repo)?;
    let name = folder_name(request.name.as_deref().unwrap_or_else(|| repo_id.name()))?.to_owned();
    if state.parts.datasets_dir.join(&name).exists() {
        return Err(taken(&name));
    }
    let revision = match request.revision.as_deref() {
        Some(revision) => revision.parse::<Revision>()?,
        None => Revision::main(),
    };
    let input = PullInput {
        repo_id,
        revision,
        name,
        hub: hub.target().hub,
    };
    submit(&state, PULL, json!(input), &headers).await
}

/// Deletes a dataset repository with all its revisions. The header `X-Confirm` repeats its full name.
#[utoipa::path(delete, path = "/api/hf/datasets/{repo}", tag = "hugging face",
    params(("repo" = String, Path, description = "The repository, with or without its namespace"),
        ("X-Confirm" = String, Header, description = "The repository's full name once more")),
    responses((status = 204, description = "It is deleted"), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn remove(
    State(state): State<AppState>,
    Path(repo): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let hub = state.hub().await?;
    let repo = hub.repo_id(&repo)?;
    let confirmed = headers.get("x-confirm").and_then(|name| name.to_str().ok());
    if confirmed != Some(repo.as_str()) {
        return Err(Problem::new(
            Code::Invalid,
            format!("{repo} would be deleted with all its revisions"),
        )
        .hint(format!("send `X-Confirm: {repo}` to delete it")));
    }
    let namespace = match repo.namespace() {
        Some(namespace) => Namespace::parse(namespace)?,
        None => hub.namespace.clone(),
    };
    HfDatasetManager::new(hub.client.clone(), namespace)
        .delete_dataset(repo.as_str())
        .await?;
    state.audit(Did::Deleted, "dataset_deleted", &repo).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Which rows.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RowQuery {
    /// The config; the first one without it.
    config: Option<String>,
    /// The split; the first one without it.
    split: Option<String>,
    /// The first row.
    #[param(default = 0)]
    offset: Option<u64>,
    /// How many rows.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u64>,
}

/// A split of a dataset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SplitView {
    /// Its config.
    config: String,
    /// Its name.
    split: String,
}

/// Rows of a dataset.
#[expect(clippy::struct_field_names, reason = "the names of the answer's keys")]
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Rows {
    /// `ready`, `pending` while the viewer has not read it yet, or `unavailable`.
    state: &'static str,
    /// Why it is unavailable.
    #[schema(required)]
    why: Option<String>,
    /// How many rows the split has.
    #[schema(required)]
    total: Option<u64>,
    /// Every config and split there is, once it is ready.
    splits: Vec<SplitView>,
    /// The rows: `index` and `row`.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Value>,
}

/// Rows of a pushed dataset, as Data Studio shows them.
#[utoipa::path(get, path = "/api/hf/datasets/{repo}/rows", tag = "hugging face",
    params(("repo" = String, Path, description = "The repository, with or without its namespace"), RowQuery),
    responses((status = 200, body = Rows), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn rows(
    State(state): State<AppState>,
    Path(repo): Path<String>,
    Query(query): Query<RowQuery>,
) -> Result<axum::Json<Rows>, Problem> {
    let limit = query.limit.unwrap_or(20);
    if !(1..=MAX_PAGE_ROWS).contains(&limit) {
        return Err(Problem::new(
            Code::BadRequest,
            format!("limit is 1 to {MAX_PAGE_ROWS}"),
        ));
    }
    let hub = state.hub().await?;
    let repo: RepoId = hub.repo_id(&repo)?;
    let viewer = DatasetViewer::new(&hub.client, repo)?;
    let none = |state, why| Rows {
        state,
        why,
        total: None,
        splits: Vec::new(),
        rows: Vec::new(),
    };
    match viewer.state().await? {
        ViewerState::Ready(_) => {}
        ViewerState::Pending => return Ok(axum::Json(none("pending", None))),
        ViewerState::Unavailable { why, .. } => return Ok(axum::Json(none("unavailable", Some(why)))),
    }
    let splits = viewer.splits().await?;
    let split = splits.iter().find(|one| {
        query.config.as_ref().is_none_or(|config| *config == one.config)
            && query.split.as_ref().is_none_or(|split| *split == one.split)
    });
    let split =
        split.ok_or_else(|| Problem::new(Code::NotFound, "the dataset has no such config or split"))?;
    let rows = viewer
        .rows(split, query.offset.unwrap_or_default(), limit)
        .await?;
    Ok(axum::Json(Rows {
        state: "ready",
        why: None,
        total: rows.total,
        splits: splits
            .into_iter()
            .map(|one| SplitView {
                config: one.config,
                split: one.split,
            })
            .collect(),
        rows: rows
            .rows
            .into_iter()
            .map(|row| json!({ "index": row.index, "row": row.cells }))
            .collect(),
    }))
}
