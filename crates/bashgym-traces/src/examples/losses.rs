//! How examples are made, and what is lost on the way.

use serde::{Deserialize, Serialize};

/// How examples are made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExampleOptions {
    /// The most an example may hold over all its messages (characters).
    pub max_chars: usize,
    /// The most an example may hold over all its messages, by [`crate::estimate_tokens`] (tokens).
    pub max_tokens: usize,
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
            max_tokens: 8_192,
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
    /// Tasks of which no step fits into `max_chars` and `max_tokens`.
    pub tasks_too_long: u64,
    /// Tasks of subagents, when those are not wanted.
    pub tasks_of_subagents: u64,
    /// Tasks with a lower score than was asked for.
    #[serde(default)]
    pub tasks_below_score: u64,
    /// Tasks without a check that passed, where checks are asked for.
    #[serde(default)]
    pub tasks_without_check: u64,
    /// Examples equal to an earlier one.
    pub duplicate_rows: u64,
    /// Examples that say almost the same as an earlier one.
    #[serde(default)]
    pub near_duplicate_rows: u64,
    /// Examples that hold an item of an evaluation set.
    #[serde(default)]
    pub contaminated_rows: u64,
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

impl Losses {
    /// Adds the losses of another session.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            tasks_without_answer,
            tasks_copied,
            tasks_rewound,
            tasks_too_long,
            tasks_of_subagents,
            tasks_below_score,
            tasks_without_check,
            duplicate_rows,
            near_duplicate_rows,
            contaminated_rows,
            tool_outputs_cut,
            texts_cut,
            steps_left_out,
            results_without_call,
            calls_without_result,
            notes_dropped,
        } = other;
        self.tasks_without_answer += tasks_without_answer;
        self.tasks_copied += tasks_copied;
        self.tasks_rewound += tasks_rewound;
        self.tasks_too_long += tasks_too_long;
        self.tasks_of_subagents += tasks_of_subagents;
        self.tasks_below_score += tasks_below_score;
        self.tasks_without_check += tasks_without_check;
        self.duplicate_rows += duplicate_rows;
        self.near_duplicate_rows += near_duplicate_rows;
        self.contaminated_rows += contaminated_rows;
        self.tool_outputs_cut += tool_outputs_cut;
        self.texts_cut += texts_cut;
        self.steps_left_out += steps_left_out;
        self.results_without_call += results_without_call;
        self.calls_without_result += calls_without_result;
        self.notes_dropped += notes_dropped;
    }

    pub(super) fn cuts(&self) -> u64 {
        self.tool_outputs_cut + self.texts_cut + self.steps_left_out
    }
}
