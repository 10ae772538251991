//! Preference pairs inside a task: a call that failed and the call that did it right.

use super::sft::{Segmenter, Step};
use super::{ChatMessage, ChatToolCall};
use crate::dedup::{jaccard, shingles};

/// How far behind the failure the right call may come (steps).
const REACH: usize = 4;

/// A prompt with a better and a worse completion.
pub(super) struct Pair {
    pub(super) prompt: Vec<ChatMessage>,
    pub(super) chosen: Vec<ChatMessage>,
    pub(super) rejected: Vec<ChatMessage>,
}

/// Finds calls that failed and were put right: the same tool, on the same thing, a few steps later, with success.
///
/// Both completions are the call alone: what the model said around the right one speaks of the failure, which the prompt
/// does not show.
pub(super) fn fixes(segmenter: &Segmenter<'_>, prompt: &ChatMessage, steps: &[Step]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    let mut used = vec![false; steps.len()];
    for (n, step) in steps.iter().enumerate() {
        let Some(wrong) = single(step).filter(|_| step.failed) else {
            continue;
        };
        let fix = steps
            .iter()
            .enumerate()
            .skip(n + 1)
            .take(REACH)
            .find(|(at, later)| {
                !used[*at]
                    && !later.failed
                    && later.messages.len() > 1
                    && single(later).is_some_and(|right| same_aim(wrong, right))
            });
        let Some((at, later)) = fix else { continue };
        let Some(before) = segmenter.before(prompt, &steps[..n]) else {
            continue;
        };
        used[at] = true;
        pairs.push(Pair {
            prompt: before,
            chosen: vec![call_alone(&later.messages[0])],
            rejected: vec![call_alone(&step.messages[0])],
        });
    }
    pairs
}

fn single(step: &Step) -> Option<&ChatToolCall> {
    match step.messages.first()?.tool_calls.as_deref() {
        Some([only]) => Some(only),
        _ => None,
    }
}

fn same_aim(wrong: &ChatToolCall, right: &ChatToolCall) -> bool {
    const LIKENESS: f64 = 0.15;
    if wrong.function.name != right.function.name || wrong.function.arguments == right.function.arguments {
        return false;
    }
    let path = |call: &ChatToolCall| -> Option<String> {
        let arguments: serde_json::Value = serde_json::from_str(&call.function.arguments).ok()?;
        Some(arguments.get("file_path")?.as_str()?.to_owned())
    };
    if let (Some(a), Some(b)) = (path(wrong), path(right)) {
        return a == b;
    }
    let (mut a, mut b) = (Vec::new(), Vec::new());
    shingles(&wrong.function.arguments, &mut a);
    shingles(&right.function.arguments, &mut b);
    jaccard(&a, &b) >= LIKENESS
}

fn call_alone(message: &ChatMessage) -> ChatMessage {
    ChatMessage {
        content: String::new(),
        ..message.clone()
    }
}
