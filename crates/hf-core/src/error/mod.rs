//! One error for all Hugging Face crates, and the one place that turns an answer into it.

mod job_end;
mod reply;
mod scrub;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use http::{Method, StatusCode};
use url::Url;

pub(crate) use self::reply::from_response;
pub use self::scrub::redact_url;
pub use self::scrub::scrub_secrets;
use crate::transport::{TransportError, TransportKind};

/// What a Hugging Face call can fail with.
///
/// The message says what happened; [`HfError::hint`] says what to do next, and the source why. `Display` does not print the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HfError {
    /// No valid credentials.
    #[error("not signed in: {message}")]
    Auth {
        /// What the Hub, or the client before asking it, said.
        message: String,
        /// The answer, unless the client refused by itself.
        context: Option<Box<HttpContext>>,
    },
    /// The credentials are good but do not allow this.
    #[error("not allowed: {context}")]
    Forbidden {
        /// The answer.
        context: Box<HttpContext>,
    },
    /// Only a PRO account may do this.
    #[error("{feature} needs a PRO account: {message}")]
    ProRequired {
        /// What was asked for.
        feature: String,
        /// What the Hub said.
        message: String,
        /// The answer, unless a job's end told it.
        context: Option<Box<HttpContext>>,
    },
    /// Credit or quota is used up.
    #[error("{resource} used up: {message}")]
    QuotaExceeded {
        /// What ran out.
        resource: Quota,
        /// What the Hub said.
        message: String,
        /// The answer, unless a job's end told it.
        context: Option<Box<HttpContext>>,
    },
    /// Too many requests.
    #[error("too many requests{}: {message}", seconds(*retry_after))]
    RateLimited {
        /// How long to wait, when that is known.
        retry_after: Option<Duration>,
        /// What the Hub, or the client before asking it, said.
        message: String,
        /// The answer, unless the client held the request back by itself.
        context: Option<Box<HttpContext>>,
    },
    /// It is not there, or hidden from this account.
    #[error("{resource} not found: {}", context_or(context.as_deref(), name.as_deref()))]
    NotFound {
        /// The kind of thing.
        resource: Resource,
        /// Its name, when the client knew it.
        name: Option<String>,
        /// The answer, unless the client found out by itself.
        context: Option<Box<HttpContext>>,
    },
    /// It exists already, or something else is going on with it.
    #[error("conflict: {context}")]
    Conflict {
        /// The answer.
        context: Box<HttpContext>,
    },
    /// It changed since it was read.
    #[error("it changed in the meantime: {context}")]
    PreconditionFailed {
        /// The answer.
        context: Box<HttpContext>,
    },
    /// A job ended without success where success was needed.
    #[error("job {job_id} ended as {stage}{}", message.as_deref().map(|m| format!(": {m}")).unwrap_or_default())]
    JobFailed {
        /// The job.
        job_id: String,
        /// Its final stage.
        stage: String,
        /// What the Hub says about it.
        message: Option<String>,
    },
    /// An argument, a setting or a body is wrong.
    #[error("{message}")]
    InvalidArgument {
        /// What is wrong and what is expected.
        message: String,
        /// The answer, when the Hub found it.
        context: Option<Box<HttpContext>>,
    },
    /// No answer came, or it broke off.
    #[error("{kind} ({request}): {message}")]
    Transport {
        /// What kind of failure, and so whether a retry helps.
        kind: TransportKind,
        /// The request, as method and URL.
        request: String,
        /// The details.
        message: String,
        /// The transport's error.
        #[source]
        source: Option<Box<TransportError>>,
    },
    /// An answer came but is not what it should be.
    #[error("{what} can not be read: {message}")]
    Decode {
        /// What was being read.
        what: String,
        /// Why it can not be.
        message: String,
        /// The parser's error.
        #[source]
        source: Option<Box<dyn StdError + Send + Sync>>,
    },
    /// A file of this machine can not be read or written.
    #[error("can not {action}: {message}")]
    Io {
        /// What was being done, as in `open /tmp/x`.
        action: String,
        /// What the system says.
        message: String,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// Any other error status.
    #[error("{context}")]
    Http {
        /// The answer.
        context: Box<HttpContext>,
    },
}

