//! One importer per agent, behind one seam: records in, traces out.

mod builder;
mod claude_code;
mod codex;
mod lenient;
mod lines;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use ruzstd::decoding::StreamingDecoder;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

pub(crate) use builder::{Parsed, RecordKey};

use self::lenient::Text;
use self::lines::{LineReader, Repairs, Step, repair};
use crate::error::TracesError;
use crate::import::ImportOptions;
use crate::model::Agent;
use crate::report::{ImportReport, Problem, ProblemKind};

/// Why a record was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reject {
    NotJson,
    Shape,
}

/// Reads the records of one file.
pub(crate) trait Importer {
    /// Takes one record.
    fn record(&mut self, line: &str, report: &mut ImportReport) -> Result<(), Reject>;

    /// Ends the file and gives the traces found in it, the main one first.
    fn finish(self: Box<Self>) -> Vec<Parsed>;
}

/// What one file gave.
#[derive(Default)]
pub(crate) struct FileOutcome {
    pub(crate) traces: Vec<Parsed>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) bytes: u64,
    /// What was lost of a file that gave no trace.
    pub(crate) lost: BTreeMap<String, u64>,
}

const READ_BUFFER: usize = 256 * 1024;
/// How much of a file may pass before its agent must be known.
const SNIFF_LINES: usize = 200;
const SNIFF_BYTES: usize = 4 * 1024 * 1024;

/// Opens a log, decompressing it when it starts like a Zstandard frame.
pub(crate) fn open(mut file: File) -> io::Result<Box<dyn Read>> {
    const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];
    let mut head = Vec::with_capacity(MAGIC.len());
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut head)?;
    let compressed = head == MAGIC;
    let whole = io::Cursor::new(head).chain(file);
    if !compressed {
        return Ok(Box::new(whole));
    }
    let decoder = StreamingDecoder::new(whole).map_err(io::Error::other)?;
    Ok(Box::new(decoder))
}

/// Tells which agent wrote a log, from its first records; `None` when they are of no agent known here.
///
/// # Errors
///
/// [`TracesError::Io`] when the file cannot be read.
pub fn detect_agent(path: &Path) -> Result<Option<Agent>, TracesError> {
    let failed = |e| TracesError::io("reading", path, e);
    let mut head = BufReader::new(
        File::open(path)
            .and_then(open)
            .map_err(failed)?
            .take(SNIFF_BYTES as u64),
    );
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

/// Reads one file to its end; whatever is wrong with it is in the outcome.
pub(crate) fn read_file(path: &Path, options: &ImportOptions) -> FileOutcome {
    let opened = match File::open(path).and_then(open) {
        Ok(reader) => reader,
        Err(e) => {
            let mut outcome = FileOutcome::default();
            outcome.fail(
                path,
                None,
                ProblemKind::Unreadable,
                TracesError::io("reading", path, e).to_string(),
            );
            return outcome;
        }
    };
    read(opened, path, options)
}

/// Reads one log from any reader.
pub(crate) fn read(input: impl Read, path: &Path, options: &ImportOptions) -> FileOutcome {
    FileReader {
        path,
        options,
        outcome: FileOutcome::default(),
        report: ImportReport::default(),
        importer: None,
        pending: Vec::new(),
        pending_bytes: 0,
    }
    .run(input)
}

struct FileReader<'a> {
    path: &'a Path,
    options: &'a ImportOptions,
    outcome: FileOutcome,
    report: ImportReport,
    importer: Option<Box<dyn Importer>>,
    /// Lines seen before the agent was known.
    pending: Vec<(u64, String)>,
    pending_bytes: usize,
}

