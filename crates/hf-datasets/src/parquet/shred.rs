//! Takes rows apart into columns of values with their levels.
//!
//! # Source
//! The Dremel paper, as the Parquet format's documentation sums it up: the definition level of a value says how much of
//! its path is there, the repetition level at which list it goes on.

use parquet::data_type::ByteArray;
use serde_json::{Map, Value};

use super::types::{Column, Kind};

/// The values of a column without fields.
#[derive(Debug)]
pub(super) enum Values {
    Bool(Vec<bool>),
    Int(Vec<i64>),
    Float(Vec<f64>),
    Text(Vec<ByteArray>),
}

/// A column without fields: what is there, and at which levels.
#[derive(Debug)]
pub(super) struct Leaf {
    pub(super) values: Values,
    pub(super) levels: Vec<i16>,
    pub(super) repeats: Vec<i16>,
}

impl Leaf {
    pub(super) fn clear(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.clear(),
            Values::Int(values) => values.clear(),
            Values::Float(values) => values.clear(),
            Values::Text(values) => values.clear(),
        }
        self.levels.clear();
        self.repeats.clear();
    }

    fn push(&mut self, at: Place) {
        self.levels.push(at.level);
        self.repeats.push(at.repeat);
    }
}

/// Makes a leaf for each column without fields, in the order of the schema.
pub(super) fn leaves(columns: &[Column]) -> Vec<Leaf> {
    columns
        .iter()
        .flat_map(|column| leaves_of(&column.kind))
        .collect()
}

fn leaves_of(kind: &Kind) -> Vec<Leaf> {
    let values = match kind {
        Kind::List(item) => return leaves_of(item),
        Kind::Struct(fields) => return leaves(fields),
        Kind::Bool => Values::Bool(Vec::new()),
        Kind::Int => Values::Int(Vec::new()),
        Kind::Float => Values::Float(Vec::new()),
        Kind::Text => Values::Text(Vec::new()),
    };
    vec![Leaf {
        values,
        levels: Vec::new(),
        repeats: Vec::new(),
    }]
}

fn width(kind: &Kind) -> usize {
    match kind {
        Kind::List(item) => width(item),
        Kind::Struct(fields) => fields.iter().map(|field| width(&field.kind)).sum(),
        _ => 1,
    }
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// How much of the path is there.
    level: i16,
    /// At which list it goes on.
    repeat: i16,
    /// How many lists are around it.
    lists: i16,
}

impl Place {
    fn deeper(self) -> Self {
        Self {
            level: self.level + 1,
            ..self
        }
    }
}

/// Adds a row to the leaves. The problem names the field; after one, the leaves are of no use.
pub(super) fn shred_row(columns: &[Column], row: &Value, leaves: &mut [Leaf]) -> Result<(), String> {
    let Value::Object(cells) = row else {
        return Err("the row is no object".to_owned());
    };
    let top = Place {
        level: 0,
        repeat: 0,
        lists: 0,
    };
    fields(columns, cells, top, leaves).map_err(|problem| problem.to_string())
}

/// What is wrong, and on which path.
#[derive(Debug)]
struct Problem {
    path: Vec<String>,
    what: &'static str,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let path: Vec<&str> = self.path.iter().rev().map(String::as_str).collect();
        write!(f, "{} {}", path.join("."), self.what)
    }
}

fn wrong(what: &'static str) -> Problem {
    Problem {
        path: Vec::new(),
        what,
    }
}

fn fields(
    columns: &[Column],
    cells: &Map<String, Value>,
    at: Place,
    leaves: &mut [Leaf],
) -> Result<(), Problem> {
    let on = |name: &String, mut problem: Problem| {
        problem.path.push(name.clone());
        problem
    };
    let known = |name: &String| columns.iter().any(|column| column.name == *name);
    if let Some(name) = cells.keys().find(|name| !known(name)) {
        return Err(on(
            name,
            wrong("is no column of the card; build the dataset again"),
        ));
    }
    let mut rest = leaves;
    for column in columns {
        let (own, behind) = rest.split_at_mut(width(&column.kind));
        let cell = cells.get(&column.name).unwrap_or(&Value::Null);
        value(&column.kind, cell, at, own).map_err(|problem| on(&column.name, problem))?;
        rest = behind;
    }
    Ok(())
}

/// Notes in every leaf that there is no value here.
fn push_all(leaves: &mut [Leaf], at: Place) {
    for leaf in leaves {
        leaf.push(at);
    }
}

fn value(kind: &Kind, value: &Value, at: Place, leaves: &mut [Leaf]) -> Result<(), Problem> {
    if value.is_null() {
        push_all(leaves, at);
        return Ok(());
    }
    let there = at.deeper();
    match (kind, value) {
        (Kind::Struct(columns), Value::Object(cells)) => fields(columns, cells, there, leaves),
        (Kind::List(item), Value::Array(items)) => {
            if items.is_empty() {
                push_all(leaves, there);
            }
            let lists = there.lists + 1;
            for (n, one) in items.iter().enumerate() {
                let place = Place {
                    level: there.level + 1,
                    repeat: if n == 0 { at.repeat } else { lists },
                    lists,
                };
                self::value(item, one, place, leaves)?;
            }
            Ok(())
        }
        (Kind::Struct(_) | Kind::List(_), _) => Err(wrong("holds something else than the card says")),
        _ => leaf(value, there, leaves),
    }
}

fn leaf(value: &Value, at: Place, leaves: &mut [Leaf]) -> Result<(), Problem> {
    let Some(leaf) = leaves.first_mut() else {
        return Ok(());
    };
    match (&mut leaf.values, value) {
        (Values::Bool(values), Value::Bool(flag)) => values.push(*flag),
        (Values::Text(values), Value::String(text)) => values.push(ByteArray::from(text.as_str())),
        (Values::Int(values), Value::Number(number)) => {
            values.push(number.as_i64().ok_or_else(|| wrong("is no whole number"))?);
        }
        (Values::Float(values), Value::Number(number)) => {
            values.push(number.as_f64().ok_or_else(|| wrong("is no number"))?);
        }
        _ => return Err(wrong("holds something else than the card says")),
    }
    leaf.push(at);
    Ok(())
}
