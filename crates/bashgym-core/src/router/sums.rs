//! What decisions add up to: over time, and for each model.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use super::decision::{DecisionRecord, TryEnd};
use crate::backend::BackendRole;

/// What calls add up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RouteSum {
    /// Calls.
    pub calls: u64,
    /// Calls that got a whole answer.
    pub answered: u64,
    /// Those for which a second model was asked because the first was not sure.
    pub escalated: u64,
    /// Those the student answered.
    pub by_student: u64,
    /// Those whose caller named the model.
    pub named: u64,
    /// Answers that somebody judged.
    pub judged: u64,
    /// Answers that were found right.
    pub good: u64,
    /// What they cost, in billionths of a US dollar, as far as it is known.
    pub nano_usd: u64,
    /// Calls whose cost is not wholly known.
    pub unknown_cost: u64,
}

impl RouteSum {
    fn add(&mut self, record: &DecisionRecord) {
        let (nano, is_whole) = record.cost();
        let student = record
            .answered_by()
            .is_some_and(|by| by.role == BackendRole::Student);
        let good = record.outcome.as_ref().map(|outcome| outcome.good);
        self.calls += 1;
        self.answered += u64::from(record.succeeded);
        self.escalated += u64::from(record.is_escalated());
        self.by_student += u64::from(student);
        self.named += u64::from(record.strategy.is_none());
        self.judged += u64::from(good.is_some());
        self.good += u64::from(good == Some(true));
        self.nano_usd = self.nano_usd.saturating_add(nano);
        self.unknown_cost += u64::from(!is_whole);
    }
}

/// The calls of a stretch of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RoutePoint {
    /// When it begins.
    pub from: Timestamp,
    /// What they add up to.
    pub sum: RouteSum,
}

/// What one model did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ModelSum {
    /// The model.
    pub model: String,
    /// The part it played last.
    pub role: BackendRole,
    /// How often it was asked.
    pub asked: u64,
    /// How often its answer was given.
    pub answered: u64,
    /// How often it was not sure enough.
    pub unsure: u64,
    /// How often it failed or broke off.
    pub failed: u64,
    /// Its answers that somebody judged.
    pub judged: u64,
    /// Those that were found right.
    pub good: u64,
    /// What it cost, in billionths of a US dollar, as far as it is known.
    pub nano_usd: u64,
    /// Tries whose cost nobody knows.
    pub unknown_cost: u64,
    /// The median of its times to an answer, in milliseconds.
    pub p50_ms: Option<u64>,
}

/// What decisions add up to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RouteReport {
    /// All of them.
    pub sum: RouteSum,
    /// By stretches of time, the earliest first; those without a call are left out.
    pub points: Vec<RoutePoint>,
    /// By model, the one that answered most first.
    pub models: Vec<ModelSum>,
    /// By strategy, by its word.
    pub strategies: BTreeMap<&'static str, RouteSum>,
    /// By the kind of task.
    pub kinds: BTreeMap<&'static str, RouteSum>,
}

impl RouteReport {
    /// Adds up decisions, by stretches of `step_secs` seconds from 1970 on.
    pub fn of(records: &[DecisionRecord], step_secs: i64) -> Self {
        let step = step_secs.max(1);
        let (mut sum, mut points) = (RouteSum::default(), BTreeMap::<i64, RouteSum>::new());
        let (mut strategies, mut kinds) = (BTreeMap::<_, RouteSum>::new(), BTreeMap::<_, RouteSum>::new());
        let mut models = BTreeMap::<&str, (ModelSum, Vec<u64>)>::new();
        for record in records {
            let from = record.at.as_second().div_euclid(step) * step;
            sum.add(record);
            points.entry(from).or_default().add(record);
            strategies.entry(record.strategy_word()).or_default().add(record);
            kinds
                .entry(record.features.kind.as_str())
                .or_default()
                .add(record);
            count_tries(&mut models, record);
        }
        let mut models: Vec<ModelSum> = models
            .into_values()
            .map(|(mut model, mut millis)| {
                millis.sort_unstable();
                model.p50_ms = millis.get(millis.len() / 2).copied();
                model
            })
            .collect();
        models.sort_by(|a, b| b.answered.cmp(&a.answered).then_with(|| a.model.cmp(&b.model)));
        let points = points.into_iter().filter_map(|(from, sum)| {
            let from = Timestamp::from_second(from).ok()?;
            Some(RoutePoint { from, sum })
        });
        Self {
            sum,
            points: points.collect(),
            models,
            strategies,
            kinds,
        }
    }
}

