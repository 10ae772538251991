//! Checks that a file of rows is what the dataset viewer and `load_dataset` can read.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use hf_core::HfError;
use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::{invalid, io_error};

/// The longest line accepted, in bytes. A line without end would otherwise fill the memory.
pub const MAX_LINE_BYTES: u64 = 128 * 1024 * 1024;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// Only nulls so far.
    Null,
    /// True or false.
    Bool,
    /// A number.
    Number,
    /// A string.
    Text,
    /// A list.
    List,
    /// An object.
    Object,
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Null => "null",
            Self::Bool => "boolean",
            Self::Number => "number",
            Self::Text => "string",
            Self::List => "list",
            Self::Object => "object",
        })
    }
}

/// A column of a checked file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSummary {
    /// The column's name.
    pub name: String,
    /// What it holds in all rows where it is not null.
    pub kind: ValueKind,
    /// How many rows leave it out or set it to null.
    pub missing: u64,
}

/// What a checked file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JsonlSummary {
    /// How many rows there are.
    pub rows: u64,
    /// The file's size.
    pub size_bytes: u64,
    /// The columns, in order of first appearance.
    pub columns: Vec<ColumnSummary>,
}

/// Reads a file of rows from begin to end and checks every line.
///
/// A row is a JSON object without repeated keys, and a column holds one kind of value in all rows (null aside):
/// that is what the table formats behind the viewer can store. The file is read once, a line at a time. This call
/// blocks.
///
/// # Errors
///
/// [`HfError::InvalidArgument`] names the file, the line and the problem.
pub fn check_jsonl(path: &Path) -> Result<JsonlSummary, HfError> {
    let file = std::fs::File::open(path).map_err(|error| io_error("open", path, error))?;
    check_reader(
        &path.display().to_string(),
        BufReader::with_capacity(256 * 1024, file),
    )
    .map_err(|fault| fault.into_error(path))
}

pub(crate) enum Fault {
    Io(std::io::Error),
    Line {
        place: String,
        line: u64,
        problem: String,
    },
}

impl Fault {
    pub(crate) fn into_error(self, path: &Path) -> HfError {
        match self {
            Self::Io(error) => io_error("read", path, error),
            Self::Line { place, line, problem } => invalid(format!("{place}, line {line}: {problem}")),
        }
    }
}

fn check_reader(place: &str, mut reader: impl BufRead) -> Result<JsonlSummary, Fault> {
    let mut summary = JsonlSummary::default();
    let mut index: HashMap<String, usize> = HashMap::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        let number = summary.rows + 1;
        let wrong = |problem: String| Fault::Line {
            place: place.to_owned(),
            line: number,
            problem,
        };
        let read = (&mut reader)
            .take(MAX_LINE_BYTES + 1)
            .read_until(b'\n', &mut line)
            .map_err(Fault::Io)? as u64;
        if read == 0 {
            break;
        }
        if read > MAX_LINE_BYTES {
            return Err(wrong(format!("longer than {} MiB", MAX_LINE_BYTES >> 20)));
        }
        summary.size_bytes += read;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        if text.trim_ascii().is_empty() {
            return Err(wrong("is empty; every line must be a JSON object".to_owned()));
        }
        let row: Row<'_> = serde_json::from_slice(text).map_err(|error| wrong(describe(&error)))?;
        summary.rows += 1;
        let mut present = 0;
        for (name, kind) in row.0 {
            let place = *index.entry(name).or_insert_with_key(|name| {
                summary.columns.push(ColumnSummary {
                    name: name.clone(),
                    kind: ValueKind::Null,
                    missing: number - 1,
                });
                summary.columns.len() - 1
            });
            let column = &mut summary.columns[place];
            match kind {
                ValueKind::Null => column.missing += 1,
                kind if column.kind == ValueKind::Null => column.kind = kind,
                kind if column.kind == kind => {}
                kind => {
                    return Err(wrong(format!(
                        "column {:?} holds a {kind}, but a {} in the lines before; give the column one type",
                        column.name, column.kind
                    )));
                }
            }
            present += 1;
        }
        if present < summary.columns.len() {
            // Rare: rows usually carry the same columns.
            let row: Row<'_> = serde_json::from_slice(text).map_err(|error| wrong(describe(&error)))?;
            for column in &mut summary.columns {
                if !row.0.iter().any(|(name, _)| *name == column.name) {
                    column.missing += 1;
                }
            }
        }
    }
    Ok(summary)
}

