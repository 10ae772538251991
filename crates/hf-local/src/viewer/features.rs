//! The types of a dataset's columns: as its card declares them, or as its rows show them.

use serde_json::{Map, Value, json};

/// What the values of a column, or of a part of one, have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only nulls so far.
    Null,
    Bool,
    Int,
    Float,
    Text,
    List(Box<Kind>),
    /// Fields in order of first appearance.
    Struct(Vec<(String, Kind)>),
    /// Values of mixed shapes, stored as JSON.
    Json,
}

impl Kind {
    /// The kind of one value.
    pub(super) fn of(value: &Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_f64() => Self::Float,
            Value::Number(_) => Self::Int,
            Value::String(_) => Self::Text,
            Value::Array(items) => {
                Self::List(Box::new(items.iter().map(Self::of).fold(Self::Null, Self::merge)))
            }
            Value::Object(fields) if fields.is_empty() => Self::Json,
            Value::Object(fields) => Self::Struct(
                fields
                    .iter()
                    .map(|(name, value)| (name.clone(), Self::of(value)))
                    .collect(),
            ),
        }
    }

    /// The kind that holds both.
    ///
    /// # Source
    /// `datasets` 5.2 `utils/json.py`: below the top level, objects with different keys, empty objects, and containers
    /// mixed with other values are stored as JSON. Its reading of date texts as timestamps is not imitated.
    pub(super) fn merge(self, other: Self) -> Self {
        match (self, other) {
            (Self::Null, kind) | (kind, Self::Null) => kind,
            (Self::Int, Self::Float) | (Self::Float, Self::Int) => Self::Float,
            (Self::List(a), Self::List(b)) => Self::List(Box::new(a.merge(*b))),
            (Self::Struct(a), Self::Struct(b)) => merge_fields(a, b),
            (a, b) if a == b => a,
            _ => Self::Json,
        }
    }

    /// The type in the viewer's words.
    pub(super) fn describe(&self) -> Value {
        let value = |dtype: &str| json!({ "dtype": dtype, "_type": "Value" });
        match self {
            Self::Null => value("null"),
            Self::Bool => value("bool"),
            Self::Int => value("int64"),
            Self::Float => value("float64"),
            Self::Text => value("string"),
            Self::List(kind) => json!({ "feature": kind.describe(), "_type": "List" }),
            Self::Struct(fields) => Value::Object(
                fields
                    .iter()
                    .map(|(name, kind)| (name.clone(), kind.describe()))
                    .collect(),
            ),
            Self::Json => json!({ "_type": "Json" }),
        }
    }
}

fn merge_fields(mut a: Vec<(String, Kind)>, b: Vec<(String, Kind)>) -> Kind {
    if a.len() != b.len() {
        return Kind::Json;
    }
    for (name, kind) in b {
        match a.iter_mut().find(|(known, _)| *known == name) {
            Some((_, known)) => {
                let old = std::mem::replace(known, Kind::Null);
                *known = old.merge(kind);
            }
            None => return Kind::Json,
        }
    }
    Kind::Struct(a)
}

/// The features a card declares for a config, each with its name, in the viewer's words.
///
/// # Source
/// `datasets` 5.2 `features/features.py`, `Features._to_yaml_list` and `_from_yaml_list`.
pub(super) fn declared(card: Option<&Value>, config: &str) -> Option<Vec<(String, Value)>> {
    let info = card?.get("dataset_info")?;
    let info = match info {
        Value::Array(infos) => infos.iter().find(|info| {
            info.get("config_name")
                .and_then(Value::as_str)
                .unwrap_or("default")
                == config
        })?,
        one => {
            let named = one
                .get("config_name")
                .and_then(Value::as_str)
                .unwrap_or("default");
            (named == config).then_some(one)?
        }
    };
    let features = info.get("features")?.as_array()?;
    features
        .iter()
        .map(|feature| {
            let name = feature.get("name")?.as_str()?;
            Some((name.to_owned(), from_yaml(feature)?))
        })
        .collect()
}

