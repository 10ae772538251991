//! Claude Code: one JSON object a line, one line per content block, a tree of uuids.

mod text;
mod wire;

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use self::text::{classify, shell_exit_status};
use self::wire::Line;
use super::builder::{Parsed, TraceBuilder, key_of};
use super::content::{empty_object, file_stem, flatten, push_paragraph};
use super::lenient::{Block, Content, Text};
use super::{Importer, Reject, reject};
use crate::import::ImportOptions;
use crate::model::{Agent, Message, MessageKind, Role, ToolResult};
use crate::report::ImportReport;

/// Record types that are known and carry nothing for a trace beyond their time and place.
const QUIET: &[&str] = &[
    "progress",
    "summary",
    "file-history-snapshot",
    "queue-operation",
    "attachment",
    "pr-link",
    "custom-title",
    "ai-title",
    "agent-name",
    "last-prompt",
    "mode",
    "permission-mode",
    "worktree-state",
    "bridge-session",
    "frame-link",
    "started",
    "result",
    "relocated",
    "atis-latch",
];

/// Where a line stands in the tree.
#[derive(Clone)]
struct Node {
    uuid: u64,
    parent: u64,
    chain: usize,
    /// The message of the chain that the line became part of.
    message: Option<usize>,
}

/// One conversation of the file: the session itself, or a subagent's.
#[derive(Clone)]
struct Chain {
    builder: TraceBuilder,
    agent_id: Option<String>,
    /// Assistant messages by the id the API gave them.
    by_message_id: HashMap<u64, usize>,
    session_ids: Vec<String>,
}

/// Reads one Claude Code file.
#[derive(Clone)]
pub(super) struct ClaudeCode {
    source: std::path::PathBuf,
    max_text_bytes: usize,
    main: Chain,
    sides: Vec<Chain>,
    nodes: Vec<Node>,
    node_by_uuid: HashMap<u64, usize>,
    /// Hashes of the lines that speak; a crash while writing can leave one twice.
    seen: HashSet<u64>,
}

impl ClaudeCode {
    pub(super) fn new(source: &Path, options: &ImportOptions) -> Self {
        Self {
            source: source.to_owned(),
            max_text_bytes: options.max_text_bytes,
            main: Chain::new(source, options.max_text_bytes, None),
            sides: Vec::new(),
            nodes: Vec::new(),
            node_by_uuid: HashMap::new(),
            seen: HashSet::new(),
        }
    }

    /// Chain 0 is the session itself.
    fn chain_index(&mut self, line: &Line<'_>) -> usize {
        if !line.is_sidechain.0 {
            return 0;
        }
        let agent_id = line.agent_id.as_str().filter(|id| !id.is_empty());
        if let Some(id) = agent_id
            && let Some(at) = self.sides.iter().position(|c| c.agent_id.as_deref() == Some(id))
        {
            return at + 1;
        }
        let parent = line
            .parent_uuid
            .as_str()
            .and_then(|p| self.node_by_uuid.get(&key_of(&[p])));
        if agent_id.is_none()
            && let Some(node) = parent.map(|&at| &self.nodes[at])
            && node.chain > 0
        {
            return node.chain;
        }
        self.sides.push(Chain::new(
            &self.source,
            self.max_text_bytes,
            agent_id.map(str::to_owned),
        ));
        self.sides.len()
    }

    fn chain_mut(&mut self, index: usize) -> &mut Chain {
        match index.checked_sub(1) {
            Some(side) => &mut self.sides[side],
            None => &mut self.main,
        }
    }

