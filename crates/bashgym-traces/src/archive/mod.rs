//! Keeps the originals of session logs, since agents delete theirs: compressed, by content, each part once.
//!
//! # Shape
//!
//! `chunks/<2 digits>/<BLAKE3 of the plain bytes>.zst`, each one Zstandard frame of at most 1 MiB of plain bytes;
//! `files/<id>.json`, one [`ArchivedFile`] each; `lock`. Any Zstandard tool reads a chunk.

mod chunks;
mod entry;

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::chunks::{CHUNK, Chunks};
pub use self::entry::{ArchivedFile, ArchivedVersion};
use crate::discover::{SessionFile, files_behind};
use crate::error::TracesError;

/// What [`Archive::add`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Added {
    /// The file was not kept before.
    New,
    /// The file begins with what was kept; only the rest was stored.
    Grown,
    /// What is kept is the file as it is.
    Unchanged,
    /// The file no longer begins with what was kept; both are kept now.
    Rewritten,
}

/// What [`Archive::add_sessions`] did with a file.
#[derive(Debug)]
pub struct AddedFile<'k> {
    /// The file.
    pub path: &'k Path,
    /// What was done, or why it could not be read.
    pub added: Result<Added, TracesError>,
    /// How many files are done, this one among them.
    pub done: u64,
    /// How many there are.
    pub total: u64,
}

/// What [`Archive::verify`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArchiveReport {
    /// Files kept.
    pub files: u64,
    /// Chunks they consist of, each counted once.
    pub chunks: u64,
    /// Plain bytes of all versions of all files.
    pub size_bytes: u64,
    /// Bytes on disk.
    pub stored_bytes: u64,
    /// Chunks that no file needs: left by a crash, harmless.
    pub unused_chunks: u64,
    /// Files that cannot be restored, with the reason.
    pub damaged: Vec<(PathBuf, String)>,
}

/// An archive in a folder. One process at a time has it open.
#[derive(Debug)]
pub struct Archive {
    root: PathBuf,
    chunks: Chunks,
    files: BTreeMap<String, ArchivedFile>,
    /// How many versions need a chunk.
    uses: HashMap<String, u64>,
    /// Held while the archive is open; the system lets go of it when the process ends.
    _lock: File,
}

impl Archive {
    /// Opens the archive in a folder, or begins one there.
    ///
    /// # Errors
    ///
    /// [`TracesError::ArchiveInUse`] when another process has it open, [`TracesError::Io`], and
    /// [`TracesError::ArchiveDamaged`] when one of its own records cannot be read.
    pub fn open(root: impl Into<PathBuf>) -> Result<Self, TracesError> {
        let root = root.into();
        for folder in [&root, &root.join("chunks"), &root.join("files")] {
            make_private(folder).map_err(|e| TracesError::io("making", folder, e))?;
        }
        let path = root.join("lock");
        let lock = File::create(&path).map_err(|e| TracesError::io("writing", &path, e))?;
        if lock.try_lock().is_err() {
            return Err(TracesError::ArchiveInUse { path: root });
        }
        let mut files = BTreeMap::new();
        let mut uses = HashMap::new();
        for file in entry::read_all(&root.join("files"))? {
            for chunk in file.versions.iter().flat_map(|version| &version.chunks) {
                *uses.entry(chunk.clone()).or_default() += 1;
            }
            files.insert(file.id.clone(), file);
        }
        Ok(Self {
            chunks: Chunks::new(root.join("chunks")),
            root,
            files,
            uses,
            _lock: lock,
        })
    }

    /// What the archive in a folder keeps, without opening it: another process may be at work there. Nothing where
    /// there is no archive.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`], and [`TracesError::ArchiveDamaged`] when one of its records cannot be read.
    pub fn list(root: &Path) -> Result<Vec<ArchivedFile>, TracesError> {
        let files = root.join("files");
        if files.is_dir() {
            entry::read_all(&files)
        } else {
            Ok(Vec::new())
        }
    }

