//! What happened in a session, step by step. Everything here has passed the gate.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use bashgym_traces::{
    Agent, Gate, ImportEvent, ImportOptions, Message, ScoredTask, SessionCounts, SessionFile, TokenUsage,
    Trace, TracesError, clean_facts, clean_message, find_session_files, import, score_session,
};
use jiff::Timestamp;

use crate::CoreError;

/// Texts longer than this are cut for reading (bytes).
const LONGEST_TEXT: usize = 16 * 1024;

/// A text that may be cut.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cut {
    /// Its beginning.
    pub text: String,
    /// How many bytes are left out at its end.
    pub left_out: usize,
}

impl Cut {
    fn of(mut text: String) -> Self {
        let whole = text.len();
        text.truncate(text.floor_char_boundary(LONGEST_TEXT));
        Self {
            left_out: whole - text.len(),
            text,
        }
    }
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepCall {
    /// The id that its result names.
    pub id: String,
    /// The tool.
    pub name: String,
    /// The JSON text of its arguments.
    pub arguments: Cut,
}

/// What a call gave back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepResult {
    /// The call.
    pub call_id: String,
    /// What the model saw of it.
    pub content: Cut,
    /// Whether the log marks it as failed.
    pub is_error: bool,
    /// The exit status of a command, where the log tells.
    pub exit_status: Option<i32>,
}

/// One message of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Its number, from 1 without a gap.
    pub number: usize,
    /// `system`, `user`, `assistant` or `tool`.
    pub role: &'static str,
    /// What it really is; see [`bashgym_traces::MessageKind`].
    pub kind: &'static str,
    /// The text.
    pub text: Cut,
    /// The model's visible reasoning.
    pub thinking: Option<Cut>,
    /// Calls of tools.
    pub calls: Vec<StepCall>,
    /// What a call gave back.
    pub result: Option<StepResult>,
    /// When it was written.
    pub at: Option<Timestamp>,
    /// Whether the person went back and replaced it.
    pub rewound: bool,
    /// Whether it was copied here from another session.
    pub copied: bool,
}

impl Step {
    fn new(index: usize, message: Message) -> Self {
        let call = |call: bashgym_traces::ToolCall| StepCall {
            id: call.id,
            name: call.name,
            arguments: Cut::of(call.arguments.get().to_owned()),
        };
        Self {
            number: index + 1,
            role: message.role.as_str(),
            kind: message.kind.as_str(),
            text: Cut::of(message.text),
            thinking: message.thinking.map(Cut::of),
            calls: message.tool_calls.into_iter().map(call).collect(),
            result: message.tool_result.map(|result| StepResult {
                call_id: result.tool_call_id,
                content: Cut::of(result.content),
                is_error: result.is_error,
                exit_status: result.exit_status,
            }),
            at: message.timestamp,
            rewound: message.rewound,
            copied: message.copied,
        }
    }
}

/// What is known of one conversation of a session: its own, or a subagent's.
#[derive(Debug, Clone, PartialEq)]
pub struct Conversation {
    /// The session's id, as rows name it.
    pub session_id: String,
    /// The session that started this subagent.
    pub parent_session_id: Option<String>,
    /// The agent.
    pub agent: Agent,
    /// The version of the agent's program.
    pub agent_version: Option<String>,
    /// Models that answered.
    pub models: Vec<String>,
    /// The folder it worked in.
    pub cwd: Option<String>,
    /// The time of the first record.
    pub started_at: Option<Timestamp>,
    /// The time of the last record.
    pub ended_at: Option<Timestamp>,
    /// How many steps it has.
    pub steps: usize,
    /// Tokens, each answer counted once.
    pub usage: TokenUsage,
    /// What happened, counted.
    pub counts: SessionCounts,
    /// How each task was judged that would give rows.
    pub tasks: Vec<ScoredTask>,
}

/// Where a session's subagents are kept, when they are in files of their own.
///
/// # Source
/// Claude Code writes `<session>/subagents/agent-*.jsonl` beside `<session>.jsonl`.
pub fn subagents_of(file: &Path) -> PathBuf {
    file.with_extension("").join("subagents")
}

