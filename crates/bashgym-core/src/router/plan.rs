//! Whom to ask, in which order.

use std::sync::Arc;

use hf_inference::{TokenPrice, Usage};
use serde::{Deserialize, Serialize};

use super::cascade::{Member, cheapest};
use super::confidence::Calibration;
use super::decision::Candidate;
use super::evidence::Belief;
use super::features::Features;
use super::strategy::{RoutingStrategy, Wish};
use crate::backend::BackendRole;

/// With so many verdicts against it, a model that gives no measured confidence is not asked first any more, but to explore.
const VERDICTS_TO_LEAVE_OUT: f64 = 5.0;
/// Tokens of an answer whose length nobody bounds or remembers.
const USUAL_ANSWER: u64 = 512;
/// The most tokens of an answer that nobody bounds.
const LONG_ANSWER: u64 = 4096;
/// A latency that nobody measured, in milliseconds.
const USUAL_LATENCY: f64 = 2000.0;

/// A model as the planner sees it.
#[derive(Debug, Clone)]
pub(super) struct Contender {
    pub(super) role: BackendRole,
    pub(super) model: String,
    pub(super) belief: Belief,
    pub(super) price: Option<TokenPrice>,
    /// Seconds until its breaker lets a call through, while it lets none.
    pub(super) closed_for: Option<u64>,
    pub(super) calibration: Option<Arc<Calibration>>,
    /// The student's share of requests under [`RoutingStrategy::Progressive`].
    pub(super) share: f64,
}

/// A model to ask.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Step {
    /// Its place among the contenders.
    pub(super) at: usize,
    /// How sure it has to be of its answer; none where any answer is taken.
    pub(super) gate: Option<f64>,
}

/// Whom to ask.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) steps: Vec<Step>,
    pub(super) reason: String,
    pub(super) explored: bool,
    pub(super) propensity: f64,
    pub(super) candidates: Vec<Candidate>,
}

/// What the planner is asked.
pub(super) struct Question<'a> {
    pub(super) wish: &'a Wish,
    pub(super) strategy: RoutingStrategy,
    pub(super) features: &'a Features,
    /// The most tokens of an answer, if the caller bounds it.
    pub(super) max_tokens: Option<u32>,
    pub(super) explore: f64,
    /// Numbers from 0 to 1, drawn for this call.
    pub(super) draws: [f64; 2],
    /// What the budget has left, in billionths of a US dollar; none where no cap is set.
    pub(super) remaining_nano: Option<f64>,
}

impl Question<'_> {
    fn usage(&self, belief: &Belief) -> Usage {
        // Four bytes are about a token; where the model was called before, its own counts are taken for the answer.
        let prompt_tokens = self.features.prompt_bytes / 4 + 16;
        let bound = self.max_tokens.map_or(u64::MAX, u64::from);
        let completion_tokens = belief.usage.map_or(USUAL_ANSWER, |usage| usage.completion_tokens);
        Usage {
            prompt_tokens,
            completion_tokens: completion_tokens.min(bound),
        }
    }

    fn worst_usage(&self) -> Usage {
        Usage {
            prompt_tokens: self.features.prompt_bytes + 64,
            completion_tokens: self.max_tokens.map_or(LONG_ANSWER, u64::from),
        }
    }
}

/// Chooses whom to ask. No step is left where nobody plays the part that is asked for.
pub(super) fn plan(contenders: &[Contender], question: &Question<'_>) -> Plan {
    let mut plan = Plan {
        steps: Vec::new(),
        reason: String::new(),
        explored: false,
        propensity: 1.0,
        candidates: contenders.iter().map(|it| candidate(it, question)).collect(),
    };
    match question.wish {
        Wish::Model(name) => {
            plan.only(contenders, |it| it.model == *name);
            plan.reason = format!("the caller named {name}");
        }
        Wish::Role(role) => {
            plan.only(contenders, |it| it.role == *role);
            plan.reason = format!("the caller asked for the {role}");
        }
        Wish::Auto | Wish::Strategy(_) => choose(contenders, question, &mut plan),
    }
    plan.skip_closed(contenders);
    plan
}

fn candidate(it: &Contender, question: &Question<'_>) -> Candidate {
    let cost = it.price.and_then(|price| price.cost(question.usage(&it.belief)));
    Candidate {
        role: it.role,
        model: it.model.clone(),
        belief: it.belief,
        expected_nano_usd: cost.map(hf_inference::NanoUsd::get),
        left_out: None,
    }
}

