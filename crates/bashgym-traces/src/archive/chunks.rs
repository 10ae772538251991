//! The chunks of an archive: pieces of files, named by their content, compressed.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use ruzstd::decoding::StreamingDecoder;
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use super::{make_private, write_whole};
use crate::error::TracesError;

/// Plain bytes in a chunk. A file that grows has its last chunk stored anew, so less is better; each chunk is a file, so
/// more is better.
pub(super) const CHUNK: usize = 1 << 20;

#[derive(Debug)]
pub(super) struct Chunks {
    root: PathBuf,
}

impl Chunks {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn place(&self, hash: &str) -> (PathBuf, String) {
        let shelf = hash.get(..2).unwrap_or("00");
        (self.root.join(shelf), format!("{hash}.zst"))
    }

    /// Stores a chunk, if it is not there yet, and gives its name.
    pub(super) fn store(&self, bytes: &[u8]) -> Result<String, TracesError> {
        let hash = blake3::hash(bytes).to_hex().to_string();
        let (shelf, name) = self.place(&hash);
        let path = shelf.join(&name);
        if !path.is_file() {
            let mut frame = compress_to_vec(bytes, CompressionLevel::Fastest);
            if frame.len() >= bytes.len() {
                frame = compress_to_vec(bytes, CompressionLevel::Uncompressed);
            }
            make_private(&shelf)
                .and_then(|()| write_whole(&shelf, &name, &frame))
                .map_err(|e| TracesError::io("writing", &path, e))?;
        }
        Ok(hash)
    }

    /// Reads a chunk and checks that it is what its name says.
    pub(super) fn load(&self, hash: &str) -> Result<Vec<u8>, TracesError> {
        let (shelf, name) = self.place(hash);
        let path = shelf.join(name);
        let damaged = |what: String| TracesError::ArchiveDamaged {
            path: path.clone(),
            what,
        };
        let is_name = hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit());
        if !is_name {
            return Err(damaged("not the name of a chunk".to_owned()));
        }
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(damaged("it is missing".to_owned())),
            Err(e) => return Err(TracesError::io("reading", &path, e)),
        };
        let mut bytes = Vec::new();
        StreamingDecoder::new(io::BufReader::new(file))
            .map_err(io::Error::other)
            .and_then(|decoder| decoder.take(CHUNK as u64 + 1).read_to_end(&mut bytes))
            .map_err(|e| damaged(format!("it cannot be decompressed: {e}")))?;
        if blake3::hash(&bytes).to_hex().as_str() != hash {
            return Err(damaged("its bytes are not what they were".to_owned()));
        }
        Ok(bytes)
    }

    /// Removes a chunk nobody needs; one that stays is only waste.
    pub(super) fn remove(&self, hash: &str) {
        let (shelf, name) = self.place(hash);
        let _ = fs::remove_file(shelf.join(name));
    }

    /// Lists all chunks with their sizes on disk.
    pub(super) fn list(&self) -> Result<Vec<(String, u64)>, TracesError> {
        let mut found = Vec::new();
        for entry in walkdir::WalkDir::new(&self.root).min_depth(2) {
            let failed = |e: walkdir::Error| {
                TracesError::io(
                    "reading",
                    &self.root,
                    e.into_io_error().unwrap_or_else(|| io::Error::other("a loop")),
                )
            };
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(hash) = name.strip_suffix(".zst") {
                let size_bytes = entry.metadata().map_err(failed)?.len();
                found.push((hash.to_owned(), size_bytes));
            }
        }
        Ok(found)
    }
}
