//! The router itself.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hf_core::Clock;
use hf_inference::{BreakerState, ChatAnswer, ChatRequest, TokenPrice};
use serde_json::Value;

use super::ask::{Asked, Stop};
use super::books::MOST_WAITING;
use super::confidence::{Calibration, Random};
use super::decision::{DecisionId, DecisionRecord, Exchange, RouteTry, TryEnd, VerifiedOutcome};
use super::evidence::Evidence;
use super::features::Features;
use super::plan::{Contender, Plan, Question, Share, plan};
use super::store::RouteStore;
use super::strategy::{RouterPolicy, RoutingStrategy, Wish};
use super::stream::RoutedStream;
use crate::backend::{BackendRole, ModelBackend};
use crate::inference::InferenceFailure;
use crate::ledger::Ledger;
use crate::store::StoreError;

/// What was answered, and by whom.
#[derive(Debug)]
pub struct Routed<T> {
    /// The decision, for `route explain` and verdicts.
    pub decision: DecisionId,
    /// The part of who answered.
    pub role: BackendRole,
    /// Who answered.
    pub model: String,
    /// The answer.
    pub answer: T,
}

/// Why nobody answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RouteFailure {
    /// Nobody plays the part.
    #[error("{wanted}")]
    Nobody {
        /// What was asked for, as a sentence.
        wanted: String,
    },
    /// All that were asked failed; the error of the last one.
    #[error("{error}")]
    Failed {
        /// The decision.
        decision: DecisionId,
        /// Why.
        #[source]
        error: InferenceFailure,
    },
    /// It took too long.
    #[error("no answer within {seconds} s")]
    TooLate {
        /// The decision.
        decision: DecisionId,
        /// The deadline.
        seconds: u64,
    },
}

impl RouteFailure {
    /// The decision, if one was made.
    pub fn decision(&self) -> Option<DecisionId> {
        match self {
            Self::Nobody { .. } => None,
            Self::Failed { decision, .. } | Self::TooLate { decision, .. } => Some(*decision),
        }
    }
}

/// Chooses who answers. Cloning shares everything.
#[derive(Clone)]
pub struct Router {
    pub(super) inner: Arc<Inner>,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Router")
            .field("backends", &self.inner.backends)
            .field("policy", &self.inner.policy)
            .finish_non_exhaustive()
    }
}

pub(super) struct Inner {
    pub(super) backends: Vec<Arc<dyn ModelBackend>>,
    pub(super) policy: RouterPolicy,
    pub(super) store: Arc<dyn RouteStore>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) ledger: Option<Ledger>,
    pub(super) known: Mutex<Known>,
    /// One reads at a time.
    pub(super) reading: tokio::sync::Mutex<()>,
    pub(super) waiting: Mutex<Waiting>,
    /// One writes at a time.
    pub(super) writing: tokio::sync::Mutex<()>,
    pub(super) calls: AtomicU64,
}

#[derive(Default)]
pub(super) struct Known {
    pub(super) evidence: Evidence,
    pub(super) calibrations: HashMap<String, Arc<Calibration>>,
    pub(super) shares: HashMap<String, Share>,
    pub(super) read_at: Option<Duration>,
    pub(super) room: Option<(Duration, Option<f64>)>,
}

#[derive(Default)]
pub(super) struct Waiting {
    pub(super) decisions: Vec<(DecisionRecord, Option<Exchange>)>,
    pub(super) is_writer_there: bool,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A call on its way.
pub(super) struct Open {
    pub(super) record: DecisionRecord,
    pub(super) started: Duration,
    /// Who is being asked.
    pub(super) asking: Option<RouteTry>,
    /// The conversation, where it may be kept.
    pub(super) asked: Option<(Vec<hf_inference::Message>, Vec<Value>)>,
}

impl Router {
    /// A router of these backends. Of one role, those that come first are asked first.
    pub fn new(
        backends: Vec<Arc<dyn ModelBackend>>,
        policy: RouterPolicy,
        store: Arc<dyn RouteStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let known = Known {
            evidence: Evidence::new(policy.fade),
            ..Known::default()
        };
        Self {
            inner: Arc::new(Inner {
                backends,
                policy,
                store,
                clock,
                ledger: None,
                known: Mutex::new(known),
                reading: tokio::sync::Mutex::default(),
                waiting: Mutex::default(),
                writing: tokio::sync::Mutex::default(),
                calls: AtomicU64::new(0),
            }),
        }
    }

