//! Divides sessions between training and validation, whole groups at a time.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::error::TracesError;

/// How rows are divided.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SplitOptions {
    /// The seed; the same seed over the same sessions gives the same split.
    pub seed: u64,
    /// The share of rows for validation, from 0 up to, not including, 1.
    pub val_fraction: f64,
}

impl Default for SplitOptions {
    fn default() -> Self {
        Self {
            seed: 42,
            val_fraction: 0.1,
        }
    }
}

impl SplitOptions {
    /// Checks the values.
    ///
    /// # Errors
    ///
    /// [`TracesError::InvalidOption`] when `val_fraction` is out of range.
    pub fn validate(&self) -> Result<(), TracesError> {
        if (0.0..1.0).contains(&self.val_fraction) {
            return Ok(());
        }
        Err(TracesError::InvalidOption {
            option: "val_fraction",
            value: self.val_fraction.to_string(),
            expected: "0 or more and less than 1",
        })
    }
}

/// Rows that must stay on one side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitGroup {
    /// A name that does not depend on the order of the input: the smallest session id of the group.
    pub key: String,
    /// How many rows it has.
    pub rows: u64,
}

/// Something about a split that its user should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum SplitWarning {
    /// All rows belong together, so there is no validation split; a loss on it cannot be measured.
    NoValidationRows {
        /// Groups with rows: 1, or more when no validation was asked for.
        groups: u64,
    },
}

/// Tells for each group whether it goes to validation.
///
/// Groups are put in a random but repeatable order and taken while they fit into the wanted share. When none fits, the
/// smallest is taken, so that two groups or more always give a validation row. One group alone is all for training.
pub fn assign_groups(groups: &[SplitGroup], options: &SplitOptions) -> (Vec<bool>, Option<SplitWarning>) {
    let mut val = vec![false; groups.len()];
    let mut order: Vec<usize> = (0..groups.len()).filter(|&g| groups[g].rows > 0).collect();
    if order.len() < 2 || options.val_fraction <= 0.0 {
        return (
            val,
            Some(SplitWarning::NoValidationRows {
                groups: order.len() as u64,
            }),
        );
    }
    let rank = |g: usize| -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        hasher
            .update(&options.seed.to_le_bytes())
            .update(groups[g].key.as_bytes());
        *hasher.finalize().as_bytes()
    };
    order.sort_by_cached_key(|&g| (rank(g), groups[g].key.clone()));
    let total: u64 = order.iter().map(|&g| groups[g].rows).sum();
    let wanted = total as f64 * options.val_fraction;
    let mut taken = 0_u64;
    for &g in &order {
        if (taken + groups[g].rows) as f64 <= wanted {
            val[g] = true;
            taken += groups[g].rows;
        }
    }
    if taken == 0
        && let Some(&smallest) = order.iter().min_by_key(|&&g| groups[g].rows)
    {
        val[smallest] = true;
    }
    (val, None)
}

/// Collects sessions into groups that share a session, a parent, a fork or a copy.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    nodes: HashMap<String, usize>,
    parent: Vec<usize>,
    names: Vec<String>,
    rows: Vec<u64>,
}

impl Groups {
    /// Returns the node of a session id.
    pub(crate) fn node(&mut self, id: &str) -> usize {
        if let Some(&node) = self.nodes.get(id) {
            return node;
        }
        let node = self.parent.len();
        self.nodes.insert(id.to_owned(), node);
        self.parent.push(node);
        self.names.push(id.to_owned());
        self.rows.push(0);
        node
    }

