//! Writes a dataset: traces in, `train.jsonl`, `val.jsonl` and `metadata.json` out.

mod files;
mod manifest;

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::TempDir;
use xxhash_rust::xxh3::xxh3_64;

use self::files::{HashedFile, read_row, sync_dir};
pub use self::manifest::{DATASET_FORMAT, DatasetManifest, Generator, SplitFile};
use crate::error::TracesError;
use crate::example::{Example, METADATA_FILE, Split, features};
use crate::gate::Gate;
use crate::model::Trace;
use crate::report::{ImportSummary, bump};
use crate::segment::{ExampleOptions, Losses, Segmenter};
use crate::split::{Groups, SplitOptions, assign_groups};

const BUFFER: usize = 256 * 1024;
const WORK_PREFIX: &str = ".bashgym-build-";
const LOCK_FILE: &str = "lock";

/// How a dataset is built, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildOptions {
    /// The folder to write to; it is created when it is not there.
    pub out_dir: PathBuf,
    /// How rows are divided.
    pub split: SplitOptions,
    /// How examples are made.
    pub examples: ExampleOptions,
}

impl BuildOptions {
    /// Returns the defaults for a folder.
    pub fn new(out_dir: impl Into<PathBuf>) -> Self {
        Self {
            out_dir: out_dir.into(),
            split: SplitOptions::default(),
            examples: ExampleOptions::default(),
        }
    }
}

/// How far a build is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildProgress {
    /// Sessions taken.
    pub sessions: u64,
    /// Rows made so far.
    pub rows: u64,
}

/// Builds a dataset from an iterator of traces.
///
/// `progress` is told after each session and ends the build with [`ControlFlow::Break`]. For the traces of an
/// [`crate::import`], which hands them to a callback, use [`DatasetBuilder`].
///
/// # Errors
///
/// As [`DatasetBuilder::finish`]; [`TracesError::Stopped`] when `progress` asked to stop.
pub fn build_dataset(
    traces: impl Iterator<Item = Trace>,
    options: &BuildOptions,
    progress: &mut dyn FnMut(BuildProgress) -> ControlFlow<()>,
) -> Result<DatasetManifest, TracesError> {
    let mut builder = DatasetBuilder::new(options.clone())?;
    for trace in traces {
        builder.add(&trace)?;
        if progress(builder.progress()).is_break() {
            return Err(TracesError::Stopped);
        }
    }
    builder.finish()
}

/// Takes traces one by one and writes the dataset at the end.
///
/// Rows wait in a temporary folder inside the target folder; memory holds a few bytes per row. Dropping the builder removes
/// what it wrote and leaves an older dataset in the folder as it was.
#[derive(Debug)]
pub struct DatasetBuilder {
    options: BuildOptions,
    created_out_dir: bool,
    work: Option<TempDir>,
    /// Held as long as the work folder is in use.
    _lock: File,
    spool: BufWriter<File>,
    spool_path: PathBuf,
    gate: Gate,
    groups: Groups,
    seen: HashSet<u64>,
    progress: BuildProgress,
    losses: Losses,
    agents: BTreeMap<String, u64>,
    models: BTreeMap<String, u64>,
    messages: u64,
    tool_calls: u64,
    import: Option<ImportSummary>,
}

