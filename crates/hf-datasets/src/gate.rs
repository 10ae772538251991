//! Lets the gate look at everything a commit adds.

use hf_core::{HfError, UploadGate};
use tempfile::TempDir;

use crate::io_error;
use crate::repo::{CommitOperation, Source};

/// What has passed a scan. Only [`clear`] makes one, and it lives as long as its upload.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Copies of the files as they were scanned, readable by this user only.
    _copies: Option<TempDir>,
}

/// An operation, and the BLAKE3 hash of what passed, where it carries bytes.
pub(crate) type Cleared = (CommitOperation, Option<blake3::Hash>);

/// Scans everything a commit adds, and what it says of itself. Files are copied while they are scanned, and the copies
/// are what is uploaded: bytes that change afterwards cannot slip through. This call blocks.
pub(crate) fn clear(
    gate: &UploadGate,
    operations: Vec<CommitOperation>,
    words: &[&str],
) -> Result<(Vec<Cleared>, Passed), HfError> {
    if matches!(gate, UploadGate::LoopbackOnly) {
        let operations = operations
            .into_iter()
            .map(|operation| (operation, None))
            .collect();
        return Ok((operations, Passed::default()));
    }
    for text in words {
        gate.scan_bytes("the commit message", text.as_bytes())?;
    }
    let copies =
        tempfile::tempdir().map_err(|error| io_error("create a folder in", &std::env::temp_dir(), error))?;
    let mut cleared = Vec::with_capacity(operations.len());
    for (number, operation) in operations.into_iter().enumerate() {
        let CommitOperation::Add { path, source } = operation else {
            cleared.push((operation, None));
            continue;
        };
        let (source, hash) = match source {
            Source::Bytes(bytes) => {
                gate.scan_bytes(&path, &bytes)?;
                let hash = blake3::hash(&bytes);
                (Source::Bytes(bytes), hash)
            }
            Source::File(file) => {
                let copy = copies.path().join(number.to_string());
                let mut hasher = blake3::Hasher::new();
                gate.copy_scanned(&path, &file, &copy, |piece| {
                    hasher.update(piece);
                })?;
                (Source::File(copy), hasher.finalize())
            }
        };
        cleared.push((CommitOperation::Add { path, source }, Some(hash)));
    }
    let passed = Passed {
        _copies: Some(copies),
    };
    Ok((cleared, passed))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hf_core::{FileScan, UploadScanner};

    use super::*;

    /// Refuses what holds the word.
    #[derive(Debug)]
    struct NoWord(&'static str);

    struct Words(&'static str, Vec<u8>);

    impl UploadScanner for NoWord {
        fn begin(&self, _: &str, _: u64) -> Result<Box<dyn FileScan>, String> {
            Ok(Box::new(Words(self.0, Vec::new())))
        }
    }

    impl FileScan for Words {
        fn feed(&mut self, bytes: &[u8]) {
            self.1.extend_from_slice(bytes);
        }

        fn finish(self: Box<Self>) -> Result<(), String> {
            let found = self.1.windows(self.0.len()).any(|part| part == self.0.as_bytes());
            if found { Err("found".to_owned()) } else { Ok(()) }
        }
    }

    #[test]
    fn what_is_sent_is_a_copy_of_what_was_scanned() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.jsonl");
        std::fs::write(&file, "clean").unwrap();
        let gate = UploadGate::Scan(Arc::new(NoWord("secret")));
        let add = || vec![CommitOperation::add_file("rows.jsonl", &file)];
        let (cleared, passed) = clear(&gate, add(), &["message"]).unwrap();
        std::fs::write(&file, "now with a secret").unwrap();
        let [
            (
                CommitOperation::Add {
                    source: Source::File(copy),
                    ..
                },
                Some(hash),
            ),
        ] = cleared.as_slice()
        else {
            panic!("one file was added");
        };
        assert_eq!(std::fs::read(copy).unwrap(), b"clean");
        assert_eq!(*hash, blake3::hash(b"clean"));
        let copy = copy.clone();
        drop(passed);
        assert!(!copy.exists());
        assert!(clear(&gate, add(), &[]).is_err());
        assert!(clear(&gate, vec![CommitOperation::add_bytes("x", "a secret")], &[]).is_err());
        assert!(clear(&gate, Vec::new(), &["a secret"]).is_err());
        assert!(
            clear(
                &gate,
                vec![CommitOperation::add_file("x", folder.path().join("gone"))],
                &[]
            )
            .is_err()
        );
    }
}
