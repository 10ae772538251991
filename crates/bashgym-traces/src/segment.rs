//! Cuts a session into tasks and makes an example of each.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use crate::example::{ChatFunction, ChatMessage, ChatToolCall, Example, ExampleMetadata, tool_schemas};
use crate::gate::Gate;
use crate::model::{Message, MessageKind, Role, Trace};

/// How examples are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExampleOptions {
    /// The most an example may hold over all its messages (characters).
    pub max_chars: usize,
    /// The most one tool output may hold (characters).
    pub max_tool_output_chars: usize,
    /// Whether the model's visible reasoning goes into the answer, between `<think>` and `</think>`.
    pub include_thinking: bool,
    /// Whether subagents' tasks become examples.
    pub include_subagents: bool,
}

impl Default for ExampleOptions {
    fn default() -> Self {
        Self {
            max_chars: 16_000,
            max_tool_output_chars: 2_000,
            include_thinking: false,
            include_subagents: true,
        }
    }
}

/// What was left out or cut while examples were made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Losses {
    /// Tasks without an answer of the model.
    pub tasks_without_answer: u64,
    /// Tasks copied from another session of the same import.
    pub tasks_copied: u64,
    /// Tasks the person went back on.
    pub tasks_rewound: u64,
    /// Tasks of which no step fits into `max_chars`.
    pub tasks_too_long: u64,
    /// Tasks of subagents, when those are not wanted.
    pub tasks_of_subagents: u64,
    /// Examples equal to an earlier one.
    pub duplicate_rows: u64,
    /// Tool outputs that were cut; the text says so.
    pub tool_outputs_cut: u64,
    /// Prompts and answers that were cut; the text says so.
    pub texts_cut: u64,
    /// Steps left out of the middle of a task; the prompt says so.
    pub steps_left_out: u64,
    /// Tool results whose call is not in the task.
    pub results_without_call: u64,
    /// Tool calls whose result the log does not have; the row says so.
    pub calls_without_result: u64,
    /// Notes of the agent's program that were dropped from the conversation.
    pub notes_dropped: u64,
}

/// An answer or call of the model with the results it got.
struct Step {
    messages: Vec<ChatMessage>,
    chars: usize,
}

pub(crate) struct Segmenter<'a> {
    pub(crate) options: &'a ExampleOptions,
    pub(crate) gate: &'a mut Gate,
    pub(crate) losses: &'a mut Losses,
}

