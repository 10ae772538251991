//! Reads many files at once and hands the sessions on in the files' order.

use std::collections::BTreeMap;
use std::io::Read;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::discover::SessionFile;
use crate::error::TracesError;
use crate::importers::{FileOutcome, read_file, read_input};
use crate::model::Trace;
use crate::report::{ImportSummary, Problem, bump};
use crate::settle::Settler;

/// How sessions are read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportOptions {
    /// Lines longer than this are counted and skipped without being held in memory (bytes).
    pub max_line_bytes: usize,
    /// A file that is one JSON object (Gemini CLI) is read up to here (bytes).
    pub max_document_bytes: usize,
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
            max_document_bytes: 64 * 1024 * 1024,
            max_text_bytes: 256 * 1024,
            max_problems_per_file: 100,
            threads: None,
        }
    }
}

impl ImportOptions {
    pub(crate) fn check(&self) -> Result<(), TracesError> {
        for (option, value) in [
            ("max_line_bytes", self.max_line_bytes),
            ("max_document_bytes", self.max_document_bytes),
            ("max_text_bytes", self.max_text_bytes),
        ] {
            if value == 0 {
                return Err(TracesError::InvalidOption {
                    option,
                    value: value.to_string(),
                    expected: "1 or more",
                });
            }
        }
        Ok(())
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
    options.check()?;
    let threads = options.threads.or_else(|| thread::available_parallelism().ok());
    let threads = threads.map_or(1, NonZeroUsize::get);
    let mut driver = Driver::new(files, sink);
    // A break is in the summary.
    let _ = in_order(
        files.len(),
        threads,
        &|n| read_file(&files[n], options),
        &mut |n, outcome| driver.file(&files[n], outcome),
    );
    Ok(driver.summary)
}

/// Imports one log from any input, such as standard input; `name` stands for it in problems and traces.
///
/// # Errors
///
/// As for [`import`].
pub fn import_reader(
    input: impl Read,
    name: &Path,
    options: &ImportOptions,
    sink: &mut dyn FnMut(ImportEvent) -> ControlFlow<()>,
) -> Result<ImportSummary, TracesError> {
    options.check()?;
    let outcome = read_input(input, name, options);
    let file = SessionFile::unread(name, outcome.bytes);
    let mut driver = Driver::new(std::slice::from_ref(&file), sink);
    // A break is in the summary.
    let _ = driver.file(&file, outcome);
    Ok(driver.summary)
}

/// Finished pieces of work that wait for their turn, and the next one to begin.
struct Queue<T> {
    next: usize,
    emitted: usize,
    done: BTreeMap<usize, T>,
    stopped: bool,
}

/// Does `count` pieces of work on several threads and hands the results on in order; only a few are held at a time.
pub(crate) fn in_order<T: Send>(
    count: usize,
    threads: usize,
    work: &(dyn Fn(usize) -> T + Sync),
    take: &mut dyn FnMut(usize, T) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let threads = threads.min(count);
    if threads <= 1 {
        return (0..count).try_for_each(|n| take(n, work(n)));
    }
    // A thread may be this many pieces ahead of the one handed on, which bounds memory.
    let window = threads + 2;
    let queue = Mutex::new(Queue {
        next: 0,
        emitted: 0,
        done: BTreeMap::new(),
        stopped: false,
    });
    let changed = Condvar::new();
    let lock = || queue.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let mut state = lock();
                    while !state.stopped && state.next < count && state.next >= state.emitted + window {
                        state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                    }
                    if state.stopped || state.next >= count {
                        return;
                    }
                    let index = state.next;
                    state.next += 1;
                    drop(state);
                    let result = work(index);
                    lock().done.insert(index, result);
                    changed.notify_all();
                }
            });
        }
        for index in 0..count {
            let mut state = lock();
            let result = loop {
                if let Some(result) = state.done.remove(&index) {
                    break result;
                }
                state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            };
            state.emitted = index + 1;
            drop(state);
            changed.notify_all();
            if take(index, result).is_break() {
                lock().stopped = true;
                changed.notify_all();
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    })
}

/// Settles what takes all files: copies, usage and sums.
struct Driver<'a> {
    sink: &'a mut dyn FnMut(ImportEvent) -> ControlFlow<()>,
    summary: ImportSummary,
    bytes_total: u64,
    bytes_done: u64,
    files_total: u64,
    settler: Settler,
}

impl<'a> Driver<'a> {
    fn new(files: &[SessionFile], sink: &'a mut dyn FnMut(ImportEvent) -> ControlFlow<()>) -> Self {
        Self {
            sink,
            summary: ImportSummary::default(),
            bytes_total: files.iter().map(|f| f.size_bytes).sum(),
            bytes_done: 0,
            files_total: files.len() as u64,
            settler: Settler::default(),
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
            let owner = self.settler.add_session(&parsed.trace.session_id);
            let trace = self.settler.settle(parsed, owner);
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
}
