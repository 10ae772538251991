//! Gemini CLI: one JSON object with all messages, or (since early 2026) a line for the header and one for each message.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::builder::{Parsed, TraceBuilder, key_of};
use super::content::{empty_object, file_stem, number_after, push_paragraph};
use super::lenient::{Content, Int, Text};
use super::{Importer, Reject, reject};
use crate::import::ImportOptions;
use crate::model::{Agent, Message, MessageKind, Role, TokenUsage, ToolResult};
use crate::report::ImportReport;

/// A message as it stands in the log; a later record of the same id replaces it.
#[derive(Clone)]
struct Record {
    id: String,
    raw: String,
    rewound: bool,
}

/// Reads one Gemini CLI file.
///
/// # Source
///
/// `packages/core/src/services/chatRecordingService.ts` and `chatRecordingTypes.ts` of google-gemini/gemini-cli.
#[derive(Clone)]
pub(super) struct Gemini {
    builder: TraceBuilder,
    parent: Option<String>,
    is_subagent: bool,
    records: Vec<Record>,
    by_id: HashMap<String, usize>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow, rename = "type")]
    kind: Text<'a>,
    #[serde(borrow)]
    content: Content<'a>,
    #[serde(borrow)]
    model: Text<'a>,
    #[serde(borrow)]
    thoughts: Option<Vec<Thought<'a>>>,
    tokens: Option<Tokens>,
    #[serde(borrow)]
    tool_calls: Option<Vec<Call<'a>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Thought<'a> {
    #[serde(borrow)]
    subject: Text<'a>,
    #[serde(borrow)]
    description: Text<'a>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tokens {
    input: Int,
    output: Int,
    cached: Int,
    thoughts: Int,
    tool: Int,
}

