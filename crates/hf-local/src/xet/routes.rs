//! The routes of the CAS.
//!
//! # Source
//!
//! xet-core 1.8.0 `cas_client/remote_client.rs` and `cas_client/shard_upload_v2.rs`. Not offered, and answered 404, on
//! which clients take the older way: `/v1/xorb-grants` and `/v2/file-chunk-hashes`.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Query, RawQuery, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, head, post};
use bytes::Bytes;
use futures::StreamExt;
use http::header::{
    ACCEPT_RANGES, AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, HOST, RANGE, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, StatusCode};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::reconstruction::Plan;
use super::shard::{MAX_SHARD_BYTES, Progress};
use super::store::blocking;
use super::token::{FetchGrant, Refused};
use super::wire::{
    BatchReconstruction, FetchInfo, MultiRangeFetch, RangeDescriptor, ReconstructionV1, ReconstructionV2,
    ShardEvent, ShardUploaded, XorbUploaded,
};
use super::xorb::MAX_XORB_BODY_BYTES;
use super::{Result, XetError, XetHash, XetScope, XetStore};

/// How much of an upload is gathered before it is hashed and written, in bytes.
const BATCH_BYTES: usize = 512 * 1024;

/// How often a client that waits for a shard hears how far it is. It gives up after 120 s of silence.
const HEARTBEAT: Duration = Duration::from_secs(5);

/// The most files one batch reconstruction may ask for.
const MAX_BATCH_FILES: usize = 1000;

/// Returns the routes of the CAS of `store`, below the path [`XetStore::cas_url`] names.
pub fn router(store: XetStore) -> Router {
    routes(store)
}

/// As [`router`], to be merged into a router of any state.
pub(crate) fn routes<S: Clone + Send + Sync + 'static>(store: XetStore) -> Router<S> {
    let prefix = store.cas_path();
    let read = Router::new()
        .route("/v1/reconstructions", get(batch_reconstructions))
        .route("/v1/reconstructions/{file}", get(reconstruction_v1))
        .route("/v2/reconstructions/{file}", get(reconstruction_v2))
        .route("/v1/chunks/{prefix}/{hash}", get(chunk))
        .route("/v1/files/{file}", head(file))
        .route("/v1/telemetry", post(telemetry))
        .route_layer(middleware::from_fn_with_state(
            (store.clone(), XetScope::Read),
            authorize,
        ));
    let write = Router::new()
        .route("/v1/xorbs/{prefix}/{hash}", head(has_xorb).post(upload_xorb))
        .route("/v1/shards", post(upload_shard_v1))
        .route("/v2/shards", post(upload_shard_v2))
        .route_layer(middleware::from_fn_with_state(
            (store.clone(), XetScope::Write),
            authorize,
        ));
    // The URL carries its own permission.
    let signed = Router::new().route("/v1/fetch", get(fetch));
    let routes = read
        .merge(write)
        .merge(signed)
        .fallback(no_route)
        .with_state(store);
    Router::new().nest(&prefix, routes)
}

async fn authorize(
    State((store, scope)): State<(XetStore, XetScope)>,
    request: Request,
    next: Next,
) -> Response {
    let token = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map_or("", |(_, token)| token.trim());
    match store.check_token(token, scope) {
        Ok(()) => next.run(request).await,
        Err(Refused::Unauthorized) => {
            let body = "the xet token is missing, wrong or has ended; ask the Hub for a new one";
            (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], body).into_response()
        }
        Err(Refused::Forbidden) => (StatusCode::FORBIDDEN, "this xet token may only read").into_response(),
    }
}

