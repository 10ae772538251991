//! Numbers about a column.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::features::Kind;

const BINS: usize = 10;
/// More different texts than this are never a label; they are not counted further.
const MAX_LABELS: usize = 1000;
/// So many numbers or lengths of a column are kept; the rest is left out, and the answer says `partial`.
const MAX_VALUES: usize = 1_000_000;

/// What is remembered of a column while its file is read.
#[derive(Clone, Debug)]
pub(crate) struct Column {
    pub(super) kind: Kind,
    nulls: u64,
    present: u64,
    /// Numbers; lengths of texts (in characters) and lists.
    values: Vec<f64>,
    /// How often each text or truth value comes; `None` when there are too many.
    labels: Option<HashMap<String, u64>>,
}

impl Default for Column {
    fn default() -> Self {
        Self {
            kind: Kind::Null,
            nulls: 0,
            present: 0,
            values: Vec::new(),
            labels: Some(HashMap::new()),
        }
    }
}

impl Column {
    pub(super) fn weight(&self) -> usize {
        let labels = self
            .labels
            .as_ref()
            .map_or(0, |labels| labels.keys().map(|key| key.len() + 48).sum());
        64 + self.values.len() * 8 + labels
    }

    /// Takes a value into account.
    pub(super) fn add(&mut self, value: &Value) {
        let kind = std::mem::replace(&mut self.kind, Kind::Null);
        self.kind = kind.merge(Kind::of(value));
        let (number, label) = match value {
            Value::Null => {
                self.nulls += 1;
                return;
            }
            Value::Bool(true) => (None, Some("True")),
            Value::Bool(false) => (None, Some("False")),
            Value::Number(number) => (number.as_f64(), None),
            Value::String(text) => (Some(text.chars().count() as f64), Some(text.as_str())),
            Value::Array(items) => (Some(items.len() as f64), None),
            Value::Object(_) => (None, None),
        };
        self.present += 1;
        if let Some(number) = number
            && self.values.len() < MAX_VALUES
        {
            self.values.push(number);
        }
        if let (Some(label), Some(labels)) = (label, &mut self.labels) {
            if let Some(count) = labels.get_mut(label) {
                *count += 1;
            } else if labels.len() < MAX_LABELS {
                labels.insert(label.to_owned(), 1);
            } else {
                self.labels = None;
            }
        }
    }

    /// Adds what another file of the split holds.
    pub(super) fn join(&mut self, other: &Self) {
        let kind = std::mem::replace(&mut self.kind, Kind::Null);
        self.kind = kind.merge(other.kind.clone());
        self.nulls += other.nulls;
        self.present += other.present;
        let room = MAX_VALUES.saturating_sub(self.values.len());
        self.values.extend(other.values.iter().take(room));
        self.labels = match (self.labels.take(), &other.labels) {
            (Some(mut labels), Some(more)) => {
                for (label, count) in more {
                    *labels.entry(label.clone()).or_default() += count;
                }
                (labels.len() <= MAX_LABELS).then_some(labels)
            }
            _ => None,
        };
    }

    /// Whether some values were left out of the numbers.
    pub(super) fn is_partial(&self) -> bool {
        matches!(self.kind, Kind::Int | Kind::Float | Kind::Text | Kind::List(_))
            && (self.values.len() as u64) < self.present
    }

