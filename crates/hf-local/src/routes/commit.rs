//! `POST /api/{type}s/{id}/commit/{rev}`: a commit, as lines of JSON.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::BytesMut;
use futures::StreamExt;
use http::StatusCode;
use memchr::memchr;

use super::query::Params;
use super::target::Target;
use crate::extract::Caller;
use crate::git::{Oid, Pointer, is_sha256};
use crate::large::blocking;
use crate::reply::{HubError, HubResult};
use crate::repos::{
    Change, Commit, NewBlob, NewCommit, Repo, RepoPath, branch_of, front_matter, parse_front_matter,
};
use crate::state::AppState;
use crate::wire::commit::{
    CommitCopy, CommitFile, CommitHeader, CommitLfsFile, CommitLine, CommitPath, CommitReply,
};

/// Larger files have to be large files (LFS or Xet).
pub(crate) const MAX_REGULAR_BYTES: usize = 10 * 1024 * 1024;
/// A line holds at most a regular file in base64, its path and some quotes.
const MAX_LINE_BYTES: usize = MAX_REGULAR_BYTES / 3 * 4 + 64 * 1024;
/// Bodies of small files that are held before they are stored ahead of the commit.
const MAX_HELD_BYTES: usize = 4 * 1024 * 1024;
const MAX_CHANGES: usize = 200_000;

/// Makes a commit out of the lines of the body, of which one at a time is in memory.
pub(crate) async fn commit(
    State(hub): State<AppState>,
    caller: Caller,
    target: Target,
    params: Params,
    body: Body,
) -> HubResult<Json<CommitReply>> {
    let repo = target.write(&hub, &caller).await?;
    if params.flag("create_pr") {
        return Err(HubError::not_served("A pull request (create_pr=1)"));
    }
    let revision = target.name()?;
    let branch = branch_of(&revision)?;
    let head = hub.revision(&repo, &revision).await?;
    let author = caller.require()?.name.clone();
    let _coming_in = hub.sweeping.uploads.read().await;
    let mut draft = Draft {
        hub: &hub,
        repo: &repo,
        head,
        header: None,
        changes: Vec::new(),
        blobs: Vec::new(),
        held: 0,
    };
    let mut lines = Lines {
        body: body.into_data_stream(),
        buffer: BytesMut::new(),
        searched: 0,
        done: false,
    };
    while let Some(line) = lines.next().await? {
        draft.line(&line).await?;
    }
    let Draft {
        header,
        changes,
        blobs,
        ..
    } = draft;
    let header = header.ok_or_else(|| HubError::bad_request("The commit has no header line"))?;
    let parent = header
        .parent_commit
        .as_deref()
        .filter(|parent| !parent.is_empty());
    let parent = match parent.map(str::parse::<Oid>) {
        None => None,
        Some(Ok(oid)) => Some(oid),
        Some(Err(_)) => {
            return Err(HubError::bad_request(
                "parentCommit has to be the 40 digits of a commit id",
            ));
        }
    };
    let (title, message) = title_and_message(&header);
    let new = NewCommit {
        branch,
        author,
        title,
        message,
        parent,
        changes,
    };
    let done = hub.commit(&repo, new, blobs).await?;
    let oid = done.oid.to_string();
    Ok(Json(CommitReply {
        success: true,
        commit_url: format!("{}/{}/commit/{oid}", hub.origins.hub, repo.id.web_path()),
        commit_oid: oid,
        hook_output: String::new(),
    }))
}

/// A title is one line; what a summary has beyond it begins the message.
fn title_and_message(header: &CommitHeader) -> (String, String) {
    let (title, rest) = header.summary.split_once('\n').unwrap_or((&header.summary, ""));
    let description = header.description.as_deref().unwrap_or_default();
    let message: Vec<&str> = [rest.trim(), description.trim()]
        .into_iter()
        .filter(|part| !part.is_empty())
        .collect();
    (title.trim_end().to_owned(), message.join("\n\n"))
}

