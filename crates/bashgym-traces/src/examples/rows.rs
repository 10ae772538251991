//! The kinds of rows, and what one session gives of each.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::losses::{ExampleOptions, Losses};
use super::pairs::fixes;
use super::sft::{Conversation, Segmenter, metadata, schemas, tasks};
use super::{ChatMessage, Example, ExampleMetadata};
use crate::columns::RowKind;
use crate::error::TracesError;
use crate::model::Trace;
use crate::quality::{Judge, Label, Score, score_task, signals};

/// A prompt with a better and a worse completion, in conversational form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PreferenceRow {
    /// What both completions answer.
    pub prompt: Vec<ChatMessage>,
    /// The better completion.
    pub chosen: Vec<ChatMessage>,
    /// The worse completion.
    pub rejected: Vec<ChatMessage>,
    /// As [`Example::tools`].
    pub tools: String,
    /// Where the better completion came from.
    pub metadata: ExampleMetadata,
}

/// A prompt with the checks that a solution must pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RlvrRow {
    /// The task.
    pub prompt: Vec<ChatMessage>,
    /// What must hold afterwards; at least one is a command.
    pub checks: Vec<Check>,
    /// As [`Example::tools`].
    pub tools: String,
    /// Where the task came from.
    pub metadata: ExampleMetadata,
}

/// Something that must hold when a task is solved. Every field is always present.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What is looked at.
    pub kind: CheckKind,
    /// The shell command to run; empty for a file.
    pub command: String,
    /// The file that must be there; empty for a command.
    pub path: String,
    /// The exit status the command must have; 0 for a file.
    pub exit_status: i64,
}

/// See [`Check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// A command that passed when the agent had solved the task.
    Command,
    /// A file that the agent wrote on the way.
    File,
}

/// A prompt with the completion of the teacher, named in the metadata's `model`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DistillationRow {
    /// The task.
    pub prompt: Vec<ChatMessage>,
    /// What the teacher did: answers, tool calls and their results.
    pub completion: Vec<ChatMessage>,
    /// As [`Example::tools`].
    pub tools: String,
    /// Where it came from.
    pub metadata: ExampleMetadata,
}

/// A row that was made, as it will be written.
#[derive(Debug, Clone)]
pub(crate) struct MadeRow {
    pub(crate) kind: RowKind,
    pub(crate) json: String,
    pub(crate) score: f64,
    pub(crate) messages: u64,
    pub(crate) tool_calls: u64,
    /// The hash of the prompt in a plain form, to find the same task in another session; 0 for a short one.
    pub(crate) prompt: u64,
    pub(crate) truncated: bool,
}

/// How one task of a session was judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScoredTask {
    /// The number of the task in its session, from 0.
    pub segment: u32,
    /// The id of the rows made of it.
    pub example_id: String,
    /// Where its prompt is among the session's messages, from 0.
    #[serde(default)]
    pub first_message: usize,
    /// The score and its parts.
    #[serde(flatten)]
    pub score: Score,
}

/// Judges the tasks of a session that would give rows.
///
/// # Errors
///
/// [`TracesError::Encode`] when the session cannot be turned into rows.
pub fn score_session(trace: &Trace, label: Option<Label>) -> Result<Vec<ScoredTask>, TracesError> {
    let maker = RowMaker {
        options: &ExampleOptions::default(),
        kinds: &[],
        label,
        judge: None,
    };
    Ok(maker.session(trace)?.tasks)
}

/// All that one session gives.
#[derive(Debug, Default)]
pub(crate) struct SessionRows {
    pub(crate) rows: Vec<MadeRow>,
    pub(crate) tasks: Vec<ScoredTask>,
    pub(crate) losses: Losses,
}

/// What [`session_rows`] needs beside the session.
pub(crate) struct RowMaker<'a> {
    pub(crate) options: &'a ExampleOptions,
    pub(crate) kinds: &'a [RowKind],
    pub(crate) label: Option<Label>,
    pub(crate) judge: Option<&'a dyn Judge>,
}