fn count_tries<'a>(models: &mut BTreeMap<&'a str, (ModelSum, Vec<u64>)>, record: &'a DecisionRecord) {
    for one in &record.tries {
        let (model, millis) = models.entry(&one.model).or_insert_with(|| {
            let model = ModelSum {
                model: one.model.clone(),
                role: one.role,
                asked: 0,
                answered: 0,
                unsure: 0,
                failed: 0,
                judged: 0,
                good: 0,
                nano_usd: 0,
                unknown_cost: 0,
                p50_ms: None,
            };
            (model, Vec::new())
        });
        model.asked += u64::from(one.end != TryEnd::Refused);
        match one.end {
            TryEnd::Answered => {
                model.answered += 1;
                if let Some(outcome) = &record.outcome {
                    model.judged += 1;
                    model.good += u64::from(outcome.good);
                }
            }
            TryEnd::Escalated => model.unsure += 1,
            TryEnd::Failed | TryEnd::BrokeOff => model.failed += 1,
            _ => {}
        }
        if matches!(one.end, TryEnd::Answered | TryEnd::Escalated) {
            millis.push(one.millis);
        }
        match one.cost.map(hf_inference::Cost::amount) {
            Some(Some(amount)) => model.nano_usd = model.nano_usd.saturating_add(amount.get()),
            Some(None) => model.unknown_cost += 1,
            None => {}
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use hf_inference::{Cost, NanoUsd, Usage};

    use super::super::decision::{DecisionId, OutcomeSource, RouteTry, VerifiedOutcome};
    use super::super::features::{Features, TaskKind};
    use super::super::strategy::RoutingStrategy;
    use super::*;

    /// A time.
    pub(in crate::router) fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn tried(role: BackendRole, model: &str, end: TryEnd, nano: u64) -> RouteTry {
        RouteTry {
            role,
            model: model.to_owned(),
            end,
            error: None,
            confidence: None,
            attempts: 1,
            usage: Some(Usage {
                prompt_tokens: 3,
                completion_tokens: 4,
            }),
            cost: Some(Cost::Reported(NanoUsd::new(nano))),
            millis: nano,
        }
    }

    /// A call at `second` that the student answered.
    pub(in crate::router) fn record(second: i64) -> DecisionRecord {
        DecisionRecord {
            id: DecisionId::generate(),
            at: at(second),
            purpose: None,
            strategy: Some(RoutingStrategy::ConfidenceBased { threshold: 0.8 }),
            features: Features {
                kind: TaskKind::Chat,
                prompt_bytes: 10,
                messages: 1,
                tools: 0,
                images: false,
            },
            bucket: "chat/short".to_owned(),
            candidates: Vec::new(),
            plan: vec!["small".to_owned()],
            reason: "it was first".to_owned(),
            explored: false,
            propensity: 1.0,
            tries: vec![tried(BackendRole::Student, "small", TryEnd::Answered, 5)],
            succeeded: true,
            millis: 5,
            outcome: None,
        }
    }

    /// The same call, answered by the teacher after the student was not sure.
    pub(in crate::router) fn escalated(mut record: DecisionRecord) -> DecisionRecord {
        record.tries = vec![
            tried(BackendRole::Student, "small", TryEnd::Escalated, 5),
            tried(BackendRole::Teacher, "big", TryEnd::Answered, 100),
        ];
        record
    }

    /// The same call with a verdict.
    pub(in crate::router) fn judged(mut record: DecisionRecord, good: bool) -> DecisionRecord {
        record.outcome = Some(VerifiedOutcome {
            good,
            source: OutcomeSource::Test,
            at: record.at,
        });
        record
    }

    #[test]
    fn calls_add_up_over_time_and_by_model() {
        let mut unpriced = record(70);
        unpriced.tries[0].cost = Some(Cost::Unknown);
        let mut nobody = record(130);
        nobody.tries[0].end = TryEnd::Failed;
        nobody.succeeded = false;
        nobody.strategy = None;
        let all = [
            judged(record(1), true),
            judged(escalated(record(59)), false),
            unpriced,
            nobody,
        ];
        let report = RouteReport::of(&all, 60);
        assert_eq!(
            report.sum,
            RouteSum {
                calls: 4,
                answered: 3,
                escalated: 1,
                by_student: 2,
                named: 1,
                judged: 2,
                good: 1,
                nano_usd: 115,
                unknown_cost: 1,
            }
        );
        let points: Vec<_> = report
            .points
            .iter()
            .map(|it| (it.from.as_second(), it.sum.calls, it.sum.nano_usd))
            .collect();
        assert_eq!(points, [(0, 2, 110), (60, 1, 0), (120, 1, 5)]);
        let models: Vec<_> = report
            .models
            .iter()
            .map(|it| {
                (
                    it.model.as_str(),
                    it.asked,
                    it.answered,
                    it.unsure,
                    it.failed,
                    it.judged,
                    it.good,
                )
            })
            .collect();
        assert_eq!(models, [("small", 4, 2, 1, 1, 1, 1), ("big", 1, 1, 0, 0, 1, 0)]);
        assert_eq!(report.models[0].unknown_cost, 1);
        assert_eq!(report.models[1].p50_ms, Some(100));
        assert_eq!(report.strategies["named"].calls, 1);
        assert_eq!(report.kinds["chat"].calls, 4);
    }
}
