//! The names and types of columns, splits, configs and files: the one definition that writer, card and trainer share.
//!
//! | rows | config | columns |
//! | --- | --- | --- |
//! | [`RowKind::Sft`] | `sft` | `messages`, `tools`, `metadata` |
//! | [`RowKind::Preference`] | `preference` | `prompt`, `chosen`, `rejected`, `tools`, `metadata` |
//! | [`RowKind::Rlvr`] | `rlvr` | `prompt`, `checks`, `tools`, `metadata` |
//! | [`RowKind::Distillation`] | `distillation` | `prompt`, `completion`, `tools`, `metadata` |
//!
//! `messages`, `prompt`, `chosen`, `rejected` and `completion` are lists of chat messages of one shape. `tools` is the JSON
//! *text* of a list of tool schemas, and so are the `arguments` of a call: Arrow merges objects of different shapes into one
//! struct full of nulls. A trainer parses both with `json.loads` before it applies a chat template. `checks` is a list of
//! `{kind, command, path, exit_status}`; `kind` is `command` (run `command`, expect `exit_status`) or `file` (`path` exists).
//!
//! The first kind of a dataset lies at the root of its folder ([`Split::file_name`]); every further kind lies in a folder
//! named like its config.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The name of the file that describes a dataset.
pub const METADATA_FILE: &str = "metadata.json";

/// The config of the rows at the root of a dataset, as `load_dataset` finds it without a name.
pub const DEFAULT_CONFIG: &str = "default";

/// The column with the whole conversation of an SFT row.
pub const MESSAGES: &str = "messages";
/// The column with the tool schemas (JSON text of a list).
pub const TOOLS: &str = "tools";
/// The column that says where a row came from.
pub const METADATA: &str = "metadata";
/// The column with the messages a completion answers.
pub const PROMPT: &str = "prompt";
/// The column with the better completion of a preference pair.
pub const CHOSEN: &str = "chosen";
/// The column with the worse completion of a preference pair.
pub const REJECTED: &str = "rejected";
/// The column with the teacher's completion.
pub const COMPLETION: &str = "completion";
/// The column with the checks that verify a solution.
pub const CHECKS: &str = "checks";

/// A side of the split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Split {
    /// What the student is trained on.
    #[serde(rename = "train")]
    Train,
    /// What it is measured on.
    #[serde(rename = "validation")]
    Val,
}

impl Split {
    /// Both sides, training first.
    pub const ALL: [Self; 2] = [Self::Train, Self::Val];

    /// Returns the split's name as `load_dataset` knows it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "validation",
        }
    }

    /// Returns the file that holds the split, below the folder of its rows.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Train => "train.jsonl",
            Self::Val => "val.jsonl",
        }
    }
}

/// What a row is for: one kind for each way of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowKind {
    /// A whole conversation to imitate.
    Sft,
    /// Two completions of one prompt, the better and the worse one.
    Preference,
    /// A prompt with checks that tell whether a solution is right.
    Rlvr,
    /// A prompt with the completion of the teacher.
    Distillation,
}

impl RowKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Sft, Self::Preference, Self::Rlvr, Self::Distillation];

    /// Returns the name of the kind, which is also its config and its folder where it is not the first of a dataset.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sft => "sft",
            Self::Preference => "preference",
            Self::Rlvr => "rlvr",
            Self::Distillation => "distillation",
        }
    }

    /// Returns the names of the columns, in the order in which rows have them.
    pub fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Sft => &[MESSAGES, TOOLS, METADATA],
            Self::Preference => &[PROMPT, CHOSEN, REJECTED, TOOLS, METADATA],
            Self::Rlvr => &[PROMPT, CHECKS, TOOLS, METADATA],
            Self::Distillation => &[PROMPT, COMPLETION, TOOLS, METADATA],
        }
    }
}

impl fmt::Display for RowKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RowKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| {
                format!("`{text}` is no kind of rows; there are sft, preference, rlvr and distillation")
            })
    }
}

/// The type of a column, in the words of the Hub's `dataset_info.features`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Feature {
    /// The column's name.
    pub name: String,
    /// Its type.
    #[serde(flatten)]
    pub kind: FeatureKind,
}

/// See [`Feature`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FeatureKind {
    /// A plain type such as `string`.
    Dtype(String),
    /// A list of structs with these fields.
    List(Vec<Feature>),
    /// A struct with these fields.
    Struct(Vec<Feature>),
}

/// Returns the columns of a kind of rows with their types, for a dataset card.
pub fn features(kind: RowKind) -> Vec<Feature> {
    kind.columns()
        .iter()
        .map(|&column| match column {
            TOOLS => text(column),
            METADATA => nested(column, metadata()),
            CHECKS => nested(column, checks()),
            _ => nested(column, chat()),
        })
        .collect()
}

fn plain(name: &str, dtype: &str) -> Feature {
    Feature {
        name: name.to_owned(),
        kind: FeatureKind::Dtype(dtype.to_owned()),
    }
}

fn text(name: &str) -> Feature {
    plain(name, "string")
}

fn nested(name: &str, kind: FeatureKind) -> Feature {
    Feature {
        name: name.to_owned(),
        kind,
    }
}

fn chat() -> FeatureKind {
    let function = FeatureKind::Struct(vec![text("name"), text("arguments")]);
    let call = FeatureKind::List(vec![text("id"), text("type"), nested("function", function)]);
    FeatureKind::List(vec![
        text("role"),
        text("content"),
        nested("tool_calls", call),
        text("tool_call_id"),
        text("name"),
    ])
}

fn checks() -> FeatureKind {
    FeatureKind::List(vec![
        text("kind"),
        text("command"),
        text("path"),
        plain("exit_status", "int64"),
    ])
}

fn metadata() -> FeatureKind {
    FeatureKind::Struct(vec![
        text("example_id"),
        text("session_id"),
        text("agent"),
        text("model"),
        plain("segment", "int64"),
        text("started_at"),
        plain("is_subagent", "bool"),
        plain("score", "float64"),
        plain("tokens", "int64"),
        plain("truncated", "bool"),
    ])
}
