//! `data dedup`: rows that say the same in other words, found by their vectors.

use std::path::PathBuf;

use bashgym_traces::dedup::{VectorSource, keep_distinct};
use bashgym_traces::{RowKind, Split, TracesError};
use hf_inference::ModelRef;
use serde_json::{Value, json};

use super::answer::Content;
use super::ask::{Ask, CallKey, Question};
use super::error::BulkError;
use super::journal::{CallState, Journal};
use super::output::{Output, lineage};
use super::rows::{AnyRow, RowFolder};
use super::work::{AskIter, Making, Work};

/// Characters of a row that become one vector: about the 256 tokens that small embedders read.
const WINDOW: usize = 1_000;
/// Windows of a row at most: its beginning and its end.
const WINDOWS: usize = 16;
/// Texts in one call.
const BATCH: usize = 32;

/// Rows without those that say what another one says.
#[derive(Debug, Clone)]
pub struct Dedup {
    /// The dataset.
    pub folder: RowFolder,
    /// Its folder.
    pub dir: PathBuf,
    /// The Hub, as part of each question's name.
    pub endpoint: String,
    /// The embedder.
    pub model: ModelRef,
    /// From this cosine on, two rows say the same.
    pub threshold: f32,
}

/// What a row asks for and what was done, each in windows that an embedder can read whole.
///
/// They are two halves of one vector: two tasks of one session are done with much the same words, and are not the same task.
struct Said {
    asked: Vec<String>,
    done: Vec<String>,
}

impl Said {
    fn of(row: &AnyRow) -> Self {
        let mut asked = None;
        let mut done = String::new();
        for message in row.messages().filter(|message| message.role != "system") {
            if asked.is_none() && message.role == "user" {
                asked = Some(message.content.as_str());
                continue;
            }
            done.push_str(&message.content);
            done.push('\n');
            for call in message.tool_calls.iter().flatten() {
                done.push_str(&call.function.name);
                done.push(' ');
                done.push_str(&call.function.arguments);
                done.push('\n');
            }
        }
        Self {
            asked: windows(asked.unwrap_or_default()),
            done: windows(&done),
        }
    }

    fn windows(self) -> impl Iterator<Item = String> {
        self.asked.into_iter().chain(self.done)
    }
}

/// Cuts a text into windows; the middle of a long one is left out.
fn windows(text: &str) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    let mut window = String::new();
    let mut length = 0;
    for c in text.trim().chars() {
        window.push(c);
        length += 1;
        // A window ends between words, if there are words.
        if length >= WINDOW && c.is_whitespace() || length >= WINDOW + WINDOW / 4 {
            all.push(std::mem::take(&mut window));
            length = 0;
        }
    }
    if !window.trim().is_empty() {
        all.push(window);
    }
    if all.len() > WINDOWS {
        all.drain(WINDOWS / 2..all.len() - WINDOWS / 2);
    }
    all
}

/// The names of the windows of a row.
struct Keys {
    all: Vec<CallKey>,
    /// How many of them are of what was asked.
    asked: usize,
}

impl Dedup {
    fn keys(&self, row: &AnyRow) -> Keys {
        let said = Said::of(row);
        Keys {
            asked: said.asked.len(),
            all: said
                .windows()
                .map(|text| Ask::embed_key(&self.endpoint, &self.model, &text))
                .collect(),
        }
    }

    fn batch(&self, texts: Vec<String>) -> Ask {
        Ask {
            keys: texts
                .iter()
                .map(|text| Ask::embed_key(&self.endpoint, &self.model, text))
                .collect(),
            question: Question::Embed {
                model: self.model.clone(),
                texts,
            },
        }
    }
}

/// Questions of a full batch each.
struct Batches<I> {
    rows: I,
    own: Dedup,
    texts: Vec<String>,
    over: bool,
}

