//! The data folder.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

use super::files;
use crate::error::LocalHubError;

/// The data folder of a Hub, held by this process alone.
#[derive(Debug)]
pub(crate) struct Dirs {
    root: PathBuf,
    // The lock is the system's: it ends with the process, however that ends.
    lock: File,
}

impl Dirs {
    /// Makes the folder where it is missing and takes its lock.
    pub(crate) fn open(root: &Path) -> Result<Self, LocalHubError> {
        fs::create_dir_all(root).map_err(LocalHubError::io("make", root))?;
        let root = root.canonicalize().map_err(LocalHubError::io("open", root))?;
        let path = root.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(LocalHubError::io("open", &path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LocalHubError::DataDirInUse { path: root }),
            Err(TryLockError::Error(source)) => return Err(LocalHubError::io("lock", path)(source)),
        }
        let dirs = Self { root, lock };
        // What an earlier process was receiving when it ended can't be finished.
        let temp = dirs.temp();
        if temp.exists() {
            fs::remove_dir_all(&temp).map_err(LocalHubError::io("empty", &temp))?;
        }
        for dir in [temp, dirs.lfs(), dirs.blobs()] {
            files::create_dirs(&dir).map_err(LocalHubError::io("make", &dir))?;
        }
        Ok(dirs)
    }

    /// Gives the folder free for the next Hub, now and not when the last copy of the lock is closed: a process that
    /// is just being started holds one until it runs its program.
    pub(crate) fn release(&self) {
        if let Err(error) = self.lock.unlock() {
            tracing::warn!(%error, "the lock of the data folder stays until this process ends");
        }
    }

    /// The data folder itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Files that are being received; emptied at start.
    pub(crate) fn temp(&self) -> PathBuf {
        self.root.join("tmp")
    }

    /// Large objects by sha256.
    pub(crate) fn lfs(&self) -> PathBuf {
        self.root.join("lfs")
    }

    /// Git blobs too big for the index, by sha1.
    pub(crate) fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// The place of a content-addressed file: `aa/bb/<digest>` below `base`.
    pub(crate) fn sharded(base: &Path, digest: &str) -> PathBuf {
        let at = |range| digest.get(range).unwrap_or("__");
        base.join(at(0..2)).join(at(2..4)).join(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::Dirs;

    #[test]
    fn a_released_folder_is_free_though_a_copy_of_its_lock_is_open() {
        let folder = tempfile::tempdir().unwrap();
        let first = Dirs::open(folder.path()).unwrap();
        let copy = first.lock.try_clone().unwrap();
        assert!(Dirs::open(folder.path()).is_err());
        first.release();
        drop(first);
        assert!(Dirs::open(folder.path()).is_ok());
        drop(copy);
    }
}
