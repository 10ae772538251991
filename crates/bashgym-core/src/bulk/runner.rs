//! Asks many questions: a bounded number at a time, each within the budget, each remembered before and after.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bashgym_gate::Inspector;
use futures::{Stream, StreamExt};
use hf_core::{Clock, HfErrorKind};
use hf_inference::{EmbedOptions, InferenceError, NanoUsd, Usage};
use serde::Serialize;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Content, Vector};
use super::ask::{Ask, CallKey, Question};
use super::error::BulkError;
use super::journal::{CallState, Journal};
use crate::inference::{InferenceDesk, InferenceFailure};
use crate::ledger::LedgerError;
use crate::router::Confidence;

/// How the asking is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunOptions {
    /// Calls at a time.
    pub concurrency: usize,
    /// Rounds for one call when a provider is busy or away; in each of them the client itself tries several times.
    pub rounds: u32,
    /// After this many calls in a row without an answer, nobody is asked any more.
    pub stop_after_failures: u64,
    /// Send again what was sent before without an answer that is known: it may then be paid twice.
    pub retry_unclear: bool,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            concurrency: 8,
            rounds: 3,
            stop_after_failures: 8,
            retry_unclear: false,
        }
    }
}

/// Why the asking ended before all was asked.
#[derive(Debug)]
pub enum Stopped {
    /// A cap of the budget would be passed, or the price is not known.
    Budget(LedgerError),
    /// Nobody answers, or not us.
    Failing(InferenceError),
    /// Somebody wanted it.
    Asked,
}

/// What came of the asking so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Answers of this run.
    pub answered: u64,
    /// Answers that were there already, and cost nothing.
    pub from_journal: u64,
    /// Questions without an answer, after all tries.
    pub failed: u64,
    /// Questions that were sent before, may have been paid, and were not sent again.
    pub unclear: u64,
    /// Questions of this run that failed and may have been paid; the budget counts their worst case.
    pub failed_maybe_paid: u64,
    /// Questions that were asked twice in the same rows; one answer serves both.
    pub repeated: u64,
    /// Tokens of the prompts of this run.
    pub prompt_tokens: u64,
    /// Tokens of the answers of this run.
    pub completion_tokens: u64,
    /// What is known of the cost of this run, in billionths of a US dollar.
    pub nano_usd: u64,
    /// Calls of this run whose cost nobody named: the cost above is without them.
    pub cost_unknown: u64,
}

impl Counts {
    /// Questions that are done with, one way or another.
    pub fn settled(&self) -> u64 {
        self.answered + self.from_journal + self.failed + self.unclear + self.repeated
    }
}

/// What a run came to.
#[derive(Debug)]
pub struct Ran {
    /// What came of it.
    pub counts: Counts,
    /// Why it ended early, if it did.
    pub stopped: Option<Stopped>,
    /// The first few failures, in words.
    pub failures: Vec<String>,
}

/// How many failures are told one by one.
const TOLD_FAILURES: usize = 5;
/// The longest pause after a refusal that names no time.
const LONGEST_PAUSE: Duration = Duration::from_mins(1);

/// Asks questions and keeps the answers.
pub struct Runner {
    desk: InferenceDesk,
    journal: Arc<Journal>,
    clock: Arc<dyn Clock>,
    /// What looks at everything before it is sent; none where nothing leaves this machine.
    gate: Option<Inspector>,
    options: RunOptions,
    in_row_failures: AtomicU64,
    in_flight: AtomicU64,
    /// Whether a request was refused that asked for a schema.
    no_schema: AtomicBool,
    /// Woken when a call has ended, and its reservation with it.
    ended: Notify,
    shared: Mutex<Shared>,
}