    /// Marks what the person replaced by going back: a prompt whose parent a later prompt shares, and all that follows from it.
    fn mark_rewound(&mut self) {
        let mut last_prompt_of = HashMap::new();
        let mut replaced = vec![false; self.nodes.len()];
        for (at, node) in self.nodes.iter().enumerate() {
            let is_prompt = node.chain == 0
                && node.parent != 0
                && node.message.is_some_and(|m| {
                    self.main
                        .builder
                        .trace
                        .messages
                        .get(m)
                        .is_some_and(|m| m.kind == MessageKind::Prompt)
                });
            if is_prompt && let Some(earlier) = last_prompt_of.insert(node.parent, at) {
                replaced[earlier] = true;
            }
        }
        // Parents stand before their children in the file, so one pass hands the mark down.
        for at in 0..self.nodes.len() {
            let node = &self.nodes[at];
            let parent = self.node_by_uuid.get(&node.parent).copied().filter(|&p| p < at);
            replaced[at] |= parent.is_some_and(|p| replaced[p]);
            if replaced[at]
                && node.chain == 0
                && let Some(message) = node.message
            {
                self.main.builder.trace.messages[message].rewound = true;
            }
        }
    }
}

impl Importer for ClaudeCode {
    fn record(&mut self, text: &str, report: &mut ImportReport) -> Result<(), Reject> {
        let line: Line<'_> = serde_json::from_str(text).map_err(|_| reject(text))?;
        let Some(kind) = line.kind.as_str() else {
            return Err(Reject::Shape);
        };
        let speaks = matches!(kind, "user" | "assistant");
        if speaks && line.message.is_none() {
            return Err(Reject::Shape);
        }
        let uuid = line
            .uuid
            .as_str()
            .filter(|id| !id.is_empty())
            .map(|id| key_of(&[id]));
        if speaks && uuid.is_some() && !self.seen.insert(key_of(&[text])) {
            report.repeated_lines += 1;
            return Ok(());
        }
        if speaks || kind == "system" {
            report.understood(kind);
        } else if QUIET.contains(&kind) {
            report.understood(kind);
            if uuid.is_none() {
                return Ok(());
            }
        } else {
            report.unknown_record(kind);
        }

        let chain = self.chain_index(&line);
        let node = uuid.map(|uuid| {
            let parent = line.parent_uuid.as_str().or(line.logical_parent_uuid.as_str());
            let parent = parent.filter(|p| !p.is_empty()).map_or(0, |p| key_of(&[p]));
            self.nodes.push(Node {
                uuid,
                parent,
                chain,
                message: None,
            });
            self.nodes.len() - 1
        });
        if let Some(node) = node {
            self.node_by_uuid.insert(self.nodes[node].uuid, node);
        }

        let is_side = chain > 0;
        let target = self.chain_mut(chain);
        let time = target.header(&line);
        let message = match kind {
            "user" => target.user(line, uuid, time, is_side, report),
            "assistant" => Some(target.assistant(line, uuid, time, report)),
            "system" if line.subtype.as_str() == Some("compact_boundary") => {
                target.builder.trace.counts.compactions += 1;
                None
            }
            _ => None,
        };
        if let Some(node) = node {
            self.nodes[node].message = message;
        }
        Ok(())
    }

    fn boxed_clone(&self) -> Box<dyn Importer> {
        Box::new(self.clone())
    }

    fn finish(mut self: Box<Self>) -> Vec<Parsed> {
        self.mark_rewound();
        let parent = self.main.session_id();
        let mut traces = Vec::new();
        if !self.main.builder.is_empty() {
            traces.push(self.main.finish(None, 0));
        }
        for (n, side) in self.sides.into_iter().enumerate() {
            if !side.builder.is_empty() {
                let own_parent = side.session_ids.last().cloned();
                traces.push(side.finish(
                    own_parent.or_else(|| parent.clone()).or(Some(String::new())),
                    n + 1,
                ));
            }
        }
        traces
    }
}

impl Chain {
    fn new(source: &Path, max_text_bytes: usize, agent_id: Option<String>) -> Self {
        Self {
            builder: TraceBuilder::new(Agent::ClaudeCode, source, max_text_bytes),
            agent_id,
            by_message_id: HashMap::new(),
            session_ids: Vec::new(),
        }
    }

