//! Codex CLI: rollout files of `{timestamp, type, payload}` lines, and the bare items written before September 2025.

mod calls;
mod wire;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use jiff::Timestamp;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::xxh3_64;

use self::calls::Output;
use self::wire::{Envelope, Event, Git, Item, Meta, TokenInfo, TurnContext};
use super::builder::{Parsed, TraceBuilder, key_of};
use super::content::{empty_object, file_stem, flatten, json_arguments, push_paragraph, wrap};
use super::lenient::{Content, Flag, Text};
use super::{Importer, Reject, reject};
use crate::import::ImportOptions;
use crate::model::{Agent, Message, MessageKind, Role, TokenUsage, ToolResult};
use crate::report::ImportReport;

/// Event types that repeat what response items say, or carry nothing for a trace.
const QUIET_EVENTS: &[&str] = &[
    "agent_message",
    "agent_message_delta",
    "agent_reasoning",
    "agent_reasoning_delta",
    "agent_reasoning_raw_content",
    "agent_reasoning_section_break",
    "background_event",
    "collab_agent_interaction_end",
    "collab_agent_spawn_end",
    "collab_close_end",
    "collab_waiting_end",
    "context_compacted",
    "dynamic_tool_call_request",
    "dynamic_tool_call_response",
    "entered_review_mode",
    "error",
    "exec_approval_request",
    "exec_command_begin",
    "exec_command_output_delta",
    "exited_review_mode",
    "guardian_assessment",
    "image_generation_begin",
    "image_generation_end",
    "item_completed",
    "item_started",
    "mcp_tool_call_begin",
    "mcp_tool_call_end",
    "patch_apply_begin",
    "plan_update",
    "session_configured",
    "shutdown_complete",
    "stream_error",
    "sub_agent_activity",
    "task_complete",
    "task_started",
    "thread_goal_updated",
    "thread_name_updated",
    "thread_settings_applied",
    "turn_diff",
    "undo_completed",
    "undo_started",
    "view_image_tool_call",
    "warning",
    "web_search_begin",
    "web_search_end",
];

/// Starts of user texts that the program writes.
const PREAMBLES: &[&str] = &[
    "<environment_context>",
    "<user_instructions>",
    "# AGENTS.md instructions",
    "<INSTRUCTIONS>",
    "<turn_aborted>",
    "<user_shell_command>",
    "<skill>",
    "<skills_instructions>",
    "<permissions instructions>",
    "<apps_instructions>",
    "<plugins_instructions>",
    "<collaboration_mode>",
    "<subagent_notification>",
    "<hook_prompt",
    "<goal_context>",
    "<model_switch>",
];

/// Which of the two records of one prompt was seen last.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PromptSource {
    Item,
    Event,
}

/// Reads one Codex file.
#[derive(Clone)]
pub(super) struct Codex {
    builder: TraceBuilder,
    has_meta: bool,
    fork_parent: Option<String>,
    thread_parent: Option<String>,
    other_ids: BTreeSet<String>,
    /// The assistant message that further items of the same answer join.
    open: Option<usize>,
    /// A prompt of which only one of its two records was seen.
    prompt: Option<(usize, PromptSource)>,
    results: HashMap<String, usize>,
    exit_codes: HashMap<String, i32>,
    total: Option<TokenUsage>,
    /// Identity of the sequence of items so far; a fork starts with the same sequence as its parent.
    sequence: u64,
    keys: Vec<(usize, u64)>,
}

impl Codex {
    pub(super) fn new(source: &Path, options: &ImportOptions) -> Self {
        Self {
            builder: TraceBuilder::new(Agent::Codex, source, options.max_text_bytes),
            has_meta: false,
            fork_parent: None,
            thread_parent: None,
            other_ids: BTreeSet::new(),
            open: None,
            prompt: None,
            results: HashMap::new(),
            exit_codes: HashMap::new(),
            total: None,
            sequence: 0,
            keys: Vec::new(),
        }
    }

