//! The files of rows of an upload: as they lie in the folder, or as Parquet in their place.

use std::path::{Path, PathBuf};

use hf_core::HfError;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use super::layout::{TRAIN_FILE, TrainingFolder, VAL_FILE};
use crate::card::split_front_matter;
use crate::parquet::{declared, shown, write};
use crate::{invalid, io_error};

const JSONL: &str = ".jsonl";
const PARQUET: &str = ".parquet";

/// Files of rows by their path in the repository, and what is said of them.
#[derive(Debug)]
pub(super) struct RowFiles {
    pub(super) files: Vec<(String, PathBuf)>,
    pub(super) card: String,
    /// `metadata.json` with a note on the files, where they are not those of the folder.
    pub(super) metadata: Option<String>,
    /// Paths of the same rows in the other form, which an earlier upload may have left.
    pub(super) stale: Vec<String>,
    _copies: Option<TempDir>,
}

impl RowFiles {
    /// Takes the files of the folder.
    pub(super) fn as_they_are(folder: &TrainingFolder, card: String) -> Self {
        let files = all(folder);
        Self {
            stale: files.iter().map(|(path, _)| renamed(path, PARQUET)).collect(),
            files,
            card,
            metadata: None,
            _copies: None,
        }
    }

    /// Writes the rows of the folder as Parquet. The card and `metadata.json` name the files that are uploaded. This call
    /// blocks.
    ///
    /// The types are those that the card declares, else those that the rows show.
    pub(super) fn as_parquet(folder: &TrainingFolder, card: &str) -> Result<Self, HfError> {
        let copies = tempfile::tempdir()
            .map_err(|error| io_error("create a folder in", &std::env::temp_dir(), error))?;
        let front = match split_front_matter(card) {
            Some((yaml, _)) => serde_saphyr::from_str(yaml)
                .map_err(|error| invalid(format!("the front matter of the card cannot be read: {error}")))?,
            None => Value::Null,
        };
        let sources = all(folder);
        let mut card = card.to_owned();
        let (mut files, mut stale) = (Vec::new(), Vec::new());
        let mut notes = Map::new();
        for (number, (path, source)) in sources.iter().enumerate() {
            let config = path.split_once('/').map_or("default", |(folder, _)| folder);
            let columns = match declared(&front, config)? {
                Some(columns) => columns,
                None => shown(&same_config(&sources, path))?,
            };
            let copy = copies.path().join(number.to_string());
            let rows = write(source, &copy, &columns)?;
            let to = renamed(path, PARQUET);
            let (size_bytes, sha256) = hash(&copy)?;
            notes.insert(
                to.clone(),
                json!({ "rows": rows, "size_bytes": size_bytes, "sha256": sha256, "rows_of": path }),
            );
            card = name_instead(&card, path, &to);
            files.push((to, copy));
            stale.push(path.clone());
        }
        Ok(Self {
            files,
            card,
            metadata: Some(folder.metadata_with("parquet", notes.into())?),
            stale,
            _copies: Some(copies),
        })
    }
}

fn all(folder: &TrainingFolder) -> Vec<(String, PathBuf)> {
    let main = [(TRAIN_FILE, &folder.train), (VAL_FILE, &folder.val)];
    let main = main.map(|(path, source)| (path.to_owned(), source.clone()));
    main.into_iter().chain(folder.further.iter().cloned()).collect()
}

/// The files in the folder of a path: one config's.
fn same_config<'s>(sources: &'s [(String, PathBuf)], path: &str) -> Vec<&'s Path> {
    let folder = |path: &str| {
        path.rsplit_once('/')
            .map_or(String::new(), |(folder, _)| folder.to_owned())
    };
    sources
        .iter()
        .filter(|(other, _)| folder(other) == folder(path))
        .map(|(_, source)| source.as_path())
        .collect()
}

fn renamed(path: &str, end: &str) -> String {
    format!("{}{end}", path.strip_suffix(JSONL).unwrap_or(path))
}

/// Writes another file's name wherever a card has this one as a word of its own.
fn name_instead(card: &str, from: &str, to: &str) -> String {
    let in_word = |c: char| c.is_alphanumeric() || matches!(c, '/' | '_' | '-' | '.');
    let mut out = String::with_capacity(card.len());
    let mut rest = card;
    while let Some(at) = rest.find(from) {
        let (before, behind) = (&rest[..at], &rest[at + from.len()..]);
        let alone = !before.ends_with(in_word) && !behind.starts_with(|c| in_word(c) && c != '.');
        out.push_str(before);
        out.push_str(if alone { to } else { from });
        rest = behind;
    }
    out.push_str(rest);
    out
}

fn hash(path: &Path) -> Result<(u64, String), HfError> {
    let mut file = std::fs::File::open(path).map_err(|error| io_error("open", path, error))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let read =
            std::io::Read::read(&mut file, &mut buffer).map_err(|error| io_error("read", path, error))?;
        if read == 0 {
            return Ok((size, hex::encode(hasher.finalize())));
        }
        hasher.update(&buffer[..read]);
        size += read as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_names_the_files_that_are_there() {
        let card = "path: train.jsonl\n- path: more/train.jsonl\n| `train.jsonl` | see my-train.jsonl, or train.jsonl.";
        assert_eq!(
            name_instead(card, "train.jsonl", "train.parquet"),
            "path: train.parquet\n- path: more/train.jsonl\n| `train.parquet` | see my-train.jsonl, or train.parquet."
        );
    }
}
