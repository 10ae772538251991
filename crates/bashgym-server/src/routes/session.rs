//! Signing in: what a browser needs in place of the key, and the proof that this server has it.

use axum::Extension;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::{Json, Query};
use crate::problem::{Code, Failures, Problem, Refusals};
use crate::router::Peer;
use crate::security::{COOKIE, Caller};
use crate::state::AppState;

const HALF_A_DAY: u32 = 12 * 60 * 60;

/// What is to be proved.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Challenge {
    /// Text that nobody used before.
    #[schema(min_length = 16, max_length = 128)]
    nonce: String,
}

/// The proof.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Proof {
    /// Keyed BLAKE3 of the server's port and the nonce, in hexadecimal.
    proof: String,
}

/// Proves that this server has the key, before the key is sent to it.
#[utoipa::path(post, path = "/api/proof", tag = "server", security(()), request_body = Challenge,
    responses((status = 200, body = Proof), Failures, Refusals))]
pub(crate) async fn proof(
    State(state): State<AppState>,
    Json(challenge): Json<Challenge>,
) -> Result<axum::Json<Proof>, Problem> {
    if !(16..=128).contains(&challenge.nonce.chars().count()) {
        return Err(Problem::new(Code::Invalid, "a nonce is 16 to 128 characters"));
    }
    let proof = state.guard.prove(&challenge.nonce);
    Ok(axum::Json(Proof { proof }))
}

/// A session of a browser.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BrowserSession {
    /// What changing requests carry in `X-CSRF-Token`; null for a caller with the key, who needs none.
    #[schema(required)]
    csrf_token: Option<String>,
}

fn cookie(value: &str, age_secs: u32) -> HeaderValue {
    let text = format!("{COOKIE}={value}; HttpOnly; SameSite=Strict; Path=/; Max-Age={age_secs}");
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The session of this browser.
#[utoipa::path(get, path = "/api/session", tag = "server", responses((status = 200, body = BrowserSession), Failures))]
pub(crate) async fn show(Extension(caller): Extension<Caller>) -> axum::Json<BrowserSession> {
    let csrf_token = match caller {
        Caller::Browser(_, session) => Some(session.csrf),
        Caller::Key | Caller::Nobody => None,
    };
    axum::Json(BrowserSession { csrf_token })
}

/// Begins a session of a browser: the answer sets its cookie.
#[utoipa::path(post, path = "/api/session", tag = "server",
    responses((status = 201, body = BrowserSession), Failures))]
pub(crate) async fn begin(State(state): State<AppState>) -> Response {
    let (secret, session) = state.guard.begin_session();
    let csrf_token = Some(session.csrf);
    let cookie = [(header::SET_COOKIE, cookie(&secret, HALF_A_DAY))];
    (
        StatusCode::CREATED,
        cookie,
        axum::Json(BrowserSession { csrf_token }),
    )
        .into_response()
}

/// Ends the session of this browser.
#[utoipa::path(delete, path = "/api/session", tag = "server",
    responses((status = 204, description = "It is over"), Failures))]
pub(crate) async fn end(State(state): State<AppState>, Extension(caller): Extension<Caller>) -> Response {
    if let Caller::Browser(secret, _) = caller {
        state.guard.end_session(&secret);
    }
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie("", 0))]).into_response()
}

/// A link for a browser.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct LoginLink {
    /// The path with its code; it works once and for a minute.
    path: String,
}

/// Makes a link that signs a browser in, once and within a minute. The key itself is in no address.
#[utoipa::path(post, path = "/api/session/code", tag = "server",
    responses((status = 201, body = LoginLink), Failures))]
pub(crate) async fn code(State(state): State<AppState>) -> (StatusCode, axum::Json<LoginLink>) {
    let path = format!("/login?code={}", state.guard.make_code());
    (StatusCode::CREATED, axum::Json(LoginLink { path }))
}

#[derive(Debug, Deserialize)]
pub(super) struct LoginQuery {
    code: String,
}

/// `GET /login?code=`: signs a browser in and goes to the page.
pub(super) async fn login(
    State(state): State<AppState>,
    Extension(peer): Extension<Peer>,
    Query(query): Query<LoginQuery>,
) -> Result<Response, Problem> {
    state.guard.take_code(&query.code, peer.0)?;
    let (secret, _) = state.guard.begin_session();
    let cookie = [(header::SET_COOKIE, cookie(&secret, HALF_A_DAY))];
    Ok((cookie, Redirect::to("/")).into_response())
}