    /// The same router, which looks at what a budget has left. Call it before the first clone.
    #[must_use]
    pub fn with_ledger(mut self, ledger: Ledger) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.ledger = Some(ledger);
        }
        self
    }

    /// Who can answer.
    pub fn backends(&self) -> &[Arc<dyn ModelBackend>] {
        &self.inner.backends
    }

    /// What holds for all calls.
    pub fn policy(&self) -> &RouterPolicy {
        &self.inner.policy
    }

    /// Where its decisions are kept.
    pub fn store(&self) -> &Arc<dyn RouteStore> {
        &self.inner.store
    }

    /// Lets somebody answer a conversation.
    ///
    /// # Errors
    /// [`RouteFailure`]. A decision is kept all the same.
    pub async fn chat(&self, request: &ChatRequest, wish: Wish) -> Result<Routed<ChatAnswer>, RouteFailure> {
        let (mut open, plan) = self.open(request, &wish).await?;
        let late = self.inner.clock.sleep(self.inner.policy.deadline);
        let end = tokio::select! {
            // An answer that is there wins.
            biased;
            end = self.ask(request, &plan, &mut open) => end,
            () = late => Err(Stop::Late),
        };
        self.close(open, end).await
    }

    /// Lets somebody answer a conversation piece by piece. Another model is asked only before the first content.
    ///
    /// Where it matters how sure a model is, its answer waits until it is whole, or longer than the policy's buffer.
    ///
    /// # Errors
    /// As [`Router::chat`].
    pub async fn chat_stream(
        &self,
        request: &ChatRequest,
        wish: Wish,
    ) -> Result<Routed<RoutedStream>, RouteFailure> {
        let (mut open, plan) = self.open(request, &wish).await?;
        let late = self.inner.clock.sleep(self.inner.policy.deadline);
        let end = tokio::select! {
            // An answer that is there wins.
            biased;
            end = self.ask_stream(request, &plan, &mut open) => end,
            () = late => Err(Stop::Late),
        };
        match end {
            Ok((role, model, (held, inner))) => Ok(Routed {
                decision: open.record.id,
                role,
                model: model.clone(),
                answer: RoutedStream::new(self.clone(), open, (role, model), held, inner),
            }),
            Err(stop) => {
                let failed: Result<Asked<ChatAnswer>, Stop> = Err(stop);
                Err(match self.close(open, failed).await {
                    Err(failure) => failure,
                    Ok(_) => RouteFailure::Nobody {
                        wanted: "no answer was given".to_owned(),
                    },
                })
            }
        }
    }

    /// Takes a verdict: a test, a judge or a person found whether an answer was right.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn report(
        &self,
        id: DecisionId,
        outcome: VerifiedOutcome,
    ) -> Result<DecisionRecord, StoreError> {
        self.flush().await?;
        self.refresh().await;
        let before = self
            .inner
            .store
            .find_decision(id)
            .await?
            .and_then(|it| it.outcome);
        let record = self.inner.store.judge_decision(id, &outcome).await?;
        if before.is_some() {
            // A verdict that replaces another is counted when everything is read anew.
            lock(&self.inner.known).read_at = None;
            return Ok(record);
        }
        let step = {
            let mut known = lock(&self.inner.known);
            if let Some(by) = record.answered_by() {
                known
                    .evidence
                    .judge(&by.model, &record.bucket, outcome.good, outcome.at);
            }
            take_step(&mut known, &record, outcome.good)
        };
        if let Some((model, share)) = step {
            tracing::info!(
                model,
                share = share.of_requests,
                "the student's share of requests"
            );
            let note = serde_json::to_value(share).unwrap_or_default();
            self.inner
                .store
                .put_route_note(&format!("share {model}"), &note)
                .await?;
        }
        Ok(record)
    }

    /// Keeps what a model's confidence is worth.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn calibrate(&self, model: &str, calibration: Calibration) -> Result<(), StoreError> {
        let note = serde_json::to_value(&calibration).unwrap_or_default();
        let name = format!("calibration {model}");
        self.inner.store.put_route_note(&name, &note).await?;
        let calibration = Arc::new(calibration);
        lock(&self.inner.known)
            .calibrations
            .insert(model.to_owned(), calibration);
        Ok(())
    }

    async fn open(&self, request: &ChatRequest, wish: &Wish) -> Result<(Open, Plan), RouteFailure> {
        self.refresh().await;
        let strategy = match wish {
            Wish::Strategy(strategy) => *strategy,
            _ => self.inner.policy.strategy,
        };
        let features = Features::of(request);
        let bucket = features.bucket();
        let is_by_cost = matches!(strategy, RoutingStrategy::CostOptimized { .. });
        let remaining_nano = if is_by_cost { self.room().await } else { None };
        let mut prices = Vec::with_capacity(self.inner.backends.len());
        for backend in &self.inner.backends {
            prices.push(backend.price().await);
        }
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
        let plan = plan(&contenders, &question);
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
        let asked = self.inner.policy.keep_exchanges.then(|| {
            let tools = request.options.tools.clone().unwrap_or_default();
            (request.messages.clone(), tools)
        });
        let record = DecisionRecord {
            id: DecisionId::generate(),
            at,
            purpose: request.purpose.clone(),
            strategy: matches!(wish, Wish::Auto | Wish::Strategy(_)).then_some(strategy),
            features,
            bucket,
            candidates: plan.candidates.clone(),
            plan: plan
                .steps
                .iter()
                .map(|step| contenders[step.at].model.clone())
                .collect(),
            reason: plan.reason.clone(),
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
                record,
                started,
                asking: None,
                asked,
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
        let each = self.inner.backends.iter().zip(prices);
        each.map(|(backend, price)| Contender {
            role: backend.role(),
            model: backend.model().to_owned(),
            belief: known
                .evidence
                .belief(backend.model(), backend.role(), bucket, now),
            price: *price,
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

    pub(super) fn millis_since(&self, started: Duration) -> u64 {
        let took = self.inner.clock.elapsed().saturating_sub(started);
        u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
    }

    pub(super) fn millis_of(&self, open: &Open) -> u64 {
        self.millis_since(open.started)
    }

    async fn close(
        &self,
        mut open: Open,
        end: Result<Asked<ChatAnswer>, Stop>,
    ) -> Result<Routed<ChatAnswer>, RouteFailure> {
        let decision = open.record.id;
        let result = match end {
            Ok((role, model, answer)) => {
                open.record.succeeded = true;
                Ok(Routed {
                    decision,
                    role,
                    model,
                    answer,
                })
            }
            Err(Stop::Failed(error)) => Err(RouteFailure::Failed { decision, error }),
            Err(Stop::Late) => {
                if let Some(asked) = open.asking.take() {
                    // What was sent may be paid, though nobody waits for it any more.
                    open.record.tries.push(RouteTry {
                        end: TryEnd::Dropped,
                        cost: Some(hf_inference::Cost::Unknown),
                        attempts: 1,
                        millis: self.millis_since(open.started),
                        ..asked
                    });
                }
                Err(RouteFailure::TooLate {
                    decision,
                    seconds: self.inner.policy.deadline.as_secs(),
                })
            }
        };
        let answer = result
            .as_ref()
            .ok()
            .and_then(|routed| routed.answer.reply.choices.first());
        let answer = answer.map(|choice| choice.message.clone());
        self.keep(open, answer);
        if lock(&self.inner.waiting).decisions.len() >= MOST_WAITING {
            let _ = self.flush().await;
        }
        result
    }
}

/// A verdict on the student's answer moves its share, where the share decided.
fn take_step(known: &mut Known, record: &DecisionRecord, good: bool) -> Option<(String, Share)> {
    let Some(RoutingStrategy::Progressive { quality_floor }) = record.strategy else {
        return None;
    };
    let by = record
        .answered_by()
        .filter(|by| by.role == BackendRole::Student)?;
    let share = known.shares.entry(by.model.clone()).or_default();
    share.judge(good, quality_floor);
    Some((by.model.clone(), *share))
}
