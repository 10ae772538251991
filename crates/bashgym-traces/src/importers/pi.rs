//! Pi: a header line, then entries that form a tree by `id` and `parentId` (a plain list before version 2).

use std::collections::HashMap;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::builder::{Parsed, TraceBuilder, key_of};
use super::content::{file_stem, flatten, json_arguments};
use super::lenient::{Content, Flag, Int, Text};
use super::{Importer, Reject, reject};
use crate::import::ImportOptions;
use crate::model::{Agent, Message, MessageKind, Role, TokenUsage, ToolResult};
use crate::report::ImportReport;

/// Entries that carry nothing for a trace.
const QUIET: &[&str] = &[
    "context_transform",
    "custom",
    "ephemeral",
    "label",
    "session_info",
    "thinking_level_change",
];

/// Reads one Pi file.
///
/// # Source
///
/// `packages/coding-agent/docs/session.md` of badlogic/pi-mono.
#[derive(Clone)]
pub(super) struct Pi {
    builder: TraceBuilder,
    parent_file: Option<String>,
    /// Entries by id, with their parent and the messages they became.
    nodes: Vec<Node>,
    by_id: HashMap<u64, usize>,
    last: Option<usize>,
}

#[derive(Clone)]
struct Node {
    parent: u64,
    first: usize,
    end: usize,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    parent_id: Text<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    cwd: Text<'a>,
    #[serde(borrow)]
    model_id: Text<'a>,
    #[serde(borrow)]
    branched_from: Text<'a>,
    #[serde(borrow)]
    parent_session: Text<'a>,
    #[serde(borrow)]
    summary: Text<'a>,
    #[serde(borrow)]
    content: Content<'a>,
    #[serde(borrow)]
    message: Option<Body<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Body<'a> {
    #[serde(borrow)]
    role: Text<'a>,
    #[serde(borrow)]
    content: Content<'a>,
    #[serde(borrow)]
    model: Text<'a>,
    usage: Option<Usage>,
    #[serde(borrow)]
    stop_reason: Text<'a>,
    #[serde(borrow)]
    error_message: Text<'a>,
    #[serde(borrow)]
    tool_call_id: Text<'a>,
    is_error: Flag,
    #[serde(borrow)]
    command: Text<'a>,
    #[serde(borrow)]
    output: Text<'a>,
    #[serde(borrow)]
    summary: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Usage {
    input: Int,
    output: Int,
    cache_read: Int,
    cache_write: Int,
}

impl From<Usage> for TokenUsage {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input.tokens(),
            output: usage.output.tokens(),
            cache_creation: usage.cache_write.tokens(),
            cache_read: usage.cache_read.tokens(),
        }
    }
}

impl Pi {
    pub(super) fn new(source: &Path, options: &ImportOptions) -> Self {
        Self {
            builder: TraceBuilder::new(Agent::Pi, source, options.max_text_bytes),
            parent_file: None,
            nodes: Vec::new(),
            by_id: HashMap::new(),
            last: None,
        }
    }

    fn header(&mut self, entry: &Entry<'_>) {
        let some = |text: &Text<'_>| text.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let trace = &mut self.builder.trace;
        if trace.session_id.is_empty() {
            entry.id.or_empty().clone_into(&mut trace.session_id);
            trace.cwd = some(&entry.cwd);
            self.parent_file = some(&entry.branched_from).or_else(|| some(&entry.parent_session));
        }
    }

    fn message(&mut self, entry: Entry<'_>, time: Option<Timestamp>, report: &mut ImportReport) {
        let body = entry.message.unwrap_or_default();
        let uuid = entry.id.as_str().filter(|id| !id.is_empty());
        let role = body.role.or_empty();
        match role {
            "user" => {
                let text = flatten(body.content, report);
                self.builder
                    .text(Role::User, MessageKind::Prompt, text, time, uuid);
            }
            "assistant" => self.assistant(body, uuid, time, entry.timestamp.or_empty(), report),
            "toolResult" => {
                let content = flatten(body.content, report);
                let result = ToolResult {
                    tool_call_id: body.tool_call_id.into_string(),
                    exit_status: exit_status(&content, body.is_error.0),
                    content,
                    is_error: body.is_error.0,
                };
                self.builder.add_result(result, time, uuid);
            }
            "bashExecution" => {
                let command = format!("!{}", body.command.or_empty());
                self.builder
                    .text(Role::User, MessageKind::Command, command, time, uuid);
                let output = body.output.into_string();
                self.builder
                    .text(Role::User, MessageKind::CommandOutput, output, time, uuid);
            }
            "compactionSummary" | "branchSummary" => {
                let text = body.summary.into_string();
                self.builder
                    .text(Role::User, MessageKind::CompactSummary, text, time, uuid);
            }
            "custom" | "hookMessage" => {
                let text = flatten(body.content, report);
                self.builder
                    .text(Role::User, MessageKind::Injected, text, time, uuid);
            }
            other => report.unknown_record(&format!("message/{other}")),
        }
    }

