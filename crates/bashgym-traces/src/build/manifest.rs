//! What a finished dataset says about itself.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::decide::DedupReport;
use crate::columns::{Feature, METADATA_FILE, RowKind, Split};
use crate::error::TracesError;
use crate::examples::{ExampleOptions, Losses};
use crate::gate::GateReport;
use crate::quality::QualityOptions;
use crate::report::ImportSummary;
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
    /// The file's path in the dataset's folder, with `/`.
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

/// The rows of one kind in a dataset: a config of its repository.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RowSet {
    /// What the rows are for.
    pub kind: RowKind,
    /// The config's name; the first kind of a dataset is `default`.
    pub config: String,
    /// The files.
    pub splits: Vec<SplitFile>,
    /// The columns.
    pub features: Vec<Feature>,
}

/// The files a dataset was built from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inputs {
    /// How many.
    pub files: u64,
    /// Their size in sum.
    pub bytes: u64,
    /// The BLAKE3 over the hashes of all files in the order of the import, in hex.
    pub blake3: String,
    /// The BLAKE3 of each of the first thousand files, in hex.
    pub listed: Vec<String>,
}

/// Versions of the rules; a change in what they give changes the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleVersions {
    /// How examples are cut from sessions.
    pub examples: u32,
    /// How tasks are judged.
    pub quality: u32,
    /// How near-duplicates and evaluation items are found.
    pub dedup: u32,
    /// How groups are divided.
    pub split: u32,
}

impl Default for RuleVersions {
    fn default() -> Self {
        Self {
            examples: 2,
            quality: 1,
            dedup: 1,
            split: 2,
        }
    }
}

/// What a dataset holds and how it came to be; the content of `metadata.json`.
///
/// The same sessions with the same options give the same bytes: there is no time and no path of this machine in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetManifest {
    /// Always [`DATASET_FORMAT`].
    pub format: String,
    /// Versions of the rules it was built by.
    #[serde(default)]
    pub rules: RuleVersions,
    /// The program that wrote it.
    pub generator: Generator,
    /// Rows for training, of the first kind.
    pub rows_train: u64,
    /// Rows for validation, of the first kind.
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
    /// The files of the first kind.
    pub splits: Vec<SplitFile>,
    /// All kinds of rows, the first one at the root of the folder.
    #[serde(default)]
    pub row_sets: Vec<RowSet>,
    /// How the rows were divided.
    pub split: SplitOptions,
    /// How the examples were made.
    pub examples: ExampleOptions,
    /// How tasks were judged, and which limits there were.
    #[serde(default)]
    pub quality: QualityOptions,
    /// Tasks by the tenth their score is in: `0.7` counts those from 0.7 up to 0.8.
    #[serde(default)]
    pub scores: BTreeMap<String, u64>,
    /// What was removed because it repeats something.
    #[serde(default)]
    pub dedup: DedupReport,
    /// Rows of which something was cut.
    #[serde(default)]
    pub truncated_rows: u64,
    /// What was cut or left out on the way from sessions to rows.
    pub losses: Losses,
    /// What the gate replaced.
    pub gate: GateReport,
    /// The import the sessions came from, if it was given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportSummary>,
    /// The files it was built from, if they were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
    /// What the user should know.
    pub warnings: Vec<SplitWarning>,
    /// The columns of the first kind.
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
