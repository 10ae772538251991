//! Whether a task reached its goal, from what the session itself shows.
//!
//! A tool error says little: an agent that meets a failing test and mends it did well, and one whose commands all succeed may
//! have done the wrong thing. So the parts of a score are signs of the goal: the tests after the last edit, what the person
//! said next, a commit that was kept, how the task ended, and a label where there is one. A part that the session says
//! nothing about is left out, not guessed. [`Judge`] is the seam for a model's opinion.

mod labels;
pub(crate) mod signals;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::labels::{Label, Labels};
use self::signals::{Commit, Reply, TestRun};
use crate::model::{Message, MessageKind};

/// A sign of how well a task went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PartKind {
    /// What the tests said that ran after the last edit.
    Tests,
    /// What the person typed next.
    Reply,
    /// A commit after the last edit.
    Commit,
    /// How the task ended: with an answer, interrupted, or with an error of the API.
    Ending,
    /// Whether the last tool calls worked.
    Tools,
    /// What a person said about the session with a label.
    Label,
    /// What a model said that was asked to judge.
    Judge,
}

impl PartKind {
    /// Returns the name used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tests => "tests",
            Self::Reply => "reply",
            Self::Commit => "commit",
            Self::Ending => "ending",
            Self::Tools => "tools",
            Self::Label => "label",
            Self::Judge => "judge",
        }
    }

    /// Returns how much the part counts beside the others.
    fn weight(self) -> f64 {
        match self {
            Self::Tests => 0.35,
            Self::Reply => 0.25,
            Self::Commit | Self::Ending => 0.15,
            Self::Tools => 0.05,
            Self::Judge => JUDGE_WEIGHT,
            // A label settles it; see `Score::of`.
            Self::Label => 1.0,
        }
    }
}

/// One part of a [`Score`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScorePart {
    /// Which sign it is.
    pub part: PartKind,
    /// From 0 (failed) to 1 (reached).
    pub value: f64,
    /// How much it counts beside the others.
    pub weight: f64,
    /// Why, in words.
    pub reason: String,
}

/// How sure it is that a task reached its goal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Score {
    /// From 0 (failed) to 1 (reached); 0.5 when the session does not tell.
    pub value: f64,
    /// What it is made of.
    pub parts: Vec<ScorePart>,
}

impl Score {
    /// Returns the weighted mean of the parts, drawn to 0.5 when there are few; a label decides alone.
    fn of(parts: Vec<ScorePart>) -> Self {
        let value = if let Some(label) = parts.iter().find(|p| p.part == PartKind::Label) {
            label.value
        } else {
            let weights: f64 = parts.iter().map(|p| p.weight).sum();
            let sum: f64 = parts.iter().map(|p| p.value * p.weight).sum();
            (sum + 0.5 * UNKNOWN_WEIGHT) / (weights + UNKNOWN_WEIGHT)
        };
        // Four digits are more than the signs are worth, and they print the same everywhere.
        Self {
            value: (value * 1e4).round() / 1e4,
            parts,
        }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.2}", self.value)?;
        for (n, part) in self.parts.iter().enumerate() {
            let lead = if n == 0 { " = " } else { "; " };
            write!(
                f,
                "{lead}{} {:.2} ({})",
                part.part.as_str(),
                part.value,
                part.reason
            )?;
        }
        Ok(())
    }
}

/// How much a model's opinion counts beside the signs of a session; see [`Score`].
pub const JUDGE_WEIGHT: f64 = 0.3;

/// What [`Score::of`] adds for what is not known, and about how much the signs of a task that ended count in sum.
const UNKNOWN_WEIGHT: f64 = 0.2;
const USUAL_SIGNS: f64 = 0.5;

/// Joins a model's opinion to the score of a row whose parts are no longer at hand.
///
/// A row keeps the value of its score only. The parts behind it are taken to count as much as those of a usual task: an ending,
/// tool calls, and a reply or tests. Where the parts are at hand, [`score_task`] with a [`Judge`] is exact.
pub fn join_judge(score: f64, judge: f64) -> f64 {
    let signs = USUAL_SIGNS + UNKNOWN_WEIGHT;
    let joined = (score * signs + judge.clamp(0.0, 1.0) * JUDGE_WEIGHT) / (signs + JUDGE_WEIGHT);
    (joined * 1e4).round() / 1e4
}

/// Gives a model's opinion of a task; it counts beside the signs of the session.
pub trait Judge {
    /// Returns a value from 0 to 1 with a reason, or `None` when it cannot tell.
    fn judge(&self, task: &[Message]) -> Option<(f64, String)>;
}

