//! A call on its way: the choice is made, the answer is not there yet.

use std::sync::atomic::Ordering;
use std::time::Duration;

use hf_inference::{BreakerState, ChatRequest, Cost, TokenPrice};

use super::confidence::Random;
use super::decision::{DecisionId, DecisionRecord, RouteTry, TryEnd};
use super::features::Features;
use super::plan::{Contender, Plan, Question, plan};
use super::service::{RouteFailure, Router, lock};
use super::strategy::{RoutingStrategy, Wish};

/// A call on its way. Dropped before it is kept, the caller went away: its decision is kept all the same.
pub(super) struct Open {
    pub(super) router: Router,
    pub(super) record: DecisionRecord,
    pub(super) started: Duration,
    /// Who is being asked.
    pub(super) asking: Option<RouteTry>,
    /// The conversation, where it may be kept.
    pub(super) asked: Option<ChatRequest>,
    pub(super) is_kept: bool,
}

impl Open {
    /// What is being asked is not waited for any more. It was sent, and may be paid.
    pub(super) fn note_dropped(&mut self) {
        let Some(asked) = self.asking.take() else { return };
        let before: u64 = self.record.tries.iter().map(|it| it.millis).sum();
        self.record.tries.push(RouteTry {
            end: TryEnd::Dropped,
            cost: Some(Cost::Unknown),
            attempts: 1,
            millis: self.router.millis_since(self.started).saturating_sub(before),
            ..asked
        });
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if !self.is_kept {
            self.note_dropped();
            let router = self.router.clone();
            router.keep(self, None);
        }
    }
}

impl Router {
    pub(super) async fn open(
        &self,
        request: &ChatRequest,
        wish: &Wish,
    ) -> Result<(Open, Plan), RouteFailure> {
        self.learn().await;
        let strategy = match wish {
            Wish::Strategy(strategy) => *strategy,
            _ => self.inner.policy.strategy,
        };
        let features = Features::of(request);
        let bucket = features.bucket();
        let is_by_cost = matches!(strategy, RoutingStrategy::CostOptimized { .. });
        let remaining_nano = if is_by_cost { self.room().await } else { None };
        let prices = self.prices(is_by_cost).await;
        let at = self.inner.clock.now();
        let contenders = self.contenders(&bucket, &prices, at);
        let call = self.inner.calls.fetch_add(1, Ordering::Relaxed);
        let mut random = Random(
            self.inner
                .policy
                .seed
                .wrapping_add(call.wrapping_mul(0x9E37_79B9)),
        );
        let question = Question {
            wish,
            strategy,
            features: &features,
            max_tokens: request.options.max_tokens,
            explore: self.inner.policy.explore,
            draws: [random.share(), random.share()],
            remaining_nano,
        };
        let mut plan = plan(&contenders, &question);
        if plan.steps.is_empty() {
            return Err(RouteFailure::Nobody {
                wanted: match wish {
                    Wish::Model(model) => format!("no model here is called {model:?}"),
                    Wish::Role(role) => format!("nobody plays the part of the {role}"),
                    Wish::Auto | Wish::Strategy(_) => match strategy.role() {
                        Some(role) => format!("{strategy} asks the {role}, and nobody plays that part"),
                        None => "no model is set up to answer".to_owned(),
                    },
                },
            });
        }
        let asked = self.keeps_exchanges().then(|| request.clone());
        let record = DecisionRecord {
            id: DecisionId::generate(),
            at,
            purpose: request.purpose.clone(),
            strategy: matches!(wish, Wish::Auto | Wish::Strategy(_)).then_some(strategy),
            features,
            bucket,
            candidates: std::mem::take(&mut plan.candidates),
            plan: plan
                .steps
                .iter()
                .map(|step| contenders[step.at].model.clone())
                .collect(),
            reason: std::mem::take(&mut plan.reason),
            explored: plan.explored,
            propensity: plan.propensity,
            tries: Vec::new(),
            succeeded: false,
            millis: 0,
            outcome: None,
        };
        let started = self.inner.clock.elapsed();
        Ok((
            Open {
                router: self.clone(),
                record,
                started,
                asking: None,
                asked,
                is_kept: false,
            },
            plan,
        ))
    }

    fn contenders(
        &self,
        bucket: &str,
        prices: &[Option<TokenPrice>],
        now: jiff::Timestamp,
    ) -> Vec<Contender> {
        let known = lock(&self.inner.known);
        let price = |at: usize| prices.get(at).copied().flatten();
        let each = self.inner.backends.iter().enumerate();
        each.map(|(at, backend)| Contender {
            role: backend.role(),
            model: backend.model().to_owned(),
            belief: known
                .evidence
                .belief(backend.model(), backend.role(), bucket, now),
            price: price(at),
            closed_for: match backend.breaker() {
                BreakerState::Open { retry_in_seconds } => Some(retry_in_seconds),
                BreakerState::Closed { .. } | BreakerState::HalfOpen => None,
            },
            calibration: known.calibrations.get(backend.model()).cloned(),
            share: known
                .shares
                .get(backend.model())
                .copied()
                .unwrap_or_default()
                .of_requests,
        })
        .collect()
    }
}
