//! Checkpoints on their way out of the job: the newest is in the output repository, in one commit, with the name of its run.

use std::path::{Path, PathBuf};

use hf_core::{HfErrorKind, Revision};
use hf_datasets::{DownloadOptions, RepoFiles, UploadOptions};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::{CliError, io_error};
use crate::output::Output;

/// The folder of checkpoints, in the job as in the repository.
pub(super) const CHECKPOINT_DIR: &str = "checkpoints";
/// Says whose the checkpoint is.
const NOTE_FILE: &str = "bashgym_checkpoint.json";

#[derive(Debug, Serialize, Deserialize)]
struct Note {
    run_id: String,
    step: u64,
    folder: String,
}

/// The checkpoints of one run.
pub(super) struct Checkpoints {
    repo: RepoFiles,
    run_id: String,
    dir: PathBuf,
    /// Where a checkpoint stands while it is sent.
    outgoing: PathBuf,
}

impl Checkpoints {
    pub(super) fn new(repo: RepoFiles, run_id: String, model_dir: &Path) -> Self {
        let dir = model_dir.join(CHECKPOINT_DIR);
        Self {
            repo,
            run_id,
            outgoing: model_dir.with_file_name("outgoing"),
            dir,
        }
    }

    /// Fetches the run's newest checkpoint to where the engine looks for it. One of another run is left alone.
    pub(super) async fn fetch(&self, output: Output) -> Result<(), CliError> {
        let fetched = self.dir.with_file_name("fetched");
        let only = |pattern: String| DownloadOptions {
            revision: Revision::default(),
            allow_patterns: vec![pattern],
            ..DownloadOptions::default()
        };
        let note = only(format!("{CHECKPOINT_DIR}/{NOTE_FILE}"));
        match self.repo.download_snapshot(&fetched, &note).await {
            Ok(_) => {}
            // A repository without a commit has none.
            Err(error) if error.kind() == HfErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let kept = fetched.join(CHECKPOINT_DIR);
        let Some(note) = std::fs::read(kept.join(NOTE_FILE))
            .ok()
            .and_then(|text| serde_json::from_slice::<Note>(&text).ok())
        else {
            return Ok(());
        };
        if self.run_id.is_empty() || note.run_id != self.run_id || note.folder.contains(['/', '\\']) {
            return output.line("A checkpoint of another run is left alone");
        }
        let whole = only(format!("{CHECKPOINT_DIR}/{}/*", note.folder));
        self.repo.download_snapshot(&fetched, &whole).await?;
        std::fs::create_dir_all(&self.dir).map_err(|error| io_error("make the folder", &self.dir, error))?;
        let (from, to) = (kept.join(&note.folder), self.dir.join(&note.folder));
        std::fs::rename(&from, &to).map_err(|error| io_error("move", &from, error))?;
        output.line(format!("Going on from the checkpoint at step {}", note.step))
    }

    /// Pushes the newest checkpoint whenever there is a newer one, until the training ends. One that the Hub does not take
    /// stays here: the training goes on.
    pub(super) async fn push_all(&self, mut newest: watch::Receiver<Option<(u64, PathBuf)>>, output: Output) {
        while newest.changed().await.is_ok() {
            let Some((step, folder)) = newest.borrow_and_update().clone() else {
                continue;
            };
            let told = match self.push(step, &folder).await {
                Ok(()) => format!("Pushed the checkpoint at step {step}"),
                Err(error) => format!("The checkpoint at step {step} stays here: {error}"),
            };
            let _ = output.line(told);
        }
    }

    async fn push(&self, step: u64, folder: &Path) -> Result<(), CliError> {
        let name = folder
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let note = Note {
            run_id: self.run_id.clone(),
            step,
            folder: name.clone(),
        };
        let text = serde_json::to_vec(&note).map_err(|error| {
            CliError::new(crate::error::Kind::Internal, "a checkpoint's note is no JSON").because(error)
        })?;
        stage(folder, &self.outgoing.join(&name))?;
        let path = self.outgoing.join(NOTE_FILE);
        std::fs::write(&path, text).map_err(|error| io_error("write", &path, error))?;
        let options = UploadOptions {
            commit_message: format!("Checkpoint at step {step}"),
            path_in_repo: Some(CHECKPOINT_DIR.to_owned()),
            allow_patterns: vec![NOTE_FILE.to_owned(), format!("{name}/*")],
            delete_patterns: vec![format!("{CHECKPOINT_DIR}/*")],
            ..UploadOptions::default()
        };
        self.repo.upload_folder(&self.outgoing, &options).await?;
        Ok(())
    }
}

/// Gives the checkpoint a second name in a folder of its own, alone there: the trainer removes old checkpoints while it goes
/// on, and one that takes longer to send than the next takes to train would never arrive. Costs no copy where the file system
/// knows hard links.
fn stage(folder: &Path, to: &Path) -> Result<(), CliError> {
    let outgoing = to.parent().unwrap_or(to);
    match std::fs::remove_dir_all(outgoing) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(io_error("empty the folder", outgoing, error));
        }
        _ => {}
    }
    std::fs::create_dir_all(to).map_err(|error| io_error("make the folder", to, error))?;
    let unread = |error| io_error("read", folder, error);
    for entry in std::fs::read_dir(folder).map_err(unread)? {
        let entry = entry.map_err(unread)?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if std::fs::hard_link(&from, &to).is_err() {
            std::fs::copy(&from, &to).map_err(|error| io_error("copy", &from, error))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_that_the_trainer_removes_is_still_there_to_be_sent() {
        let work = tempfile::tempdir().unwrap();
        let outgoing = work.path().join("outgoing");
        for step in ["step-1", "step-2"] {
            let folder = work.path().join("checkpoints").join(step);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("model.safetensors"), step).unwrap();
            stage(&folder, &outgoing.join(step)).unwrap();
            std::fs::remove_dir_all(&folder).unwrap();

            let staged: Vec<_> = std::fs::read_dir(&outgoing)
                .unwrap()
                .map(|entry| entry.unwrap().file_name())
                .collect();
            assert_eq!(staged, [step], "the checkpoint before it is gone");
            let text = std::fs::read_to_string(outgoing.join(step).join("model.safetensors")).unwrap();
            assert_eq!(text, step);
        }
    }
}
