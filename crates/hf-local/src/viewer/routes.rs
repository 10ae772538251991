//! The viewer's routes.

use std::sync::Arc;

use axum::Json;
use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::HeaderValue;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::answer::{ViewerError, ViewerResult, X_REVISION};
use super::condition;
use super::find::{Wanted, find};
use super::open::{Dataset, Split, dataset};
use super::table::Cells;
use crate::extract::Caller;
use crate::routes::query::Params;
use crate::state::{AppState, Hub};

const PAGE: u64 = 100;
/// An answer of first rows stays below this.
const MAX_FIRST_ROWS_BYTES: usize = 1_000_000;
/// So much of a cell is left when it is cut.
const CUT_CELL_CHARS: usize = 100;
/// So many rows are shown, cut if need be, before rows are left out.
const MIN_ROWS: usize = 10;

/// The routes, on the Hub's origin.
pub(crate) fn router() -> Router<AppState> {
    let mut routes = Router::new()
        .route("/is-valid", get(is_valid))
        .route("/splits", get(splits))
        .route("/first-rows", get(first_rows))
        .route("/rows", get(rows))
        .route("/size", get(size))
        .route("/info", get(info))
        .route("/statistics", get(statistics))
        .route("/search", get(search))
        .route("/filter", get(filter));
    for path in ["/parquet", "/croissant"] {
        routes = routes.route(path, get(not_served));
    }
    routes
}

async fn not_served(request: Request) -> ViewerError {
    ViewerError::not_served(request.uri().path())
}

fn reply(dataset: &Dataset, body: impl IntoResponse) -> Response {
    let mut response = body.into_response();
    if let Ok(revision) = HeaderValue::from_str(&dataset.revision.to_string()) {
        response.headers_mut().insert(X_REVISION, revision);
    }
    response
}

/// `GET /is-valid`
///
/// Whatever can be shown can be searched and filtered here.
async fn is_valid(State(hub): State<AppState>, caller: Caller, params: Params) -> ViewerResult<Response> {
    let dataset = dataset(&hub, &caller, &params).await?;
    let split = params.text("split");
    let shown = dataset.asked(&params)?.iter().any(|config| {
        config
            .splits
            .iter()
            .any(|known| split.is_none_or(|split| split == known.name))
    });
    let body = json!({
        "preview": shown, "viewer": shown, "search": shown, "filter": shown, "statistics": shown,
    });
    Ok(reply(&dataset, Json(body)))
}

/// `GET /splits`
async fn splits(State(hub): State<AppState>, caller: Caller, params: Params) -> ViewerResult<Response> {
    let dataset = dataset(&hub, &caller, &params).await?;
    let splits: Vec<Value> = dataset
        .asked(&params)?
        .iter()
        .flat_map(|config| {
            config
                .splits
                .iter()
                .map(|split| json!({ "dataset": dataset.name, "config": config.name, "split": split.name }))
        })
        .collect();
    let body = json!({ "splits": splits, "pending": [], "failed": [] });
    Ok(reply(&dataset, Json(body)))
}

/// Which page of rows is asked for.
fn page(params: &Params) -> ViewerResult<(u64, u64)> {
    let number = |name: &'static str, default: u64| match params.text(name) {
        None => Ok(default),
        Some(text) => text
            .parse::<u64>()
            .map_err(|_| ViewerError::wrong_parameter(name, "must be a whole number, 0 or more")),
    };
    let (offset, length) = (number("offset", 0)?, number("length", PAGE)?);
    if length > PAGE {
        return Err(ViewerError::wrong_parameter(
            "length",
            "must not be greater than 100",
        ));
    }
    Ok((offset, length))
}

/// A page of rows, of so many in all.
fn rows_body(split: &Split, rows: &[String], total: u64) -> String {
    format!(
        "{{\"features\":{},\"rows\":[{}],\"num_rows_total\":{total},\"num_rows_per_page\":{PAGE},\"partial\":false}}",
        features(split),
        rows.join(","),
    )
}

/// `GET /search`
async fn search(State(hub): State<AppState>, caller: Caller, params: Params) -> ViewerResult<Response> {
    let query = params
        .text("query")
        .filter(|query| !query.trim().is_empty())
        .ok_or_else(|| ViewerError::missing_parameter("query"))?;
    found(&hub, &caller, &params, |_| Ok(Wanted::words(query))).await
}

/// `GET /filter`
async fn filter(State(hub): State<AppState>, caller: Caller, params: Params) -> ViewerResult<Response> {
    let wanted = |split: &Split| {
        let wrong = |name: &'static str| move |why: String| ViewerError::wrong_parameter(name, &why);
        let known = |name: &'static str, column: &str| {
            if split.features.iter().any(|(known, _)| known == column) {
                Ok(())
            } else {
                Err(wrong(name)(format!(
                    "names the column {column:?}, which is not in the split"
                )))
            }
        };
        let holds = params
            .text("where")
            .map(condition::condition)
            .transpose()
            .map_err(wrong("where"))?;
        let order = params
            .text("orderby")
            .map(condition::order_by)
            .transpose()
            .map_err(wrong("orderby"))?;
        for column in holds.iter().flat_map(condition::Condition::columns) {
            known("where", column)?;
        }
        if let Some(order) = &order {
            known("orderby", order.column.column())?;
        }
        if holds.is_none() && order.is_none() {
            return Err(ViewerError::missing_parameter("where"));
        }
        Ok(Wanted::Filter(holds, order))
    };
    found(&hub, &caller, &params, wanted).await
}

