//! A piece of work: what it asks, what it will cost, and what it makes of the answers.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bashgym_gate::Inspector;
use bashgym_traces::Gate;
use futures::{Stream, StreamExt, stream};
use hf_inference::NanoUsd;
use serde::Serialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::ask::{Ask, Question};
use super::error::BulkError;
use super::journal::{CallState, Journal};
use super::output::{Output, check_target};
use super::runner::{Counts, inspect};
use crate::inference::InferenceDesk;

/// Questions as they are read from the input.
pub type AskIter = Box<dyn Iterator<Item = Result<Ask, BulkError>> + Send>;

/// Work over many rows with a model.
///
/// It is done in two passes over the input: the first asks, the second writes the output from what the journal holds. Neither
/// needs the input in memory, and the second can be done again at any time.
pub trait Work: Send + Sync {
    /// The command, as it stands in the ledger, in the calls and in the lineage: `data augment`, ..
    fn command(&self) -> &'static str;

    /// The model, with the wish behind it.
    fn model(&self) -> String;

    /// Everything the output depends on, for the lineage. No path of this machine.
    fn settings(&self) -> Value;

    /// All questions, in the order of the input.
    ///
    /// # Errors
    /// [`BulkError`] when the input cannot be opened; the iterator gives those of its rows.
    fn asks(&self) -> Result<AskIter, BulkError>;

    /// About how many tokens an answer has; none when nobody knows.
    fn expected_answer_tokens(&self, prompt_tokens: u64) -> Option<u64>;

    /// Whether an output can be made of some of the answers.
    fn can_be_partial(&self) -> bool {
        true
    }

    /// Writes the output from the answers that are there.
    ///
    /// # Errors
    /// [`BulkError`].
    fn write(&self, making: Making<'_>) -> Result<Value, BulkError>;
}

/// What an output is made of.
pub struct Making<'m> {
    /// The answers.
    pub journal: &'m Journal,
    /// The folder to write.
    pub out: &'m Path,
    /// What new text passes before it becomes part of a row.
    pub gate: &'m mut Gate,
    /// Whether all questions have been asked.
    pub complete: bool,
    /// What came of the asking.
    pub counts: Counts,
}

impl std::fmt::Debug for Making<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Making")
            .field("out", &self.out)
            .finish_non_exhaustive()
    }
}

impl Making<'_> {
    /// The line of the lineage for this work.
    pub(crate) fn step(&self, work: &dyn Work, input: &Value, output: &Output, more: Value) -> Value {
        let mut step = json!({
            "command": work.command(), "model": work.model(), "settings": work.settings(), "input": input,
            "work": work_id(work, self.out), "complete": self.complete, "calls": self.counts, "rows": output.counts(),
        });
        if let (Value::Object(step), Value::Object(more)) = (&mut step, more) {
            step.extend(more);
        }
        step
    }
}

/// The name of a piece of work: its command and its output folder, which exists once on a machine.
pub fn work_id(work: &dyn Work, out: &Path) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(work.command().as_bytes());
    hasher.update(b"\n");
    hasher.update(out.as_os_str().as_encoded_bytes());
    hasher.finalize().to_hex()[..16].to_owned()
}

/// Refuses an output folder that holds something else.
///
/// # Errors
/// [`BulkError::NotOurs`], [`BulkError::Io`].
pub fn check_output(work: &dyn Work, out: &Path) -> Result<PathBuf, BulkError> {
    let out = std::path::absolute(out).map_err(BulkError::io("find", out))?;
    check_target(&out, &work_id(work, &out))?;
    Ok(out)
}

/// Reads the questions on a thread of their own, a few ahead of whoever takes them.
pub fn ask_stream(
    work: &Arc<dyn Work>,
    ahead: usize,
) -> impl Stream<Item = Result<Ask, BulkError>> + Send + use<> {
    let (sender, receiver) = mpsc::channel(ahead.max(1));
    let work = Arc::clone(work);
    tokio::task::spawn_blocking(move || match work.asks() {
        Ok(asks) => {
            for ask in asks {
                // Whoever took them has gone.
                if sender.blocking_send(ask).is_err() {
                    return;
                }
            }
        }
        Err(error) => {
            let _ = sender.blocking_send(Err(error));
        }
    });
    stream::unfold(receiver, |mut receiver| async move {
        receiver.recv().await.map(|ask| (ask, receiver))
    })
}

