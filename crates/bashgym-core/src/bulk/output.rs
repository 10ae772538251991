//! A dataset's folder, to write.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use bashgym_traces::{DatasetManifest, METADATA_FILE, RowKind, Split, SplitFile};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::BulkError;
use super::rows::AnyRow;
use crate::publish::write_card;

/// The file beside the rows that says where each one came from.
pub const PROVENANCE_FILE: &str = "provenance.jsonl";
const README: &str = "README.md";
/// What the files are called until they are whole.
const PARTIAL: &str = ".partial";

/// The manifest of a dataset with what was done to it by models, oldest first.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct WithLineage {
    #[serde(flatten)]
    manifest: DatasetManifest,
    #[serde(default)]
    lineage: Vec<Value>,
}

/// What was done to the dataset in a folder by models, oldest first; empty where nothing was.
pub(crate) fn lineage(dir: &Path) -> Vec<Value> {
    std::fs::read(dir.join(METADATA_FILE))
        .ok()
        .and_then(|text| serde_json::from_slice::<WithLineage>(&text).ok())
        .map(|read| read.lineage)
        .unwrap_or_default()
}

/// A file that is hashed while it is written, under another name until it is whole.
struct Hashed {
    out: BufWriter<File>,
    path: PathBuf,
    partial: PathBuf,
    hasher: Sha256,
    rows: u64,
    size_bytes: u64,
}

impl Hashed {
    fn create(path: PathBuf) -> Result<Self, BulkError> {
        let mut partial = path.clone().into_os_string();
        partial.push(PARTIAL);
        let partial = PathBuf::from(partial);
        let file = File::create(&partial).map_err(BulkError::io("create", &partial))?;
        Ok(Self {
            out: BufWriter::with_capacity(1 << 18, file),
            path,
            partial,
            hasher: Sha256::new(),
            rows: 0,
            size_bytes: 0,
        })
    }

    fn line(&mut self, line: &[u8]) -> Result<(), BulkError> {
        for part in [line, b"\n"] {
            self.out
                .write_all(part)
                .map_err(BulkError::io("write", &self.partial))?;
            self.hasher.update(part);
            self.size_bytes += part.len() as u64;
        }
        self.rows += 1;
        Ok(())
    }

    fn close(&mut self) -> Result<(), BulkError> {
        self.out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all())
            .map_err(BulkError::io("write", &self.partial))
    }

    fn put(&self) -> Result<(), BulkError> {
        std::fs::rename(&self.partial, &self.path).map_err(BulkError::io("write", &self.path))
    }
}

/// Writes a dataset's folder. Files get their names when all of them are whole, `metadata.json` last.
pub(crate) struct Output {
    dir: PathBuf,
    files: BTreeMap<String, Hashed>,
    provenance: Hashed,
    counts: BTreeMap<&'static str, u64>,
    tally: Tally,
}

/// What the manifest counts of the rows.
#[derive(Default)]
struct Tally {
    agents: BTreeMap<String, u64>,
    models: BTreeMap<String, u64>,
    scores: BTreeMap<String, u64>,
    messages: u64,
    tool_calls: u64,
    truncated: u64,
}

impl Tally {
    fn add(&mut self, row: &AnyRow) {
        let metadata = row.metadata();
        *self.agents.entry(metadata.agent.clone()).or_default() += 1;
        *self.models.entry(metadata.model.clone()).or_default() += 1;
        let tenth = (metadata.score.clamp(0.0, 0.999) * 10.0).floor() / 10.0;
        *self.scores.entry(format!("{tenth:.1}")).or_default() += 1;
        for message in row.all_messages() {
            self.messages += 1;
            self.tool_calls += message.tool_calls.as_ref().map_or(0, |calls| calls.len() as u64);
        }
        self.truncated += u64::from(metadata.truncated);
    }
}

