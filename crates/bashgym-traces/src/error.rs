//! What can go wrong when sessions are read or a dataset is written.

use std::io;
use std::path::{Path, PathBuf};

/// A failure that stops the whole operation; a damaged record in a log is not one (see [`crate::Problem`]).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TracesError {
    /// A path that was named does not exist.
    #[error(
        "no such file or folder: {}; check the spelling, or name the folder in which your agent keeps its sessions",
        path.display()
    )]
    PathNotFound {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The paths exist, but hold no file that could be a session log.
    #[error(
        "no session logs under {}; they end in .jsonl, .json, .jsonl.zst or .db (Claude Code keeps them in \
         ~/.claude/projects, Codex in ~/.codex/sessions, others where `bashgym sessions ls --help` says){}",
        list(paths),
        packed_hint(packed.as_deref())
    )]
    NoSessionFiles {
        /// The paths that were searched.
        paths: Vec<PathBuf>,
        /// A packed file among them, which may hold logs.
        packed: Option<PathBuf>,
    },
    /// A file or folder could not be read or written.
    #[error("{action} {} failed: {hint}", path.display())]
    Io {
        /// What was being done, such as `reading`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the reader can do about it.
        hint: &'static str,
        /// The system's own error.
        #[source]
        source: io::Error,
    },
    /// No training example came out of the sessions.
    #[error("no training examples: {cause}; {next_step}")]
    NoExamples {
        /// Why there are none, with numbers.
        cause: String,
        /// What to do about it.
        next_step: &'static str,
    },
    /// A stage was asked for before the one whose output it reads.
    #[error(
        "{} holds no output of `{stage}`; run `bashgym data {stage} --work {}` first",
        work.display(),
        work.display()
    )]
    StageMissing {
        /// The stage that is missing.
        stage: &'static str,
        /// The work folder.
        work: PathBuf,
    },
    /// An option has a value outside its range.
    #[error("{option} is {value}; it must be {expected}")]
    InvalidOption {
        /// The option's name.
        option: &'static str,
        /// The value that was given.
        value: String,
        /// The values that are allowed.
        expected: &'static str,
    },
    /// A row could not be turned into JSON, which is a fault of this crate.
    #[error("a training example could not be written as JSON; please report this")]
    Encode(#[source] serde_json::Error),
    /// Another process has the archive open.
    #[error("the archive {} is in use by another process; wait for it, or end it", path.display())]
    ArchiveInUse {
        /// The archive's folder.
        path: PathBuf,
    },
    /// A part of an archive is missing or not what it was.
    #[error(
        "the archive is damaged at {}: {what}; put the part back from a backup, or add the original again if it is still there",
        path.display()
    )]
    ArchiveDamaged {
        /// The part.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The caller asked to stop.
    #[error("stopped on request; nothing was written")]
    Stopped,
}

impl TracesError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>, source: io::Error) -> Self {
        let hint = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                "the disk is full; free some space or choose another folder, then run it again"
            }
            io::ErrorKind::PermissionDenied => "permission denied; check who owns it and its mode",
            io::ErrorKind::NotFound => "it is not there (any more)",
            io::ErrorKind::ReadOnlyFilesystem => "the file system is read-only; choose another folder",
            _ => "see the cause below",
        };
        Self::Io {
            action,
            path: path.into(),
            hint,
            source,
        }
    }

    /// Whether a full disk is the cause.
    pub fn is_disk_full(&self) -> bool {
        matches!(self, Self::Io { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}

fn packed_hint(packed: Option<&Path>) -> String {
    packed.map_or_else(String::new, |path| {
        format!(
            "; {} is packed: unpack it first if the logs are in it",
            path.display()
        )
    })
}

fn list(paths: &[PathBuf]) -> String {
    const SHOWN: usize = 3;
    let mut text = paths
        .iter()
        .take(SHOWN)
        .map(|p| p.display().to_string())
        .collect::<Vec<_>>()
        .join(", ");
    if paths.len() > SHOWN {
        text.push_str(" and others");
    }
    text
}
