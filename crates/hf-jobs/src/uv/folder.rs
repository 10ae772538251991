//! Folders of this machine as volumes.

use std::path::{Path, PathBuf};

use hf_core::HfError;

use super::ship;
use crate::runner::HfJobRunner;
use crate::volume::Volume;

/// Stands in a folder that would be empty: a bucket has no empty folders.
const KEEP: &str = ".keep";

impl HfJobRunner {
    /// Sends a folder of this machine, and returns the copy as a volume to be mounted at `mount_path`.
    ///
    /// Every file passes the gate ([`HfJobRunner::with_gate`]) before any is sent, into a folder of its own in the private bucket
    /// `jobs-artifacts` of the namespace. Later changes here are not seen by the job; what is in Xet storage already is not
    /// sent twice.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when it is no folder, holds a symbolic link, or the gate refuses; what sending can bring.
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `hf_api.py`, `sync_job_volume`. That keeps one remote folder for a local one; here each call makes
    /// its own, so that a later call changes nothing under a job that runs.
    pub async fn ship_folder(
        &self,
        folder: &Path,
        mount_path: &str,
        read_only: bool,
    ) -> Result<Volume, HfError> {
        if !mount_path.starts_with('/') {
            return Err(HfError::invalid(format!(
                "the mount path {mount_path:?} is not absolute"
            )));
        }
        self.gate().check(self.client().endpoint())?;
        let root = folder.to_owned();
        let listed = tokio::task::spawn_blocking(move || {
            let empty = tempfile::NamedTempFile::new()
                .map_err(|error| HfError::io("make a temporary file", error))?;
            let mut files = list(&root)?;
            if files.is_empty() {
                files.push((empty.path().to_owned(), KEEP.to_owned()));
            }
            Ok((files, empty))
        });
        let (files, _empty) = listed
            .await
            .map_err(|_panicked| HfError::invalid("listing the folder broke off; nothing was uploaded"))??;
        ship::ship(self, files, mount_path, read_only).await
    }
}

/// All files below a folder, with their names relative to it, in order.
fn list(root: &Path) -> Result<ship::Files, HfError> {
    let read = |path: &Path, error| HfError::io(format!("read the folder {}", path.display()), error);
    if !root.is_dir() {
        return Err(HfError::invalid(format!(
            "{} is not a folder here; a repository or bucket is written hf://…",
            root.display()
        )));
    }
    let mut files = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let path = root.join(&folder);
        for entry in std::fs::read_dir(&path).map_err(|error| read(&path, error))? {
            let entry = entry.map_err(|error| read(&path, error))?;
            let kind = entry.file_type().map_err(|error| read(&path, error))?;
            let name = folder.join(entry.file_name());
            if kind.is_dir() {
                folders.push(name);
            } else if kind.is_file() {
                let Some(text) = name.to_str() else {
                    return Err(HfError::invalid(format!(
                        "the name {} is no UTF-8",
                        name.display()
                    )));
                };
                files.push((entry.path(), text.to_owned()));
            } else {
                return Err(HfError::invalid(format!(
                    "{} is no plain file: a link could lead to what nobody meant to send",
                    entry.path().display()
                )));
            }
        }
    }
    files.sort_by(|a, b| a.1.cmp(&b.1));
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_are_listed_and_a_link_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        std::fs::create_dir_all(root.join("b/c")).unwrap();
        std::fs::write(root.join("b/c/x"), "1").unwrap();
        std::fs::write(root.join("a"), "2").unwrap();
        let names: Vec<String> = list(root).unwrap().into_iter().map(|(_, name)| name).collect();
        assert_eq!(names, ["a", "b/c/x"]);
        std::os::unix::fs::symlink("/etc/hostname", root.join("b/link")).unwrap();
        assert!(list(root).unwrap_err().to_string().contains("link"));
        assert!(list(&root.join("a")).is_err());
    }
}
