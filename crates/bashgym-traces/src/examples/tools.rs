//! The tools a session had.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::value::RawValue;

use crate::model::Trace;

/// Returns the schemas of the tools a session called, as the JSON text of a list sorted by name.
///
/// Logs do not hold the tools' own schemas. The parameters here are what the calls show: each argument's JSON types, and as
/// required those that no call left out.
pub(super) fn tool_schemas(trace: &Trace) -> String {
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
