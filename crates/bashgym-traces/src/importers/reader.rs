//! Reads one log from its first byte to its last, whoever wrote it.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use super::lines::{LineReader, Repairs, Step, repair};
use super::packed::what_it_is;
use super::recognise::{SNIFF_BYTES, SNIFF_LINES, head_of, recognise, recognise_document};
use super::{FileOutcome, Importer, READ_BUFFER, Reject, importer_of};
use crate::import::ImportOptions;
use crate::model::Agent;
use crate::report::{ImportReport, Problem, ProblemKind};
use serde::de::IgnoredAny;

/// Reads one log from any reader.
pub(crate) fn read(mut input: impl Read, path: &Path, options: &ImportOptions) -> FileOutcome {
    let head = head_of(&mut input);
    let document = recognise_document(&head);
    let other = what_it_is(&head);
    let input = BufReader::with_capacity(READ_BUFFER, std::io::Cursor::new(head).chain(input));
    let mut reader = FileReader::new(path, options);
    reader.other = other;
    match document {
        Some(agent) => reader.document(input, agent),
        None => reader.lines(&mut LineReader::new(input, options.max_line_bytes)),
    }
    reader.finish()
}

/// Takes the lines of one file, finds out whose they are, and keeps the account of them.
pub(crate) struct FileReader {
    path: PathBuf,
    options: ImportOptions,
    outcome: FileOutcome,
    report: ImportReport,
    importer: Option<Box<dyn Importer>>,
    /// Lines seen before the agent was known.
    pending: Vec<(u64, String)>,
    pending_bytes: usize,
    /// What the file is, if it is known by its first bytes to be no log.
    other: Option<String>,
}

impl FileReader {
    pub(crate) fn new(path: &Path, options: &ImportOptions) -> Self {
        Self {
            path: path.to_owned(),
            options: options.clone(),
            outcome: FileOutcome::default(),
            report: ImportReport::default(),
            importer: None,
            pending: Vec::new(),
            pending_bytes: 0,
            other: None,
        }
    }

    /// What the file gave so far; further lines may follow.
    pub(crate) fn snapshot(&self) -> FileOutcome {
        Self {
            path: self.path.clone(),
            options: self.options.clone(),
            outcome: self.outcome.clone(),
            report: self.report.clone(),
            importer: self.importer.as_ref().map(|importer| importer.boxed_clone()),
            pending: Vec::new(),
            pending_bytes: 0,
            other: None,
        }
        .finish()
    }

    fn lines<R: BufRead>(&mut self, reader: &mut LineReader<R>) {
        loop {
            match reader.step() {
                Ok(Step::End) => break,
                Ok(step) => {
                    self.step(reader, &step);
                    if self.gave_up() {
                        break;
                    }
                }
                Err(e) => {
                    self.stopped(reader.lines() + 1, &e);
                    break;
                }
            }
        }
        self.outcome.bytes = reader.bytes;
        self.report.lines = reader.lines();
    }

    /// Takes the line a reader stands on.
    pub(crate) fn step<R: BufRead>(&mut self, reader: &mut LineReader<R>, step: &Step) {
        match *step {
            Step::End => {}
            Step::TooLong { number, bytes, .. } => {
                let limit = self.options.max_line_bytes;
                let reason = format!("the line has {bytes} bytes; the limit is {limit}");
                self.problem(Some(number), ProblemKind::LineTooLong, reason);
            }
            Step::Line { number, terminated } => {
                let before = reader.line.len();
                let repairs = repair(&mut reader.line);
                if reader.line.is_empty() {
                    if repairs.nul_bytes {
                        let reason = format!("{before} NUL bytes and nothing else, as a crash leaves them");
                        self.problem(Some(number), ProblemKind::NulRun, reason);
                    }
                } else if let Ok(line) = std::str::from_utf8(&reader.line) {
                    // `repair` leaves valid UTF-8.
                    self.line(number, line, terminated, repairs);
                }
            }
        }
        self.report.lines = reader.lines();
    }