    fn assistant(
        &mut self,
        body: Body<'_>,
        uuid: Option<&str>,
        time: Option<Timestamp>,
        stamp: &str,
        report: &mut ImportReport,
    ) {
        let failed = body.stop_reason.or_empty() == "error";
        let is_empty = matches!(&body.content, Content::None)
            || matches!(&body.content, Content::Blocks(blocks) if blocks.is_empty());
        let kind = if failed && is_empty {
            MessageKind::Synthetic
        } else {
            MessageKind::Assistant
        };
        let mut message = Message::new(Role::Assistant, kind, String::new());
        message.timestamp = time;
        message.uuid = uuid.map(str::to_owned);
        let at = self.builder.push(message);
        if kind == MessageKind::Synthetic {
            self.builder.add_text(at, body.error_message.or_empty());
        } else {
            self.builder.model(body.model.or_empty());
            if let Some(usage) = body.usage {
                let key = key_of(&["pi", uuid.unwrap_or_default(), stamp]);
                self.builder.add_usage(Some(key), Some(at), usage.into());
            }
        }
        match body.content {
            Content::None => {}
            Content::Text(text) => self.builder.add_text(at, &text),
            Content::Blocks(blocks) => {
                for block in blocks {
                    match block.kind.or_empty() {
                        "text" => self.builder.add_text(at, block.text.or_empty()),
                        "thinking" => self.builder.add_thinking(at, block.thinking.or_empty()),
                        "toolCall" => {
                            let arguments = json_arguments(block.arguments);
                            self.touch(block.name.or_empty(), arguments.get());
                            self.builder
                                .add_call(at, block.id.or_empty(), block.name.or_empty(), arguments);
                        }
                        other => report.lost_block(other),
                    }
                }
            }
        }
        if body.stop_reason.or_empty() == "aborted" {
            let text = "[interrupted]".to_owned();
            self.builder
                .text(Role::User, MessageKind::Interrupt, text, time, uuid);
        }
    }

    fn touch(&mut self, tool: &str, arguments: &str) {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Target<'a> {
            #[serde(borrow)]
            path: Text<'a>,
        }
        let files = &mut self.builder.trace.files;
        let set = match tool {
            "read" => &mut files.read,
            "edit" | "write" => &mut files.written,
            _ => return,
        };
        if let Ok(target) = serde_json::from_str::<Target<'_>>(arguments)
            && let Some(path) = target.path.into_option()
        {
            set.insert(path.into_owned());
        }
    }
}

/// A failed command of the bash tool says so in the last line of its output.
fn exit_status(content: &str, is_error: bool) -> Option<i32> {
    if !is_error {
        return None;
    }
    let last = content.trim_end().lines().next_back()?;
    last.strip_prefix("Command exited with code ")?
        .trim()
        .parse()
        .ok()
}

impl Importer for Pi {
    fn record(&mut self, line: &str, report: &mut ImportReport) -> Result<(), Reject> {
        let entry: Entry<'_> = serde_json::from_str(line).map_err(|_| reject(line))?;
        let Some(kind) = entry.kind.as_str().map(str::to_owned) else {
            return Err(Reject::Shape);
        };
        let time = entry.timestamp.as_str().and_then(|t| t.parse().ok());
        self.builder.at(time);
        let first = self.builder.trace.messages.len();
        let id = entry.id.or_empty().to_owned();
        let stamp = entry.timestamp.or_empty().to_owned();
        let parent = entry
            .parent_id
            .as_str()
            .filter(|p| !p.is_empty())
            .map_or(0, |p| key_of(&[p]));
        match kind.as_str() {
            "session" => {
                self.header(&entry);
                self.builder.model(entry.model_id.or_empty());
                report.understood("session");
                return Ok(());
            }
            "message" if entry.message.is_none() => return Err(Reject::Shape),
            "message" => self.message(entry, time, report),
            "model_change" => self.builder.model(entry.model_id.or_empty()),
            "compaction" | "branch_summary" => {
                self.builder.trace.counts.compactions += u64::from(kind == "compaction");
                let text = entry.summary.into_string();
                self.builder
                    .text(Role::User, MessageKind::CompactSummary, text, time, Some(&id));
            }
            "custom_message" => {
                let text = flatten(entry.content, report);
                self.builder
                    .text(Role::User, MessageKind::Injected, text, time, Some(&id));
            }
            quiet if QUIET.contains(&quiet) => {}
            other => {
                report.unknown_record(other);
                return Ok(());
            }
        }
        report.understood(&kind);
        let end = self.builder.trace.messages.len();
        for at in first..end {
            let role = self.builder.trace.messages[at].role.as_str();
            let key = key_of(&["pi", &id, &stamp, role]);
            self.builder.add_record(at, key, key);
        }
        if !id.is_empty() {
            self.by_id.insert(key_of(&[&id]), self.nodes.len());
            self.last = Some(self.nodes.len());
            self.nodes.push(Node { parent, first, end });
        }
        Ok(())
    }

    fn boxed_clone(&self) -> Box<dyn Importer> {
        Box::new(self.clone())
    }

    fn finish(mut self: Box<Self>) -> Vec<Parsed> {
        if self.builder.is_empty() {
            return Vec::new();
        }
        // The branch in use runs from the last entry up to the root; everything beside it was left.
        let mut on_branch = vec![false; self.nodes.len()];
        let mut next = self.last;
        while let Some(at) = next.filter(|&at| !on_branch[at]) {
            on_branch[at] = true;
            next = self.by_id.get(&self.nodes[at].parent).copied();
        }
        for (node, _) in self.nodes.iter().zip(&on_branch).filter(|(_, on)| !**on) {
            for message in &mut self.builder.trace.messages[node.first..node.end] {
                message.rewound = true;
            }
        }
        let trace = &mut self.builder.trace;
        if trace.session_id.is_empty() {
            trace.session_id = file_stem(&trace.source);
        }
        if let Some(parent) = &self.parent_file {
            // The header names the file; its name ends with the id of the session in it.
            let stem = file_stem(Path::new(parent));
            let id = stem.rsplit('_').next().unwrap_or(&stem).to_owned();
            if id != trace.session_id {
                trace.related_session_ids.insert(id);
            }
        }
        vec![self.builder.finish()]
    }
}