impl<I: Iterator<Item = Result<AnyRow, BulkError>>> Iterator for Batches<I> {
    type Item = Result<Ask, BulkError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.over && self.texts.len() < BATCH {
            match self.rows.next() {
                Some(Ok(row)) => self.texts.extend(Said::of(&row).windows()),
                Some(Err(error)) => return Some(Err(error)),
                None => self.over = true,
            }
        }
        if self.texts.is_empty() {
            return None;
        }
        let rest = self.texts.split_off(self.texts.len().min(BATCH));
        let texts = std::mem::replace(&mut self.texts, rest);
        Some(Ok(self.own.batch(texts)))
    }
}

/// The vectors of all rows, read from the journal.
struct RowVectors<'j> {
    journal: &'j Journal,
    keys: Vec<Keys>,
}

impl RowVectors<'_> {
    /// Both halves of a row's vector, one behind the other; a row with one half has it twice.
    fn read(&self, index: usize) -> Result<Option<Vec<f32>>, BulkError> {
        let keys = &self.keys[index];
        let (asked, done) = keys.all.split_at(keys.asked);
        let (asked, done) = (self.mean(asked)?, self.mean(done)?);
        let (Some(first), Some(second)) =
            (asked.as_ref().or(done.as_ref()), done.as_ref().or(asked.as_ref()))
        else {
            return Ok(None);
        };
        let half = std::f32::consts::FRAC_1_SQRT_2;
        Ok(Some(first.iter().chain(second).map(|it| it * half).collect()))
    }

    /// The mean of the windows' vectors, of length 1; none where there is no window, or one is not known.
    fn mean(&self, keys: &[CallKey]) -> Result<Option<Vec<f32>>, BulkError> {
        let mut sum: Vec<f32> = Vec::new();
        for key in keys {
            let Some(answer) = self.journal.answer(*key)? else {
                return Ok(None);
            };
            let Content::Vector(vector) = answer.content else {
                return Ok(None);
            };
            if sum.is_empty() {
                sum = vector.0;
                continue;
            }
            if sum.len() != vector.0.len() {
                return Err(BulkError::data("the vectors are not of one length"));
            }
            sum.iter_mut().zip(vector.0).for_each(|(sum, it)| *sum += it);
        }
        let length = sum.iter().map(|it| it * it).sum::<f32>().sqrt();
        if !length.is_normal() {
            return Ok(None);
        }
        for it in &mut sum {
            *it /= length;
        }
        Ok(Some(sum))
    }
}

impl VectorSource for RowVectors<'_> {
    fn count(&self) -> usize {
        self.keys.len()
    }

    fn vector(&self, index: usize) -> Result<Vec<f32>, TracesError> {
        let broken = |why: String| TracesError::InvalidOption {
            option: "the vector of a row",
            value: why,
            expected: "one that was there a moment ago",
        };
        self.read(index)
            .map_err(|error| broken(error.to_string()))?
            .ok_or_else(|| broken("none".to_owned()))
    }
}

/// What is remembered of a row between the two passes.
struct Known {
    kind: RowKind,
    split: Split,
    score: f64,
    id: String,
}

/// Four digits, as they print.
fn round(value: f32) -> f64 {
    (f64::from(value) * 1e4).round() / 1e4
}

