//! What a token may be allowed to do.

/// A permission of a fine-grained token, by the name the Hub gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// Reads private repos.
    RepoContentRead,
    /// Writes repos.
    RepoWrite,
    /// Starts and manages jobs.
    JobWrite,
}

impl Permission {
    /// The Hub's name of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RepoContentRead => "repo.content.read",
            Self::RepoWrite => "repo.write",
            Self::JobWrite => "job.write",
        }
    }
}
