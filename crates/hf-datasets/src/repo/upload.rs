//! A folder of this machine as one commit.

use std::path::{Path, PathBuf};

use hf_core::{HfError, Revision};

use super::RepoFiles;
use super::commit::{CommitInfo, CommitOperation, CommitOptions, LargeFiles};
use crate::path::{check_repo_path, relative_repo_path};
use crate::pattern::Patterns;
use crate::progress::Progress;
use crate::{blocking, invalid};

/// How a folder is uploaded.
#[derive(Debug, Clone)]
pub struct UploadOptions {
    /// The commit's title.
    pub commit_message: String,
    /// More about it.
    pub commit_description: String,
    /// The branch.
    pub revision: Revision,
    /// The commit the branch must be at; see [`CommitOptions::parent_commit`].
    pub parent_commit: Option<String>,
    /// The folder of the repository the files go to; the root if `None`.
    pub path_in_repo: Option<String>,
    /// Only files whose path below the folder matches one of these. All if empty.
    pub allow_patterns: Vec<String>,
    /// No files whose path below the folder matches one of these.
    pub ignore_patterns: Vec<String>,
    /// Files of the repository that match one of these and are not uploaded again are deleted in the same commit.
    pub delete_patterns: Vec<String>,
    /// How large files travel.
    pub large_files: LargeFiles,
    /// Who is told how far it is.
    pub progress: Progress,
}

impl Default for UploadOptions {
    fn default() -> Self {
        Self {
            commit_message: "Upload folder".to_owned(),
            commit_description: String::new(),
            revision: Revision::main(),
            parent_commit: None,
            path_in_repo: None,
            allow_patterns: Vec::new(),
            ignore_patterns: Vec::new(),
            delete_patterns: Vec::new(),
            large_files: LargeFiles::Auto,
            progress: Progress::none(),
        }
    }
}

impl RepoFiles {
    /// Uploads the files below `folder` as one commit; see [`RepoFiles::commit`] for what that promises.
    ///
    /// `.git` folders, the `.cache/huggingface` folder of the official client and partial downloads are left out.
    ///
    /// # Errors
    ///
    /// [`HfError::InvalidArgument`] when the folder is missing or holds nothing to upload, or for a symbolic link,
    /// which could lead out of the folder; and those of [`RepoFiles::commit`].
    pub async fn upload_folder(&self, folder: &Path, options: &UploadOptions) -> Result<CommitInfo, HfError> {
        self.gate.check(self.client.endpoint())?;
        let allow = Patterns::parse(&options.allow_patterns)?;
        let ignore = Patterns::parse(&options.ignore_patterns)?;
        let delete = Patterns::parse(&options.delete_patterns)?;
        let all = options.allow_patterns.is_empty();
        let prefix = match options.path_in_repo.as_deref().map(|path| path.trim_matches('/')) {
            None | Some("") => String::new(),
            Some(path) => {
                check_repo_path(path)?;
                format!("{path}/")
            }
        };
        let root = folder.to_path_buf();
        let operations = blocking(move || {
            let files = collect(&root, |path| {
                (all || allow.matches(path)) && !ignore.matches(path)
            })?;
            if files.is_empty() {
                return Err(invalid(format!("{} holds no file to upload", root.display())));
            }
            Ok(files
                .into_iter()
                .map(|(path, file)| CommitOperation::add_file(format!("{prefix}{path}"), file))
                .collect())
        })
        .await?;
        let delete = (!options.delete_patterns.is_empty()).then_some(delete);
        let commit = CommitOptions {
            message: options.commit_message.clone(),
            description: options.commit_description.clone(),
            revision: options.revision.clone(),
            parent_commit: options.parent_commit.clone(),
            large_files: options.large_files,
            progress: options.progress.clone(),
        };
        self.commit_with(operations, delete, &commit).await
    }
}

/// Finds the files below `root` that `wanted` takes, sorted by path.
fn collect(root: &Path, wanted: impl Fn(&str) -> bool) -> Result<Vec<(String, PathBuf)>, HfError> {
    if !std::fs::metadata(root)
        .map_err(|error| crate::io_error("open", root, error))?
        .is_dir()
    {
        return Err(invalid(format!("{} is not a folder", root.display())));
    }
    let mut files = Vec::new();
    let walk = walkdir::WalkDir::new(root)
        .follow_links(false)
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| {
            entry.depth() == 0 || !(entry.file_type().is_dir() && entry.file_name() == ".git")
        });
    for entry in walk {
        let entry = entry.map_err(|error| {
            let path = error.path().unwrap_or(root).to_path_buf();
            let cause = error
                .into_io_error()
                .unwrap_or_else(|| std::io::Error::other("the folders form a loop"));
            crate::io_error("read", &path, cause)
        })?;
        if entry.file_type().is_dir() {
            continue;
        }
        let path = relative_repo_path(root, entry.path())?;
        if path == ".git"
            || path.starts_with(".cache/huggingface/")
            || path.ends_with(".incomplete")
            || !wanted(&path)
        {
            continue;
        }
        if !entry.file_type().is_file() {
            return Err(invalid(format!(
                "{} is not a plain file; copy the file it stands for, or leave it out with a pattern",
                entry.path().display()
            )));
        }
        check_repo_path(&path)?;
        files.push((path, entry.into_path()));
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_and_rubbish_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        for path in [
            "a.txt",
            "b/c.txt",
            ".git/config",
            "b/.git/x",
            ".cache/huggingface/x",
            "d.bin.e.incomplete",
            "été/日.txt",
        ] {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "x").unwrap();
        }
        let names =
            |files: Vec<(String, PathBuf)>| files.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
        assert_eq!(
            names(collect(folder.path(), |_| true).unwrap()),
            ["a.txt", "b/c.txt", "été/日.txt"]
        );
        assert_eq!(
            names(collect(folder.path(), |path| path != "a.txt").unwrap()),
            ["b/c.txt", "été/日.txt"]
        );
        assert!(collect(&folder.path().join("a.txt"), |_| true).is_err());
        assert!(collect(&folder.path().join("nothing"), |_| true).is_err());
    }

    #[cfg(unix)]
    #[test]
    fn links_are_not_uploaded() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/hostname", folder.path().join("link")).unwrap();
        let error = collect(folder.path(), |_| true).unwrap_err().to_string();
        assert!(error.contains("not a plain file"), "{error}");
        assert!(collect(folder.path(), |path| path != "link").unwrap().is_empty());
    }
}