impl Work for Dedup {
    fn command(&self) -> &'static str {
        "data dedup"
    }

    fn model(&self) -> String {
        self.model.to_string()
    }

    fn settings(&self) -> Value {
        json!({"threshold": round(self.threshold), "window_chars": WINDOW, "windows": WINDOWS})
    }

    fn asks(&self) -> Result<AskIter, BulkError> {
        Ok(Box::new(Batches {
            rows: self.folder.rows().map(|row| row.map(|(_, row)| row)),
            own: self.clone(),
            texts: Vec::new(),
            over: false,
        }))
    }

    fn expected_answer_tokens(&self, _prompt_tokens: u64) -> Option<u64> {
        Some(0)
    }

    fn can_be_partial(&self) -> bool {
        false
    }

    fn write(&self, making: Making<'_>) -> Result<Value, BulkError> {
        let mut output = Output::create(making.out)?;
        for file in &self.folder.files {
            output.open(&file.name)?;
        }
        let mut known: Vec<Known> = Vec::new();
        let mut vectors = RowVectors {
            journal: making.journal,
            keys: Vec::new(),
        };
        for row in self.folder.rows() {
            let (file, row) = row?;
            let metadata = row.metadata();
            known.push(Known {
                kind: file.kind,
                split: file.split,
                score: metadata.score,
                id: metadata.example_id.clone(),
            });
            vectors.keys.push(self.keys(&row));
        }
        // Held-out rows stay, so that what is measured does not change; then the better row; then the earlier one.
        let mut order: Vec<usize> = (0..known.len()).collect();
        order.sort_by(|&a, &b| {
            let (x, y) = (&known[a], &known[b]);
            let held_out = (y.split == Split::Val).cmp(&(x.split == Split::Val));
            held_out.then(y.score.total_cmp(&x.score)).then(a.cmp(&b))
        });
        let mut verdicts = vec![None; known.len()];
        for kind in RowKind::ALL {
            // A row of another kind is made from the same task on purpose.
            let mut own = Vec::new();
            for &n in order.iter().filter(|&&n| known[n].kind == kind) {
                let answered = |key: &CallKey| making.journal.state(*key) == Some(CallState::Answered);
                let keys = &vectors.keys[n].all;
                if !keys.is_empty() && keys.iter().all(answered) {
                    own.push(n);
                } else {
                    output.count("without_vector", 1);
                }
            }
            let found = keep_distinct(&vectors, &own, self.threshold)?;
            for (n, repeats) in found.into_iter().enumerate() {
                if repeats.is_some() {
                    verdicts[n] = repeats;
                }
            }
        }
        for (n, row) in self.folder.rows().enumerate() {
            let (file, row) = row?;
            let Some(repeats) = verdicts.get(n).copied().flatten() else {
                output.row(&file.name, &row)?;
                output.count("rows_kept", 1);
                continue;
            };
            let kept = &known[repeats.kept];
            let across = kept.split != file.split;
            output.count(
                if across {
                    "removed_across_splits"
                } else {
                    "removed"
                },
                1,
            );
            let mut told = match vectors.keys[n].all.first() {
                Some(key) => match making.journal.answer(*key)? {
                    Some(answer) => answer.provenance(*key),
                    None => json!({}),
                },
                None => json!({}),
            };
            told["example_id"] = json!(known[n].id);
            told["source_ids"] = json!([kept.id]);
            told["removed"] = json!({
                "kept": kept.id, "kept_split": kept.split, "similarity": round(repeats.similarity), "across_splits": across,
            });
            output.provenance(&told)?;
        }
        let input = json!({"metadata_sha256": self.folder.fingerprint()?});
        let step = making.step(self, &input, &output, Value::Null);
        output.finish(self.folder.manifest.clone(), lineage(&self.dir), step.clone())?;
        Ok(step)
    }
}

#[cfg(test)]
mod tests {
    use super::super::augment::tests_row;
    use super::*;

    #[test]
    fn a_long_text_is_read_from_both_ends_and_an_empty_one_has_no_window() {
        assert_eq!(windows("short").len(), 1);
        assert!(windows(" \n").is_empty());
        let long = (0..30_000).map(|n| format!("w{n}")).collect::<Vec<_>>().join(" ");
        let found = windows(&long);
        assert_eq!(found.len(), WINDOWS);
        assert!(found[0].starts_with("w0 ") && found[WINDOWS - 1].ends_with("w29999"));
        let longest = |found: &[String]| found.iter().map(|it| it.chars().count()).max().unwrap();
        assert!(longest(&found) <= WINDOW + WINDOW / 4);
        assert!(longest(&windows(&"é".repeat(5_000))) <= WINDOW + WINDOW / 4);
    }

    #[test]
    fn what_was_asked_and_what_was_done_are_told_apart() {
        let said = Said::of(&tests_row("Fix the test"));
        assert_eq!(said.asked, ["Fix the test"]);
        assert_eq!(said.done, ["Bash {}\nok\nDone."]);
    }
}