/// What the work will take, before anything is sent.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Estimate {
    /// Questions in all.
    pub questions: u64,
    /// Of those, answered already; they cost nothing.
    pub answered: u64,
    /// Of those, sent before without an answer that is known; not sent again unless that is asked for.
    pub unclear: u64,
    /// Of those, to be asked.
    pub to_ask: u64,
    /// About how many tokens the prompts have that are to be asked.
    pub prompt_tokens: u64,
    /// About how many tokens the answers will have; none when nobody knows.
    pub answer_tokens: Option<u64>,
    /// The most tokens the answers can have; none where nothing bounds them.
    pub answer_tokens_at_most: Option<u64>,
    /// US dollars at the expected tokens, at the dearest provider that may serve; none when nobody names the price.
    pub price_expected_usd: Option<f64>,
    /// US dollars if every call takes all it may and is tried as often as it may be; none when nobody names the price.
    pub price_worst_usd: Option<f64>,
}

/// Reads all questions once: counts them, looks for secrets in them, and asks what they will cost. Nothing is sent to a model.
///
/// # Errors
/// [`BulkError::Refused`] when a question does not pass the gate, and those of the input.
pub async fn estimate(
    work: &Arc<dyn Work>,
    desk: &InferenceDesk,
    journal: &Journal,
    gate: Option<&Inspector>,
    retry_unclear: bool,
) -> Result<Estimate, BulkError> {
    let mut all = Estimate {
        answer_tokens: Some(0),
        answer_tokens_at_most: Some(0),
        ..Estimate::default()
    };
    let (mut expected, mut worst) = (Some(NanoUsd::ZERO), Some(0_u64));
    let mut seen = std::collections::HashSet::new();
    let mut asks = std::pin::pin!(ask_stream(work, 64));
    while let Some(ask) = asks.next().await {
        let ask = ask?;
        if let Some(gate) = gate {
            inspect(gate, &ask)?;
        }
        let mut open = 0_u64;
        for key in ask.keys.iter().filter(|key| seen.insert(**key)) {
            all.questions += 1;
            match journal.state(*key) {
                Some(CallState::Answered) => all.answered += 1,
                Some(CallState::Unclear) if !retry_unclear => all.unclear += 1,
                _ => open += 1,
            }
        }
        if open == 0 {
            continue;
        }
        all.to_ask += open;
        let (request, prompt) = match &ask.question {
            Question::Chat(request) => {
                let texts = request.messages.iter().map(hf_inference::Message::text);
                let tokens = texts
                    .map(|text| bashgym_traces::estimate_tokens(&text) + 4)
                    .sum::<usize>();
                (Some(request), tokens as u64)
            }
            Question::Embed { texts, .. } => {
                let tokens = texts.iter().map(|text| bashgym_traces::estimate_tokens(text));
                (None, tokens.sum::<usize>() as u64)
            }
        };
        all.prompt_tokens += prompt;
        let Some(request) = request else {
            // Providers name no price for vectors.
            if !desk.is_free() {
                (expected, worst) = (None, None);
            }
            continue;
        };
        let answer = work.expected_answer_tokens(prompt);
        let most = request.options.max_tokens.map(u64::from);
        all.answer_tokens = add(all.answer_tokens, answer);
        all.answer_tokens_at_most = add(all.answer_tokens_at_most, most);
        worst = add(worst, desk.worst_case(request).await?.map(hf_core::MicroUsd::get));
        let price = desk
            .expected_price(&request.model, prompt, answer.unwrap_or_default())
            .await?;
        expected = match (expected, price, answer) {
            (Some(sum), Some(price), Some(_)) => Some(sum + price),
            (Some(sum), None, _) if desk.is_free() => Some(sum),
            _ => None,
        };
    }
    if all.to_ask == 0 {
        (expected, worst) = (Some(NanoUsd::ZERO), Some(0));
    }
    all.price_expected_usd = expected.map(NanoUsd::to_usd);
    all.price_worst_usd = worst.map(|micro| micro as f64 / 1e6);
    Ok(all)
}

fn add(sum: Option<u64>, more: Option<u64>) -> Option<u64> {
    sum?.checked_add(more?)
}
