//! Request bodies, with the Hub's words when they are wrong.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::StatusCode;
use serde::de::DeserializeOwned;

use crate::reply::{HubError, HubResult};

/// A JSON body, whatever the content type says (clients send it under several).
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = HubError;

    async fn from_request(request: Request, state: &S) -> HubResult<Self> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| {
            let status = rejection.status();
            match status {
                StatusCode::PAYLOAD_TOO_LARGE => HubError::new(status, "The request body is too large"),
                _ => HubError::bad_request("The request body could not be read"),
            }
        })?;
        // An absent body reads as an empty object: some calls have only optional fields.
        let text: &[u8] = if bytes.iter().all(u8::is_ascii_whitespace) {
            b"{}"
        } else {
            &bytes
        };
        serde_json::from_slice(text)
            .map(Self)
            .map_err(|error| HubError::bad_request(format!("\u{2716} Invalid request body: {error}")))
    }
}