/// Answers with a page of the rows that are wanted, each with its number in the split.
async fn found(
    hub: &Arc<Hub>,
    caller: &Caller,
    params: &Params,
    wanted: impl FnOnce(&Split) -> ViewerResult<Wanted>,
) -> ViewerResult<Response> {
    let (offset, length) = page(params)?;
    let dataset = dataset(hub, caller, params).await?;
    let split = dataset.split(hub, params).await?;
    let wanted = wanted(&split)?;
    let (rows, total) = find(hub, &split, &wanted, offset, length).await?;
    let rows: Vec<String> = rows
        .into_iter()
        .map(|(number, cells)| Row::new(&split, number, cells).text())
        .collect();
    Ok(reply(&dataset, raw(rows_body(&split, &rows, total))))
}

/// `GET /rows`
async fn rows(State(hub): State<AppState>, caller: Caller, params: Params) -> ViewerResult<Response> {
    let (offset, length) = page(&params)?;
    let dataset = dataset(&hub, &caller, &params).await?;
    let split = dataset.split(&hub, &params).await?;
    let cells = read_rows(&hub, &split, offset, length).await?;
    let rows: Vec<String> = cells
        .into_iter()
        .enumerate()
        .map(|(at, cells)| Row::new(&split, offset + at as u64, cells).text())
        .collect();
    let body = rows_body(&split, &rows, split.rows());
    Ok(reply(&dataset, raw(body)))
}

/// `GET /first-rows`
async fn first_rows(State(hub): State<AppState>, caller: Caller, params: Params) -> ViewerResult<Response> {
    let dataset = dataset(&hub, &caller, &params).await?;
    let split = dataset.split(&hub, &params).await?;
    let cells = read_rows(&hub, &split, 0, PAGE).await?;
    let total = cells.len();
    let mut rows: Vec<Row> = cells
        .into_iter()
        .enumerate()
        .map(|(at, cells)| Row::new(&split, at as u64, cells))
        .collect();
    let size = |rows: &[Row]| rows.iter().map(|row| row.text().len() + 1).sum::<usize>();
    while rows.len() > MIN_ROWS && size(&rows) > MAX_FIRST_ROWS_BYTES {
        // Close enough in one step, exact in the last ones.
        let keep = rows.len() * MAX_FIRST_ROWS_BYTES / size(&rows).max(1);
        rows.truncate(keep.clamp(MIN_ROWS, rows.len() - 1));
    }
    if size(&rows) > MAX_FIRST_ROWS_BYTES {
        rows.iter_mut().for_each(Row::cut);
    }
    let texts: Vec<String> = rows.iter().map(Row::text).collect();
    let truncated = rows.len() < total || rows.iter().any(|row| !row.truncated.is_empty());
    let body = format!(
        "{{\"dataset\":{},\"config\":{},\"split\":{},\"features\":{},\"rows\":[{}],\"truncated\":{truncated}}}",
        json!(dataset.name),
        json!(split.config),
        json!(split.name),
        features(&split),
        texts.join(",")
    );
    Ok(reply(&dataset, raw(body)))
}

/// `GET /size`
///
/// Sizes in memory and as Parquet are not known: nothing is converted here.
async fn size(State(hub): State<AppState>, caller: Caller, params: Params) -> ViewerResult<Response> {
    let dataset = dataset(&hub, &caller, &params).await?;
    let (mut configs, mut splits) = (Vec::new(), Vec::new());
    let (mut all_rows, mut all_bytes) = (0, 0);
    for config in dataset.asked(&params)? {
        let (mut config_rows, mut config_bytes, mut columns) = (0, 0, 0);
        for split in &config.splits {
            let split = dataset.read(&hub, &config.name, &split.name).await?;
            columns = columns.max(split.features.len());
            config_rows += split.rows();
            config_bytes += split.bytes();
            splits.push(json!({
                "dataset": dataset.name, "config": config.name, "split": split.name,
                "num_bytes_parquet_files": null, "num_bytes_memory": null,
                "num_rows": split.rows(), "num_columns": split.features.len(), "estimated_num_rows": null,
            }));
        }
        configs.push(json!({
            "dataset": dataset.name, "config": config.name, "num_bytes_original_files": config_bytes,
            "num_bytes_parquet_files": null, "num_bytes_memory": null,
            "num_rows": config_rows, "num_columns": columns, "estimated_num_rows": null,
        }));
        all_rows += config_rows;
        all_bytes += config_bytes;
    }
    let body = json!({
        "size": {
            "dataset": {
                "dataset": dataset.name, "num_bytes_original_files": all_bytes,
                "num_bytes_parquet_files": null, "num_bytes_memory": null,
                "num_rows": all_rows, "estimated_num_rows": null,
            },
            "configs": configs,
            "splits": splits,
        },
        "pending": [], "failed": [], "partial": false,
    });
    Ok(reply(&dataset, Json(body)))
}