/// A session that was read: its own conversation first, then its subagents'.
#[derive(Debug)]
pub struct Timeline {
    traces: Vec<Trace>,
    gate: Gate,
}

impl Timeline {
    /// Reads a session. `session_id` picks one where the file holds many; `subagents` is a folder of more to read with
    /// it.
    ///
    /// # Errors
    /// [`CoreError::Traces`] when the file cannot be read, or no session is in it.
    pub fn read(
        file: &Path,
        session_id: Option<&str>,
        subagents: Option<&Path>,
        gate: Gate,
    ) -> Result<Self, CoreError> {
        let mut files = find_session_files(&[file.to_path_buf()])?;
        files.retain(|one| session_id.is_none() || one.session_id.as_deref() == session_id);
        if let Some(folder) = subagents {
            files.extend(find_session_files(&[folder.to_path_buf()])?);
        }
        let mut timeline = Self {
            traces: traces_of(&files)?,
            gate,
        };
        if timeline.traces.is_empty() {
            return Err(TracesError::PathNotFound {
                path: file.to_path_buf(),
            }
            .into());
        }
        for trace in &mut timeline.traces {
            clean_facts(&mut timeline.gate, trace);
        }
        Ok(timeline)
    }

    /// How many conversations there are.
    pub fn conversations(&self) -> usize {
        self.traces.len()
    }

    /// What is known of each conversation. Cleans every message: the scores are those a build gives.
    ///
    /// # Errors
    /// [`CoreError::Traces`] when a message cannot be cleaned.
    pub fn overview(mut self) -> Result<Vec<Conversation>, CoreError> {
        let gate = &mut self.gate;
        let about = |mut trace: Trace| {
            for message in &mut trace.messages {
                clean_message(gate, message)?;
            }
            let tasks = score_session(&trace, None)?;
            Ok(Conversation {
                session_id: trace.session_id,
                parent_session_id: trace.parent_session_id,
                agent: trace.agent,
                agent_version: trace.agent_version,
                models: trace.models,
                cwd: trace.cwd,
                started_at: trace.started_at,
                ended_at: trace.ended_at,
                steps: trace.messages.len(),
                usage: trace.usage,
                counts: trace.counts,
                tasks,
            })
        };
        self.traces.into_iter().map(about).collect()
    }

    /// Steps of a conversation, by its place: at most `limit` of those after number `after`.
    ///
    /// # Errors
    /// [`CoreError::Traces`] when a message cannot be cleaned.
    pub fn steps(mut self, conversation: usize, after: usize, limit: usize) -> Result<Vec<Step>, CoreError> {
        let Some(trace) = self.traces.get_mut(conversation) else {
            return Ok(Vec::new());
        };
        let messages = std::mem::take(&mut trace.messages);
        let shown = messages.into_iter().enumerate().skip(after).take(limit);
        shown
            .map(|(index, mut message)| {
                clean_message(&mut self.gate, &mut message)?;
                Ok(Step::new(index, message))
            })
            .collect()
    }
}

