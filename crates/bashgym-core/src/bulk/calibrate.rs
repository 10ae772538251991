//! `route calibrate`: what a student's confidence is worth, measured on turns of held-out sessions.
//!
//! The student is asked for what the agent did next, and tells how likely each of its tokens was. Whether it was right is known:
//! the session says what was done.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bashgym_traces::{ChatMessage, Split};
use hf_inference::{ChatRequest, Message, ModelRef};
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::Content;
use super::ask::Ask;
use super::error::BulkError;
use super::journal::Journal;
use super::rows::{AnyRow, RowFolder};
use super::work::{AskIter, Making, Work};
use crate::router::{Calibration, invalid_tool_call};

/// Two texts say the same from this share of common words on (the F1 measure over words).
pub const SAME_TEXT: f64 = 0.8;

/// Turns of held-out sessions, asked of a student.
#[derive(Debug, Clone)]
pub struct Calibrate {
    /// The dataset; its held-out rows are asked.
    pub folder: RowFolder,
    /// Its folder.
    pub dir: PathBuf,
    /// The Hub, as part of each question's name.
    pub endpoint: String,
    /// The student.
    pub model: ModelRef,
    /// Turns at most, all rows together.
    pub turns: usize,
    /// Turns of one row at most, spread over it.
    pub turns_of_a_row: usize,
    /// Turns with a longer conversation before them are left out, in characters.
    pub max_chars: usize,
    /// Tokens of an answer at most.
    pub max_tokens: u32,
    /// Raw confidences of answers that somebody judged already, and whether they were right.
    pub verdicts: Vec<(f64, bool)>,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// What the confidence is worth; none for fewer than twenty answers with a confidence.
    pub calibration: Option<Calibration>,
    /// Answers with a confidence, verdicts included.
    pub examples: u64,
    /// Of those, right ones.
    pub right: u64,
    /// Of those, judged by somebody before.
    pub from_verdicts: u64,
    /// Turns that were not asked, or not answered.
    pub without_answer: u64,
    /// Answers without log-probabilities.
    pub without_confidence: u64,
    /// Answers that call a tool which was not offered, or wrongly: these are never trusted, whatever the confidence.
    pub bad_calls: u64,
}

impl Measured {
    /// From answers alone that somebody judged: raw confidences, and whether they were right.
    pub fn of_verdicts(verdicts: &[(f64, bool)]) -> Self {
        let mut measured = Self {
            calibration: None,
            examples: 0,
            right: 0,
            from_verdicts: verdicts.len() as u64,
            without_answer: 0,
            without_confidence: 0,
            bad_calls: 0,
        };
        measured.fit(verdicts);
        measured
    }

    fn fit(&mut self, samples: &[(f64, bool)]) {
        self.examples = samples.len() as u64;
        self.right = samples.iter().filter(|(_, good)| *good).count() as u64;
        self.calibration = Calibration::fit(samples);
    }
}

/// A turn: what was said before, the tools, and what the agent did.
struct Turn {
    ask: Ask,
    tools: Vec<Value>,
    done: Message,
}

fn message(message: &ChatMessage) -> Option<Message> {
    // Both are the shape of OpenAI's API.
    serde_json::from_value(serde_json::to_value(message).ok()?).ok()
}

impl Calibrate {
    /// The turns of a row, spread over it.
    fn turns(&self, row: &AnyRow) -> Vec<Turn> {
        let Some(messages): Option<Vec<Message>> = row.messages().map(message).collect() else {
            return Vec::new();
        };
        let tools: Vec<Value> = serde_json::from_str(row.tools()).unwrap_or_default();
        let places: Vec<usize> = (1..messages.len())
            .filter(|&at| messages[at].role == "assistant" && messages[at - 1].role != "assistant")
            .collect();
        let most = self.turns_of_a_row.min(places.len());
        let chosen = (0..most).map(|at| places[at * places.len() / most.max(1)]);
        chosen
            .filter_map(|at| {
                let before = &messages[..at];
                let length: usize = before.iter().map(|it| it.text().chars().count()).sum();
                if length > self.max_chars {
                    return None;
                }
                let mut request = ChatRequest::new(self.model.clone(), before.iter().cloned());
                request.options.max_tokens = Some(self.max_tokens);
                request.options.temperature = Some(0.0);
                request.options.logprobs = Some(true);
                request.options.tools = (!tools.is_empty()).then(|| tools.clone());
                request.purpose = Some(self.command().to_owned());
                Some(Turn {
                    ask: Ask::chat(&self.endpoint, request, 0),
                    tools: tools.clone(),
                    done: messages[at].clone(),
                })
            })
            .collect()
    }

