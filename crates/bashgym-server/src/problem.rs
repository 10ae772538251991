//! Errors as `application/problem+json` (RFC 9457), and the one place where the domain's errors become them.

use std::borrow::Cow;

use axum::response::{IntoResponse, Response};
use bashgym_core::inference::InferenceFailure;
use bashgym_core::launch::{BoardError, LaunchError};
use bashgym_core::ledger::LedgerError;
use bashgym_core::store::StoreError;
use bashgym_core::{CoreError, CoreErrorKind};
use bashgym_traces::TracesError;
use hf_core::{HfError, HfErrorKind, scrub_secrets};
use hf_inference::InferenceError;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::ToSchema;

use crate::gateway;
use crate::router::{request_id, speaks_openai};

/// The stable codes of problems. A script branches on these, never on the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Code {
    /// The request is not as the API takes it.
    BadRequest,
    /// The body, a parameter or a name is wrong.
    Invalid,
    /// The sessions or the dataset are no use for this.
    Data,
    /// No valid key, cookie or code.
    Unauthenticated,
    /// Too many wrong keys.
    SlowDown,
    /// The `Host` header names another server.
    HostNotAllowed,
    /// The request comes from another web site.
    OriginNotAllowed,
    /// A cookie without its `X-CSRF-Token`.
    CsrfRequired,
    /// The path is not below an allowed folder.
    PathNotAllowed,
    /// The Hub needs a token, or refuses the one it got.
    HubAuth,
    /// The Hub, or the secret gate, does not allow it.
    Forbidden,
    /// Only a PRO account may do this.
    ProRequired,
    /// Credit, a quota or the budget is used up.
    QuotaExceeded,
    /// The price is not known, and that was not allowed.
    UnknownPrice,
    /// It is not there.
    NotFound,
    /// There is no model of this name.
    ModelNotFound,
    /// The path is known, the method is not.
    MethodNotAllowed,
    /// It is there already, is over, or somebody else changed it.
    Conflict,
    /// A job ended without success where success was needed.
    JobFailed,
    /// The body is larger than is taken.
    TooLarge,
    /// The body is not JSON.
    UnsupportedMediaType,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    /// The Hub asks for patience.
    RateLimited,
    /// This part is not in this build.
    NotBuilt,
    /// The Hub could not be reached, or did not answer as a Hub does.
    HubUnreachable,
    /// It took too long.
    TimedOut,
    /// The store or the disk failed.
    Storage,
    /// The server is ending.
    Ending,
    /// Something that should not happen.
    Internal,
}

