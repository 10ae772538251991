//! Writes a dataset: traces in, `train.jsonl`, `val.jsonl` and `metadata.json` out.

mod decide;
mod divide;
mod files;
mod inputs;
mod lines;
mod manifest;
mod stage;
mod stages;
mod store;
mod target;

use std::ops::ControlFlow;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::decide::DedupReport;
use self::decide::{Decision, Reason, decide};
use self::divide::divide;
use self::files::HashedFile;
pub use self::inputs::hash_inputs;
pub use self::manifest::{
    DATASET_FORMAT, DatasetManifest, Generator, Inputs, RowSet, RuleVersions, SplitFile,
};
pub use self::stage::{Stage, StageRecord};
pub use self::stages::WorkDir;
use self::store::{SessionRecord, Store, StoreWriter};
use self::target::Target;
use crate::columns::{METADATA_FILE, RowKind};
use crate::dedup::{DedupOptions, EvalSet};
use crate::error::TracesError;
use crate::examples::{ExampleOptions, Losses, RowMaker};
use crate::gate::{Gate, GateReport};
use crate::model::Trace;
use crate::quality::{Label, Labels, QualityOptions};
use crate::redact::clean_session;
use crate::report::ImportSummary;
use crate::split::SplitOptions;

const BUFFER: usize = 256 * 1024;

/// How a dataset is built, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildOptions {
    /// The folder to write to; it is created when it is not there.
    pub out_dir: PathBuf,
    /// The kinds of rows to make; the first one lies at the root of the folder.
    pub rows: Vec<RowKind>,
    /// How rows are divided.
    pub split: SplitOptions,
    /// How examples are made.
    pub examples: ExampleOptions,
    /// How tasks are judged.
    pub quality: QualityOptions,
    /// How near-duplicates are found.
    pub dedup: DedupOptions,
    /// What people said about sessions.
    pub labels: Labels,
    /// Files with items of evaluation sets; rows that hold one are removed.
    pub eval_files: Vec<PathBuf>,
}

impl BuildOptions {
    /// Returns the defaults for a folder.
    pub fn new(out_dir: impl Into<PathBuf>) -> Self {
        Self {
            out_dir: out_dir.into(),
            rows: vec![RowKind::Sft],
            split: SplitOptions::default(),
            examples: ExampleOptions::default(),
            quality: QualityOptions::default(),
            dedup: DedupOptions::default(),
            labels: Labels::default(),
            eval_files: Vec::new(),
        }
    }

    /// Checks the values.
    fn validate(&self) -> Result<(), TracesError> {
        self.split.validate()?;
        self.dedup.validate()?;
        let wrong = |option, value: String, expected| TracesError::InvalidOption {
            option,
            value,
            expected,
        };
        let examples = &self.examples;
        if examples.max_chars < 200 {
            return Err(wrong("max_chars", examples.max_chars.to_string(), "200 or more"));
        }
        if examples.max_tokens < 64 {
            return Err(wrong("max_tokens", examples.max_tokens.to_string(), "64 or more"));
        }
        if examples.max_tool_output_chars < 10 {
            return Err(wrong(
                "max_tool_output_chars",
                examples.max_tool_output_chars.to_string(),
                "10 or more",
            ));
        }
        for (option, value) in [
            ("min_score", self.quality.min_score),
            ("min_preference_gap", self.quality.min_preference_gap),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(wrong(option, value.to_string(), "from 0 to 1"));
            }
        }
        let distinct: std::collections::BTreeSet<_> = self.rows.iter().collect();
        if self.rows.is_empty() || distinct.len() != self.rows.len() {
            return Err(wrong(
                "rows",
                format!("{:?}", self.rows),
                "one or more kinds, each named once",
            ));
        }
        Ok(())
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
        builder.take(trace)?;
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
    target: Target,
    store: StoreWriter,
    gate: Gate,
    progress: BuildProgress,
    facts: Facts,
}

/// What a build knows beside its rows.
#[derive(Debug, Clone, Default)]
struct Facts {
    gate: Option<GateReport>,
    import: Option<ImportSummary>,
    inputs: Option<Inputs>,
}

impl DatasetBuilder {
    /// Prepares the target folder.
    ///
    /// # Errors
    ///
    /// [`TracesError::InvalidOption`] for an option out of range, [`TracesError::Io`] when the folder cannot be written to.
    pub fn new(options: BuildOptions) -> Result<Self, TracesError> {
        options.validate()?;
        let target = Target::create(&options.out_dir)?;
        let store = StoreWriter::create(target.work())?;
        Ok(Self {
            options,
            target,
            store,
            gate: Gate::new(),
            progress: BuildProgress::default(),
            facts: Facts::default(),
        })
    }

    /// Cleans with another gate: one with a secret key, with decisions of reviews, or with secrets this process knows.
    #[must_use]
    pub fn with_gate(mut self, gate: Gate) -> Self {
        self.gate = gate;
        self
    }

    /// Returns how far the build is.
    pub fn progress(&self) -> BuildProgress {
        self.progress
    }

    /// Notes the sums of the import for the manifest.
    pub fn record_import(&mut self, summary: &ImportSummary) {
        self.facts.import = Some(summary.clone());
    }

    /// Notes the files of the import for the manifest.
    pub fn record_inputs(&mut self, inputs: Inputs) {
        self.facts.inputs = Some(inputs);
    }

    /// Adds the examples of one session.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when a row cannot be stored.
    pub fn add(&mut self, trace: &Trace) -> Result<(), TracesError> {
        self.take(trace.clone())
    }

