//! One file that is followed: read from where its last whole line ended.

use std::fs::{File, Metadata};
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::state::FileState;
use crate::discover::SessionFile;
use crate::import::ImportOptions;
use crate::importers::{
    FileOutcome, FileReader, LineReader, Step, is_compressed, is_document, is_store, is_tree_session,
    read_file, tree_stamp,
};

const READ_BUFFER: usize = 256 * 1024;

/// What the file system says of a file, as one number; it changes when the file may have.
pub(super) fn stamp_of(file: &SessionFile) -> io::Result<u64> {
    if is_tree_session(&file.path) {
        return tree_stamp(&file.path);
    }
    if let Some(stamp) = file.stamp {
        return Ok(stamp);
    }
    Ok(stamp(&std::fs::metadata(&file.path)?))
}

pub(crate) fn stamp(meta: &Metadata) -> u64 {
    let facts = [
        meta.dev(),
        meta.ino(),
        meta.len(),
        meta.mtime().cast_unsigned(),
        meta.mtime_nsec().cast_unsigned(),
    ];
    let bytes: Vec<u8> = facts.iter().flat_map(|n| n.to_le_bytes()).collect();
    xxh3_64(&bytes)
}

/// A file whose lines so far are in memory.
pub(super) struct Live {
    reader: FileReader,
    hasher: blake3::Hasher,
    inode: (u64, u64),
    edges: u64,
    pub(super) read_bytes: u64,
    pub(super) lines: u64,
}

/// How a file was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    New,
    Grown,
    Rewritten,
}

/// What reading a file gave.
pub(super) struct Reading {
    pub(super) found: Found,
    pub(super) outcome: FileOutcome,
    pub(super) state: FileState,
    pub(super) live: Option<Live>,
}

/// Reads what is new in a file.
pub(super) fn read_new(
    file: &SessionFile,
    known: Option<&FileState>,
    live: Option<Live>,
    keep: bool,
    options: &ImportOptions,
) -> Reading {
    let found = if known.is_some() { Found::Grown } else { Found::New };
    // Taken before reading: what is written meanwhile is seen as a change the next time.
    let stamp = stamp_of(file).unwrap_or_default();
    let whole = |found, outcome| Reading {
        found,
        outcome,
        state: FileState {
            stamp,
            ..FileState::default()
        },
        live: None,
    };
    match opened(file) {
        Err(e) => whole(found, FileOutcome::unreadable(&file.path, e)),
        Ok(None) => whole(found, read_file(file, options)),
        Ok(Some(mut handle)) => {
            let mut found = found;
            let mut live = live.filter(|live| live.continues(&mut handle));
            if live.is_none()
                && let Some(state) = known
            {
                live = Live::again(&mut handle, &file.path, state, options).unwrap_or_default();
                if live.is_none() {
                    found = Found::Rewritten;
                }
            }
            let mut live = live.unwrap_or_else(|| Live::new(&handle, &file.path, options));
            live.read(&mut handle, options);
            let state = FileState {
                stamp,
                read_bytes: live.read_bytes,
                lines: live.lines,
                prefix_hash: live.hasher.finalize().to_hex().to_string(),
                sessions: Vec::new(),
            };
            let (outcome, live) = live.outcome(keep);
            Reading {
                found,
                outcome,
                state,
                live,
            }
        }
    }
}

/// Opens a log of lines; `None` for files that are always read whole.
fn opened(file: &SessionFile) -> io::Result<Option<File>> {
    if is_tree_session(&file.path) || is_store(&file.path) {
        return Ok(None);
    }
    let mut handle = File::open(&file.path)?;
    let mut head = Vec::new();
    handle.by_ref().take(4096).read_to_end(&mut head)?;
    // A file that can only be read once, such as a pipe, is read whole too.
    if is_compressed(&head) || is_document(&head) || handle.rewind().is_err() {
        return Ok(None);
    }
    Ok(Some(handle))
}

impl Live {
    fn new(handle: &File, path: &Path, options: &ImportOptions) -> Self {
        let inode = handle.metadata().map_or((0, 0), |meta| (meta.dev(), meta.ino()));
        Self {
            reader: FileReader::new(path, options),
            hasher: blake3::Hasher::new(),
            inode,
            edges: 0,
            read_bytes: 0,
            lines: 0,
        }
    }

