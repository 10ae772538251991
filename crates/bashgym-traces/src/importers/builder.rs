//! Collects the messages of one conversation and what is needed to tell copies from originals.

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use crate::model::{
    Agent, FilesTouched, GitFacts, Message, MessageKind, Role, SessionCounts, TokenUsage, ToolCall,
    ToolResult, Trace,
};
use crate::report::{ImportReport, bump};

/// Hashes ids that identify a record.
pub(crate) fn key_of(parts: &[&str]) -> u64 {
    if let [one] = parts {
        return xxh3_64(one.as_bytes());
    }
    let mut bytes = Vec::with_capacity(parts.iter().map(|p| p.len() + 1).sum());
    for part in parts {
        bytes.extend_from_slice(part.as_bytes());
        bytes.push(0xFF);
    }
    xxh3_64(&bytes)
}

/// Cuts a text at a limit, at a blank where one is near so that no word (or secret) is split, and marks the cut.
pub(crate) fn clip(mut text: String, limit: usize) -> (String, bool) {
    const LOOK_BACK: usize = 512;
    if text.len() <= limit {
        return (text, false);
    }
    let mut end = limit;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let from = end.saturating_sub(LOOK_BACK);
    if let Some(blank) = text.as_bytes()[from..end]
        .iter()
        .rposition(u8::is_ascii_whitespace)
    {
        end = from + blank;
    }
    let cut = text.len() - end;
    text.truncate(end);
    (format!("{text}\n[... {cut} bytes left out ...]"), true)
}

/// A record behind a message: its own identity, and that of the record it would be a copy of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordKey {
    pub(crate) message: usize,
    pub(crate) own: u64,
    pub(crate) copy_of: u64,
}

/// What one API answer used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UsageEntry {
    /// Identity over all files; `None` counts the entry with its message.
    pub(crate) key: Option<u64>,
    /// The message it belongs to, if any.
    pub(crate) message: Option<usize>,
    pub(crate) usage: TokenUsage,
}

/// A trace whose copies and usage are not settled yet, which takes all files of the import.
#[derive(Clone)]
pub(crate) struct Parsed {
    pub(crate) trace: Trace,
    pub(crate) records: Vec<RecordKey>,
    pub(crate) usage: Vec<UsageEntry>,
    /// Blocks of reasoning, by message.
    pub(crate) thinking: Vec<usize>,
}

impl Parsed {
    /// Merges the file's report into the trace's own.
    pub(crate) fn absorb(&mut self, mut report: ImportReport) {
        let own = std::mem::take(&mut self.trace.report);
        report.truncated_texts += own.truncated_texts;
        report.repeated_lines += own.repeated_lines;
        for (into, from) in [
            (&mut report.records, own.records),
            (&mut report.lost, own.lost),
            (&mut report.repaired, own.repaired),
        ] {
            for (kind, n) in from {
                bump(into, &kind, n);
            }
        }
        self.trace.report = report;
    }
}

#[derive(Clone)]
pub(crate) struct TraceBuilder {
    pub(crate) trace: Trace,
    records: Vec<RecordKey>,
    usage: Vec<UsageEntry>,
    usage_by_key: HashMap<u64, usize>,
    thinking: Vec<usize>,
    calls: HashMap<String, (usize, usize)>,
    max_text_bytes: usize,
}