impl DatasetBuilder {
    /// Prepares the target folder.
    ///
    /// # Errors
    ///
    /// [`TracesError::InvalidOption`] for an option out of range, [`TracesError::Io`] when the folder cannot be written to.
    pub fn new(options: BuildOptions) -> Result<Self, TracesError> {
        options.split.validate()?;
        let too_small = |option, value: usize, expected| TracesError::InvalidOption {
            option,
            value: value.to_string(),
            expected,
        };
        if options.examples.max_chars < 200 {
            return Err(too_small("max_chars", options.examples.max_chars, "200 or more"));
        }
        if options.examples.max_tool_output_chars < 10 {
            return Err(too_small(
                "max_tool_output_chars",
                options.examples.max_tool_output_chars,
                "10 or more",
            ));
        }
        let out = &options.out_dir;
        let created_out_dir = !out.exists();
        fs::create_dir_all(out).map_err(|e| TracesError::io("creating", out, e))?;
        remove_abandoned(out);
        let work = tempfile::Builder::new()
            .prefix(WORK_PREFIX)
            .tempdir_in(out)
            .map_err(|e| TracesError::io("writing to", out, e))?;
        let lock = work.path().join(LOCK_FILE);
        let lock = File::create_new(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|e| TracesError::io("creating", lock, e))?;
        let spool_path = work.path().join("rows");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&spool_path)
            .map_err(|e| TracesError::io("creating", &spool_path, e))?;
        Ok(Self {
            created_out_dir,
            work: Some(work),
            _lock: lock,
            spool: BufWriter::with_capacity(BUFFER, file),
            spool_path,
            gate: Gate::new(),
            groups: Groups::default(),
            seen: HashSet::new(),
            progress: BuildProgress::default(),
            losses: Losses::default(),
            agents: BTreeMap::new(),
            models: BTreeMap::new(),
            messages: 0,
            tool_calls: 0,
            import: None,
            options,
        })
    }

    /// Returns how far the build is.
    pub fn progress(&self) -> BuildProgress {
        self.progress
    }

    /// Notes the sums of the import for the manifest.
    pub fn record_import(&mut self, summary: &ImportSummary) {
        self.import = Some(summary.clone());
    }

    /// Adds the examples of one session.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when a row cannot be stored.
    pub fn add(&mut self, trace: &Trace) -> Result<(), TracesError> {
        self.progress.sessions += 1;
        let node = self.groups.node(&trace.session_id);
        for other in trace.parent_session_id.iter().chain(&trace.related_session_ids) {
            let other = self.groups.node(other);
            self.groups.join(node, other);
        }
        let mut segmenter = Segmenter {
            options: &self.options.examples,
            gate: &mut self.gate,
            losses: &mut self.losses,
        };
        let mut sink = RowSink {
            spool: &mut self.spool,
            path: &self.spool_path,
            seen: &mut self.seen,
            groups: &mut self.groups,
            agents: &mut self.agents,
            models: &mut self.models,
            node,
            rows: 0,
            messages: 0,
            tool_calls: 0,
            duplicates: 0,
        };
        let done = segmenter.run(trace, |example| sink.take(&example));
        let (rows, messages, tool_calls, duplicates) =
            (sink.rows, sink.messages, sink.tool_calls, sink.duplicates);
        self.losses.duplicate_rows += duplicates;
        self.progress.rows += rows;
        self.messages += messages;
        self.tool_calls += tool_calls;
        done
    }

    /// Divides the rows and puts the dataset in its place.
    ///
    /// The files get their names at the very end, `metadata.json` last: a folder without it holds no finished dataset.
    ///
    /// # Errors
    ///
    /// [`TracesError::NoExamples`] when there is no row, [`TracesError::Io`] when something cannot be written; in both
    /// cases an older dataset in the folder is left as it was.
    pub fn finish(mut self) -> Result<DatasetManifest, TracesError> {
        if self.progress.rows == 0 {
            return Err(self.no_examples());
        }
        let io = |path: &Path| {
            let path = path.to_owned();
            move |e| TracesError::io("writing", path.clone(), e)
        };
        self.spool.flush().map_err(io(&self.spool_path))?;
        let (groups, group_of) = std::mem::take(&mut self.groups).finish();
        let (val, warning) = assign_groups(&groups, &self.options.split);

        let work = self
            .work
            .as_ref()
            .map(|w| w.path().to_owned())
            .unwrap_or_default();
        let mut train = HashedFile::create(&work.join(Split::Train.file_name()))?;
        let mut held_out = HashedFile::create(&work.join(Split::Val.file_name()))?;
        let file = self.spool.get_mut();
        file.seek(SeekFrom::Start(0)).map_err(io(&self.spool_path))?;
        let mut spool = BufReader::with_capacity(BUFFER, file);
        let mut row = Vec::new();
        for _ in 0..self.progress.rows {
            let node = read_row(&mut spool, &mut row).map_err(io(&self.spool_path))?;
            let is_val = group_of
                .get(node)
                .and_then(|&g| val.get(g))
                .copied()
                .unwrap_or(false);
            let side = if is_val { &mut held_out } else { &mut train };
            side.row(&row)?;
        }
        let count = |side: bool| {
            groups
                .iter()
                .zip(&val)
                .filter(|(g, v)| g.rows > 0 && **v == side)
                .count() as u64
        };
        let splits = vec![
            train.finish(Split::Train, count(false))?,
            held_out.finish(Split::Val, count(true))?,
        ];
        let manifest = DatasetManifest {
            format: DATASET_FORMAT.to_owned(),
            generator: Generator {
                name: env!("CARGO_PKG_NAME").to_owned(),
                version: env!("CARGO_PKG_VERSION").to_owned(),
            },
            rows_train: splits[0].rows,
            rows_val: splits[1].rows,
            sessions: self.progress.sessions,
            groups: groups.iter().filter(|g| g.rows > 0).count() as u64,
            agents: std::mem::take(&mut self.agents),
            models: std::mem::take(&mut self.models),
            messages: self.messages,
            tool_calls: self.tool_calls,
            splits,
            split: self.options.split,
            examples: self.options.examples.clone(),
            losses: self.losses,
            gate: self.gate.report(),
            import: self.import.take(),
            warnings: warning.into_iter().collect(),
            features: features(),
        };
        let metadata = work.join(METADATA_FILE);
        let mut text = serde_json::to_string_pretty(&manifest).map_err(TracesError::Encode)?;
        text.push('\n');
        let mut out = HashedFile::create(&metadata)?;
        out.row(text.trim_end().as_bytes())?;
        out.close()?;
        self.publish(&work)?;
        Ok(manifest)
    }

    fn publish(&mut self, work: &Path) -> Result<(), TracesError> {
        let out = &self.options.out_dir;
        let old = out.join(METADATA_FILE);
        match fs::remove_file(&old) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(TracesError::io("replacing", old, e));
            }
            _ => {}
        }
        for name in [Split::Train.file_name(), Split::Val.file_name(), METADATA_FILE] {
            let target = out.join(name);
            fs::rename(work.join(name), &target).map_err(|e| TracesError::io("writing", target, e))?;
        }
        sync_dir(out)?;
        self.created_out_dir = false;
        Ok(())
    }

    fn no_examples(&self) -> TracesError {
        let losses = &self.losses;
        let sessions = self.progress.sessions;
        let (cause, next_step) = if sessions == 0 {
            (
                "no session was imported".to_owned(),
                "check that the paths hold logs of Claude Code or Codex; the import's problems say what was found",
            )
        } else if losses.tasks_too_long > 0 {
            (
                format!(
                    "{} of the tasks in {sessions} sessions do not fit into {} characters",
                    losses.tasks_too_long, self.options.examples.max_chars
                ),
                "raise max_chars",
            )
        } else if losses.tasks_without_answer > 0 {
            (
                format!(
                    "{} tasks in {sessions} sessions have no answer of a model",
                    losses.tasks_without_answer
                ),
                "give sessions in which the agent answered",
            )
        } else {
            (
                format!("{sessions} sessions without a task of their own"),
                "give sessions in which someone typed a prompt",
            )
        };
        TracesError::NoExamples { cause, next_step }
    }
}

