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
/// A hash of the seed and the group's key decides, and nothing else: sessions that come later leave the earlier ones where
/// they are. Three things overrule it: a group with more rows than are wanted for validation trains; two groups or more
/// always give a validation row; and where fewer than a hundred groups gave less than three quarters of what is wanted, those
/// next in rank that still fit are held out too. One group alone is all for training.
pub fn assign_groups(groups: &[SplitGroup], options: &SplitOptions) -> (Vec<bool>, Option<SplitWarning>) {
    let mut val = vec![false; groups.len()];
    let filled: Vec<usize> = (0..groups.len()).filter(|&g| groups[g].rows > 0).collect();
    if filled.len() < 2 || options.val_fraction <= 0.0 {
        return (
            val,
            Some(SplitWarning::NoValidationRows {
                groups: filled.len() as u64,
            }),
        );
    }
    let total: u64 = filled.iter().map(|&g| groups[g].rows).sum();
    let wanted = total as f64 * options.val_fraction;
    let ranked: Vec<(f64, usize)> = filled
        .iter()
        .map(|&g| (rank(&groups[g].key, options.seed), g))
        .collect();
    for &(rank, g) in &ranked {
        val[g] = rank < options.val_fraction && groups[g].rows as f64 <= wanted;
    }
    if filled.len() < FEW {
        fill_up(groups, &ranked, wanted, &mut val);
    }
    if !val.contains(&true) {
        let smallest = ranked
            .iter()
            .min_by(|a, b| groups[a.1].rows.cmp(&groups[b.1].rows).then(a.0.total_cmp(&b.0)));
        if let Some(&(_, g)) = smallest {
            val[g] = true;
        }
    } else if filled.iter().all(|&g| val[g])
        && let Some(&(_, g)) = ranked.iter().max_by(|a, b| a.0.total_cmp(&b.0))
    {
        val[g] = false;
    }
    (val, None)
}

/// With fewer groups, chance alone can take far less than was asked for; with more, that earlier groups stay where they are
/// counts for more.
const FEW: usize = 100;

/// Holds out further groups, by rank, where chance took far less than is wanted.
fn fill_up(groups: &[SplitGroup], ranked: &[(f64, usize)], wanted: f64, val: &mut [bool]) {
    let mut have: u64 = ranked
        .iter()
        .filter(|&&(_, g)| val[g])
        .map(|&(_, g)| groups[g].rows)
        .sum();
    if have as f64 >= wanted * 0.75 {
        return;
    }
    let mut rest: Vec<(f64, usize)> = ranked.iter().copied().filter(|&(_, g)| !val[g]).collect();
    rest.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (_, g) in rest {
        if (have + groups[g].rows) as f64 <= wanted {
            val[g] = true;
            have += groups[g].rows;
        }
    }
}

/// Returns the place of a key between 0 and 1.
fn rank(key: &str, seed: u64) -> f64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(key.as_bytes());
    let mut number = [0; 8];
    number.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    // 53 bits are what a float holds exactly.
    (u64::from_le_bytes(number) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Sets of numbers that were joined.
#[derive(Debug, Default)]
pub(crate) struct UnionFind {
    parent: Vec<u32>,
}

impl UnionFind {
    /// Makes sets of one number each.
    pub(crate) fn new(count: usize) -> Self {
        let mut all = Self::default();
        (0..count).for_each(|_| {
            all.add();
        });
        all
    }

    /// Adds a number and returns it.
    pub(crate) fn add(&mut self) -> usize {
        let number = self.parent.len();
        self.parent.push(u32::try_from(number).unwrap_or(u32::MAX));
        number
    }

    /// Joins the sets of two numbers; the smaller root stays.
    pub(crate) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.root(a), self.root(b));
        let (low, high) = (a.min(b), a.max(b));
        self.parent[high] = u32::try_from(low).unwrap_or(u32::MAX);
    }

    /// Returns the number that stands for a set.
    pub(crate) fn root(&mut self, mut number: usize) -> usize {
        while self.parent[number] as usize != number {
            self.parent[number] = self.parent[self.parent[number] as usize];
            number = self.parent[number] as usize;
        }
        number
    }
}

/// Collects sessions into groups that share a session, a parent, a fork or a copy.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    nodes: HashMap<String, usize>,
    sets: UnionFind,
    names: Vec<String>,
    rows: Vec<u64>,
}

impl Groups {
    /// Returns the node of a session id.
    pub(crate) fn node(&mut self, id: &str) -> usize {
        if let Some(&node) = self.nodes.get(id) {
            return node;
        }
        let node = self.sets.add();
        self.nodes.insert(id.to_owned(), node);
        self.names.push(id.to_owned());
        self.rows.push(0);
        node
    }

    pub(crate) fn join(&mut self, a: usize, b: usize) {
        self.sets.join(a, b);
    }

    pub(crate) fn add_row(&mut self, node: usize) {
        self.rows[node] += 1;
    }

    /// Returns the groups and, for each node, the index of its group.
    pub(crate) fn finish(mut self) -> (Vec<SplitGroup>, Vec<usize>) {
        let mut groups: Vec<SplitGroup> = Vec::new();
        let mut group_of_root = HashMap::new();
        let mut group_of_node = Vec::with_capacity(self.names.len());
        for node in 0..self.names.len() {
            let root = self.sets.root(node);
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
            let wanted = total as f64 * options.val_fraction;
            let smallest = *rows.iter().min().unwrap() as f64;
            for (rows, _) in rows.iter().zip(&val).filter(|(_, v)| **v) {
                prop_assert!(*rows as f64 <= wanted.max(smallest));
            }
        }

        #[test]
        fn sessions_that_come_later_leave_the_earlier_ones_where_they_are(
            seed: u64,
            before in 200_usize..400,
            more in 1_usize..200,
        ) {
            let options = SplitOptions { seed, val_fraction: 0.1 };
            let all = groups(&vec![3; before + more]);
            let (old, _) = assign_groups(&all[..before], &options);
            let (new, _) = assign_groups(&all, &options);
            prop_assert_eq!(&old[..], &new[..before]);
        }

        #[test]
        fn few_groups_give_the_share_that_was_asked_for(
            rows in prop::collection::vec(1_u64..8, 12..40),
            seed: u64,
        ) {
            let options = SplitOptions { seed, val_fraction: 0.1 };
            let total: u64 = rows.iter().sum();
            let wanted = total as f64 * 0.1;
            let (val, _) = assign_groups(&groups(&rows), &options);
            let taken: u64 = val.iter().zip(&rows).filter(|(v, _)| **v).map(|(_, n)| n).sum();
            let smallest_left = val.iter().zip(&rows).filter(|(v, _)| !**v).map(|(_, n)| *n).min().unwrap_or(0);
            // Nothing that would fit was left to training.
            prop_assert!(taken as f64 >= wanted * 0.75 || (taken + smallest_left) as f64 > wanted, "{taken} of {wanted}");
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
