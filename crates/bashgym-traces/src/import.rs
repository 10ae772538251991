//! Reads many files at once and hands the sessions on in the files' order.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::discover::SessionFile;
use crate::error::TracesError;
use crate::importers::{FileOutcome, Parsed, read_file};
use crate::model::{MessageKind, Role, Trace};
use crate::report::{ImportSummary, Problem, bump};

/// How sessions are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportOptions {
    /// Lines longer than this are counted and skipped without being held in memory (bytes).
    pub max_line_bytes: usize,
    /// Texts and tool outputs longer than this are cut, marked and counted (bytes).
    pub max_text_bytes: usize,
    /// Problems listed one by one for each file; those beyond are counted.
    pub max_problems_per_file: usize,
    /// Threads; `None` takes one per core.
    pub threads: Option<NonZeroUsize>,
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self {
            max_line_bytes: 16 * 1024 * 1024,
            max_text_bytes: 256 * 1024,
            max_problems_per_file: 100,
            threads: None,
        }
    }
}

/// How far an import is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportProgress {
    /// Files finished.
    pub files_done: u64,
    /// Files in all.
    pub files_total: u64,
    /// Bytes finished, as they are on disk.
    pub bytes_done: u64,
    /// Bytes in all.
    pub bytes_total: u64,
    /// The file that was finished last.
    pub file: PathBuf,
}

/// What an import tells while it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum ImportEvent {
    /// A file was finished.
    Progress(ImportProgress),
    /// A session was imported.
    Session(Box<Trace>),
    /// Something could not be taken as it is; the import goes on.
    Problem(Problem),
}

/// Imports the files and hands each session to `sink`.
///
/// Files are read in parallel, but events come in the order of `files`, whatever the number of threads: a file's problems,
/// then its sessions (a subagent after its parent), then its progress. Each API answer is counted once over all files, and
/// messages a later file copied from an earlier one are marked as copies; [`crate::find_session_files`] puts originals
/// first. At most a few files are held in memory at a time. `sink` ends the import by returning
/// [`ControlFlow::Break`].
///
/// # Errors
///
/// [`TracesError::InvalidOption`] when an option is zero. A file that cannot be read is a [`Problem`], not an error.
pub fn import(
    files: &[SessionFile],
    options: &ImportOptions,
    sink: &mut dyn FnMut(ImportEvent) -> ControlFlow<()>,
) -> Result<ImportSummary, TracesError> {
    for (option, value) in [
        ("max_line_bytes", options.max_line_bytes),
        ("max_text_bytes", options.max_text_bytes),
    ] {
        if value == 0 {
            return Err(TracesError::InvalidOption {
                option,
                value: value.to_string(),
                expected: "1 or more",
            });
        }
    }
    let threads = options
        .threads
        .or_else(|| thread::available_parallelism().ok())
        .map_or(1, NonZeroUsize::get)
        .min(files.len().max(1));
    let mut driver = Driver::new(files, sink);
    if threads == 1 {
        for file in files {
            if driver.file(file, read_file(&file.path, options)).is_break() {
                break;
            }
        }
    } else {
        run_parallel(files, options, threads, &mut driver);
    }
    Ok(driver.summary)
}

/// Finished files that wait for their turn, and the next file to read.
#[derive(Default)]
struct Queue {
    next: usize,
    emitted: usize,
    done: BTreeMap<usize, FileOutcome>,
    stopped: bool,
}

fn run_parallel(files: &[SessionFile], options: &ImportOptions, threads: usize, driver: &mut Driver<'_>) {
    // A reader may be this many files ahead of the one handed on, which bounds memory.
    let window = threads + 2;
    let queue = Mutex::new(Queue::default());
    let changed = Condvar::new();
    let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let mut state = lock();
                    while !state.stopped && state.next < files.len() && state.next >= state.emitted + window {
                        state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                    if state.stopped || state.next >= files.len() {
                        return;
                    }
                    let index = state.next;
                    state.next += 1;
                    drop(state);
                    let outcome = read_file(&files[index].path, options);
                    lock().done.insert(index, outcome);
                    changed.notify_all();
                }
            });
        }
        for (index, file) in files.iter().enumerate() {
            let mut state = lock();
            let outcome = loop {
                if let Some(outcome) = state.done.remove(&index) {
                    break outcome;
                }
                state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            state.emitted = index + 1;
            drop(state);
            changed.notify_all();
            if driver.file(file, outcome).is_break() {
                lock().stopped = true;
                changed.notify_all();
                return;
            }
        }
    });
}