struct Lines<S> {
    body: S,
    buffer: BytesMut,
    searched: usize,
    done: bool,
}

impl<S: futures::Stream<Item = Result<Bytes, axum::Error>> + Unpin> Lines<S> {
    /// Returns the next line that is not blank.
    async fn next(&mut self) -> HubResult<Option<Bytes>> {
        loop {
            let unsearched = self.buffer.get(self.searched..).unwrap_or_default();
            let line = if let Some(at) = memchr(b'\n', unsearched) {
                let line = self.buffer.split_to(self.searched + at + 1);
                self.searched = 0;
                line
            } else if self.done {
                if self.buffer.is_empty() {
                    return Ok(None);
                }
                self.searched = 0;
                self.buffer.split()
            } else {
                self.searched = self.buffer.len();
                if self.buffer.len() > MAX_LINE_BYTES {
                    return Err(HubError::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        format!(
                            "A file of more than {MAX_REGULAR_BYTES} bytes has to be uploaded as a large file (LFS or Xet)"
                        ),
                    ));
                }
                match self.body.next().await {
                    Some(Ok(piece)) => self.buffer.extend_from_slice(&piece),
                    Some(Err(error)) => {
                        tracing::debug!(%error, "a commit ended early");
                        return Err(HubError::bad_request("The commit ended early"));
                    }
                    None => self.done = true,
                }
                continue;
            };
            if !line.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(line.freeze()));
            }
        }
    }
}

struct Draft<'a> {
    hub: &'a AppState,
    repo: &'a Repo,
    head: Commit,
    header: Option<CommitHeader>,
    changes: Vec<Change>,
    blobs: Vec<NewBlob>,
    held: usize,
}

