//! The names of the stages, and what each says of its run.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::manifest::Inputs;
use crate::gate::GateReport;
use crate::report::ImportSummary;

/// A step on the way from session logs to a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Reads logs into sessions.
    Import,
    /// Takes secrets out.
    Redact,
    /// Makes rows and judges tasks.
    Score,
    /// Finds repetition and items of evaluation sets.
    Dedup,
    /// Divides the rows and writes the dataset.
    Split,
}

impl Stage {
    /// All stages in their order.
    pub const ALL: [Self; 5] = [Self::Import, Self::Redact, Self::Score, Self::Dedup, Self::Split];

    /// Returns the stage's name, which is also its command and its folder.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Redact => "redact",
            Self::Score => "score",
            Self::Dedup => "dedup",
            Self::Split => "split",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a stage did; the content of its `stage.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StageRecord {
    /// The stage.
    pub stage: Stage,
    /// The hash of what it read and of its options.
    pub key: String,
    /// The hash of what it wrote.
    pub output: String,
    /// Sessions that went through it.
    pub sessions: u64,
    /// What it has to say, by name: rows, redactions, removed rows, …
    pub counts: BTreeMap<String, u64>,
    /// Its files with their sizes in bytes.
    pub files: BTreeMap<String, u64>,
    /// Whether the output of an earlier run was good and nothing was done.
    #[serde(skip_deserializing, default)]
    pub reused: bool,
    /// The files of the import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs: Option<Inputs>,
    /// The sums of the import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportSummary>,
    /// What the gate replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<GateReport>,
}
