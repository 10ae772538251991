//! Passes requests on to the process of an app.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use futures::StreamExt;
use http::header::{
    AUTHORIZATION, CONNECTION, COOKIE, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, StatusCode, Uri};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::Process;
use crate::reply::{HubError, HubResult};
use crate::repos::Repo;
use crate::spaces::access;
use crate::spaces::run::AppRun;
use crate::state::AppState;

/// How long an app may take to answer whether it is there.
const PROBE: Duration = Duration::from_secs(5);
/// What belongs to one connection, and is not passed on.
const HOP: [HeaderName; 8] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
];

/// Answers a request as the app does, both ways as a stream. `path` is what follows the Space's address.
pub(in crate::spaces) async fn forward(
    hub: &AppState,
    repo: &Repo,
    run: Arc<AppRun>,
    process: &Process,
    path: &str,
    request: Request,
) -> HubResult<Response> {
    let open = run.open();
    let (mut parts, body) = request.into_parts();
    let path = hf_core::encode_path(path);
    let target = match parts.uri.query() {
        Some(query) => format!("/{path}?{query}"),
        None => format!("/{path}"),
    };
    parts.uri = target
        .parse::<Uri>()
        .map_err(|error| HubError::bad_request(format!("The path is none: {error}")))?;
    hide_the_visitor(&mut parts.headers);
    parts.headers.insert(HOST, host(process.port)?);
    let answer = send(process.port, Request::from_parts(parts, body)).await;
    let answer = answer.map_err(|error| {
        HubError::new(
            StatusCode::BAD_GATEWAY,
            format!("The app of {} did not answer: {error}", repo.id.path()),
        )
    })?;
    let (mut parts, body) = answer.into_parts();
    for name in &HOP {
        parts.headers.remove(name);
    }
    keep_cookies_to_the_app(&mut parts.headers, &access::path_of(&repo.id));
    // An app that streams for ever does not keep the Hub from ending, and the request is open until its last byte.
    let closing = hub.closing.clone();
    let pieces = Body::new(body)
        .into_data_stream()
        .take_until(async move { closing.cancelled().await })
        .inspect(move |_| {
            let _ = &open;
        });
    Ok(Response::from_parts(parts, Body::from_stream(pieces)))
}

/// What an app answers at its root; none when nothing does.
pub(super) async fn status(port: u16) -> Option<StatusCode> {
    let request = Request::builder()
        .uri("/")
        .header(HOST, host(port).ok()?)
        .body(Body::empty())
        .ok()?;
    let answer = tokio::time::timeout(PROBE, send(port, request)).await;
    answer.ok()?.ok().map(|answer| answer.status())
}

async fn send(port: u16, request: Request) -> io::Result<http::Response<hyper::body::Incoming>> {
    let tcp = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    tcp.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(tcp))
        .await
        .map_err(io::Error::other)?;
    // It ends with the answer, or when the answer is dropped.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(io::Error::other)
}

fn host(port: u16) -> HubResult<HeaderValue> {
    HeaderValue::from_str(&format!("{}:{port}", Ipv4Addr::LOCALHOST))
        .map_err(|error| HubError::bad_request(error.to_string()))
}

/// Takes out what the visitor showed to the Hub: an app does not get the token of whoever visits it.
fn hide_the_visitor(headers: &mut HeaderMap) {
    for name in &HOP {
        headers.remove(name);
    }
    headers.remove(AUTHORIZATION);
    headers.remove("x-hf-authorization");
    let kept: Vec<String> = headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .map(str::trim)
        .filter(|pair| pair.split('=').next() != Some(access::COOKIE_NAME))
        .map(str::to_owned)
        .collect();
    headers.remove(COOKIE);
    if let Ok(value) = HeaderValue::from_str(&kept.join("; "))
        && !kept.is_empty()
    {
        headers.insert(COOKIE, value);
    }
}

/// Cookies are not kept apart by port: one without a path would be sent to whatever else is on this machine.
fn keep_cookies_to_the_app(headers: &mut HeaderMap, path: &str) {
    let set: Vec<HeaderValue> = headers
        .get_all(SET_COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .filter_map(|text| {
            let mut parts: Vec<&str> = text.split(';').map(str::trim).collect();
            parts.retain(|part| {
                let name = part.split('=').next().unwrap_or_default();
                !name.eq_ignore_ascii_case("path") && !name.eq_ignore_ascii_case("domain")
            });
            let is_ours = parts
                .first()
                .is_none_or(|first| first.split('=').next().map(str::trim) == Some(access::COOKIE_NAME));
            let text = format!("{}; Path={path}", parts.join("; "));
            (!is_ours).then(|| HeaderValue::from_str(&text).ok()).flatten()
        })
        .collect();
    headers.remove(SET_COOKIE);
    for value in set {
        headers.append(SET_COOKIE, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_does_not_see_who_visits_it() {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::from_static("Bearer hf_secret"));
        headers.insert("x-hf-authorization", HeaderValue::from_static("Bearer hf_secret"));
        headers.insert(COOKIE, HeaderValue::from_static("a=1; hf_space=space.9.key; b=2"));
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        hide_the_visitor(&mut headers);
        assert_eq!(headers.len(), 1);
        assert_eq!(headers[COOKIE], "a=1; b=2");
        headers.insert(COOKIE, HeaderValue::from_static("hf_space=space.9.key"));
        hide_the_visitor(&mut headers);
        assert!(headers.is_empty());
    }

    #[test]
    fn cookies_of_an_app_stay_with_it() {
        let mut headers = HeaderMap::new();
        for cookie in [
            "session=1; Path=/; HttpOnly",
            "wide=2; Domain=127.0.0.1",
            "hf_space=stolen; Path=/",
        ] {
            headers.append(SET_COOKIE, HeaderValue::from_static(cookie));
        }
        keep_cookies_to_the_app(&mut headers, "/apps/ada/demo/");
        let kept: Vec<&str> = headers
            .get_all(SET_COOKIE)
            .iter()
            .map(|value| value.to_str().unwrap())
            .collect();
        assert_eq!(
            kept,
            [
                "session=1; HttpOnly; Path=/apps/ada/demo/",
                "wide=2; Path=/apps/ada/demo/"
            ]
        );
    }
}
