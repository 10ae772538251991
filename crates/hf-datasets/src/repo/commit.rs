//! One commit: what it changes, how it is written on the wire, and how to know that it happened.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use futures::StreamExt as _;
use hf_core::{ByteStream, HfError, HttpContext, RequestBody, RequestSpec, Revision};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::body::{FaultSlot, PIECE, PieceSender, changed, fill, produced};
use super::{RepoFiles, wire};
use crate::gate::Passed;
use crate::hash::{ContentHasher, ContentId, SAMPLE, feed};
use crate::path::check_repo_path;
use crate::pattern::Patterns;
use crate::progress::{Progress, TransferEvent};
use crate::{blocking, invalid, io_error};

/// How many files one preupload question names; the official client sends as many.
const PREUPLOAD_BATCH: usize = 256;
/// How many paths one paths-info question names.
const PATHS_BATCH: usize = 500;
/// How many files are hashed at the same time.
const HASH_PARALLEL: usize = 4;
/// How often a commit is built anew because others committed meanwhile.
const MAX_ROUNDS: u32 = 6;
/// How often one commit is sent while its outcome is unclear.
const SEND_ATTEMPTS: u32 = 5;
/// The Hub may think about a commit for a minute.
const COMMIT_IDLE: Duration = Duration::from_mins(2);

/// Where a file's content comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A file of this machine, read as a stream.
    File(PathBuf),
    /// Bytes in memory.
    Bytes(Bytes),
}

/// One change of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommitOperation {
    /// Adds a file, or replaces it.
    Add {
        /// Its path in the repository.
        path: String,
        /// Its content.
        source: Source,
    },
    /// Deletes a file.
    DeleteFile {
        /// Its path in the repository.
        path: String,
    },
    /// Deletes a folder with everything in it.
    DeleteFolder {
        /// Its path in the repository.
        path: String,
    },
}

impl CommitOperation {
    /// Adds or replaces a file with bytes in memory.
    pub fn add_bytes(path: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self::Add {
            path: path.into(),
            source: Source::Bytes(bytes.into()),
        }
    }

    /// Adds or replaces a file with one of this machine.
    pub fn add_file(path: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        Self::Add {
            path: path.into(),
            source: Source::File(file.into()),
        }
    }

    fn path(&self) -> &str {
        match self {
            Self::Add { path, .. } | Self::DeleteFile { path } | Self::DeleteFolder { path } => path,
        }
    }
}

/// How large files travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LargeFiles {
    /// As the Hub chooses; Xet where it offers it.
    #[default]
    Auto,
    /// Through Git LFS only, even where the Hub offers Xet.
    Lfs,
}

/// How a commit is made.
#[derive(Debug, Clone)]
pub struct CommitOptions {
    /// The commit's title.
    pub message: String,
    /// More about it.
    pub description: String,
    /// The branch.
    pub revision: Revision,
    /// The commit the branch must be at. If it moved, the call fails with [`HfError::PreconditionFailed`]; without
    /// this, the change is applied on top of whatever the branch has become.
    pub parent_commit: Option<String>,
    /// How large files travel.
    pub large_files: LargeFiles,
    /// Who is told how far it is.
    pub progress: Progress,
}

impl Default for CommitOptions {
    fn default() -> Self {
        Self {
            message: "Upload files".to_owned(),
            description: String::new(),
            revision: Revision::main(),
            parent_commit: None,
            large_files: LargeFiles::Auto,
            progress: Progress::none(),
        }
    }
}

/// The outcome of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitInfo {
    /// The commit the branch is at now.
    pub oid: String,
    /// The commit's page.
    pub url: String,
    /// Whether a commit was made; false when the repository already held everything.
    pub changed: bool,
    /// How many files the commit adds or replaces.
    pub files_changed: u64,
    /// How many files were left out because the repository holds them as they are.
    pub files_unchanged: u64,
}

/// A file of the commit, with what became known about it.
#[derive(Debug, Clone)]
pub(super) struct Planned {
    pub(super) path: String,
    pub(super) source: Source,
    pub(super) size: u64,
    stamp: Option<Stamp>,
    sample: Bytes,
    blob_id: Option<String>,
    sha256: Option<String>,
    /// The BLAKE3 hash of what passed the gate.
    passed: Option<blake3::Hash>,
    pub(super) large: bool,
}

/// What tells that a file is still the one that was hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stamp {
    size: u64,
    modified: Option<std::time::SystemTime>,
}

