//! How far a judge agrees with what people said.

use serde::Serialize;

/// How far a judge agrees with labels, with the ranges in which the true values lie with 95 % confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    /// Rows that have both.
    pub rows: u64,
    /// Both say good.
    pub both_good: u64,
    /// Both say bad.
    pub both_bad: u64,
    /// The judge says good, the label bad.
    pub judge_good_only: u64,
    /// The judge says bad, the label good.
    pub label_good_only: u64,
    /// The share of rows on which they agree.
    pub accuracy: f64,
    /// Its range, by Wilson.
    pub accuracy_interval: [f64; 2],
    /// Cohen's kappa: 0 as by chance, 1 always. None where one of them says the same of all rows, which makes it meaningless.
    pub kappa: Option<f64>,
    /// Its range: that of the accuracy, with the share of chance held.
    pub kappa_interval: Option<[f64; 2]>,
}

impl Agreement {
    /// Counts pairs of what the judge and the label say, true for good. None where there is no pair.
    ///
    /// # Source
    /// Wilson, "Probable inference", 1927; Cohen, "A coefficient of agreement for nominal scales", 1960.
    pub fn of(pairs: impl IntoIterator<Item = (bool, bool)>) -> Option<Self> {
        let (mut both_good, mut both_bad, mut judge_good_only, mut label_good_only) = (0_u64, 0, 0, 0);
        for pair in pairs {
            match pair {
                (true, true) => both_good += 1,
                (false, false) => both_bad += 1,
                (true, false) => judge_good_only += 1,
                (false, true) => label_good_only += 1,
            }
        }
        let rows = both_good + both_bad + judge_good_only + label_good_only;
        if rows == 0 {
            return None;
        }
        let n = rows as f64;
        let agreed = (both_good + both_bad) as f64;
        let accuracy = agreed / n;
        let accuracy_interval = wilson(agreed, n);
        let judge = (both_good + judge_good_only) as f64 / n;
        let label = (both_good + label_good_only) as f64 / n;
        let chance = judge.mul_add(label, (1.0 - judge) * (1.0 - label));
        let above_chance = |share: f64| ((share - chance) / (1.0 - chance)).max(-1.0);
        let is_constant = |share: f64| share <= 0.0 || share >= 1.0;
        let means_something = !is_constant(judge) && !is_constant(label);
        Some(Self {
            rows,
            both_good,
            both_bad,
            judge_good_only,
            label_good_only,
            accuracy,
            accuracy_interval,
            kappa: means_something.then(|| above_chance(accuracy)),
            kappa_interval: means_something.then(|| accuracy_interval.map(above_chance)),
        })
    }
}

/// The range of a share with 95 % confidence.
fn wilson(hits: f64, n: f64) -> [f64; 2] {
    const Z: f64 = 1.959_963_984_540_054;
    let share = hits / n;
    let scale = 1.0 + Z * Z / n;
    let middle = (share + Z * Z / (2.0 * n)) / scale;
    let half = Z / scale * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    [(middle - half).max(0.0), (middle + half).min(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-3, "{value} is not {expected}");
    }

    fn table(both_good: usize, judge_only: usize, label_only: usize, both_bad: usize) -> Agreement {
        let pairs = [
            ((true, true), both_good),
            ((true, false), judge_only),
            ((false, true), label_only),
            ((false, false), both_bad),
        ];
        let all = pairs
            .into_iter()
            .flat_map(|(pair, times)| std::iter::repeat_n(pair, times));
        Agreement::of(all).unwrap()
    }

    #[test]
    fn the_textbook_example_comes_out() {
        // Fleiss' grant proposals: 20 and 15 agreed, 5 and 10 not; kappa 0.4.
        let found = table(20, 5, 10, 15);
        near(found.accuracy, 0.7);
        near(found.kappa.unwrap(), 0.4);
        let [low, high] = found.accuracy_interval;
        near(low, 0.5625);
        near(high, 0.809);
        let [low, high] = found.kappa_interval.unwrap();
        assert!(low < 0.4 && 0.4 < high && low > 0.0);
    }

    #[test]
    fn a_few_rows_prove_little_and_one_answer_for_all_proves_nothing() {
        let few = table(2, 0, 0, 2);
        near(few.kappa.unwrap(), 1.0);
        assert!(few.kappa_interval.unwrap()[0] < 0.1, "{few:?}");
        let always_good = table(9, 1, 0, 0);
        near(always_good.accuracy, 0.9);
        assert_eq!((always_good.kappa, always_good.kappa_interval), (None, None));
        assert!(Agreement::of([]).is_none());
    }
}
