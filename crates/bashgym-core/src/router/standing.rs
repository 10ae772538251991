//! What verdicts say of each model, and how sure that is.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::decision::DecisionRecord;
use super::evidence::{Belief, Evidence, FadePolicy};
use crate::backend::BackendRole;

/// The name under which all kinds of tasks count together.
const ALL_KINDS: &str = "";

/// What verdicts say of a model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ModelStanding {
    /// The model.
    pub model: String,
    /// The part it played.
    pub role: BackendRole,
    /// The kind and length of the tasks; none for all of them together.
    pub bucket: Option<String>,
    /// What is believed of it, faded as the router fades it.
    pub belief: Belief,
    /// Verdicts that its answers were right, not faded.
    pub good: u64,
    /// Verdicts that they were wrong.
    pub bad: u64,
}

/// What verdicts say of each model that was judged, by kind of task and of all together.
pub fn standings(judged: &[DecisionRecord], fade: FadePolicy, now: Timestamp) -> Vec<ModelStanding> {
    let mut ordered: Vec<&DecisionRecord> = judged.iter().collect();
    ordered.sort_by_key(|it| it.outcome.as_ref().map(|outcome| outcome.at));
    let (mut by_kind, mut whole) = (Evidence::new(fade), Evidence::new(fade));
    let mut counts = BTreeMap::<(&str, &str), (BackendRole, u64, u64)>::new();
    for record in ordered {
        let (Some(by), Some(outcome)) = (record.answered_by(), &record.outcome) else {
            continue;
        };
        by_kind.judge(&by.model, &record.bucket, outcome.good, outcome.at);
        whole.judge(&by.model, ALL_KINDS, outcome.good, outcome.at);
        for bucket in [ALL_KINDS, record.bucket.as_str()] {
            let count = counts.entry((&by.model, bucket)).or_insert((by.role, 0, 0));
            count.0 = by.role;
            count.1 += u64::from(outcome.good);
            count.2 += u64::from(!outcome.good);
        }
    }
    let shown = counts.into_iter().map(|((model, bucket), (role, good, bad))| {
        let is_whole = bucket == ALL_KINDS;
        let evidence = if is_whole { &whole } else { &by_kind };
        ModelStanding {
            belief: evidence.belief(model, role, bucket, now),
            model: model.to_owned(),
            role,
            bucket: (!is_whole).then(|| bucket.to_owned()),
            good,
            bad,
        }
    });
    shown.collect()
}

impl Belief {
    /// The upper bound that belongs to [`Belief::low`]: it is right at most this often, with a confidence of 90 %.
    ///
    /// # Source
    /// Wilson (1927): both bounds are the roots of `(mean - x)² = z² x (1 - x) / n`, so that one tells the other.
    pub fn high(&self) -> f64 {
        if self.low <= 0.0 {
            return 1.0;
        }
        let gap = self.mean - self.low;
        if gap <= 0.0 {
            return self.mean;
        }
        let share = gap * gap / (self.low * (1.0 - self.low));
        ((2.0 * self.mean + share) / (1.0 + share) - self.low).clamp(self.mean, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::evidence::wilson_low;
    use super::super::sums::tests::{at, judged, record};
    use super::*;

    #[test]
    fn a_model_stands_where_its_verdicts_put_it() {
        // More than what is borrowed from other kinds.
        let mut all = vec![record(100)];
        for second in 0..12 {
            all.push(judged(record(second), true));
            let mut other = judged(record(second), false);
            other.bucket = "tools/long".to_owned();
            all.push(other);
        }
        let found = standings(&all, FadePolicy::default(), at(200));
        let shown: Vec<_> = found
            .iter()
            .map(|it| (it.bucket.as_deref(), it.good, it.bad))
            .collect();
        let expected = [
            (None, 12, 12),
            (Some("chat/short"), 12, 0),
            (Some("tools/long"), 0, 12),
        ];
        assert_eq!(shown, expected);
        assert!(found[1].belief.mean > found[0].belief.mean && found[0].belief.mean > found[2].belief.mean);
        for one in &found {
            let belief = one.belief;
            assert!(belief.low < belief.mean && belief.mean < belief.high(), "{one:?}");
        }
    }

    #[test]
    fn the_upper_bound_is_the_lower_one_of_being_wrong() {
        for (good, bad) in [
            (1.0, 1.0),
            (18.0, 2.0),
            (4.0, 1.0),
            (0.5, 300.0),
            (300.0, 0.5),
            (7.0, 0.0),
        ] {
            let belief = Belief {
                mean: good / (good + bad),
                low: wilson_low(good, bad),
                verdicts: 0.0,
                p50_ms: None,
                p95_ms: None,
                usage: None,
            };
            let expected = 1.0 - wilson_low(bad, good);
            assert!(
                (belief.high() - expected).abs() < 1e-9,
                "{good} {bad}: {}",
                belief.high()
            );
        }
    }
}