fn from_yaml(feature: &Value) -> Option<Value> {
    // A plain word is short for its dtype: `list: string`.
    if let Some(dtype) = feature.as_str() {
        return Some(of_dtype(dtype));
    }
    if let Some(items) = feature.as_array() {
        return fields_from_yaml(items);
    }
    let fields = feature.as_object()?;
    for (key, kind) in [
        ("list", "List"),
        ("large_list", "LargeList"),
        ("sequence", "Sequence"),
    ] {
        if let Some(inner) = fields.get(key) {
            return Some(json!({ "feature": from_yaml(inner)?, "_type": kind }));
        }
    }
    if let Some(inner) = fields.get("struct") {
        return fields_from_yaml(inner.as_array()?);
    }
    match fields.get("dtype")? {
        Value::String(dtype) => Some(of_dtype(dtype)),
        Value::Object(special) => {
            let (word, details) = special.iter().next()?;
            let mut described = details.as_object().cloned().unwrap_or_default();
            if let Some(Value::Object(names)) = described.get("names").cloned() {
                let mut names: Vec<(u64, Value)> = names
                    .into_iter()
                    .filter_map(|(at, name)| Some((at.parse().ok()?, name)))
                    .collect();
                names.sort_by_key(|(at, _)| *at);
                let names = names.into_iter().map(|(_, name)| name).collect();
                described.insert("names".to_owned(), Value::Array(names));
            }
            described.insert("_type".to_owned(), Value::String(camel(word)));
            Some(Value::Object(described))
        }
        _ => None,
    }
}

fn fields_from_yaml(items: &[Value]) -> Option<Value> {
    let mut fields = Map::new();
    for item in items {
        fields.insert(item.get("name")?.as_str()?.to_owned(), from_yaml(item)?);
    }
    Some(Value::Object(fields))
}

fn of_dtype(dtype: &str) -> Value {
    match dtype {
        "json" | "image" | "audio" | "video" | "pdf" | "nifti" => json!({ "_type": camel(dtype) }),
        _ => json!({ "dtype": dtype, "_type": "Value" }),
    }
}

/// Writes `class_label` as `ClassLabel`.
fn camel(word: &str) -> String {
    word.split('_')
        .map(|part| {
            let mut letters = part.chars();
            letters
                .next()
                .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(rows: &[Value]) -> Value {
        rows.iter().map(Kind::of).fold(Kind::Null, Kind::merge).describe()
    }

    #[test]
    fn rows_show_their_types() {
        let int = json!({ "dtype": "int64", "_type": "Value" });
        let float = json!({ "dtype": "float64", "_type": "Value" });
        let text = json!({ "dtype": "string", "_type": "Value" });
        assert_eq!(kind(&[json!(1), json!(null)]), int);
        assert_eq!(kind(&[json!(1), json!(2.5)]), float);
        assert_eq!(
            kind(&[json!(["a"]), json!([])]),
            json!({ "feature": text, "_type": "List" })
        );
        assert_eq!(
            kind(&[json!({ "a": 1, "b": "x" }), json!({ "b": null, "a": 2 })]),
            json!({ "a": int, "b": text })
        );
    }

    #[test]
    fn mixed_shapes_become_json() {
        let json = json!({ "_type": "Json" });
        assert_eq!(kind(&[json!({ "a": 1 }), json!({ "b": 1 })]), json);
        assert_eq!(kind(&[json!({})]), json);
        assert_eq!(kind(&[json!([1]), json!("x")]), json);
        assert_eq!(kind(&[json!("x"), json!(1)]), json);
        assert_eq!(
            kind(&[json!([{ "a": 1 }, { "a": 1, "b": 2 }])]),
            json!({ "feature": json, "_type": "List" })
        );
    }

    #[test]
    fn a_card_declares_types() {
        let card = json!({ "dataset_info": { "features": [
            { "name": "messages", "list": [{ "name": "role", "dtype": "string" }] },
            { "name": "ids", "list": "int64" },
            { "name": "meta", "struct": [{ "name": "n", "dtype": "int64" }] },
            { "name": "label", "dtype": { "class_label": { "names": { "1": "bad", "0": "good" } } } },
            { "name": "extra", "dtype": "json" },
        ] } });
        let features = declared(Some(&card), "default").unwrap();
        let text = json!({ "dtype": "string", "_type": "Value" });
        let int = json!({ "dtype": "int64", "_type": "Value" });
        assert_eq!(
            features,
            [
                (
                    "messages".to_owned(),
                    json!({ "feature": { "role": text }, "_type": "List" })
                ),
                ("ids".to_owned(), json!({ "feature": int, "_type": "List" })),
                ("meta".to_owned(), json!({ "n": int })),
                (
                    "label".to_owned(),
                    json!({ "names": ["good", "bad"], "_type": "ClassLabel" })
                ),
                ("extra".to_owned(), json!({ "_type": "Json" })),
            ]
        );
        assert_eq!(declared(Some(&card), "other"), None);
        let many = json!({ "dataset_info": [{ "config_name": "b", "features": [{ "name": "x", "dtype": "bool" }] }] });
        assert_eq!(declared(Some(&many), "b").unwrap().len(), 1);
        assert_eq!(declared(Some(&many), "default"), None);
        assert_eq!(declared(None, "default"), None);
    }
}
