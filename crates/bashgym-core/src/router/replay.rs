//! What another strategy would have done with the calls that were made.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::browse::newest;
use super::confidence::Calibration;
use super::decision::{DecisionRecord, TryEnd};
use super::evidence::{Z_95, wilson};
use super::knowledge::read_notes;
use super::plan::{Contender, Question, plan};
use super::store::{DecisionFilter, RouteStore};
use super::strategy::{RoutingStrategy, Wish};
use crate::backend::BackendRole;
use crate::store::StoreError;

/// What calls add up to.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct ReplaySum {
    /// Calls.
    pub calls: u64,
    /// What they cost, in billionths of a US dollar, as far as it is known.
    pub nano_usd: f64,
    /// Calls whose cost is not known.
    pub unknown_cost: u64,
    /// How often they were right, 0 to 1: verdicts where there are any, else what was believed of the model at the time.
    pub quality: f64,
    /// The same from the lower bounds of what was believed.
    pub quality_low: f64,
    /// Calls with a verdict on the very answer.
    pub judged: u64,
    /// The share that was asked of a second model because the first was not sure.
    pub escalated: f64,
    /// The share answered by the student.
    pub student: f64,
}

/// What was done, and what a strategy would have done.
///
/// # Limits
/// What another model would have answered is not known. Where the strategy would have asked the model that did answer, its verdict
/// and cost count; elsewhere what the decision's record says was believed of the model then. A doubt that leads to a second model
/// counts as often as the belief says that the first is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// The strategy.
    pub strategy: RoutingStrategy,
    /// What was done.
    pub done: ReplaySum,
    /// What it would have come to.
    pub would: ReplaySum,
    /// Calls for which the caller named a model: no strategy had a say.
    pub named: u64,
    /// What verdicts alone say, without any belief.
    #[serde(default)]
    pub seen: Seen,
}

/// What a strategy is worth by verdicts alone: those on answers it would have given too, each weighted by how unlikely it was
/// that they were asked for.
///
/// # Source
/// Swaminathan and Joachims (2015), the self-normalised estimator; Kish (1965), the effective size of a weighted sample.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Seen {
    /// Verdicts that count.
    pub verdicts: u64,
    /// Verdicts of equal weight that would say as much.
    pub effective: f64,
    /// How often it was right, 0 to 1; none without a verdict.
    pub quality: Option<f64>,
    /// The true value lies between these with 90 % confidence, as far as answers were judged whatever they were like.
    pub quality_interval: Option<(f64, f64)>,
    /// The share of calls with a verdict on whose answer the strategy would have come too; elsewhere nothing was seen.
    pub covered: f64,
    /// Whether there is too little to go by: fewer than thirty verdicts of equal weight, or less than half of the calls covered.
    pub is_thin: bool,
}

/// Verdicts of equal weight, from which on an estimate is one.
const ENOUGH: f64 = 30.0;

impl Seen {
    /// `weighted` holds a weight and whether the answer was right; `judged` counts all calls with a verdict.
    fn of(weighted: &[(f64, bool)], judged: u64) -> Self {
        let sum: f64 = weighted.iter().map(|(weight, _)| weight).sum();
        let squares: f64 = weighted.iter().map(|(weight, _)| weight * weight).sum();
        let covered = weighted.len() as f64 / judged.max(1) as f64;
        let mut seen = Self {
            verdicts: weighted.len() as u64,
            covered,
            is_thin: true,
            ..Self::default()
        };
        if sum <= 0.0 {
            return seen;
        }
        let good: f64 = weighted.iter().filter(|it| it.1).map(|(weight, _)| weight).sum();
        let quality = good / sum;
        seen.effective = sum * sum / squares;
        seen.quality = Some(quality);
        // Wilson's bounds do not shrink to a point where all answers were right.
        let (right, wrong) = (quality * seen.effective, (1.0 - quality) * seen.effective);
        seen.quality_interval = Some((wilson(right, wrong, Z_95), 1.0 - wilson(wrong, right, Z_95)));
        seen.is_thin = seen.effective < ENOUGH || covered < 0.5;
        seen
    }
}

/// The calls that were made, and what models' confidence is worth by now: what strategies are replayed over.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The calls, the newest first.
    pub decisions: Vec<DecisionRecord>,
    calibrations: HashMap<String, Arc<Calibration>>,
}

impl Recorded {
    /// Reads the newest calls, `most` at most.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    pub async fn read(
        store: &dyn RouteStore,
        filter: &DecisionFilter,
        most: usize,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            decisions: newest(store, filter, most).await?,
            calibrations: read_notes(store).await?.0,
        })
    }

    /// Goes over them with a strategy.
    pub fn replay(&self, strategy: RoutingStrategy) -> Replay {
        Replay::with(&self.decisions, strategy, &self.calibrations)
    }
}

impl Replay {
    /// Goes over decisions, with models whose confidence is taken as it is.
    pub fn of(decisions: &[DecisionRecord], strategy: RoutingStrategy) -> Self {
        Self::with(decisions, strategy, &HashMap::new())
    }

