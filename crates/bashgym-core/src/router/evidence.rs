//! What is known of models, from verdicts that fade.

use std::collections::{HashMap, VecDeque};

use hf_inference::Usage;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::backend::BackendRole;

/// Latencies that are remembered of a model, the newest.
const LATENCIES: usize = 64;
/// The most that what is known of a model as a whole counts for one kind of task, in verdicts.
const SHARED_WEIGHT: f64 = 4.0;
/// 90 % of a normal distribution lie above the mean less this many deviations.
const Z_90: f64 = 1.281_551_565_5;

/// 90 % of a normal distribution lie within this many deviations of the mean.
pub(super) const Z_95: f64 = 1.644_853_627;

/// How verdicts fade.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct FadePolicy {
    /// After this long a verdict counts half, in seconds.
    pub half_life_secs: f64,
    /// What a verdict still counts after the next one, 0 to 1: what a model did long ago says less than what it does now.
    pub per_verdict: f64,
}

impl Default for FadePolicy {
    /// Two weeks; the last thirty verdicts or so.
    fn default() -> Self {
        Self {
            half_life_secs: 14.0 * 86_400.0,
            per_verdict: 0.97,
        }
    }
}

/// What is believed of a model before any verdict, as so many good and bad ones.
///
/// These are assumptions: a teacher was chosen because it is good, of a student nothing is known.
const fn prior(role: BackendRole) -> (f64, f64) {
    match role {
        BackendRole::Teacher => (18.0, 2.0),
        BackendRole::Hf => (4.0, 1.0),
        BackendRole::Student => (1.0, 1.0),
    }
}

/// What is believed of a model for one kind of task.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Belief {
    /// How often it is right, on average, 0 to 1.
    pub mean: f64,
    /// It is right at least this often with a confidence of 90 % (Wilson's bound).
    pub low: f64,
    /// Verdicts it rests on, faded.
    pub verdicts: f64,
    /// The median of its latencies, in milliseconds.
    pub p50_ms: Option<u64>,
    /// Its 95th percentile.
    pub p95_ms: Option<u64>,
    /// The mean of its tokens.
    pub usage: Option<Usage>,
}

#[derive(Debug, Clone, Default)]
struct Seen {
    good: f64,
    bad: f64,
    at: Option<Timestamp>,
    latencies: VecDeque<u64>,
    prompt_tokens: f64,
    completion_tokens: f64,
    counted: f64,
}

impl Seen {
    /// The verdicts, faded to `now`.
    fn tally(&self, now: Timestamp, fade: &FadePolicy) -> (f64, f64) {
        let Some(at) = self.at else { return (0.0, 0.0) };
        let age = (now.as_second() - at.as_second()).max(0) as f64;
        let left = 0.5_f64.powf(age / fade.half_life_secs.max(1.0));
        (self.good * left, self.bad * left)
    }

    fn judge(&mut self, good: bool, now: Timestamp, fade: &FadePolicy) {
        let (so_far_good, so_far_bad) = self.tally(now, fade);
        self.good = so_far_good * fade.per_verdict + f64::from(u8::from(good));
        self.bad = so_far_bad * fade.per_verdict + f64::from(u8::from(!good));
        self.at = Some(self.at.map_or(now, |at| at.max(now)));
    }

    fn observe(&mut self, millis: u64, usage: Option<Usage>) {
        if self.latencies.len() == LATENCIES {
            self.latencies.pop_front();
        }
        self.latencies.push_back(millis);
        if let Some(usage) = usage {
            self.counted += 1.0;
            // Past a hundred calls the mean follows the newest.
            let share = 1.0 / self.counted.min(100.0);
            self.prompt_tokens += (usage.prompt_tokens as f64 - self.prompt_tokens) * share;
            self.completion_tokens += (usage.completion_tokens as f64 - self.completion_tokens) * share;
        }
    }

    fn quantile(&self, share: f64) -> Option<u64> {
        let mut sorted: Vec<u64> = self.latencies.iter().copied().collect();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of 64 places"
        )]
        let place = ((sorted.len() as f64 * share).ceil() as usize).max(1);
        sorted.get(place - 1).copied()
    }

    fn usage(&self) -> Option<Usage> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "means of counts"
        )]
        let whole = |mean: f64| mean.round() as u64;
        (self.counted > 0.0).then(|| Usage {
            prompt_tokens: whole(self.prompt_tokens),
            completion_tokens: whole(self.completion_tokens),
        })
    }
}

/// What is known of all models.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    fade: FadePolicy,
    models: HashMap<String, Seen>,
    buckets: HashMap<(String, String), Seen>,
}

impl Evidence {
    /// Nothing is known yet.
    pub fn new(fade: FadePolicy) -> Self {
        Self {
            fade,
            ..Self::default()
        }
    }

    /// Takes a verdict in.
    pub fn judge(&mut self, model: &str, bucket: &str, good: bool, at: Timestamp) {
        let fade = self.fade;
        self.of(model, bucket, |seen| seen.judge(good, at, &fade));
    }

    /// Takes in what an answered call took.
    pub fn observe(&mut self, model: &str, bucket: &str, millis: u64, usage: Option<Usage>) {
        self.of(model, bucket, |seen| seen.observe(millis, usage));
    }