impl Stamp {
    fn of(path: &Path) -> Result<Self, HfError> {
        let metadata = std::fs::metadata(path).map_err(|error| io_error("look at", path, error))?;
        if !metadata.is_file() {
            return Err(invalid(format!("{} is not a file", path.display())));
        }
        Ok(Self {
            size: metadata.len(),
            modified: metadata.modified().ok(),
        })
    }
}

impl Planned {
    fn open(path: String, source: Source, passed: Option<blake3::Hash>) -> Result<Self, HfError> {
        let (size, stamp, sample) = match &source {
            Source::Bytes(bytes) => (bytes.len() as u64, None, bytes.slice(..bytes.len().min(SAMPLE))),
            Source::File(file) => {
                let stamp = Stamp::of(file)?;
                let mut open = File::open(file).map_err(|error| io_error("open", file, error))?;
                let mut sample = vec![0; SAMPLE];
                let read = fill(&mut open, &mut sample).map_err(|error| io_error("read", file, error))?;
                sample.truncate(read);
                (stamp.size, Some(stamp), Bytes::from(sample))
            }
        };
        Ok(Self {
            path,
            source,
            size,
            stamp,
            sample,
            blob_id: None,
            sha256: None,
            passed,
            large: false,
        })
    }

    /// The hash the Hub will know the file by.
    pub(super) fn id(&self) -> Option<ContentId> {
        if self.large {
            self.sha256.clone().map(ContentId::Sha256)
        } else {
            self.blob_id.clone().map(ContentId::GitBlob)
        }
    }

    /// The SHA-256 of a large file.
    pub(super) fn sha256(&self) -> Result<&str, HfError> {
        self.sha256
            .as_deref()
            .ok_or_else(|| invalid(format!("{:?} has not been hashed", self.path)))
    }

    /// Fails when the file is no longer the one that was hashed.
    pub(super) fn check_unchanged(&self) -> Result<(), HfError> {
        match (&self.source, &self.stamp) {
            (Source::File(file), Some(stamp)) if Stamp::of(file)? != *stamp => Err(changed(file)),
            _ => Ok(()),
        }
    }

    /// Computes the hash its mode needs, once. This call blocks.
    fn hash(&mut self, keep_going: impl FnMut(usize) -> bool) -> Result<(), HfError> {
        let slot = if self.large {
            &mut self.sha256
        } else {
            &mut self.blob_id
        };
        if slot.is_some() {
            return Ok(());
        }
        let mut hasher = if self.large {
            ContentHasher::sha256()
        } else {
            ContentHasher::git_blob(self.size)
        };
        match &self.source {
            Source::Bytes(bytes) => {
                if self.passed.is_some_and(|passed| blake3::hash(bytes) != passed) {
                    return Err(not_what_passed(&self.path));
                }
                hasher.update(bytes);
            }
            Source::File(path) => {
                let file = File::open(path).map_err(|error| io_error("open", path, error))?;
                let mut file = Witnessed {
                    inner: file,
                    hasher: self.passed.map(|_| blake3::Hasher::new()),
                };
                let read = feed(&mut file, &mut hasher, u64::MAX, keep_going)
                    .map_err(|error| io_error("read", path, error))?;
                let seen = file.hasher.map(|hasher| hasher.finalize());
                if seen != self.passed {
                    return Err(not_what_passed(&self.path));
                }
                if read != self.size {
                    return Err(changed(path));
                }
            }
        }
        *slot = Some(hasher.finish().hex().to_owned());
        Ok(())
    }
}

/// Hashes what is read through it, to compare it with what passed the gate.
struct Witnessed {
    inner: File,
    hasher: Option<blake3::Hasher>,
}

impl std::io::Read for Witnessed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&buffer[..read]);
        }
        Ok(read)
    }
}

/// The error for bytes that are not those the gate passed.
fn not_what_passed(path: &str) -> HfError {
    invalid(format!(
        "{path} is not what passed the secret scan; nothing was uploaded. Leave the files alone and upload again"
    ))
}

/// What a round of a commit changes.
struct Round {
    adds: Vec<Planned>,
    deletes: Vec<CommitOperation>,
    unchanged: u64,
}

/// What a commit changes, once the gate has passed it. The copies it is made from live as long as this.
#[derive(Debug)]
pub(crate) struct Cleared {
    files: Vec<Planned>,
    deletes: Vec<CommitOperation>,
    _passed: Passed,
}

