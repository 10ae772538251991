//! The rows of a dataset: the one definition of columns, splits and files that writer, card and trainer share.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::model::Trace;

/// The name of the file that describes a dataset.
pub const METADATA_FILE: &str = "metadata.json";

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

    /// Returns the file that holds the split.
    pub fn file_name(self) -> &'static str {
        match self {
            Self::Train => "train.jsonl",
            Self::Val => "val.jsonl",
        }
    }
}

/// One row: a task, how the agent solved it, and where it came from.
///
/// # Shape
///
/// `{messages: [{role, content, tool_calls?: [{id, type: "function", function: {name, arguments}}], tool_call_id?, name?}],
/// tools, metadata{example_id, session_id, agent, model, segment, started_at, is_subagent}}`.
///
/// `arguments` and `tools` are JSON *texts*. Arrow merges objects of different shapes into one struct full of nulls, so a row
/// with `{"command": …}` would come back as `{"command": …, "file_path": null, …}`. A trainer parses both with `json.loads`
/// before it applies a chat template; TRL parses `tools` itself when it is a string.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Example {
    /// The conversation.
    pub messages: Vec<ChatMessage>,
    /// The schemas of the tools the session used, as the JSON text of a list.
    pub tools: String,
    /// Where the row came from.
    pub metadata: ExampleMetadata,
}

/// A message in the form chat templates read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatMessage {
    /// `system`, `user`, `assistant` or `tool`.
    pub role: String,
    /// The text; empty when an assistant message only calls tools.
    pub content: String,
    /// The calls of an assistant message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_calls: Option<Vec<ChatToolCall>>,
    /// The call a tool message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
    /// The tool that answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// A tool call in a [`ChatMessage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatToolCall {
    /// The id the log gives the call.
    pub id: String,
    /// Always `function`.
    #[serde(rename = "type")]
    pub kind: String,
    /// What is called.
    pub function: ChatFunction,
}

/// The function of a [`ChatToolCall`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatFunction {
    /// The tool's name.
    pub name: String,
    /// The JSON text of the arguments object: the logged bytes, unless the gate replaced something in them.
    pub arguments: String,
}

/// Where an [`Example`] came from. Every field is always present, so that both splits have the same columns.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExampleMetadata {
    /// A stable id of the row: the same session and prompt give the same id in every build.
    pub example_id: String,
    /// The session.
    pub session_id: String,
    /// The agent, as [`crate::Agent::as_str`].
    pub agent: String,
    /// The model that answered first in the session; empty when the log does not tell.
    pub model: String,
    /// The number of the task in its session, from 0.
    pub segment: u32,
    /// When the task started, RFC 3339; empty when the log does not tell.
    pub started_at: String,
    /// Whether a subagent did the task.
    pub is_subagent: bool,
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

/// Returns the columns of [`Example`] with their types, for a dataset card.
pub fn features() -> Vec<Feature> {
    let plain = |name: &str, dtype: &str| Feature {
        name: name.to_owned(),
        kind: FeatureKind::Dtype(dtype.to_owned()),
    };
    let text = |name: &str| plain(name, "string");
    let nested = |name: &str, kind| Feature {
        name: name.to_owned(),
        kind,
    };
    let function = FeatureKind::Struct(vec![text("name"), text("arguments")]);
    let call = FeatureKind::List(vec![text("id"), text("type"), nested("function", function)]);
    let message = FeatureKind::List(vec![
        text("role"),
        text("content"),
        nested("tool_calls", call),
        text("tool_call_id"),
        text("name"),
    ]);
    let metadata = FeatureKind::Struct(vec![
        text("example_id"),
        text("session_id"),
        text("agent"),
        text("model"),
        plain("segment", "int64"),
        text("started_at"),
        plain("is_subagent", "bool"),
    ]);
    vec![
        nested("messages", message),
        text("tools"),
        nested("metadata", metadata),
    ]
}

