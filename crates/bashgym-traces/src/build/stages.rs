//! The stages of a build, each with its own output in a work folder, and redone only when what it reads has changed.
//!
//! | stage | reads | writes below the work folder |
//! | --- | --- | --- |
//! | import | session logs | `import/traces.jsonl`: sessions as they are, secrets included |
//! | redact | import | `redact/traces.jsonl` |
//! | score | redact | `score/rows.jsonl`, `score/sessions.jsonl`: rows, and scores with their parts |
//! | dedup | score | `dedup/decisions.jsonl`: which rows go, and why |
//! | split | score, dedup | the dataset, in a folder of its own |
//!
//! Each stage notes in `stage.json` the key of what it read (content and options) and the hash of what it wrote. The score
//! stage keeps what it made of each session under the hash of that session, so that a new session costs only its own work.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::decide::Decision;
use super::inputs::hash_file;
use super::lines::{Known, Lines, each_line};
use super::manifest::RuleVersions;
use super::stage::{Stage, StageRecord};
use super::store::{ROWS, SESSIONS, SessionRecord, Store, StoreWriter, read_sessions};
use super::target::Target;
use super::{BuildOptions, DatasetManifest, Facts, decide, eval_set, hash_inputs, row_maker, write_dataset};
use crate::discover::SessionFile;
use crate::error::TracesError;
use crate::examples::ScoredTask;
use crate::gate::Gate;
use crate::import::{ImportEvent, ImportOptions, import};
use crate::model::Trace;
use crate::redact::clean_session;

const TRACES: &str = "traces.jsonl";
const DECISIONS: &str = "decisions.jsonl";
const RECORD: &str = "stage.json";

/// A folder in which stages leave their output for the next one.
#[derive(Debug, Clone)]
pub struct WorkDir {
    root: PathBuf,
}

