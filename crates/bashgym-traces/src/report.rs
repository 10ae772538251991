//! What an import understood, what it lost, and the stable JSON of both.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Agent, TokenUsage, Trace};

/// What is wrong with a file or one of its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProblemKind {
    /// The line is not JSON; it is lost.
    BadJson,
    /// The last line has no end and is not JSON: the file was cut or is still being written; it is lost.
    TruncatedLine,
    /// The line is longer than the limit; it is lost.
    LineTooLong,
    /// The line holds nothing but NUL bytes, as a crash on a full disk leaves them; nothing is lost.
    NulRun,
    /// The line is JSON, but not of a shape this agent writes; it is lost.
    UnexpectedShape,
    /// The line held half a surrogate pair; the half became U+FFFD and the line was kept.
    LoneSurrogate,
    /// The line held bytes that are not UTF-8; they became U+FFFD and the line was kept.
    InvalidUtf8,
    /// NUL bytes were taken out of the line and it was kept.
    NulBytes,
    /// The file is not a session of an agent this version reads.
    UnknownAgent,
    /// The file holds no record at all.
    EmptyFile,
    /// The file could not be read, or not to its end.
    Unreadable,
}

impl ProblemKind {
    /// Returns the name used in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadJson => "bad_json",
            Self::TruncatedLine => "truncated_line",
            Self::LineTooLong => "line_too_long",
            Self::NulRun => "nul_run",
            Self::UnexpectedShape => "unexpected_shape",
            Self::LoneSurrogate => "lone_surrogate",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::NulBytes => "nul_bytes",
            Self::UnknownAgent => "unknown_agent",
            Self::EmptyFile => "empty_file",
            Self::Unreadable => "unreadable",
        }
    }

    /// Whether the line was kept after a repair.
    pub fn is_repaired(self) -> bool {
        matches!(self, Self::LoneSurrogate | Self::InvalidUtf8 | Self::NulBytes)
    }
}

impl fmt::Display for ProblemKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Something in a file that could not be taken as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; `None` when it is about the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub line: Option<u64>,
    /// What is wrong.
    pub kind: ProblemKind,
    /// The same in words, without the line's content.
    pub reason: String,
}

/// What was understood of one file, and what was not.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportReport {
    /// Lines in the file.
    pub lines: u64,
    /// Records understood, by type; this includes types that carry nothing for a trace.
    pub records: BTreeMap<String, u64>,
    /// What did not make it into the trace, by kind: the name of a [`ProblemKind`], `record:<type>` for a record type this
    /// version does not know, `block:<type>` for a content block it drops (images).
    pub lost: BTreeMap<String, u64>,
    /// Lines kept after a repair, by kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub repaired: BTreeMap<String, u64>,
    /// User records that no person typed, by [`crate::MessageKind`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub not_typed: BTreeMap<String, u64>,
    /// Messages copied from another session of the same import, not counted again.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub copied_messages: u64,
    /// Lines that repeat an earlier line of the same file.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub repeated_lines: u64,
    /// Tool outputs and texts cut at the import limit; the cut is marked in the text.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub truncated_texts: u64,
    /// Problems beyond the number that is reported one by one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub problems_not_listed: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature serde asks for")]
fn is_zero(n: &u64) -> bool {
    *n == 0
}

impl ImportReport {
    pub(crate) fn understood(&mut self, record: &str) {
        bump(&mut self.records, record, 1);
    }

    pub(crate) fn unknown_record(&mut self, record: &str) {
        bump(&mut self.lost, &format!("record:{}", short(record)), 1);
    }

    pub(crate) fn lost_block(&mut self, block: &str) {
        bump(&mut self.lost, &format!("block:{}", short(block)), 1);
    }

    pub(crate) fn problem(&mut self, kind: ProblemKind) {
        match kind {
            ProblemKind::NulRun => {}
            kind if kind.is_repaired() => bump(&mut self.repaired, kind.as_str(), 1),
            kind => bump(&mut self.lost, kind.as_str(), 1),
        }
    }
}

/// Keeps hostile type names from growing the report.
fn short(name: &str) -> &str {
    const LIMIT: usize = 64;
    let mut end = name.len().min(LIMIT);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}

