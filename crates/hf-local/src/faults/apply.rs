//! Faults on their way into a request.

use std::io;
use std::time::Duration;

use axum::body::{Body, HttpBody};
use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};
use http::StatusCode;
use http::header::RETRY_AFTER;

use super::FaultKind;
use crate::listener::Peer;
use crate::reply::HubError;
use crate::state::AppState;

/// Serves a request, or lets go wrong what the rules say.
pub(crate) async fn apply(
    State(hub): State<AppState>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path_and_query().map_or("", |path| path.as_str());
    let fault = if path.starts_with("/_local/") {
        None
    } else {
        hub.faults.take(request.method().as_str(), path)
    };
    let Some(fault) = fault else {
        return next.run(request).await;
    };
    tracing::info!(?fault, path, "a fault was asked for here");
    match fault {
        FaultKind::Status { code, retry_after } => {
            let status = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let error = HubError::new(status, format!("A fault was asked for: status {code}"));
            match retry_after {
                Some(seconds) => error.with_header(RETRY_AFTER, &seconds.to_string()),
                None => error,
            }
            .into_response()
        }
        FaultKind::ResetBefore => {
            peer.reset_after(0);
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        FaultKind::ResetAfterBytes { n } => {
            let response = next.run(request).await;
            peer.reset_after(n);
            response
        }
        FaultKind::Stall { ms } => {
            tokio::time::sleep(Duration::from_millis(ms)).await;
            next.run(request).await
        }
        FaultKind::HoldReply { ms } => {
            // A client that goes away while it waits does not undo what was served.
            let response = next.run(request).await;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            response
        }
        FaultKind::Truncate { n } => truncate(next.run(request).await, n),
        FaultKind::CreatedBut500 => {
            let response = next.run(request).await;
            tracing::debug!(status = %response.status(), "served, and answered as a 500");
            HubError::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "A fault was asked for: served, then status 500",
            )
            .into_response()
        }
    }
}

/// Ends a body after `n` bytes; the length in the head stays what it was.
fn truncate(response: Response, n: u64) -> Response {
    let (mut parts, body) = response.into_parts();
    if let Some(exact) = body.size_hint().exact() {
        parts.headers.insert(http::header::CONTENT_LENGTH, exact.into());
    }
    let mut left = n;
    let cut = body
        .into_data_stream()
        .map(move |chunk| match chunk {
            Ok(mut chunk) if (chunk.len() as u64) <= left => {
                left -= chunk.len() as u64;
                Ok(std::mem::take(&mut chunk))
            }
            Ok(chunk) => {
                let part = chunk.slice(..usize::try_from(left).unwrap_or(0));
                left = 0;
                Ok(part)
            }
            Err(error) => Err(io::Error::other(error)),
        })
        .take_while(|chunk| std::future::ready(!matches!(chunk, Ok(part) if part.is_empty())));
    let end = stream::once(std::future::ready(Err(io::Error::other(
        "a fault was asked for: the body ends here",
    ))));
    Response::from_parts(parts, Body::from_stream(cut.chain(end)))
}