fn traces_of(files: &[SessionFile]) -> Result<Vec<Trace>, CoreError> {
    let mut traces = Vec::new();
    import(files, &ImportOptions::default(), &mut |event| {
        if let ImportEvent::Session(trace) = event {
            traces.push(*trace);
        }
        ControlFlow::Continue(())
    })?;
    Ok(traces)
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use bashgym_traces::Gate;

    use super::{LONGEST_TEXT, Timeline, subagents_of};

    const SECRET: &str = "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ01234567";

    fn claude(folder: &Path, output: &str) -> PathBuf {
        let line = |parent: &str, uuid: &str, kind: &str, message: serde_json::Value| {
            let parent = if parent.is_empty() {
                serde_json::Value::Null
            } else {
                parent.into()
            };
            serde_json::json!({
                "parentUuid": parent, "isSidechain": false, "userType": "external", "cwd": "/home/dev/margin",
                "sessionId": "s-1", "version": "2.1.112", "type": kind, "message": message, "uuid": uuid,
                "timestamp": "2026-03-15T05:24:30.370Z",
            })
            .to_string()
        };
        let assistant = |id: &str, content: serde_json::Value| {
            serde_json::json!({ "model": "m", "id": id, "type": "message", "role": "assistant", "content": content,
                "usage": { "input_tokens": 7, "output_tokens": 25 } })
        };
        let lines = [
            line(
                "",
                "u1",
                "user",
                serde_json::json!({ "role": "user", "content": "List the files here, please." }),
            ),
            line(
                "u1",
                "u2",
                "assistant",
                assistant(
                    "m1",
                    serde_json::json!([
                        { "type": "tool_use", "id": "t1", "name": "Bash", "input": { "command": format!("HF_TOKEN={SECRET} ls") } }
                    ]),
                ),
            ),
            line(
                "u2",
                "u3",
                "user",
                serde_json::json!({ "role": "user", "content": [
                { "type": "tool_result", "tool_use_id": "t1", "content": output, "is_error": false } ] }),
            ),
            line(
                "u3",
                "u4",
                "assistant",
                assistant(
                    "m2",
                    serde_json::json!([{ "type": "text", "text": "Two files." }]),
                ),
            ),
        ];
        let file = folder.join("s-1.jsonl");
        std::fs::write(&file, lines.join("\n") + "\n").unwrap();
        file
    }

    #[test]
    fn steps_come_in_pages_cut_and_without_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("{SECRET} {}", "é".repeat(LONGEST_TEXT));
        let file = claude(folder.path(), &long);
        let read = || Timeline::read(&file, None, None, Gate::new()).unwrap();

        let all = read().steps(0, 0, 10).unwrap();
        let kinds: Vec<_> = all.iter().map(|step| (step.number, step.kind)).collect();
        assert_eq!(
            kinds,
            [
                (1, "prompt"),
                (2, "assistant"),
                (3, "tool_result"),
                (4, "assistant")
            ]
        );
        assert!(!format!("{all:?}").contains(SECRET));
        let call = &all[1].calls[0];
        let result = all[2].result.as_ref().unwrap();
        assert_eq!((call.name.as_str(), &call.id), ("Bash", &result.call_id));
        assert!(result.content.left_out > LONGEST_TEXT / 2 && result.content.text.len() <= LONGEST_TEXT);

        assert_eq!(read().steps(0, 1, 2).unwrap(), all[1..3]);
        assert_eq!(read().steps(0, 4, 2).unwrap(), []);
        assert_eq!(read().steps(7, 0, 2).unwrap(), []);
    }

    #[test]
    fn the_overview_says_how_each_task_was_judged_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let file = claude(folder.path(), "a b");
        let timeline = Timeline::read(&file, None, None, Gate::new()).unwrap();
        let [only] = timeline.overview().unwrap().try_into().unwrap();
        assert_eq!(
            (only.session_id.as_str(), only.steps, only.counts.tool_calls),
            ("s-1", 4, 1)
        );
        assert_eq!(only.usage.output, 50);
        assert_eq!(only.tasks[0].first_message, 0);
        assert!(!only.tasks[0].score.parts.is_empty());
    }

    #[test]
    fn subagents_in_files_of_their_own_come_with_their_session() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../fixtures/sessions/claude/projects/-home-dev-margin");
        let file = root.join("2c38f23f-2352-4bfd-a4e1-4750dc063183.jsonl");
        let folder = subagents_of(&file);
        assert!(folder.is_dir());
        let timeline = Timeline::read(&file, None, Some(&folder), Gate::new()).unwrap();
        let found = timeline.overview().unwrap();
        assert_eq!(found.len(), 2);
        assert_eq!(
            found[1].parent_session_id.as_deref(),
            Some(found[0].session_id.as_str())
        );
    }

    #[test]
    fn a_file_without_a_session_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.jsonl");
        std::fs::write(&file, "{}\n").unwrap();
        assert!(Timeline::read(&file, None, None, Gate::new()).is_err());
    }
}
