//! The rows of a dataset's folder, one at a time.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use bashgym_traces::{
    ChatMessage, DatasetManifest, DistillationRow, Example, ExampleMetadata, METADATA_FILE, PreferenceRow,
    RlvrRow, RowKind, Split,
};
use sha2::{Digest, Sha256};

use super::error::BulkError;

/// A row of any kind.
#[derive(Debug, Clone, PartialEq)]
pub enum AnyRow {
    /// See [`RowKind::Sft`].
    Sft(Example),
    /// See [`RowKind::Preference`].
    Preference(PreferenceRow),
    /// See [`RowKind::Rlvr`].
    Rlvr(RlvrRow),
    /// See [`RowKind::Distillation`].
    Distillation(DistillationRow),
}

impl AnyRow {
    fn parse(kind: RowKind, line: &str) -> serde_json::Result<Self> {
        Ok(match kind {
            RowKind::Sft => Self::Sft(serde_json::from_str(line)?),
            RowKind::Preference => Self::Preference(serde_json::from_str(line)?),
            RowKind::Rlvr => Self::Rlvr(serde_json::from_str(line)?),
            RowKind::Distillation => Self::Distillation(serde_json::from_str(line)?),
        })
    }

    /// The row as a line of its file, without the line's end.
    pub(crate) fn to_line(&self) -> serde_json::Result<String> {
        match self {
            Self::Sft(row) => serde_json::to_string(row),
            Self::Preference(row) => serde_json::to_string(row),
            Self::Rlvr(row) => serde_json::to_string(row),
            Self::Distillation(row) => serde_json::to_string(row),
        }
    }

    /// Where it came from.
    pub fn metadata(&self) -> &ExampleMetadata {
        match self {
            Self::Sft(row) => &row.metadata,
            Self::Preference(row) => &row.metadata,
            Self::Rlvr(row) => &row.metadata,
            Self::Distillation(row) => &row.metadata,
        }
    }

    pub(crate) fn metadata_mut(&mut self) -> &mut ExampleMetadata {
        match self {
            Self::Sft(row) => &mut row.metadata,
            Self::Preference(row) => &mut row.metadata,
            Self::Rlvr(row) => &mut row.metadata,
            Self::Distillation(row) => &mut row.metadata,
        }
    }

    /// The schemas of its tools, as JSON text.
    pub fn tools(&self) -> &str {
        match self {
            Self::Sft(row) => &row.tools,
            Self::Preference(row) => &row.tools,
            Self::Rlvr(row) => &row.tools,
            Self::Distillation(row) => &row.tools,
        }
    }

    /// All its messages; of a preference pair, the better side only.
    pub fn messages(&self) -> impl Iterator<Item = &ChatMessage> {
        let (first, second): (&[ChatMessage], &[ChatMessage]) = match self {
            Self::Sft(row) => (&row.messages, &[]),
            Self::Preference(row) => (&row.prompt, &row.chosen),
            Self::Rlvr(row) => (&row.prompt, &[]),
            Self::Distillation(row) => (&row.prompt, &row.completion),
        };
        first.iter().chain(second)
    }

    /// All its messages, the worse side of a preference pair included.
    pub(crate) fn all_messages(&self) -> impl Iterator<Item = &ChatMessage> {
        let rejected: &[ChatMessage] = match self {
            Self::Preference(row) => &row.rejected,
            _ => &[],
        };
        self.messages().chain(rejected)
    }

    /// The first message of the person.
    pub(crate) fn prompt_mut(&mut self) -> Option<&mut ChatMessage> {
        let messages = match self {
            Self::Sft(row) => &mut row.messages,
            Self::Preference(row) => &mut row.prompt,
            Self::Rlvr(row) => &mut row.prompt,
            Self::Distillation(row) => &mut row.prompt,
        };
        messages.iter_mut().find(|message| message.role == "user")
    }

    /// The text of the first message of the person.
    pub fn prompt(&self) -> Option<&str> {
        let first = self.messages().find(|message| message.role == "user")?;
        Some(&first.content)
    }
}

/// A file of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RowFile {
    pub(crate) kind: RowKind,
    pub(crate) split: Split,
    /// Its path in the folder, with `/`.
    pub(crate) name: String,
    path: PathBuf,
}

/// A dataset's folder, to read.
#[derive(Debug, Clone)]
pub struct RowFolder {
    pub(crate) manifest: DatasetManifest,
    pub(crate) files: Vec<RowFile>,
    dir: PathBuf,
}

impl RowFolder {
    /// Opens the folder that `data build` wrote.
    ///
    /// # Errors
    /// [`BulkError::Traces`] when there is no manifest, [`BulkError::Data`] when a file it names is missing.
    pub fn open(dir: &Path) -> Result<Self, BulkError> {
        let manifest = DatasetManifest::read(dir)?;
        let mut files = Vec::new();
        for set in &manifest.row_sets {
            for split in &set.splits {
                let path = dir.join(&split.file);
                let inside = !split.file.split('/').any(|part| part == ".." || part.is_empty());
                if !inside || !path.is_file() {
                    return Err(BulkError::data(format!(
                        "{} names {}, which is not there",
                        dir.join(METADATA_FILE).display(),
                        split.file
                    )));
                }
                files.push(RowFile {
                    kind: set.kind,
                    split: split.split,
                    name: split.file.clone(),
                    path,
                });
            }
        }
        if files.is_empty() {
            return Err(BulkError::data(format!("{} names no rows", dir.display())));
        }
        Ok(Self {
            manifest,
            files,
            dir: dir.to_path_buf(),
        })
    }

    /// The SHA-256 of its manifest, which holds that of each of its files.
    pub(crate) fn fingerprint(&self) -> Result<String, BulkError> {
        let path = self.dir.join(METADATA_FILE);
        let bytes = std::fs::read(&path).map_err(BulkError::io("read", &path))?;
        Ok(hex::encode(Sha256::digest(bytes)))
    }

    /// All rows of the files, in their order, as they are read.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Result<(RowFile, AnyRow), BulkError>> + Send + use<> {
        self.files.clone().into_iter().flat_map(|file| {
            let rows: Box<dyn Iterator<Item = Result<(RowFile, AnyRow), BulkError>> + Send> =
                match Lines::open(&file.path) {
                    Err(error) => Box::new(std::iter::once(Err(error))),
                    Ok(lines) => Box::new(lines.map(move |line| {
                        let (number, line) = line?;
                        let row = AnyRow::parse(file.kind, &line).map_err(|error| {
                            BulkError::data(format!("{}, line {number}: {error}", file.path.display()))
                        })?;
                        Ok((file.clone(), row))
                    })),
                };
            rows
        })
    }
}

/// The lines of a file with their numbers, from 1; empty ones are left out.
pub(crate) struct Lines {
    reader: BufReader<File>,
    path: PathBuf,
    number: u64,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> Result<Self, BulkError> {
        let file = File::open(path).map_err(BulkError::io("read", path))?;
        Ok(Self {
            reader: BufReader::with_capacity(1 << 18, file),
            path: path.to_path_buf(),
            number: 0,
        })
    }
}

impl Iterator for Lines {
    type Item = Result<(u64, String), BulkError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut line = String::new();
            self.number += 1;
            match self.reader.read_line(&mut line) {
                Ok(0) => return None,
                Ok(_) if line.trim().is_empty() => {}
                Ok(_) => {
                    line.truncate(line.trim_end_matches(['\n', '\r']).len());
                    return Some(Ok((self.number, line)));
                }
                Err(error) => return Some(Err(BulkError::io("read", &self.path)(error))),
            }
        }
    }
}