fn choose(contenders: &[Contender], question: &Question<'_>, plan: &mut Plan) {
    if let Some(role) = question.strategy.role() {
        plan.only(contenders, |it| it.role == role);
        plan.reason = format!("{} asks the {role}", question.strategy);
        return;
    }
    match question.strategy {
        RoutingStrategy::ConfidenceBased { threshold } => {
            by_confidence(contenders, threshold, question, plan);
        }
        RoutingStrategy::CostOptimized {
            quality_floor,
            latency_ms,
        } => by_cost(contenders, quality_floor, latency_ms, question, plan),
        _ => by_share(contenders, question, plan),
    }
    // Whoever is not part of the plan is asked when all of it failed.
    for at in by_strength(contenders) {
        if plan.steps.iter().all(|step| step.at != at) {
            plan.steps.push(Step { at, gate: None });
        }
    }
}

fn by_confidence(contenders: &[Contender], threshold: f64, question: &Question<'_>, plan: &mut Plan) {
    let order: Vec<usize> = by_strength(contenders).into_iter().rev().collect();
    let Some((&last, before)) = order.split_last() else {
        return;
    };
    let mut doubted = Vec::new();
    for &at in before {
        let it = &contenders[at];
        if it.role == contenders[last].role {
            continue;
        }
        if it.belief.low >= threshold {
            plan.steps.push(Step { at, gate: None });
            plan.reason = format!(
                "{} is right at least {:.0} % of the time, as {:.0} verdicts show",
                it.model,
                it.belief.low * 100.0,
                it.belief.verdicts
            );
            return;
        }
        doubted.push(at);
        let is_known_to_be_less = it.belief.verdicts >= VERDICTS_TO_LEAVE_OUT && it.belief.mean < threshold;
        if it.calibration.is_none() && is_known_to_be_less {
            plan.candidates[at].left_out = Some(format!(
                "right {:.0} % of the time, less than {:.0} %",
                it.belief.mean * 100.0,
                threshold * 100.0
            ));
        } else {
            plan.steps.push(Step {
                at,
                gate: Some(threshold),
            });
        }
    }
    plan.propensity = 1.0 - if doubted.is_empty() { 0.0 } else { question.explore };
    plan.reason = match plan.steps.first() {
        Some(step) => format!(
            "{} first; its answer is given where it is right with {:.0} %",
            contenders[step.at].model,
            threshold * 100.0
        ),
        None => format!(
            "no other model is known to be right with {:.0} %",
            threshold * 100.0
        ),
    };
    plan.steps.push(Step { at: last, gate: None });
    if !doubted.is_empty() && question.draws[0] < question.explore {
        let chance = question.explore / doubted.len() as f64;
        plan.explore(
            contenders,
            doubted[place(question.draws[1], doubted.len())],
            chance,
        );
    }
}

fn by_cost(
    contenders: &[Contender],
    floor: f64,
    latency_ms: Option<u64>,
    question: &Question<'_>,
    plan: &mut Plan,
) {
    let mut pool = Vec::new();
    let mut places = Vec::new();
    for (at, it) in contenders.iter().enumerate() {
        let Some((cost, worst)) = it.price.and_then(|price| {
            let expected = price.cost(question.usage(&it.belief))?.get() as f64;
            Some((expected, price.cost(question.worst_usage())?.get() as f64))
        }) else {
            plan.candidates[at].left_out = Some("its price is not known".to_owned());
            continue;
        };
        let (catches, false_alarms) = match &it.calibration {
            Some(calibration) => calibration.caught_below(floor),
            None => (0.0, 0.0),
        };
        places.push(at);
        pool.push(Member {
            mean: it.belief.mean,
            low: it.belief.low,
            cost,
            worst: worst.max(cost),
            latency_ms: it.belief.p50_ms.map_or(USUAL_LATENCY, |millis| millis as f64),
            catches,
            false_alarms,
        });
    }
    let limit = latency_ms.map(|millis| millis as f64);
    let Some(best) = cheapest(&pool, floor, limit, question.remaining_nano) else {
        "no model is both quick and cheap enough; the cheapest are asked first".clone_into(&mut plan.reason);
        let mut order: Vec<usize> = (0..pool.len()).collect();
        order.sort_by(|&a, &b| pool[a].cost.total_cmp(&pool[b].cost));
        plan.steps.extend(order.into_iter().map(|at| Step {
            at: places[at],
            gate: None,
        }));
        return;
    };
    let last = best.order.len() - 1;
    for (step, &member) in best.order.iter().enumerate() {
        plan.steps.push(Step {
            at: places[member],
            gate: (step < last).then_some(floor),
        });
    }
    plan.reason = format!(
        "expected ${:.6}, right {:.1} % of the time (at least {:.1} %{}), {:.0} ms",
        best.cost / 1e9,
        best.success * 100.0,
        best.success_low * 100.0,
        if best.meets_floor {
            format!(", asked for {:.0} %", floor * 100.0)
        } else {
            format!(
                ": below the {:.0} % asked for, which nobody reaches",
                floor * 100.0
            )
        },
        best.latency_ms
    );
    let others: Vec<usize> = places
        .iter()
        .copied()
        .filter(|at| plan.steps.first().is_none_or(|first| first.at != *at))
        .collect();
    if others.is_empty() {
        return;
    }
    plan.propensity = 1.0 - question.explore;
    if question.draws[0] < question.explore {
        let chance = question.explore / others.len() as f64;
        plan.explore(contenders, others[place(question.draws[1], others.len())], chance);
    }
}

