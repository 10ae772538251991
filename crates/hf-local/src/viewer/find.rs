//! Rows that hold words, and rows of which a condition holds.
//!
//! # Source
//! The viewer's OpenAPI document and its guides on search and filter. The Hub asks DuckDB for both. Here a search looks for
//! whole words in all texts of a row, without stemming, and puts rows with more of the words first, where the Hub ranks
//! with BM25. Conditions are the comparisons of the guide, with SQL's reading of null.

use std::cmp::Ordering;
use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

use super::answer::{ViewerError, ViewerResult};
use super::condition::{Condition, OrderBy, compare};
use super::open::Split;
use super::table::Cells;
use crate::state::Hub;

/// A row of a split, by its number.
pub(super) type Numbered = (u64, Cells<Box<RawValue>>);

/// What rows are looked for.
#[derive(Debug)]
pub(super) enum Wanted {
    /// Those that hold any of these words, in small letters.
    Words(HashSet<String>),
    /// Those of which the condition holds.
    Filter(Option<Condition>, Option<OrderBy>),
}

impl Wanted {
    /// Reads the words of a search.
    pub(super) fn words(query: &str) -> Self {
        Self::Words(words(query).collect())
    }

    /// Whether a row is wanted, and how early: rows with a smaller rank come first.
    fn rank(&self, row: &Value) -> Option<usize> {
        match self {
            Self::Words(wanted) => {
                let mut found = HashSet::new();
                collect(row, &mut |text| {
                    found.extend(words(text).filter(|word| wanted.contains(word)));
                });
                (!found.is_empty()).then(|| wanted.len() - found.len())
            }
            Self::Filter(condition, _) => condition
                .as_ref()
                .is_none_or(|condition| condition.holds(row) == Some(true))
                .then_some(0),
        }
    }

    fn key(&self, row: &Value) -> Value {
        match self {
            Self::Filter(_, Some(order)) => order.column.of(row).clone(),
            _ => Value::Null,
        }
    }

    fn order(&self, a: &Value, b: &Value) -> Ordering {
        let Self::Filter(_, Some(order)) = self else {
            return Ordering::Equal;
        };
        match (a.is_null(), b.is_null()) {
            // Nulls come last, whatever the direction.
            (true, _) | (_, true) => a.is_null().cmp(&b.is_null()),
            _ => {
                let ordering = compare(a, b).unwrap_or(Ordering::Equal);
                if order.descending {
                    ordering.reverse()
                } else {
                    ordering
                }
            }
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

fn collect(value: &Value, take: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => take(text),
        Value::Array(items) => items.iter().for_each(|item| collect(item, take)),
        Value::Object(fields) => fields.values().for_each(|field| collect(field, take)),
        _ => {}
    }
}

/// Reads all rows of a split, and returns a page of those that are wanted with how many there are.
pub(super) async fn find(
    hub: &Arc<Hub>,
    split: &Split,
    wanted: &Wanted,
    offset: u64,
    length: u64,
) -> ViewerResult<(Vec<Numbered>, u64)> {
    let mut found: Vec<(usize, Value, u64)> = Vec::new();
    let mut start = 0;
    for part in &split.parts {
        hub.each_row(&part.path, part.oid, &part.blob, &part.table, |at, row| {
            if let Some(rank) = wanted.rank(&row) {
                found.push((rank, wanted.key(&row), start + at));
            }
        })
        .await?;
        start += part.table.rows;
    }
    // The sort is stable: what is equal stays in the order of the rows.
    found.sort_by(|a, b| a.0.cmp(&b.0).then_with(|| wanted.order(&a.1, &b.1)));
    let total = found.len() as u64;
    let page = found
        .into_iter()
        .skip(usize::try_from(offset).unwrap_or(usize::MAX))
        .take(usize::try_from(length).unwrap_or(usize::MAX));
    let mut rows = Vec::new();
    for (_, _, number) in page {
        let mut start = 0;
        for part in &split.parts {
            let at = number - start;
            if at < part.table.rows {
                let read = hub
                    .rows_of(&part.path, part.oid, &part.blob, &part.table, at..at + 1)
                    .await?;
                let cells = read.into_iter().next();
                let cells = cells.ok_or_else(|| ViewerError::unreadable("a row is gone"))?;
                rows.push((number, cells));
                break;
            }
            start += part.table.rows;
        }
    }
    Ok((rows, total))
}