#[derive(Default)]
struct Shared {
    counts: Counts,
    begun: HashSet<CallKey>,
    stopped: Option<Stopped>,
    failures: Vec<String>,
    /// Nothing is sent before this time of the clock.
    not_before: Duration,
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What is done about a failure.
enum After {
    /// Nobody would answer any question.
    Stop,
    /// The same question may be answered later.
    Later(Option<Duration>),
    /// This question has no answer.
    Never,
}

impl Runner {
    /// A runner over a journal. `gate` looks at everything that is sent; leave it out only where nothing leaves this machine.
    pub fn new(
        desk: InferenceDesk,
        journal: Arc<Journal>,
        clock: Arc<dyn Clock>,
        gate: Option<Inspector>,
        options: RunOptions,
    ) -> Self {
        Self {
            desk,
            journal,
            clock,
            gate,
            options,
            in_row_failures: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            no_schema: AtomicBool::new(false),
            ended: Notify::new(),
            shared: Mutex::default(),
        }
    }

    /// Asks all questions. The next one is taken from the stream only when a place is free.
    ///
    /// It ends early, with what was answered kept, when the budget refuses, when nobody answers, or when `stop` is cancelled;
    /// calls under way are waited for.
    ///
    /// # Errors
    /// [`BulkError::Refused`] when a question does not pass the gate, [`BulkError::Io`] when the journal cannot be written,
    /// and the errors of the stream itself.
    pub async fn run(
        &self,
        asks: impl Stream<Item = Result<Ask, BulkError>> + Send,
        stop: &CancellationToken,
        progress: &(dyn Fn(Counts) + Sync),
    ) -> Result<Ran, BulkError> {
        let halt = stop.child_token();
        let taken = asks.take_until(halt.cancelled());
        let mut calls = Box::pin(
            taken
                .map(|ask| async {
                    match ask {
                        Ok(ask) => self.one(ask, &halt).await,
                        Err(error) => Err(error),
                    }
                })
                .buffer_unordered(self.options.concurrency.max(1)),
        );
        let mut broken = None;
        while let Some(outcome) = calls.next().await {
            if let Err(error) = outcome {
                halt.cancel();
                broken.get_or_insert(error);
            }
            progress(self.shared().counts);
        }
        drop(calls);
        if let Some(error) = broken {
            return Err(error);
        }
        let mut shared = self.shared();
        if stop.is_cancelled() {
            shared.stopped.get_or_insert(Stopped::Asked);
        }
        Ok(Ran {
            counts: shared.counts,
            stopped: shared.stopped.take(),
            failures: std::mem::take(&mut shared.failures),
        })
    }

