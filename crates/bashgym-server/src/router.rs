//! All routes in one list, and what lies around each of them.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use bashgym_core::events::EventReader;
use bashgym_core::store::MemoryStore;
use futures::FutureExt;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, field};
use utoipa::OpenApi;
use uuid::Uuid;

use crate::live::{self, EventHub, HubPolicy, LiveAccess, LiveLimits, LiveState};
use crate::openapi::ApiDoc;
use crate::problem::{Code, Problem};
use crate::security::{Asking, PUBLIC, harden};
use crate::state::AppState;
use crate::{dashboard, gateway, openapi, paths, replay, routes};

/// The largest body that is taken.
pub(crate) const LARGEST_BODY: usize = 2 * 1024 * 1024;
/// The longest a request may take until the head of its answer.
const LONGEST_REQUEST: Duration = Duration::from_mins(1);
/// The largest answer that gets a validator.
const LARGEST_TAGGED: u64 = 8 * 1024 * 1024;

/// Every route, as method and path, for whoever wants to walk them all.
pub type Routes = Vec<(Method, String)>;

tokio::task_local! {
    static AROUND: Around;
}

/// What is known of the request that is being answered.
struct Around {
    id: String,
    /// Whether it is asked in `OpenAI`'s way.
    openai: bool,
}

/// The number of the request that is being answered.
pub(crate) fn request_id() -> Option<String> {
    AROUND.try_with(|around| around.id.clone()).ok()
}

/// Whether the request that is being answered is asked in `OpenAI`'s way.
pub(crate) fn speaks_openai() -> bool {
    AROUND.try_with(|around| around.openai).unwrap_or_default()
}

/// The address that a request came from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

/// The description of the API, from the list of its routes.
pub(crate) fn description() -> &'static utoipa::openapi::OpenApi {
    static DESCRIPTION: OnceLock<utoipa::openapi::OpenApi> = OnceLock::new();
    DESCRIPTION.get_or_init(|| {
        let none = Arc::new(MemoryStore::default());
        let reader = EventReader::new(none.clone(), none);
        let clock = Arc::new(hf_core::SystemClock::new());
        let hub = EventHub::new(reader, clock, HubPolicy::default());
        let live = LiveState::new(hub, LiveLimits::default(), CancellationToken::new());
        let mut whole = ApiDoc::openapi();
        whole.merge(routes::all().into_openapi());
        whole.merge(live::openapi_routes(live).into_openapi());
        openapi::add_common_answers(&mut whole);
        openapi::name_operations(&mut whole);
        whole
    })
}

/// The description of the API as JSON, with a line for each value: the file that clients' types are made of.
///
/// # Errors
/// When the description is no JSON.
pub fn openapi_json() -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(description()).map(|text| text + "\n")
}

/// Every route of the server with each of its methods: the described ones, and those that are not.
pub fn routes_of() -> Routes {
    let mut all = Routes::new();
    for (path, item) in description().paths.paths.clone() {
        let operations = [
            (Method::GET, item.get),
            (Method::POST, item.post),
            (Method::PUT, item.put),
            (Method::DELETE, item.delete),
            (Method::PATCH, item.patch),
        ];
        for (method, operation) in operations {
            if operation.is_some() {
                all.push((method, path.clone()));
            }
        }
    }
    for (method, path) in PUBLIC {
        if !all.iter().any(|(m, p)| m == method && p == path) {
            all.push((method.clone(), (*path).to_owned()));
        }
    }
    all
}

/// The whole service.
pub(crate) fn app(state: &AppState, live: Router) -> Router {
    let (described, _) = routes::all().split_for_parts();
    described
        .merge(routes::undescribed())
        .with_state(state.clone())
        .merge(live)
        .fallback(dashboard::answer)
        .method_not_allowed_fallback(async || {
            Problem::new(Code::MethodNotAllowed, "this path does not take this method")
        })
        .layer(DefaultBodyLimit::max(LARGEST_BODY))
        .layer(from_fn_with_state(state.clone(), replay::layer))
        .layer(from_fn(tag))
        .layer(from_fn_with_state(state.clone(), around))
}

/// Rewrites a request before it is routed.
pub(crate) fn before_routing(mut request: Request) -> Request {
    let uri = std::mem::take(request.uri_mut());
    *request.uri_mut() = paths::join_names(uri);
    request
}

