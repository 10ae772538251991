//! The dataset viewer: what Data Studio shows, asked by its API.

use hf_core::{HfClient, HfError, RepoId, RequestSpec};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// How many rows a page of [`DatasetViewer::rows`] has at most.
pub const MAX_PAGE_ROWS: u64 = 100;

/// Asks the dataset viewer about one dataset.
///
/// The viewer works on what was pushed, some time after the push: until then, calls fail with
/// a server error or [`HfError::NotFound`], and [`DatasetViewer::state`] says [`ViewerState::Pending`].
///
/// # Source
/// The viewer's OpenAPI document; the service is `datasets-server` beside the Hub.
#[derive(Debug, Clone)]
pub struct DatasetViewer {
    client: HfClient,
    repo_id: RepoId,
}

/// Whether a dataset's rows can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ViewerState {
    /// Rows can be shown.
    Ready(ViewerFeatures),
    /// The viewer has not read the dataset yet, or not to its end; ask again later.
    Pending,
    /// The viewer does not show this dataset, and says why.
    Unavailable {
        /// The viewer's error code, where it gives one.
        code: Option<String>,
        /// The viewer's words.
        why: String,
    },
}

/// What the viewer can do with a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are five independent words of the wire"
)]
pub struct ViewerFeatures {
    /// First rows can be shown.
    pub preview: bool,
    /// Any row can be shown.
    pub viewer: bool,
    /// Texts can be searched.
    pub search: bool,
    /// Rows can be filtered.
    pub filter: bool,
    /// Numbers about columns can be shown.
    #[serde(default)]
    pub statistics: bool,
}

/// A split of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Deserialize)]
pub struct ViewerSplit {
    /// The config.
    pub config: String,
    /// The split's name.
    pub split: String,
}

/// A column, with its type as the viewer writes it: `{"dtype": "string", "_type": "Value"}` and so on.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ViewerFeature {
    /// The column's name.
    pub name: String,
    /// The column's type.
    #[serde(rename = "type")]
    pub kind: Value,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ViewerRow {
    /// Its number in the split, from 0.
    #[serde(rename = "row_idx")]
    pub index: u64,
    /// Its cells by column.
    #[serde(rename = "row")]
    pub cells: Map<String, Value>,
    /// Columns whose cell was cut and turned into text.
    #[serde(default)]
    pub truncated_cells: Vec<String>,
}

/// Some rows of a split.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ViewerRows {
    /// The columns.
    pub features: Vec<ViewerFeature>,
    /// The rows.
    pub rows: Vec<ViewerRow>,
    /// How many rows the split has; not told for first rows.
    #[serde(default, rename = "num_rows_total")]
    pub total: Option<u64>,
    /// Whether the viewer holds only a first part of the split.
    #[serde(default)]
    pub partial: bool,
}

/// How large a split is.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ViewerSize {
    /// The config.
    pub config: String,
    /// The split.
    pub split: String,
    /// How many rows it has.
    pub num_rows: Option<u64>,
    /// How many columns it has.
    pub num_columns: Option<u64>,
    /// How large its Parquet files are.
    #[serde(default)]
    pub num_bytes_parquet_files: Option<u64>,
}

/// Numbers about a column.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ColumnStatistics {
    /// The column's name.
    #[serde(rename = "column_name")]
    pub name: String,
    /// The viewer's word for what it holds, such as `string_text`.
    #[serde(rename = "column_type")]
    pub kind: String,
    /// The numbers, by name.
    #[serde(rename = "column_statistics")]
    pub numbers: Map<String, Value>,
}

impl DatasetViewer {
    /// Makes a viewer of a dataset repository.
    ///
    /// # Errors
    /// As [`HfClient::service`].
    pub fn new(client: &HfClient, repo_id: RepoId) -> Result<Self, HfError> {
        let client = client.service("datasets-server")?;
        Ok(Self { client, repo_id })
    }

    async fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, &str)]) -> Result<T, HfError> {
        let spec = RequestSpec::get(path)
            .queries([("dataset", self.repo_id.as_str())])
            .queries(query.iter().copied());
        self.client.request_json(spec).await
    }

    /// Asks whether rows can be shown. `GET /is-valid`
    ///
    /// # Errors
    /// Those that say nothing about the dataset: no network, no such dataset, no right to see it.
    pub async fn state(&self) -> Result<ViewerState, HfError> {
        match self.get::<ViewerFeatures>("/is-valid", &[]).await {
            Ok(features) if features.preview || features.viewer => Ok(ViewerState::Ready(features)),
            Ok(_) => Ok(ViewerState::Pending),
            Err(error) => {
                let context = error.context();
                let code = context.and_then(|context| context.error_code.clone());
                let status = context.map(|context| context.status.as_u16());
                match (code.as_deref(), status) {
                    (Some("ResponseNotReadyError" | "ResponseNotFound"), _) => Ok(ViewerState::Pending),
                    (_, Some(501)) => Ok(ViewerState::Unavailable {
                        why: context
                            .and_then(|context| context.server_message.clone())
                            .unwrap_or_else(|| error.to_string()),
                        code,
                    }),
                    _ => Err(error),
                }
            }
        }
    }

    /// Lists configs and splits. `GET /splits`
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn splits(&self) -> Result<Vec<ViewerSplit>, HfError> {
        #[derive(Deserialize)]
        struct Answer {
            splits: Vec<ViewerSplit>,
        }
        Ok(self.get::<Answer>("/splits", &[]).await?.splits)
    }

    /// Shows up to 100 rows from the start of a split; long cells may be cut. `GET /first-rows`
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn first_rows(&self, split: &ViewerSplit) -> Result<ViewerRows, HfError> {
        self.get(
            "/first-rows",
            &[("config", &split.config), ("split", &split.split)],
        )
        .await
    }

    /// Shows `length` rows (at most [`MAX_PAGE_ROWS`]) from `offset` on. `GET /rows`
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn rows(&self, split: &ViewerSplit, offset: u64, length: u64) -> Result<ViewerRows, HfError> {
        let (offset, length) = (offset.to_string(), length.min(MAX_PAGE_ROWS).to_string());
        let query = [
            ("config", split.config.as_str()),
            ("split", &split.split),
            ("offset", &offset),
            ("length", &length),
        ];
        self.get("/rows", &query).await
    }

    /// Tells rows and columns of every split. `GET /size`
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn sizes(&self) -> Result<Vec<ViewerSize>, HfError> {
        #[derive(Deserialize)]
        struct Answer {
            size: Sizes,
        }
        #[derive(Deserialize)]
        struct Sizes {
            splits: Vec<ViewerSize>,
        }
        Ok(self.get::<Answer>("/size", &[]).await?.size.splits)
    }

    /// Tells numbers about the columns of a split. `GET /statistics`
    ///
    /// # Errors
    /// Any [`HfError`].
    pub async fn statistics(&self, split: &ViewerSplit) -> Result<Vec<ColumnStatistics>, HfError> {
        #[derive(Deserialize)]
        struct Answer {
            statistics: Vec<ColumnStatistics>,
        }
        let query = [("config", split.config.as_str()), ("split", &split.split)];
        Ok(self.get::<Answer>("/statistics", &query).await?.statistics)
    }
}