pub(crate) fn bump(map: &mut BTreeMap<String, u64>, key: &str, by: u64) {
    const KINDS: usize = 1_000;
    if let Some(n) = map.get_mut(key) {
        *n += by;
    } else if map.len() < KINDS {
        map.insert(key.to_owned(), by);
    } else {
        *map.entry("other".to_owned()).or_default() += by;
    }
}

/// One session in the words scripts rely on.
///
/// # Shape
///
/// `agent, session_id, file, started_at, model, prompts, tool_calls, tool_errors, thinking_blocks, api_calls,
/// tokens{input, output, cache_creation, cache_read}, lost{…}`. A subagent also has `parent_session_id`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// The agent.
    pub agent: Agent,
    /// The session's id.
    pub session_id: String,
    /// The session that started this subagent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_session_id: Option<String>,
    /// The file it was read from.
    pub file: PathBuf,
    /// The time of the first record.
    pub started_at: Option<Timestamp>,
    /// The model that answered first.
    pub model: Option<String>,
    /// Prompts that a person typed.
    pub prompts: u64,
    /// Tool calls of the model.
    pub tool_calls: u64,
    /// Tool results marked as failed.
    pub tool_errors: u64,
    /// Blocks of reasoning.
    pub thinking_blocks: u64,
    /// Answers of the model's API.
    pub api_calls: u64,
    /// Tokens, each API answer counted once.
    pub tokens: TokenUsage,
    /// What was lost, by kind (see [`ImportReport::lost`]).
    pub lost: BTreeMap<String, u64>,
}

impl From<&Trace> for SessionSummary {
    fn from(trace: &Trace) -> Self {
        Self {
            agent: trace.agent,
            session_id: trace.session_id.clone(),
            parent_session_id: trace.parent_session_id.clone(),
            file: trace.source.clone(),
            started_at: trace.started_at,
            model: trace.model().map(str::to_owned),
            prompts: trace.counts.prompts,
            tool_calls: trace.counts.tool_calls,
            tool_errors: trace.counts.tool_errors,
            thinking_blocks: trace.counts.thinking_blocks,
            api_calls: trace.counts.api_calls,
            tokens: trace.usage,
            lost: trace.report.lost.clone(),
        }
    }
}

/// The sums over an import.
///
/// # Shape
///
/// `files, files_skipped, bytes, sessions, agents{…}, prompts, tool_calls, tool_errors, thinking_blocks, api_calls,
/// tokens{…}, lost{…}, repaired{…}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportSummary {
    /// Files read.
    pub files: u64,
    /// Files without a session: unknown agent, empty or unreadable.
    pub files_skipped: u64,
    /// Bytes read, after decompression.
    pub bytes: u64,
    /// Sessions imported, subagents included.
    pub sessions: u64,
    /// Sessions by agent.
    pub agents: BTreeMap<String, u64>,
    /// Prompts that a person typed.
    pub prompts: u64,
    /// Tool calls.
    pub tool_calls: u64,
    /// Failed tool calls.
    pub tool_errors: u64,
    /// Blocks of reasoning.
    pub thinking_blocks: u64,
    /// Answers of the model's API.
    pub api_calls: u64,
    /// Tokens.
    pub tokens: TokenUsage,
    /// What was lost, by kind, skipped files included.
    pub lost: BTreeMap<String, u64>,
    /// Lines kept after a repair, by kind.
    pub repaired: BTreeMap<String, u64>,
    /// Whether the caller stopped the import before its end.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stopped: bool,
}

impl ImportSummary {
    pub(crate) fn add_trace(&mut self, trace: &Trace) {
        self.sessions += 1;
        bump(&mut self.agents, trace.agent.as_str(), 1);
        self.prompts += trace.counts.prompts;
        self.tool_calls += trace.counts.tool_calls;
        self.tool_errors += trace.counts.tool_errors;
        self.thinking_blocks += trace.counts.thinking_blocks;
        self.api_calls += trace.counts.api_calls;
        self.tokens.add(trace.usage);
        for (kind, n) in &trace.report.lost {
            bump(&mut self.lost, kind, *n);
        }
        for (kind, n) in &trace.report.repaired {
            bump(&mut self.repaired, kind, *n);
        }
    }
}