/// What lies around each request: its number, the guard, a limit of time, the log, the counters, the headers.
async fn around(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().to_string();
    let began = state.parts.clock.elapsed();
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let is_page = is_page(request.uri().path());
    let openai = gateway::is_ours(request.uri().path());
    // A method is any word that a client likes: only known ones become a label.
    let known = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    let label = known.into_iter().find(|known| *known == method.as_str());
    let label = label.unwrap_or("other");
    let span = span_of(&state, &request, label, &route, &id);
    let answer = guarded(&state, request, next, openai).instrument(span.clone());
    let known = Around {
        id: id.clone(),
        openai,
    };
    let mut response = AROUND.scope(known, answer).await;
    let status = response.status().as_u16();
    span.record("http.response.status_code", i64::from(status));
    if response.status().is_server_error() {
        span.record("otel.status_code", "ERROR");
    }
    let took = state.parts.clock.elapsed().saturating_sub(began);
    state.meter.answered(label, &route, status, took);
    // The route, not the path: a path may name what is private, and a query may hold a code.
    tracing::info!(request_id = %id, %method, %route, status, ms = took.as_millis(), "answered");
    let headers = response.headers_mut();
    harden(headers, is_page);
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    response
}

/// The span of a request, below the one that its caller names.
fn span_of(state: &AppState, request: &Request, method: &str, route: &str, id: &str) -> Span {
    let span = tracing::info_span!(
        target: hf_core::SPANS,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = field::Empty,
        request.id = id,
    );
    if let (Some(join), false) = (state.parts.join_trace, span.is_disabled()) {
        join(&span, request.headers());
    }
    span
}

fn is_page(path: &str) -> bool {
    !(path.starts_with("/api") || gateway::is_ours(path) || path == "/metrics" || path == "/login")
}

async fn guarded(state: &AppState, mut request: Request, next: Next, openai: bool) -> Response {
    let (largest, longest) = if openai {
        (gateway::LARGEST_BODY, gateway::LONGEST_REQUEST)
    } else {
        (LARGEST_BODY, LONGEST_REQUEST)
    };
    let peer = request
        .extensions()
        .get::<Peer>()
        .map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |peer| peer.0);
    let caller = state.guard.check(&Asking {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        peer,
    });
    match caller {
        Ok(caller) => {
            if caller.is_known() {
                request.extensions_mut().insert(LiveAccess);
            }
            request.extensions_mut().insert(caller);
            request.extensions_mut().insert(Peer(peer));
        }
        Err(problem) => return problem.into_response(),
    }
    let length = request.headers().get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > largest as u64) {
        return Problem::new(Code::TooLarge, "the body is larger than this server takes").into_response();
    }
    let work = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(longest, work).await {
        Ok(Ok(response)) => response,
        Ok(Err(_)) => Problem::new(Code::Internal, "a part of the server failed").into_response(),
        Err(_) => Problem::new(Code::TimedOut, "the request took too long").into_response(),
    }
}

/// Gives answers to GET a validator, and says when nothing changed since.
async fn tag(request: Request, next: Next) -> Response {
    let wanted = request.headers().get(header::IF_NONE_MATCH).cloned();
    let is_get = request.method() == Method::GET;
    let response = next.run(request).await;
    let json = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json");
    let size = response.body().size_hint().exact();
    if !is_get
        || !json
        || response.status() != StatusCode::OK
        || size.is_none_or(|size| size > LARGEST_TAGGED)
    {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return Problem::new(Code::Internal, "the answer broke off").into_response();
    };
    let hash = blake3::hash(&body).to_hex();
    let etag = format!("\"{}\"", &hash[..32]);
    let known = wanted.as_ref().and_then(|wanted| wanted.to_str().ok());
    let same = known.is_some_and(|known| {
        known
            .split(',')
            .any(|one| matches!(one.trim().trim_start_matches("W/"), tag if tag == etag || tag == "*"))
    });
    if let Ok(value) = HeaderValue::from_str(&etag) {
        parts.headers.insert(header::ETAG, value);
    }
    if same {
        parts.status = StatusCode::NOT_MODIFIED;
        parts.headers.remove(header::CONTENT_TYPE);
        parts.headers.remove(header::CONTENT_LENGTH);
        return Response::from_parts(parts, Body::empty());
    }
    Response::from_parts(parts, Body::from(body))
}