impl From<Tokens> for TokenUsage {
    fn from(tokens: Tokens) -> Self {
        // What came from the cache is part of `input` in the log.
        let cached = tokens.cached.tokens();
        Self {
            input: tokens
                .input
                .tokens()
                .saturating_sub(cached)
                .saturating_add(tokens.tool.tokens()),
            output: tokens.output.tokens().saturating_add(tokens.thoughts.tokens()),
            cache_creation: 0,
            cache_read: cached,
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Call<'a> {
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
    #[serde(borrow)]
    status: Text<'a>,
}

impl Gemini {
    pub(super) fn new(source: &Path, options: &ImportOptions) -> Self {
        // A subagent's file lies in a folder with the name of its parent's session.
        let folder = source.parent();
        let in_chats = folder.and_then(Path::parent).and_then(Path::file_name) == Some("chats".as_ref());
        let parent = folder
            .filter(|_| in_chats)
            .and_then(Path::file_name)
            .and_then(|name| name.to_str())
            .map(str::to_owned);
        Self {
            builder: TraceBuilder::new(Agent::GeminiCli, source, options.max_text_bytes),
            parent,
            is_subagent: false,
            records: Vec::new(),
            by_id: HashMap::new(),
        }
    }

    fn message(&mut self, raw: &str, report: &mut ImportReport) -> Result<(), Reject> {
        let entry: Entry<'_> = serde_json::from_str(raw).map_err(|_| Reject::Shape)?;
        let id = entry.id.or_empty();
        let kind = entry.kind.or_empty();
        if id.is_empty() || kind.is_empty() {
            return Err(Reject::Shape);
        }
        match kind {
            "user" | "gemini" | "info" | "error" | "warning" => report.understood(kind),
            other => report.unknown_record(other),
        }
        let record = Record {
            id: id.to_owned(),
            raw: raw.to_owned(),
            rewound: false,
        };
        if let Some(&at) = self.by_id.get(id) {
            self.records[at] = record;
            report.repeated_lines += 1;
        } else {
            self.by_id.insert(id.to_owned(), self.records.len());
            self.records.push(record);
        }
        Ok(())
    }

    fn rewind(&mut self, id: &str) {
        let from = self.by_id.get(id).copied().unwrap_or_default();
        for record in &mut self.records[from..] {
            record.rewound = true;
            // The same id may come again, as a new message.
            self.by_id.remove(&record.id);
        }
    }

    fn add(&mut self, record: &Record, report: &mut ImportReport) {
        let Ok(entry) = serde_json::from_str::<Entry<'_>>(&record.raw) else {
            return;
        };
        let time = entry.timestamp.as_str().and_then(|t| t.parse().ok());
        self.builder.at(time);
        let first = self.builder.trace.messages.len();
        let text = parts(entry.content, report);
        match entry.kind.or_empty() {
            "user" => {
                let kind = if self.is_subagent {
                    MessageKind::Delegated
                } else {
                    MessageKind::Prompt
                };
                self.builder.text(Role::User, kind, text, time, Some(&record.id));
            }
            "error" => {
                self.builder.text(
                    Role::Assistant,
                    MessageKind::Synthetic,
                    text,
                    time,
                    Some(&record.id),
                );
            }
            "gemini" => {
                let mut message = Message::new(Role::Assistant, MessageKind::Assistant, String::new());
                message.timestamp = time;
                message.uuid = Some(record.id.clone());
                let at = self.builder.push(message);
                self.builder.add_text(at, &text);
                self.builder.model(entry.model.or_empty());
                for thought in entry.thoughts.unwrap_or_default() {
                    let mut text = thought.subject.into_string();
                    push_paragraph(&mut text, thought.description.or_empty());
                    self.builder.add_thinking(at, &text);
                }
                if let Some(tokens) = entry.tokens {
                    let key = key_of(&["gemini", &record.id]);
                    self.builder.add_usage(Some(key), Some(at), tokens.into());
                }
                let calls = entry.tool_calls.unwrap_or_default();
                for call in &calls {
                    self.call(at, call);
                }
                for call in calls {
                    self.result(call, time, &record.id, report);
                }
            }
            // Notes to the person at the terminal; the model does not see them.
            _ => {}
        }
        let last = self.builder.trace.messages.len();
        for at in first..last {
            self.builder.trace.messages[at].rewound = record.rewound;
            let key = key_of(&["gemini", &record.id]);
            self.builder.add_record(at, key, key);
        }
    }

    fn call(&mut self, at: usize, call: &Call<'_>) {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Target<'a> {
            #[serde(borrow)]
            file_path: Text<'a>,
            #[serde(borrow)]
            absolute_path: Text<'a>,
        }
        let arguments = match call.args {
            Some(args) if args.get().starts_with('{') => args.to_owned(),
            _ => empty_object(),
        };
        let name = call.name.or_empty();
        let files = &mut self.builder.trace.files;
        let set = match name {
            "read_file" => Some(&mut files.read),
            "write_file" | "replace" => Some(&mut files.written),
            _ => None,
        };
        if let Some(set) = set
            && let Ok(target) = serde_json::from_str::<Target<'_>>(arguments.get())
            && let Some(path) = target
                .file_path
                .into_option()
                .or(target.absolute_path.into_option())
        {
            set.insert(path.into_owned());
        }
        self.builder.add_call(at, call.id.or_empty(), name, arguments);
    }

    fn result(
        &mut self,
        call: Call<'_>,
        time: Option<jiff::Timestamp>,
        uuid: &str,
        report: &mut ImportReport,
    ) {
        let Some(raw) = call.result else { return };
        let content = response_text(raw, report);
        let exit_status = number_after(&content, "Exit Code: ");
        let status = call.status.or_empty();
        let is_error = matches!(status, "error" | "cancelled") || exit_status.is_some_and(|code| code != 0);
        let result = ToolResult {
            tool_call_id: call.id.into_string(),
            content,
            is_error,
            exit_status,
        };
        self.builder.add_result(result, time, Some(uuid));
    }
}

/// Joins the text parts of a message. A part of the Gemini API has no type, only one field that says what it is.
fn parts(content: Content<'_>, report: &mut ImportReport) -> String {
    match content {
        Content::None => String::new(),
        Content::Text(text) => text.into_owned(),
        Content::Blocks(blocks) => {
            let mut text = String::new();
            for block in blocks {
                if block.text.0.is_some() {
                    push_paragraph(&mut text, block.text.or_empty());
                } else {
                    report.lost_block("part");
                }
            }
            text
        }
    }
}

/// The output in the function responses of a call.
fn response_text(raw: &RawValue, report: &mut ImportReport) -> String {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Part<'a> {
        #[serde(borrow)]
        function_response: Option<FunctionResponse<'a>>,
        #[serde(borrow)]
        text: Text<'a>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct FunctionResponse<'a> {
        #[serde(borrow)]
        response: Option<&'a RawValue>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Response<'a> {
        #[serde(borrow)]
        output: Text<'a>,
        #[serde(borrow)]
        error: Text<'a>,
    }
    let list = serde_json::from_str::<Vec<Part<'_>>>(raw.get())
        .or_else(|_| serde_json::from_str::<Part<'_>>(raw.get()).map(|part| vec![part]));
    let Ok(list) = list else {
        return serde_json::from_str::<Text<'_>>(raw.get())
            .unwrap_or_default()
            .into_string();
    };
    let mut text = String::new();
    for part in list {
        if let Some(response) = part.function_response.and_then(|f| f.response) {
            let known: Response<'_> = serde_json::from_str(response.get()).unwrap_or_default();
            match known.output.into_option().or(known.error.into_option()) {
                Some(output) => push_paragraph(&mut text, &output),
                None => push_paragraph(&mut text, response.get()),
            }
        } else if part.text.0.is_some() {
            push_paragraph(&mut text, part.text.or_empty());
        } else {
            report.lost_block("part");
        }
    }
    text
}

/// Takes a record of the log field by field, so that a cut file gives all messages before the cut.
struct Whole<'g> {
    gemini: &'g mut Gemini,
    report: &'g mut ImportReport,
}

struct Messages<'g> {
    gemini: &'g mut Gemini,
    report: &'g mut ImportReport,
}

impl<'de> DeserializeSeed<'de> for Messages<'_> {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Messages<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of messages")
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while let Some(raw) = seq.next_element::<&RawValue>()? {
            if self.gemini.message(raw.get(), self.report).is_err() {
                self.report.lost_block("message");
            }
        }
        Ok(())
    }
}