/// How sending a commit ended.
enum Sent {
    Done(wire::Committed),
    Moved(HfError),
}

impl RepoFiles {
    /// Makes one commit of these changes; everything or nothing. Files the repository already holds are left out, and
    /// when nothing remains no commit is made.
    ///
    /// The commit names the one it builds on, so an answer lost on the way cannot lead to a second commit: the Hub
    /// refuses the repetition, and the first one is found by what it changed. Dropping the returned future stops the
    /// transfer; what was stored without being committed is found again by the next try.
    ///
    /// # Errors
    ///
    /// [`HfError::PreconditionFailed`] when the branch is not at `parent_commit`; [`HfError::InvalidArgument`] for bad
    /// paths, a file that changed meanwhile, a card the Hub refuses, or an address the gate forbids; and those of
    /// every call.
    ///
    /// # Source
    ///
    /// `huggingface_hub` 2.4.0 `_commit_api.py`: preupload, large files first, then one NDJSON commit.
    pub async fn commit(
        &self,
        operations: Vec<CommitOperation>,
        options: &CommitOptions,
    ) -> Result<CommitInfo, HfError> {
        self.commit_with(operations, None, options).await
    }

    /// Uploads one file as a commit; see [`RepoFiles::commit`].
    ///
    /// # Errors
    ///
    /// As [`RepoFiles::commit`].
    pub async fn upload_file(
        &self,
        source: Source,
        path: &str,
        options: &CommitOptions,
    ) -> Result<CommitInfo, HfError> {
        self.commit(
            vec![CommitOperation::Add {
                path: path.to_owned(),
                source,
            }],
            options,
        )
        .await
    }

    pub(super) async fn commit_with(
        &self,
        operations: Vec<CommitOperation>,
        delete_patterns: Option<Patterns>,
        options: &CommitOptions,
    ) -> Result<CommitInfo, HfError> {
        let cleared = self.clear(operations, options).await?;
        self.commit_cleared(cleared, delete_patterns, options).await
    }

    /// Checks what a commit would do, and lets the gate look at all of it. Nothing is sent.
    pub(crate) async fn clear(
        &self,
        operations: Vec<CommitOperation>,
        options: &CommitOptions,
    ) -> Result<Cleared, HfError> {
        self.gate.check(self.client.endpoint())?;
        check_operations(&operations)?;
        if options.message.trim().is_empty() {
            return Err(invalid("the commit needs a message"));
        }
        let gate = self.gate.clone();
        let words = [options.message.clone(), options.description.clone()];
        blocking(move || {
            let (cleared, passed) = crate::gate::clear(&gate, operations, &[&words[0], &words[1]])?;
            let (files, deletes) = open_all(cleared)?;
            Ok(Cleared {
                files,
                deletes,
                _passed: passed,
            })
        })
        .await
    }

    /// Makes the commit of what the gate passed.
    pub(crate) async fn commit_cleared(
        &self,
        cleared: Cleared,
        delete_patterns: Option<Patterns>,
        options: &CommitOptions,
    ) -> Result<CommitInfo, HfError> {
        let Cleared {
            mut files,
            deletes,
            _passed,
        } = cleared;
        self.check_card(&files).await?;
        let total: u64 = files.iter().map(|file| file.size).sum();
        let count = files.len() as u64;
        options.progress.emit(|| TransferEvent::Started {
            files: count,
            bytes: total,
        });
        let mut round_number = 0;
        loop {
            round_number += 1;
            let head = self.info(Some(&options.revision)).await?.sha;
            if let Some(parent) = &options.parent_commit
                && head.as_ref() != Some(parent)
            {
                return Err(self.moved(options, head.as_deref()));
            }
            let mut deletes = deletes.clone();
            if let Some(patterns) = &delete_patterns {
                self.add_matching_deletes(patterns, &files, &options.revision, &mut deletes)
                    .await?;
            }
            let round;
            (files, round) = self.plan(files, deletes, options).await?;
            if round.adds.is_empty() && round.deletes.is_empty() {
                let oid = head.unwrap_or_default();
                options.progress.emit(|| TransferEvent::Finished);
                return Ok(CommitInfo {
                    url: format!("{}/commit/{oid}", self.url()),
                    oid,
                    changed: false,
                    files_changed: 0,
                    files_unchanged: round.unchanged,
                });
            }
            self.send_large_files(&round.adds, options).await?;
            options.progress.emit(|| TransferEvent::Committing);
            match self.send_commit(&round, head.as_deref(), options).await? {
                Sent::Done(done) => {
                    for file in round.adds.iter().filter(|file| !file.large) {
                        options.progress.file_done(&file.path, file.size, false);
                    }
                    options.progress.emit(|| TransferEvent::Finished);
                    return Ok(CommitInfo {
                        url: done
                            .commit_url
                            .unwrap_or_else(|| format!("{}/commit/{}", self.url(), done.commit_oid)),
                        oid: done.commit_oid,
                        changed: true,
                        files_changed: round.adds.len() as u64,
                        files_unchanged: round.unchanged,
                    });
                }
                Sent::Moved(error) if options.parent_commit.is_some() || round_number >= MAX_ROUNDS => {
                    return Err(error);
                }
                Sent::Moved(error) => {
                    options.progress.emit(|| TransferEvent::Retrying {
                        what: "the commit, on top of another one".to_owned(),
                        why: error.to_string(),
                    });
                }
            }
        }
    }

