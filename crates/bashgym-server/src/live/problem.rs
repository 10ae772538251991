//! Why a stream is not opened.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bashgym_core::events::BadTopic;
use bashgym_core::store::StoreError;
use serde::Serialize;
use utoipa::ToSchema;

/// A refusal, as `application/problem+json`.
///
/// # Shape
/// `{"type":"about:blank","title":"..","status":400,"code":"bad_topic","detail":".."}`
#[derive(Debug, Serialize, ToSchema)]
pub struct LiveProblem {
    /// Always `about:blank`: the code tells.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status in words.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// A stable word for programs.
    pub code: &'static str,
    /// What happened and what to do next.
    pub detail: String,
}

impl LiveProblem {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            code,
            detail: detail.into(),
        }
    }

    pub(super) fn not_checked() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "key and origin of this request were not checked; send the server's key",
        )
    }

    pub(super) fn full(most: usize) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "too_many_connections",
            format!(
                "{most} streams are open, which is the most this server holds; close one or try again later"
            ),
        )
    }

    pub(super) fn bad_position(text: &str) -> Self {
        let shown: String = text.chars().take(40).collect();
        Self::new(
            StatusCode::BAD_REQUEST,
            "bad_position",
            format!("{shown:?} is no event's number; send the `seq` of the last event that was seen"),
        )
    }

    pub(super) fn bad_query(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_query", detail)
    }

    pub(super) fn bad_upgrade(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UPGRADE_REQUIRED, "upgrade_required", detail)
    }
}

impl From<BadTopic> for LiveProblem {
    fn from(error: BadTopic) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "bad_topic", error.to_string())
    }
}

impl From<StoreError> for LiveProblem {
    fn from(error: StoreError) -> Self {
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the log of events does not answer"
        );
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "the server's store does not answer now; try again. The server's log tells why",
        )
    }
}

impl IntoResponse for LiveProblem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let content = (header::CONTENT_TYPE, "application/problem+json");
        if status == StatusCode::SERVICE_UNAVAILABLE {
            (status, [content, (header::RETRY_AFTER, "5")], body).into_response()
        } else {
            (status, [content], body).into_response()
        }
    }
}
