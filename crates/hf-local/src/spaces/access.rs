//! Who may use the app of a Space.
//!
//! An app is on another origin than the Hub. Its visitors show a token of an account (as `Authorization`, or as
//! `X-HF-Authorization`, where Gradio's clients put it), or a key: it opens one Space for a while and nothing else, so that it can be
//! given to a browser.
//!
//! # Source
//! `gradio_client` 2.7.2 `client.py`; Hub OpenAPI, `GET /api/spaces/{namespace}/{repo}/jwt`. The Hub's keys are JWTs; these are
//! opaque.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::response::{IntoResponse, Redirect, Response};
use http::HeaderMap;
use http::header::{COOKIE, SET_COOKIE};
use http::request::Parts;
use serde_json::{Value, json};

use super::routes::{Named, id_of};
use crate::extract::{Caller, bearer, token};
use crate::reply::{HubError, HubResult};
use crate::repos::{Repo, RepoId, Visibility};
use crate::routes::query::Params;
use crate::state::{AppState, Hub};

/// How long a key opens its Space at most.
const LONGEST_S: u64 = 24 * 3600;
const PURPOSE: &str = "space-app";
const PREFIX: &str = "space.";
pub(super) const COOKIE_NAME: &str = "hf_space";
/// The query field in which a browser brings a key.
const SIGN: &str = "__sign";

/// Somebody at an app.
pub(super) struct Visitor {
    caller: Caller,
    keys: Vec<String>,
}

impl FromRequestParts<AppState> for Visitor {
    type Rejection = HubError;

    async fn from_request_parts(parts: &mut Parts, hub: &AppState) -> HubResult<Self> {
        let headers = &parts.headers;
        let shown = token(headers).or_else(|| headers.get("x-hf-authorization").map(bearer));
        let is_key = |text: &String| text.starts_with(PREFIX);
        let mut keys: Vec<String> = shown.clone().filter(is_key).into_iter().collect();
        keys.extend(cookies(headers));
        Ok(Self {
            caller: Caller::of_token(hub, shown.filter(|text| !is_key(text)))?,
            keys,
        })
    }
}

/// The keys among the cookies.
fn cookies(headers: &HeaderMap) -> impl Iterator<Item = String> {
    headers
        .get_all(COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE_NAME)
        .map(|(_, value)| value.to_owned())
}

impl Visitor {
    /// The Space, if its app is for this visitor. The app of a protected Space is public, its files are not.
    ///
    /// # Errors
    /// As for a repository that may not be read.
    pub(super) async fn admit(&self, hub: &Hub, id: &RepoId) -> HubResult<Repo> {
        if let Some(repo) = hub.find_repo(id).await? {
            let opens = |key: &String| opens(hub, &repo, key);
            if repo.visibility != Visibility::Private || self.keys.iter().any(opens) {
                return Ok(repo);
            }
        }
        self.caller.require_read(hub, id).await
    }
}

fn message(repo: &Repo, expires: &str) -> String {
    format!("{} {expires}", repo.oid)
}

fn opens(hub: &Hub, repo: &Repo, key: &str) -> bool {
    let Some((expires, code)) = key.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')) else {
        return false;
    };
    expires
        .parse::<i64>()
        .is_ok_and(|expires| hub.clock.now().as_second() < expires)
        && hub.signer.check(PURPOSE, message(repo, expires).as_bytes(), code)
}

/// `GET /api/spaces/{id}/jwt`: a key to the app.
pub(super) async fn key(
    State(hub): State<AppState>,
    caller: Caller,
    named: Named,
    params: Params,
) -> HubResult<Json<Value>> {
    let repo = caller.require_read(&hub, &id_of(named)).await?;
    caller.require()?;
    if params.flag("write") || params.flag("encrypted") {
        return Err(HubError::not_served("A key that writes, or is encrypted,"));
    }
    let seconds = params.number("expires_in", LONGEST_S, LONGEST_S).max(1);
    let expires = hub
        .clock
        .now()
        .as_second()
        .saturating_add(i64::try_from(seconds).unwrap_or(i64::MAX));
    let code = hub
        .signer
        .code(PURPOSE, message(&repo, &expires.to_string()).as_bytes());
    let key = format!("{PREFIX}{expires}.{code}");
    Ok(Json(
        json!({"accessToken": format!("Bearer {key}"), "token": key, "exp": expires}),
    ))
}

/// Takes the key out of a browser's address and into a cookie of this app alone; none when the address has no key.
pub(super) async fn sign_in(
    hub: &Hub,
    id: &RepoId,
    path: &str,
    params: &Params,
) -> HubResult<Option<Response>> {
    let Some(key) = params.text(SIGN) else {
        return Ok(None);
    };
    let repo = hub.find_repo(id).await?;
    if !repo.is_some_and(|repo| opens(hub, &repo, key)) {
        return Err(HubError::new(
            http::StatusCode::UNAUTHORIZED,
            "The key in the address is none of this Space, or has run out; `bashgym space open` makes another",
        ));
    }
    let base = path_of(id);
    let cookie = format!("{COOKIE_NAME}={key}; Path={base}; Max-Age={LONGEST_S}; HttpOnly; SameSite=Strict");
    let to = format!("{base}{}", hf_core::encode_path(path));
    Ok(Some(([(SET_COOKIE, cookie)], Redirect::to(&to)).into_response()))
}

/// Where the app is on its origin, with a slash at its end.
pub(super) fn path_of(id: &RepoId) -> String {
    let segment = hf_core::encode_segment;
    format!("/apps/{}/{}/", segment(&id.namespace), segment(&id.name))
}