impl TraceBuilder {
    pub(crate) fn new(agent: Agent, source: &Path, max_text_bytes: usize) -> Self {
        Self {
            trace: Trace {
                agent,
                agent_version: None,
                session_id: String::new(),
                parent_session_id: None,
                related_session_ids: std::collections::BTreeSet::default(),
                source: source.to_owned(),
                cwd: None,
                git: GitFacts::default(),
                models: Vec::new(),
                started_at: None,
                ended_at: None,
                messages: Vec::new(),
                files: FilesTouched::default(),
                usage: TokenUsage::default(),
                counts: SessionCounts::default(),
                report: ImportReport::default(),
            },
            records: Vec::new(),
            usage: Vec::new(),
            usage_by_key: HashMap::new(),
            thinking: Vec::new(),
            calls: HashMap::new(),
            max_text_bytes,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.trace.messages.is_empty()
    }

    pub(crate) fn clip(&mut self, text: String) -> String {
        let (text, cut) = clip(text, self.max_text_bytes);
        self.trace.report.truncated_texts += u64::from(cut);
        text
    }

    /// Notes the time of a record.
    pub(crate) fn at(&mut self, time: Option<Timestamp>) {
        if let Some(time) = time {
            let trace = &mut self.trace;
            trace.started_at = Some(trace.started_at.map_or(time, |t| t.min(time)));
            trace.ended_at = Some(trace.ended_at.map_or(time, |t| t.max(time)));
        }
    }

    pub(crate) fn model(&mut self, model: &str) {
        if !model.is_empty() && !self.trace.models.iter().any(|m| m == model) {
            self.trace.models.push(model.to_owned());
        }
    }

    pub(crate) fn push(&mut self, message: Message) -> usize {
        self.trace.messages.push(message);
        self.trace.messages.len() - 1
    }

    pub(crate) fn text(
        &mut self,
        role: Role,
        kind: MessageKind,
        text: String,
        time: Option<Timestamp>,
        uuid: Option<&str>,
    ) -> usize {
        let text = self.clip(text);
        let mut message = Message::new(role, kind, text);
        message.timestamp = time;
        message.uuid = uuid.map(str::to_owned);
        self.push(message)
    }

    pub(crate) fn add_record(&mut self, message: usize, own: u64, copy_of: u64) {
        self.records.push(RecordKey {
            message,
            own,
            copy_of,
        });
    }

    pub(crate) fn add_text(&mut self, message: usize, text: &str) {
        if text.is_empty() {
            return;
        }
        let room = self
            .max_text_bytes
            .saturating_sub(self.trace.messages[message].text.len());
        let (text, cut) = clip(text.to_owned(), room.max(1));
        self.trace.report.truncated_texts += u64::from(cut);
        let target = &mut self.trace.messages[message].text;
        if !target.is_empty() {
            target.push_str("\n\n");
        }
        target.push_str(&text);
    }

    pub(crate) fn add_thinking(&mut self, message: usize, text: &str) {
        self.thinking.push(message);
        if text.is_empty() {
            return;
        }
        let text = self.clip(text.to_owned());
        let target = self.trace.messages[message].thinking.get_or_insert_default();
        if !target.is_empty() {
            target.push_str("\n\n");
        }
        target.push_str(&text);
    }

    pub(crate) fn add_call(&mut self, message: usize, id: &str, name: &str, arguments: Box<RawValue>) {
        let calls = &mut self.trace.messages[message].tool_calls;
        calls.push(ToolCall {
            id: id.to_owned(),
            name: name.to_owned(),
            arguments,
        });
        if !id.is_empty() {
            self.calls.insert(id.to_owned(), (message, calls.len() - 1));
        }
    }

    pub(crate) fn call(&self, id: &str) -> Option<&ToolCall> {
        let &(message, call) = self.calls.get(id)?;
        self.trace.messages.get(message)?.tool_calls.get(call)
    }

    pub(crate) fn add_result(
        &mut self,
        mut result: ToolResult,
        time: Option<Timestamp>,
        uuid: Option<&str>,
    ) -> usize {
        result.content = self.clip(result.content);
        let mut message = Message::new(Role::Tool, MessageKind::ToolResult, String::new());
        message.tool_result = Some(result);
        message.timestamp = time;
        message.uuid = uuid.map(str::to_owned);
        self.push(message)
    }

    /// Adds the usage of one API answer; a repeat of a key raises the numbers instead, since a later record of the same
    /// answer holds a later snapshot.
    pub(crate) fn add_usage(&mut self, key: Option<u64>, message: Option<usize>, usage: TokenUsage) {
        if let Some(key) = key
            && let Some(&at) = self.usage_by_key.get(&key)
        {
            self.usage[at].usage = self.usage[at].usage.max(usage);
            return;
        }
        if let Some(key) = key {
            self.usage_by_key.insert(key, self.usage.len());
        }
        self.usage.push(UsageEntry { key, message, usage });
    }

    /// Adds tokens that the log counts for the whole session, not for one answer.
    pub(crate) fn add_totals(&mut self, usage: TokenUsage) {
        self.trace.usage.add(usage);
    }

    pub(crate) fn max_text_bytes(&self) -> usize {
        self.max_text_bytes
    }

    pub(crate) fn finish(self) -> Parsed {
        Parsed {
            trace: self.trace,
            records: self.records,
            usage: self.usage,
            thinking: self.thinking,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_marked_and_splits_no_word() {
        let (text, cut) = clip("alpha beta gamma".to_owned(), 12);
        assert!(cut);
        assert_eq!(text, "alpha beta\n[... 6 bytes left out ...]");
        assert_eq!(clip("short".to_owned(), 5), ("short".to_owned(), false));
        let (text, _) = clip("ééééé".to_owned(), 3);
        assert!(text.starts_with("é\n["));
    }
}