    /// The error the Hub would give for a branch that is not at the expected commit, before anything is sent.
    fn moved(&self, options: &CommitOptions, head: Option<&str>) -> HfError {
        HfError::PreconditionFailed {
            context: Box::new(HttpContext {
                method: Method::POST,
                url: format!(
                    "{}{}",
                    self.client.endpoint(),
                    self.commit_path(&options.revision)
                ),
                status: StatusCode::PRECONDITION_FAILED,
                request_id: None,
                error_code: None,
                server_message: Some(format!(
                    "the branch {} is at {}, not at the expected {}",
                    options.revision,
                    head.unwrap_or("no commit"),
                    options.parent_commit.as_deref().unwrap_or("no commit"),
                )),
                asked_wait: None,
            }),
        }
    }

    fn commit_path(&self, revision: &Revision) -> String {
        format!("{}/commit/{}", self.api_path(), revision.encoded())
    }

    /// Lets the Hub check the front matter of a card before anything is sent.
    async fn check_card(&self, files: &[Planned]) -> Result<(), HfError> {
        let Some(card) = files.iter().find(|file| file.path == "README.md") else {
            return Ok(());
        };
        let bytes = match &card.source {
            Source::Bytes(bytes) => bytes.clone(),
            Source::File(path) => {
                let path = path.clone();
                blocking(move || {
                    std::fs::read(&path)
                        .map(Bytes::from)
                        .map_err(|error| io_error("read", &path, error))
                })
                .await?
            }
        };
        let Ok(content) = std::str::from_utf8(&bytes) else {
            return Err(invalid("README.md is not valid UTF-8"));
        };
        let body = json!({ "content": content, "repoType": self.repo_type.as_str() });
        let spec = RequestSpec::post("/api/validate-yaml").json(&body)?.idempotent();
        let answer: wire::YamlCheck = match self.client.request_json(spec).await {
            Ok(answer) => answer,
            // A Hub without this check still refuses a bad card at the commit.
            Err(HfError::NotFound { .. }) => return Ok(()),
            Err(error) if error.status() == Some(StatusCode::NOT_IMPLEMENTED) => return Ok(()),
            Err(error) => return Err(error),
        };
        for warning in &answer.warnings {
            tracing::warn!(repo_id = %self.repo_id, "README.md: {}", warning.message);
        }
        if answer.errors.is_empty() {
            return Ok(());
        }
        let problems: Vec<&str> = answer.errors.iter().map(|error| error.message.as_str()).collect();
        Err(invalid(format!(
            "the Hub refuses the front matter of README.md: {}",
            problems.join("; ")
        )))
    }

    async fn add_matching_deletes(
        &self,
        patterns: &Patterns,
        files: &[Planned],
        revision: &Revision,
        deletes: &mut Vec<CommitOperation>,
    ) -> Result<(), HfError> {
        let kept: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let mut tree = self.list_tree(revision, None, true);
        while let Some(entry) = tree.next().await.transpose()? {
            if entry.kind == super::TreeKind::File
                // Without it the Hub would forget which files are large.
                && entry.path != ".gitattributes"
                && !kept.contains(entry.path.as_str())
                && patterns.matches(&entry.path)
            {
                deletes.push(CommitOperation::DeleteFile { path: entry.path });
            }
        }
        Ok(())
    }

