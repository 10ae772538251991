//! What a finished dataset says about itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::TracesError;
use crate::example::{Feature, METADATA_FILE, Split};
use crate::gate::GateReport;
use crate::report::ImportSummary;
use crate::segment::{ExampleOptions, Losses};
use crate::split::{SplitOptions, SplitWarning};

/// The name of the layout that [`DatasetManifest`] describes.
pub const DATASET_FORMAT: &str = "bashgym-sft-1";

/// The program that wrote a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generator {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// One file of a dataset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitFile {
    /// The split.
    pub split: Split,
    /// The file's name in the dataset's folder.
    pub file: String,
    /// Rows in it.
    pub rows: u64,
    /// Groups of sessions in it.
    pub groups: u64,
    /// Its size.
    pub size_bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

/// What a dataset holds and how it came to be; the content of `metadata.json`.
///
/// The same sessions with the same options give the same bytes: there is no time and no path of this machine in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetManifest {
    /// Always [`DATASET_FORMAT`].
    pub format: String,
    /// The program that wrote it.
    pub generator: Generator,
    /// Rows for training.
    pub rows_train: u64,
    /// Rows for validation.
    pub rows_val: u64,
    /// Sessions that were given, subagents included.
    pub sessions: u64,
    /// Groups of sessions that must not be divided.
    pub groups: u64,
    /// Rows by agent.
    pub agents: BTreeMap<String, u64>,
    /// Rows by the model that answered.
    pub models: BTreeMap<String, u64>,
    /// Messages in all rows.
    pub messages: u64,
    /// Tool calls in all rows.
    pub tool_calls: u64,
    /// The files.
    pub splits: Vec<SplitFile>,
    /// How the rows were divided.
    pub split: SplitOptions,
    /// How the examples were made.
    pub examples: ExampleOptions,
    /// What was cut or left out on the way from sessions to rows.
    pub losses: Losses,
    /// What the gate replaced.
    pub gate: GateReport,
    /// The import the sessions came from, if it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportSummary>,
    /// What the user should know.
    pub warnings: Vec<SplitWarning>,
    /// The columns.
    pub features: Vec<Feature>,
}

impl DatasetManifest {
    /// Reads the manifest of a dataset folder.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when it is not there or not a manifest.
    pub fn read(dir: &Path) -> Result<Self, TracesError> {
        let path = dir.join(METADATA_FILE);
        let text = fs::read(&path).map_err(|e| TracesError::io("reading", &path, e))?;
        serde_json::from_slice(&text).map_err(|e| TracesError::io("reading", &path, e.into()))
    }
}