    /// Whether the file is still the one that was read, and not shorter.
    fn continues(&self, handle: &mut File) -> bool {
        let Ok(meta) = handle.metadata() else { return false };
        if (meta.dev(), meta.ino()) != self.inode || meta.len() < self.read_bytes {
            return false;
        }
        // The same file may have been written anew in place. Hashing all of it at each new line would cost more than the
        // lines; after a restart it is hashed whole.
        edges_of(handle, self.read_bytes).is_ok_and(|edges| edges == self.edges)
    }

    /// Builds up again what an earlier process knew of the file; `None` when the file is another one now.
    fn again(
        handle: &mut File,
        path: &Path,
        state: &FileState,
        options: &ImportOptions,
    ) -> io::Result<Option<Self>> {
        let hasher = hash_of(handle, state.read_bytes)?;
        if hasher.finalize().to_hex().as_str() != state.prefix_hash {
            return Ok(None);
        }
        let mut live = Self::new(handle, path, options);
        handle.rewind()?;
        let prefix = BufReader::with_capacity(READ_BUFFER, handle.take(state.read_bytes));
        let mut lines = LineReader::new(prefix, options.max_line_bytes);
        loop {
            let step = lines.step()?;
            if step == Step::End {
                break;
            }
            live.reader.step(&mut lines, &step);
        }
        // They were told the first time.
        live.reader.take_problems();
        live.hasher = hasher;
        live.read_bytes = state.read_bytes;
        live.lines = state.lines;
        Ok(Some(live))
    }

    /// Takes all whole lines behind what was taken before.
    fn read(&mut self, handle: &mut File, options: &ImportOptions) {
        if let Err(e) = self.try_read(handle, options) {
            self.reader.stopped(self.lines + 1, &e);
        }
    }

    fn try_read(&mut self, handle: &mut File, options: &ImportOptions) -> io::Result<()> {
        let from = self.read_bytes;
        handle.seek(SeekFrom::Start(from))?;
        let mut lines = LineReader::after(
            BufReader::with_capacity(READ_BUFFER, &mut *handle),
            options.max_line_bytes,
            self.lines,
        );
        loop {
            let step = lines.step()?;
            match step {
                // Without its end, somebody is still writing the line.
                Step::End
                | Step::Line {
                    terminated: false, ..
                }
                | Step::TooLong {
                    terminated: false, ..
                } => break,
                _ => {}
            }
            self.reader.step(&mut lines, &step);
            self.read_bytes = from + lines.bytes;
            self.lines = lines.lines();
        }
        drop(lines);
        handle.seek(SeekFrom::Start(from))?;
        hash_into(&mut self.hasher, handle, self.read_bytes - from)?;
        self.edges = edges_of(handle, self.read_bytes)?;
        Ok(())
    }

    fn outcome(mut self, keep: bool) -> (FileOutcome, Option<Self>) {
        if !keep {
            return (self.reader.finish(), None);
        }
        let outcome = self.reader.snapshot();
        self.reader.take_problems();
        (outcome, Some(self))
    }
}

/// A hash of the first and the last of the bytes that were taken.
fn edges_of(handle: &mut File, bytes: u64) -> io::Result<u64> {
    const EDGE: u64 = 64 * 1024;
    let mut edges = Vec::new();
    handle.rewind()?;
    handle.by_ref().take(bytes.min(EDGE)).read_to_end(&mut edges)?;
    handle.seek(SeekFrom::Start(bytes.saturating_sub(EDGE)))?;
    handle.by_ref().take(bytes.min(EDGE)).read_to_end(&mut edges)?;
    Ok(xxh3_64(&edges))
}

fn hash_of(handle: &mut File, bytes: u64) -> io::Result<blake3::Hasher> {
    let mut hasher = blake3::Hasher::new();
    handle.rewind()?;
    hash_into(&mut hasher, handle, bytes)?;
    Ok(hasher)
}

fn hash_into(hasher: &mut blake3::Hasher, handle: &mut File, bytes: u64) -> io::Result<()> {
    let taken = io::copy(&mut handle.take(bytes), hasher)?;
    if taken == bytes {
        Ok(())
    } else {
        Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the file became shorter",
        ))
    }
}
