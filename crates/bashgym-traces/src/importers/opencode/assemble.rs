//! Makes a trace of a session, its messages and their parts, wherever they were read from.

use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;

use super::wire::{Info, Metadata, Part, State};
use crate::import::ImportOptions;
use crate::importers::builder::{Parsed, TraceBuilder, key_of};
use crate::importers::content::{empty_object, json_arguments, millis, push_paragraph};
use crate::importers::lenient::{Int, Text};
use crate::model::{Agent, Message, MessageKind, Role, TokenUsage, ToolResult};
use crate::report::ImportReport;

/// What is known of a session before its messages.
#[derive(Default)]
pub(super) struct Head {
    pub(super) id: String,
    pub(super) parent_id: Option<String>,
    pub(super) version: Option<String>,
    pub(super) directory: Option<String>,
    pub(super) created: Int,
    pub(super) updated: Int,
    /// The first message that the person took back.
    pub(super) reverted_from: Option<String>,
}

pub(super) struct Assembler {
    builder: TraceBuilder,
    is_subagent: bool,
    reverted_from: Option<String>,
    reverted: bool,
}

impl Assembler {
    pub(super) fn new(source: &Path, options: &ImportOptions, head: Head) -> Self {
        let mut builder = TraceBuilder::new(Agent::OpenCode, source, options.max_text_bytes);
        builder.at(millis(head.created));
        builder.at(millis(head.updated));
        let is_subagent = head.parent_id.is_some();
        let trace = &mut builder.trace;
        trace.session_id = head.id;
        trace.parent_session_id = head.parent_id;
        trace.agent_version = head.version;
        trace.cwd = head.directory;
        Self {
            builder,
            is_subagent,
            reverted_from: head.reverted_from,
            reverted: false,
        }
    }

