//! One importer per agent, behind one seam: records in, traces out.

mod builder;
mod claude_code;
mod codex;
mod content;
mod copilot;
mod gemini;
mod lenient;
mod lines;
mod opencode;
mod packed;
mod pi;
mod reader;
mod recognise;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use ruzstd::decoding::StreamingDecoder;

pub(crate) use builder::{Parsed, RecordKey};
pub(crate) use lines::{LineReader, Step};
pub(crate) use opencode::{is_store, is_tree_session, sessions_in, tree_files, tree_stamp};
pub(crate) use packed::is_packed_name;
pub(crate) use reader::{FileReader, read, reject};
pub use recognise::detect_agent;

use crate::discover::SessionFile;
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
pub(crate) trait Importer: Send {
    /// Takes one record.
    fn record(&mut self, line: &str, report: &mut ImportReport) -> Result<(), Reject>;

    /// Copies the state, so that a file that still grows can be looked at.
    fn boxed_clone(&self) -> Box<dyn Importer>;

    /// Ends the file and gives the traces found in it, the main one first.
    fn finish(self: Box<Self>) -> Vec<Parsed>;
}

fn importer_of(agent: Agent, source: &Path, options: &ImportOptions) -> Box<dyn Importer> {
    match agent {
        Agent::ClaudeCode => Box::new(claude_code::ClaudeCode::new(source, options)),
        Agent::Codex => Box::new(codex::Codex::new(source, options)),
        Agent::GeminiCli => Box::new(gemini::Gemini::new(source, options)),
        Agent::OpenCode => Box::new(opencode::Lone),
        Agent::CopilotCli => Box::new(copilot::Copilot::new(source, options)),
        Agent::Pi => Box::new(pi::Pi::new(source, options)),
    }
}

/// What one file gave.
#[derive(Default, Clone)]
pub(crate) struct FileOutcome {
    pub(crate) traces: Vec<Parsed>,
    pub(crate) problems: Vec<Problem>,
    pub(crate) bytes: u64,
    /// What was lost of a file that gave no trace.
    pub(crate) lost: BTreeMap<String, u64>,
}

impl FileOutcome {
    pub(crate) fn fail(&mut self, path: &Path, line: Option<u64>, kind: ProblemKind, reason: String) {
        crate::report::bump(&mut self.lost, kind.as_str(), 1);
        self.problems.push(Problem {
            file: path.to_owned(),
            line,
            kind,
            reason,
        });
    }

    pub(crate) fn unreadable(path: &Path, source: io::Error) -> Self {
        let mut outcome = Self::default();
        let reason = TracesError::io("reading", path, source).to_string();
        outcome.fail(path, None, ProblemKind::Unreadable, reason);
        outcome
    }
}

const READ_BUFFER: usize = 256 * 1024;

/// Whether a file starts like a Zstandard frame.
pub(crate) fn is_compressed(head: &[u8]) -> bool {
    head.starts_with(&[0x28, 0xB5, 0x2F, 0xFD])
}

/// Whether a file is one JSON object over many lines.
pub(crate) fn is_document(head: &[u8]) -> bool {
    recognise::recognise_document(head).is_some()
}

/// Opens a log, decompressing it when it starts like a Zstandard frame.
pub(crate) fn open<'a>(mut input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut head = Vec::with_capacity(4);
    input.by_ref().take(4).read_to_end(&mut head)?;
    let compressed = is_compressed(&head);
    let whole = io::Cursor::new(head).chain(input);
    if !compressed {
        return Ok(Box::new(whole));
    }
    let decoder = StreamingDecoder::new(whole).map_err(io::Error::other)?;
    Ok(Box::new(decoder))
}

/// Opens a log for reading as the agent wrote it; one that was compressed is decompressed.
///
/// # Errors
///
/// [`TracesError::Io`].
pub fn open_log(path: &Path) -> Result<Box<dyn Read>, TracesError> {
    File::open(path)
        .and_then(open)
        .map_err(|error| TracesError::io("opening", path, error))
}

/// Reads one file to its end; whatever is wrong with it is in the outcome.
pub(crate) fn read_file(file: &SessionFile, options: &ImportOptions) -> FileOutcome {
    let path = &file.path;
    if is_tree_session(path) {
        return opencode::read_tree(path, options);
    }
    if is_store(path) {
        return opencode::read_store(path, file.session_id.as_deref(), options);
    }
    match File::open(path) {
        Ok(input) => read_input(input, path, options),
        Err(e) => FileOutcome::unreadable(path, e),
    }
}

/// Reads one log of lines or one JSON object from any input, compressed or not.
pub(crate) fn read_input(input: impl Read, path: &Path, options: &ImportOptions) -> FileOutcome {
    match open(input) {
        Ok(reader) => read(reader, path, options),
        Err(e) => FileOutcome::unreadable(path, e),
    }
}
