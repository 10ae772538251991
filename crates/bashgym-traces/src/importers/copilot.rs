//! Copilot CLI: one event a line, `{type, data, id, timestamp, parentId}`.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::builder::{Parsed, TraceBuilder, key_of};
use super::content::{file_stem, json_arguments};
use super::lenient::{Flag, Int, Text};
use super::{Importer, Reject, reject};
use crate::import::ImportOptions;
use crate::model::{Agent, Message, MessageKind, Role, TokenUsage, ToolResult};
use crate::report::ImportReport;

/// Events that carry nothing for a trace.
const QUIET: &[&str] = &[
    "assistant.turn_end",
    "assistant.turn_start",
    "hook.end",
    "hook.start",
    "session.auto_mode_resolved",
    "session.error",
    "session.info",
    "session.mode_changed",
    "session.truncation",
    "session.usage_checkpoint",
    "session.usage_record",
    "subagent.completed",
    "subagent.failed",
    "subagent.started",
    "tool.execution_start",
];

/// Reads one Copilot CLI file.
///
/// # Source
///
/// The schema-coverage log of jazzyalex/agent-sessions (Copilot 1.0.80). Not known: the payload of
/// `session.usage_record`, and whether the input tokens of `session.shutdown` include what was read from the cache.
#[derive(Clone)]
pub(super) struct Copilot {
    main: Conversation,
    /// Subagents, by the call that started them.
    sides: BTreeMap<String, Conversation>,
}

