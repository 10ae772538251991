//! Columns: as a card declares them, as rows show them, and in Parquet's words.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::sync::Arc;

use hf_core::HfError;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::errors::ParquetError;
use parquet::schema::types::{Type, TypePtr};
use serde_json::Value;

use crate::{invalid, io_error};

/// A column, or a field of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

impl Column {
    pub(crate) fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self {
            name: name.into(),
            kind,
        }
    }
}

/// What a column holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Int,
    Float,
    Text,
    List(Box<Kind>),
    Struct(Vec<Column>),
}

/// The columns that a card's `dataset_info` declares for a config; nothing where it declares none.
///
/// # Errors
///
/// [`HfError::InvalidArgument`] for a type that is not written as Parquet here.
///
/// # Source
///
/// `datasets` 5.2 `features/features.py`, `Features._to_yaml_list`.
pub(crate) fn declared(card: &Value, config: &str) -> Result<Option<Vec<Column>>, HfError> {
    let named = |info: &&Value| {
        info.get("config_name")
            .and_then(Value::as_str)
            .unwrap_or("default")
            == config
    };
    let info = match card.get("dataset_info") {
        Some(Value::Array(all)) => all.iter().find(named),
        Some(one) => Some(one).filter(named),
        None => None,
    };
    match info.and_then(|info| info.get("features")) {
        Some(Value::Array(features)) => fields(features).map(Some),
        _ => Ok(None),
    }
}

fn fields(features: &[Value]) -> Result<Vec<Column>, HfError> {
    features
        .iter()
        .map(|feature| {
            let name = feature.get("name").and_then(Value::as_str);
            let name = name.ok_or_else(|| invalid("a feature of the card has no name".to_owned()))?;
            Ok(Column::new(name, kind(feature, name)?))
        })
        .collect()
}

fn kind(feature: &Value, name: &str) -> Result<Kind, HfError> {
    let unknown = |what: &Value| {
        invalid(format!(
            "the card gives {name:?} the type {what}, which is not written as Parquet here; push the rows as JSON Lines"
        ))
    };
    if let Some(inner) = feature.get("struct").and_then(Value::as_array) {
        return fields(inner).map(Kind::Struct);
    }
    if let Some(inner) = feature.get("list") {
        let item = match inner {
            Value::Array(inner) => Kind::Struct(fields(inner)?),
            Value::String(dtype) => plain(dtype).ok_or_else(|| unknown(inner))?,
            other => kind(other, name)?,
        };
        return Ok(Kind::List(Box::new(item)));
    }
    feature
        .get("dtype")
        .and_then(Value::as_str)
        .and_then(plain)
        .ok_or_else(|| unknown(feature.get("dtype").unwrap_or(feature)))
}

fn plain(dtype: &str) -> Option<Kind> {
    match dtype {
        "bool" => Some(Kind::Bool),
        "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" => Some(Kind::Int),
        "float32" | "float64" => Some(Kind::Float),
        "string" | "large_string" => Some(Kind::Text),
        _ => None,
    }
}

/// The columns that the rows of files show, for a card that declares none. Where there are only nulls, texts could be.
///
/// # Errors
///
/// [`HfError::InvalidArgument`] when a column holds values of different kinds.
pub(crate) fn shown(files: &[&Path]) -> Result<Vec<Column>, HfError> {
    let mut seen = Seen::Struct(Vec::new());
    for path in files {
        let file = std::fs::File::open(path).map_err(|error| io_error("open", path, error))?;
        for (number, line) in BufReader::with_capacity(256 * 1024, file).lines().enumerate() {
            let line = line.map_err(|error| io_error("read", path, error))?;
            let wrong =
                |problem: String| invalid(format!("{}, line {}: {problem}", path.display(), number + 1));
            let row: Value = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
            seen.take(&row, "the row").map_err(wrong)?;
        }
    }
    match seen.kind() {
        Kind::Struct(columns) => Ok(columns),
        _ => Ok(Vec::new()),
    }
}

/// What was seen of a column so far.
#[derive(Debug)]
enum Seen {
    Nothing,
    Bool,
    Int,
    Float,
    Text,
    List(Box<Seen>),
    Struct(Vec<(String, Seen)>),
}