    fn all_turns(&self) -> impl Iterator<Item = Result<Turn, BulkError>> + Send + use<> {
        let own = self.clone();
        let rows = self.folder.rows().filter(|row| match row {
            Ok((file, _)) => file.split == Split::Val,
            Err(_) => true,
        });
        rows.flat_map(move |row| match row {
            Ok((_, row)) => own.turns(&row).into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
        .take(self.turns)
    }

    /// Holds the answers against what was done.
    ///
    /// # Errors
    /// [`BulkError`] when the input or the journal cannot be read.
    pub fn measure(&self, journal: &Journal) -> Result<Measured, BulkError> {
        let mut samples = self.verdicts.clone();
        let mut measured = Measured::of_verdicts(&samples);
        for turn in self.all_turns() {
            let turn = turn?;
            let answer = turn
                .ask
                .keys
                .first()
                .map(|key| journal.answer(*key))
                .transpose()?;
            let Some(Content::Chat {
                message, confidence, ..
            }) = answer.flatten().map(|answer| answer.content)
            else {
                measured.without_answer += 1;
                continue;
            };
            if invalid_tool_call(&message, &turn.tools).is_some() {
                measured.bad_calls += 1;
            } else if let Some(raw) = confidence {
                samples.push((raw, does_the_same(&message, &turn.done)));
            } else {
                measured.without_confidence += 1;
            }
        }
        measured.fit(&samples);
        Ok(measured)
    }
}

impl Work for Calibrate {
    fn command(&self) -> &'static str {
        "route calibrate"
    }

    fn model(&self) -> String {
        self.model.to_string()
    }

    fn settings(&self) -> Value {
        json!({
            "turns": self.turns, "turns_of_a_row": self.turns_of_a_row, "max_chars": self.max_chars,
            "max_tokens": self.max_tokens, "same_text": SAME_TEXT,
        })
    }

    fn asks(&self) -> Result<AskIter, BulkError> {
        Ok(Box::new(self.all_turns().map(|turn| turn.map(|turn| turn.ask))))
    }

    fn expected_answer_tokens(&self, _prompt_tokens: u64) -> Option<u64> {
        None
    }

    fn write(&self, making: Making<'_>) -> Result<Value, BulkError> {
        Ok(serde_json::to_value(self.measure(making.journal)?).unwrap_or_default())
    }
}

/// Whether an answer does what the agent did: the same calls with the same arguments, or a text that says the same.
fn does_the_same(answer: &Message, done: &Message) -> bool {
    let calls = |message: &Message| -> Vec<(String, Value)> {
        let each = message.tool_calls.iter().flatten();
        each.map(|call| {
            let arguments = &call.function.arguments;
            let read = serde_json::from_str(arguments).unwrap_or_else(|_| Value::String(arguments.clone()));
            (call.function.name.clone(), read)
        })
        .collect()
    };
    let (own, wanted) = (calls(answer), calls(done));
    if own.is_empty() && wanted.is_empty() {
        return common_words(&answer.text(), &done.text()) >= SAME_TEXT;
    }
    own == wanted
}

/// The F1 measure of two texts over their words, 0 to 1.
fn common_words(one: &str, other: &str) -> f64 {
    let count = |text: &str| -> BTreeMap<String, u64> {
        let mut words = BTreeMap::new();
        for word in text
            .split(|it: char| !it.is_alphanumeric())
            .filter(|it| !it.is_empty())
        {
            *words.entry(word.to_lowercase()).or_default() += 1;
        }
        words
    };
    let (one, other) = (count(one), count(other));
    let all = one.values().sum::<u64>() + other.values().sum::<u64>();
    if all == 0 {
        return 1.0;
    }
    let common = |(word, times): (&String, &u64)| other.get(word).map_or(0, |there| *times.min(there));
    2.0 * one.iter().map(common).sum::<u64>() as f64 / all as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(value: Value) -> Message {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn the_same_is_done_by_the_same_calls_or_nearly_the_same_words() {
        let call = |name: &str, arguments: &str| {
            said(json!({"role": "assistant", "tool_calls": [
                {"id": "any", "type": "function", "function": {"name": name, "arguments": arguments}}]}))
        };
        let done = call("ls", r#"{"path": ".", "all": true}"#);
        assert!(does_the_same(&call("ls", r#"{"all":true,"path":"."}"#), &done));
        assert!(!does_the_same(&call("ls", r#"{"path":".."}"#), &done));
        assert!(!does_the_same(&call("rm", r#"{"path":".","all":true}"#), &done));
        assert!(!does_the_same(&Message::assistant("done"), &done));
        let text = |it: &str| Message::assistant(it);
        let wanted = text("The tests pass now; the bug was an off-by-one.");
        assert!(does_the_same(
            &text("the tests pass now: the bug was an off by one"),
            &wanted
        ));
        assert!(!does_the_same(&text("The tests fail."), &wanted));
        assert!(!does_the_same(&text(""), &wanted));
    }
}
