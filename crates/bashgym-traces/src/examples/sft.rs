//! Cuts a session into tasks and makes an example of each.

use std::collections::HashMap;
use std::ops::Range;

use super::budget::{Size, fit, shorten};
use super::losses::{ExampleOptions, Losses};
use super::tools::tool_schemas;
use super::{ChatFunction, ChatMessage, ChatToolCall, ExampleMetadata};
use crate::model::{Message, MessageKind, Role, Trace};
use crate::quality::signals;

/// An answer or call of the model with the results it got.
pub(super) struct Step {
    pub(super) messages: Vec<ChatMessage>,
    /// Whether one of its calls failed.
    pub(super) failed: bool,
    size: Size,
}

/// A task as a conversation.
pub(crate) struct Conversation {
    /// The prompt, then the answers and results.
    pub(crate) messages: Vec<ChatMessage>,
    /// About how many tokens it is.
    pub(crate) tokens: u64,
    /// Whether something of it was cut.
    pub(crate) truncated: bool,
}

/// Makes conversations of one session's tasks. What it reads has passed the gate.
pub(crate) struct Segmenter<'a> {
    pub(crate) options: &'a ExampleOptions,
    pub(crate) losses: Losses,
}

impl Segmenter<'_> {
    /// Returns the whole conversation of a task, and its steps for whoever looks for pairs in them.
    pub(super) fn conversation(&mut self, task: &[Message]) -> Option<(Conversation, Vec<Step>)> {
        let cuts = self.losses.cuts();
        let text_limit = self.options.max_chars / 2;
        let typed: Vec<&str> = task
            .iter()
            .take_while(|m| m.role == Role::User)
            .filter(|m| m.kind.opens_segment())
            .map(|m| m.text.as_str())
            .collect();
        let mut prompt = typed.join("\n\n");
        self.losses.texts_cut += u64::from(shorten(&mut prompt, text_limit));

        let steps = self.steps(task, text_limit);
        if steps.is_empty() {
            self.losses.tasks_without_answer += 1;
            return None;
        }
        let mut size = Size::of(&prompt);
        let room = self.room().less(size);
        let sizes: Vec<Size> = steps.iter().map(|step| step.size).collect();
        let Some((from, to)) = fit(&sizes, room) else {
            self.losses.tasks_too_long += 1;
            return None;
        };
        let left_out = steps.len() - (to - from);
        if left_out > 0 {
            self.losses.steps_left_out += left_out as u64;
            let steps = if left_out == 1 { "step" } else { "steps" };
            prompt.push_str(&format_note(left_out, steps));
        }
        for step in &sizes[from..to] {
            size.add(*step);
        }
        let mut messages = vec![plain(Role::User, prompt)];
        messages.extend(steps[from..to].iter().flat_map(|step| step.messages.clone()));
        // The model learns from its own turns; results after the last one teach nothing.
        while messages.last().is_some_and(|m| m.role == Role::Tool.as_str()) {
            messages.pop();
        }
        let conversation = Conversation {
            messages,
            tokens: size.tokens as u64,
            truncated: self.losses.cuts() > cuts,
        };
        Some((conversation, steps))
    }

    /// Returns the prompt with as many of the first `count` steps as fit, the last ones first.
    pub(super) fn before(&self, prompt: &ChatMessage, steps: &[Step]) -> Option<Vec<ChatMessage>> {
        let mut messages = vec![prompt.clone()];
        if steps.is_empty() {
            return Some(messages);
        }
        let sizes: Vec<Size> = steps.iter().map(|step| step.size).collect();
        let room = self.room().less(Size::of(&prompt.content));
        let (from, to) = fit(&sizes, room)?;
        if to < steps.len() {
            // What comes right before a step cannot be left out.
            return None;
        }
        if from > 0 {
            let noun = if from == 1 { "step" } else { "steps" };
            messages[0].content.push_str(&format_note(from, noun));
        }
        messages.extend(steps[from..].iter().flat_map(|step| step.messages.clone()));
        Some(messages)
    }

    fn room(&self) -> Size {
        Size {
            chars: self.options.max_chars,
            tokens: self.options.max_tokens,
        }
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
                        Some(Step { messages, size, .. })
                            if messages.len() == 1 && messages[0].tool_calls.is_none() =>
                        {
                            let earlier = &mut messages[0];
                            if !earlier.content.is_empty() && !answer.content.is_empty() {
                                earlier.content.push_str("\n\n");
                            }
                            earlier.content.push_str(&answer.content);
                            earlier.tool_calls = answer.tool_calls;
                            size.add(cost);
                        }
                        _ => steps.push(Step {
                            messages: vec![answer],
                            failed: false,
                            size: cost,
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
                    let mut content = result.content.clone();
                    let limit = self.options.max_tool_output_chars;
                    self.losses.tool_outputs_cut += u64::from(shorten(&mut content, limit));
                    let mut answer = plain(Role::Tool, content);
                    answer.tool_call_id = Some(result.tool_call_id.clone());
                    answer.name = Some(name.to_owned());
                    // A result may come after the next answer; it stands with its call all the same.
                    let step = &mut steps[at];
                    step.size.add(cost(&answer));
                    step.failed |= signals::failed(result);
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
            steps[at].size.add(cost(&answer));
            steps[at].messages.push(answer);
        }
        steps
    }

    fn answer(&mut self, message: &Message, text_limit: usize) -> Option<ChatMessage> {
        let mut content = String::new();
        if self.options.include_thinking
            && let Some(thinking) = message.thinking.as_deref().filter(|t| !t.is_empty())
        {
            let mut thinking = thinking.to_owned();
            self.losses.texts_cut += u64::from(shorten(&mut thinking, text_limit / 2));
            content = format!("<think>\n{thinking}\n</think>\n\n");
        }
        let mut text = message.text.clone();
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
                    arguments: call.arguments.get().to_owned(),
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
pub(super) fn tasks(messages: &[Message]) -> Vec<Range<usize>> {
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
    starts.iter().zip(ends).map(|(&start, end)| start..end).collect()
}

/// Returns where a row of a task comes from.
pub(super) fn metadata(
    trace: &Trace,
    n: usize,
    first: &Message,
    conversation: &Conversation,
    score: f64,
) -> ExampleMetadata {
    let started_at = first.timestamp.map(|t| t.to_string()).unwrap_or_default();
    let anchor = first.uuid.clone().unwrap_or_else(|| format!("{n}:{started_at}"));
    ExampleMetadata {
        example_id: example_id(&trace.session_id, &anchor),
        session_id: trace.session_id.clone(),
        agent: trace.agent.as_str().to_owned(),
        model: trace.model().unwrap_or_default().to_owned(),
        segment: u32::try_from(n).unwrap_or(u32::MAX),
        started_at,
        is_subagent: trace.is_subagent(),
        score,
        tokens: conversation.tokens,
        truncated: conversation.truncated,
    }
}

/// Returns the schemas of the session's tools.
pub(super) fn schemas(trace: &Trace) -> String {
    tool_schemas(trace)
}

fn format_note(left_out: usize, steps: &str) -> String {
    format!("\n\n[... {left_out} {steps} left out ...]")
}

pub(super) fn plain(role: Role, content: String) -> ChatMessage {
    ChatMessage {
        role: role.as_str().to_owned(),
        content,
        tool_calls: None,
        tool_call_id: None,
        name: None,
    }
}

fn cost(message: &ChatMessage) -> Size {
    let mut size = Size::of(&message.content);
    for call in message.tool_calls.iter().flatten() {
        size.add(Size::of(&call.function.name));
        size.add(Size::of(&call.function.arguments));
    }
    size
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