/// A parser's message without its "line 1": the line number is ours.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let problem = text.split(" at line ").next().unwrap_or(&text);
    if error.column() == 0 {
        problem.to_owned()
    } else {
        format!("{problem}, column {}", error.column())
    }
}

/// The keys of a row, each with the kind of its value; values are skipped, not built.
struct Row<'a>(Vec<(String, ValueKind)>, std::marker::PhantomData<&'a ()>);

impl<'de> Deserialize<'de> for Row<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct RowVisitor;
        impl<'de> Visitor<'de> for RowVisitor {
            type Value = Row<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut keys: Vec<(String, ValueKind)> = Vec::new();
                while let Some(key) = map.next_key::<String>()? {
                    let value: &'de RawValue = map.next_value()?;
                    if keys.iter().any(|(other, _)| *other == key) {
                        return Err(serde::de::Error::custom(format!("the key {key:?} appears twice")));
                    }
                    keys.push((key, kind_of(value)));
                }
                Ok(Row(keys, std::marker::PhantomData))
            }
        }
        deserializer.deserialize_map(RowVisitor)
    }
}

fn kind_of(value: &RawValue) -> ValueKind {
    match value.get().as_bytes().first() {
        Some(b'"') => ValueKind::Text,
        Some(b'{') => ValueKind::Object,
        Some(b'[') => ValueKind::List,
        Some(b't' | b'f') => ValueKind::Bool,
        Some(b'n') | None => ValueKind::Null,
        Some(_) => ValueKind::Number,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: impl AsRef<[u8]>) -> Result<JsonlSummary, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.jsonl");
        std::fs::write(&path, text).unwrap();
        check_jsonl(&path).map_err(|error| error.to_string())
    }

    #[test]
    fn rows_and_columns_are_counted() {
        let summary =
            check("{\"a\":1,\"b\":\"x\"}\r\n{\"a\":2.5,\"b\":null}\n{\"b\":\"y\",\"c\":[1]}").unwrap();
        assert_eq!(summary.rows, 3);
        assert_eq!(
            summary.columns,
            [
                ColumnSummary {
                    name: "a".to_owned(),
                    kind: ValueKind::Number,
                    missing: 1
                },
                ColumnSummary {
                    name: "b".to_owned(),
                    kind: ValueKind::Text,
                    missing: 1
                },
                ColumnSummary {
                    name: "c".to_owned(),
                    kind: ValueKind::List,
                    missing: 2
                },
            ]
        );
        assert_eq!(check("").unwrap().rows, 0);
    }

    #[test]
    fn bad_lines_are_named() {
        for (text, expected) in [
            ("{\"a\":1}\n{\"a\":\n", "line 2: EOF while parsing a value"),
            ("{\"a\":1}\n\n{\"a\":2}\n", "line 2: is empty"),
            ("[1]\n", "line 1: invalid type: sequence, expected a JSON object"),
            ("{\"a\":1,\"a\":2}\n", "line 1: the key \"a\" appears twice"),
            (
                "{\"a\":1}\n{\"a\":\"x\"}\n",
                "line 2: column \"a\" holds a string, but a number",
            ),
            ("{\"a\":1} {\"a\":2}\n", "line 1: trailing characters"),
            ("{\"a\":tru}\n", "line 1: expected ident"),
        ] {
            let error = check(text).unwrap_err();
            assert!(
                error.contains(expected) && error.contains("train.jsonl, "),
                "{text:?}: {error}"
            );
        }
        assert!(check(b"{\"a\":\"\xff\"}\n").is_err());
        assert!(check(b"\0\0\0\n").is_err());
    }
}
