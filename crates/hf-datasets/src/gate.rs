//! Whether data may leave this machine.

use std::fmt;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use hf_core::{Endpoint, HfError};
use tempfile::TempDir;
use url::Url;

use crate::repo::{CommitOperation, Source};
use crate::{invalid, io_error};

/// How many bytes are scanned at a time.
const PIECE: usize = 256 * 1024;

/// Looks at files before they are uploaded.
pub trait UploadScanner: Send + Sync + fmt::Debug {
    /// Starts the scan of one file.
    ///
    /// # Errors
    ///
    /// Why the file may not be uploaded, in words that do not repeat what was found.
    fn begin(&self, path: &str, size_bytes: u64) -> Result<Box<dyn FileScan>, String>;
}

/// The scan of one file.
pub trait FileScan: Send {
    /// Takes the next bytes.
    fn feed(&mut self, bytes: &[u8]);

    /// Says whether the file may be uploaded.
    ///
    /// # Errors
    ///
    /// Why not.
    fn finish(self: Box<Self>) -> Result<(), String>;
}

/// What is known about the data about to be uploaded.
///
/// Session logs hold secrets. What no scan has passed may only go to a Hub on the same machine.
#[derive(Debug, Clone, Default)]
pub enum UploadGate {
    /// Nothing scans this data: every address but loopback is refused.
    #[default]
    LoopbackOnly,
    /// Every file is scanned as it will be sent, and only when all have passed is anything sent, to whatever Hub.
    Scan(Arc<dyn UploadScanner>),
}

/// What has passed a scan. Only [`UploadGate::clear`] makes one, and it lives as long as its upload.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Copies of the files as they were scanned, readable by this user only.
    _copies: Option<TempDir>,
}

impl UploadGate {
    /// Says whether data may be uploaded to `endpoint`.
    ///
    /// # Errors
    ///
    /// [`HfError::InvalidArgument`] when nothing scans the data and the endpoint is not a loopback address.
    pub fn check(&self, endpoint: &Endpoint) -> Result<(), HfError> {
        if matches!(self, Self::Scan(_)) || endpoint.is_loopback() {
            return Ok(());
        }
        Err(invalid(format!(
            "nothing may be uploaded to {endpoint}: this data has not passed a secret scan. Use a Hub on this machine \
             (bashgym hub serve) until it has"
        )))
    }

    /// Says whether data may be sent to an address the Hub named.
    pub(crate) fn check_url(&self, url: &Url) -> Result<(), HfError> {
        if matches!(self, Self::Scan(_)) {
            return Ok(());
        }
        self.check(&Endpoint::parse(&url.origin().ascii_serialization())?)
    }

    /// Scans everything a commit adds, and what it says of itself. Files are copied while they are scanned, and the copies
    /// are what is uploaded: bytes that change afterwards cannot slip through. This call blocks.
    ///
    /// Each operation comes back with the BLAKE3 hash of what passed.
    pub(crate) fn clear(
        &self,
        operations: Vec<CommitOperation>,
        words: &[&str],
    ) -> Result<(Vec<Cleared>, Passed), HfError> {
        let Self::Scan(scanner) = self else {
            let operations = operations
                .into_iter()
                .map(|operation| (operation, None))
                .collect();
            return Ok((operations, Passed::default()));
        };
        for text in words {
            scan_bytes(scanner.as_ref(), "the commit message", text.as_bytes())?;
        }
        let copies = tempfile::tempdir()
            .map_err(|error| io_error("create a folder in", &std::env::temp_dir(), error))?;
        let mut cleared = Vec::with_capacity(operations.len());
        for (number, operation) in operations.into_iter().enumerate() {
            let CommitOperation::Add { path, source } = operation else {
                cleared.push((operation, None));
                continue;
            };
            let (source, hash) = match source {
                Source::Bytes(bytes) => {
                    scan_bytes(scanner.as_ref(), &path, &bytes)?;
                    let hash = blake3::hash(&bytes);
                    (Source::Bytes(bytes), hash)
                }
                Source::File(file) => {
                    let copy = copies.path().join(number.to_string());
                    let hash = scan_file(scanner.as_ref(), &path, &file, &copy)?;
                    (Source::File(copy), hash)
                }
            };
            cleared.push((CommitOperation::Add { path, source }, Some(hash)));
        }
        Ok((
            cleared,
            Passed {
                _copies: Some(copies),
            },
        ))
    }
}

