//! Which repo a path is about, and where in it.

use axum::extract::FromRequestParts;
use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::repos::{Repo, RepoId, RepoKind};
use crate::state::AppState;

/// The repo of a request, and the path below it.
///
/// Read from the path as it came: an encoded slash belongs to the part it is in, so `refs%2Fpr%2F1` is one part. Plain
/// `refs/pr/1` and `refs/convert/parquet` are taken for one as well.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) id: RepoId,
    /// What follows the word after the repo (`tree`, `resolve`), not decoded.
    rest: String,
    method: Method,
    uri: String,
}

impl FromRequestParts<AppState> for Target {
    type Rejection = HubError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> HubResult<Self> {
        let path = parts.uri.path();
        let bad = || HubError::bad_request(format!("{path} names no repository"));
        let below = path.trim_start_matches('/');
        let (kind, below) = if let Some(below) = below.strip_prefix("api/") {
            let (plural, below) = below.split_once('/').ok_or_else(bad)?;
            (RepoKind::parse_plural(plural).ok_or_else(bad)?, below)
        } else {
            let prefixed =
                |kind: &RepoKind| !kind.web_prefix().is_empty() && below.starts_with(kind.web_prefix());
            let kind = RepoKind::ALL.into_iter().find(prefixed).unwrap_or_default();
            (kind, below.strip_prefix(kind.web_prefix()).unwrap_or(below))
        };
        let mut parts_below = below.splitn(4, '/');
        let namespace = decode(parts_below.next().unwrap_or_default())?;
        let name = decode(parts_below.next().unwrap_or_default())?;
        let name = name.strip_suffix(".git").map_or(name.clone(), str::to_owned);
        let rest = parts_below.nth(1).unwrap_or_default().to_owned();
        let uri = parts
            .uri
            .path_and_query()
            .map_or(path, |uri| uri.as_str())
            .to_owned();
        Ok(Self {
            id: RepoId::new(kind, namespace, name),
            rest,
            method: parts.method.clone(),
            uri,
        })
    }
}

impl Target {
    /// Finds the repo, which the caller may read. A reading request for a repo that was moved is sent to its new place.
    pub(crate) async fn read(&self, hub: &AppState, caller: &Caller) -> HubResult<Repo> {
        let repo = caller.require_read(hub, &self.id).await?;
        let moved = !repo.id.path().eq_ignore_ascii_case(&self.id.path());
        if moved && matches!(self.method, Method::GET | Method::HEAD) {
            let (old, new) = (format!("/{}", self.id.path()), format!("/{}", repo.id.path()));
            return Err(HubError::moved(&self.uri.replacen(&old, &new, 1)));
        }
        Ok(repo)
    }

    /// Finds the repo, which the caller may write.
    pub(crate) async fn write(&self, hub: &AppState, caller: &Caller) -> HubResult<Repo> {
        caller.require_repo_write(hub, &self.id).await
    }

    /// Reads what follows as one decoded name: a branch, a tag, a revision.
    pub(crate) fn name(&self) -> HubResult<String> {
        decode(&self.rest)
    }

    /// Reads what follows as a revision and, after it, a path.
    pub(crate) fn revision_and_path(&self) -> HubResult<(String, Option<String>)> {
        let mut parts = self.rest.split('/');
        let first = parts.next().unwrap_or_default();
        let mut revision = decode(first)?;
        let unencoded_ref = first == "refs"
            && parts
                .clone()
                .next()
                .is_some_and(|kind| matches!(kind, "pr" | "convert"));
        if unencoded_ref {
            for part in parts.by_ref().take(2) {
                revision.push('/');
                revision.push_str(&decode(part)?);
            }
        }
        if revision.is_empty() {
            return Err(HubError::bad_request("The path names no revision"));
        }
        let path = parts.map(decode).collect::<HubResult<Vec<_>>>()?.join("/");
        // "tree/main/" and "tree/main/dir/" mean the folder itself.
        let path = path.trim_end_matches('/');
        Ok((revision, (!path.is_empty()).then(|| path.to_owned())))
    }
}

fn decode(part: &str) -> HubResult<String> {
    percent_decode_str(part)
        .decode_utf8()
        .map(String::from)
        .map_err(|_| HubError::bad_request("The path is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(rest: &str) -> Target {
        let id = RepoId::new(RepoKind::Model, "a", "b");
        Target {
            id,
            rest: rest.to_owned(),
            method: Method::GET,
            uri: String::new(),
        }
    }

    #[test]
    fn revisions_with_slashes_are_read_in_both_spellings() {
        let read = |rest: &str| target(rest).revision_and_path().unwrap();
        let path = |path: &str| Some(path.to_owned());
        assert_eq!(read("main"), ("main".to_owned(), None));
        assert_eq!(read("main/"), ("main".to_owned(), None));
        assert_eq!(read("main/a/b%20c"), ("main".to_owned(), path("a/b c")));
        assert_eq!(read("main/a%2Fb"), ("main".to_owned(), path("a/b")));
        assert_eq!(read("refs%2Fpr%2F1/x"), ("refs/pr/1".to_owned(), path("x")));
        assert_eq!(read("refs/pr/1/x"), ("refs/pr/1".to_owned(), path("x")));
        assert_eq!(
            read("refs/convert/parquet"),
            ("refs/convert/parquet".to_owned(), None)
        );
        assert!(target("").revision_and_path().is_err());
        assert!(target("main/%ff").revision_and_path().is_err());
    }
}