    fn session_id(&self) -> Option<String> {
        self.session_ids.last().cloned()
    }

    /// Takes what every line says about the session, and gives the line's time.
    fn header(&mut self, line: &Line<'_>) -> Option<Timestamp> {
        let trace = &mut self.builder.trace;
        if let Some(id) = line.session_id.as_str().filter(|id| !id.is_empty())
            && self.session_ids.last().is_none_or(|last| last != id)
        {
            // A resumed session starts with the lines of the old one; the id in use at the end is its own.
            self.session_ids.retain(|known| known != id);
            self.session_ids.push(id.to_owned());
        }
        if trace.cwd.is_none() {
            trace.cwd = line.cwd.as_str().filter(|cwd| !cwd.is_empty()).map(str::to_owned);
        }
        set_if_new(&mut trace.git.branch, line.git_branch.as_str());
        set_if_new(&mut trace.agent_version, line.version.as_str());
        let time = line.timestamp.as_str().and_then(|t| t.parse().ok());
        self.builder.at(time);
        time
    }

    fn user(
        &mut self,
        line: Line<'_>,
        key: Option<u64>,
        time: Option<Timestamp>,
        is_side: bool,
        report: &mut ImportReport,
    ) -> Option<usize> {
        let uuid = line.uuid.as_str();
        let content = line.message.unwrap_or_default().content;
        let has_result = content.has("tool_result");
        let mut last = None;
        let mut text = String::new();
        let mut image = false;
        match content {
            Content::None => {}
            Content::Text(t) => text.push_str(&t),
            Content::Blocks(blocks) => {
                for block in blocks {
                    match block.kind.or_empty() {
                        "tool_result" => {
                            let result = self.result(block, line.tool_use_result, report);
                            let at = self.builder.add_result(result, time, uuid);
                            self.register(at, key);
                            last = Some(at);
                        }
                        "text" => push_paragraph(&mut text, block.text.or_empty()),
                        other => {
                            image |= other == "image";
                            report.lost_block(other);
                        }
                    }
                }
            }
        }
        if has_result && text.trim().is_empty() {
            return last;
        }
        let (kind, text) = if line.is_compact_summary.0 {
            (MessageKind::CompactSummary, Cow::Owned(text))
        } else {
            match classify(&text) {
                (MessageKind::Injected, _) if image && !line.is_meta.0 => {
                    (MessageKind::Prompt, Cow::Borrowed("[image]"))
                }
                (MessageKind::Prompt, text) if line.is_meta.0 || has_result => (MessageKind::Injected, text),
                (MessageKind::Prompt, text) if is_side => (MessageKind::Delegated, text),
                (kind, text) => (kind, text),
            }
        };
        let at = self.builder.text(Role::User, kind, text.into_owned(), time, uuid);
        self.register(at, key);
        Some(at)
    }

    fn result(
        &mut self,
        block: Block<'_>,
        detail: Option<&RawValue>,
        report: &mut ImportReport,
    ) -> ToolResult {
        let is_error = block.is_error.0;
        let content = flatten(block.content, report);
        let id = block.tool_use_id.into_string();
        let is_shell = self.builder.call(&id).is_some_and(|call| call.name == "Bash");
        let exit_status = if is_shell {
            shell_exit_status(&content, is_error, detail)
        } else {
            None
        };
        ToolResult {
            tool_call_id: id,
            content,
            is_error,
            exit_status,
        }
    }

