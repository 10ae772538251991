//! Tells which agent wrote a log.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use memchr::memmem;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::lenient::Text;
use super::{open, opencode};
use crate::error::TracesError;
use crate::model::Agent;

/// How much of a file may pass before its agent must be known.
pub(super) const SNIFF_LINES: usize = 200;
pub(super) const SNIFF_BYTES: usize = 4 * 1024 * 1024;

/// Tells which agent wrote a log, from its first records; `None` when they are of no agent known here.
///
/// # Errors
///
/// [`TracesError::Io`] when the file cannot be read.
pub fn detect_agent(path: &Path) -> Result<Option<Agent>, TracesError> {
    if opencode::is_tree_session(path) || opencode::is_store(path) {
        return Ok(Some(Agent::OpenCode));
    }
    let failed = |e| TracesError::io("reading", path, e);
    let mut input = File::open(path).and_then(open).map_err(failed)?;
    let head = head_of(&mut input);
    if let Some(agent) = recognise_document(&head) {
        return Ok(Some(agent));
    }
    let whole = std::io::Cursor::new(head).chain(input);
    let mut head = BufReader::new(whole.take(SNIFF_BYTES as u64));
    let mut line = Vec::new();
    for _ in 0..SNIFF_LINES {
        line.clear();
        if head.read_until(b'\n', &mut line).map_err(failed)? == 0 {
            break;
        }
        if let Some(agent) = recognise(&String::from_utf8_lossy(&line)) {
            return Ok(Some(agent));
        }
    }
    Ok(None)
}

/// Takes the first bytes of an input; what was read before an error will do.
pub(super) fn head_of(input: &mut impl Read) -> Vec<u8> {
    const HEAD: u64 = 4096;
    let mut head = Vec::new();
    let _ = input.take(HEAD).read_to_end(&mut head);
    head
}

/// Tells the agent of a file that is one JSON object over many lines, from its head.
///
/// # Source
///
/// Gemini CLI writes its sessions with `JSON.stringify(record, null, 2)`, so the first line is a lone brace.
pub(super) fn recognise_document(head: &[u8]) -> Option<Agent> {
    let head = head
        .strip_prefix(b"\xEF\xBB\xBF")
        .unwrap_or(head)
        .trim_ascii_start();
    let (first, _) = head.split_at(memchr::memchr(b'\n', head)?);
    let opens = first.trim_ascii() == b"{";
    (opens && has(head, b"\"sessionId\"") && has(head, b"\"projectHash\"")).then_some(Agent::GeminiCli)
}

fn has(head: &[u8], key: &[u8]) -> bool {
    memmem::find(head, key).is_some()
}

/// The fields that tell agents apart.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Sniff<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    session_id: Text<'a>,
    #[serde(borrow)]
    leaf_uuid: Text<'a>,
    #[serde(borrow)]
    message_id: Text<'a>,
    #[serde(borrow)]
    uuid: Text<'a>,
    #[serde(borrow)]
    project_hash: Text<'a>,
    #[serde(borrow, rename = "projectID")]
    project_id: Text<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    cwd: Text<'a>,
    #[serde(borrow, rename = "record_type")]
    record_type: Text<'a>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    message: Option<IgnoredAny>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    git: Option<&'a RawValue>,
}

/// Tells the agent from one record, if the record is one that only this agent writes.
pub(super) fn recognise(line: &str) -> Option<Agent> {
    let sniff: Sniff<'_> = serde_json::from_str(line).ok()?;
    let kind = sniff.kind.or_empty();
    let given = |text: &Text<'_>| !text.or_empty().is_empty();
    if sniff.payload.is_some() && given(&sniff.timestamp) && !kind.is_empty() {
        return Some(Agent::Codex);
    }
    if given(&sniff.project_hash) && given(&sniff.session_id) {
        return Some(Agent::GeminiCli);
    }
    if kind.is_empty() {
        if given(&sniff.project_id) && given(&sniff.id) {
            return Some(Agent::OpenCode);
        }
        // Before September 2025 a Codex log started with a header that has no type.
        let header = given(&sniff.id)
            && given(&sniff.timestamp)
            && sniff.session_id.0.is_none()
            && (sniff.git.is_some() || sniff.instructions.is_some());
        return (header || sniff.record_type.as_str() == Some("state")).then_some(Agent::Codex);
    }
    let is_object = sniff.data.is_some_and(|raw| raw.get().starts_with('{'));
    if is_object && given(&sniff.id) && COPILOT.iter().any(|prefix| kind.starts_with(prefix)) {
        return Some(Agent::CopilotCli);
    }
    let claude = (given(&sniff.session_id) && sniff.project_hash.0.is_none())
        || (kind == "summary" && sniff.leaf_uuid.0.is_some())
        || (kind == "file-history-snapshot" && sniff.message_id.0.is_some())
        || (sniff.uuid.0.is_some() && sniff.message.is_some());
    if claude {
        return Some(Agent::ClaudeCode);
    }
    let pi = (kind == "session" && given(&sniff.id) && given(&sniff.cwd))
        || (kind == "message" && sniff.message.is_some() && given(&sniff.timestamp));
    pi.then_some(Agent::Pi)
}

/// How the event types of Copilot begin.
const COPILOT: &[&str] = &[
    "session.",
    "user.",
    "assistant.",
    "tool.",
    "system.",
    "hook.",
    "subagent.",
];