    fn of(&mut self, model: &str, bucket: &str, mut change: impl FnMut(&mut Seen)) {
        change(self.models.entry(model.to_owned()).or_default());
        let key = (model.to_owned(), bucket.to_owned());
        change(self.buckets.entry(key).or_default());
    }

    /// What is believed of a model for one kind of task. What it did at other kinds counts too, as a few verdicts.
    pub fn belief(&self, model: &str, role: BackendRole, bucket: &str, now: Timestamp) -> Belief {
        let (prior_good, prior_bad) = prior(role);
        let whole = self.models.get(model);
        let own = self.buckets.get(&(model.to_owned(), bucket.to_owned()));
        let tally = |seen: Option<&Seen>| seen.map_or((0.0, 0.0), |seen| seen.tally(now, &self.fade));
        let (all_good, all_bad) = tally(whole);
        let (good, bad) = tally(own);
        // The bucket's own verdicts are in the model's too.
        let (else_good, else_bad) = ((all_good - good).max(0.0), (all_bad - bad).max(0.0));
        let elsewhere = else_good + else_bad;
        let shared = if elsewhere > SHARED_WEIGHT {
            SHARED_WEIGHT / elsewhere
        } else {
            1.0
        };
        let good = prior_good + good + else_good * shared;
        let bad = prior_bad + bad + else_bad * shared;
        let seen = own.filter(|seen| !seen.latencies.is_empty()).or(whole);
        Belief {
            mean: good / (good + bad),
            low: wilson_low(good, bad),
            verdicts: good + bad - prior_good - prior_bad,
            p50_ms: seen.and_then(|seen| seen.quantile(0.5)),
            p95_ms: seen.and_then(|seen| seen.quantile(0.95)),
            usage: seen.and_then(Seen::usage),
        }
    }
}

/// The lower bound of a share, with a confidence of 90 %.
///
/// # Source
/// Wilson (1927), the score interval, its lower side alone.
pub(super) fn wilson_low(good: f64, bad: f64) -> f64 {
    wilson(good, bad, Z_90)
}

/// The lower bound of a share, `z` deviations below it.
pub(super) fn wilson(good: f64, bad: f64, z: f64) -> f64 {
    let n = good + bad;
    if n <= 0.0 {
        return 0.0;
    }
    let (share, z2) = (good / n, z * z);
    let middle = share + z2 / (2.0 * n);
    let half = z * (share * (1.0 - share) / n + z2 / (4.0 * n * n)).sqrt();
    ((middle - half) / (1.0 + z2 / n)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * 86_400).unwrap()
    }

    #[test]
    fn the_bound_is_wilsons() {
        // 8 of 10 at z = 1.2816: computed by hand from the formula of the score interval.
        assert!(
            (wilson_low(8.0, 2.0) - 0.601_6).abs() < 5e-4,
            "{}",
            wilson_low(8.0, 2.0)
        );
        assert!(wilson_low(0.0, 0.0).abs() < f64::EPSILON);
        assert!(wilson_low(1000.0, 0.0) > 0.99);
    }

    #[test]
    fn one_bad_verdict_is_one_of_many_and_old_ones_fade() {
        let mut evidence = Evidence::new(FadePolicy::default());
        let look =
            |evidence: &Evidence, day| evidence.belief("s", BackendRole::Student, "chat/short", at(day));
        for _ in 0..40 {
            evidence.judge("s", "chat/short", true, at(0));
        }
        let before = look(&evidence, 0);
        evidence.judge("s", "chat/short", false, at(0));
        let after = look(&evidence, 0);
        assert!(before.low > 0.85 && after.low > 0.75 && after.low < before.low);
        let later = look(&evidence, 140);
        assert!(
            later.verdicts < after.verdicts / 500.0,
            "ten half-lives are a thousandth"
        );
        assert!(later.low < after.low, "who was not seen for long is less sure");
    }

    #[test]
    fn another_kind_of_task_counts_a_little() {
        let mut evidence = Evidence::new(FadePolicy::default());
        let nothing = evidence.belief("s", BackendRole::Student, "tools/short", at(0));
        for _ in 0..30 {
            evidence.judge("s", "chat/short", true, at(0));
        }
        let some = evidence.belief("s", BackendRole::Student, "tools/short", at(0));
        let own = evidence.belief("s", BackendRole::Student, "chat/short", at(0));
        assert!(nothing.low < some.low && some.low < own.low);
        assert!((some.verdicts - SHARED_WEIGHT).abs() < 1e-9);
    }

    #[test]
    fn latencies_and_tokens_are_those_of_the_newest_calls() {
        let mut evidence = Evidence::new(FadePolicy::default());
        for millis in 0..200 {
            let usage = Usage {
                prompt_tokens: 10,
                completion_tokens: 4,
            };
            evidence.observe("s", "b", millis, Some(usage));
        }
        let seen = evidence.belief("s", BackendRole::Student, "b", at(0));
        assert_eq!((seen.p50_ms, seen.p95_ms), (Some(167), Some(196)));
        assert_eq!(seen.usage.map(Usage::total), Some(14));
        assert!(seen.verdicts.abs() < 1e-9, "an answer is no verdict");
    }
}