    /// Asks how each file is stored, hashes what has to be, and leaves out what is there already.
    ///
    /// Returns all files, hashes kept, so that another round does not read them again.
    async fn plan(
        &self,
        mut files: Vec<Planned>,
        deletes: Vec<CommitOperation>,
        options: &CommitOptions,
    ) -> Result<(Vec<Planned>, Round), HfError> {
        let mut remote: HashMap<String, String> = HashMap::new();
        let mut ignored: HashSet<String> = HashSet::new();
        let mut unknown = Vec::new();
        for batch in files.chunks_mut(PREUPLOAD_BATCH) {
            let answer = self.preupload(batch, &options.revision).await?;
            let tells_oids = answer.commit_oid.is_some();
            let mut answers: HashMap<String, wire::PreuploadFile> = answer
                .files
                .into_iter()
                .map(|file| (file.path.clone(), file))
                .collect();
            for file in batch {
                let answer = answers.remove(&file.path).ok_or_else(|| {
                    HfError::decode(
                        "the answer to preupload",
                        format!("it leaves out {:?}", file.path),
                    )
                })?;
                // The Hub stores an empty file in git, whatever its name.
                file.large = answer.upload_mode == "lfs" && file.size > 0;
                if answer.should_ignore {
                    ignored.insert(file.path.clone());
                }
                match answer.oid {
                    Some(oid) => {
                        remote.insert(file.path.clone(), oid);
                    }
                    None if !tells_oids => unknown.push(file.path.clone()),
                    None => {}
                }
            }
        }
        for (path, entry) in self.paths_info(&unknown, options.revision.as_str()).await? {
            remote.insert(path, entry.sha256.unwrap_or(entry.oid));
        }
        for path in &ignored {
            tracing::warn!(repo_id = %self.repo_id, %path, "left out: the repository's .gitignore names it");
        }
        files = hash_all(files).await?;
        let mut round = Round {
            adds: Vec::new(),
            deletes,
            unchanged: 0,
        };
        for file in files.iter().filter(|file| !ignored.contains(&file.path)) {
            let same = file
                .id()
                .is_some_and(|id| remote.get(&file.path).is_some_and(|oid| oid == id.hex()));
            if same {
                round.unchanged += 1;
                options.progress.file_done(&file.path, file.size, true);
            } else {
                round.adds.push(file.clone());
            }
        }
        Ok((files, round))
    }

    async fn preupload(&self, files: &[Planned], revision: &Revision) -> Result<wire::Preupload, HfError> {
        let path = format!("{}/preupload/{}", self.api_path(), revision.encoded());
        let files: Vec<_> = files
            .iter()
            .map(
                |file| json!({ "path": file.path, "size": file.size, "sample": BASE64.encode(&file.sample) }),
            )
            .collect();
        let spec = RequestSpec::post(path)
            .json(&json!({ "files": files }))?
            .idempotent();
        self.client.request_json(spec).await
    }

    /// Asks what the repository holds at these paths. Missing ones are left out.
    async fn paths_info(
        &self,
        paths: &[String],
        revision: &str,
    ) -> Result<HashMap<String, super::TreeEntry>, HfError> {
        let revision = hf_core::encode_segment(revision);
        let mut found = HashMap::new();
        for batch in paths.chunks(PATHS_BATCH) {
            let spec = RequestSpec::post(format!("{}/paths-info/{revision}", self.api_path()))
                .json(&json!({ "paths": batch, "expand": false }))?
                .idempotent();
            let entries: Vec<wire::Tree> = self.client.request_json(spec).await?;
            found.extend(
                entries
                    .into_iter()
                    .map(|entry| (entry.path.clone(), entry.into())),
            );
        }
        Ok(found)
    }

    /// Sends the commit until its outcome is known.
    async fn send_commit(
        &self,
        round: &Round,
        parent: Option<&str>,
        options: &CommitOptions,
    ) -> Result<Sent, HfError> {
        let slot = FaultSlot::default();
        let body = commit_body(round, parent, options, &slot)?;
        let spec = RequestSpec::post(self.commit_path(&options.revision))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"))
            .body(body)
            .idle_timeout(COMMIT_IDLE)
            .no_retry();
        let mut unclear = false;
        let mut attempt = 0;
        loop {
            attempt += 1;
            let error = match self.client.request_json::<wire::Committed>(spec.clone()).await {
                Ok(done) => return Ok(Sent::Done(done)),
                Err(error) => error,
            };
            if let Some(fault) = slot.take() {
                return Err(fault);
            }
            let moved = matches!(error, HfError::PreconditionFailed { .. });
            unclear |= error.is_ambiguous();
            if unclear && let Some(done) = self.find_commit(round, parent, options).await? {
                return Ok(Sent::Done(done));
            }
            if moved {
                return Ok(Sent::Moved(error));
            }
            if attempt >= SEND_ATTEMPTS || !(error.is_transient() || super::is_busy(&error)) {
                return Err(error);
            }
            options.progress.emit(|| TransferEvent::Retrying {
                what: "the commit".to_owned(),
                why: error.to_string(),
            });
            self.client.clock().sleep(self.client.backoff(attempt)).await;
        }
    }