/// What an [`HfError`] means, for exit codes, statuses and tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HfErrorKind {
    /// See [`HfError::Auth`].
    Auth,
    /// See [`HfError::Forbidden`].
    Forbidden,
    /// See [`HfError::ProRequired`].
    ProRequired,
    /// See [`HfError::QuotaExceeded`].
    QuotaExceeded,
    /// See [`HfError::RateLimited`].
    RateLimited,
    /// See [`HfError::NotFound`].
    NotFound,
    /// See [`HfError::Conflict`].
    Conflict,
    /// See [`HfError::PreconditionFailed`].
    PreconditionFailed,
    /// See [`HfError::JobFailed`].
    JobFailed,
    /// See [`HfError::InvalidArgument`].
    InvalidArgument,
    /// See [`HfError::Transport`].
    Transport,
    /// See [`HfError::Decode`].
    Decode,
    /// See [`HfError::Io`].
    Io,
    /// See [`HfError::Http`].
    Http,
}

impl HfErrorKind {
    /// A stable word for logs and JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Auth => "auth",
            Self::Forbidden => "forbidden",
            Self::ProRequired => "pro_required",
            Self::QuotaExceeded => "quota_exceeded",
            Self::RateLimited => "rate_limited",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::PreconditionFailed => "precondition_failed",
            Self::JobFailed => "job_failed",
            Self::InvalidArgument => "invalid_argument",
            Self::Transport => "transport",
            Self::Decode => "decode",
            Self::Io => "io",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for HfErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a Hub can fail to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Resource {
    /// A model, dataset or Space repository.
    Repository,
    /// A branch, tag or commit.
    Revision,
    /// A file or folder.
    Entry,
    /// A storage bucket.
    Bucket,
    /// A job.
    Job,
    /// A scheduled job.
    ScheduledJob,
    /// Anything else.
    Other,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Repository => "repository",
            Self::Revision => "revision",
            Self::Entry => "file",
            Self::Bucket => "bucket",
            Self::Job => "job",
            Self::ScheduledJob => "scheduled job",
            Self::Other => "resource",
        })
    }
}

/// What can run out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Quota {
    /// Pre-paid credit, which pays for Jobs among others.
    Credit,
    /// The credit for Inference Providers that comes with each month.
    MonthlyCredit,
    /// What a resource group of an organisation may spend.
    ResourceGroup,
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Credit => "credit",
            Self::MonthlyCredit => "monthly inference credit",
            Self::ResourceGroup => "limit of the resource group",
        })
    }
}

/// An error answer, kept for messages and decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpContext {
    /// The request's method.
    pub method: Method,
    /// The URL, without the values of query parameters that may be secret.
    pub url: String,
    /// The status.
    pub status: StatusCode,
    /// The Hub's id of this request, for a report to its support.
    pub request_id: Option<String>,
    /// `X-Error-Code`.
    pub error_code: Option<String>,
    /// What the server said, shortened, with token-like text removed.
    pub server_message: Option<String>,
    /// How long the server asks to wait before the next request.
    pub asked_wait: Option<Duration>,
}

impl fmt::Display for HttpContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} answered {}",
            self.method,
            self.url,
            self.status.as_u16()
        )?;
        if let Some(code) = &self.error_code {
            write!(f, " {code}")?;
        }
        if let Some(message) = &self.server_message {
            write!(f, " ({message})")?;
        }
        if let Some(id) = &self.request_id {
            write!(f, " [request {id}]")?;
        }
        Ok(())
    }
}

fn seconds(wait: Option<Duration>) -> String {
    wait.map(|wait| format!(", the Hub asks to wait {} s", wait.as_secs()))
        .unwrap_or_default()
}

