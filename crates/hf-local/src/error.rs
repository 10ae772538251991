//! Why a local Hub did not start.

use std::io;
use std::path::PathBuf;

/// What kept a local Hub from starting.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LocalHubError {
    /// Another process has the data folder open.
    #[error("the data folder {} is in use by another local Hub: stop that one, or choose another folder", path.display())]
    DataDirInUse {
        /// The data folder.
        path: PathBuf,
    },
    /// A port is taken.
    #[error(
        "port {port} on 127.0.0.1 is in use: stop what listens there, or choose another port (0 picks a free one)"
    )]
    PortInUse {
        /// The port that was asked for.
        port: u16,
    },
    /// A port could not be opened for another reason.
    #[error("could not listen on 127.0.0.1:{port}")]
    Listen {
        /// The port that was asked for.
        port: u16,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An account is not one the Hub can serve.
    #[error("account {account:?}: {reason}")]
    Account {
        /// The name of the account as written.
        account: String,
        /// What is wrong and what to write instead.
        reason: String,
    },
    /// The accounts file can't be used.
    #[error("accounts file {}: {reason}", path.display())]
    AccountsFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or folder below the data folder can't be used.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The index can't be opened or brought up to date.
    #[error("could not open the index {}: if it is damaged, move the folder away and start with an empty one", path.display())]
    Index {
        /// The index file.
        path: PathBuf,
        /// What the database said.
        #[source]
        source: sqlx::Error,
    },
    /// A part of the Hub (jobs, Xet storage) could not start.
    #[error("could not start {part}: {reason}")]
    Part {
        /// The part.
        part: &'static str,
        /// Why.
        reason: String,
    },
}

impl LocalHubError {
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
