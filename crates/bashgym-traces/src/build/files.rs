//! Rows on their way to disk.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::BUFFER;
use super::manifest::SplitFile;
use crate::columns::Split;
use crate::error::TracesError;

/// A file of lines that is hashed while it is written.
pub(super) struct HashedFile {
    out: BufWriter<File>,
    path: PathBuf,
    hasher: Sha256,
    rows: u64,
    size_bytes: u64,
}

impl HashedFile {
    pub(super) fn create(path: &Path) -> Result<Self, TracesError> {
        let file = File::create_new(path).map_err(|e| TracesError::io("creating", path, e))?;
        Ok(Self {
            out: BufWriter::with_capacity(BUFFER, file),
            path: path.to_owned(),
            hasher: Sha256::new(),
            rows: 0,
            size_bytes: 0,
        })
    }

    pub(super) fn row(&mut self, row: &[u8]) -> Result<(), TracesError> {
        for part in [row, b"\n"] {
            self.out
                .write_all(part)
                .map_err(|e| TracesError::io("writing", &self.path, e))?;
            self.hasher.update(part);
            self.size_bytes += part.len() as u64;
        }
        self.rows += 1;
        Ok(())
    }

    /// Makes sure that the bytes are on disk.
    pub(super) fn close(&mut self) -> Result<(), TracesError> {
        self.out
            .flush()
            .and_then(|()| self.out.get_ref().sync_all())
            .map_err(|e| TracesError::io("writing", &self.path, e))
    }

    /// Closes the file; `folder` is where it lies below the root of the dataset, empty for the root itself.
    pub(super) fn finish(
        mut self,
        split: Split,
        folder: &str,
        groups: u64,
    ) -> Result<SplitFile, TracesError> {
        self.close()?;
        Ok(SplitFile {
            split,
            file: if folder.is_empty() {
                split.file_name().to_owned()
            } else {
                format!("{folder}/{}", split.file_name())
            },
            rows: self.rows,
            groups,
            size_bytes: self.size_bytes,
            sha256: hex::encode(self.hasher.finalize()),
        })
    }
}

pub(super) fn sync_dir(dir: &Path) -> Result<(), TracesError> {
    if cfg!(unix) {
        File::open(dir)
            .and_then(|d| d.sync_all())
            .map_err(|e| TracesError::io("writing", dir, e))?;
    }
    Ok(())
}
