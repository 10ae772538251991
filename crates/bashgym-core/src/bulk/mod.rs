//! Work over many rows with a model: tasks in other words, judged rows, rows without repetition, rows from prompts.
//!
//! A [`Work`] names its questions and makes an output of the answers; a [`Runner`] asks them, a bounded number at a time, each
//! within the budget; a [`Journal`] remembers each before and after, so that a crash at any point costs no answer twice:
//!
//! 1. [`estimate`] reads the input once: how many questions, how many tokens, what price; and looks for secrets.
//! 2. [`Runner::run`] reads it again and asks what the journal does not know. It can be stopped at any point.
//! 3. [`Work::write`] reads it once more and writes the output from the journal alone.

mod agreement;
mod answer;
mod ask;
mod augment;
mod calibrate;
mod dedup;
mod error;
mod generate;
mod journal;
mod output;
mod rows;
mod run;
mod runner;
mod score;
#[cfg(test)]
mod tests;
mod work;

pub use agreement::Agreement;
pub use answer::{Answer, Content, Vector};
pub use ask::{Ask, CallKey, Question};
pub use augment::Augment;
pub use calibrate::{Calibrate, Measured, SAME_TEXT};
pub use dedup::Dedup;
pub use error::BulkError;
pub use generate::Generate;
pub use journal::{CallState, Journal};
pub use output::PROVENANCE_FILE;
pub use rows::{AnyRow, RowFolder};
pub use run::{BulkMeans, BulkRun, report};
pub use runner::{Counts, Ran, RunOptions, Runner, Stopped};
pub use score::{RUBRIC, Score, read_labels};
pub use work::{AskIter, Estimate, Making, Work, ask_stream, check_output, estimate, work_id};

/// The JSON object in an answer: the answer itself, or what stands in it between the first brace and the last.
///
/// Not every provider keeps to a schema; many models put a fence around what they write.
fn json_in(text: &str) -> Option<serde_json::Value> {
    let inner = text.get(text.find('{')?..=text.rfind('}')?)?;
    serde_json::from_str(inner)
        .ok()
        .filter(serde_json::Value::is_object)
}
