//! Whether data may leave this machine.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use url::Url;

use crate::{Endpoint, HfError};

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
/// Session logs hold secrets, and so do scripts. What no scan has passed may only go to a Hub on the same machine.
#[derive(Debug, Clone, Default)]
pub enum UploadGate {
    /// Nothing scans this data: every address but loopback is refused.
    #[default]
    LoopbackOnly,
    /// Every file is scanned as it will be sent, and only when all have passed is anything sent, to whatever Hub.
    Scan(Arc<dyn UploadScanner>),
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
        Err(HfError::invalid(format!(
            "nothing may be uploaded to {endpoint}: this data has not passed a secret scan. Use a Hub on this machine \
             (bashgym hub serve) until it has"
        )))
    }

    /// Says whether data may be sent to an address the Hub named.
    ///
    /// # Errors
    ///
    /// As [`UploadGate::check`].
    pub fn check_url(&self, url: &Url) -> Result<(), HfError> {
        if matches!(self, Self::Scan(_)) {
            return Ok(());
        }
        self.check(&Endpoint::parse(&url.origin().ascii_serialization())?)
    }

    /// Scans bytes that will be sent under the name `path`, where there is a scanner.
    ///
    /// # Errors
    ///
    /// [`HfError::InvalidArgument`] when they may not be sent.
    pub fn scan_bytes(&self, path: &str, bytes: &[u8]) -> Result<(), HfError> {
        let Self::Scan(scanner) = self else { return Ok(()) };
        let mut scan = scanner
            .begin(path, bytes.len() as u64)
            .map_err(|why| refused(&why))?;
        for piece in bytes.chunks(PIECE) {
            scan.feed(piece);
        }
        scan.finish().map_err(|why| refused(&why))
    }

    /// Copies a file to `copy`, which must not exist, and scans it on the way, where there is a scanner.
    ///
    /// The copy is what is to be uploaded: bytes of `file` that change afterwards cannot slip through. `each` sees the bytes that
    /// went into the copy. This call blocks.
    ///
    /// # Errors
    ///
    /// [`HfError::InvalidArgument`] when the file may not be sent, or a file that cannot be read or written.
    pub fn copy_scanned(
        &self,
        path: &str,
        file: &Path,
        copy: &Path,
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), HfError> {
        let io =
            |action: &str, path: &Path, error| HfError::io(format!("{action} {}", path.display()), error);
        let mut from = File::open(file).map_err(|error| io("open", file, error))?;
        let size = from.metadata().map_err(|error| io("look at", file, error))?.len();
        let mut to = File::create_new(copy).map_err(|error| io("create", copy, error))?;
        let mut scan = match self {
            Self::LoopbackOnly => None,
            Self::Scan(scanner) => Some(scanner.begin(path, size).map_err(|why| refused(&why))?),
        };
        let mut piece = vec![0; PIECE];
        loop {
            let read = match from.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(io("read", file, error)),
            };
            if let Some(scan) = &mut scan {
                scan.feed(&piece[..read]);
            }
            each(&piece[..read]);
            to.write_all(&piece[..read])
                .map_err(|error| io("write", copy, error))?;
        }
        scan.map_or(Ok(()), FileScan::finish).map_err(|why| refused(&why))
    }
}

fn refused(why: &str) -> HfError {
    HfError::invalid(format!("{why}; nothing was uploaded"))
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
        let error = UploadGate::default().check(&cloud).unwrap_err().to_string();
        assert!(error.contains("secret scan"), "{error}");
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
    fn a_copy_holds_what_was_scanned_or_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let gate = UploadGate::Scan(Arc::new(NoWord("secret")));
        std::fs::write(path("clean"), "clean").unwrap();
        let mut seen = Vec::new();
        gate.copy_scanned("x", &path("clean"), &path("1"), |piece| {
            seen.extend_from_slice(piece);
        })
        .unwrap();
        assert_eq!(
            (std::fs::read(path("1")).unwrap(), seen),
            (b"clean".to_vec(), b"clean".to_vec())
        );
        std::fs::write(path("telling"), "a secret").unwrap();
        let error = gate
            .copy_scanned("x", &path("telling"), &path("2"), |_| ())
            .unwrap_err();
        assert!(error.to_string().contains("nothing was uploaded"), "{error}");
        gate.copy_scanned("x", &path("clean"), &path("1"), |_| ())
            .unwrap_err();
        gate.copy_scanned("x", &path("gone"), &path("3"), |_| ())
            .unwrap_err();
        gate.scan_bytes("x", b"a secret").unwrap_err();
        gate.scan_bytes("x", b"clean").unwrap();
        UploadGate::LoopbackOnly.scan_bytes("x", b"a secret").unwrap();
    }
}
