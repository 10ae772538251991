//! Datasets that were built here: their list, their rows and their card. Cards of pushed ones, too.

use std::path::PathBuf;

use axum::extract::State;
use bashgym_core::CoreError;
use bashgym_core::session::{BuiltSet, built_card, built_rows, list_built};
use bashgym_traces::Split;
use hf_core::{HfError, RepoType, Revision};
use hf_datasets::{MAX_PAGE_ROWS, Progress, RepoFiles};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::extract::{Path, Query};
use crate::page::{Page, PageQuery};
use crate::parts::ServerParts;
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::roots::folder_name;
use crate::state::AppState;

/// The folder of a dataset that was built here.
///
/// # Errors
/// [`Problem`] of code `not_found` or `invalid`.
pub(super) fn folder_of(parts: &ServerParts, name: &str) -> Result<PathBuf, Problem> {
    let dir = parts.datasets_dir.join(folder_name(name)?);
    if dir.is_dir() {
        return Ok(dir);
    }
    Err(Problem::new(Code::NotFound, "there is no dataset of this name")
        .hint("build one first: POST /api/datasets"))
}

/// Does work on a thread that may wait for the disk.
async fn waiting<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CoreError> + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|_| Problem::new(Code::Internal, "the dataset could not be read"))??)
}

/// A dataset that was built here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuiltView {
    /// Its name here.
    name: String,
    /// Sessions it is made of.
    sessions: u64,
    /// Rows to train on.
    rows_train: u64,
    /// Rows held out.
    rows_val: u64,
    /// When it was written.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    built_at: Option<Timestamp>,
    /// How many of its rows are made of the session that was asked for; null where none was.
    #[schema(required)]
    rows_of_session: Option<u64>,
}

impl BuiltView {
    fn new(set: BuiltSet, rows_of_session: Option<u64>) -> Self {
        Self {
            name: set.name,
            sessions: set.sessions,
            rows_train: set.rows_train,
            rows_val: set.rows_val,
            built_at: set.built_at,
            rows_of_session,
        }
    }
}

/// Which datasets.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BuiltQuery {
    /// Only those that have rows of this session.
    session: Option<String>,
}

/// The datasets that were built here, by name.
#[utoipa::path(get, path = "/api/datasets", tag = "data", params(PageQuery, BuiltQuery),
    responses((status = 200, body = Page<BuiltView>), Failures, Missing))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Query(page): Query<PageQuery>,
    Query(query): Query<BuiltQuery>,
) -> Result<axum::Json<Page<BuiltView>>, Problem> {
    let limit = page.limit()?;
    let folder = state.parts.datasets_dir.clone();
    let after = page.after.unwrap_or_default();
    let views = waiting(move || {
        let sets = list_built(&folder)?.into_iter().filter(|set| set.name > after);
        let mut views = Vec::new();
        for set in sets {
            let rows = match &query.session {
                Some(session) => {
                    let dir = folder.join(&set.name);
                    let count =
                        |split| Ok::<_, CoreError>(built_rows(&dir, split, Some(session), 0, 0)?.total);
                    Some(count(Split::Train)? + count(Split::Val)?)
                }
                None => None,
            };
            if rows != Some(0) {
                views.push(BuiltView::new(set, rows));
            }
            if views.len() > limit as usize {
                break;
            }
        }
        Ok(views)
    })
    .await?;
    Ok(axum::Json(Page::cut(views, limit, |set| set.name.clone())))
}

/// Which rows of a dataset that was built here.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BuiltRowQuery {
    /// `train` or `validation`.
    #[param(default = "train")]
    split: Option<String>,
    /// Only rows that are made of this session.
    session: Option<String>,
    /// The first row.
    #[param(default = 0)]
    offset: Option<u64>,
    /// How many rows.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u64>,
}

/// Rows of a dataset that was built here.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BuiltRowsView {
    /// How many rows there are: of the split, or of the session in it.
    total: u64,
    /// The rows: `index` in the split, and `row`; null for one that does not read.
    #[schema(value_type = Vec<Object>)]
    rows: Vec<Value>,
}

/// Rows of a dataset that was built here, before it is sent anywhere.
#[utoipa::path(get, path = "/api/datasets/{name}/rows", operation_id = "built_rows", tag = "data",
    params(("name" = String, Path, description = "The dataset's name here"), BuiltRowQuery),
    responses((status = 200, body = BuiltRowsView), Failures, Missing))]
pub(crate) async fn rows(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Query(query): Query<BuiltRowQuery>,
) -> Result<axum::Json<BuiltRowsView>, Problem> {
    let limit = query.limit.unwrap_or(20);
    if !(1..=MAX_PAGE_ROWS).contains(&limit) {
        return Err(Problem::new(
            Code::BadRequest,
            format!("limit is 1 to {MAX_PAGE_ROWS}"),
        ));
    }
    let asked = query.split.as_deref().unwrap_or("train");
    let split = Split::ALL.into_iter().find(|split| split.name() == asked);
    let split =
        split.ok_or_else(|| Problem::new(Code::NotFound, "the splits are `train` and `validation`"))?;
    let dir = folder_of(&state.parts, &name)?;
    let found = waiting(move || {
        let session = query.session.as_deref();
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        built_rows(&dir, split, session, query.offset.unwrap_or_default(), limit)
    })
    .await?;
    let rows = found.rows.into_iter();
    Ok(axum::Json(BuiltRowsView {
        total: found.total,
        rows: rows
            .map(|(index, row)| json!({ "index": index, "row": row }))
            .collect(),
    }))
}

/// A dataset's card.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Card {
    /// The text of its `README.md`, as Markdown behind YAML; null where it has none.
    #[schema(required)]
    text: Option<String>,
}

/// The card of a dataset that was built here.
#[utoipa::path(get, path = "/api/datasets/{name}/card", operation_id = "built_card", tag = "data",
    params(("name" = String, Path, description = "The dataset's name here")),
    responses((status = 200, body = Card), Failures, Missing))]
pub(crate) async fn card(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<Card>, Problem> {
    let dir = folder_of(&state.parts, &name)?;
    let text = waiting(move || built_card(&dir)).await?;
    Ok(axum::Json(Card { text }))
}

/// The card of a dataset repository.
#[utoipa::path(get, path = "/api/hf/datasets/{repo}/card", operation_id = "hub_card", tag = "hugging face",
    params(("repo" = String, Path, description = "The repository, with or without its namespace")),
    responses((status = 200, body = Card), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn hub_card(
    State(state): State<AppState>,
    Path(repo): Path<String>,
) -> Result<axum::Json<Card>, Problem> {
    let hub = state.hub().await?;
    let repo = hub.repo_id(&repo)?;
    // A copy that is there is asked for again only when it changed.
    let key = blake3::hash(format!("{} {repo}", hub.target().hub).as_bytes()).to_hex();
    let dir = state.parts.work_dir.join("cards").join(&key[..32]);
    let files = RepoFiles::new(&hub.client, RepoType::Dataset, repo);
    let fetched = files
        .download_file(
            "README.md",
            &Revision::main(),
            &dir.join("README.md"),
            &Progress::none(),
        )
        .await;
    match fetched {
        Ok(_) => {}
        Err(HfError::NotFound { .. }) if files.exists().await? => {
            return Ok(axum::Json(Card { text: None }));
        }
        Err(error) => return Err(error.into()),
    }
    let text = waiting(move || built_card(&dir)).await?;
    Ok(axum::Json(Card { text }))
}