impl WorkDir {
    /// Names a work folder; the first stage creates it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns what a stage did, if it was run.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when its record cannot be read.
    pub fn record(&self, stage: Stage) -> Result<Option<StageRecord>, TracesError> {
        let path = self.dir(stage).join(RECORD);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|e| TracesError::io("reading", path, e.into())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(TracesError::io("reading", path, e)),
        }
    }

    /// Reads the logs; `watch` sees what the import tells, apart from the sessions.
    ///
    /// # Errors
    ///
    /// [`TracesError::Stopped`] when `watch` asked to stop, [`TracesError::Io`] when the folder cannot be written to.
    pub fn import(
        &self,
        files: &[SessionFile],
        options: &ImportOptions,
        watch: &mut dyn FnMut(ImportEvent) -> ControlFlow<()>,
    ) -> Result<StageRecord, TracesError> {
        let inputs = hash_inputs(files);
        let key = key(Stage::Import, &(options, &inputs.blake3), "")?;
        if let Some(done) = self.reusable(Stage::Import, &key)? {
            return Ok(done);
        }
        let out = self.begin(Stage::Import)?;
        let mut lines = Lines::create(&out.join(TRACES))?;
        let mut failed = None;
        let summary = import(files, options, &mut |event| match event {
            ImportEvent::Session(trace) => match lines.write(&*trace) {
                Ok(()) => ControlFlow::Continue(()),
                Err(e) => {
                    failed = Some(e);
                    ControlFlow::Break(())
                }
            },
            other => watch(other),
        })?;
        if let Some(e) = failed {
            return Err(e);
        }
        if summary.stopped {
            return Err(TracesError::Stopped);
        }
        let sessions = lines.finish()?;
        let mut record = blank(Stage::Import, key, sessions);
        record.counts.insert("files".to_owned(), inputs.files);
        record.inputs = Some(inputs);
        record.import = Some(summary);
        self.commit(record, &out, &[TRACES])
    }

    /// Takes secrets out of what the import left.
    ///
    /// # Errors
    ///
    /// [`TracesError::StageMissing`] before an import, [`TracesError::Io`] when something cannot be read or written.
    pub fn redact(&self, mut gate: Gate) -> Result<StageRecord, TracesError> {
        let before = self.needed(Stage::Import)?;
        let key = key(
            Stage::Redact,
            &(env!("CARGO_PKG_VERSION"), gate.fingerprint()),
            &before.output,
        )?;
        if let Some(done) = self.reusable(Stage::Redact, &key)? {
            return Ok(done);
        }
        let out = self.begin(Stage::Redact)?;
        let mut lines = Lines::create(&out.join(TRACES))?;
        each_line(&self.dir(Stage::Import).join(TRACES), |line| {
            let mut trace: Trace = serde_json::from_str(line).map_err(TracesError::Encode)?;
            clean_session(&mut gate, &mut trace)?;
            lines.write(&trace)
        })?;
        let mut record = blank(Stage::Redact, key, lines.finish()?);
        let report = gate.report();
        record.counts.clone_from(&report.replaced);
        record.gate = Some(report);
        self.commit(record, &out, &[TRACES])
    }

    /// Makes rows of what the redaction left, and judges the tasks.
    ///
    /// # Errors
    ///
    /// As [`WorkDir::redact`]; [`TracesError::InvalidOption`] for an option out of range.
    pub fn score(&self, options: &BuildOptions) -> Result<StageRecord, TracesError> {
        options.validate()?;
        let before = self.needed(Stage::Redact)?;
        let wanted = (&options.examples, &options.rows, RuleVersions::default());
        let key = key(Stage::Score, &(wanted, &options.labels), &before.output)?;
        if let Some(done) = self.reusable(Stage::Score, &key)? {
            return Ok(done);
        }
        let mut known = Known::open(&self.dir(Stage::Score))?;
        let out = self.begin(Stage::Score)?;
        let mut store = StoreWriter::create(&out)?;
        let options_key = serde_json::to_vec(&wanted).map_err(TracesError::Encode)?;
        let (mut sessions, mut rows, mut reused, mut tasks) = (0, 0, 0, 0);
        each_line(&self.dir(Stage::Redact).join(TRACES), |line| {
            let trace: Trace = serde_json::from_str(line).map_err(TracesError::Encode)?;
            let label = options.labels.get(&trace.session_id);
            let mut hasher = blake3::Hasher::new();
            hasher.update(&options_key).update(line.as_bytes());
            hasher.update(label.map_or("", |l| l.as_str()).as_bytes());
            let key = hasher.finalize().to_hex().to_string();
            sessions += 1;
            if let Some((record, bytes)) = known.take(&key)? {
                reused += 1;
                rows += record.rows.len() as u64;
                tasks += record.tasks.len() as u64;
                return store.add(&record, &record.cut(&bytes));
            }
            let made = row_maker(options, label).session(&trace)?;
            rows += made.rows.len() as u64;
            tasks += made.tasks.len() as u64;
            let record = SessionRecord::new(key, &trace, &made);
            let rows: Vec<&[u8]> = made.rows.iter().map(|row| row.json.as_bytes()).collect();
            store.add(&record, &rows)
        })?;
        store.finish()?;
        let mut record = blank(Stage::Score, key, sessions);
        for (name, count) in [("rows", rows), ("tasks", tasks), ("sessions_reused", reused)] {
            record.counts.insert(name.to_owned(), count);
        }
        self.commit(record, &out, &[ROWS, SESSIONS])
    }

    /// Hands the scores of each session to `take`, in the order of the import.
    ///
    /// # Errors
    ///
    /// [`TracesError::StageMissing`] before the score stage, [`TracesError::Io`] when its output cannot be read, and what
    /// `take` returns.
    pub fn scores(
        &self,
        mut take: impl FnMut(&str, &[ScoredTask]) -> Result<(), TracesError>,
    ) -> Result<(), TracesError> {
        self.needed(Stage::Score)?;
        read_sessions(&self.dir(Stage::Score), |record| {
            take(&record.session_id, &record.tasks)
        })
    }

    /// Decides which rows repeat something.
    ///
    /// # Errors
    ///
    /// As [`WorkDir::score`].
    pub fn dedup(&self, options: &BuildOptions) -> Result<StageRecord, TracesError> {
        options.validate()?;
        let before = self.needed(Stage::Score)?;
        let eval = eval_set(options)?;
        let wanted = (
            &options.quality,
            &options.dedup,
            RuleVersions::default(),
            eval.sets(),
        );
        let key = key(Stage::Dedup, &wanted, &before.output)?;
        if let Some(done) = self.reusable(Stage::Dedup, &key)? {
            return Ok(done);
        }
        let store = Store::open(&self.dir(Stage::Score), options.quality.min_score)?;
        let decisions = decide(&store, &options.quality, options.dedup, &eval)?;
        let out = self.begin(Stage::Dedup)?;
        let mut lines = Lines::create(&out.join(DECISIONS))?;
        let mut record = blank(Stage::Dedup, key, store.sessions);
        for decision in &decisions {
            lines.write(decision)?;
            *record
                .counts
                .entry(decision.reason.as_str().to_owned())
                .or_default() += 1;
        }
        lines.finish()?;
        self.commit(record, &out, &[DECISIONS])
    }

    /// Divides the rows and writes the dataset to the folder of the options.
    ///
    /// # Errors
    ///
    /// As [`WorkDir::score`]; [`TracesError::NoExamples`] when no row is left.
    pub fn split(&self, options: &BuildOptions) -> Result<DatasetManifest, TracesError> {
        options.validate()?;
        let imported = self.needed(Stage::Import)?;
        let redacted = self.needed(Stage::Redact)?;
        self.needed(Stage::Score)?;
        self.needed(Stage::Dedup)?;
        let eval = eval_set(options)?;
        let store = Store::open(&self.dir(Stage::Score), options.quality.min_score)?;
        let mut decisions: Vec<Decision> = Vec::new();
        each_line(&self.dir(Stage::Dedup).join(DECISIONS), |line| {
            decisions.push(serde_json::from_str(line).map_err(TracesError::Encode)?);
            Ok(())
        })?;
        let facts = Facts {
            gate: redacted.gate,
            import: imported.import,
            inputs: imported.inputs,
        };
        let target = Target::create(&options.out_dir)?;
        write_dataset(store, &decisions, &eval, options, facts, target)
    }

    fn dir(&self, stage: Stage) -> PathBuf {
        self.root.join(stage.as_str())
    }

    fn needed(&self, stage: Stage) -> Result<StageRecord, TracesError> {
        self.record(stage)?.ok_or_else(|| TracesError::StageMissing {
            stage: stage.as_str(),
            work: self.root.clone(),
        })
    }

    fn reusable(&self, stage: Stage, key: &str) -> Result<Option<StageRecord>, TracesError> {
        let Some(mut record) = self.record(stage)? else {
            return Ok(None);
        };
        let whole = record.files.iter().all(|(name, &size)| {
            fs::metadata(self.dir(stage).join(name)).is_ok_and(|meta| meta.len() == size)
        });
        record.reused = true;
        Ok((whole && record.key == key).then_some(record))
    }

    /// Makes an empty folder for a stage's new output, beside the old one.
    fn begin(&self, stage: Stage) -> Result<PathBuf, TracesError> {
        let dir = self.root.join(format!(".{stage}.new"));
        let _ = fs::remove_dir_all(&dir);
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true);
        // What the import leaves holds the secrets of the logs.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder
            .create(&dir)
            .map_err(|e| TracesError::io("creating", &dir, e))?;
        Ok(dir)
    }

    /// Puts the new output in the place of the old one, the record last.
    fn commit(
        &self,
        mut record: StageRecord,
        new: &Path,
        files: &[&str],
    ) -> Result<StageRecord, TracesError> {
        let mut all = blake3::Hasher::new();
        for name in files {
            let (hash, bytes) = hash_file(&new.join(name))?;
            all.update(hash.as_bytes());
            record.files.insert((*name).to_owned(), bytes);
        }
        record.output = all.finalize().to_hex().to_string();
        let text = serde_json::to_vec_pretty(&record).map_err(TracesError::Encode)?;
        let path = new.join(RECORD);
        fs::write(&path, text).map_err(|e| TracesError::io("writing", path, e))?;
        let place = self.dir(record.stage);
        match fs::remove_dir_all(&place) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(TracesError::io("replacing", place, e));
            }
            _ => {}
        }
        fs::rename(new, &place).map_err(|e| TracesError::io("writing", place, e))?;
        Ok(record)
    }
}

fn blank(stage: Stage, key: String, sessions: u64) -> StageRecord {
    StageRecord {
        stage,
        key,
        output: String::new(),
        sessions,
        counts: BTreeMap::new(),
        files: BTreeMap::new(),
        reused: false,
        inputs: None,
        import: None,
        gate: None,
    }
}

fn key<T: Serialize>(stage: Stage, options: &T, upstream: &str) -> Result<String, TracesError> {
    let options = serde_json::to_vec(options).map_err(TracesError::Encode)?;
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(stage.as_str().as_bytes())
        .update(&[0])
        .update(&options)
        .update(&[0])
        .update(upstream.as_bytes());
    Ok(hasher.finalize().to_hex().to_string())
}