impl Seen {
    fn take(&mut self, value: &Value, name: &str) -> Result<(), String> {
        if matches!(self, Self::Nothing) {
            *self = match value {
                Value::Null => return Ok(()),
                Value::Bool(_) => Self::Bool,
                Value::Number(number) if number.is_i64() => Self::Int,
                Value::Number(_) => Self::Float,
                Value::String(_) => Self::Text,
                Value::Array(_) => Self::List(Box::new(Self::Nothing)),
                Value::Object(_) => Self::Struct(Vec::new()),
            };
        }
        match (&mut *self, value) {
            (_, Value::Null)
            | (Self::Bool, Value::Bool(_))
            | (Self::Float, Value::Number(_))
            | (Self::Text, Value::String(_)) => Ok(()),
            (Self::Int, Value::Number(number)) => {
                if !number.is_i64() {
                    *self = Self::Float;
                }
                Ok(())
            }
            (Self::List(item), Value::Array(items)) => items.iter().try_for_each(|one| item.take(one, name)),
            (Self::Struct(fields), Value::Object(map)) => map.iter().try_for_each(|(name, value)| {
                let at = fields.iter().position(|(known, _)| known == name);
                let at = at.unwrap_or_else(|| {
                    fields.push((name.clone(), Self::Nothing));
                    fields.len() - 1
                });
                fields[at].1.take(value, name)
            }),
            _ => Err(format!("{name} holds values of different kinds; give it one")),
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Bool => Kind::Bool,
            Self::Int => Kind::Int,
            Self::Float => Kind::Float,
            Self::Nothing | Self::Text => Kind::Text,
            Self::List(item) => Kind::List(Box::new(item.kind())),
            Self::Struct(fields) => Kind::Struct(
                fields
                    .iter()
                    .map(|(name, seen)| Column::new(name.clone(), seen.kind()))
                    .collect(),
            ),
        }
    }
}

/// The columns in Parquet's words.
pub(super) fn schema(columns: &[Column]) -> Result<TypePtr, ParquetError> {
    let fields = columns.iter().map(optional).collect::<Result<_, _>>()?;
    Type::group_type_builder("schema")
        .with_fields(fields)
        .build()
        .map(Arc::new)
}

fn optional(column: &Column) -> Result<TypePtr, ParquetError> {
    typed(&column.name, &column.kind)
}

fn typed(name: &str, kind: &Kind) -> Result<TypePtr, ParquetError> {
    let plain = |physical| Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
    let group = |fields| {
        Type::group_type_builder(name)
            .with_repetition(Repetition::OPTIONAL)
            .with_fields(fields)
    };
    let built = match kind {
        Kind::Bool => plain(Physical::BOOLEAN).build(),
        Kind::Int => plain(Physical::INT64).build(),
        Kind::Float => plain(Physical::DOUBLE).build(),
        Kind::Text => plain(Physical::BYTE_ARRAY)
            .with_logical_type(Some(LogicalType::String))
            .build(),
        Kind::Struct(fields) => group(fields.iter().map(optional).collect::<Result<_, _>>()?).build(),
        Kind::List(item) => {
            let repeated = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![typed("element", item)?])
                .build()?;
            group(vec![Arc::new(repeated)])
                .with_logical_type(Some(LogicalType::List))
                .build()
        }
    };
    built.map(Arc::new)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_show_their_columns() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rows.jsonl");
        std::fs::write(
            &path,
            "{\"a\":1,\"b\":[{\"x\":null}],\"c\":null}\n{\"a\":1.5,\"b\":[{\"x\":\"t\",\"y\":true}]}\n",
        )
        .unwrap();
        let item = vec![Column::new("x", Kind::Text), Column::new("y", Kind::Bool)];
        assert_eq!(
            shown(&[&path]).unwrap(),
            [
                Column::new("a", Kind::Float),
                Column::new("b", Kind::List(Box::new(Kind::Struct(item)))),
                Column::new("c", Kind::Text),
            ]
        );
        std::fs::write(&path, "{\"a\":1}\n{\"a\":\"x\"}\n").unwrap();
        let error = shown(&[&path]).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains('a'), "{error}");
    }

    #[test]
    fn types_that_are_not_written_are_named() {
        let card = json!({ "dataset_info": [{ "config_name": "x", "features": [{ "name": "p", "dtype": "image" }] }] });
        assert_eq!(declared(&card, "default").unwrap(), None);
        let error = declared(&card, "x").unwrap_err().to_string();
        assert!(error.contains("image") && error.contains("\"p\""), "{error}");
    }
}