impl Draft<'_> {
    async fn line(&mut self, line: &[u8]) -> HubResult<()> {
        let bad =
            |error: serde_json::Error| HubError::bad_request(format!("Invalid line in the commit: {error}"));
        let CommitLine { key, value } = serde_json::from_slice(line).map_err(bad)?;
        let value = value.get();
        if self.changes.len() >= MAX_CHANGES {
            return Err(HubError::bad_request(format!(
                "A commit has at most {MAX_CHANGES} changes"
            )));
        }
        match &*key {
            "header" => self.header = Some(serde_json::from_str(value).map_err(bad)?),
            "file" => self.file(serde_json::from_str(value).map_err(bad)?).await?,
            "lfsFile" => self.lfs_file(serde_json::from_str(value).map_err(bad)?).await?,
            "deletedFile" => {
                let CommitPath { path } = serde_json::from_str(value).map_err(bad)?;
                self.changes.push(Change::DeleteFile(RepoPath::parse(&path)?));
            }
            "deletedFolder" => {
                let CommitPath { path } = serde_json::from_str(value).map_err(bad)?;
                self.changes
                    .push(Change::DeleteFolder(RepoPath::parse(path.trim_end_matches('/'))?));
            }
            "deletedEntry" => {
                let CommitPath { path } = serde_json::from_str(value).map_err(bad)?;
                self.changes
                    .push(Change::DeleteEntry(RepoPath::parse(path.trim_end_matches('/'))?));
            }
            "copyFile" => self.copy_file(serde_json::from_str(value).map_err(bad)?).await?,
            other => {
                return Err(HubError::bad_request(format!(
                    "Unknown line in the commit: {other:?}"
                )));
            }
        }
        Ok(())
    }

    async fn file(&mut self, file: CommitFile<'_>) -> HubResult<()> {
        let path = RepoPath::parse(&file.path)?;
        let body = match file.encoding.as_deref() {
            None | Some("utf-8") => Bytes::from(file.content.into_owned()),
            Some("base64") => BASE64_STANDARD
                .decode(file.content.as_bytes())
                .map(Bytes::from)
                .map_err(|_| HubError::bad_request(format!("The content of {path} is not base64")))?,
            Some(other) => {
                return Err(HubError::bad_request(format!(
                    "Unknown encoding {other:?} of {path}"
                )));
            }
        };
        if body.len() > MAX_REGULAR_BYTES {
            return Err(HubError::bad_request(format!(
                "{path} has more than {MAX_REGULAR_BYTES} bytes: upload it as a large file (LFS or Xet)"
            )));
        }
        if path.as_str() == "README.md"
            && let Some(Err(problem)) =
                front_matter(&String::from_utf8_lossy(&body)).map(|(yaml, _)| parse_front_matter(yaml))
        {
            return Err(HubError::bad_request(format!(
                "Invalid metadata in README.md: {problem}"
            )));
        }
        let mut blob = NewBlob::new(body);
        if let Some(pointer) = &blob.pointer {
            self.require_large(&path, &pointer.sha256, Some(pointer.size))
                .await?;
        }
        let hub = self.hub.clone();
        let blob = blocking(move || {
            blob.spill(&hub.dirs)?;
            Ok(blob)
        })
        .await?;
        self.replace(file.old_path.as_deref(), &path)?;
        self.put(path, blob).await
    }

    async fn lfs_file(&mut self, file: CommitLfsFile) -> HubResult<()> {
        let path = RepoPath::parse(&file.path)?;
        if file.algo.as_deref().is_some_and(|algo| algo != "sha256") {
            return Err(HubError::bad_request(format!("{path}: the only algo is sha256")));
        }
        if !is_sha256(&file.oid) {
            return Err(HubError::bad_request(format!(
                "{path}: the oid has to be 64 lower-case hexadecimal digits"
            )));
        }
        let size = self.require_large(&path, &file.oid, file.size).await?;
        let text = Pointer {
            sha256: file.oid,
            size,
        }
        .text();
        self.replace(file.old_path.as_deref(), &path)?;
        self.put(path, NewBlob::new(Bytes::from(text))).await
    }

    /// Copies a file of this repo. The official clients spell a copy as `file` or `lfsFile`; this key is taken as well.
    async fn copy_file(&mut self, copy: CommitCopy) -> HubResult<()> {
        let path = RepoPath::parse(&copy.path)?;
        let from = RepoPath::parse(&copy.src_path)?;
        let commit = match &copy.src_revision {
            Some(revision) => self.hub.revision(self.repo, revision).await?,
            None => self.head.clone(),
        };
        let (oid, _) = self.hub.file(commit.tree, &from).await?.ok_or_else(|| {
            HubError::entry_not_found(format!("A file with this name doesn't exist: {from}"))
        })?;
        self.changes.push(Change::Put(path, oid));
        Ok(())
    }

    /// Makes sure that a large file was uploaded, and returns its size.
    async fn require_large(&self, path: &RepoPath, sha256: &str, size: Option<u64>) -> HubResult<u64> {
        let found = self.hub.large.find(sha256).await?.ok_or_else(|| {
            HubError::bad_request(format!(
                "LFS pointer pointed to a file that does not exist: {path} ({sha256}) was not uploaded"
            ))
        })?;
        match size {
            Some(size) if size != found.size => Err(HubError::bad_request(format!(
                "{path} was announced with {size} bytes, and the uploaded object has {}",
                found.size
            ))),
            _ => Ok(found.size),
        }
    }

    /// A file that had another path before leaves that one.
    fn replace(&mut self, old: Option<&str>, path: &RepoPath) -> HubResult<()> {
        if let Some(old) = old.filter(|old| *old != path.as_str()) {
            self.changes.push(Change::DeleteFile(RepoPath::parse(old)?));
        }
        Ok(())
    }

    async fn put(&mut self, path: RepoPath, blob: NewBlob) -> HubResult<()> {
        self.changes.push(Change::Put(path, blob.oid));
        self.held += blob.body.as_ref().map_or(0, Bytes::len) + 128;
        self.blobs.push(blob);
        if self.held > MAX_HELD_BYTES {
            self.held = 0;
            self.hub.store_blobs(std::mem::take(&mut self.blobs)).await?;
        }
        Ok(())
    }
}
