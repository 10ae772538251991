//! Errors in the shape of `OpenAI`'s API.

use axum::response::{IntoResponse, Response};
use hf_core::scrub_secrets;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::problem::{Code, Problem};

/// The body of a failed request.
///
/// # Source
/// `openai` 3.54.0 `_client.py` `_make_status_error` and `_exceptions.py`: `error` with `message`, `type`, `param`, `code`.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    error: ErrorInside,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorInside {
    /// What happened this time, and what to do next.
    message: String,
    /// The kind of error.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The parameter that is wrong, where one is.
    #[schema(required)]
    param: Option<String>,
    /// The stable code.
    code: &'static str,
}

/// The status, the kind, and the code. The kits turn statuses into exceptions, and try 408, 409, 429 and 5xx again.
fn meaning(code: Code) -> (StatusCode, &'static str, &'static str) {
    let (status, own) = (code.status(), code.as_str());
    match code {
        Code::Unauthenticated => (status, "authentication_error", "invalid_api_key"),
        Code::ModelNotFound => (status, "invalid_request_error", own),
        // The word that tools know for an empty purse.
        Code::QuotaExceeded => (
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            "insufficient_quota",
        ),
        Code::UnknownPrice => (StatusCode::FORBIDDEN, "permission_error", own),
        Code::SlowDown | Code::RateLimited => (status, "rate_limit_error", "rate_limit_exceeded"),
        Code::Invalid | Code::Data | Code::IdempotencyKeyReused => {
            (StatusCode::BAD_REQUEST, "invalid_request_error", own)
        }
        // It is this server's token that was refused, not the caller's key.
        Code::HubAuth => (StatusCode::BAD_GATEWAY, "server_error", "upstream_auth"),
        Code::HubUnreachable => (status, "server_error", "upstream_unreachable"),
        _ if status == StatusCode::FORBIDDEN => (status, "permission_error", own),
        _ if status.is_server_error() => (status, "server_error", own),
        _ => (status, "invalid_request_error", own),
    }
}

/// Whether the same request may pass later; the kits would try more than that.
fn may_pass(code: Code) -> bool {
    !matches!(
        code,
        Code::QuotaExceeded
            | Code::HubAuth
            | Code::Conflict
            | Code::JobFailed
            | Code::NotBuilt
            | Code::Internal
    )
}

/// What a problem says, in the middle of a stream.
pub(super) fn inside(problem: &Problem) -> Value {
    serde_json::to_value(body(problem)).unwrap_or_default()
}

fn body(problem: &Problem) -> ErrorBody {
    let (_, kind, code) = meaning(problem.code());
    let mut message = problem.detail().to_owned();
    if let Some(hint) = problem.first_hint() {
        message.push_str(". ");
        message.push_str(&hint);
    }
    ErrorBody {
        error: ErrorInside {
            message: scrub_secrets(&message),
            kind,
            param: None,
            code,
        },
    }
}

/// Answers with a problem.
///
/// # Source
/// `openai` 3.54.0 `_base_client.py` `_should_retry`: `x-should-retry` goes before what the status says.
pub(crate) fn respond(problem: &Problem) -> Response {
    let (status, ..) = meaning(problem.code());
    let mut response = (status, axum::Json(body(problem))).into_response();
    let headers = response.headers_mut();
    if let Some(seconds) = problem.seconds_to_wait() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.code() == Code::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if !may_pass(problem.code()) {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

/// What each operation can answer with when it fails.
#[derive(utoipa::IntoResponses)]
#[expect(dead_code, reason = "describes answers; never made")]
pub(super) enum Failures {
    /// Something in the request is wrong.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// No valid key.
    #[response(status = 401)]
    Unauthenticated(ErrorBody),
    /// Not allowed, or the price is not known.
    #[response(status = 403)]
    Forbidden(ErrorBody),
    /// There is no such model.
    #[response(status = 404)]
    NotFound(ErrorBody),
    /// The body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// Only JSON is taken.
    #[response(status = 415)]
    UnsupportedMediaType(ErrorBody),
    /// The budget is used up, or the provider asks for patience.
    #[response(status = 429)]
    RateLimited(ErrorBody),
    /// The provider does not answer.
    #[response(status = 502)]
    Unreachable(ErrorBody),
    /// The store failed, or the server is ending.
    #[response(status = 503)]
    Storage(ErrorBody),
    /// It took too long.
    #[response(status = 504)]
    TimedOut(ErrorBody),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_means_to_the_kits_what_it_means_here() {
        for (code, status, word) in [
            (Code::Unauthenticated, 401, "invalid_api_key"),
            (Code::ModelNotFound, 404, "model_not_found"),
            (Code::QuotaExceeded, 429, "insufficient_quota"),
            (Code::RateLimited, 429, "rate_limit_exceeded"),
            (Code::UnknownPrice, 403, "unknown_price"),
            (Code::Invalid, 400, "invalid"),
            (Code::HubAuth, 502, "upstream_auth"),
            (Code::HubUnreachable, 502, "upstream_unreachable"),
            (Code::TimedOut, 504, "timed_out"),
        ] {
            let (got, _, said) = meaning(code);
            assert_eq!((got.as_u16(), said), (status, word));
        }
    }

    #[test]
    fn an_empty_purse_is_not_tried_again_and_patience_is() {
        let spent = respond(&Problem::new(Code::QuotaExceeded, "spent"));
        assert_eq!(spent.headers()["x-should-retry"], "false");
        let busy = respond(&Problem::new(Code::RateLimited, "busy").retry_after(7));
        assert_eq!(busy.headers()["retry-after"], "7");
        assert!(!busy.headers().contains_key("x-should-retry"));
    }

    #[test]
    fn no_secret_is_told() {
        let token = "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH";
        let said = inside(&Problem::new(Code::Invalid, format!("wrong: {token}"))).to_string();
        assert!(!said.contains(token), "{said}");
    }
}
