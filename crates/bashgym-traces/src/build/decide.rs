//! The dedup stage: which rows stay, and which sessions belong together because of what their rows say.

use std::borrow::Cow;
use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::store::{RowInfo, Store, content, words};
use crate::columns::RowKind;
use crate::dedup::{DedupOptions, EvalSet, EvalSetReport, TextSource, find_near_duplicates};
use crate::error::TracesError;
use crate::quality::QualityOptions;

/// Why a row does not become part of the dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Reason {
    BelowScore,
    Duplicate,
    NearDuplicate,
    Contaminated,
}

impl Reason {
    /// Returns the name used in reports.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::BelowScore => "below_score",
            Self::Duplicate => "duplicate",
            Self::NearDuplicate => "near_duplicate",
            Self::Contaminated => "contaminated",
        }
    }
}

/// What was decided about a row that goes, or about two rows that stay on one side.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Decision {
    pub(super) row: usize,
    pub(super) reason: Reason,
    /// The row it repeats, or the item of the evaluation set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) similarity: Option<f64>,
}

/// What was found on the way from rows to a dataset without repetition.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct DedupReport {
    /// From which similarity on rows were near-duplicates.
    pub threshold: f64,
    /// Rows equal to an earlier one, removed.
    pub exact_removed: u64,
    /// Rows that say almost the same as an earlier one, removed.
    pub near_removed: u64,
    /// Evaluation sets the rows were compared with.
    pub eval_sets: Vec<EvalSetReport>,
    /// Rows that hold an item of them, removed.
    pub contaminated_removed: u64,
}

/// Decides about every row. Rows that go for their score are no reason for another one to go.
pub(super) fn decide(
    store: &Store,
    quality: &QualityOptions,
    dedup: DedupOptions,
    eval: &EvalSet,
) -> Result<Vec<Decision>, TracesError> {
    let mut decisions = Vec::new();
    let mut seen: HashMap<(RowKind, u64), usize> = HashMap::new();
    let mut candidates: Vec<usize> = Vec::new();
    let mut bytes = Vec::new();
    for (n, row) in store.rows.iter().enumerate() {
        let imitated = matches!(row.kind, RowKind::Sft | RowKind::Distillation);
        if imitated && f64::from(row.score) < quality.min_score {
            decisions.push(Decision {
                row: n,
                reason: Reason::BelowScore,
                of: None,
                similarity: None,
            });
            continue;
        }
        store.read(row, &mut bytes)?;
        let hash = xxh3_64(content(&bytes));
        if let Some(&first) = seen.get(&(row.kind, hash)) {
            decisions.push(Decision {
                row: n,
                reason: Reason::Duplicate,
                of: Some(first),
                similarity: None,
            });
            continue;
        }
        seen.insert((row.kind, hash), n);
        if !eval.is_empty()
            && let Some(item) = eval.find(&words(&bytes))
        {
            decisions.push(Decision {
                row: n,
                reason: Reason::Contaminated,
                of: Some(item),
                similarity: None,
            });
            continue;
        }
        // Pairs of one task share their prompt by nature.
        if row.kind != RowKind::Preference {
            candidates.push(n);
        }
    }
    drop(seen);
    for kind in RowKind::ALL {
        let rows = Rows {
            store,
            numbers: candidates
                .iter()
                .copied()
                .filter(|&n| store.rows[n].kind == kind)
                .collect(),
        };
        for pair in find_near_duplicates(&rows, dedup)? {
            decisions.push(Decision {
                row: rows.numbers[pair.second],
                reason: Reason::NearDuplicate,
                of: Some(rows.numbers[pair.first]),
                similarity: Some((pair.similarity * 1e4).round() / 1e4),
            });
        }
    }
    decisions.sort_by_key(|d| (d.row, d.of));
    Ok(decisions)
}

/// Some rows of a store as texts.
struct Rows<'s> {
    store: &'s Store,
    numbers: Vec<usize>,
}

impl TextSource for Rows<'_> {
    fn count(&self) -> usize {
        self.numbers.len()
    }

    fn text(&self, index: usize) -> Result<Cow<'_, str>, TracesError> {
        let row: &RowInfo = &self.store.rows[self.numbers[index]];
        let mut bytes = Vec::new();
        self.store.read(row, &mut bytes)?;
        Ok(Cow::Owned(words(&bytes)))
    }
}