impl IntoResponse for XetError {
    fn into_response(self) -> Response {
        let status = match &self {
            Self::NotFound { .. } => StatusCode::NOT_FOUND,
            Self::Rejected { .. } => StatusCode::BAD_REQUEST,
            Self::RangeNotSatisfiable { size } => {
                let headers = [(CONTENT_RANGE, format!("bytes */{size}"))];
                return (StatusCode::RANGE_NOT_SATISFIABLE, headers, self.to_string()).into_response();
            }
            Self::Io { .. } | Self::Index(_) | Self::Damaged { .. } => {
                tracing::error!(error = &self as &dyn std::error::Error, "the xet store failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        (status, self.to_string()).into_response()
    }
}

async fn no_route() -> Response {
    (StatusCode::NOT_FOUND, "this CAS has no such route").into_response()
}

/// A `Range` of one part: `bytes=a-b`, `bytes=a-` or `bytes=-n`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WantedRange {
    From { start: u64, last: Option<u64> },
    Last(u64),
}

impl WantedRange {
    /// Reads the header. One that is not understood is as good as none, as HTTP has it.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let (start, last) = headers
            .get(RANGE)?
            .to_str()
            .ok()?
            .strip_prefix("bytes=")?
            .split_once('-')?;
        if start.is_empty() {
            return Some(Self::Last(last.parse().ok()?));
        }
        let start = start.parse().ok()?;
        let last = if last.is_empty() {
            None
        } else {
            Some(last.parse().ok()?)
        };
        if last.is_some_and(|last| last < start) {
            None
        } else {
            Some(Self::From { start, last })
        }
    }

    /// The bytes of something `size` long; `None` when there are none.
    pub(super) fn resolve(self, size: u64) -> Option<Range<u64>> {
        let range = match self {
            Self::From { start, last } => start..last.map_or(size, |last| last.saturating_add(1).min(size)),
            Self::Last(length) => size.saturating_sub(length)..size,
        };
        (range.start < range.end).then_some(range)
    }
}

/// Where the client reached this CAS: fetch URLs must be reachable the same way.
fn base_url(store: &XetStore, headers: &HeaderMap) -> Result<String> {
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .ok_or_else(|| XetError::rejected("the request has no Host header"))?;
    let https = headers
        .get("x-forwarded-proto")
        .is_some_and(|proto| proto == "https");
    Ok(store.cas_url(&format!("{}://{host}", if https { "https" } else { "http" })))
}

fn fetch_url(store: &XetStore, base: &str, xorb: &XetHash, bytes: &Range<u64>) -> String {
    format!("{base}/v1/fetch?{}", store.fetch_query(xorb, bytes))
}

fn fetch_info(store: &XetStore, base: &str, plan: &Plan) -> BTreeMap<String, Vec<FetchInfo>> {
    let info = |(xorb, fetches): (&XetHash, &Vec<super::reconstruction::Fetch>)| {
        let fetches = fetches.iter().map(|fetch| FetchInfo {
            range: fetch.wire_chunks(),
            url: fetch_url(store, base, xorb, &fetch.bytes),
            url_range: fetch.wire_bytes(),
        });
        (xorb.to_string(), fetches.collect())
    };
    plan.fetches.iter().map(info).collect()
}

async fn reconstruction_v1(
    State(store): State<XetStore>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Json<ReconstructionV1>> {
    let base = base_url(&store, &headers)?;
    let plan = store.plan(&file.parse()?, WantedRange::of(&headers)).await?;
    let fetch_info = fetch_info(&store, &base, &plan);
    Ok(Json(ReconstructionV1 {
        offset_into_first_range: plan.offset_into_first_range,
        terms: plan.terms,
        fetch_info,
    }))
}

async fn reconstruction_v2(
    State(store): State<XetStore>,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Result<Json<ReconstructionV2>> {
    let base = base_url(&store, &headers)?;
    let plan = store.plan(&file.parse()?, WantedRange::of(&headers)).await?;
    // One range a URL: on this machine a request costs less than a multipart body.
    let xorbs = plan.fetches.iter().map(|(xorb, fetches)| {
        let fetches = fetches.iter().map(|fetch| MultiRangeFetch {
            url: fetch_url(&store, &base, xorb, &fetch.bytes),
            ranges: vec![RangeDescriptor {
                chunks: fetch.wire_chunks(),
                bytes: fetch.wire_bytes(),
            }],
        });
        (xorb.to_string(), fetches.collect())
    });
    let xorbs = xorbs.collect();
    Ok(Json(ReconstructionV2 {
        offset_into_first_range: plan.offset_into_first_range,
        terms: plan.terms,
        xorbs,
    }))
}

async fn batch_reconstructions(
    State(store): State<XetStore>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Json<BatchReconstruction>> {
    let base = base_url(&store, &headers)?;
    let query = query.unwrap_or_default();
    let files = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "file_id");
    let mut batch = BatchReconstruction::default();
    for (number, (_, file)) in files.enumerate() {
        if number == MAX_BATCH_FILES {
            return Err(XetError::rejected(format!(
                "ask for at most {MAX_BATCH_FILES} files at once"
            )));
        }
        let hash: XetHash = file.parse()?;
        match store.plan(&hash, None).await {
            Ok(plan) => {
                for (xorb, fetches) in fetch_info(&store, &base, &plan) {
                    batch.fetch_info.entry(xorb).or_default().extend(fetches);
                }
                batch.files.insert(hash.to_string(), plan.terms);
            }
            Err(XetError::NotFound { what: "file", .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Json(batch))
}

async fn fetch(
    State(store): State<XetStore>,
    Query(grant): Query<FetchGrant>,
    headers: HeaderMap,
) -> Result<Response> {
    if store.check_fetch(&grant).is_err() {
        return Ok((StatusCode::FORBIDDEN, "this URL was not signed here or has ended").into_response());
    }
    let (file, size) = store.open_raw(grant.xorb.parse()?).await?;
    let wanted = WantedRange::of(&headers);
    let range = match wanted {
        None => grant.start..grant.end.min(size),
        Some(wanted) => wanted
            .resolve(size)
            .ok_or(XetError::RangeNotSatisfiable { size })?,
    };
    if range.start < grant.start || range.end > grant.end {
        return Ok((StatusCode::FORBIDDEN, "this URL was signed for another range").into_response());
    }
    let mut response = Response::new(Body::from_stream(store.stream_raw(file, range.clone())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(range.end - range.start));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if wanted.is_some() {
        let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        if let Ok(content_range) = HeaderValue::from_str(&content_range) {
            headers.insert(CONTENT_RANGE, content_range);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    Ok(response)
}

async fn chunk(
    State(store): State<XetStore>,
    Path((_prefix, hash)): Path<(String, String)>,
) -> Result<Response> {
    Ok(match store.describe_chunk(&hash.parse()?).await? {
        Some(shard) => shard.into_response(),
        None => (StatusCode::NOT_FOUND, "no known xorb has this chunk").into_response(),
    })
}

async fn file(State(store): State<XetStore>, Path(file): Path<String>) -> Result<Response> {
    let hash = file.parse()?;
    let file = store
        .file(&hash)
        .await?
        .ok_or(XetError::NotFound { what: "file", hash })?;
    Ok([(CONTENT_LENGTH, file.size)]
        .map(|(name, size)| (name, size.to_string()))
        .into_response())
}

async fn telemetry() -> StatusCode {
    StatusCode::OK
}

async fn has_xorb(
    State(store): State<XetStore>,
    Path((_prefix, hash)): Path<(String, String)>,
) -> Result<StatusCode> {
    let hash: XetHash = hash.parse()?;
    let shelf = Arc::clone(store.shelf());
    let found = blocking(move || shelf.has_xorb(&hash)).await?;
    Ok(if found {
        StatusCode::OK
    } else {
        StatusCode::NOT_FOUND
    })
}

async fn upload_xorb(
    State(store): State<XetStore>,
    Path((_prefix, hash)): Path<(String, String)>,
    body: Body,
) -> Result<Json<XorbUploaded>> {
    let hash: XetHash = hash.parse()?;
    let shelf = Arc::clone(store.shelf());
    let known = blocking(move || shelf.has_xorb(&hash)).await?;
    let mut receiver = None;
    if !known {
        let shelf = Arc::clone(store.shelf());
        receiver = Some(blocking(move || shelf.receive(hash)).await?);
    }

    // The body of a known xorb is read as well: a client that is cut off while it sends takes that for a fault.
    let mut pieces = body.into_data_stream();
    let (mut total, mut gathered, mut batch) = (0_u64, 0, Vec::new());
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| XetError::rejected(format!("the upload broke off: {error}")))?;
        total += piece.len() as u64;
        if total > MAX_XORB_BODY_BYTES {
            return Err(XetError::rejected(format!(
                "a xorb may take {MAX_XORB_BODY_BYTES} bytes; this one takes more"
            )));
        }
        gathered += piece.len();
        batch.push(piece);
        if gathered >= BATCH_BYTES {
            receiver = push(receiver, std::mem::take(&mut batch)).await?;
            gathered = 0;
        }
    }
    if let Some(receiver) = push(receiver, batch).await? {
        let shelf = Arc::clone(store.shelf());
        blocking(move || shelf.keep(&hash, receiver)).await?;
    }
    Ok(Json(XorbUploaded { was_inserted: !known }))
}

async fn push(
    receiver: Option<super::xorb::XorbReceiver>,
    batch: Vec<Bytes>,
) -> Result<Option<super::xorb::XorbReceiver>> {
    let Some(mut receiver) = receiver else {
        return Ok(None);
    };
    blocking(move || receiver.push(&batch).map(|()| Some(receiver))).await
}

async fn shard_body(body: Body) -> Result<Bytes> {
    axum::body::to_bytes(body, MAX_SHARD_BYTES)
        .await
        .map_err(|error| {
            XetError::rejected(format!(
                "the shard did not arrive (it may have {MAX_SHARD_BYTES} bytes): {error}"
            ))
        })
}

async fn upload_shard_v1(State(store): State<XetStore>, body: Body) -> Result<Json<ShardUploaded>> {
    let shard = shard_body(body).await?;
    let new = store.register_shard(shard, Arc::default()).await?;
    Ok(Json(ShardUploaded {
        result: u8::from(new),
    }))
}

async fn upload_shard_v2(State(store): State<XetStore>, body: Body) -> Result<Response> {
    let shard = shard_body(body).await?;
    let (sender, receiver) = mpsc::channel::<ShardEvent>(4);
    // On its own task: a client that goes away does not undo what it has sent.
    tokio::spawn(async move {
        let progress = Arc::<Progress>::default();
        let validating = |progress: &Progress| ShardEvent::Validating {
            verified: progress.verified.load(Ordering::Relaxed),
            total: progress.total.load(Ordering::Relaxed),
        };
        let registering = store.register_shard(shard, Arc::clone(&progress));
        tokio::pin!(registering);
        let outcome = loop {
            sender.send(validating(&progress)).await.ok();
            match tokio::time::timeout(HEARTBEAT, &mut registering).await {
                Ok(outcome) => break outcome,
                Err(_still_at_it) => {}
            }
        };
        match outcome {
            Ok(_new) => {
                sender.send(validating(&progress)).await.ok();
                sender
                    .send(ShardEvent::Committing { stage: "syncing" })
                    .await
                    .ok();
                sender.send(ShardEvent::Result).await.ok();
            }
            Err(error) => {
                let retryable = matches!(error, XetError::Io { .. } | XetError::Index(_));
                if !matches!(error, XetError::Rejected { .. }) {
                    tracing::error!(
                        error = &error as &dyn std::error::Error,
                        "a shard could not be registered"
                    );
                }
                sender
                    .send(ShardEvent::Error {
                        message: error.to_string(),
                        retryable,
                    })
                    .await
                    .ok();
            }
        }
    });
    let lines = ReceiverStream::new(receiver).map(|event| {
        let mut line = serde_json::to_vec(&event).map_err(io::Error::other)?;
        line.push(b'\n');
        Ok::<_, io::Error>(line)
    });
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(value: &'static str) -> Option<WantedRange> {
        WantedRange::of(&HeaderMap::from_iter([(RANGE, HeaderValue::from_static(value))]))
    }

    #[test]
    fn a_range_header_means_what_http_says() {
        let resolved = |value, size| wanted(value).and_then(|range| range.resolve(size));
        assert_eq!(resolved("bytes=0-0", 10), Some(0..1));
        assert_eq!(resolved("bytes=2-", 10), Some(2..10));
        assert_eq!(resolved("bytes=2-99", 10), Some(2..10));
        assert_eq!(resolved("bytes=-3", 10), Some(7..10));
        assert_eq!(resolved("bytes=-30", 10), Some(0..10));
        assert_eq!(resolved("bytes=10-", 10), None);
        assert_eq!(resolved("bytes=-0", 10), None);
        for nonsense in ["bytes=5-2", "bytes=a-b", "items=0-1", "bytes=1", "bytes=0-1,3-4"] {
            assert_eq!(wanted(nonsense), None, "{nonsense}");
        }
    }
}