impl FileReader<'_> {
    fn run(mut self, input: impl Read) -> FileOutcome {
        let mut reader = LineReader::new(
            BufReader::with_capacity(READ_BUFFER, input),
            self.options.max_line_bytes,
        );
        loop {
            match reader.step() {
                Ok(Step::End) => break,
                Ok(Step::TooLong { number, bytes }) => {
                    let limit = self.options.max_line_bytes;
                    let reason = format!("the line has {bytes} bytes; the limit is {limit}");
                    self.problem(Some(number), ProblemKind::LineTooLong, reason);
                }
                Ok(Step::Line { number, terminated }) => {
                    let before = reader.line.len();
                    let repairs = repair(&mut reader.line);
                    if reader.line.is_empty() {
                        if repairs.nul_bytes {
                            let reason =
                                format!("{before} NUL bytes and nothing else, as a crash leaves them");
                            self.problem(Some(number), ProblemKind::NulRun, reason);
                        }
                        continue;
                    }
                    // `repair` leaves valid UTF-8.
                    let Ok(line) = std::str::from_utf8(&reader.line) else {
                        continue;
                    };
                    self.line(number, line, terminated, repairs);
                    if self.gave_up() {
                        break;
                    }
                }
                Err(e) => {
                    self.problem(
                        Some(reader.lines() + 1),
                        ProblemKind::Unreadable,
                        format!("reading stopped: {e}"),
                    );
                    break;
                }
            }
        }
        self.outcome.bytes = reader.bytes;
        self.report.lines = reader.lines();
        self.finish()
    }

    fn line(&mut self, number: u64, line: &str, terminated: bool, repairs: Repairs) {
        for kind in repairs.kinds() {
            self.problem(Some(number), kind, repair_reason(kind).to_owned());
        }
        if self.importer.is_none() {
            let Some(agent) = recognise(line) else {
                self.pending_bytes += line.len();
                self.pending.push((number, line.to_owned()));
                return;
            };
            self.start(agent);
        }
        self.record(number, line, terminated);
    }

    fn start(&mut self, agent: Agent) {
        self.importer = Some(match agent {
            Agent::ClaudeCode => Box::new(claude_code::ClaudeCode::new(self.path, self.options)),
            Agent::Codex => Box::new(codex::Codex::new(self.path, self.options)),
        });
        for (number, line) in std::mem::take(&mut self.pending) {
            self.record(number, &line, true);
        }
    }

    fn record(&mut self, number: u64, line: &str, terminated: bool) {
        let Some(importer) = self.importer.as_mut() else {
            return;
        };
        match importer.record(line, &mut self.report) {
            Ok(()) => {}
            Err(Reject::Shape) => {
                let reason = "JSON, but not a record this agent is known to write".to_owned();
                self.problem(Some(number), ProblemKind::UnexpectedShape, reason);
            }
            Err(Reject::NotJson) if terminated => {
                self.problem(Some(number), ProblemKind::BadJson, "not valid JSON".to_owned());
            }
            Err(Reject::NotJson) => {
                let reason =
                    "the last line is cut; the file was truncated or is still being written".to_owned();
                self.problem(Some(number), ProblemKind::TruncatedLine, reason);
            }
        }
    }

    fn gave_up(&self) -> bool {
        self.importer.is_none() && (self.pending.len() >= SNIFF_LINES || self.pending_bytes >= SNIFF_BYTES)
    }

    fn problem(&mut self, line: Option<u64>, kind: ProblemKind, reason: String) {
        self.report.problem(kind);
        if self.outcome.problems.len() < self.options.max_problems_per_file {
            self.outcome.problems.push(Problem {
                file: self.path.to_owned(),
                line,
                kind,
                reason,
            });
        } else {
            self.report.problems_not_listed += 1;
        }
    }

    fn finish(mut self) -> FileOutcome {
        let Some(importer) = self.importer.take() else {
            let unreadable = self
                .outcome
                .problems
                .iter()
                .any(|p| p.kind == ProblemKind::Unreadable);
            if self.report.lines == 0 && !unreadable {
                self.outcome.fail(
                    self.path,
                    None,
                    ProblemKind::EmptyFile,
                    "the file is empty".to_owned(),
                );
            } else if !unreadable {
                // Its lines are not this crate's to judge, so one problem stands for the whole file.
                self.outcome.problems.clear();
                let reason = "not a session log of Claude Code or Codex".to_owned();
                self.outcome
                    .fail(self.path, None, ProblemKind::UnknownAgent, reason);
            } else {
                self.outcome.lost = self.report.lost;
            }
            return self.outcome;
        };
        let mut traces = importer.finish();
        if traces.is_empty() {
            self.outcome.lost = self.report.lost;
            let reason = "no message in it".to_owned();
            self.outcome.fail(self.path, None, ProblemKind::EmptyFile, reason);
            return self.outcome;
        }
        // The report is about the file, so it goes with the file's first trace.
        traces[0].absorb(self.report);
        self.outcome.traces = traces;
        self.outcome
    }
}

impl FileOutcome {
    fn fail(&mut self, path: &Path, line: Option<u64>, kind: ProblemKind, reason: String) {
        crate::report::bump(&mut self.lost, kind.as_str(), 1);
        self.problems.push(Problem {
            file: path.to_owned(),
            line,
            kind,
            reason,
        });
    }
}

fn repair_reason(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::LoneSurrogate => "half a surrogate pair became U+FFFD; the line was kept",
        ProblemKind::InvalidUtf8 => "bytes that are not UTF-8 became U+FFFD; the line was kept",
        _ => "NUL bytes were taken out; the line was kept",
    }
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
    #[serde(borrow)]
    timestamp: Text<'a>,
    #[serde(borrow)]
    id: Text<'a>,
    #[serde(borrow, rename = "record_type")]
    record_type: Text<'a>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    message: Option<IgnoredAny>,
    #[serde(borrow)]
    instructions: Option<&'a RawValue>,
    #[serde(borrow)]
    git: Option<&'a RawValue>,
}

/// Tells the agent from one record, if the record is one that only this agent writes.
fn recognise(line: &str) -> Option<Agent> {
    let sniff: Sniff<'_> = serde_json::from_str(line).ok()?;
    let kind = sniff.kind.or_empty();
    if sniff.payload.is_some() && !sniff.timestamp.or_empty().is_empty() && !kind.is_empty() {
        return Some(Agent::Codex);
    }
    if kind.is_empty() {
        // Before September 2025 a Codex log started with a header that has no type.
        let header = !sniff.id.or_empty().is_empty()
            && !sniff.timestamp.or_empty().is_empty()
            && sniff.session_id.0.is_none()
            && (sniff.git.is_some() || sniff.instructions.is_some());
        return (header || sniff.record_type.as_str() == Some("state")).then_some(Agent::Codex);
    }
    let claude = sniff.project_hash.0.is_none()
        && (!sniff.session_id.or_empty().is_empty()
            || (kind == "summary" && sniff.leaf_uuid.0.is_some())
            || (kind == "file-history-snapshot" && sniff.message_id.0.is_some())
            || (sniff.uuid.0.is_some() && sniff.message.is_some()));
    claude.then_some(Agent::ClaudeCode)
}

/// Tells a line that is not JSON from one that is, but of another shape.
pub(crate) fn reject(line: &str) -> Reject {
    if serde_json::from_str::<IgnoredAny>(line).is_ok() {
        Reject::Shape
    } else {
        Reject::NotJson
    }
}
