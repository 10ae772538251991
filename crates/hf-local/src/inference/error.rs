//! Refusals in the two shapes of the router: a text, and OpenAI's object.

use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use serde_json::json;

use super::engine::InferenceFailure;
use crate::reply::HubError;

/// What a route of inference answers when it refuses.
#[derive(Debug)]
pub(super) enum Refusal {
    /// `{"error": "<text>"}`, as the Hub's own checks answer.
    Hub(HubError),
    /// `{"error": {"message", "type", "param", "code"}}`, as OpenAI's API answers.
    Object {
        status: StatusCode,
        message: String,
        param: Option<&'static str>,
        code: &'static str,
    },
}

pub(super) type Answer<T> = Result<T, Refusal>;

impl Refusal {
    pub(super) fn text(status: StatusCode, message: impl Into<String>) -> Self {
        Self::Hub(HubError::new(status, message))
    }

    fn about_model(status: StatusCode, message: String, code: &'static str) -> Self {
        let param = Some("model");
        Self::Object {
            status,
            message,
            param,
            code,
        }
    }

    /// No provider serves the model.
    pub(super) fn not_supported(model: &str) -> Self {
        let message =
            format!("The requested model '{model}' is not supported by any provider you have enabled.");
        Self::about_model(StatusCode::BAD_REQUEST, message, "model_not_supported")
    }

    /// The provider after the colon is none.
    pub(super) fn no_such_provider(provider: &str) -> Self {
        let message =
            format!("the provider you attempted to explicitly specify '{provider}' is not a valid provider.");
        Self::about_model(StatusCode::BAD_REQUEST, message, "model_not_supported")
    }

    /// There is no such model, or none that the caller may know of.
    pub(super) fn not_found(model: &str) -> Self {
        let message = format!("The requested model '{model}' does not exist");
        Self::about_model(StatusCode::NOT_FOUND, message, "model_not_found")
    }

    /// A parameter that can't be served.
    pub(super) fn invalid(param: &'static str, message: impl Into<String>) -> Self {
        Self::Object {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            message: message.into(),
            param: Some(param),
            code: "invalid_value",
        }
    }

    /// What it says, for whoever reads words and no status.
    pub(super) fn into_words(self) -> String {
        match self {
            Self::Hub(error) => error.message().to_owned(),
            Self::Object { message, .. } => message,
        }
    }

    /// Too much is asked at once.
    pub(super) fn busy() -> Self {
        Self::Hub(
            HubError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "All models of this machine are busy and many requests wait already: try again in a moment",
            )
            .with_header(RETRY_AFTER, "1"),
        )
    }
}

impl From<HubError> for Refusal {
    fn from(error: HubError) -> Self {
        Self::Hub(error)
    }
}

impl From<InferenceFailure> for Refusal {
    fn from(failure: InferenceFailure) -> Self {
        match failure {
            InferenceFailure::Request(message) => Self::Object {
                status: StatusCode::BAD_REQUEST,
                message,
                param: None,
                code: "invalid_request",
            },
            InferenceFailure::Model(message) => Self::text(
                StatusCode::BAD_REQUEST,
                format!("The files of this model can't be served: {message}"),
            ),
            InferenceFailure::Engine(message) => {
                tracing::error!(error = message, "the inference engine failed");
                Self::text(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The model failed: the log of hf-local says why",
                )
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Hub(error) => error.into_response(),
            Self::Object {
                status,
                message,
                param,
                code,
            } => {
                let body = json!({"error": {
                    "message": message, "type": "invalid_request_error", "param": param, "code": code}});
                (status, [(CONTENT_TYPE, "application/json")], body.to_string()).into_response()
            }
        }
    }
}