impl RowMaker<'_> {
    /// Makes the rows of one session, which has passed the gate.
    ///
    /// Rows to imitate are made whatever their score, and only where someone wants them: pairs over sessions need the bad
    /// ones too. Whoever writes them drops those below the limit.
    pub(crate) fn session(&self, trace: &Trace) -> Result<SessionRows, TracesError> {
        let wants = |kind| self.kinds.contains(&kind);
        let mut out = SessionRows::default();
        let mut segmenter = Segmenter {
            options: self.options,
            losses: Losses::default(),
        };
        let mut tools: Option<String> = None;
        // Answers the person went back on, by prompt.
        let mut rewound: HashMap<u64, Vec<ChatMessage>> = HashMap::new();
        for (n, range) in tasks(&trace.messages).into_iter().enumerate() {
            let (task, after) = (&trace.messages[range.clone()], &trace.messages[range.end..]);
            let first = &task[0];
            if trace.is_subagent() && !self.options.include_subagents {
                segmenter.losses.tasks_of_subagents += 1;
                continue;
            }
            if first.copied {
                segmenter.losses.tasks_copied += 1;
                continue;
            }
            if first.rewound {
                segmenter.losses.tasks_rewound += 1;
                let mut aside = Segmenter {
                    options: self.options,
                    losses: Losses::default(),
                };
                if wants(RowKind::Preference)
                    && let Some((mut conversation, _)) = aside.conversation(task)
                {
                    let prompt = conversation.messages.remove(0);
                    rewound.insert(prompt_key(&prompt.content), conversation.messages);
                }
                continue;
            }
            let Some((conversation, steps)) = segmenter.conversation(task) else {
                continue;
            };
            let score = score_task(task, after, self.label, self.judge);
            let tools = tools.get_or_insert_with(|| schemas(trace)).clone();
            let metadata = metadata(trace, n, first, &conversation, score.value);
            out.tasks.push(ScoredTask {
                segment: metadata.segment,
                example_id: metadata.example_id.clone(),
                first_message: range.start,
                score: score.clone(),
            });
            let Conversation { messages, .. } = conversation;
            let Some(prompt) = messages.first().cloned() else {
                continue;
            };
            let key = prompt_key(&prompt.content);
            if wants(RowKind::Preference) {
                let mut pairs: Vec<PreferenceRow> = fixes(&segmenter, &prompt, &steps)
                    .into_iter()
                    .enumerate()
                    .map(|(k, pair)| PreferenceRow {
                        prompt: pair.prompt,
                        chosen: pair.chosen,
                        rejected: pair.rejected,
                        tools: tools.clone(),
                        metadata: ExampleMetadata {
                            example_id: format!("{}-{k}", metadata.example_id),
                            ..metadata.clone()
                        },
                    })
                    .collect();
                if let Some(rejected) = rewound.remove(&key)
                    && key != 0
                    && rejected[..] != messages[1..]
                {
                    pairs.push(PreferenceRow {
                        prompt: vec![prompt.clone()],
                        chosen: messages[1..].to_vec(),
                        rejected,
                        tools: tools.clone(),
                        metadata: ExampleMetadata {
                            example_id: format!("{}-rewound", metadata.example_id),
                            ..metadata.clone()
                        },
                    });
                }
                for pair in &pairs {
                    let sides = [&pair.prompt, &pair.chosen, &pair.rejected];
                    out.rows
                        .push(made(RowKind::Preference, pair, &metadata, 0, &sides)?);
                }
            }
            if wants(RowKind::Rlvr) {
                let facts = signals::read(task);
                if facts.passed.is_empty() {
                    segmenter.losses.tasks_without_check += 1;
                } else {
                    let row = RlvrRow {
                        prompt: vec![prompt.clone()],
                        checks: checks(facts),
                        tools: tools.clone(),
                        metadata: metadata.clone(),
                    };
                    out.rows
                        .push(made(RowKind::Rlvr, &row, &metadata, 0, &[&row.prompt])?);
                }
            }
            if wants(RowKind::Distillation) {
                let row = DistillationRow {
                    prompt: vec![prompt.clone()],
                    completion: messages[1..].to_vec(),
                    tools: tools.clone(),
                    metadata: metadata.clone(),
                };
                let sides = [&row.prompt, &row.completion];
                out.rows
                    .push(made(RowKind::Distillation, &row, &metadata, 0, &sides)?);
            }
            if wants(RowKind::Sft) || wants(RowKind::Preference) {
                let row = Example {
                    messages,
                    tools,
                    metadata,
                };
                out.rows
                    .push(made(RowKind::Sft, &row, &row.metadata, key, &[&row.messages])?);
            }
        }
        out.losses = segmenter.losses;
        Ok(out)
    }
}

fn made<T: Serialize>(
    kind: RowKind,
    row: &T,
    metadata: &ExampleMetadata,
    prompt: u64,
    messages: &[&Vec<ChatMessage>],
) -> Result<MadeRow, TracesError> {
    let all = || messages.iter().flat_map(|part| part.iter());
    Ok(MadeRow {
        kind,
        json: serde_json::to_string(row).map_err(TracesError::Encode)?,
        score: metadata.score,
        messages: all().count() as u64,
        tool_calls: all()
            .filter_map(|m| m.tool_calls.as_ref())
            .map(|c| c.len() as u64)
            .sum(),
        prompt,
        truncated: metadata.truncated,
    })
}

fn checks(facts: signals::Facts<'_>) -> Vec<Check> {
    let commands = facts.passed.into_iter().map(|command| Check {
        kind: CheckKind::Command,
        command,
        path: String::new(),
        exit_status: 0,
    });
    let files = facts.written.into_iter().map(|path| Check {
        kind: CheckKind::File,
        command: String::new(),
        path,
        exit_status: 0,
    });
    commands.chain(files).collect()
}

/// Returns a number that equal prompts share, whatever their spaces and case; 0 for one too short to name a task.
pub(crate) fn prompt_key(prompt: &str) -> u64 {
    const SHORT: usize = 20;
    let mut plain = String::with_capacity(prompt.len());
    for word in prompt.split_whitespace() {
        plain.push_str(&word.to_lowercase());
        plain.push(' ');
    }
    if plain.len() < SHORT {
        0
    } else {
        xxh3_64(plain.as_bytes()).max(1)
    }
}
