//! The folder of a dataset: everything appears in it at once, or nothing does.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::files::sync_dir;
use super::manifest::DatasetManifest;
use crate::columns::{METADATA_FILE, RowKind, Split};
use crate::error::TracesError;

const WORK_PREFIX: &str = ".bashgym-build-";
const LOCK_FILE: &str = "lock";

/// A target folder with a locked work folder inside it. Dropping it removes the work folder.
#[derive(Debug)]
pub(super) struct Target {
    out: PathBuf,
    created: bool,
    work: Option<TempDir>,
    work_path: PathBuf,
    /// Held as long as the work folder is in use.
    _lock: File,
}

impl Target {
    pub(super) fn create(out: &Path) -> Result<Self, TracesError> {
        let created = !out.exists();
        fs::create_dir_all(out).map_err(|e| TracesError::io("creating", out, e))?;
        remove_abandoned(out);
        let work = tempfile::Builder::new()
            .prefix(WORK_PREFIX)
            .tempdir_in(out)
            .map_err(|e| TracesError::io("writing to", out, e))?;
        let lock = work.path().join(LOCK_FILE);
        let lock = File::create_new(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|e| TracesError::io("creating", lock, e))?;
        Ok(Self {
            out: out.to_owned(),
            created,
            work_path: work.path().to_owned(),
            work: Some(work),
            _lock: lock,
        })
    }

    /// Returns the work folder.
    pub(super) fn work(&self) -> &Path {
        &self.work_path
    }

    /// Moves the files a manifest names to their places, the manifest last.
    pub(super) fn publish(mut self, manifest: &DatasetManifest) -> Result<(), TracesError> {
        let out = &self.out;
        let old = out.join(METADATA_FILE);
        match fs::remove_file(&old) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                return Err(TracesError::io("replacing", old, e));
            }
            _ => {}
        }
        // Kinds of an older dataset that this one does not have.
        for kind in RowKind::ALL {
            let folder = out.join(kind.as_str());
            for split in Split::ALL {
                // What is not there needs no removing.
                let _ = fs::remove_file(folder.join(split.file_name()));
            }
            // A folder with something else in it stays.
            let _ = fs::remove_dir(folder);
        }
        let files = manifest.row_sets.iter().flat_map(|set| &set.splits);
        let names = files.map(|file| file.file.as_str()).chain([METADATA_FILE]);
        for name in names {
            let target = out.join(name);
            if let Some(folder) = target.parent() {
                fs::create_dir_all(folder).map_err(|e| TracesError::io("creating", folder, e))?;
            }
            fs::rename(self.work_path.join(name), &target)
                .map_err(|e| TracesError::io("writing", target, e))?;
        }
        sync_dir(out)?;
        self.created = false;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        drop(self.work.take());
        if self.created {
            // Fails when something else is in it by now, and then it should stay.
            let _ = fs::remove_dir(&self.out);
        }
    }
}

/// Removes the work folders of builds that were killed; one still in use has its lock held.
fn remove_abandoned(out: &Path) {
    let Ok(entries) = fs::read_dir(out) else { return };
    for entry in entries.flatten() {
        let is_work = entry
            .file_name()
            .to_str()
            .is_some_and(|name| name.starts_with(WORK_PREFIX));
        let lock = entry.path().join(LOCK_FILE);
        if is_work && File::open(lock).is_ok_and(|lock| lock.try_lock().is_ok()) {
            // It costs only space if this fails.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