/// Returns the schemas of the tools a session called, as the JSON text of a list sorted by name.
///
/// Logs do not hold the tools' own schemas. The parameters here are what the calls show: each argument's JSON types, and as
/// required those that no call left out.
pub(crate) fn tool_schemas(trace: &Trace) -> String {
    #[derive(Default)]
    struct Seen<'t> {
        calls: u64,
        arguments: BTreeMap<String, (u64, BTreeSet<&'t str>)>,
    }
    let mut tools: BTreeMap<&str, Seen<'_>> = BTreeMap::new();
    for call in trace.messages.iter().flat_map(|m| &m.tool_calls) {
        let seen = tools.entry(&call.name).or_default();
        seen.calls += 1;
        let arguments: BTreeMap<String, &RawValue> =
            serde_json::from_str(call.arguments.get()).unwrap_or_default();
        for (name, value) in arguments {
            let (times, types) = seen.arguments.entry(name).or_default();
            *times += 1;
            types.insert(json_type(value.get()));
        }
    }
    let schemas: Vec<_> = tools
        .iter()
        .map(|(name, seen)| {
            let required: Vec<&String> = seen
                .arguments
                .iter()
                .filter(|(_, (n, _))| *n == seen.calls)
                .map(|(k, _)| k)
                .collect();
            let properties: BTreeMap<&String, Property<'_>> = seen
                .arguments
                .iter()
                .map(|(k, (_, types))| {
                    (
                        k,
                        Property {
                            kind: Types::from(types),
                        },
                    )
                })
                .collect();
            Tool {
                kind: "function",
                function: Function {
                    name,
                    parameters: Parameters {
                        kind: "object",
                        properties,
                        required,
                    },
                },
            }
        })
        .collect();
    serde_json::to_string(&schemas).unwrap_or_else(|_| "[]".to_owned())
}

#[derive(Serialize)]
struct Tool<'t> {
    #[serde(rename = "type")]
    kind: &'static str,
    function: Function<'t>,
}

#[derive(Serialize)]
struct Function<'t> {
    name: &'t str,
    parameters: Parameters<'t>,
}

#[derive(Serialize)]
struct Parameters<'t> {
    #[serde(rename = "type")]
    kind: &'static str,
    properties: BTreeMap<&'t String, Property<'t>>,
    required: Vec<&'t String>,
}

#[derive(Serialize)]
struct Property<'t> {
    #[serde(rename = "type")]
    kind: Types<'t>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Types<'t> {
    One(&'t str),
    Many(Vec<&'t str>),
}

impl<'t> From<&BTreeSet<&'t str>> for Types<'t> {
    fn from(types: &BTreeSet<&'t str>) -> Self {
        let mut all: Vec<_> = types.iter().copied().collect();
        match (all.pop(), all.is_empty()) {
            (Some(only), true) => Self::One(only),
            (last, _) => {
                all.extend(last);
                Self::Many(all)
            }
        }
    }
}

fn json_type(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'"') => "string",
        Some(b'{') => "object",
        Some(b'[') => "array",
        Some(b't' | b'f') => "boolean",
        Some(b'n') | None => "null",
        Some(_) if value.bytes().any(|b| matches!(b, b'.' | b'e' | b'E')) => "number",
        Some(_) => "integer",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_name_the_fields_a_row_has() {
        fn check(features: &[Feature], value: &serde_json::Value, path: &str) {
            let object = value.as_object().unwrap();
            let names: BTreeSet<_> = features.iter().map(|f| f.name.clone()).collect();
            let keys: BTreeSet<_> = object.keys().cloned().collect();
            assert_eq!(names, keys, "{path}");
            for feature in features {
                match &feature.kind {
                    FeatureKind::Dtype(dtype) => {
                        let value = &object[&feature.name];
                        let fits = match dtype.as_str() {
                            "string" => value.is_string(),
                            "int64" => value.is_i64(),
                            _ => value.is_boolean(),
                        };
                        assert!(fits, "{path}.{}", feature.name);
                    }
                    FeatureKind::List(inner) => check(inner, &object[&feature.name][0], &feature.name),
                    FeatureKind::Struct(inner) => check(inner, &object[&feature.name], &feature.name),
                }
            }
        }
        let row = Example {
            messages: vec![ChatMessage {
                role: "assistant".to_owned(),
                content: String::new(),
                tool_calls: Some(vec![ChatToolCall {
                    id: "c1".to_owned(),
                    kind: "function".to_owned(),
                    function: ChatFunction {
                        name: "Bash".to_owned(),
                        arguments: "{}".to_owned(),
                    },
                }]),
                tool_call_id: Some("c1".to_owned()),
                name: Some("Bash".to_owned()),
            }],
            tools: "[]".to_owned(),
            metadata: ExampleMetadata {
                example_id: "e".to_owned(),
                session_id: "s".to_owned(),
                agent: "codex".to_owned(),
                model: String::new(),
                segment: 0,
                started_at: String::new(),
                is_subagent: false,
            },
        };
        let value = serde_json::to_value(&row).unwrap();
        check(&features(), &value, "row");
        assert_eq!(serde_json::from_value::<Example>(value).unwrap(), row);
        let yaml_shape = serde_json::to_string(&features()[1]).unwrap();
        assert_eq!(yaml_shape, r#"{"name":"tools","dtype":"string"}"#);
    }

    #[test]
    fn json_types_are_told_by_their_text() {
        for (value, expected) in [
            ("\"a\"", "string"),
            ("1", "integer"),
            ("-1.5", "number"),
            ("1e3", "number"),
            ("true", "boolean"),
        ] {
            assert_eq!(json_type(value), expected);
        }
    }
}
