//! What handlers take from a request; whatever is wrong with it is a problem.

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::request::Parts;
use http::{StatusCode, header};
use serde::de::DeserializeOwned;

use crate::problem::{Code, Problem};

/// A JSON body.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = json_bytes(request, state).await?;
        serde_json::from_slice(&body)
            .map(Self)
            .map_err(|error| match error.classify() {
                // The message of such an error may repeat a value; of the value only the place is told.
                serde_json::error::Category::Data => Problem::new(Code::Invalid, shape_of(&error)),
                _ => Problem::new(
                    Code::BadRequest,
                    format!(
                        "the body is no JSON: line {}, column {}",
                        error.line(),
                        error.column()
                    ),
                ),
            })
    }
}

/// The bytes of a body that says it is JSON.
///
/// # Errors
/// [`Problem`] of code `unsupported_media_type`, `too_large` or `bad_request`.
pub(crate) async fn json_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(Problem::new(
            Code::UnsupportedMediaType,
            "the body is to be application/json",
        ));
    }
    Bytes::from_request(request, state).await.map_err(|rejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            Problem::new(Code::TooLarge, "the body is larger than this server takes")
        } else {
            Problem::new(Code::BadRequest, "the body broke off")
        }
    })
}

/// What is wrong with a value, without the value: it may be a secret in the wrong place.
fn shape_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let known = ["missing field", "unknown field", "duplicate field"];
    if known.iter().any(|words| text.starts_with(words)) {
        return text;
    }
    let expected = text.split(", expected ").nth(1).unwrap_or("another value");
    let expected = expected.split(" at line ").next().unwrap_or(expected);
    format!(
        "at line {}, column {}: expected {expected}",
        error.line(),
        error.column()
    )
}

/// The parameters after the `?`.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(Code::BadRequest, rejection.body_text())),
        }
    }
}

/// The names in the path.
pub(crate) struct Path<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::new(Code::BadRequest, rejection.body_text())),
        }
    }
}