    /// As [`DatasetBuilder::add`], for a trace nobody else needs.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when a row cannot be stored.
    pub fn take(&mut self, mut trace: Trace) -> Result<(), TracesError> {
        clean_session(&mut self.gate, &mut trace)?;
        let label = self.options.labels.get(&trace.session_id);
        let made = row_maker(&self.options, label).session(&trace)?;
        self.progress.sessions += 1;
        self.progress.rows += made.rows.len() as u64;
        let record = SessionRecord::new(String::new(), &trace, &made);
        let rows: Vec<&[u8]> = made.rows.iter().map(|row| row.json.as_bytes()).collect();
        self.store.add(&record, &rows)
    }

    /// Divides the rows and puts the dataset in its place.
    ///
    /// The files get their names at the very end, `metadata.json` last: a folder without it holds no finished dataset.
    ///
    /// # Errors
    ///
    /// [`TracesError::NoExamples`] when there is no row, [`TracesError::Io`] when something cannot be written; in both
    /// cases an older dataset in the folder is left as it was.
    pub fn finish(self) -> Result<DatasetManifest, TracesError> {
        let Self {
            options,
            target,
            store,
            gate,
            mut facts,
            ..
        } = self;
        store.finish()?;
        facts.gate = Some(gate.report());
        let store = Store::open(target.work(), options.quality.min_score)?;
        let eval = eval_set(&options)?;
        let decisions = decide(&store, &options.quality, options.dedup, &eval)?;
        write_dataset(store, &decisions, &eval, &options, facts, target)
    }
}

fn row_maker(options: &BuildOptions, label: Option<Label>) -> RowMaker<'_> {
    RowMaker {
        options: &options.examples,
        kinds: &options.rows,
        label,
        judge: None,
    }
}

fn eval_set(options: &BuildOptions) -> Result<EvalSet, TracesError> {
    let mut eval = EvalSet::default();
    for path in &options.eval_files {
        eval.add_file(path)?;
    }
    Ok(eval)
}

/// Divides the rows, describes them, and puts everything in its place.
fn write_dataset(
    mut store: Store,
    decisions: &[Decision],
    eval: &EvalSet,
    options: &BuildOptions,
    facts: Facts,
    target: Target,
) -> Result<DatasetManifest, TracesError> {
    let divided = divide(&mut store, decisions, options, target.work())?;
    let mut losses = store.losses;
    let mut dedup = DedupReport {
        threshold: options.dedup.threshold,
        eval_sets: eval.sets().to_vec(),
        ..DedupReport::default()
    };
    let mut counted = None;
    for decision in decisions {
        // A row that is near several others goes once; rows nobody asked for do not count.
        if counted == Some(decision.row) || !options.rows.contains(&store.rows[decision.row].kind) {
            continue;
        }
        counted = Some(decision.row);
        match decision.reason {
            Reason::BelowScore => {}
            Reason::Duplicate => dedup.exact_removed += 1,
            Reason::NearDuplicate => dedup.near_removed += 1,
            Reason::Contaminated => dedup.contaminated_removed += 1,
        }
    }
    losses.duplicate_rows = dedup.exact_removed;
    losses.near_duplicate_rows = dedup.near_removed;
    losses.contaminated_rows = dedup.contaminated_removed;
    if divided.rows() == 0 {
        return Err(no_examples(store.sessions, &losses, options));
    }
    let main = divided.sets[0].clone();
    let manifest = DatasetManifest {
        format: DATASET_FORMAT.to_owned(),
        rules: RuleVersions::default(),
        generator: Generator {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        rows_train: main.splits[0].rows,
        rows_val: main.splits[1].rows,
        sessions: store.sessions,
        groups: divided.groups,
        agents: divided.agents,
        models: divided.models,
        messages: divided.messages,
        tool_calls: divided.tool_calls,
        splits: main.splits,
        row_sets: divided.sets,
        split: options.split,
        examples: options.examples.clone(),
        quality: options.quality.clone(),
        scores: store.scores,
        dedup,
        truncated_rows: divided.truncated,
        losses,
        gate: facts.gate.unwrap_or_else(|| Gate::new().report()),
        import: facts.import,
        inputs: facts.inputs,
        warnings: divided.warning.into_iter().collect(),
        features: main.features,
    };
    let mut text = serde_json::to_string_pretty(&manifest).map_err(TracesError::Encode)?;
    text.push('\n');
    let mut out = HashedFile::create(&target.work().join(METADATA_FILE))?;
    out.row(text.trim_end().as_bytes())?;
    out.close()?;
    target.publish(&manifest)?;
    Ok(manifest)
}

fn no_examples(sessions: u64, losses: &Losses, options: &BuildOptions) -> TracesError {
    let (cause, next_step) = if sessions == 0 {
        (
            "no session was imported".to_owned(),
            "check that the paths hold logs of coding agents; the import's problems say what was found",
        )
    } else if losses.tasks_too_long > 0 {
        (
            format!(
                "{} of the tasks in {sessions} sessions do not fit into {} characters and {} tokens",
                losses.tasks_too_long, options.examples.max_chars, options.examples.max_tokens
            ),
            "raise max_chars or max_tokens",
        )
    } else if losses.tasks_below_score > 0 {
        (
            format!(
                "{} tasks in {sessions} sessions score below {}",
                losses.tasks_below_score, options.quality.min_score
            ),
            "lower the score that is asked for, or label sessions that are good",
        )
    } else if losses.tasks_without_check > 0 {
        (
            format!(
                "{} tasks in {sessions} sessions have no test that passed",
                losses.tasks_without_check
            ),
            "ask for another kind of rows, or give sessions in which tests ran",
        )
    } else if losses.contaminated_rows > 0 {
        (
            format!(
                "{} rows hold items of the evaluation sets",
                losses.contaminated_rows
            ),
            "give other sessions, or leave out the evaluation set",
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