    pub(crate) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            self.parent[a] = b;
        }
    }

    pub(crate) fn add_row(&mut self, node: usize) {
        self.rows[node] += 1;
    }

    fn root(&mut self, mut node: usize) -> usize {
        while self.parent[node] != node {
            self.parent[node] = self.parent[self.parent[node]];
            node = self.parent[node];
        }
        node
    }

    /// Returns the groups and, for each node, the index of its group.
    pub(crate) fn finish(mut self) -> (Vec<SplitGroup>, Vec<usize>) {
        let mut groups: Vec<SplitGroup> = Vec::new();
        let mut group_of_root = HashMap::new();
        let mut group_of_node = Vec::with_capacity(self.parent.len());
        for node in 0..self.parent.len() {
            let root = self.root(node);
            let group = *group_of_root.entry(root).or_insert_with(|| {
                groups.push(SplitGroup {
                    key: self.names[node].clone(),
                    rows: 0,
                });
                groups.len() - 1
            });
            if self.names[node] < groups[group].key {
                groups[group].key.clone_from(&self.names[node]);
            }
            groups[group].rows += self.rows[node];
            group_of_node.push(group);
        }
        (groups, group_of_node)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn groups(rows: &[u64]) -> Vec<SplitGroup> {
        rows.iter()
            .enumerate()
            .map(|(n, &rows)| SplitGroup {
                key: format!("session-{n}"),
                rows,
            })
            .collect()
    }

    #[test]
    fn one_group_is_all_training_and_says_so() {
        let (val, warning) = assign_groups(&groups(&[7, 0]), &SplitOptions::default());
        assert_eq!(val, [false, false]);
        assert_eq!(warning, Some(SplitWarning::NoValidationRows { groups: 1 }));
    }

    #[test]
    fn a_bad_share_is_refused() {
        for val_fraction in [-0.1, 1.0, f64::NAN] {
            assert!(
                SplitOptions {
                    val_fraction,
                    ..SplitOptions::default()
                }
                .validate()
                .is_err()
            );
        }
    }

    #[test]
    fn sessions_that_share_anything_are_one_group() {
        let mut all = Groups::default();
        let (a, b, c, d) = (all.node("d"), all.node("b"), all.node("c"), all.node("a"));
        all.join(a, b);
        all.join(c, b);
        for node in [a, b, c, d] {
            all.add_row(node);
        }
        let (groups, of) = all.finish();
        assert_eq!(of[a], of[c]);
        assert_ne!(of[a], of[d]);
        assert_eq!(
            groups[of[a]],
            SplitGroup {
                key: "b".to_owned(),
                rows: 3
            }
        );
    }

    proptest! {
        #[test]
        fn both_sides_have_rows_and_validation_stays_small(
            rows in prop::collection::vec(1_u64..50, 2..60),
            seed: u64,
            percent in 1_u32..50,
        ) {
            let options = SplitOptions { seed, val_fraction: f64::from(percent) / 100.0 };
            let groups = groups(&rows);
            let (val, warning) = assign_groups(&groups, &options);
            prop_assert_eq!(warning, None);
            let taken: u64 = val.iter().zip(&rows).filter(|(v, _)| **v).map(|(_, n)| n).sum();
            let total: u64 = rows.iter().sum();
            prop_assert!(taken >= 1 && taken < total);
            let smallest = *rows.iter().min().unwrap() as f64;
            prop_assert!(taken as f64 <= (total as f64 * options.val_fraction).max(smallest));
        }

        #[test]
        fn the_order_of_the_input_does_not_matter(
            rows in prop::collection::vec(1_u64..50, 2..40),
            seed: u64,
        ) {
            let options = SplitOptions { seed, val_fraction: 0.2 };
            let mut groups = groups(&rows);
            let (val, _) = assign_groups(&groups, &options);
            let chosen: std::collections::BTreeSet<_> =
                groups.iter().zip(&val).filter(|(_, v)| **v).map(|(g, _)| g.key.clone()).collect();
            groups.reverse();
            let (val, _) = assign_groups(&groups, &options);
            let again: std::collections::BTreeSet<_> =
                groups.iter().zip(&val).filter(|(_, v)| **v).map(|(g, _)| g.key.clone()).collect();
            prop_assert_eq!(chosen, again);
        }
    }
}
