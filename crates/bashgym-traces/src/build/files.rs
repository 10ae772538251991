//! Rows on their way to disk.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::BUFFER;
use super::manifest::SplitFile;
use crate::error::TracesError;
use crate::example::Split;

pub(super) fn read_row(from: &mut impl Read, row: &mut Vec<u8>) -> io::Result<usize> {
    let mut number = [0; 8];
    from.read_exact(&mut number)?;
    let node = usize::try_from(u64::from_le_bytes(number)).map_err(io::Error::other)?;
    from.read_exact(&mut number)?;
    let length = usize::try_from(u64::from_le_bytes(number)).map_err(io::Error::other)?;
    row.resize(length, 0);
    from.read_exact(row)?;
    Ok(node)
}

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

    pub(super) fn finish(mut self, split: Split, groups: u64) -> Result<SplitFile, TracesError> {
        self.close()?;
        Ok(SplitFile {
            split,
            file: split.file_name().to_owned(),
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
