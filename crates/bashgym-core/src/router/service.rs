//! The router itself.

use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hf_core::Clock;
use hf_inference::{ChatAnswer, ChatRequest};

use super::ask::{Asked, Stop};
use super::books::{IntoStore, Noted};
use super::decision::{DecisionId, ExchangeGate};
use super::knowledge::Known;
use super::open::Open;
use super::store::RouteStore;
use super::strategy::{RouterPolicy, Wish};
use super::stream::RoutedStream;
use crate::backend::{BackendRole, ModelBackend};
use crate::inference::InferenceFailure;
use crate::ledger::Ledger;
use crate::store::WriteBehind;

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
    pub(super) gate: Option<Arc<dyn ExchangeGate>>,
    pub(super) known: Mutex<Known>,
    /// One reads at a time.
    pub(super) reading: Arc<tokio::sync::Mutex<()>>,
    pub(super) waiting: WriteBehind<Noted>,
    pub(super) calls: AtomicU64,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Router {
    /// A router of these backends. Of one role, those that come first are asked first.
    pub fn new(
        backends: Vec<Arc<dyn ModelBackend>>,
        policy: RouterPolicy,
        store: Arc<dyn RouteStore>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let known = Known::new(policy.fade);
        let into = IntoStore {
            store: Arc::clone(&store),
            gate: None,
        };
        let waiting = WriteBehind::new(into, Arc::clone(&clock));
        Self {
            inner: Arc::new(Inner {
                backends,
                policy,
                store,
                clock,
                ledger: None,
                gate: None,
                known: Mutex::new(known),
                reading: Arc::default(),
                waiting,
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

    /// The same router, which may keep exchanges: what it keeps passes this gate first. Call it before the first clone.
    #[must_use]
    pub fn with_gate(mut self, gate: Arc<dyn ExchangeGate>) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            let into = IntoStore {
                store: Arc::clone(&inner.store),
                gate: Some(Arc::clone(&gate)),
            };
            inner.waiting = WriteBehind::new(into, Arc::clone(&inner.clock));
            inner.gate = Some(gate);
        }
        self
    }

    /// Whether exchanges are kept: where that is wished, and a gate is there.
    pub(super) fn keeps_exchanges(&self) -> bool {
        self.inner.policy.keep_exchanges && self.inner.gate.is_some()
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
                open.note_dropped();
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
        self.keep(&mut open, answer);
        if self.inner.waiting.is_behind() {
            let _ = self.flush().await;
        }
        result
    }
}
