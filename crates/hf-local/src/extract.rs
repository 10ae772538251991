//! What handlers take from a request: who calls, and which repo is meant.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};

use crate::accounts::{Account, Permission};
use crate::reply::{HubError, HubResult};
use crate::repos::{Repo, RepoId};
use crate::state::{AppState, Hub};

/// Who calls. Nobody, when no token was sent; a token nobody has is refused before the handler runs.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    account: Option<Arc<Account>>,
}

impl FromRequestParts<AppState> for Caller {
    type Rejection = HubError;

    async fn from_request_parts(parts: &mut Parts, hub: &AppState) -> HubResult<Self> {
        Self::of_token(hub, token(&parts.headers))
    }
}

/// Reads the token of a request: the bearer, or the password of basic authentication (git and git-lfs).
pub(crate) fn token(headers: &HeaderMap) -> Option<String> {
    headers.get(AUTHORIZATION).map(bearer)
}

/// Reads the token of a header; empty when there is something else in it.
pub(crate) fn bearer(value: &HeaderValue) -> String {
    let Ok(value) = value.to_str() else {
        return String::new();
    };
    let (scheme, credentials) = value.split_once(' ').unwrap_or((value, ""));
    let credentials = credentials.trim();
    if scheme.eq_ignore_ascii_case("basic") {
        let decoded = BASE64_STANDARD
            .decode(credentials)
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok());
        return decoded
            .as_deref()
            .and_then(|text| text.split_once(':'))
            .map_or("", |(_, p)| p)
            .to_owned();
    }
    if scheme.eq_ignore_ascii_case("bearer") {
        credentials.to_owned()
    } else {
        String::new()
    }
}

impl Caller {
    /// The caller of a token; nobody, without one.
    ///
    /// # Errors
    /// 401 for a token that nobody has.
    pub(crate) fn of_token(hub: &Hub, token: Option<String>) -> HubResult<Self> {
        let Some(token) = token else {
            return Ok(Self { account: None });
        };
        match hub.accounts.by_live_token(&token, hub.clock.now()) {
            Some(account) => Ok(Self {
                account: Some(Arc::clone(account)),
            }),
            None => Err(HubError::bad_credentials()),
        }
    }

    /// The caller's account, if there is one.
    pub(crate) fn account(&self) -> Option<&Account> {
        self.account.as_deref()
    }

    /// The caller's account.
    ///
    /// # Errors
    /// 401 without a token.
    pub(crate) fn require(&self) -> HubResult<&Account> {
        self.account().ok_or_else(HubError::unauthorized)
    }

    /// Returns whether the caller may see a repo of `namespace`.
    pub(crate) fn sees(&self, public: bool, namespace: &str) -> bool {
        public
            || self
                .account()
                .is_some_and(|account| account.may(Permission::RepoContentRead, namespace))
    }

    /// Finds a repo the caller may read.
    ///
    /// # Errors
    /// Whether the repo is private or missing is not told: 401 without a token, else 404 `RepoNotFound`.
    pub(crate) async fn require_read(&self, hub: &Hub, id: &RepoId) -> HubResult<Repo> {
        if let Some(repo) = hub.find_repo(id).await?
            && self.sees(repo.is_public(), &repo.id.namespace)
        {
            return Ok(repo);
        }
        Err(self.no_such_repo())
    }

    /// What a caller is told of a repo that is not there, or not for the caller.
    pub(crate) fn no_such_repo(&self) -> HubError {
        if self.account.is_some() {
            HubError::repo_not_found()
        } else {
            HubError::hidden_repo()
        }
    }

    /// Finds a repo the caller may write.
    ///
    /// # Errors
    /// As [`Caller::require_read`], then 401 without a token, then 403.
    pub(crate) async fn require_repo_write(&self, hub: &Hub, id: &RepoId) -> HubResult<Repo> {
        let repo = self.require_read(hub, id).await?;
        self.require_write(&repo.id.namespace)?;
        Ok(repo)
    }

    /// Returns the account if its token may write repos in `namespace`.
    ///
    /// # Errors
    /// 401 without a token, 403 without the right.
    pub(crate) fn require_write(&self, namespace: &str) -> HubResult<&Account> {
        self.require_permission(Permission::RepoWrite, namespace)
    }

    /// Returns the account if its token may do `permission` in `namespace`.
    ///
    /// # Errors
    /// 401 without a token, 403 without the right.
    pub(crate) fn require_permission(&self, permission: Permission, namespace: &str) -> HubResult<&Account> {
        let account = self.require()?;
        if account.may(permission, namespace) {
            return Ok(account);
        }
        let name = permission.name();
        Err(HubError::forbidden(format!(
            "You don't have the required permissions to do this on namespace {namespace}, missing permissions: {name}."
        )))
    }
}
