//! The dataset as the trainer will see it: rendered by the base model's chat template, counted by its tokenizer.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use bashgym_traces::{Split, columns};
use serde_json::Value;

use super::{DatasetFacts, RenderedSample, TokenBucket};
use crate::CoreError;
use crate::trainer::Recipe;

/// Rows that are rendered and counted at most.
const MEASURED_ROWS: u64 = 20_000;
const SAMPLES: usize = 3;
const SAMPLE_CHARS: usize = 4000;
const REASONS: usize = 8;

/// Loads the chat template and the tokenizer of a model's folder.
pub trait ChatRenderer: Send + Sync {
    /// Loads them.
    ///
    /// # Errors
    /// Why the folder has none that can be used, in words.
    fn load(&self, dir: &Path) -> Result<Box<dyn LoadedChat>, String>;
}

/// A chat template and a tokenizer, ready to use.
pub trait LoadedChat: Send + Sync {
    /// Renders a conversation. `messages` is a list as chat templates read it, `tools` a list of schemas or null.
    ///
    /// # Errors
    /// Why the template refuses it, in words.
    fn render(&self, messages: &Value, tools: &Value, add_generation_prompt: bool) -> Result<String, String>;

    /// Counts the tokens of a rendered text.
    ///
    /// # Errors
    /// Why the tokenizer refuses it, in words.
    fn count_tokens(&self, text: &str) -> Result<usize, String>;
}

/// Renders and counts the rows of a dataset's folder.
pub(super) fn measure(
    dir: &Path,
    recipe: Recipe,
    chat: &dyn LoadedChat,
    sequence_length: u64,
    facts: &mut DatasetFacts,
) -> Result<(), CoreError> {
    let mut lengths: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut sum, mut cut) = (0_u64, 0_u64);
    for (split, files) in facts.files.clone() {
        let is_train = split == Split::Train.name();
        for file in files {
            let path = dir.join(&file);
            let opened = std::fs::File::open(&path).map_err(CoreError::io("read", &path))?;
            for line in std::io::BufReader::with_capacity(1 << 18, opened).lines() {
                let line = line.map_err(CoreError::io("read", &path))?;
                if line.trim().is_empty() {
                    continue;
                }
                if !is_train {
                    facts.rows_val += 1;
                    continue;
                }
                facts.rows_train += 1;
                if facts.rows_measured + facts.rows_lost >= MEASURED_ROWS {
                    continue;
                }
                match rendered(&line, recipe, chat) {
                    Ok((text, tokens)) => {
                        facts.rows_measured += 1;
                        *lengths.entry(tokens.max(1).next_power_of_two()).or_default() += 1;
                        sum += tokens.min(sequence_length);
                        cut += u64::from(tokens > sequence_length);
                        if facts.samples.len() < SAMPLES {
                            let text = shortened(&text);
                            facts.samples.push(RenderedSample { text, tokens });
                        }
                    }
                    Err(reason) => {
                        facts.rows_lost += 1;
                        if facts.lost_reasons.len() < REASONS || facts.lost_reasons.contains_key(&reason) {
                            *facts.lost_reasons.entry(reason).or_default() += 1;
                        }
                    }
                }
            }
        }
    }
    let measured = facts.rows_measured.max(1) as f64;
    facts.mean_tokens = sum as f64 / measured;
    facts.cut_share = cut as f64 / measured;
    facts.histogram = lengths
        .into_iter()
        .map(|(up_to, rows)| TokenBucket { up_to, rows })
        .collect();
    Ok(())
}

/// A row's text and tokens, both completions of a pair counted as the longer one.
fn rendered(line: &str, recipe: Recipe, chat: &dyn LoadedChat) -> Result<(String, u64), String> {
    let row: Value = serde_json::from_str(line).map_err(|error| format!("no JSON: {error}"))?;
    let column = |name: &str| {
        row.get(name)
            .ok_or_else(|| format!("the column {name} is missing"))
    };
    let tools = match row.get(columns::TOOLS) {
        Some(Value::String(text)) => parsed(text, "tools")?,
        Some(other) => other.clone(),
        None => Value::Null,
    };
    let tools = match tools {
        Value::Array(list) if list.is_empty() => Value::Null,
        other => other,
    };
    let whole = |names: &[&str]| -> Result<(String, u64), String> {
        let mut messages = Vec::new();
        for name in names {
            messages.extend(messages_of(column(name)?)?);
        }
        let text = chat.render(&Value::Array(messages), &tools, false)?;
        let tokens = chat.count_tokens(&text)? as u64;
        Ok((text, tokens))
    };
    match recipe {
        Recipe::Sft => whole(&[columns::MESSAGES]),
        Recipe::Distillation => whole(&[columns::PROMPT, columns::COMPLETION]),
        Recipe::Dpo => {
            let chosen = whole(&[columns::PROMPT, columns::CHOSEN])?;
            let rejected = whole(&[columns::PROMPT, columns::REJECTED])?;
            Ok((chosen.0, chosen.1.max(rejected.1)))
        }
        Recipe::Grpo => {
            column(columns::CHECKS)?;
            let messages = messages_of(column(columns::PROMPT)?)?;
            let text = chat.render(&Value::Array(messages), &tools, true)?;
            let tokens = chat.count_tokens(&text)? as u64;
            Ok((text, tokens))
        }
    }
}

fn parsed(text: &str, what: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|_| format!("{what} is no JSON"))
}

/// Messages as chat templates read them: no null content, arguments as objects. As the scripts do it.
fn messages_of(raw: &Value) -> Result<Vec<Value>, String> {
    let list = raw.as_array().ok_or("messages are no list")?;
    list.iter()
        .map(|message| {
            let mut message = message.as_object().ok_or("a message is no object")?.clone();
            if message.get("content").is_none_or(Value::is_null) {
                message.insert("content".to_owned(), Value::String(String::new()));
            }
            message.retain(|_, value| !value.is_null());
            if let Some(calls) = message.get_mut("tool_calls").and_then(Value::as_array_mut) {
                for call in calls {
                    let arguments = call.pointer_mut("/function/arguments");
                    if let Some(arguments) = arguments
                        && let Value::String(text) = &*arguments
                    {
                        *arguments = parsed(text, "a call's arguments")?;
                    }
                }
            }
            Ok(Value::Object(message))
        })
        .collect()
}

fn shortened(text: &str) -> String {
    let count = text.chars().count();
    if count <= SAMPLE_CHARS {
        return text.to_owned();
    }
    let half = SAMPLE_CHARS / 2;
    let head: String = text.chars().take(half).collect();
    let tail: String = text.chars().skip(count - half).collect();
    format!("{head}\n… {} characters …\n{tail}", count - SAMPLE_CHARS)
}