    fn meta(&mut self, raw: &str) {
        let Ok(meta) = serde_json::from_str::<Meta<'_>>(raw) else {
            return;
        };
        let Some(id) = meta.id.as_str().filter(|id| !id.is_empty()) else {
            return;
        };
        if self.has_meta {
            // A fork repeats its parent's header.
            if id != self.builder.trace.session_id {
                self.other_ids.insert(id.to_owned());
            }
            return;
        }
        self.has_meta = true;
        let some = |text: &Text<'_>| text.as_str().filter(|t| !t.is_empty()).map(str::to_owned);
        let trace = &mut self.builder.trace;
        id.clone_into(&mut trace.session_id);
        trace.cwd = some(&meta.cwd);
        trace.agent_version = some(&meta.cli_version);
        self.fork_parent = some(&meta.forked_from_id);
        self.thread_parent = some(&meta.parent_thread_id);
        if let Some(git) = meta
            .git
            .and_then(|raw| serde_json::from_str::<Git<'_>>(raw.get()).ok())
        {
            trace.git.branch = some(&git.branch);
            trace.git.commit = some(&git.commit_hash);
            trace.git.remote = some(&git.repository_url);
        }
        let time = meta.timestamp.as_str().and_then(|t| t.parse().ok());
        self.builder.at(time);
    }