/// Settles what takes all files: copies, usage and sums.
struct Driver<'a> {
    sink: &'a mut dyn FnMut(ImportEvent) -> ControlFlow<()>,
    summary: ImportSummary,
    bytes_total: u64,
    bytes_done: u64,
    files_total: u64,
    /// Records seen so far, with the session that had them first.
    records: HashMap<u64, u32>,
    /// API answers seen so far.
    usage: HashSet<u64>,
    /// Ids of the sessions seen so far.
    sessions: Vec<String>,
}

impl<'a> Driver<'a> {
    fn new(files: &[SessionFile], sink: &'a mut dyn FnMut(ImportEvent) -> ControlFlow<()>) -> Self {
        Self {
            sink,
            summary: ImportSummary::default(),
            bytes_total: files.iter().map(|f| f.size_bytes).sum(),
            bytes_done: 0,
            files_total: files.len() as u64,
            records: HashMap::new(),
            usage: HashSet::new(),
            sessions: Vec::new(),
        }
    }

    fn file(&mut self, file: &SessionFile, outcome: FileOutcome) -> ControlFlow<()> {
        let flow = self.events(file, outcome);
        if flow.is_break() {
            self.summary.stopped = true;
        }
        flow
    }

    fn events(&mut self, file: &SessionFile, outcome: FileOutcome) -> ControlFlow<()> {
        self.summary.files += 1;
        self.summary.files_skipped += u64::from(outcome.traces.is_empty());
        self.summary.bytes += outcome.bytes;
        self.bytes_done += file.size_bytes;
        for (kind, n) in &outcome.lost {
            bump(&mut self.summary.lost, kind, *n);
        }
        for problem in outcome.problems {
            (self.sink)(ImportEvent::Problem(problem))?;
        }
        for parsed in outcome.traces {
            let trace = self.settle(parsed);
            self.summary.add_trace(&trace);
            (self.sink)(ImportEvent::Session(Box::new(trace)))?;
        }
        (self.sink)(ImportEvent::Progress(ImportProgress {
            files_done: self.summary.files,
            files_total: self.files_total,
            bytes_done: self.bytes_done,
            bytes_total: self.bytes_total,
            file: file.path.clone(),
        }))
    }

    fn settle(&mut self, parsed: Parsed) -> Trace {
        let Parsed {
            mut trace,
            records,
            usage,
            thinking,
        } = parsed;
        let ordinal = u32::try_from(self.sessions.len()).unwrap_or(u32::MAX);
        self.mark_copies(&mut trace, &records);
        for record in &records {
            self.records.entry(record.own).or_insert(ordinal);
        }
        self.sessions.push(trace.session_id.clone());

        let copied = |message: usize| trace.messages.get(message).is_some_and(|m| m.copied);
        for entry in usage {
            let counted = match entry.key {
                Some(key) => self.usage.insert(key),
                None => !entry.message.is_some_and(copied),
            };
            if counted {
                trace.usage.add(entry.usage);
                trace.counts.api_calls += 1;
            }
        }
        trace.counts.thinking_blocks = thinking.iter().filter(|&&m| !copied(m)).count() as u64;
        for message in trace.messages.iter().filter(|m| !m.copied) {
            trace.counts.prompts += u64::from(message.kind == MessageKind::Prompt);
            trace.counts.tool_calls += message.tool_calls.len() as u64;
            trace.counts.tool_errors += u64::from(message.tool_result.as_ref().is_some_and(|r| r.is_error));
            if message.role == Role::User && message.kind != MessageKind::Prompt {
                bump(&mut trace.report.not_typed, message.kind.as_str(), 1);
            }
        }
        trace.report.copied_messages = trace.messages.iter().filter(|m| m.copied).count() as u64;
        trace
    }

    /// A message is a copy when every record behind it was seen in an earlier trace.
    fn mark_copies(&self, trace: &mut Trace, records: &[crate::importers::RecordKey]) {
        let mut origin: Vec<Option<bool>> = vec![None; trace.messages.len()];
        for record in records {
            let first = self.records.get(&record.copy_of);
            if let Some(state) = origin.get_mut(record.message) {
                *state = Some(state.unwrap_or(true) && first.is_some());
            }
            if let Some(id) = first.and_then(|&n| self.sessions.get(n as usize))
                && *id != trace.session_id
            {
                trace.related_session_ids.insert(id.clone());
            }
        }
        for (message, state) in trace.messages.iter_mut().zip(origin) {
            message.copied = state == Some(true);
        }
    }
}
