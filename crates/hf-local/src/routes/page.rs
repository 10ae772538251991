//! Lists in pages: the next one is named in a `Link` header.

use axum::Json;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use http::header::LINK;
use http::{HeaderValue, Uri};
use serde::Serialize;

use super::query::Params;
use crate::reply::{HubError, HubResult};
use crate::state::Hub;

/// Hides where a list goes on.
pub(crate) fn cursor(place: &str) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(place)
}

/// Reads a cursor back.
///
/// # Errors
/// 400 if this Hub did not make it.
pub(crate) fn place(cursor: &str) -> HubResult<String> {
    BASE64_URL_SAFE_NO_PAD
        .decode(cursor)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| HubError::bad_request("Invalid cursor"))
}

/// Answers a page; `next` is the key and value that ask for the one after it.
pub(crate) fn reply<T: Serialize>(
    hub: &Hub,
    uri: &Uri,
    params: &Params,
    items: &T,
    next: Option<(&str, &str)>,
) -> Response {
    let mut response = Json(items).into_response();
    if let Some((key, value)) = next {
        let url = format!(
            "<{}{}?{}>; rel=\"next\"",
            hub.origins.hub,
            uri.path(),
            params.with(key, value)
        );
        if let Ok(url) = HeaderValue::from_str(&url) {
            response.headers_mut().insert(LINK, url);
        }
    }
    response
}