impl Code {
    /// The code's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "bad_request",
            Self::Invalid => "invalid",
            Self::Data => "data",
            Self::Unauthenticated => "unauthenticated",
            Self::SlowDown => "slow_down",
            Self::HostNotAllowed => "host_not_allowed",
            Self::OriginNotAllowed => "origin_not_allowed",
            Self::CsrfRequired => "csrf_required",
            Self::PathNotAllowed => "path_not_allowed",
            Self::HubAuth => "hub_auth",
            Self::Forbidden => "forbidden",
            Self::ProRequired => "pro_required",
            Self::QuotaExceeded => "quota_exceeded",
            Self::UnknownPrice => "unknown_price",
            Self::NotFound => "not_found",
            Self::ModelNotFound => "model_not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::Conflict => "conflict",
            Self::JobFailed => "job_failed",
            Self::TooLarge => "too_large",
            Self::UnsupportedMediaType => "unsupported_media_type",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::RateLimited => "rate_limited",
            Self::NotBuilt => "not_built",
            Self::HubUnreachable => "hub_unreachable",
            Self::TimedOut => "timed_out",
            Self::Storage => "storage",
            Self::Ending => "ending",
            Self::Internal => "internal",
        }
    }

    /// The status it is answered with.
    pub fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthenticated => StatusCode::UNAUTHORIZED,
            Self::QuotaExceeded | Self::UnknownPrice => StatusCode::PAYMENT_REQUIRED,
            Self::HostNotAllowed
            | Self::OriginNotAllowed
            | Self::CsrfRequired
            | Self::PathNotAllowed
            | Self::HubAuth
            | Self::Forbidden
            | Self::ProRequired => StatusCode::FORBIDDEN,
            Self::NotFound | Self::ModelNotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Conflict | Self::JobFailed => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid | Self::Data | Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::SlowDown | Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::NotBuilt => StatusCode::NOT_IMPLEMENTED,
            Self::HubUnreachable => StatusCode::BAD_GATEWAY,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
            Self::Ending | Self::Storage => StatusCode::SERVICE_UNAVAILABLE,
            Self::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::BadRequest => "The request cannot be read",
            Self::Invalid => "Something in the request is wrong",
            Self::Data => "The data is no use for this",
            Self::Unauthenticated => "No valid key",
            Self::SlowDown => "Too many wrong keys",
            Self::HostNotAllowed => "Another host was asked for",
            Self::OriginNotAllowed => "Another web site asks",
            Self::CsrfRequired => "The CSRF token is missing",
            Self::PathNotAllowed => "The path is not allowed",
            Self::HubAuth => "The Hub wants another token",
            Self::Forbidden => "Not allowed",
            Self::ProRequired => "A PRO account is needed",
            Self::QuotaExceeded => "Nothing is left to spend",
            Self::UnknownPrice => "The price is not known",
            Self::NotFound => "Not found",
            Self::ModelNotFound => "No such model",
            Self::MethodNotAllowed => "The method is not known here",
            Self::Conflict => "It stands otherwise",
            Self::JobFailed => "The job failed",
            Self::TooLarge => "Too large",
            Self::UnsupportedMediaType => "Only JSON is taken",
            Self::IdempotencyKeyReused => "The key was used before",
            Self::RateLimited => "The Hub asks for patience",
            Self::NotBuilt => "Not in this build",
            Self::HubUnreachable => "The Hub does not answer",
            Self::TimedOut => "It took too long",
            Self::Storage => "The store failed",
            Self::Ending => "The server is ending",
            Self::Internal => "Something went wrong inside",
        }
    }
}

/// A failed request: what happened, why, and what to do next. Never holds a secret: its texts are scrubbed when answered.
#[derive(Debug, Clone)]
pub struct Problem {
    code: Code,
    detail: String,
    hints: Vec<String>,
    retry_after_secs: Option<u64>,
}

/// The body of a failed request.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ProblemBody {
    /// `urn:bashgym:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The same sentence for each problem of this code.
    title: &'static str,
    /// The status, as in the answer's head.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    code: Code,
    /// What happened this time.
    detail: String,
    /// What to do next.
    hints: Vec<String>,
    /// The request's number, which is in the log too.
    #[schema(required)]
    request_id: Option<String>,
}