    /// Looks for a commit on top of `parent` that made exactly this change.
    async fn find_commit(
        &self,
        round: &Round,
        parent: Option<&str>,
        options: &CommitOptions,
    ) -> Result<Option<wire::Committed>, HfError> {
        let path = format!("{}/commits/{}", self.api_path(), options.revision.encoded());
        let mut history = self.client.pages::<wire::HistoryEntry>(&path, &[("limit", "50")]);
        // Newest first: the one before the parent in this list is its child.
        let mut child = None;
        let mut seen = 0;
        while let Some(entry) = history.next().await.transpose()? {
            if Some(entry.id.as_str()) == parent {
                break;
            }
            child = Some(entry);
            seen += 1;
            if seen >= 200 {
                return Ok(None);
            }
        }
        let Some(child) = child else { return Ok(None) };
        if child.title.trim() != options.message.lines().next().unwrap_or_default().trim() {
            return Ok(None);
        }
        let paths: Vec<String> = round
            .adds
            .iter()
            .map(|file| file.path.clone())
            .chain(
                round
                    .deletes
                    .iter()
                    .map(|operation| operation.path().trim_end_matches('/').to_owned()),
            )
            .collect();
        let there = self.paths_info(&paths, &child.id).await?;
        let added = round.adds.iter().all(|file| {
            let held = there
                .get(&file.path)
                .map(|entry| entry.sha256.as_deref().unwrap_or(&entry.oid));
            file.id().is_some_and(|id| held == Some(id.hex()))
        });
        let deleted = round
            .deletes
            .iter()
            .all(|operation| !there.contains_key(operation.path().trim_end_matches('/')));
        Ok((added && deleted).then_some(wire::Committed {
            commit_oid: child.id,
            commit_url: None,
        }))
    }
}

fn check_operations(operations: &[CommitOperation]) -> Result<(), HfError> {
    let mut seen = HashSet::new();
    for operation in operations {
        let path = operation.path();
        let path = match operation {
            CommitOperation::DeleteFolder { .. } => path.trim_end_matches('/'),
            _ => path,
        };
        check_repo_path(path)?;
        if !seen.insert(path) {
            return Err(invalid(format!("the commit names {path:?} twice")));
        }
    }
    Ok(())
}

fn open_all(
    operations: Vec<(CommitOperation, Option<blake3::Hash>)>,
) -> Result<(Vec<Planned>, Vec<CommitOperation>), HfError> {
    let mut files = Vec::new();
    let mut deletes = Vec::new();
    for (operation, passed) in operations {
        match operation {
            CommitOperation::Add { path, source } => files.push(Planned::open(path, source, passed)?),
            other => deletes.push(other),
        }
    }
    Ok((files, deletes))
}

/// Hashes files on the thread pool, some at a time, in their order.
async fn hash_all(files: Vec<Planned>) -> Result<Vec<Planned>, HfError> {
    // When this future is dropped, the guard is gone and the threads stop reading.
    let alive = Arc::new(());
    let watch = Arc::downgrade(&alive);
    let jobs = files.into_iter().map(|mut file| {
        let watch = watch.clone();
        async move {
            if file.id().is_some() {
                return Ok(file);
            }
            blocking(move || {
                file.hash(|_| watch.strong_count() > 0)?;
                Ok(file)
            })
            .await
        }
    });
    let hashed: Vec<Result<Planned, HfError>> = futures::stream::iter(jobs)
        .buffered(HASH_PARALLEL)
        .collect()
        .await;
    drop(alive);
    hashed.into_iter().collect()
}

/// A line of the commit that is known before anything is read.
#[derive(Serialize)]
struct Line<T> {
    key: &'static str,
    value: T,
}