impl Segmenter<'_> {
    /// Hands each example of the session to `take`.
    pub(crate) fn run<E>(
        &mut self,
        trace: &Trace,
        mut take: impl FnMut(Example) -> Result<(), E>,
    ) -> Result<(), E> {
        self.gate.learn(trace);
        let mut tools = None;
        let session = self.gate.text(&trace.session_id).into_owned();
        for (n, task) in tasks(&trace.messages).into_iter().enumerate() {
            if trace.is_subagent() && !self.options.include_subagents {
                self.losses.tasks_of_subagents += 1;
                continue;
            }
            let first = &task[0];
            if first.copied {
                self.losses.tasks_copied += 1;
                continue;
            }
            if first.rewound {
                self.losses.tasks_rewound += 1;
                continue;
            }
            let Some(messages) = self.task(task) else { continue };
            let tools = tools.get_or_insert_with(|| tool_schemas(trace)).clone();
            let started_at = first.timestamp.map(|t| t.to_string()).unwrap_or_default();
            let anchor = first.uuid.clone().unwrap_or_else(|| format!("{n}:{started_at}"));
            take(Example {
                messages,
                tools,
                metadata: ExampleMetadata {
                    example_id: example_id(&trace.session_id, &anchor),
                    session_id: session.clone(),
                    agent: trace.agent.as_str().to_owned(),
                    model: trace.model().unwrap_or_default().to_owned(),
                    segment: u32::try_from(n).unwrap_or(u32::MAX),
                    started_at,
                    is_subagent: trace.is_subagent(),
                },
            })?;
        }
        Ok(())
    }

    fn task(&mut self, task: &[Message]) -> Option<Vec<ChatMessage>> {
        let text_limit = self.options.max_chars / 2;
        let typed: Vec<&str> = task
            .iter()
            .take_while(|m| m.role == Role::User)
            .filter(|m| m.kind.opens_segment())
            .map(|m| m.text.as_str())
            .collect();
        let mut prompt = self.gate.text(&typed.join("\n\n")).into_owned();
        self.losses.texts_cut += u64::from(shorten(&mut prompt, text_limit));

        let steps = self.steps(task, text_limit);
        if steps.is_empty() {
            self.losses.tasks_without_answer += 1;
            return None;
        }
        let room = self.options.max_chars.saturating_sub(chars(&prompt));
        let Some((from, to)) = fit(&steps, room) else {
            self.losses.tasks_too_long += 1;
            return None;
        };
        let left_out = steps.len() - (to - from);
        if left_out > 0 {
            self.losses.steps_left_out += left_out as u64;
            let steps = if left_out == 1 { "step" } else { "steps" };
            prompt.push_str(&format_note(left_out, steps));
        }
        let mut messages = vec![plain(Role::User, prompt)];
        messages.extend(
            steps
                .into_iter()
                .take(to)
                .skip(from)
                .flat_map(|step| step.messages),
        );
        // The model learns from its own turns; results after the last one teach nothing.
        while messages.last().is_some_and(|m| m.role == Role::Tool.as_str()) {
            messages.pop();
        }
        Some(messages)
    }

    fn steps(&mut self, task: &[Message], text_limit: usize) -> Vec<Step> {
        let mut steps: Vec<Step> = Vec::new();
        let mut calls: HashMap<&str, (usize, &str)> = HashMap::new();
        for message in task {
            match message.kind {
                MessageKind::Assistant => {
                    let Some(answer) = self.answer(message, text_limit) else {
                        continue;
                    };
                    let cost = cost(&answer);
                    match steps.last_mut() {
                        // Two answers in a row are one turn for a chat template.
                        Some(Step { messages, chars })
                            if messages.len() == 1 && messages[0].tool_calls.is_none() =>
                        {
                            let earlier = &mut messages[0];
                            if !earlier.content.is_empty() && !answer.content.is_empty() {
                                earlier.content.push_str("\n\n");
                            }
                            earlier.content.push_str(&answer.content);
                            earlier.tool_calls = answer.tool_calls;
                            *chars += cost;
                        }
                        _ => steps.push(Step {
                            messages: vec![answer],
                            chars: cost,
                        }),
                    }
                    for call in &message.tool_calls {
                        calls.insert(&call.id, (steps.len() - 1, &call.name));
                    }
                }
                MessageKind::ToolResult => {
                    let Some(result) = &message.tool_result else {
                        continue;
                    };
                    let Some((at, name)) = calls.remove(result.tool_call_id.as_str()) else {
                        self.losses.results_without_call += 1;
                        continue;
                    };
                    let mut content = self.gate.text(&result.content).into_owned();
                    let limit = self.options.max_tool_output_chars;
                    self.losses.tool_outputs_cut += u64::from(shorten(&mut content, limit));
                    let mut answer = plain(Role::Tool, content);
                    answer.tool_call_id = Some(result.tool_call_id.clone());
                    answer.name = Some(name.to_owned());
                    // A result may come after the next answer; it stands with its call all the same.
                    let step = &mut steps[at];
                    step.chars += cost(&answer);
                    step.messages.push(answer);
                }
                kind if kind.opens_segment() => {}
                _ => self.losses.notes_dropped += 1,
            }
        }
        // Every call has an answer in a chat, except those of the last turn.
        let last = steps.len().saturating_sub(1);
        let mut open: Vec<_> = calls.into_iter().filter(|(_, (at, _))| *at < last).collect();
        open.sort_unstable();
        for (id, (at, name)) in open {
            self.losses.calls_without_result += 1;
            let mut answer = plain(Role::Tool, "[no result in the log]".to_owned());
            answer.tool_call_id = Some(id.to_owned());
            answer.name = Some(name.to_owned());
            steps[at].chars += cost(&answer);
            steps[at].messages.push(answer);
        }
        steps
    }

    fn answer(&mut self, message: &Message, text_limit: usize) -> Option<ChatMessage> {
        let mut content = String::new();
        if self.options.include_thinking
            && let Some(thinking) = message.thinking.as_deref().filter(|t| !t.is_empty())
        {
            let mut thinking = self.gate.text(thinking).into_owned();
            self.losses.texts_cut += u64::from(shorten(&mut thinking, text_limit / 2));
            content = format!("<think>\n{thinking}\n</think>\n\n");
        }
        let mut text = self.gate.text(&message.text).into_owned();
        self.losses.texts_cut += u64::from(shorten(&mut text, text_limit));
        content.push_str(&text);
        if content.trim().is_empty() && message.tool_calls.is_empty() {
            return None;
        }
        let mut answer = plain(Role::Assistant, content);
        if !message.tool_calls.is_empty() {
            let calls = message.tool_calls.iter().map(|call| ChatToolCall {
                id: call.id.clone(),
                kind: "function".to_owned(),
                function: ChatFunction {
                    name: call.name.clone(),
                    arguments: self.gate.json(call.arguments.get()).into_owned(),
                },
            });
            answer.tool_calls = Some(calls.collect());
        }
        Some(answer)
    }
}