    fn turn_context(&mut self, raw: &str) {
        let Ok(context) = serde_json::from_str::<TurnContext<'_>>(raw) else {
            return;
        };
        self.builder.model(context.model.or_empty());
        let cwd = &mut self.builder.trace.cwd;
        if cwd.is_none() {
            *cwd = context.cwd.as_str().filter(|c| !c.is_empty()).map(str::to_owned);
        }
    }

    fn item(&mut self, raw: &str, time: Option<Timestamp>, report: &mut ImportReport) -> Result<(), Reject> {
        let item: Item<'_> = serde_json::from_str(raw).map_err(|_| Reject::Shape)?;
        let kind = item.kind.or_empty().to_owned();
        let at = match kind.as_str() {
            "message" => self.message(item, time, report),
            "reasoning" => {
                let at = self.open_assistant(time);
                let mut text = String::new();
                for content in [item.summary, item.content] {
                    if let Content::Blocks(blocks) = content {
                        for block in blocks {
                            push_paragraph(&mut text, block.text.or_empty());
                        }
                    }
                }
                self.builder.add_thinking(at, &text);
                at
            }
            "function_call"
            | "custom_tool_call"
            | "local_shell_call"
            | "web_search_call"
            | "tool_search_call"
            | "image_generation_call" => self.call(&kind, &item, time),
            "function_call_output" | "custom_tool_call_output" | "tool_search_output" => {
                self.output(item, time, report)
            }
            // Words between agents, and the program's own bookkeeping.
            "agent_message" | "ghost_snapshot" | "compaction" | "compaction_summary" | "other" => {
                report.understood(&format!("response_item/{kind}"));
                return Ok(());
            }
            _ => {
                report.unknown_record(&format!("response_item/{kind}"));
                return Ok(());
            }
        };
        report.understood(&format!("response_item/{kind}"));
        self.sequence =
            xxh3_64(&[self.sequence.to_le_bytes(), xxh3_64(raw.as_bytes()).to_le_bytes()].concat());
        self.keys.push((at, self.sequence));
        Ok(())
    }

    fn message(&mut self, item: Item<'_>, time: Option<Timestamp>, report: &mut ImportReport) -> usize {
        let role = item.role.or_empty().to_owned();
        let has_image = item.content.has("input_image");
        let text = flatten(item.content, report);
        match role.as_str() {
            "assistant" => {
                let at = self.open_assistant(time);
                self.builder.add_text(at, &text);
                at
            }
            "user" => {
                let trimmed = text.trim_start();
                if PREAMBLES.iter().any(|p| trimmed.starts_with(p)) || (trimmed.is_empty() && !has_image) {
                    self.close();
                    return self
                        .builder
                        .text(Role::User, MessageKind::Injected, text, time, None);
                }
                self.user_prompt(text, PromptSource::Item, time)
            }
            _ => {
                self.close();
                self.builder
                    .text(Role::System, MessageKind::Injected, text, time, None)
            }
        }
    }

    /// Takes a prompt, which the log holds twice: as an item of the conversation and as an event.
    fn user_prompt(&mut self, text: String, source: PromptSource, time: Option<Timestamp>) -> usize {
        if let Some((at, seen)) = self.prompt
            && seen != source
        {
            self.prompt = None;
            if source == PromptSource::Event {
                // The event has what was typed; the item may have the editor's context around it.
                let text = self.builder.clip(text);
                self.builder.trace.messages[at].text = text;
            }
            return at;
        }
        self.close();
        let kind = if self.thread_parent.is_some() {
            MessageKind::Delegated
        } else {
            MessageKind::Prompt
        };
        let at = self.builder.text(Role::User, kind, text, time, None);
        self.prompt = Some((at, source));
        at
    }

    /// Ends the open answer and the open prompt.
    fn close(&mut self) {
        self.open = None;
        self.prompt = None;
    }

    fn open_assistant(&mut self, time: Option<Timestamp>) -> usize {
        self.prompt = None;
        if let Some(at) = self.open {
            return at;
        }
        let mut message = Message::new(Role::Assistant, MessageKind::Assistant, String::new());
        message.timestamp = time;
        let at = self.builder.push(message);
        self.open = Some(at);
        at
    }

    fn call(&mut self, kind: &str, item: &Item<'_>, time: Option<Timestamp>) -> usize {
        let at = self.open_assistant(time);
        let (name, arguments) = match kind {
            "function_call" => (item.name.or_empty(), json_arguments(item.arguments)),
            "custom_tool_call" => {
                let input = item.input.or_empty();
                if item.name.as_str() == Some("apply_patch") {
                    self.patched(input);
                }
                (item.name.or_empty(), wrap("input", input))
            }
            "local_shell_call" => ("local_shell", json_arguments(item.action)),
            "web_search_call" => ("web_search", json_arguments(item.action)),
            "tool_search_call" => ("tool_search", json_arguments(item.arguments)),
            _ => ("image_generation", empty_object()),
        };
        let id = item
            .call_id
            .as_str()
            .filter(|id| !id.is_empty())
            .or(item.id.as_str())
            .unwrap_or_default();
        self.builder.add_call(at, id, name, arguments);
        at
    }

    fn output(&mut self, item: Item<'_>, time: Option<Timestamp>, report: &mut ImportReport) -> usize {
        self.close();
        let id = item.call_id.into_string();
        let output = item
            .output
            .map_or_else(Output::default, |raw| Output::read(raw, report));
        let exit_status = output.exit_status.or_else(|| self.exit_codes.get(&id).copied());
        let is_error = output.failed || exit_status.is_some_and(|code| code != 0);
        let result = ToolResult {
            tool_call_id: id.clone(),
            content: output.text,
            is_error,
            exit_status,
        };
        let at = self.builder.add_result(result, time, None);
        self.results.insert(id, at);
        at
    }

    /// Notes the files a patch names.
    fn patched(&mut self, patch: &str) {
        const HEADS: [&str; 4] = [
            "*** Update File: ",
            "*** Add File: ",
            "*** Delete File: ",
            "*** Move to: ",
        ];
        for line in patch.lines() {
            if let Some(path) = HEADS.iter().find_map(|head| line.strip_prefix(head)) {
                self.builder.trace.files.written.insert(path.trim().to_owned());
            }
        }
    }

    fn event(&mut self, raw: &str, time: Option<Timestamp>, report: &mut ImportReport) -> Result<(), Reject> {
        let event: Event<'_> = serde_json::from_str(raw).map_err(|_| Reject::Shape)?;
        let kind = event.kind.or_empty().to_owned();
        match kind.as_str() {
            "user_message" => {
                let text = event.message.into_string();
                if !text.trim().is_empty() {
                    self.user_prompt(text, PromptSource::Event, time);
                }
            }
            "token_count" => self.tokens(&event.info.unwrap_or_default()),
            "exec_command_end" => {
                if let Some(code) = event.exit_code.0.and_then(|code| i32::try_from(code).ok()) {
                    self.exited(event.call_id.or_empty(), code);
                }
            }
            "patch_apply_end" => {
                let changes: BTreeMap<String, Flag> = event
                    .changes
                    .and_then(|raw| serde_json::from_str(raw.get()).ok())
                    .unwrap_or_default();
                self.builder.trace.files.written.extend(changes.into_keys());
                if event.success.is_some_and(|ok| !ok.0)
                    && let Some(&at) = self.results.get(event.call_id.or_empty())
                    && let Some(result) = self.builder.trace.messages[at].tool_result.as_mut()
                {
                    result.is_error = true;
                }
            }
            "turn_aborted" => {
                self.close();
                let text = "[interrupted]".to_owned();
                self.builder
                    .text(Role::User, MessageKind::Interrupt, text, time, None);
            }
            "thread_rolled_back" => self.roll_back(event.num_turns.tokens()),
            known if QUIET_EVENTS.contains(&known) => {}
            _ => {
                report.unknown_record(&format!("event_msg/{kind}"));
                return Ok(());
            }
        }
        report.understood(&format!("event_msg/{kind}"));
        Ok(())
    }

    fn exited(&mut self, call_id: &str, code: i32) {
        self.exit_codes.insert(call_id.to_owned(), code);
        if let Some(&at) = self.results.get(call_id)
            && let Some(result) = self.builder.trace.messages[at].tool_result.as_mut()
        {
            result.exit_status = result.exit_status.or(Some(code));
            result.is_error |= code != 0;
        }
    }

    /// Takes what was used since the last count. Counts are cumulative and are written more than once.
    fn tokens(&mut self, info: &TokenInfo) {
        let last = info.last_token_usage.map(TokenUsage::from);
        let total = info.total_token_usage.map(TokenUsage::from);
        let used = match (total, self.total) {
            (Some(total), Some(before)) if total == before => return,
            (Some(total), Some(before)) => difference(total, before).or(last).unwrap_or(total),
            (Some(total), None) => last.unwrap_or(total),
            (None, _) => match last {
                Some(last) => last,
                None => return,
            },
        };
        self.total = total.or(self.total);
        let message = self.builder.trace.messages.len().checked_sub(1);
        self.builder.add_usage(None, message, used);
    }

    /// Marks the last prompts, and what followed them, as taken back.
    fn roll_back(&mut self, turns: u64) {
        let mut left = turns;
        for message in self.builder.trace.messages.iter_mut().rev() {
            if left == 0 {
                break;
            }
            if message.rewound {
                continue;
            }
            message.rewound = true;
            left -= u64::from(message.kind.opens_segment());
        }
        self.close();
    }
}