/// How tasks are judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct QualityOptions {
    /// Tasks with a lower score give no row to imitate; from 0 to 1.
    pub min_score: f64,
    /// How far apart the scores of two answers to one prompt must be to make a preference pair.
    pub min_preference_gap: f64,
}

impl Default for QualityOptions {
    fn default() -> Self {
        Self {
            min_score: 0.3,
            min_preference_gap: 0.25,
        }
    }
}

/// Judges a task by its own messages and what followed it.
///
/// `task` starts with its prompt; `after` are the messages of the session behind it.
pub fn score_task(
    task: &[Message],
    after: &[Message],
    label: Option<Label>,
    judge: Option<&dyn Judge>,
) -> Score {
    let mut parts = Vec::new();
    let mut add = |part: PartKind, value: f64, reason: String| {
        parts.push(ScorePart {
            part,
            value,
            weight: part.weight(),
            reason,
        });
    };
    if let Some(label) = label {
        let value = if label == Label::Good { 1.0 } else { 0.0 };
        add(PartKind::Label, value, format!("labelled {}", label.as_str()));
    }
    let facts = signals::read(task);
    match facts.tests_after_last_edit {
        Some(TestRun::Passed) => add(PartKind::Tests, 1.0, "the last test run passed".to_owned()),
        Some(TestRun::Failed) => add(PartKind::Tests, 0.0, "the last test run failed".to_owned()),
        None if facts.tests_before_last_edit => {
            add(
                PartKind::Tests,
                0.4,
                "tests ran, but not after the last edit".to_owned(),
            );
        }
        None => {}
    }
    match signals::reply(after) {
        Some(Reply::Thanks) => add(PartKind::Reply, 1.0, "the person was content".to_owned()),
        Some(Reply::Correction) => add(PartKind::Reply, 0.0, "the person corrected it".to_owned()),
        Some(Reply::Retry) => add(
            PartKind::Reply,
            0.1,
            "the person asked for the same again".to_owned(),
        ),
        Some(Reply::Next) => add(
            PartKind::Reply,
            0.7,
            "the person went on to something else".to_owned(),
        ),
        None => {}
    }
    match signals::commit(task, after) {
        Some(Commit::Kept) => add(
            PartKind::Commit,
            1.0,
            "the work was committed and kept".to_owned(),
        ),
        Some(Commit::Undone) => add(PartKind::Commit, 0.0, "the work was undone later".to_owned()),
        None => {}
    }
    let interrupted = task.iter().any(|m| m.kind == MessageKind::Interrupt);
    if interrupted {
        add(PartKind::Ending, 0.0, "the person interrupted it".to_owned());
    } else {
        match task.iter().rev().find(|m| m.kind != MessageKind::Injected) {
            Some(last) if last.kind == MessageKind::Synthetic => {
                add(
                    PartKind::Ending,
                    0.1,
                    "it ended with an error of the API".to_owned(),
                );
            }
            Some(last)
                if last.kind == MessageKind::Assistant
                    && last.tool_calls.is_empty()
                    && !last.text.trim().is_empty() =>
            {
                add(PartKind::Ending, 0.7, "it ended with an answer".to_owned());
            }
            Some(_) => add(
                PartKind::Ending,
                0.4,
                "it ended without a closing answer".to_owned(),
            ),
            None => {}
        }
    }
    if let Some((failed, looked_at)) = facts.last_results {
        let value = 1.0 - failed as f64 / looked_at as f64;
        add(
            PartKind::Tools,
            value,
            format!("{failed} of the last {looked_at} tool calls failed"),
        );
    }
    if let Some((value, reason)) = judge.and_then(|judge| judge.judge(task)) {
        add(PartKind::Judge, value.clamp(0.0, 1.0), reason);
    }
    Score::of(parts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Role, ToolCall, ToolResult};

    pub(super) fn prompt(text: &str) -> Message {
        Message::new(Role::User, MessageKind::Prompt, text.to_owned())
    }

    fn answer(text: &str) -> Message {
        Message::new(Role::Assistant, MessageKind::Assistant, text.to_owned())
    }

    fn call(name: &str, arguments: &str, output: &str, is_error: bool) -> [Message; 2] {
        let mut asked = answer("");
        asked.tool_calls = vec![ToolCall {
            id: "c".to_owned(),
            name: name.to_owned(),
            arguments: serde_json::value::RawValue::from_string(arguments.to_owned()).unwrap(),
        }];
        let mut got = Message::new(Role::Tool, MessageKind::ToolResult, String::new());
        got.tool_result = Some(ToolResult {
            tool_call_id: "c".to_owned(),
            content: output.to_owned(),
            is_error,
            exit_status: None,
        });
        [asked, got]
    }

    fn task(calls: &[[Message; 2]], last: &str) -> Vec<Message> {
        let mut all = vec![prompt("mend the parser")];
        all.extend(calls.iter().flatten().cloned());
        all.push(answer(last));
        all
    }

    fn value(task: &[Message], after: &[Message]) -> f64 {
        score_task(task, after, None, None).value
    }

    const EDIT: &str = r#"{"file_path":"/a/b.rs","old_string":"x","new_string":"y"}"#;
    const TEST: &str = r#"{"command":"cargo test -p parser 2>&1 | tail -20"}"#;

    #[test]
    fn clean_commands_that_miss_the_goal_score_below_a_failure_that_was_mended() {
        let clean_but_wrong = task(
            &[
                call("Edit", EDIT, "ok", false),
                call("Bash", TEST, "test result: FAILED. 3 passed; 1 failed", false),
            ],
            "Done.",
        );
        let mended = task(
            &[
                call("Bash", TEST, "error: test failed", true),
                call("Edit", EDIT, "ok", false),
                call("Bash", TEST, "test result: ok. 4 passed; 0 failed", false),
            ],
            "Done.",
        );
        let after = [prompt("no, that is wrong")];
        assert!(value(&clean_but_wrong, &after) < 0.3);
        assert!(value(&mended, &[prompt("thanks!")]) > 0.8);
    }

    #[test]
    fn tests_before_the_last_edit_prove_nothing() {
        let calls = [
            call("Bash", TEST, "test result: ok. 4 passed; 0 failed", false),
            call("Edit", EDIT, "ok", false),
        ];
        let score = score_task(&task(&calls, "Done."), &[], None, None);
        let tests = score.parts.iter().find(|p| p.part == PartKind::Tests).unwrap();
        assert!(tests.value < 0.5, "{score}");
    }

    #[test]
    fn a_label_decides_alone_and_the_parts_are_still_told() {
        let good = task(&[call("Bash", TEST, "ok, 3 passed", false)], "Done.");
        let score = score_task(&good, &[], Some(Label::Bad), None);
        assert!(score.value.abs() < f64::EPSILON);
        assert!(score.parts.len() >= 3);
        assert!(score.to_string().contains("labelled bad"), "{score}");
    }

    #[test]
    fn interrupted_and_broken_off_tasks_score_low_and_an_unknown_end_stays_in_the_middle() {
        let mut interrupted = task(&[], "I will begin");
        interrupted.push(Message::new(Role::User, MessageKind::Interrupt, String::new()));
        let mut broken = task(&[], "");
        broken.push(Message::new(
            Role::Assistant,
            MessageKind::Synthetic,
            "API Error: 529".to_owned(),
        ));
        assert!(value(&interrupted, &[]) < 0.4);
        assert!(value(&broken, &[]) < 0.4);
        assert!(value(&[prompt("x")], &[]) <= 0.5);
    }

    #[test]
    fn a_judge_joins_a_bare_score_as_it_joins_the_parts_of_a_usual_task() {
        struct Strict;
        impl Judge for Strict {
            fn judge(&self, _: &[Message]) -> Option<(f64, String)> {
                Some((0.25, "hardly".to_owned()))
            }
        }
        let (usual, after) = (
            task(&[call("Bash", TEST, "error", true)], "Done."),
            [prompt("no, that is wrong")],
        );
        let bare = score_task(&usual, &after, None, None);
        let exact = score_task(&usual, &after, None, Some(&Strict)).value;
        assert!((join_judge(bare.value, 0.25) - exact).abs() < 0.05);
        assert!(join_judge(0.5, 1.0) > 0.5 && join_judge(0.5, 0.0) < 0.5);
    }

    #[test]
    fn a_judge_counts_beside_the_signs() {
        struct Strict;
        impl Judge for Strict {
            fn judge(&self, _: &[Message]) -> Option<(f64, String)> {
                Some((0.0, "did not do what was asked".to_owned()))
            }
        }
        let plain = task(&[], "Done.");
        let judged = score_task(&plain, &[], None, Some(&Strict));
        assert!(judged.value < value(&plain, &[]));
        assert!(judged.parts.iter().any(|p| p.part == PartKind::Judge));
    }
}