fn context_or(context: Option<&HttpContext>, name: Option<&str>) -> String {
    match (name, context) {
        (Some(name), Some(context)) => format!("{name}, {context}"),
        (None, Some(context)) => context.to_string(),
        (Some(name), None) => name.to_owned(),
        (None, None) => "no details".to_owned(),
    }
}

impl HfError {
    /// Makes an [`HfError::InvalidArgument`] the client found by itself.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::InvalidArgument {
            message: message.into(),
            context: None,
        }
    }

    /// Makes an [`HfError::Io`]; `action` reads as in `open /tmp/x`.
    pub fn io(action: impl Into<String>, source: std::io::Error) -> Self {
        Self::Io {
            action: action.into(),
            message: source.to_string(),
            source,
        }
    }

    /// Makes an [`HfError::Decode`] without a source.
    pub fn decode(what: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Decode {
            what: what.into(),
            message: message.into(),
            source: None,
        }
    }

    /// Makes an [`HfError::Decode`] from a JSON parser's error.
    ///
    /// The parser quotes what it found, so its text is scrubbed and the error itself is not kept as a source.
    pub fn from_json(what: impl Into<String>, error: &serde_json::Error) -> Self {
        Self::decode(what, scrub_secrets(&error.to_string()))
    }

    /// Makes an [`HfError::Transport`] for a request.
    pub fn from_transport(method: &Method, url: &Url, error: TransportError) -> Self {
        Self::Transport {
            kind: error.kind,
            request: format!("{method} {}", redact_url(url)),
            message: scrub_secrets(&error.message),
            source: Some(Box::new(error)),
        }
    }

    /// What this error means.
    pub fn kind(&self) -> HfErrorKind {
        match self {
            Self::Auth { .. } => HfErrorKind::Auth,
            Self::Forbidden { .. } => HfErrorKind::Forbidden,
            Self::ProRequired { .. } => HfErrorKind::ProRequired,
            Self::QuotaExceeded { .. } => HfErrorKind::QuotaExceeded,
            Self::RateLimited { .. } => HfErrorKind::RateLimited,
            Self::NotFound { .. } => HfErrorKind::NotFound,
            Self::Conflict { .. } => HfErrorKind::Conflict,
            Self::PreconditionFailed { .. } => HfErrorKind::PreconditionFailed,
            Self::JobFailed { .. } => HfErrorKind::JobFailed,
            Self::InvalidArgument { .. } => HfErrorKind::InvalidArgument,
            Self::Transport { .. } => HfErrorKind::Transport,
            Self::Decode { .. } => HfErrorKind::Decode,
            Self::Io { .. } => HfErrorKind::Io,
            Self::Http { .. } => HfErrorKind::Http,
        }
    }

    /// The answer behind this error, when there was one.
    pub fn context(&self) -> Option<&HttpContext> {
        match self {
            Self::Auth { context, .. }
            | Self::NotFound { context, .. }
            | Self::InvalidArgument { context, .. }
            | Self::ProRequired { context, .. }
            | Self::QuotaExceeded { context, .. }
            | Self::RateLimited { context, .. } => context.as_deref(),
            Self::Forbidden { context }
            | Self::Conflict { context }
            | Self::PreconditionFailed { context }
            | Self::Http { context } => Some(context),
            Self::JobFailed { .. } | Self::Transport { .. } | Self::Decode { .. } | Self::Io { .. } => None,
        }
    }

    /// The status of the answer, when there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.context().map(|context| context.status)
    }

    /// The kind of transport failure, when it is one.
    pub fn transport_kind(&self) -> Option<TransportKind> {
        match self {
            Self::Transport { kind, .. } => Some(*kind),
            _ => None,
        }
    }

    /// How long the server asks to wait before the next request, if it does: `Retry-After` or an exhausted rate limit.
    pub fn asked_wait(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } => *retry_after,
            other => other.context().and_then(|context| context.asked_wait),
        }
    }

    /// Whether the request may have had an effect although it failed.
    ///
    /// True after a broken or silent connection and after a 5xx answer. Before sending such a request again, look whether
    /// its effect is there.
    pub fn is_ambiguous(&self) -> bool {
        match self {
            Self::Transport { kind, .. } => kind.may_have_arrived(),
            Self::Decode { .. } => true,
            other => other
                .status()
                .is_some_and(|status| status.is_server_error() || status == 408),
        }
    }

    /// Whether the same request may pass later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport { kind, .. } => kind.is_retryable(),
            Self::RateLimited { .. } => true,
            other => other.status().is_some_and(crate::retry::is_retryable_status),
        }
    }

    /// What to do next, when there is something to do.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Auth { context: None, .. } => {
                "set HF_TOKEN to a token from https://huggingface.co/settings/tokens".to_owned()
            }
            Self::Auth { context: Some(context), .. } if context.error_code.as_deref() == Some("GatedRepo") => {
                "sign in with an account that was granted access to this repository".to_owned()
            }
            Self::Auth { .. } => "check HF_TOKEN: the Hub does not know this token, or it expired; without a token, \
                 private repositories answer the same way"
                .to_owned(),
            Self::Forbidden { context } if context.error_code.as_deref() == Some("GatedRepo") => {
                "ask for access on the repository's page, and wait until its owner has granted it".to_owned()
            }
            Self::Forbidden { .. } => {
                let missing = self.missing_permissions();
                if missing.is_empty() {
                    "use a token whose role or permissions cover this namespace: https://huggingface.co/settings/tokens"
                        .to_owned()
                } else {
                    format!(
                        "give the token {}: https://huggingface.co/settings/tokens",
                        missing.join(", ")
                    )
                }
            }
            Self::ProRequired { .. } => "see https://huggingface.co/pro".to_owned(),
            Self::QuotaExceeded { resource: Quota::ResourceGroup, .. } => {
                "ask an administrator of the organisation to raise the limit of the resource group".to_owned()
            }
            Self::QuotaExceeded { .. } => "add credit at https://huggingface.co/settings/billing".to_owned(),
            Self::RateLimited { retry_after: Some(wait), .. } => format!("try again in {} s", wait.as_secs()),
            Self::RateLimited { .. } => "wait a few minutes, then try again".to_owned(),
            Self::NotFound { resource: Resource::Repository, .. } => {
                "check the name and its type (model, dataset, space); a private repository needs a token that sees it"
                    .to_owned()
            }
            Self::NotFound { resource: Resource::Job, .. } => {
                "check the job id and the namespace it was started in".to_owned()
            }
            Self::PreconditionFailed { .. } => "read the current state again, then repeat the change".to_owned(),
            Self::JobFailed { .. } => "read the job's logs".to_owned(),
            Self::Transport { kind, .. } => match kind {
                TransportKind::Offline => "unset HF_HUB_OFFLINE to use the network".to_owned(),
                TransportKind::Connect => "check HF_ENDPOINT, and that the server is up and reachable".to_owned(),
                TransportKind::Tls => "check HF_ENDPOINT (http or https) and the machine's certificates".to_owned(),
                TransportKind::Timeout | TransportKind::Reset | TransportKind::Body => {
                    "try again; if it stays, the server or the way to it is in trouble".to_owned()
                }
                TransportKind::InvalidRequest | TransportKind::Protocol => return None,
            },
            Self::Http { context } if context.status == StatusCode::NOT_IMPLEMENTED => {
                "this Hub does not serve this route".to_owned()
            }
            Self::Http { context } if context.status.is_server_error() => {
                "the Hub is in trouble; try again later (https://status.huggingface.co)".to_owned()
            }
            Self::Io { source, .. } => match source.kind() {
                std::io::ErrorKind::StorageFull => "free some disk space, then run it again".to_owned(),
                std::io::ErrorKind::PermissionDenied => "check the permissions of the file and its folder".to_owned(),
                std::io::ErrorKind::NotFound => "check the path".to_owned(),
                _ => return None,
            },
            Self::NotFound { .. }
            | Self::Conflict { .. }
            | Self::InvalidArgument { .. }
            | Self::Decode { .. }
            | Self::Http { .. } => return None,
        };
        Some(text)
    }
}