    /// Goes over decisions. `calibrations` say what a model's confidence is worth, by its name.
    pub fn with(
        decisions: &[DecisionRecord],
        strategy: RoutingStrategy,
        calibrations: &HashMap<String, Arc<Calibration>>,
    ) -> Self {
        let mut weighted = Vec::new();
        let mut replay = Self {
            strategy,
            done: ReplaySum::default(),
            would: ReplaySum::default(),
            named: 0,
            seen: Seen::default(),
        };
        for record in decisions {
            if record.strategy.is_none() {
                replay.named += 1;
                continue;
            }
            let Some(by) = record.answered_by() else { continue };
            let believed = |model: &str| {
                let found = record.candidates.iter().find(|it| it.model == model);
                found.map(|it| (it.belief.mean, it.belief.low))
            };
            let verdict = record
                .outcome
                .as_ref()
                .map(|outcome| f64::from(u8::from(outcome.good)));
            let (mean, low) = believed(&by.model).unwrap_or_default();
            let (cost, is_whole) = record.cost();
            replay.done.add(One {
                nano_usd: is_whole.then_some(cost as f64),
                quality: verdict.unwrap_or(mean),
                quality_low: verdict.unwrap_or(low),
                is_judged: verdict.is_some(),
                escalated: f64::from(u8::from(record.is_escalated())),
                student: f64::from(u8::from(by.role == BackendRole::Student)),
            });
            let (one, is_same) = would(record, strategy, calibrations);
            replay.would.add(one);
            if let Some(outcome) = record
                .outcome
                .as_ref()
                .filter(|_| is_same && record.propensity > 0.0)
            {
                weighted.push((record.propensity.recip(), outcome.good));
            }
        }
        replay.seen = Seen::of(&weighted, replay.done.judged);
        replay.done.mean();
        replay.would.mean();
        replay
    }
}

#[derive(Clone, Copy)]
struct One {
    nano_usd: Option<f64>,
    quality: f64,
    quality_low: f64,
    is_judged: bool,
    escalated: f64,
    student: f64,
}

impl ReplaySum {
    fn add(&mut self, one: One) {
        self.calls += 1;
        self.nano_usd += one.nano_usd.unwrap_or(0.0);
        self.unknown_cost += u64::from(one.nano_usd.is_none());
        self.quality += one.quality;
        self.quality_low += one.quality_low;
        self.judged += u64::from(one.is_judged);
        self.escalated += one.escalated;
        self.student += one.student;
    }

    fn mean(&mut self) {
        let calls = self.calls.max(1) as f64;
        for share in [
            &mut self.quality,
            &mut self.quality_low,
            &mut self.escalated,
            &mut self.student,
        ] {
            *share /= calls;
        }
    }
}

/// What the strategy would have come to, and whether that is what was done, from the first model to the answer.
fn would(
    record: &DecisionRecord,
    strategy: RoutingStrategy,
    calibrations: &HashMap<String, Arc<Calibration>>,
) -> (One, bool) {
    let contenders: Vec<Contender> = record
        .candidates
        .iter()
        .map(|it| Contender {
            role: it.role,
            model: it.model.clone(),
            belief: it.belief,
            // The price of an answer of the expected length stands for the price of a token.
            price: it.expected_nano_usd.map(|nano| hf_inference::TokenPrice {
                input: 0.0,
                output: nano as f64
                    / 1e3
                    / it.belief
                        .usage
                        .map_or(512.0, |usage| usage.completion_tokens.max(1) as f64),
            }),
            closed_for: None,
            calibration: calibrations.get(&it.model).cloned(),
            share: 0.5,
        })
        .collect();
    let question = Question {
        wish: &Wish::Strategy(strategy),
        strategy,
        features: &record.features,
        max_tokens: None,
        explore: 0.0,
        draws: [0.0, 0.0],
        remaining_nano: None,
    };
    let planned = plan(&contenders, &question);
    let mut one = One {
        nano_usd: Some(0.0),
        quality: 0.0,
        quality_low: 0.0,
        is_judged: false,
        escalated: 0.0,
        student: 0.0,
    };
    let verdict = record
        .outcome
        .as_ref()
        .map(|outcome| f64::from(u8::from(outcome.good)));
    let mut reach = 1.0;
    let first = planned
        .steps
        .first()
        .map(|step| &record.candidates[step.at].model);
    let mut is_same = first.is_some() && first == record.plan.first();
    for step in &planned.steps {
        let it = &record.candidates[step.at];
        let own = record.tries.iter().find(|tried| {
            tried.model == it.model && matches!(tried.end, TryEnd::Answered | TryEnd::Escalated)
        });
        // What it really said of itself, where it was asked; else as often as it is believed to be right.
        let accepted = match (step.gate, own.and_then(|own| own.confidence)) {
            (None, _) => 1.0,
            (Some(gate), Some(confidence)) => f64::from(u8::from(confidence.probability >= gate)),
            (Some(_), None) => it.belief.mean,
        };
        // Where it doubts what was taken, or takes what was doubted, it comes to something nobody saw.
        is_same &= match own.map(|own| own.end) {
            Some(TryEnd::Answered) => accepted >= 1.0,
            Some(_) => accepted <= 0.0,
            None => false,
        };
        let is_given = own.is_some_and(|own| own.end == TryEnd::Answered);
        let (mean, low) = match verdict.filter(|_| is_given) {
            Some(verdict) => (verdict, verdict),
            None => (it.belief.mean, it.belief.low),
        };
        let cost = match own {
            Some(own) => own
                .cost
                .and_then(hf_inference::Cost::amount)
                .map(|amount| amount.get() as f64),
            None => it.expected_nano_usd.map(|nano| nano as f64),
        };
        one.nano_usd = one.nano_usd.zip(cost).map(|(sum, cost)| sum + reach * cost);
        one.quality += reach * accepted * mean;
        one.quality_low += reach * accepted * low;
        one.is_judged |= verdict.is_some() && is_given && reach > 0.0;
        if it.role == BackendRole::Student {
            one.student += reach * accepted;
        }
        reach *= 1.0 - accepted;
        one.escalated = one.escalated.max(if step.gate.is_some() { reach } else { 0.0 });
        if reach <= 0.0 {
            break;
        }
    }
    (one, is_same)
}