    /// The column's statistics; `None` for kinds the viewer has none of.
    ///
    /// # Source
    /// The viewer's guide on `/statistics`: what is a label, the bins, five digits. The deviation is that of a sample:
    /// its example says so.
    pub(super) fn describe(&self, name: &str, rows: u64) -> Option<Value> {
        let nulls = rows - self.present.min(rows);
        let mut numbers = Map::new();
        numbers.insert("nan_count".to_owned(), json!(nulls));
        let proportion = if rows == 0 {
            0.0
        } else {
            nulls as f64 / rows as f64
        };
        numbers.insert("nan_proportion".to_owned(), json!(round(proportion)));
        let kind = match &self.kind {
            Kind::Bool => {
                numbers.insert("frequencies".to_owned(), json!(self.labels));
                "bool"
            }
            Kind::Text => {
                if let Some(labels) = self.labels.as_ref().filter(|labels| self.is_label(labels)) {
                    numbers.insert("n_unique".to_owned(), json!(labels.len()));
                    numbers.insert("frequencies".to_owned(), json!(labels));
                    "string_label"
                } else {
                    numbers.extend(distribution(&self.values, true));
                    "string_text"
                }
            }
            Kind::Int => {
                numbers.extend(distribution(&self.values, true));
                "int"
            }
            Kind::Float => {
                numbers.extend(distribution(&self.values, false));
                "float"
            }
            Kind::List(_) => {
                numbers.extend(distribution(&self.values, true));
                "list"
            }
            Kind::Null | Kind::Struct(_) | Kind::Json => return None,
        };
        Some(json!({ "column_name": name, "column_type": kind, "column_statistics": numbers }))
    }

    fn is_label(&self, labels: &HashMap<String, u64>) -> bool {
        let unique = labels.len();
        unique <= 10 || (unique < MAX_LABELS && unique as f64 <= 0.2 * self.present as f64)
    }
}

fn round(number: f64) -> f64 {
    (number * 1e5).round() / 1e5
}

fn distribution(values: &[f64], whole: bool) -> Map<String, Value> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let mut out = Map::new();
    let (Some(min), Some(max)) = (sorted.first().copied(), sorted.last().copied()) else {
        for key in ["min", "max", "mean", "median", "std", "histogram"] {
            out.insert(key.to_owned(), Value::Null);
        }
        return out;
    };
    let count = sorted.len() as f64;
    let mean = sorted.iter().sum::<f64>() / count;
    let std = if sorted.len() < 2 {
        Value::Null
    } else {
        let squares: f64 = sorted.iter().map(|value| (value - mean).powi(2)).sum();
        json!(round((squares / (count - 1.0)).sqrt()))
    };
    let middle = sorted.len() / 2;
    let median = if sorted.len().is_multiple_of(2) {
        f64::midpoint(sorted[middle - 1], sorted[middle])
    } else {
        sorted[middle]
    };
    let shown = |number: f64| {
        if whole {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a float too large for an integer is shown as its limit"
            )]
            let number = number.round() as i64;
            json!(number)
        } else {
            json!(round(number))
        }
    };
    let edges = edges(min, max, whole);
    let bins = edges.len() - 1;
    let mut hist = vec![0_u64; bins];
    for value in &sorted {
        let bin = edges[1..bins].partition_point(|edge| edge <= value);
        hist[bin] += 1;
    }
    out.insert("min".to_owned(), shown(min));
    out.insert("max".to_owned(), shown(max));
    out.insert("mean".to_owned(), json!(round(mean)));
    out.insert("median".to_owned(), json!(round(median)));
    out.insert("std".to_owned(), std);
    let edges: Vec<Value> = edges.into_iter().map(shown).collect();
    out.insert(
        "histogram".to_owned(),
        json!({ "hist": hist, "bin_edges": edges }),
    );
    out
}

