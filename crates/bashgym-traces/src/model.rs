//! One session of a coding agent, whichever agent wrote it.

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::report::ImportReport;

/// The coding agent a session log comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Agent {
    /// Anthropic's Claude Code.
    ClaudeCode,
    /// `OpenAI`'s Codex CLI.
    Codex,
    /// Google's Gemini CLI.
    GeminiCli,
    /// OpenCode.
    #[serde(rename = "opencode")]
    OpenCode,
    /// GitHub's Copilot CLI.
    CopilotCli,
    /// The Pi coding agent.
    Pi,
}

impl Agent {
    /// Every agent whose logs are read.
    pub const ALL: [Self; 6] = [
        Self::ClaudeCode,
        Self::Codex,
        Self::GeminiCli,
        Self::OpenCode,
        Self::CopilotCli,
        Self::Pi,
    ];

    /// Returns the name used in reports and rows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClaudeCode => "claude_code",
            Self::Codex => "codex",
            Self::GeminiCli => "gemini_cli",
            Self::OpenCode => "opencode",
            Self::CopilotCli => "copilot_cli",
            Self::Pi => "pi",
        }
    }
}

impl fmt::Display for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who speaks in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions of the agent's maker or of the project.
    System,
    /// The person, or what the agent's program put in the person's place.
    User,
    /// The model.
    Assistant,
    /// The result of a tool call.
    Tool,
}

impl Role {
    /// Returns the word chat formats use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::User => "user",
            Self::Assistant => "assistant",
            Self::Tool => "tool",
        }
    }
}

/// What a message really is; the role alone does not tell a typed prompt from an injected note.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MessageKind {
    /// Text that a person typed.
    Prompt,
    /// The task an agent gave to its subagent.
    Delegated,
    /// A slash command or a shell line run from the prompt.
    Command,
    /// What such a command printed.
    CommandOutput,
    /// The marker left when the person interrupted the agent.
    Interrupt,
    /// A note the agent's program put into the conversation: reminders, caveats, environment, skills.
    Injected,
    /// The summary that replaced older messages when the context was compacted.
    CompactSummary,
    /// The model's own output.
    Assistant,
    /// A message of the agent's program in the assistant's place, such as an API error.
    Synthetic,
    /// The result of a tool call.
    ToolResult,
}

impl MessageKind {
    /// Returns the name used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prompt => "prompt",
            Self::Delegated => "delegated",
            Self::Command => "command",
            Self::CommandOutput => "command_output",
            Self::Interrupt => "interrupt",
            Self::Injected => "injected",
            Self::CompactSummary => "compact_summary",
            Self::Assistant => "assistant",
            Self::Synthetic => "synthetic",
            Self::ToolResult => "tool_result",
        }
    }

    /// Whether a new task starts with this message.
    pub fn opens_segment(self) -> bool {
        matches!(self, Self::Prompt | Self::Delegated | Self::Command)
    }
}

/// A call of a tool by the model.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ToolCall {
    /// The id the log gives the call.
    pub id: String,
    /// The tool's name, as logged.
    pub name: String,
    /// The arguments as a JSON object, byte for byte as logged.
    ///
    /// # Shape
    ///
    /// Always a JSON object. A tool that takes free text (Codex `apply_patch`) gets `{"input": "<text>"}`.
    pub arguments: Box<RawValue>,
}

impl PartialEq for ToolCall {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id && self.name == other.name && self.arguments.get() == other.arguments.get()
    }
}

/// What a tool call gave back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolResult {
    /// The id of the call this answers.
    pub tool_call_id: String,
    /// The output as the model saw it.
    pub content: String,
    /// Whether the log marks the call as failed.
    pub is_error: bool,
    /// The exit status of a command; `None` when the log does not tell.
    pub exit_status: Option<i32>,
}

/// One message of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What the message is.
    pub kind: MessageKind,
    /// The text; empty for an assistant message that only calls tools.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
    /// The model's visible reasoning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub thinking: Option<String>,
    /// The tool calls of an assistant message; parallel calls are together here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tool_calls: Vec<ToolCall>,
    /// The result carried by a message of role `tool`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_result: Option<ToolResult>,
    /// When the first record of the message was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<Timestamp>,
    /// The id of the first record of the message, if the agent gives ids.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Whether the message was copied here from another session of the same import (resume or fork).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub copied: bool,
    /// Whether the person went back and replaced this part of the conversation.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rewound: bool,
}