impl Problem {
    /// Makes a problem.
    pub fn new(code: Code, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            code,
            detail: detail.into().into_owned(),
            hints: Vec::new(),
            retry_after_secs: None,
        }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Says how long to wait, in seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_secs = Some(seconds);
        self
    }

    /// The code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// What happened.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// How long to wait, in seconds, where that is known.
    pub(crate) fn seconds_to_wait(&self) -> Option<u64> {
        self.retry_after_secs
    }

    /// The same problem by another code.
    pub(crate) fn with_code(mut self, code: Code) -> Self {
        self.code = code;
        self
    }

    pub(crate) fn with_hint(mut self, hint: Option<String>) -> Self {
        self.hints.extend(hint);
        self
    }

    /// The first thing to do next.
    pub(crate) fn first_hint(&self) -> Option<String> {
        self.hints.first().cloned()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.code.status();
        let detail = scrub_secrets(&self.detail);
        if status.is_server_error() {
            tracing::warn!(code = self.code.as_str(), detail = %detail, "a request failed");
        }
        if speaks_openai() {
            return gateway::respond(&self);
        }
        let body = ProblemBody {
            kind: format!("urn:bashgym:problem:{}", self.code.as_str()),
            title: self.code.title(),
            status: status.as_u16(),
            code: self.code,
            detail: detail.clone(),
            hints: self.hints.iter().map(|hint| scrub_secrets(hint)).collect(),
            request_id: request_id(),
        };
        let text = serde_json::to_vec(&body).unwrap_or_default();
        let kind = HeaderValue::from_static("application/problem+json");
        let mut response = (status, [(header::CONTENT_TYPE, kind)], text).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.code == Code::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// What the clients' errors mean here.
pub(crate) fn hf_code(kind: HfErrorKind) -> Code {
    match kind {
        HfErrorKind::Auth => Code::HubAuth,
        HfErrorKind::Forbidden => Code::Forbidden,
        HfErrorKind::ProRequired => Code::ProRequired,
        HfErrorKind::QuotaExceeded => Code::QuotaExceeded,
        HfErrorKind::RateLimited => Code::RateLimited,
        HfErrorKind::NotFound => Code::NotFound,
        HfErrorKind::Conflict | HfErrorKind::PreconditionFailed => Code::Conflict,
        HfErrorKind::JobFailed => Code::JobFailed,
        HfErrorKind::InvalidArgument => Code::Invalid,
        HfErrorKind::Transport | HfErrorKind::Decode | HfErrorKind::Http => Code::HubUnreachable,
        _ => Code::Internal,
    }
}

impl From<HfError> for Problem {
    fn from(error: HfError) -> Self {
        // A Hub that lacks a route answers well: it is there, and cannot do this.
        let code = match error.status() {
            Some(StatusCode::NOT_IMPLEMENTED) => Code::Invalid,
            _ => hf_code(error.kind()),
        };
        let mut problem = Self::new(code, error.to_string()).with_hint(error.hint());
        if let HfError::RateLimited { retry_after, .. } = &error {
            problem.retry_after_secs = Some(retry_after.map_or(60, |wait| wait.as_secs().max(1)));
        }
        problem
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let code = match &error {
            StoreError::Stale { .. } | StoreError::Changed { .. } => Code::Conflict,
            StoreError::Missing { .. } | StoreError::Gone { .. } => Code::NotFound,
            _ => Code::Storage,
        };
        if code == Code::Storage {
            // The chain names files of this machine: it belongs into the log.
            tracing::error!(error = ?error, "the store failed");
        }
        Self::new(code, error.to_string())
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        let code = match error {
            LedgerError::Store(source) => return source.into(),
            LedgerError::CapExceeded(_) => Code::QuotaExceeded,
            LedgerError::UnknownPrice { .. } => Code::UnknownPrice,
            LedgerError::KeyReused { .. } | LedgerError::AlreadySettled { .. } => Code::Conflict,
            LedgerError::Missing { .. } => Code::NotFound,
            LedgerError::BadText { .. } | LedgerError::TooLarge => Code::Invalid,
            _ => Code::Internal,
        };
        let hint = error.hint();
        Self::new(code, error.to_string()).with_hint(hint)
    }
}

impl From<InferenceError> for Problem {
    fn from(error: InferenceError) -> Self {
        let retry = match &error {
            InferenceError::CircuitOpen { retry_in_seconds, .. } => Some(*retry_in_seconds),
            other => other
                .hf()
                .and_then(HfError::asked_wait)
                .map(|wait| wait.as_secs().max(1)),
        };
        let mut problem = Self::new(hf_code(error.kind()), error.to_string()).with_hint(error.hint());
        problem.retry_after_secs = retry;
        problem
    }
}

impl From<InferenceFailure> for Problem {
    fn from(error: InferenceFailure) -> Self {
        match error {
            InferenceFailure::Budget(source) => source.into(),
            InferenceFailure::Inference(source) => source.into(),
            _ => Self::new(Code::Internal, error.to_string()),
        }
    }
}

impl From<BoardError> for Problem {
    fn from(error: BoardError) -> Self {
        match error {
            BoardError::Hub(source) => source.into(),
            BoardError::Store(source) => source.into(),
            _ => Self::new(Code::Internal, error.to_string()),
        }
    }
}

impl From<LaunchError> for Problem {
    fn from(error: LaunchError) -> Self {
        match error {
            LaunchError::NotCreated(source) => source.into(),
            LaunchError::Unknown(source) => Self::from(source).hint(
                "the job may exist; the same request with the same Idempotency-Key looks it up before anything is sent again",
            ),
            LaunchError::Budget(source) => source.into(),
            LaunchError::Store(source) => source.into(),
            LaunchError::OtherRequest { .. } => Self::new(Code::IdempotencyKeyReused, error.to_string())
                .hint("give each request a key of its own"),
            LaunchError::AlreadyOver { .. } | LaunchError::Busy { .. } => {
                Self::new(Code::Conflict, error.to_string())
            }
            LaunchError::Drifted { .. } => Self::new(Code::JobFailed, error.to_string()),
            LaunchError::Journal(_) => Self::new(Code::Storage, error.to_string()),
            _ => Self::new(Code::Internal, error.to_string()),
        }
    }
}

impl From<TracesError> for Problem {
    fn from(error: TracesError) -> Self {
        let code = match &error {
            TracesError::PathNotFound { .. } => Code::NotFound,
            TracesError::Io { .. } => Code::Storage,
            TracesError::InvalidOption { .. } => Code::Invalid,
            TracesError::ArchiveInUse { .. } => Code::Conflict,
            _ => Code::Data,
        };
        Self::new(code, error.to_string())
    }
}

impl From<CoreError> for Problem {
    fn from(error: CoreError) -> Self {
        match error {
            CoreError::Hub { source, .. } => source.into(),
            CoreError::Traces(source) => source.into(),
            CoreError::Store(source) => source.into(),
            CoreError::Launch(source) => source.into(),
            other => {
                let code = match other.kind() {
                    CoreErrorKind::Data => Code::Data,
                    CoreErrorKind::NotAllowed => Code::Forbidden,
                    CoreErrorKind::JobFailed => Code::JobFailed,
                    CoreErrorKind::Conflict => Code::Conflict,
                    CoreErrorKind::Io => Code::Storage,
                    _ => Code::Internal,
                };
                let hint = other.hint();
                Self::new(code, other.to_string()).with_hint(hint)
            }
        }
    }
}

/// What each operation behind the key can answer with when it fails.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes answers; never made")]
pub(crate) enum Failures {
    /// The request cannot be read.
    #[response(status = 400, content_type = "application/problem+json")]
    BadRequest(ProblemBody),
    /// No valid key, cookie or code.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthenticated(ProblemBody),
    /// The request comes from elsewhere, or it is not allowed.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(ProblemBody),
    /// Something in the request is wrong.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemBody),
    /// Too many wrong keys.
    #[response(status = 429, content_type = "application/problem+json")]
    SlowDown(ProblemBody),
    /// The store failed, or the server is ending.
    #[response(status = 503, content_type = "application/problem+json")]
    Storage(ProblemBody),
    /// It took too long.
    #[response(status = 504, content_type = "application/problem+json")]
    TimedOut(ProblemBody),
}

/// What operations that name a thing can answer with beside [`Failures`].
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes answers; never made")]
pub(crate) enum Missing {
    /// It is not there.
    #[response(status = 404, content_type = "application/problem+json")]
    NotFound(ProblemBody),
}

/// What operations that change something can answer with beside [`Failures`].
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes answers; never made")]
pub(crate) enum Refusals {
    /// Nothing is left to spend, or the price is not known.
    #[response(status = 402, content_type = "application/problem+json")]
    QuotaExceeded(ProblemBody),
    /// It stands otherwise.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(ProblemBody),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemBody),
    /// Only JSON is taken.
    #[response(status = 415, content_type = "application/problem+json")]
    UnsupportedMediaType(ProblemBody),
}

/// What operations that ask the Hub can answer with beside [`Failures`].
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes answers; never made")]
pub(crate) enum HubFailures {
    /// The Hub does not answer as a Hub does.
    #[response(status = 502, content_type = "application/problem+json")]
    Unreachable(ProblemBody),
}