/// Cuts the messages into tasks: a typed prompt, a subagent's order or a command, and what follows it.
///
/// A prompt that got no answer before the next one is part of the next task.
fn tasks(messages: &[Message]) -> Vec<&[Message]> {
    let mut starts: Vec<usize> = Vec::new();
    let mut answered = true;
    for (at, message) in messages.iter().enumerate() {
        if message.kind.opens_segment() {
            let joins = !answered
                && message.kind == MessageKind::Prompt
                && starts.last().is_some_and(|&s| {
                    let earlier = &messages[s];
                    earlier.kind == MessageKind::Prompt
                        && (earlier.copied, earlier.rewound) == (message.copied, message.rewound)
                        && messages[s..at].iter().all(|m| m.kind == MessageKind::Prompt)
                });
            if !joins {
                starts.push(at);
            }
            answered = false;
        } else if message.kind == MessageKind::Assistant {
            answered = true;
        }
    }
    let ends = starts.iter().skip(1).copied().chain([messages.len()]);
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| &messages[start..end])
        .collect()
}

/// Chooses the steps that fit: the last one that does, and as many right before it as there is room for.
fn fit(steps: &[Step], room: usize) -> Option<(usize, usize)> {
    const NOTE: usize = 48;
    if steps.iter().map(|s| s.chars).sum::<usize>() <= room {
        return Some((0, steps.len()));
    }
    let room = room.saturating_sub(NOTE);
    let last = steps.iter().rposition(|s| s.chars <= room)?;
    let mut left = room - steps[last].chars;
    let mut from = last;
    while from > 0 && steps[from - 1].chars <= left {
        from -= 1;
        left -= steps[from].chars;
    }
    Some((from, last + 1))
}

fn format_note(left_out: usize, steps: &str) -> String {
    format!("\n\n[... {left_out} {steps} left out ...]")
}

fn plain(role: Role, content: String) -> ChatMessage {
    ChatMessage {
        role: role.as_str().to_owned(),
        content,
        tool_calls: None,
        tool_call_id: None,
        name: None,
    }
}

fn chars(text: &str) -> usize {
    text.chars().count()
}

fn cost(message: &ChatMessage) -> usize {
    let calls = message.tool_calls.iter().flatten();
    chars(&message.content)
        + calls
            .map(|c| chars(&c.function.name) + chars(&c.function.arguments))
            .sum::<usize>()
}

/// Cuts the middle out of a text that is longer than `limit` characters and says so in its place.
fn shorten(text: &mut String, limit: usize) -> bool {
    if text.len() <= limit {
        return false;
    }
    let length = chars(text);
    if length <= limit {
        return false;
    }
    let head = limit * 2 / 3;
    let tail = limit - head;
    let at = |n: usize| text.char_indices().nth(n).map_or(text.len(), |(at, _)| at);
    let (start, end) = (at(head), at(length - tail));
    let note = format!("\n[... {} characters left out ...]\n", length - limit);
    text.replace_range(start..end, &note);
    true
}

fn example_id(session: &str, anchor: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(session.as_bytes())
        .update(&[0])
        .update(anchor.as_bytes());
    let hash = hasher.finalize();
    hex::encode(&hash.as_bytes()[..8])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(chars: usize) -> Step {
        Step {
            messages: Vec::new(),
            chars,
        }
    }

    #[test]
    fn the_closing_steps_are_kept() {
        assert_eq!(fit(&[step(10), step(10)], 20), Some((0, 2)));
        assert_eq!(fit(&[step(60), step(60), step(60)], 170), Some((1, 3)));
        assert_eq!(fit(&[step(10), step(900)], 200), Some((0, 1)));
        assert_eq!(fit(&[step(900)], 200), None);
    }

    #[test]
    fn long_texts_lose_their_middle_and_say_so() {
        let mut text = "é".repeat(100);
        assert!(shorten(&mut text, 30));
        assert_eq!(
            text,
            format!(
                "{}\n[... 70 characters left out ...]\n{}",
                "é".repeat(20),
                "é".repeat(10)
            )
        );
        let mut short = "é".repeat(30);
        assert!(!shorten(&mut short, 30));
    }
}