    /// One question, from the journal or from a model.
    async fn one(&self, ask: Ask, halt: &CancellationToken) -> Result<(), BulkError> {
        let Some(mut ask) = self.open(ask) else {
            return Ok(());
        };
        self.check(&ask)?;
        let mut round = 0;
        while !halt.is_cancelled() {
            if !self.wait_for_turn(halt).await {
                break;
            }
            if self.no_schema.load(Ordering::Acquire) {
                without_schema(&mut ask);
            }
            self.journal.sent(&ask.keys, self.clock.now()).await?;
            self.in_flight.fetch_add(1, Ordering::AcqRel);
            let outcome = self.send(&ask).await;
            let others = self.in_flight.fetch_sub(1, Ordering::AcqRel) - 1;
            let outcome = match outcome {
                Ok(answers) => {
                    self.count_answers(&answers);
                    let written = self.journal.answered(answers).await;
                    self.ended.notify_waiters();
                    return written;
                }
                Err(failure) => failure,
            };
            match outcome {
                InferenceFailure::Budget(error) => {
                    self.journal.unsent(&ask.keys).await?;
                    // The worst cases of calls under way are much more than they will cost.
                    if matches!(error, LedgerError::CapExceeded(_)) && others > 0 {
                        self.wait_for_an_end(halt).await;
                        continue;
                    }
                    self.stop(Stopped::Budget(error), halt);
                    return Ok(());
                }
                InferenceFailure::Inference(error) => {
                    let may_be_billed = error.attempts().iter().any(|attempt| attempt.may_be_billed);
                    self.journal
                        .failed(&ask.keys, self.clock.now(), &error.to_string(), may_be_billed)
                        .await?;
                    self.ended.notify_waiters();
                    // Many providers keep to no schema, and refuse a request that asks for one. The words ask for it too.
                    if is_refused(&error) && without_schema(&mut ask) {
                        self.no_schema.store(true, Ordering::Release);
                        continue;
                    }
                    round += 1;
                    match after(&error) {
                        After::Later(wait) if round < self.options.rounds => {
                            self.pause(wait, round);
                        }
                        After::Stop => {
                            self.count_failure(&ask, &error, may_be_billed);
                            self.stop(Stopped::Failing(error), halt);
                            return Ok(());
                        }
                        verdict => {
                            self.count_failure(&ask, &error, may_be_billed);
                            let in_row = self.in_row_failures.fetch_add(1, Ordering::AcqRel) + 1;
                            // A question that nobody can answer says little about who is asked; many of them do.
                            let most = match verdict {
                                After::Later(_) => self.options.stop_after_failures,
                                _ => self.options.stop_after_failures.saturating_mul(4),
                            };
                            if in_row >= most {
                                self.stop(Stopped::Failing(error), halt);
                            }
                            return Ok(());
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Leaves out what is known or under way; none when nothing is left to ask.
    fn open(&self, mut ask: Ask) -> Option<Ask> {
        let mut shared = self.shared();
        let mut keep = Vec::with_capacity(ask.keys.len());
        for key in &ask.keys {
            let is_new = shared.begun.insert(*key);
            let is_open = match self.journal.state(*key) {
                _ if !is_new => {
                    shared.counts.repeated += 1;
                    false
                }
                Some(CallState::Answered) => {
                    shared.counts.from_journal += 1;
                    false
                }
                Some(CallState::Unclear) if !self.options.retry_unclear => {
                    shared.counts.unclear += 1;
                    false
                }
                _ => true,
            };
            keep.push(is_open);
        }
        let kept = |place: usize| keep.get(place).copied().unwrap_or(false);
        if let Question::Embed { texts, .. } = &mut ask.question {
            let mut place = 0;
            texts.retain(|_| {
                place += 1;
                kept(place - 1)
            });
        }
        let mut place = 0;
        ask.keys.retain(|_| {
            place += 1;
            kept(place - 1)
        });
        (!ask.keys.is_empty()).then_some(ask)
    }

    /// Looks for secrets in what would be sent.
    fn check(&self, ask: &Ask) -> Result<(), BulkError> {
        let Some(gate) = &self.gate else { return Ok(()) };
        inspect(gate, ask)
    }

    async fn send(&self, ask: &Ask) -> Result<Vec<(CallKey, Answer)>, InferenceFailure> {
        match &ask.question {
            Question::Chat(request) => {
                let answered = self.desk.chat(request).await?;
                let now = self.clock.now();
                // A provider that answers without an answer has been paid for nothing: the answer is empty.
                let choice = answered.reply.choices.into_iter().next();
                let content = match choice {
                    Some(choice) => Content::Chat {
                        confidence: Confidence::of_choice(&choice, None).map(|it| it.raw),
                        message: choice.message,
                        finish_reason: choice.finish_reason,
                    },
                    None => Content::Chat {
                        message: hf_inference::Message::assistant(""),
                        finish_reason: None,
                        confidence: None,
                    },
                };
                let answer = Answer::new(now, content, &answered.report, 1);
                Ok(ask.keys.iter().map(|key| (*key, answer.clone())).collect())
            }
            Question::Embed { model, texts } => {
                let options = EmbedOptions {
                    normalize: true,
                    purpose: Some("data dedup".to_owned()),
                    truncate: Some(true),
                    ..EmbedOptions::default()
                };
                let answered = self.desk.embed(model, texts, &options).await?;
                let now = self.clock.now();
                let shared_by = texts.len();
                Ok(ask
                    .keys
                    .iter()
                    .zip(answered.vectors)
                    .map(|(key, vector)| {
                        let content = Content::Vector(Vector(vector));
                        (*key, Answer::new(now, content, &answered.report, shared_by))
                    })
                    .collect())
            }
        }
    }

    fn count_answers(&self, answers: &[(CallKey, Answer)]) {
        self.in_row_failures.store(0, Ordering::Release);
        let mut shared = self.shared();
        shared.counts.answered += answers.len() as u64;
        // All answers of a call carry the whole call's numbers.
        let Some((_, call)) = answers.first() else { return };
        let usage: Usage = call.usage.unwrap_or_default();
        shared.counts.prompt_tokens += usage.prompt_tokens;
        shared.counts.completion_tokens += usage.completion_tokens;
        match call.cost.amount() {
            Some(amount) => shared.counts.nano_usd += NanoUsd::get(amount),
            None => shared.counts.cost_unknown += 1,
        }
    }

    fn count_failure(&self, ask: &Ask, error: &InferenceError, may_be_billed: bool) {
        let mut shared = self.shared();
        let many = ask.keys.len() as u64;
        shared.counts.failed += many;
        if may_be_billed {
            shared.counts.failed_maybe_paid += many;
        }
        if shared.failures.len() < TOLD_FAILURES {
            shared.failures.push(error.to_string());
        }
    }

    fn stop(&self, why: Stopped, halt: &CancellationToken) {
        self.shared().stopped.get_or_insert(why);
        halt.cancel();
    }

    /// Lets everybody wait: for as long as was asked, or longer with each round.
    fn pause(&self, asked: Option<Duration>, round: u32) {
        let usual = Duration::from_secs(1 << round.min(6)).min(LONGEST_PAUSE);
        let until = self.clock.elapsed().saturating_add(asked.unwrap_or(usual));
        let mut shared = self.shared();
        shared.not_before = shared.not_before.max(until);
    }

    /// Waits until a pause is over; false when there is nothing to wait for any more.
    async fn wait_for_turn(&self, halt: &CancellationToken) -> bool {
        loop {
            let left = self.shared().not_before.saturating_sub(self.clock.elapsed());
            if left.is_zero() {
                return !halt.is_cancelled();
            }
            tokio::select! {
                () = self.clock.sleep(left) => {}
                () = halt.cancelled() => return false,
            }
        }
    }

    async fn wait_for_an_end(&self, halt: &CancellationToken) {
        let ended = self.ended.notified();
        tokio::pin!(ended);
        // Whoever ended between the refusal and here is seen by the count.
        ended.as_mut().enable();
        if self.in_flight.load(Ordering::Acquire) == 0 {
            return;
        }
        tokio::select! {
            () = ended => {}
            () = halt.cancelled() => {}
        }
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks for secrets in what a question would send.
///
/// # Errors
/// [`BulkError::Refused`].
pub(crate) fn inspect(gate: &Inspector, ask: &Ask) -> Result<(), BulkError> {
    let refused = |refusal| BulkError::Refused { refusal };
    let sent = ask.sent();
    let mut inspection = gate
        .begin("what would be sent", sent.len() as u64)
        .map_err(refused)?;
    inspection.feed(&sent);
    inspection.finish().map_err(refused)
}

/// Leaves the schema of the answer out of what is sent; false when there is none.
fn without_schema(ask: &mut Ask) -> bool {
    match &mut ask.question {
        Question::Chat(request) => request.options.response_format.take().is_some(),
        Question::Embed { .. } => false,
    }
}

/// Whether the request was found wrong by whoever got it.
fn is_refused(error: &InferenceError) -> bool {
    let status = error.hf().and_then(hf_core::HfError::status);
    status.is_some_and(|status| matches!(status.as_u16(), 400 | 415 | 422 | 501))
}

/// What a failure means for this question and for the others.
fn after(error: &InferenceError) -> After {
    match error {
        InferenceError::CircuitOpen { retry_in_seconds, .. } => {
            After::Later(Some(Duration::from_secs(*retry_in_seconds)))
        }
        InferenceError::NotServed { .. } | InferenceError::UnknownProvider { .. } => After::Stop,
        InferenceError::Invalid(_) => After::Never,
        other => match other.kind() {
            HfErrorKind::Auth
            | HfErrorKind::Forbidden
            | HfErrorKind::ProRequired
            | HfErrorKind::QuotaExceeded
            | HfErrorKind::NotFound => After::Stop,
            HfErrorKind::RateLimited => After::Later(other.hf().and_then(hf_core::HfError::asked_wait)),
            HfErrorKind::Transport => After::Later(None),
            HfErrorKind::Http
                if other
                    .hf()
                    .and_then(hf_core::HfError::status)
                    .is_some_and(|it| it.is_server_error()) =>
            {
                After::Later(None)
            }
            _ => After::Never,
        },
    }
}