/// Whether this work may write to a folder: it is not there, empty, or was written by the same work before.
///
/// # Errors
/// [`BulkError::NotOurs`], [`BulkError::Io`].
pub(crate) fn check_target(dir: &Path, work: &str) -> Result<(), BulkError> {
    let entries = match std::fs::read_dir(dir) {
        Ok(mut entries) => entries.next(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(BulkError::io("open", dir)(error)),
    };
    if entries.is_none() {
        return Ok(());
    }
    let ours = lineage(dir)
        .last()
        .and_then(|last| last.get("work").and_then(Value::as_str).map(|it| it == work));
    // What was left half written names nobody yet.
    let unfinished = !dir.join(METADATA_FILE).exists() && only_partial(dir);
    if ours == Some(true) || unfinished {
        return Ok(());
    }
    Err(BulkError::NotOurs {
        path: dir.to_path_buf(),
    })
}

fn only_partial(dir: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return false;
    };
    entries.flatten().all(|entry| {
        let path = entry.path();
        if path.is_dir() {
            return only_partial(&path);
        }
        path.to_string_lossy().ends_with(PARTIAL)
    })
}

impl Output {
    pub(crate) fn create(dir: &Path) -> Result<Self, BulkError> {
        std::fs::create_dir_all(dir).map_err(BulkError::io("make the folder", dir))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            files: BTreeMap::new(),
            provenance: Hashed::create(dir.join(PROVENANCE_FILE))?,
            counts: BTreeMap::new(),
            tally: Tally::default(),
        })
    }

    /// Makes sure that a file is there, even if no row comes.
    pub(crate) fn open(&mut self, name: &str) -> Result<(), BulkError> {
        self.file(name).map(|_| ())
    }

    fn file(&mut self, name: &str) -> Result<&mut Hashed, BulkError> {
        if !self.files.contains_key(name) {
            let path = self.dir.join(name);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder).map_err(BulkError::io("make the folder", folder))?;
            }
            self.files.insert(name.to_owned(), Hashed::create(path)?);
        }
        self.files
            .get_mut(name)
            .ok_or_else(|| BulkError::data("a file that was just made is not there"))
    }

    pub(crate) fn row(&mut self, name: &str, row: &AnyRow) -> Result<(), BulkError> {
        self.tally.add(row);
        let line = row
            .to_line()
            .map_err(|error| BulkError::data(format!("a row cannot be written: {error}")))?;
        self.file(name)?.line(line.as_bytes())
    }

    /// Writes where a row came from.
    pub(crate) fn provenance(&mut self, line: &Value) -> Result<(), BulkError> {
        self.provenance.line(line.to_string().as_bytes())
    }

    /// Counts something that the report tells.
    pub(crate) fn count(&mut self, what: &'static str, by: u64) {
        *self.counts.entry(what).or_default() += by;
    }

    pub(crate) fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    pub(crate) fn counted(&self, what: &str) -> u64 {
        self.counts.get(what).copied().unwrap_or_default()
    }

    /// Rows written to files of a split.
    pub(crate) fn rows_of(&self, split: Split) -> u64 {
        self.files
            .iter()
            .filter(|(name, _)| name.ends_with(split.file_name()))
            .map(|(_, file)| file.rows)
            .sum()
    }

    /// Gives the files their names and writes the manifest and the card.
    pub(crate) fn finish(
        mut self,
        mut manifest: DatasetManifest,
        mut lineage: Vec<Value>,
        step: Value,
    ) -> Result<(), BulkError> {
        for file in self.files.values_mut().chain([&mut self.provenance]) {
            file.close()?;
        }
        let mut written: BTreeMap<String, (u64, u64, String)> = BTreeMap::new();
        for (name, file) in std::mem::take(&mut self.files) {
            file.put()?;
            let hash = hex::encode(file.hasher.clone().finalize());
            written.insert(name, (file.rows, file.size_bytes, hash));
        }
        self.provenance.put()?;
        let renew = |split: &mut SplitFile| {
            if let Some((rows, size_bytes, sha256)) = written.get(&split.file) {
                (split.rows, split.size_bytes) = (*rows, *size_bytes);
                split.sha256.clone_from(sha256);
            }
        };
        manifest.splits.iter_mut().for_each(renew);
        for set in &mut manifest.row_sets {
            set.splits.iter_mut().for_each(renew);
        }
        let rows = |split: Split| {
            let files = manifest.splits.iter().filter(|file| file.split == split);
            files.map(|file| file.rows).sum()
        };
        (manifest.rows_train, manifest.rows_val) = (rows(Split::Train), rows(Split::Val));
        manifest.agents = self.tally.agents;
        manifest.models = self.tally.models;
        manifest.scores = self.tally.scores;
        (manifest.messages, manifest.tool_calls) = (self.tally.messages, self.tally.tool_calls);
        manifest.truncated_rows = self.tally.truncated;
        let told = describe(&step);
        lineage.push(step);
        write_card(&self.dir, &manifest, None)?;
        let readme = self.dir.join(README);
        let mut card = std::fs::read_to_string(&readme).map_err(BulkError::io("read", &readme))?;
        card.push_str(&told);
        std::fs::write(&readme, card).map_err(BulkError::io("write", &readme))?;
        let mut file = Hashed::create(self.dir.join(METADATA_FILE))?;
        let text = serde_json::to_string_pretty(&WithLineage { manifest, lineage })
            .map_err(|error| BulkError::data(format!("the manifest cannot be written: {error}")))?;
        file.line(text.as_bytes())?;
        file.close()?;
        file.put()
    }
}