/// An operation, and the hash of what passed, where it carries bytes.
pub(crate) type Cleared = (CommitOperation, Option<blake3::Hash>);

fn refused(why: &str) -> HfError {
    invalid(format!("{why}; nothing was uploaded"))
}

fn scan_bytes(scanner: &dyn UploadScanner, path: &str, bytes: &[u8]) -> Result<(), HfError> {
    let mut scan = scanner
        .begin(path, bytes.len() as u64)
        .map_err(|why| refused(&why))?;
    for piece in bytes.chunks(PIECE) {
        scan.feed(piece);
    }
    scan.finish().map_err(|why| refused(&why))
}

fn scan_file(
    scanner: &dyn UploadScanner,
    path: &str,
    file: &Path,
    copy: &Path,
) -> Result<blake3::Hash, HfError> {
    let mut from = File::open(file).map_err(|error| io_error("open", file, error))?;
    let size = from
        .metadata()
        .map_err(|error| io_error("look at", file, error))?
        .len();
    let mut to = File::create_new(copy).map_err(|error| io_error("create", copy, error))?;
    let mut scan = scanner.begin(path, size).map_err(|why| refused(&why))?;
    let mut hasher = blake3::Hasher::new();
    let mut piece = vec![0; PIECE];
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(io_error("read", file, error)),
        };
        scan.feed(&piece[..read]);
        hasher.update(&piece[..read]);
        to.write_all(&piece[..read])
            .map_err(|error| io_error("write", copy, error))?;
    }
    scan.finish().map_err(|why| refused(&why))?;
    Ok(hasher.finalize())
}

#[cfg(test)]
mod tests {
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
    fn only_loopback_passes_without_a_scan() {
        let cloud = Endpoint::default();
        let local = Endpoint::parse("http://127.0.0.1:9").unwrap();
        assert!(
            UploadGate::default()
                .check(&cloud)
                .unwrap_err()
                .to_string()
                .contains("secret scan")
        );
        UploadGate::default().check(&local).unwrap();
        UploadGate::Scan(Arc::new(NoWord("x"))).check(&cloud).unwrap();
        let target = Url::parse("https://s3.example.org/x?sig=secret").unwrap();
        let error = UploadGate::LoopbackOnly
            .check_url(&target)
            .unwrap_err()
            .to_string();
        assert!(!error.contains("sig"), "{error}");
        UploadGate::LoopbackOnly
            .check_url(&Url::parse("http://localhost:5/x").unwrap())
            .unwrap();
    }

    #[test]
    fn what_is_sent_is_a_copy_of_what_was_scanned() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rows.jsonl");
        std::fs::write(&file, "clean").unwrap();
        let gate = UploadGate::Scan(Arc::new(NoWord("secret")));
        let add = || vec![CommitOperation::add_file("rows.jsonl", &file)];
        let (cleared, passed) = gate.clear(add(), &["message"]).unwrap();
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
        assert!(gate.clear(add(), &[]).is_err());
        assert!(
            gate.clear(vec![CommitOperation::add_bytes("x", "a secret")], &[])
                .is_err()
        );
        assert!(gate.clear(Vec::new(), &["a secret"]).is_err());
        assert!(
            gate.clear(
                vec![CommitOperation::add_file("x", folder.path().join("gone"))],
                &[]
            )
            .is_err()
        );
    }
}
