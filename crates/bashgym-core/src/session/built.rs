//! Datasets that were built on this machine, as they lie on disk.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::time::SystemTime;

use bashgym_traces::{DatasetManifest, METADATA_FILE, Split};
use jiff::Timestamp;
use serde_json::Value;

use crate::CoreError;

/// Cards longer than this are cut (bytes).
const LONGEST_CARD: u64 = 256 * 1024;

/// A dataset that was built here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuiltSet {
    /// Its folder's name.
    pub name: String,
    /// Sessions it is made of.
    pub sessions: u64,
    /// Rows to train on.
    pub rows_train: u64,
    /// Rows held out.
    pub rows_val: u64,
    /// When it was written.
    pub built_at: Option<Timestamp>,
}

/// Every dataset that was built in a folder, by name. Folders that hold none are left out.
///
/// # Errors
/// [`CoreError::Io`] when the folder is there and cannot be read.
pub fn list_built(folder: &Path) -> Result<Vec<BuiltSet>, CoreError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(CoreError::io("read", folder)(error)),
    };
    let read = |dir: &Path| {
        let file = dir.join(METADATA_FILE);
        let manifest: DatasetManifest = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
        let written = std::fs::metadata(&file).and_then(|meta| meta.modified());
        Some(BuiltSet {
            name: dir.file_name()?.to_str()?.to_owned(),
            sessions: manifest.sessions,
            rows_train: manifest.rows_train,
            rows_val: manifest.rows_val,
            built_at: written.ok().and_then(|at: SystemTime| at.try_into().ok()),
        })
    };
    let mut found: Vec<BuiltSet> = entries
        .filter_map(Result::ok)
        .filter_map(|entry| read(&entry.path()))
        .collect();
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Rows of a dataset that was built here.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuiltRows {
    /// How many rows fit: of the split, or of the session.
    pub total: u64,
    /// The rows, each with its place in the split, from 0.
    pub rows: Vec<(u64, Value)>,
}

/// Reads rows of a split, all or those made of one session: at most `limit` after the first `offset`.
///
/// The file is read line by line, so that memory does not grow with it.
///
/// # Errors
/// [`CoreError::Io`] when the split cannot be read.
pub fn built_rows(
    dir: &Path,
    split: Split,
    session: Option<&str>,
    offset: u64,
    limit: usize,
) -> Result<BuiltRows, CoreError> {
    let path = dir.join(split.file_name());
    let file = match File::open(&path) {
        Ok(file) => file,
        // A split without rows has no file.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BuiltRows::default()),
        Err(error) => return Err(CoreError::io("open", &path)(error)),
    };
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let mut found = BuiltRows::default();
    let mut line = Vec::new();
    let mut at = 0;
    loop {
        line.clear();
        if reader
            .read_until(b'\n', &mut line)
            .map_err(CoreError::io("read", &path))?
            == 0
        {
            return Ok(found);
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        if session.is_none_or(|session| is_of(&line, session)) {
            if found.total >= offset && found.rows.len() < limit {
                // One that does not read keeps its place.
                let row = serde_json::from_slice(&line).unwrap_or_default();
                found.rows.push((at, row));
            }
            found.total += 1;
        }
        at += 1;
    }
}

/// Whether a row is made of a session. Looked at as bytes first: most rows are of other sessions.
fn is_of(line: &[u8], session: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Row {
        metadata: Metadata,
    }
    #[derive(serde::Deserialize)]
    struct Metadata {
        session_id: String,
    }
    memchr::memmem::find(line, session.as_bytes()).is_some()
        && serde_json::from_slice::<Row>(line).is_ok_and(|row| row.metadata.session_id == session)
}

/// The card of a dataset that was built here: its `README.md`; `None` where it has none.
///
/// # Errors
/// [`CoreError::Io`] when it cannot be read.
pub fn built_card(dir: &Path) -> Result<Option<String>, CoreError> {
    use std::io::Read;
    let path = dir.join("README.md");
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CoreError::io("open", &path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(LONGEST_CARD)
        .read_to_end(&mut bytes)
        .map_err(CoreError::io("read", &path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use bashgym_traces::Split;
    use serde_json::json;

    use super::{built_card, built_rows, list_built};

    fn written(dir: &Path, sessions: &[&str]) {
        let lines: Vec<String> = sessions
            .iter()
            .map(|id| json!({ "messages": [{ "role": "user", "content": "about s-2" }], "metadata": { "session_id": id } }))
            .map(|row| row.to_string())
            .collect();
        std::fs::write(dir.join("train.jsonl"), lines.join("\n")).unwrap();
    }

    #[test]
    fn rows_come_in_pages_of_all_or_of_one_session() {
        let dir = tempfile::tempdir().unwrap();
        written(dir.path(), &["s-1", "s-2", "s-1", "s-3", "s-1"]);
        let at = |session, offset, limit| {
            let found = built_rows(dir.path(), Split::Train, session, offset, limit).unwrap();
            let places: Vec<u64> = found.rows.iter().map(|(at, _)| *at).collect();
            (found.total, places)
        };
        assert_eq!(at(None, 0, 2), (5, vec![0, 1]));
        assert_eq!(at(None, 4, 2), (5, vec![4]));
        assert_eq!(at(Some("s-1"), 0, 2), (3, vec![0, 2]));
        assert_eq!(at(Some("s-1"), 2, 2), (3, vec![4]));
        // A row that only speaks of the session is not made of it.
        assert_eq!(at(Some("s-2"), 0, 9), (1, vec![1]));
        assert_eq!(at(Some("s-9"), 0, 9), (0, vec![]));
        let none = built_rows(dir.path(), Split::Val, None, 0, 9).unwrap();
        assert_eq!(none.total, 0);
    }

    #[test]
    fn a_row_that_does_not_read_keeps_its_place() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("train.jsonl"),
            "{\"a\":1}\nnot json\n\n{\"a\":2}\n",
        )
        .unwrap();
        let found = built_rows(dir.path(), Split::Train, None, 0, 9).unwrap();
        assert_eq!(found.total, 3);
        assert_eq!(
            found.rows,
            [(0, json!({ "a": 1 })), (1, json!(null)), (2, json!({ "a": 2 }))]
        );
    }

    #[test]
    fn what_is_not_there_is_nothing() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(list_built(&dir.path().join("none")).unwrap(), []);
        std::fs::create_dir(dir.path().join("no-dataset")).unwrap();
        assert_eq!(list_built(dir.path()).unwrap(), []);
        assert_eq!(built_card(dir.path()).unwrap(), None);
    }
}