    fn assistant(
        &mut self,
        line: Line<'_>,
        key: Option<u64>,
        time: Option<Timestamp>,
        report: &mut ImportReport,
    ) -> usize {
        let body = line.message.unwrap_or_default();
        let model = body.model.or_empty();
        let synthetic = line.is_api_error_message.0 || model == "<synthetic>";
        let message_id = body.id.as_str().filter(|id| !id.is_empty());
        let request_id = line.request_id.as_str().filter(|id| !id.is_empty());
        let kind = if synthetic {
            MessageKind::Synthetic
        } else {
            MessageKind::Assistant
        };

        let id_key = message_id.map(|id| key_of(&[id]));
        let open = id_key.and_then(|id| self.by_message_id.get(&id).copied());
        let at = open.unwrap_or_else(|| {
            let mut message = Message::new(Role::Assistant, kind, String::new());
            message.timestamp = time;
            message.uuid = line.uuid.as_str().map(str::to_owned);
            let at = self.builder.push(message);
            if let Some(id) = id_key {
                self.by_message_id.insert(id, at);
            }
            at
        });
        self.register(at, key);
        if !synthetic {
            self.builder.model(model);
            if let Some(usage) = body.usage
                && (message_id.is_some() || request_id.is_some())
            {
                let key = key_of(&[message_id.unwrap_or_default(), request_id.unwrap_or_default()]);
                self.builder.add_usage(Some(key), Some(at), usage.into());
            }
        }
        match body.content {
            Content::None => {}
            Content::Text(text) => self.builder.add_text(at, &text),
            Content::Blocks(blocks) => {
                for block in blocks {
                    self.block(at, &block, report);
                }
            }
        }
        at
    }

    fn block(&mut self, at: usize, block: &Block<'_>, report: &mut ImportReport) {
        match block.kind.or_empty() {
            "text" => self.builder.add_text(at, block.text.or_empty()),
            "thinking" => self.builder.add_thinking(at, block.thinking.or_empty()),
            "redacted_thinking" => self.builder.add_thinking(at, ""),
            "tool_use" => {
                let name = block.name.or_empty();
                let arguments = match block.input {
                    Some(input) if input.get().starts_with('{') => input.to_owned(),
                    _ => empty_object(),
                };
                self.touch(name, &arguments);
                self.builder.add_call(at, block.id.or_empty(), name, arguments);
            }
            other => report.lost_block(other),
        }
    }

    /// Notes the file a file tool names.
    fn touch(&mut self, tool: &str, arguments: &RawValue) {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Target<'a> {
            #[serde(borrow)]
            file_path: Text<'a>,
            #[serde(borrow)]
            notebook_path: Text<'a>,
        }
        let files = &mut self.builder.trace.files;
        let set = match tool {
            "Read" => &mut files.read,
            "Edit" | "MultiEdit" | "Write" | "NotebookEdit" => &mut files.written,
            _ => return,
        };
        let Ok(target) = serde_json::from_str::<Target<'_>>(arguments.get()) else {
            return;
        };
        if let Some(path) = target
            .file_path
            .into_option()
            .or(target.notebook_path.into_option())
        {
            set.insert(path.into_owned());
        }
    }

    fn register(&mut self, message: usize, key: Option<u64>) {
        if let Some(key) = key {
            self.builder.add_record(message, key, key);
        }
    }

    /// Ends the chain; `parent` is given for a subagent's.
    fn finish(mut self, parent: Option<String>, ordinal: usize) -> Parsed {
        let trace = &mut self.builder.trace;
        let own = self.session_ids.pop().unwrap_or_else(|| file_stem(&trace.source));
        trace.related_session_ids.extend(self.session_ids);
        match parent {
            None => trace.session_id = own,
            Some(parent) => {
                let parent = if parent.is_empty() { own } else { parent };
                let agent = self.agent_id.unwrap_or_else(|| format!("sidechain-{ordinal}"));
                trace.session_id = format!("{parent}/{agent}");
                trace.parent_session_id = Some(parent);
            }
        }
        self.builder.finish()
    }
}

fn set_if_new(slot: &mut Option<String>, value: Option<&str>) {
    if let Some(value) = value.filter(|v| !v.is_empty())
        && slot.as_deref() != Some(value)
    {
        *slot = Some(value.to_owned());
    }
}