impl Drop for DatasetBuilder {
    fn drop(&mut self) {
        drop(self.work.take());
        if self.created_out_dir {
            // Fails when something else is in it by now, and then it should stay.
            let _ = fs::remove_dir(&self.options.out_dir);
        }
    }
}

/// Removes the work folders of builds that were killed; one still in use has its lock held.
fn remove_abandoned(out: &Path) {
    let Ok(entries) = fs::read_dir(out) else { return };
    for entry in entries.flatten() {
        let is_work = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(WORK_PREFIX));
        let lock = entry.path().join(LOCK_FILE);
        if is_work && File::open(lock).is_ok_and(|lock| lock.try_lock().is_ok()) {
            // It costs only space if this fails.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Stores the rows of one session.
struct RowSink<'a> {
    spool: &'a mut BufWriter<File>,
    path: &'a Path,
    seen: &'a mut HashSet<u64>,
    groups: &'a mut Groups,
    agents: &'a mut BTreeMap<String, u64>,
    models: &'a mut BTreeMap<String, u64>,
    node: usize,
    rows: u64,
    messages: u64,
    tool_calls: u64,
    duplicates: u64,
}

impl RowSink<'_> {
    fn take(&mut self, example: &Example) -> Result<(), TracesError> {
        let messages = serde_json::to_string(&example.messages).map_err(TracesError::Encode)?;
        if !self.seen.insert(xxh3_64(messages.as_bytes())) {
            self.duplicates += 1;
            return Ok(());
        }
        let tools = serde_json::to_string(&example.tools).map_err(TracesError::Encode)?;
        let metadata = serde_json::to_string(&example.metadata).map_err(TracesError::Encode)?;
        let parts = [
            "{\"messages\":",
            &messages,
            ",\"tools\":",
            &tools,
            ",\"metadata\":",
            &metadata,
            "}",
        ];
        let length: usize = parts.iter().map(|p| p.len()).sum();
        let mut write = || -> io::Result<()> {
            self.spool.write_all(&(self.node as u64).to_le_bytes())?;
            self.spool.write_all(&(length as u64).to_le_bytes())?;
            parts
                .iter()
                .try_for_each(|part| self.spool.write_all(part.as_bytes()))
        };
        write().map_err(|e| TracesError::io("writing", self.path, e))?;
        self.groups.add_row(self.node);
        self.rows += 1;
        self.messages += example.messages.len() as u64;
        self.tool_calls += example
            .messages
            .iter()
            .filter_map(|m| m.tool_calls.as_ref())
            .map(|c| c.len() as u64)
            .sum::<u64>();
        bump(self.agents, &example.metadata.agent, 1);
        let model = &example.metadata.model;
        bump(self.models, if model.is_empty() { "unknown" } else { model }, 1);
        Ok(())
    }
}
