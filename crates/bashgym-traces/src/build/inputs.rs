//! The content of the files a dataset is built from, as hashes.

use std::fs::File;
use std::path::Path;

use super::manifest::Inputs;
use crate::discover::SessionFile;
use crate::error::TracesError;

/// How many files the manifest lists one by one.
const LISTED: usize = 1_000;

/// Hashes the files of an import. One that cannot be read counts as empty, as it does for the import.
pub fn hash_inputs(files: &[SessionFile]) -> Inputs {
    let mut inputs = Inputs {
        files: files.len() as u64,
        ..Inputs::default()
    };
    let mut all = blake3::Hasher::new();
    for file in files {
        let (hash, bytes) = hash_file(&file.path).unwrap_or((blake3::hash(b""), 0));
        all.update(hash.as_bytes());
        inputs.bytes += bytes;
        if inputs.listed.len() < LISTED {
            inputs.listed.push(hash.to_hex().to_string());
        }
    }
    inputs.blake3 = all.finalize().to_hex().to_string();
    inputs
}

pub(super) fn hash_file(path: &Path) -> Result<(blake3::Hash, u64), TracesError> {
    let io = |e| TracesError::io("reading", path, e);
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).map_err(io)?).map_err(io)?;
    Ok((hasher.finalize(), hasher.count()))
}