    /// Takes the problems listed so far.
    pub(crate) fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.outcome.problems)
    }

    pub(crate) fn stopped(&mut self, line: u64, error: &std::io::Error) {
        self.problem(
            Some(line),
            ProblemKind::Unreadable,
            format!("reading stopped: {error}"),
        );
    }

    /// Takes a file that is one JSON object over many lines.
    fn document(&mut self, input: impl Read, agent: Agent) {
        let limit = self.options.max_document_bytes;
        let mut bytes = Vec::new();
        // One byte more than the limit tells a file that is too long from one that just fits.
        let reading = input
            .take((limit as u64).saturating_add(1))
            .read_to_end(&mut bytes);
        self.outcome.bytes = bytes.len() as u64;
        self.report.lines = memchr::memchr_iter(b'\n', &bytes).count() as u64
            + u64::from(bytes.last().is_some_and(|&b| b != b'\n'));
        if bytes.len() > limit {
            let reason = format!("the file is one JSON object of more than {limit} bytes, the limit");
            self.problem(None, ProblemKind::LineTooLong, reason);
            bytes.truncate(limit);
        }
        if let Err(e) = reading {
            self.stopped(self.report.lines, &e);
        }
        let repairs = repair(&mut bytes);
        let Ok(text) = std::str::from_utf8(&bytes) else {
            return;
        };
        for kind in repairs.kinds() {
            self.problem(None, kind, repair_reason(kind).to_owned());
        }
        self.start(agent);
        if let Some(importer) = self.importer.as_mut()
            && importer.record(text, &mut self.report).is_err()
        {
            let reason =
                "the JSON ends before its end or is damaged; what stands before that was kept".to_owned();
            self.problem(None, ProblemKind::TruncatedLine, reason);
        }
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
        self.importer = Some(importer_of(agent, &self.path, &self.options));
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

    /// Whether so much was read of nobody's log that no more is worth reading.
    pub(crate) fn gave_up(&self) -> bool {
        self.importer.is_none() && (self.pending.len() >= SNIFF_LINES || self.pending_bytes >= SNIFF_BYTES)
    }

    fn problem(&mut self, line: Option<u64>, kind: ProblemKind, reason: String) {
        self.report.problem(kind);
        if self.outcome.problems.len() < self.options.max_problems_per_file {
            self.outcome.problems.push(Problem {
                file: self.path.clone(),
                line,
                kind,
                reason,
            });
        } else {
            self.report.problems_not_listed += 1;
        }
    }

    pub(crate) fn finish(mut self) -> FileOutcome {
        let Some(importer) = self.importer.take() else {
            let unreadable = self
                .outcome
                .problems
                .iter()
                .any(|p| p.kind == ProblemKind::Unreadable);
            if self.report.lines == 0 && !unreadable {
                self.outcome.fail(
                    &self.path,
                    None,
                    ProblemKind::EmptyFile,
                    "the file is empty".to_owned(),
                );
            } else if !unreadable {
                // Its lines are not this crate's to judge, so one problem stands for the whole file.
                self.outcome.problems.clear();
                let reason = self.other.take().unwrap_or_else(|| NOT_A_LOG.to_owned());
                self.outcome
                    .fail(&self.path, None, ProblemKind::UnknownAgent, reason);
            } else {
                self.outcome.lost = self.report.lost;
            }
            return self.outcome;
        };
        let mut traces = importer.finish();
        if traces.is_empty() {
            self.outcome.lost = self.report.lost;
            let reason = "no message in it".to_owned();
            self.outcome
                .fail(&self.path, None, ProblemKind::EmptyFile, reason);
            return self.outcome;
        }
        // The report is about the file, so it goes with the file's first trace.
        traces[0].absorb(self.report);
        self.outcome.traces = traces;
        self.outcome
    }
}

/// Why a file was left out.
const NOT_A_LOG: &str = "not a session log of Claude Code, Codex, Gemini CLI, OpenCode, Copilot CLI or Pi";

fn repair_reason(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::LoneSurrogate => "half a surrogate pair became U+FFFD; the line was kept",
        ProblemKind::InvalidUtf8 => "bytes that are not UTF-8 became U+FFFD; the line was kept",
        _ => "NUL bytes were taken out; the line was kept",
    }
}

/// Tells a line that is not JSON from one that is, but of another shape.
pub(crate) fn reject(line: &str) -> Reject {
    if serde_json::from_str::<IgnoredAny>(line).is_ok() {
        Reject::Shape
    } else {
        Reject::NotJson
    }
}