    /// Keeps all files behind sessions as they are now. `tell` hears of each what was done or why it could not be read,
    /// and how many of how many there were, and may end it.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when the archive itself cannot be written; a session file that cannot be read is told, and the
    /// rest is kept.
    pub fn add_sessions(
        &mut self,
        sessions: &[SessionFile],
        now: impl Fn() -> Timestamp,
        tell: &mut dyn FnMut(AddedFile<'_>) -> ControlFlow<()>,
    ) -> Result<(), TracesError> {
        let mut paths: Vec<PathBuf> = sessions.iter().flat_map(files_behind).collect();
        // The sessions of a database come one after the other.
        paths.dedup();
        for (at, path) in paths.iter().enumerate() {
            let added = match self.add(path, now()) {
                // The archive itself failed; the next file would fail too.
                Err(error) if path.is_file() && File::open(path).is_ok() => return Err(error),
                added => added,
            };
            let kept = AddedFile {
                path,
                added,
                done: at as u64 + 1,
                total: paths.len() as u64,
            };
            if tell(kept).is_break() {
                break;
            }
        }
        Ok(())
    }

    /// The files kept, in the order of their ids.
    pub fn files(&self) -> impl Iterator<Item = &ArchivedFile> {
        self.files.values()
    }

    /// Finds a file by its path or the beginning of its id; more than one may begin so.
    pub fn find(&self, name: &str) -> Vec<&ArchivedFile> {
        let path = Path::new(name);
        self.files
            .values()
            .filter(|file| file.path == path || (!name.is_empty() && file.id.starts_with(name)))
            .collect()
    }

    /// Keeps a file as it is now.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when it cannot be read or the archive not be written; what was kept before stays whole then.
    pub fn add(&mut self, path: &Path, now: Timestamp) -> Result<Added, TracesError> {
        let path = std::path::absolute(path).map_err(|e| TracesError::io("finding", path, e))?;
        let reading = |e| TracesError::io("reading", &path, e);
        let id = entry::id_of(&path);
        let old = self.files.get(&id).and_then(|file| file.versions.last()).cloned();
        let input = File::open(&path).map_err(reading)?;
        let mut whole = blake3::Hasher::new();
        let (mut size_bytes, mut chunks) = (0_u64, Vec::new());
        // The hash over as many bytes as the last version had tells whether the file only grew.
        let mut begins_same = old.as_ref().is_some_and(|old| old.size_bytes == 0);
        let mut chunk = Vec::new();
        loop {
            chunk.clear();
            (&input)
                .take(CHUNK as u64)
                .read_to_end(&mut chunk)
                .map_err(reading)?;
            if chunk.is_empty() {
                break;
            }
            if let Some(old) = &old
                && (size_bytes..size_bytes + chunk.len() as u64).contains(&(old.size_bytes.wrapping_sub(1)))
            {
                let mut prefix = whole.clone();
                let rest = usize::try_from(old.size_bytes - size_bytes).unwrap_or(chunk.len());
                prefix.update(&chunk[..rest]);
                begins_same = prefix.finalize().to_hex().as_str() == old.hash;
            }
            whole.update(&chunk);
            size_bytes += chunk.len() as u64;
            chunks.push(self.chunks.store(&chunk)?);
        }
        let version = ArchivedVersion {
            size_bytes,
            hash: whole.finalize().to_hex().to_string(),
            chunks,
            archived_at: now,
        };
        let added = match &old {
            None => Added::New,
            Some(old) if old.hash == version.hash => Added::Unchanged,
            Some(_) if begins_same => Added::Grown,
            Some(_) => Added::Rewritten,
        };
        if added != Added::Unchanged {
            self.keep(id, path, version, added)?;
        }
        Ok(added)
    }

    fn keep(
        &mut self,
        id: String,
        path: PathBuf,
        version: ArchivedVersion,
        added: Added,
    ) -> Result<(), TracesError> {
        let mut file = self.files.get(&id).cloned().unwrap_or_else(|| ArchivedFile {
            id: id.clone(),
            path,
            versions: Vec::new(),
        });
        let dropped = if added == Added::Grown {
            file.versions.pop()
        } else {
            None
        };
        for chunk in &version.chunks {
            *self.uses.entry(chunk.clone()).or_default() += 1;
        }
        file.versions.push(version);
        entry::write(&self.root.join("files"), &file)?;
        self.files.insert(id, file);
        // Only now does nothing on disk point at the shorter last chunk any more.
        for chunk in dropped.into_iter().flat_map(|version| version.chunks) {
            let uses = self.uses.entry(chunk.clone()).or_default();
            *uses = uses.saturating_sub(1);
            if *uses == 0 {
                self.uses.remove(&chunk);
                self.chunks.remove(&chunk);
            }
        }
        Ok(())
    }

    /// Writes a version of a file, byte for byte as it was; every chunk and the whole are checked on the way.
    ///
    /// # Errors
    ///
    /// [`TracesError::ArchiveDamaged`] when a chunk is missing or not what it was, [`TracesError::Io`] when `out` fails.
    pub fn restore(&self, version: &ArchivedVersion, out: &mut dyn Write) -> Result<(), TracesError> {
        let mut whole = blake3::Hasher::new();
        for chunk in &version.chunks {
            let bytes = self.chunks.load(chunk)?;
            whole.update(&bytes);
            out.write_all(&bytes)
                .map_err(|e| TracesError::io("writing", "the restored file", e))?;
        }
        if whole.finalize().to_hex().as_str() != version.hash {
            return Err(TracesError::ArchiveDamaged {
                path: self.root.clone(),
                what: format!("the chunks of {} do not add up to it", version.hash),
            });
        }
        Ok(())
    }

    /// Restores every version of every file into nothing and reports what is damaged.
    ///
    /// # Errors
    ///
    /// [`TracesError::Io`] when the archive's folders cannot be listed.
    pub fn verify(&self) -> Result<ArchiveReport, TracesError> {
        let mut report = ArchiveReport {
            files: self.files.len() as u64,
            chunks: self.uses.len() as u64,
            ..ArchiveReport::default()
        };
        for file in self.files.values() {
            for version in &file.versions {
                report.size_bytes += version.size_bytes;
                if let Err(e) = self.restore(version, &mut io::sink()) {
                    report.damaged.push((file.path.clone(), e.to_string()));
                }
            }
        }
        for (hash, size_bytes) in self.chunks.list()? {
            report.stored_bytes += size_bytes;
            report.unused_chunks += u64::from(!self.uses.contains_key(&hash));
        }
        Ok(report)
    }
}

/// Makes a folder that only this user may look into; logs hold what was said and done.
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Writes a file whole or not at all.
fn write_whole(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(folder.join(name)).map_err(|e| e.error)?;
    Ok(())
}
