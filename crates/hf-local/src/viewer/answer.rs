//! How the viewer words its refusals.

use axum::response::{IntoResponse, Response};
use http::header::{HeaderName, HeaderValue};
use http::{StatusCode, header};

use crate::reply::{HubError, X_ERROR_CODE};

/// The commit that the data of an answer comes from.
pub(super) const X_REVISION: HeaderName = HeaderName::from_static("x-revision");

/// A refused viewer request.
///
/// # Source
/// The viewer's OpenAPI document: `{"error"}` and the code in `X-Error-Code`; `libcommon` of `dataset-viewer` for the
/// codes of what is not supported.
#[derive(Debug)]
pub(super) enum ViewerError {
    /// An error of the viewer's own.
    Own {
        status: StatusCode,
        code: &'static str,
        message: String,
    },
    /// An error of the Hub below it.
    Hub(HubError),
}

/// What a viewer handler returns.
pub(super) type ViewerResult<T> = Result<T, ViewerError>;

impl ViewerError {
    fn own(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self::Own {
            status,
            code,
            message: message.into(),
        }
    }

    pub(super) fn missing_parameter(name: &str) -> Self {
        Self::own(
            StatusCode::UNPROCESSABLE_ENTITY,
            "MissingRequiredParameter",
            format!("Parameter '{name}' is required"),
        )
    }

    pub(super) fn wrong_parameter(name: &str, rule: &str) -> Self {
        Self::own(
            StatusCode::UNPROCESSABLE_ENTITY,
            "InvalidParameter",
            format!("Parameter '{name}' {rule}"),
        )
    }

    pub(super) fn unauthenticated() -> Self {
        Self::own(
            StatusCode::UNAUTHORIZED,
            "ExternalUnauthenticatedError",
            "The dataset does not exist, or is not accessible without authentication (private or gated). Please check \
             the spelling of the dataset name or retry with authentication.",
        )
    }

    pub(super) fn not_accessible() -> Self {
        Self::own(
            StatusCode::NOT_FOUND,
            "ExternalAuthenticatedError",
            "The dataset does not exist, or is not accessible with the current credentials (private or gated). Please \
             check the spelling of the dataset name or retry with other authentication credentials.",
        )
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::own(StatusCode::NOT_FOUND, "ResponseNotFound", message)
    }

    pub(super) fn private(dataset: &str) -> Self {
        Self::own(
            StatusCode::NOT_IMPLEMENTED,
            "NotSupportedPrivateRepositoryError",
            format!(
                "Not supported: dataset repository {dataset} is private. Private datasets are only supported for pro \
                 users and enterprise organizations."
            ),
        )
    }

    pub(super) fn disabled(dataset: &str) -> Self {
        Self::own(
            StatusCode::NOT_IMPLEMENTED,
            "NotSupportedDisabledViewerError",
            format!("Not supported: dataset viewer is disabled in {dataset} configuration."),
        )
    }

    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self::own(StatusCode::INTERNAL_SERVER_ERROR, "StreamingRowsError", message)
    }

    pub(super) fn not_served(what: &str) -> Self {
        Self::own(
            StatusCode::NOT_IMPLEMENTED,
            "NotServedLocally",
            format!("{what} is not served by hf-local: it makes no Parquet export"),
        )
    }
}

impl From<HubError> for ViewerError {
    fn from(error: HubError) -> Self {
        Self::Hub(error)
    }
}

impl IntoResponse for ViewerError {
    fn into_response(self) -> Response {
        match self {
            Self::Hub(error) => error.into_response(),
            Self::Own {
                status,
                code,
                message,
            } => {
                let body = serde_json::json!({ "error": message }).to_string();
                let json = HeaderValue::from_static("application/json");
                let headers = [
                    (header::CONTENT_TYPE, json),
                    (X_ERROR_CODE, HeaderValue::from_static(code)),
                ];
                (status, headers, body).into_response()
            }
        }
    }
}
