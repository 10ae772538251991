//! The rows of a dataset; their columns are named in [`crate::columns`].

mod budget;
mod losses;
mod pairs;
pub(crate) mod rows;
mod sft;
mod tokens;
mod tools;

pub use self::losses::{ExampleOptions, Losses};
pub(crate) use self::rows::RowMaker;
pub use self::rows::{Check, CheckKind, DistillationRow, PreferenceRow, RlvrRow, ScoredTask, score_session};
pub use self::tokens::estimate_tokens;

use serde::{Deserialize, Serialize};

/// One row: a task, how the agent solved it, and where it came from.
///
/// # Shape
///
/// `{messages: [{role, content, tool_calls?: [{id, type: "function", function: {name, arguments}}], tool_call_id?, name?}],
/// tools, metadata{example_id, session_id, agent, model, segment, started_at, is_subagent, score, tokens, truncated}}`.
///
/// `arguments` and `tools` are JSON *texts*. Arrow merges objects of different shapes into one struct full of nulls, so a row
/// with `{"command": …}` would come back as `{"command": …, "file_path": null, …}`. A trainer parses both with `json.loads`
/// before it applies a chat template; TRL parses `tools` itself when it is a string.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// How sure it is that the task reached its goal, from 0 to 1 (see [`crate::quality`]); for a preference pair, that of
    /// the better side.
    #[serde(default)]
    pub score: f64,
    /// About how many tokens the row's messages are (see [`estimate_tokens`]).
    #[serde(default)]
    pub tokens: u64,
    /// Whether something of the row was cut or left out; the text says where.
    #[serde(default)]
    pub truncated: bool,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::columns::{Feature, FeatureKind, RowKind, features};

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
                            "float64" => value.is_f64(),
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
                score: 0.5,
                tokens: 3,
                truncated: false,
            },
        };
        let value = serde_json::to_value(&row).unwrap();
        check(&features(RowKind::Sft), &value, "row");
        assert_eq!(serde_json::from_value::<Example>(value).unwrap(), row);
        let yaml_shape = serde_json::to_string(&features(RowKind::Sft)[1]).unwrap();
        assert_eq!(yaml_shape, r#"{"name":"tools","dtype":"string"}"#);
    }
}
