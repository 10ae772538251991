//! Errors as a person meets them: what happened, why, what to do next, and a stable exit code.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::process::ExitCode;

use bashgym_core::launch::LaunchError;
use bashgym_core::ledger::LedgerError;
use bashgym_core::store::StoreError;
use bashgym_core::{CoreError, CoreErrorKind};
use bashgym_traces::TracesError;
use hf_core::{Doubt, HfError, HfErrorKind};

/// The kinds of failure a script can tell apart. The numbers are documented in `docs/cli.md` and do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Something failed that no other kind names.
    Internal,
    /// The command line or a configured value is wrong.
    Usage,
    /// The sessions or the dataset are no use.
    Data,
    /// The Hub does not know the token, or does not let it do this.
    Auth,
    /// The plan, the credit or a quota does not allow it.
    Quota,
    /// What was named is not there.
    NotFound,
    /// Somebody else changed it, or it is there already.
    Conflict,
    /// The Hub cannot be reached, or did not answer as a Hub does.
    Unreachable,
    /// A job ended without success.
    JobFailed,
    /// A file, a folder, the disk or a port failed.
    Io,
    /// Ctrl-C.
    Interrupted,
    /// The reader of our output went away; not a failure.
    OutputClosed,
}

impl Kind {
    fn exit_code(self) -> u8 {
        match self {
            Self::OutputClosed => 0,
            Self::Internal => 1,
            Self::Usage => 2,
            Self::Data => 3,
            Self::Auth => 4,
            Self::Quota => 5,
            Self::NotFound => 6,
            Self::Conflict => 7,
            Self::Unreachable => 8,
            Self::JobFailed => 9,
            Self::Io => 10,
            Self::Interrupted => 130,
        }
    }

    /// The kind's word in JSON.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::Data => "data",
            Self::Auth => "auth",
            Self::Quota => "quota",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Unreachable => "unreachable",
            Self::JobFailed => "job_failed",
            Self::Io => "io",
            Self::Interrupted => "interrupted",
            Self::OutputClosed => "output_closed",
        }
    }
}

/// A failed command.
#[derive(Debug)]
pub(crate) struct CliError {
    pub(crate) kind: Kind,
    message: String,
    hints: Vec<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl CliError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
            source: None,
        }
    }

    /// A failure that its command has told about already; only the exit code is left.
    pub(crate) fn silent(kind: Kind) -> Self {
        Self::new(kind, "")
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.message.is_empty()
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.kind.exit_code())
    }

    /// The causes, outermost first, without those whose words the one before repeats.
    pub(crate) fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = Vec::new();
        let mut next = self
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static));
        while let Some(cause) = next {
            let text = cause.to_string();
            let before = causes.last().unwrap_or(&self.message);
            if !before.contains(&text) {
                causes.push(text);
            }
            next = cause.source();
        }
        causes
    }

    pub(crate) fn hints(&self) -> &[String] {
        &self.hints
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for CliError {}

/// A failure of the file system, with the path and what was attempted.
pub(crate) fn io_error(action: &str, path: &std::path::Path, source: io::Error) -> CliError {
    let kind = if source.kind() == io::ErrorKind::NotFound {
        Kind::NotFound
    } else {
        Kind::Io
    };
    let full = source.kind() == io::ErrorKind::StorageFull;
    let error = CliError::new(kind, format!("cannot {action} {}", path.display())).because(source);
    if full {
        error.hint("the disk is full: free some space and run the command again; it goes on where it stopped")
    } else {
        error
    }
}

impl From<HfError> for CliError {
    fn from(error: HfError) -> Self {
        let kind = hf_kind(error.kind());
        let hint = error.hint();
        let mut converted = Self::new(kind, error.to_string());
        converted.source = StdError::source(&error).map(|source| source.to_string().into());
        match hint {
            Some(hint) => converted.hint(hint),
            None => converted,
        }
    }
}

impl From<Doubt> for CliError {
    fn from(doubt: Doubt) -> Self {
        let error = Self::new(hf_kind(doubt.kind), doubt.message);
        match doubt.hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}

pub(crate) fn hf_kind(kind: HfErrorKind) -> Kind {
    match kind {
        HfErrorKind::Auth | HfErrorKind::Forbidden => Kind::Auth,
        HfErrorKind::ProRequired | HfErrorKind::QuotaExceeded => Kind::Quota,
        HfErrorKind::NotFound => Kind::NotFound,
        HfErrorKind::Conflict | HfErrorKind::PreconditionFailed => Kind::Conflict,
        HfErrorKind::JobFailed => Kind::JobFailed,
        HfErrorKind::InvalidArgument => Kind::Usage,
        HfErrorKind::RateLimited | HfErrorKind::Transport | HfErrorKind::Decode | HfErrorKind::Http => {
            Kind::Unreachable
        }
        _ => Kind::Internal,
    }
}

impl From<CoreError> for CliError {
    fn from(error: CoreError) -> Self {
        match error {
            CoreError::Hub { source, .. } if source.kind() != HfErrorKind::JobFailed => Self::from(source),
            CoreError::Traces(source) => Self::from(source),
            CoreError::Store(source) => Self::from(source),
            CoreError::Launch(LaunchError::Budget(source)) => Self::from(source),
            CoreError::Launch(LaunchError::NotCreated(source) | LaunchError::Unknown(source)) => {
                Self::from(source)
            }
            other => {
                let kind = match other.kind() {
                    CoreErrorKind::Data => Kind::Data,
                    CoreErrorKind::NotAllowed => Kind::Auth,
                    CoreErrorKind::JobFailed => Kind::JobFailed,
                    CoreErrorKind::Conflict => Kind::Conflict,
                    CoreErrorKind::Io => Kind::Io,
                    _ => Kind::Internal,
                };
                let hint = other.hint();
                let mut converted = Self::new(kind, other.to_string());
                converted.source = StdError::source(&other).map(|source| source.to_string().into());
                match hint {
                    Some(hint) => converted.hint(hint),
                    None => converted,
                }
            }
        }
    }
}

impl From<StoreError> for CliError {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Stale { .. } | StoreError::Changed { .. } => Kind::Conflict,
            StoreError::Missing { .. } | StoreError::Gone { .. } => Kind::NotFound,
            _ => Kind::Io,
        };
        let message = error.to_string();
        Self::new(kind, message).because(error)
    }
}

impl From<LedgerError> for CliError {
    fn from(error: LedgerError) -> Self {
        let kind = match error {
            LedgerError::Store(source) => return Self::from(source),
            LedgerError::CapExceeded(_) | LedgerError::UnknownPrice { .. } => Kind::Quota,
            LedgerError::KeyReused { .. } | LedgerError::AlreadySettled { .. } => Kind::Conflict,
            LedgerError::Missing { .. } => Kind::NotFound,
            LedgerError::BadText { .. } | LedgerError::TooLarge => Kind::Usage,
            _ => Kind::Internal,
        };
        let converted = Self::new(kind, error.to_string());
        match error.hint() {
            Some(hint) => converted.hint(hint),
            None => converted,
        }
    }
}

impl From<TracesError> for CliError {
    fn from(error: TracesError) -> Self {
        let kind = match &error {
            TracesError::PathNotFound { .. } => Kind::NotFound,
            TracesError::Io { .. } => Kind::Io,
            TracesError::InvalidOption { .. } => Kind::Usage,
            TracesError::ArchiveInUse { .. } => Kind::Conflict,
            TracesError::Stopped => Kind::Interrupted,
            _ => Kind::Data,
        };
        let message = error.to_string();
        Self::new(kind, message).because(error)
    }
}