#[derive(Clone)]
struct Conversation {
    builder: TraceBuilder,
    /// Reasoning that came as an event of its own and waits for its message.
    reasoning: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Event<'a> {
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    data: Option<Data<'a>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Data<'a> {
    #[serde(borrow)]
    session_id: Text<'a>,
    #[serde(borrow)]
    copilot_version: Text<'a>,
    #[serde(borrow)]
    selected_model: Text<'a>,
    #[serde(borrow)]
    context: Option<Place<'a>>,
    #[serde(borrow)]
    content: Text<'a>,
    #[serde(borrow)]
    reasoning_text: Text<'a>,
    #[serde(borrow)]
    model: Text<'a>,
    output_tokens: Int,
    #[serde(borrow)]
    message_id: Text<'a>,
    #[serde(borrow)]
    tool_requests: Option<Vec<Request<'a>>>,
    #[serde(borrow)]
    tool_call_id: Text<'a>,
    #[serde(borrow)]
    parent_tool_call_id: Text<'a>,
    success: Option<Flag>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    token_details: Option<TokenDetails>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Place<'a> {
    #[serde(borrow)]
    cwd: Text<'a>,
    #[serde(borrow)]
    branch: Text<'a>,
    #[serde(borrow)]
    repository: Text<'a>,
    #[serde(borrow)]
    head_commit: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Request<'a> {
    #[serde(borrow)]
    tool_call_id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    arguments: Option<&'a RawValue>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct TokenDetails {
    input: Option<Count>,
    cache_read: Option<Count>,
    cache_write: Option<Count>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Count {
    token_count: Int,
}

impl Conversation {
    fn new(source: &Path, max_text_bytes: usize) -> Self {
        Self {
            builder: TraceBuilder::new(Agent::CopilotCli, source, max_text_bytes),
            reasoning: None,
        }
    }

    fn assistant(&mut self, id: &str, data: Data<'_>, time: Option<Timestamp>) -> usize {
        let mut message = Message::new(Role::Assistant, MessageKind::Assistant, String::new());
        message.timestamp = time;
        message.uuid = Some(id.to_owned()).filter(|id| !id.is_empty());
        let at = self.builder.push(message);
        self.builder.add_text(at, data.content.or_empty());
        self.builder.model(data.model.or_empty());
        let reasoning = data.reasoning_text.0.map(std::borrow::Cow::into_owned);
        if let Some(text) = reasoning.or_else(|| self.reasoning.take()) {
            self.reasoning = None;
            self.builder.add_thinking(at, &text);
        }
        for request in data.tool_requests.unwrap_or_default() {
            self.builder.add_call(
                at,
                request.tool_call_id.or_empty(),
                request.name.or_empty(),
                json_arguments(request.arguments),
            );
        }
        let usage = TokenUsage {
            output: data.output_tokens.tokens(),
            ..TokenUsage::default()
        };
        let key = key_of(&["copilot", id, data.message_id.or_empty()]);
        self.builder.add_usage(Some(key), Some(at), usage);
        at
    }

    fn result(&mut self, id: &str, data: Data<'_>, time: Option<Timestamp>) -> usize {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Words<'a> {
            #[serde(borrow)]
            content: Text<'a>,
            #[serde(borrow)]
            message: Text<'a>,
        }
        let read = |raw: Option<&RawValue>| -> String {
            let Some(raw) = raw else { return String::new() };
            if raw.get().starts_with('"') {
                return serde_json::from_str(raw.get()).unwrap_or_default();
            }
            let words: Words<'_> = serde_json::from_str(raw.get()).unwrap_or_default();
            words
                .content
                .into_option()
                .or(words.message.into_option())
                .map(std::borrow::Cow::into_owned)
                .unwrap_or_default()
        };
        let mut content = read(data.result);
        if content.is_empty() {
            content = read(data.error);
        }
        let result = ToolResult {
            tool_call_id: data.tool_call_id.into_string(),
            content,
            is_error: data.success.is_some_and(|ok| !ok.0),
            exit_status: None,
        };
        self.builder
            .add_result(result, time, Some(id).filter(|id| !id.is_empty()))
    }
}

impl Copilot {
    pub(super) fn new(source: &Path, options: &ImportOptions) -> Self {
        Self {
            main: Conversation::new(source, options.max_text_bytes),
            sides: BTreeMap::new(),
        }
    }

    fn place(&mut self, data: &Data<'_>) {
        let trace = &mut self.main.builder.trace;
        if trace.session_id.is_empty() {
            data.session_id.or_empty().clone_into(&mut trace.session_id);
        }
        let some = |text: &Text<'_>| text.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        trace.agent_version = some(&data.copilot_version).or(trace.agent_version.take());
        if let Some(place) = &data.context {
            trace.cwd = trace.cwd.take().or_else(|| some(&place.cwd));
            trace.git.commit = trace.git.commit.take().or_else(|| some(&place.head_commit));
            trace.git.remote = trace.git.remote.take().or_else(|| some(&place.repository));
            trace.git.branch = some(&place.branch).or(trace.git.branch.take());
        }
    }

    /// The conversation an event belongs to.
    fn of(&mut self, parent: &str) -> &mut Conversation {
        if parent.is_empty() {
            return &mut self.main;
        }
        let main = &self.main.builder;
        self.sides
            .entry(parent.to_owned())
            .or_insert_with(|| Conversation::new(&main.trace.source, main.max_text_bytes()))
    }
}

impl Importer for Copilot {
    fn record(&mut self, line: &str, report: &mut ImportReport) -> Result<(), Reject> {
        let event: Event<'_> = serde_json::from_str(line).map_err(|_| reject(line))?;
        let (Some(kind), Some(data)) = (event.kind.as_str(), event.data) else {
            return Err(Reject::Shape);
        };
        let time = event.timestamp.as_str().and_then(|t| t.parse().ok());
        let id = event.id.or_empty();
        let parent = data.parent_tool_call_id.or_empty().to_owned();
        self.main.builder.at(time);
        let target = self.of(&parent);
        target.builder.at(time);
        let at = match kind {
            "session.start" | "session.resume" => {
                self.place(&data);
                None
            }
            "session.model_change" | "session.shutdown" => {
                if let Some(tokens) = data.token_details {
                    let count = |n: Option<Count>| n.unwrap_or_default().token_count.tokens();
                    let usage = TokenUsage {
                        input: count(tokens.input),
                        output: 0,
                        cache_creation: count(tokens.cache_write),
                        cache_read: count(tokens.cache_read),
                    };
                    self.main.builder.add_totals(usage);
                }
                None
            }
            "user.message" => {
                let kind = if parent.is_empty() {
                    MessageKind::Prompt
                } else {
                    MessageKind::Delegated
                };
                let text = data.content.into_string();
                Some(target.builder.text(Role::User, kind, text, time, Some(id)))
            }
            "system.message" | "system.notification" => {
                let text = data.content.into_string();
                let kind = MessageKind::Injected;
                Some(target.builder.text(Role::System, kind, text, time, Some(id)))
            }
            "assistant.message" => Some(target.assistant(id, data, time)),
            "assistant.reasoning" => {
                target.reasoning = Some(data.content.into_string());
                None
            }
            "tool.execution_complete" => Some(target.result(id, data, time)),
            "abort" => {
                let text = "[interrupted]".to_owned();
                let kind = MessageKind::Interrupt;
                Some(target.builder.text(Role::User, kind, text, time, Some(id)))
            }
            quiet if QUIET.contains(&quiet) => None,
            "session.compaction_complete" => {
                target.builder.trace.counts.compactions += 1;
                None
            }
            other => {
                report.unknown_record(other);
                return Ok(());
            }
        };
        report.understood(kind);
        if let Some(at) = at
            && !id.is_empty()
        {
            let key = key_of(&["copilot", id]);
            self.of(&parent).builder.add_record(at, key, key);
        }
        Ok(())
    }

    fn boxed_clone(&self) -> Box<dyn Importer> {
        Box::new(self.clone())
    }

    fn finish(mut self: Box<Self>) -> Vec<Parsed> {
        let trace = &mut self.main.builder.trace;
        if trace.session_id.is_empty() {
            // Each session has a folder of its own, named after it.
            let folder = trace.source.parent().and_then(Path::file_name);
            trace.session_id = folder
                .and_then(|name| name.to_str())
                .map_or_else(|| file_stem(&trace.source), str::to_owned);
        }
        let parent = trace.session_id.clone();
        let mut traces = Vec::new();
        if !self.main.builder.is_empty() {
            traces.push(self.main.builder.finish());
        }
        for (call, mut side) in self.sides {
            if !side.builder.is_empty() {
                side.builder.trace.session_id = format!("{parent}/{call}");
                side.builder.trace.parent_session_id = Some(parent.clone());
                traces.push(side.builder.finish());
            }
        }
        traces
    }
}
