//! What an archive knows of a file.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::write_whole;
use crate::error::TracesError;

/// A file that is kept, under the path it had.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedFile {
    /// Names the file in the archive: the head of the BLAKE3 of its path, in hexadecimal.
    pub id: String,
    /// Where it was.
    pub path: PathBuf,
    /// What it held, oldest first. A file that only grows has one version.
    pub versions: Vec<ArchivedVersion>,
}

/// What a file held at some time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchivedVersion {
    /// Its size.
    pub size_bytes: u64,
    /// BLAKE3 of its bytes, in hexadecimal.
    pub hash: String,
    /// The chunks it consists of, in order.
    pub chunks: Vec<String>,
    /// When it was kept.
    pub archived_at: Timestamp,
}

pub(super) fn id_of(path: &Path) -> String {
    let hash = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
    hash[..16].to_owned()
}

pub(super) fn read_all(folder: &Path) -> Result<Vec<ArchivedFile>, TracesError> {
    let failed = |e| TracesError::io("reading", folder, e);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let bytes = fs::read(&path).map_err(|e| TracesError::io("reading", &path, e))?;
        files.push(
            serde_json::from_slice(&bytes).map_err(|e| TracesError::ArchiveDamaged {
                what: format!("it is no record of a file: {e}"),
                path,
            })?,
        );
    }
    Ok(files)
}

pub(super) fn write(folder: &Path, file: &ArchivedFile) -> Result<(), TracesError> {
    let name = format!("{}.json", file.id);
    let write = || -> io::Result<()> {
        let bytes = serde_json::to_vec(file)?;
        write_whole(folder, &name, &bytes)
    };
    write().map_err(|e| TracesError::io("writing", folder.join(&name), e))
}
