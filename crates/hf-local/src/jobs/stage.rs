//! Where a job stands.

/// The stages of the Hub.
///
/// # Source
/// Hub OpenAPI, `status.stage` of `GET /api/jobs/{namespace}/{jobId}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Scheduling,
    Running,
    Completed,
    Canceled,
    Error,
    /// Set by the Hub's administrators; never reached here.
    Deleted,
}

impl Stage {
    pub(crate) const ALL: [Self; 6] = [
        Self::Completed,
        Self::Canceled,
        Self::Error,
        Self::Deleted,
        Self::Running,
        Self::Scheduling,
    ];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Scheduling => "SCHEDULING",
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::Canceled => "CANCELED",
            Self::Error => "ERROR",
            Self::Deleted => "DELETED",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text)
    }

    /// Whether a job stays in this stage for good.
    pub(crate) fn is_final(self) -> bool {
        !matches!(self, Self::Scheduling | Self::Running)
    }
}
