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
    /// Reads what was spent.
    BillingRead,
    /// Calls inference.
    InferenceWrite,
}

impl Permission {
    /// The Hub's name of it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::RepoContentRead => "repo.content.read",
            Self::RepoWrite => "repo.write",
            Self::JobWrite => "job.write",
            Self::BillingRead => "user.billing.read",
            Self::InferenceWrite => "inference.serverless.write",
        }
    }

    /// Whether it only looks. That a token of the role `read` sees billing is not documented.
    pub(crate) fn only_reads(self) -> bool {
        matches!(self, Self::RepoContentRead | Self::BillingRead)
    }
}