fn line<T: Serialize>(key: &'static str, value: T) -> Result<Bytes, HfError> {
    let mut text = serde_json::to_vec(&Line { key, value })
        .map_err(|error| invalid(format!("the commit cannot be written as JSON: {error}")))?;
    text.push(b'\n');
    Ok(text.into())
}

/// A piece of the commit's body.
#[derive(Clone)]
enum Part {
    Text(Bytes),
    Content {
        source: Source,
        size: u64,
        blob_id: Option<String>,
    },
}

impl Part {
    fn length(&self) -> u64 {
        match self {
            Self::Text(text) => text.len() as u64,
            Self::Content { size, .. } => size.div_ceil(3) * 4,
        }
    }
}

/// Writes the commit as lines of JSON. Contents are read and encoded while the body is sent.
fn commit_body(
    round: &Round,
    parent: Option<&str>,
    options: &CommitOptions,
    slot: &FaultSlot,
) -> Result<RequestBody, HfError> {
    let mut header = json!({ "summary": options.message, "description": options.description });
    if let Some(parent) = parent {
        header["parentCommit"] = parent.into();
    }
    let mut parts = vec![Part::Text(line("header", header)?)];
    for file in &round.adds {
        if file.large {
            let value =
                json!({ "path": file.path, "algo": "sha256", "oid": file.sha256()?, "size": file.size });
            parts.push(Part::Text(line("lfsFile", value)?));
            continue;
        }
        let path = serde_json::Value::from(file.path.as_str()).to_string();
        parts.push(Part::Text(
            format!("{{\"key\":\"file\",\"value\":{{\"path\":{path},\"encoding\":\"base64\",\"content\":\"")
                .into(),
        ));
        parts.push(Part::Content {
            source: file.source.clone(),
            size: file.size,
            blob_id: file.blob_id.clone(),
        });
        parts.push(Part::Text(Bytes::from_static(b"\"}}\n")));
    }
    for operation in &round.deletes {
        let (key, path) = match operation {
            CommitOperation::DeleteFolder { path } => {
                ("deletedFolder", format!("{}/", path.trim_end_matches('/')))
            }
            other => ("deletedFile", other.path().to_owned()),
        };
        parts.push(Part::Text(line(key, json!({ "path": path }))?));
    }
    let length = parts.iter().map(Part::length).sum();
    let parts: Arc<[Part]> = parts.into();
    let slot = slot.clone();
    Ok(RequestBody::factory(Some(length), move || -> ByteStream {
        let parts = parts.clone();
        produced(slot.clone(), move |sender| write_parts(&parts, sender))
    }))
}

fn write_parts(parts: &[Part], sender: &PieceSender) -> Result<(), HfError> {
    for part in parts {
        let wanted = match part {
            Part::Text(text) => sender.send(text.clone()),
            Part::Content {
                source: Source::Bytes(bytes),
                ..
            } => sender.send(BASE64.encode(bytes)),
            Part::Content {
                source: Source::File(path),
                size,
                blob_id,
            } => encode_file(path, *size, blob_id.as_deref(), sender)?,
        };
        if !wanted {
            return Ok(());
        }
    }
    Ok(())
}

/// Sends a file's content as base64, checking that it is still what was hashed. False when nobody wants more.
fn encode_file(path: &Path, size: u64, blob_id: Option<&str>, sender: &PieceSender) -> Result<bool, HfError> {
    // Whole groups of three bytes, so that only the last piece is padded.
    const { assert!(PIECE.is_multiple_of(3)) };
    let mut file = File::open(path).map_err(|error| io_error("open", path, error))?;
    let mut hasher = ContentHasher::git_blob(size);
    let mut piece = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE).next_multiple_of(3).max(3))];
    let mut left = size;
    while left > 0 {
        let read = fill(&mut file, &mut piece).map_err(|error| io_error("read", path, error))?;
        if read == 0 || read as u64 > left {
            return Err(changed(path));
        }
        left -= read as u64;
        hasher.update(&piece[..read]);
        // The last piece waits for the check, so that a file that changed never makes a whole body.
        if left > 0 {
            if !sender.send(BASE64.encode(&piece[..read])) {
                return Ok(false);
            }
        } else {
            if blob_id.is_some_and(|id| hasher.finish().hex() != id) {
                return Err(changed(path));
            }
            return Ok(sender.send(BASE64.encode(&piece[..read])));
        }
    }
    Ok(true)
}