fn by_share(contenders: &[Contender], question: &Question<'_>, plan: &mut Plan) {
    let order = by_strength(contenders);
    let strongest = order.first().copied();
    let student = order
        .iter()
        .copied()
        .find(|&at| contenders[at].role == BackendRole::Student);
    match (student, strongest) {
        (Some(student), Some(strongest)) if student != strongest => {
            let share = contenders[student].share;
            let is_students = question.draws[0] < share;
            let at = if is_students { student } else { strongest };
            plan.propensity = if is_students { share } else { 1.0 - share };
            plan.reason = format!("the student gets {:.0} % of the requests", share * 100.0);
            plan.steps.push(Step { at, gate: None });
        }
        (_, Some(at)) => {
            "there is nobody to share with".clone_into(&mut plan.reason);
            plan.steps.push(Step { at, gate: None });
        }
        (_, None) => {}
    }
}

/// The strongest role first, equal ones as they were given.
fn by_strength(contenders: &[Contender]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    order.sort_by_key(|&at| std::cmp::Reverse(contenders[at].role));
    order
}

fn place(draw: f64, count: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of a few places"
    )]
    let at = (draw * count as f64) as usize;
    at.min(count.saturating_sub(1))
}

impl Plan {
    fn only(&mut self, contenders: &[Contender], fits: impl Fn(&Contender) -> bool) {
        for (at, it) in contenders.iter().enumerate() {
            if fits(it) {
                self.steps.push(Step { at, gate: None });
            }
        }
    }

    fn explore(&mut self, contenders: &[Contender], at: usize, chance: f64) {
        self.steps.retain(|step| step.at != at);
        self.steps.insert(0, Step { at, gate: None });
        self.explored = true;
        self.propensity = chance;
        self.reason = format!("{} is tried, to see what it can do now", contenders[at].model);
    }

    /// Leaves out whose breaker is open, unless all are.
    fn skip_closed(&mut self, contenders: &[Contender]) {
        let closed = |step: &Step| contenders[step.at].closed_for;
        for step in &self.steps {
            if let Some(seconds) = closed(step) {
                self.candidates[step.at].left_out =
                    Some(format!("earlier calls failed; it is tried again in {seconds} s"));
            }
        }
        if self.steps.iter().any(|step| closed(step).is_none()) {
            self.steps.retain(|step| closed(step).is_none());
        }
        // Nobody is behind the last one whom a doubt could turn to.
        if let Some(last) = self.steps.last_mut() {
            last.gate = None;
        }
    }
}

/// The student's share of requests, and what was seen since it was last changed.
///
/// A step is taken when a sequential probability ratio test decides between ten points below the floor and five above it, with
/// an error of 5 % either way.
///
/// # Source
/// Wald (1945), sequential tests of statistical hypotheses.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Share {
    #[serde(rename = "share")]
    pub(super) of_requests: f64,
    /// The logarithm of the ratio so far.
    pub(super) ratio: f64,
    /// Verdicts since the last step.
    pub(super) verdicts: u32,
    /// Steps so far.
    pub(super) steps: u32,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            of_requests: 0.1,
            ratio: 0.0,
            verdicts: 0,
            steps: 0,
        }
    }
}

impl Share {
    const DECIDED: f64 = 2.944_438_979; // ln(0.95 / 0.05)
    const LEAST: f64 = 0.05;
    const MOST: f64 = 0.95;

    /// Takes a verdict in, and whether the share changed by it.
    pub(super) fn judge(&mut self, good: bool, floor: f64) -> bool {
        let bad_model = (floor - 0.1).clamp(0.01, 0.98);
        let good_model = (floor + 0.05).clamp(bad_model + 0.01, 0.99);
        self.verdicts += 1;
        self.ratio += if good {
            (good_model / bad_model).ln()
        } else {
            ((1.0 - good_model) / (1.0 - bad_model)).ln()
        };
        if self.ratio.abs() < Self::DECIDED {
            return false;
        }
        let changed = if self.ratio > 0.0 {
            self.of_requests * 2.0
        } else {
            self.of_requests / 2.0
        };
        let changed = changed.clamp(Self::LEAST, Self::MOST);
        let is_step = (changed - self.of_requests).abs() > f64::EPSILON;
        *self = Self {
            of_requests: changed,
            ratio: 0.0,
            verdicts: 0,
            steps: self.steps + u32::from(is_step),
        };
        is_step
    }
}
