//! Folders for cleaned copies of sessions. What a killed push left is removed by the next one.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use tempfile::TempDir;

const PREFIX: &str = "traces-";
/// Held while folders are made and removed.
const GUARD: &str = "traces.lock";
/// Held, inside of a folder, as long as somebody uses it.
const HELD: &str = ".lock";

/// A folder that goes when it is dropped, or at the next push if this process is killed.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
    _held: File,
}

impl Scratch {
    /// Removes what nobody uses any more, and makes a folder.
    ///
    /// # Errors
    /// Any error of the file system.
    pub(super) fn create(home: &Path) -> io::Result<Self> {
        let guard = File::create(home.join(GUARD))?;
        guard.lock()?;
        for entry in fs::read_dir(home)? {
            let entry = entry?;
            let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
            if ours && entry.file_type()?.is_dir() && is_left(&entry.path()) {
                // What cannot be removed now is tried again next time.
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(home)?;
        let held = File::create_new(folder.path().join(HELD))?;
        held.lock()?;
        Ok(Self { folder, _held: held })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// Whether nobody holds a folder: its lock is free, or it was made before there were locks.
fn is_left(folder: &Path) -> bool {
    match File::open(folder.join(HELD)) {
        Ok(held) => held.try_lock().is_ok(),
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_push_left_goes_and_what_is_used_stays() {
        let home = tempfile::tempdir().unwrap();
        let left = home.path().join("traces-killed");
        fs::create_dir(&left).unwrap();
        fs::write(left.join(HELD), "").unwrap();
        fs::write(left.join("session.jsonl"), "{}").unwrap();
        fs::create_dir(home.path().join("traces-old")).unwrap();
        fs::write(home.path().join("traces-file"), "").unwrap();
        fs::create_dir(home.path().join("other")).unwrap();
        let first = Scratch::create(home.path()).unwrap();
        let second = Scratch::create(home.path()).unwrap();
        assert!(first.path().is_dir() && second.path().is_dir());
        assert!(!left.exists() && !home.path().join("traces-old").exists());
        assert!(home.path().join("traces-file").exists() && home.path().join("other").exists());
        let path = first.path().to_owned();
        drop(first);
        assert!(!path.exists() && second.path().is_dir());
    }
}