impl Importer for Codex {
    fn record(&mut self, line: &str, report: &mut ImportReport) -> Result<(), Reject> {
        let envelope: Envelope<'_> = serde_json::from_str(line).map_err(|_| reject(line))?;
        let kind = envelope.kind.or_empty();
        let time = envelope.timestamp.as_str().and_then(|t| t.parse().ok());
        self.builder.at(time);
        let Some(payload) = envelope.payload.map(RawValue::get) else {
            return self.bare(line, &envelope, report);
        };
        match kind {
            "session_meta" => self.meta(payload),
            "turn_context" => self.turn_context(payload),
            "response_item" => return self.item(payload, time, report),
            "event_msg" => return self.event(payload, time, report),
            "compacted" => {
                self.close();
                self.builder.trace.counts.compactions += 1;
            }
            "world_state" | "inter_agent_communication_metadata" => {}
            other => {
                report.unknown_record(other);
                return Ok(());
            }
        }
        report.understood(kind);
        Ok(())
    }

    fn boxed_clone(&self) -> Box<dyn Importer> {
        Box::new(self.clone())
    }

    fn finish(mut self: Box<Self>) -> Vec<Parsed> {
        if self.builder.is_empty() {
            return Vec::new();
        }
        let trace = &mut self.builder.trace;
        if trace.session_id.is_empty() {
            trace.session_id = file_stem(&trace.source);
        }
        let own = trace.session_id.clone();
        trace.parent_session_id = self.thread_parent.filter(|parent| *parent != own);
        trace.related_session_ids = self.other_ids;
        trace
            .related_session_ids
            .extend(self.fork_parent.clone().filter(|parent| *parent != own));
        let origin = self.fork_parent.unwrap_or_else(|| own.clone());
        for (message, sequence) in self.keys {
            let sequence = sequence.to_string();
            self.builder
                .add_record(message, key_of(&[&own, &sequence]), key_of(&[&origin, &sequence]));
        }
        vec![self.builder.finish()]
    }
}

impl Codex {
    /// Takes a line of the old form, which has no envelope.
    fn bare(&mut self, line: &str, envelope: &Envelope<'_>, report: &mut ImportReport) -> Result<(), Reject> {
        let kind = envelope.kind.or_empty();
        if kind.is_empty() {
            if envelope.record_type.0.is_some() {
                report.understood("state");
            } else if self.has_meta {
                return Err(Reject::Shape);
            } else {
                self.meta(line);
                report.understood("session_meta");
            }
            return Ok(());
        }
        self.item(line, None, report)
    }
}

fn difference(total: TokenUsage, before: TokenUsage) -> Option<TokenUsage> {
    Some(TokenUsage {
        input: total.input.checked_sub(before.input)?,
        output: total.output.checked_sub(before.output)?,
        cache_creation: total.cache_creation.checked_sub(before.cache_creation)?,
        cache_read: total.cache_read.checked_sub(before.cache_read)?,
    })
}