impl Message {
    pub(crate) fn new(role: Role, kind: MessageKind, text: String) -> Self {
        Self {
            role,
            kind,
            text,
            thinking: None,
            tool_calls: Vec::new(),
            tool_result: None,
            timestamp: None,
            uuid: None,
            copied: false,
            rewound: false,
        }
    }
}

/// Tokens the provider counted.
///
/// # Units
///
/// Tokens. The four numbers do not overlap: `input` excludes what was read from or written to the cache.
/// Logs often hold a streaming snapshot, so `output` is a lower bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUsage {
    /// Tokens read without the cache.
    pub input: u64,
    /// Tokens written by the model.
    pub output: u64,
    /// Tokens written to the cache.
    pub cache_creation: u64,
    /// Tokens read from the cache.
    pub cache_read: u64,
}

impl TokenUsage {
    /// Adds another count to this one.
    pub fn add(&mut self, other: Self) {
        self.input = self.input.saturating_add(other.input);
        self.output = self.output.saturating_add(other.output);
        self.cache_creation = self.cache_creation.saturating_add(other.cache_creation);
        self.cache_read = self.cache_read.saturating_add(other.cache_read);
    }

    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            output: self.output.max(other.output),
            cache_creation: self.cache_creation.max(other.cache_creation),
            cache_read: self.cache_read.max(other.cache_read),
        }
    }
}

/// What the log says about the repository the agent worked in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GitFacts {
    /// The branch at the last record that names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch: Option<String>,
    /// The commit at the start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// The address of the remote repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<String>,
}

/// Files the agent's tools named.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesTouched {
    /// Files that were read with a file tool (not through a shell command).
    pub read: BTreeSet<String>,
    /// Files that were created, changed or deleted with a file tool.
    pub written: BTreeSet<String>,
}

/// How often something happened in a session; copies from other sessions of the same import are not counted again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionCounts {
    /// Prompts that a person typed.
    pub prompts: u64,
    /// Tool calls of the model.
    pub tool_calls: u64,
    /// Tool results marked as failed.
    pub tool_errors: u64,
    /// Blocks of reasoning, also those whose text the log leaves out.
    pub thinking_blocks: u64,
    /// Answers of the model's API.
    pub api_calls: u64,
    /// Times the context was compacted.
    pub compactions: u64,
}

/// One session, as a sequence of messages with the facts around it.
///
/// A subagent's conversation is a trace of its own whose `parent_session_id` names the session that started it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Trace {
    /// The agent that wrote the log.
    pub agent: Agent,
    /// The version of the agent's program, if logged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// The session's id; `<session>/<agent>` for a subagent.
    pub session_id: String,
    /// The session that started this subagent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_session_id: Option<String>,
    /// Other sessions this one shares records with: the one it resumes, its fork parent, a copy of itself.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub related_session_ids: BTreeSet<String>,
    /// The file it was read from.
    pub source: PathBuf,
    /// The folder the agent worked in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// Facts about the repository.
    #[serde(default)]
    pub git: GitFacts,
    /// Models that answered, in order of first use.
    pub models: Vec<String>,
    /// The time of the first record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// The time of the last record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// The conversation in the order of the log.
    pub messages: Vec<Message>,
    /// Files the agent's tools named.
    pub files: FilesTouched,
    /// Tokens, each API answer counted once over all files of the import.
    pub usage: TokenUsage,
    /// Counts of what happened.
    pub counts: SessionCounts,
    /// What was understood of the file, and what was not.
    pub report: ImportReport,
}

impl Trace {
    /// Returns the model that answered first, if any did.
    pub fn model(&self) -> Option<&str> {
        self.models.first().map(String::as_str)
    }

    /// Whether this is a subagent's conversation.
    pub fn is_subagent(&self) -> bool {
        self.parent_session_id.is_some()
    }
}