/// What the card says of a step.
fn describe(step: &Value) -> String {
    let text = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or_default();
    let complete = step.get("complete") == Some(&Value::Bool(true));
    let state = if complete {
        ""
    } else {
        " It was stopped before all rows were done."
    };
    format!(
        "\n## Made with a model\n\n`{}` with `{}`; `metadata.json` has the numbers under `lineage`, \
         `{PROVENANCE_FILE}` beside the rows says where each one came from.{state}\n",
        text("command"),
        text("model"),
    )
}

/// The folder below the root where rows of a kind lie, with the file of a split.
pub(crate) fn root_file(split: Split) -> String {
    split.file_name().to_owned()
}

/// A manifest of rows that were made from nothing but prompts.
pub(crate) fn fresh_manifest(kind: RowKind, gate: bashgym_traces::GateReport) -> DatasetManifest {
    let splits: Vec<SplitFile> = Split::ALL
        .into_iter()
        .map(|split| SplitFile {
            split,
            file: root_file(split),
            rows: 0,
            groups: 0,
            size_bytes: 0,
            sha256: String::new(),
        })
        .collect();
    let features = bashgym_traces::features(kind);
    DatasetManifest {
        format: bashgym_traces::DATASET_FORMAT.to_owned(),
        rules: bashgym_traces::RuleVersions::default(),
        generator: bashgym_traces::Generator {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        rows_train: 0,
        rows_val: 0,
        sessions: 0,
        groups: 0,
        agents: BTreeMap::new(),
        models: BTreeMap::new(),
        messages: 0,
        tool_calls: 0,
        splits: splits.clone(),
        row_sets: vec![bashgym_traces::RowSet {
            kind,
            config: bashgym_traces::columns::DEFAULT_CONFIG.to_owned(),
            splits,
            features: features.clone(),
        }],
        split: bashgym_traces::SplitOptions::default(),
        examples: bashgym_traces::ExampleOptions::default(),
        quality: bashgym_traces::quality::QualityOptions::default(),
        scores: BTreeMap::new(),
        dedup: bashgym_traces::DedupReport::default(),
        truncated_rows: 0,
        losses: bashgym_traces::Losses::default(),
        gate,
        import: None,
        inputs: None,
        warnings: Vec::new(),
        features,
    }
}