    /// Takes one message with its parts, both as JSON; `id` is what names it where the JSON does not.
    pub(super) fn message(&mut self, id: &str, info: &str, parts: &[String], report: &mut ImportReport) {
        let Ok(info) = serde_json::from_str::<Info<'_>>(info) else {
            report.lost_block("message");
            return;
        };
        let id = info
            .id
            .as_str()
            .filter(|id| !id.is_empty())
            .unwrap_or(id)
            .to_owned();
        self.reverted |= self.reverted_from.as_ref() == Some(&id);
        let time = info.time.and_then(|t| millis(t.created));
        self.builder.at(time);
        self.builder.at(info.time.and_then(|t| millis(t.completed)));
        let parts: Vec<Part<'_>> = parts
            .iter()
            .filter_map(|part| {
                let parsed = serde_json::from_str(part).ok();
                if parsed.is_none() {
                    report.lost_block("part");
                }
                parsed
            })
            .collect();
        let first = self.builder.trace.messages.len();
        match info.role.or_empty() {
            "user" => {
                report.understood("user");
                self.user(&info, &parts, &id, time, report);
            }
            "assistant" => {
                report.understood("assistant");
                self.assistant(info, parts, &id, time, report);
            }
            other => report.unknown_record(&format!("message/{other}")),
        }
        let key = key_of(&["opencode", &id]);
        for at in first..self.builder.trace.messages.len() {
            self.builder.trace.messages[at].rewound = self.reverted;
            self.builder.add_record(at, key, key);
        }
    }

    fn user(
        &mut self,
        info: &Info<'_>,
        parts: &[Part<'_>],
        id: &str,
        time: Option<Timestamp>,
        report: &mut ImportReport,
    ) {
        let (mut typed, mut added) = (String::new(), String::new());
        for part in parts {
            let kind = part.kind.or_empty();
            match kind {
                "text" if part.synthetic.0 => push_paragraph(&mut added, part.text.or_empty()),
                "text" => push_paragraph(&mut typed, part.text.or_empty()),
                "compaction" => self.builder.trace.counts.compactions += 1,
                "agent" | "subtask" | "snapshot" => {}
                "file" => report.lost_block("file"),
                other => {
                    report.unknown_record(&format!("part/{other}"));
                    continue;
                }
            }
            report.understood(&format!("part/{kind}"));
        }
        if parts.is_empty() {
            typed = summary_body(info);
        }
        let kind = if self.is_subagent {
            MessageKind::Delegated
        } else {
            MessageKind::Prompt
        };
        for (kind, text) in [(kind, typed), (MessageKind::Injected, added)] {
            if !text.trim().is_empty() {
                self.builder.text(Role::User, kind, text, time, Some(id));
            }
        }
    }

    fn assistant(
        &mut self,
        info: Info<'_>,
        parts: Vec<Part<'_>>,
        id: &str,
        time: Option<Timestamp>,
        report: &mut ImportReport,
    ) {
        let is_summary = info.summary.is_some_and(|raw| raw.get() == "true");
        let (role, kind) = if is_summary {
            (Role::User, MessageKind::CompactSummary)
        } else {
            (Role::Assistant, MessageKind::Assistant)
        };
        let mut message = Message::new(role, kind, String::new());
        message.timestamp = time;
        message.uuid = Some(id.to_owned());
        let at = self.builder.push(message);
        let model = info.model.unwrap_or_default();
        self.builder
            .model(info.model_id.as_str().unwrap_or(model.model_id.or_empty()));
        let mut counted: Option<TokenUsage> = None;
        let mut results = Vec::new();
        for part in parts {
            let kind = part.kind.or_empty().to_owned();
            match kind.as_str() {
                "text" => self.builder.add_text(at, part.text.or_empty()),
                "reasoning" => self.builder.add_thinking(at, part.text.or_empty()),
                "tool" => {
                    let state = part.state.unwrap_or_default();
                    self.call(at, part.call_id.or_empty(), part.tool.or_empty(), &state);
                    results.push((part.call_id.into_string(), state));
                }
                "step-finish" => {
                    if let Some(tokens) = part.tokens {
                        counted.get_or_insert_default().add(tokens.into());
                    }
                }
                "patch" => {
                    let files = part.files.unwrap_or_default();
                    let written = files.into_iter().map(Text::into_string);
                    self.builder.trace.files.written.extend(written);
                }
                "compaction" => self.builder.trace.counts.compactions += 1,
                "step-start" | "snapshot" | "agent" | "subtask" | "retry" => {}
                "file" => report.lost_block("file"),
                other => {
                    report.unknown_record(&format!("part/{other}"));
                    continue;
                }
            }
            report.understood(&format!("part/{kind}"));
        }
        if let Some(usage) = info.tokens.map(TokenUsage::from).or(counted) {
            let key = key_of(&["opencode", id]);
            self.builder.add_usage(Some(key), Some(at), usage);
        }
        for (call, state) in results {
            self.result(call, state, id, time);
        }
        if let Some(error) = info.error {
            let aborted = error.name.or_empty() == "MessageAbortedError";
            let words = error.data.unwrap_or_default().message.into_string();
            if aborted {
                let text = "[interrupted]".to_owned();
                self.builder
                    .text(Role::User, MessageKind::Interrupt, text, time, Some(id));
            } else {
                self.builder
                    .text(Role::Assistant, MessageKind::Synthetic, words, time, Some(id));
            }
        }
    }

    fn call(&mut self, at: usize, id: &str, tool: &str, state: &State<'_>) {
        #[derive(Default, Deserialize)]
        #[serde(default, rename_all = "camelCase")]
        struct Target<'a> {
            #[serde(borrow)]
            file_path: Text<'a>,
        }
        let arguments = state
            .input
            .map_or_else(empty_object, |input| json_arguments(Some(input)));
        let files = &mut self.builder.trace.files;
        let set = match tool {
            "read" => Some(&mut files.read),
            "edit" | "write" => Some(&mut files.written),
            _ => None,
        };
        if let Some(set) = set
            && let Ok(target) = serde_json::from_str::<Target<'_>>(arguments.get())
            && let Some(path) = target.file_path.into_option()
        {
            set.insert(path.into_owned());
        }
        self.builder.add_call(at, id, tool, arguments);
    }

    fn result(&mut self, call: String, state: State<'_>, id: &str, time: Option<Timestamp>) {
        let status = state.status.or_empty().to_owned();
        // A call that still runs, or was cut off, has no result yet.
        if matches!(status.as_str(), "pending" | "running") {
            return;
        }
        let exit_status = state
            .metadata
            .and_then(|raw| serde_json::from_str::<Metadata>(raw.get()).ok())
            .and_then(|metadata| metadata.exit.0)
            .and_then(|code| i32::try_from(code).ok());
        let content = state.output.into_option().or(state.error.into_option());
        let result = ToolResult {
            tool_call_id: call,
            content: content.map(std::borrow::Cow::into_owned).unwrap_or_default(),
            is_error: status == "error" || exit_status.is_some_and(|code| code != 0),
            exit_status,
        };
        let ended = state.time.and_then(|t| millis(t.end)).or(time);
        self.builder.add_result(result, ended, Some(id));
    }

    pub(super) fn finish(self, report: ImportReport) -> Option<Parsed> {
        if self.builder.is_empty() {
            return None;
        }
        let mut parsed = self.builder.finish();
        parsed.absorb(report);
        Some(parsed)
    }
}

/// The oldest trees keep what was typed only in the message's summary.
fn summary_body(info: &Info<'_>) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Summary<'a> {
        #[serde(borrow)]
        body: Text<'a>,
    }
    info.summary
        .filter(|raw| raw.get().starts_with('{'))
        .and_then(|raw| serde_json::from_str::<Summary<'_>>(raw.get()).ok())
        .map(|summary| summary.body.into_string())
        .unwrap_or_default()
}