impl<'de> Visitor<'de> for Whole<'_> {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a session")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match &*key {
                "sessionId" => {
                    let id = map.next_value::<Text<'de>>()?.into_string();
                    if !id.is_empty() {
                        self.gemini.builder.trace.session_id = id;
                    }
                }
                "kind" => {
                    self.gemini.is_subagent = map.next_value::<Text<'de>>()?.as_str() == Some("subagent");
                }
                "startTime" | "lastUpdated" => {
                    let time = map.next_value::<Text<'de>>()?;
                    self.gemini.builder.at(time.as_str().and_then(|t| t.parse().ok()));
                }
                "directories" => {
                    let folders: Content<'de> = map.next_value()?;
                    if let Content::Blocks(blocks) = folders
                        && let Some(first) = blocks.first()
                        && !first.text.or_empty().is_empty()
                    {
                        self.gemini.builder.trace.cwd = Some(first.text.or_empty().to_owned());
                    }
                }
                "messages" => map.next_value_seed(Messages {
                    gemini: &mut *self.gemini,
                    report: &mut *self.report,
                })?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(())
    }
}

impl Gemini {
    fn whole(&mut self, text: &str, report: &mut ImportReport) -> Result<(), Reject> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let whole = Whole { gemini: self, report };
        deserializer.deserialize_map(whole).map_err(|_| Reject::NotJson)
    }
}

impl Importer for Gemini {
    fn record(&mut self, line: &str, report: &mut ImportReport) -> Result<(), Reject> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Head<'a> {
            #[serde(borrow, rename = "$rewindTo")]
            rewind: Text<'a>,
            #[serde(borrow, rename = "$set")]
            set: Option<&'a RawValue>,
            #[serde(borrow)]
            id: Text<'a>,
        }
        let head: Head<'_> = match serde_json::from_str(line) {
            Ok(head) => head,
            // A whole session in one object that is cut still has messages in it.
            Err(_) if line.contains("\"projectHash\"") => return self.whole(line, report),
            Err(_) => return Err(reject(line)),
        };
        if let Some(id) = head.rewind.as_str() {
            self.rewind(id);
            report.understood("$rewindTo");
            return Ok(());
        }
        if let Some(set) = head.set {
            report.understood("$set");
            return self.whole(set.get(), report).map_err(|_| Reject::Shape);
        }
        if head.id.0.is_some() {
            return self.message(line, report);
        }
        report.understood("session");
        self.whole(line, report)
    }

    fn boxed_clone(&self) -> Box<dyn Importer> {
        Box::new(self.clone())
    }

    fn finish(mut self: Box<Self>) -> Vec<Parsed> {
        let mut report = ImportReport::default();
        for record in std::mem::take(&mut self.records) {
            self.add(&record, &mut report);
        }
        if self.builder.is_empty() {
            return Vec::new();
        }
        let trace = &mut self.builder.trace;
        if trace.session_id.is_empty() {
            trace.session_id = file_stem(&trace.source);
        }
        if self.is_subagent {
            trace.parent_session_id = self.parent;
        }
        let mut parsed = self.builder.finish();
        parsed.absorb(report);
        vec![parsed]
    }
}
