//! What happens to every request and reply, whatever the route.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue, ORIGIN};
use http::{HeaderMap, Method};
use url::Url;
use uuid::Uuid;

use crate::reply::{ErrorText, HubError};
use crate::state::{AppState, Hub};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_AMZN_TRACE_ID: HeaderName = HeaderName::from_static("x-amzn-trace-id");

/// Refuses what a browser on another site could have sent, then finishes the reply.
pub(crate) async fn around(State(hub): State<AppState>, request: Request, next: Next) -> Response {
    let request_id = request_id(&hub, request.headers());
    let web = is_web(request.uri().path());
    let counted = hub.rates.count(&hub, &request);
    let mut response = match refuse_foreign(&request).and(counted.refused) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    if web && let Some(ErrorText(text)) = response.extensions_mut().remove() {
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        headers.remove(CONTENT_LENGTH);
        *response.body_mut() = Body::from(text);
    }
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, request_id);
    for (name, value) in counted.headers {
        headers.insert(name, value);
    }
    response
}

/// As [`around`], for the payload origin: no rate limits there.
pub(crate) async fn around_payload(State(hub): State<AppState>, request: Request, next: Next) -> Response {
    let request_id = request_id(&hub, request.headers());
    let mut response = match refuse_foreign(&request) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    response.headers_mut().insert(X_REQUEST_ID, request_id);
    response
}

/// Returns whether errors of a path are plain text.
fn is_web(path: &str) -> bool {
    !path.starts_with("/api/") && ["/resolve/", "/raw/"].iter().any(|word| path.contains(word))
}

fn request_id(hub: &Hub, headers: &HeaderMap) -> HeaderValue {
    let seconds = hub.clock.now().as_second();
    let fresh = Uuid::new_v4().simple().to_string();
    let root = format!("Root=1-{seconds:08x}-{}", fresh.get(..24).unwrap_or(&fresh));
    let echoed = headers
        .get(X_AMZN_TRACE_ID)
        .and_then(|value| value.to_str().ok())
        .filter(|id| id.len() <= 128);
    let text = match echoed {
        Some(id) => format!("{root};{id}"),
        None => root,
    };
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("unknown"))
}

/// Keeps web pages out: this server holds accounts that can start processes. A page of another site reaches it by its
/// own name that resolves to loopback (wrong Host), or directly (foreign Origin).
fn refuse_foreign(request: &Request) -> Result<(), HubError> {
    let host = request.headers().get(HOST).map_or_else(
        || request.uri().host().unwrap_or_default().as_bytes(),
        |v| v.as_bytes(),
    );
    if !str::from_utf8(host).is_ok_and(|host| is_loopback_origin(&format!("http://{host}"))) {
        return Err(HubError::forbidden(
            "This Hub answers on loopback names only (127.0.0.1, localhost, ::1): the Host header names another",
        ));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    let foreign_origin = request
        .headers()
        .get(ORIGIN)
        .is_some_and(|origin| !origin.to_str().is_ok_and(is_loopback_origin));
    let foreign_fetch = request
        .headers()
        .get("sec-fetch-site")
        .is_some_and(|site| site == "cross-site");
    if foreign_origin || foreign_fetch {
        return Err(HubError::forbidden(
            "Requests that change something are not taken from pages of other sites",
        ));
    }
    Ok(())
}

fn is_loopback_origin(origin: &str) -> bool {
    Url::parse(origin).is_ok_and(|url| match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name == "datasets-server.localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_loopback_names_are_taken() {
        for good in [
            "http://127.0.0.1:80",
            "http://localhost",
            "https://LOCALHOST:1",
            "http://[::1]:5",
            "http://127.9.9.9",
        ] {
            assert!(is_loopback_origin(good), "{good}");
        }
        for bad in [
            "null",
            "",
            "http://example.org",
            "http://127.0.0.1.example.org",
            "http://localhost.evil",
            "http://",
        ] {
            assert!(!is_loopback_origin(bad), "{bad}");
        }
    }
}