/// `GET /info`
async fn info(State(hub): State<AppState>, caller: Caller, params: Params) -> ViewerResult<Response> {
    let dataset = dataset(&hub, &caller, &params).await?;
    let mut infos = Map::new();
    for config in dataset.asked(&params)? {
        let mut splits = Map::new();
        let mut types = Map::new();
        for split in &config.splits {
            let split = dataset.read(&hub, &config.name, &split.name).await?;
            splits.insert(
                split.name.clone(),
                json!({ "name": split.name, "num_examples": split.rows(), "dataset_name": dataset.name }),
            );
            types.extend(split.features);
        }
        let paths = || config.splits.iter().flat_map(|split| &split.paths);
        let builder = if paths().all(|path| path.ends_with(".parquet")) {
            "parquet"
        } else {
            "json"
        };
        infos.insert(
            config.name.clone(),
            json!({ "builder_name": builder, "config_name": config.name, "features": types, "splits": splits }),
        );
    }
    let info = match params.text("config") {
        Some(config) => infos.remove(config).unwrap_or_default(),
        None => Value::Object(infos),
    };
    let body = json!({ "dataset_info": info, "pending": [], "failed": [], "partial": false });
    Ok(reply(&dataset, Json(body)))
}

/// `GET /statistics`
async fn statistics(State(hub): State<AppState>, caller: Caller, params: Params) -> ViewerResult<Response> {
    let dataset = dataset(&hub, &caller, &params).await?;
    let split = dataset.split(&hub, &params).await?;
    let columns = split.columns();
    let rows = split.rows();
    let statistics: Vec<Value> = columns
        .iter()
        .filter_map(|(name, column)| column.describe(name, rows))
        .collect();
    let partial = columns.iter().any(|(_, column)| column.is_partial());
    let body = json!({ "num_examples": rows, "statistics": statistics, "partial": partial });
    Ok(reply(&dataset, Json(body)))
}

fn raw(body: String) -> impl IntoResponse {
    let json = HeaderValue::from_static("application/json");
    ([(http::header::CONTENT_TYPE, json)], body)
}

fn features(split: &Split) -> Value {
    split
        .features
        .iter()
        .enumerate()
        .map(|(at, (name, kind))| json!({ "feature_idx": at, "name": name, "type": kind }))
        .collect()
}

/// Reads rows across the files of a split.
async fn read_rows(
    hub: &Arc<Hub>,
    split: &Split,
    offset: u64,
    length: u64,
) -> ViewerResult<Vec<Cells<Box<RawValue>>>> {
    let end = offset.saturating_add(length);
    let mut rows = Vec::new();
    let mut start = 0_u64;
    for part in &split.parts {
        let stop = start + part.table.rows;
        let (from, to) = (offset.max(start), end.min(stop));
        if from < to {
            let wanted = from - start..to - start;
            rows.extend(
                hub.rows_of(&part.path, part.oid, &part.blob, &part.table, wanted)
                    .await?,
            );
        }
        start = stop;
    }
    Ok(rows)
}

/// A row as it is shown: every column of the split, null where the row has none.
struct Row {
    index: u64,
    cells: Vec<(String, Box<RawValue>)>,
    truncated: Vec<String>,
}

impl Row {
    fn new(split: &Split, index: u64, cells: Cells<Box<RawValue>>) -> Self {
        let mut given = cells.0;
        let cells = split
            .features
            .iter()
            .map(|(name, _)| {
                let found = given.iter().position(|(known, _)| known == name);
                let cell = found.map(|at| given.swap_remove(at).1);
                (name.clone(), cell.unwrap_or_else(|| RawValue::NULL.to_owned()))
            })
            .collect();
        Self {
            index,
            cells,
            truncated: Vec::new(),
        }
    }

    /// Turns long cells into texts that end early.
    fn cut(&mut self) {
        for (name, cell) in &mut self.cells {
            let text = cell.get();
            if text.len() <= CUT_CELL_CHARS {
                continue;
            }
            let cut: String = text.chars().take(CUT_CELL_CHARS).collect();
            if let Ok(cut) = serde_json::value::to_raw_value(&cut) {
                *cell = cut;
                self.truncated.push(name.clone());
            }
        }
    }

    fn text(&self) -> String {
        let cells: Vec<String> = self
            .cells
            .iter()
            .map(|(name, cell)| format!("{}:{}", json!(name), cell.get()))
            .collect();
        format!(
            "{{\"row_idx\":{},\"row\":{{{}}},\"truncated_cells\":{}}}",
            self.index,
            cells.join(","),
            json!(self.truncated)
        )
    }
}
