//! Xet storage as the rest of the Hub sees it: where large files may be, and what the token routes answer.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use super::{XetError, XetHash, XetScope, XetStore, XetToken};
use crate::accounts::Account;
use crate::extract::Caller;
use crate::large;
use crate::reply::{HubError, HubResult};
use crate::repos::Repo;
use crate::routes::target::Target;
use crate::state::{AppState, Hub};

#[async_trait]
impl large::XetStore for XetStore {
    async fn lookup_sha256(&self, sha256: &str) -> HubResult<Option<large::XetFile>> {
        let mut digest = [0; 32];
        if hex::decode_to_slice(sha256, &mut digest).is_err() {
            return Ok(None);
        }
        let found = XetStore::lookup_sha256(self, &digest)
            .await
            .map_err(|error| HubError::internal(&error))?;
        Ok(found.map(|file| large::XetFile {
            hash: file.hash.to_string(),
            size: file.size,
        }))
    }

    fn stream_file(&self, hash: &str, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>> {
        let (store, hash) = (self.clone(), hash.parse::<XetHash>());
        let open = async move {
            let hash = hash.map_err(io::Error::other)?;
            XetStore::stream_file(&store, &hash, Some(range))
                .await
                .map_err(io::Error::other)
        };
        futures::stream::once(open).try_flatten().boxed()
    }

    fn upload_headers(&self, hub: &Hub, repo: &Repo, _: &Account) -> BTreeMap<String, String> {
        let token = issue(self, hub, repo, XetScope::Write);
        let name = |name: &str, value: String| (name.to_owned(), value);
        BTreeMap::from([
            name("X-Xet-Cas-Url", token.cas_url),
            name("X-Xet-Access-Token", token.access_token),
            name("X-Xet-Token-Expiration", token.exp.to_string()),
        ])
    }

    fn reconstruction_url(&self, hub: &Hub, hash: &str) -> String {
        match hash.parse() {
            Ok(hash) => XetStore::reconstruction_url(self, &hash, &hub.origins.payload),
            // The hash came out of this store.
            Err(_) => String::new(),
        }
    }
}

/// `GET /api/{type}s/{id}/xet-read-token/{rev}`
///
/// # Source
/// `huggingface_hub` 2.4.0 `utils/_xet.py`; hf-hub 1.0.0 `xet.rs`.
pub(crate) async fn read_token(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
) -> HubResult<Response> {
    let repo = target.read(&hub, &caller).await?;
    Ok(answer(issue(&hub.xet, &hub, &repo, XetScope::Read)))
}

/// `GET /api/{type}s/{id}/xet-write-token/{rev}`
///
/// The revision is not looked at: it may be one that the commit will make, or `None` when a pull request will.
///
/// # Source
/// `huggingface_hub` 2.4.0 `utils/_xet.py`; hf-hub 1.0.0 `xet.rs`.
pub(crate) async fn write_token(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
) -> HubResult<Response> {
    let repo = target.write(&hub, &caller).await?;
    Ok(answer(issue(&hub.xet, &hub, &repo, XetScope::Write)))
}

fn issue(store: &XetStore, hub: &Hub, repo: &Repo, scope: XetScope) -> XetToken {
    let name = format!("{}/{}", repo.id.kind.plural(), repo.id.path());
    store.issue_token(scope, &name, &hub.origins.payload)
}

fn answer(token: XetToken) -> Response {
    (token.headers(), Json(token)).into_response()
}

impl From<XetError> for crate::error::LocalHubError {
    fn from(error: XetError) -> Self {
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            reason = format!("{reason}: {inner}");
            cause = inner.source();
        }
        Self::Part {
            part: "Xet storage",
            reason,
        }
    }
}