/// The borders of the bins: at least two, the last one inclusive.
fn edges(min: f64, max: f64, whole: bool) -> Vec<f64> {
    if whole {
        let width = ((max - min + 1.0) / BINS as f64).ceil().max(1.0);
        let mut edges: Vec<f64> = (0..BINS)
            .map(|bin| min + width * bin as f64)
            .take_while(|edge| *edge <= max)
            .collect();
        edges.push(max);
        return edges;
    }
    if min >= max {
        return vec![min, max];
    }
    let width = (max - min) / BINS as f64;
    let mut edges: Vec<f64> = (0..BINS).map(|bin| min + width * bin as f64).collect();
    edges.push(max);
    edges
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn column(values: &[Value]) -> Column {
        let mut column = Column::default();
        for value in values {
            column.add(value);
        }
        column
    }

    #[test]
    fn numbers_are_those_of_the_guide() {
        // The guide's own example: an index from 0 to 8550.
        let values: Vec<Value> = (0..8551).map(|n| json!(n)).collect();
        let told = column(&values).describe("idx", 8551).unwrap();
        let expected = json!({
            "column_name": "idx", "column_type": "int", "column_statistics": {
                "nan_count": 0, "nan_proportion": 0.0, "min": 0, "max": 8550, "mean": 4275.0, "median": 4275.0,
                "std": 2_468.605_41,
                "histogram": {
                    "hist": [856, 856, 856, 856, 856, 856, 856, 856, 856, 847],
                    "bin_edges": [0, 856, 1712, 2568, 3424, 4280, 5136, 5992, 6848, 7704, 8550],
                },
            },
        });
        assert_eq!(told, expected);
    }

    #[test]
    fn two_whole_numbers_make_two_bins() {
        let told = column(&[json!(0), json!(1), json!(1), Value::Null])
            .describe("d", 4)
            .unwrap();
        let numbers = &told["column_statistics"];
        assert_eq!(
            numbers["histogram"],
            json!({ "hist": [1, 2], "bin_edges": [0, 1, 1] })
        );
        assert_eq!(
            (&numbers["nan_count"], &numbers["nan_proportion"]),
            (&json!(1), &json!(0.25))
        );
    }

    #[test]
    fn few_texts_are_labels_and_many_are_texts() {
        let labels: Vec<Value> = (0..40).map(|n| json!(["a", "b"][n % 2])).collect();
        let told = column(&labels).describe("x", 40).unwrap();
        assert_eq!(told["column_type"], "string_label");
        assert_eq!(
            told["column_statistics"]["frequencies"],
            json!({ "a": 20, "b": 20 })
        );
        let texts: Vec<Value> = (0..40).map(|n| json!("é".repeat(n + 1))).collect();
        let told = column(&texts).describe("x", 40).unwrap();
        assert_eq!(told["column_type"], "string_text");
        assert_eq!(told["column_statistics"]["max"], 40);
        let many: Vec<Value> = (0..2_000).map(|n| json!(format!("{n:04}"))).collect();
        assert_eq!(
            column(&many).describe("x", 2_000).unwrap()["column_type"],
            "string_text"
        );
    }

    #[test]
    fn truth_values_lists_and_missing_cells_are_told() {
        let told = column(&[json!(true), json!(false), json!(true)])
            .describe("b", 5)
            .unwrap();
        assert_eq!(
            told["column_statistics"]["frequencies"],
            json!({ "True": 2, "False": 1 })
        );
        assert_eq!(told["column_statistics"]["nan_count"], 2);
        let told = column(&[json!([1]), json!([1, 2, 3])]).describe("l", 2).unwrap();
        assert_eq!(told["column_type"], "list");
        assert_eq!(told["column_statistics"]["mean"], 2.0);
        assert!(column(&[json!({ "a": 1 })]).describe("s", 1).is_none());
    }

    proptest! {
        #[test]
        fn every_value_is_in_one_bin(values in prop::collection::vec(-1e6_f64..1e6, 1..200), whole: bool) {
            let values: Vec<f64> = values.into_iter().map(|v| if whole { v.round() } else { v }).collect();
            let told = distribution(&values, whole);
            let hist = told["histogram"]["hist"].as_array().unwrap();
            let edges = told["histogram"]["bin_edges"].as_array().unwrap();
            prop_assert_eq!(hist.iter().map(|n| n.as_u64().unwrap()).sum::<u64>(), values.len() as u64);
            prop_assert_eq!(edges.len(), hist.len() + 1);
            prop_assert!(hist.len() <= BINS);
        }

        #[test]
        fn two_files_tell_what_one_would(a in prop::collection::vec(0_i64..50, 0..50), b in prop::collection::vec(0_i64..50, 0..50)) {
            let values = |list: &[i64]| list.iter().map(|n| json!(n)).collect::<Vec<_>>();
            let mut joined = column(&values(&a));
            joined.join(&column(&values(&b)));
            let whole = column(&values(&[a.clone(), b.clone()].concat()));
            let rows = (a.len() + b.len()) as u64;
            prop_assert_eq!(joined.describe("x", rows), whole.describe("x", rows));
        }
    }
}
