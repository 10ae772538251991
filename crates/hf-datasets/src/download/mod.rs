//! Downloads that continue where they stopped and check what they got.

mod partial;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use hf_core::{HfError, HfResponse, Redirects, RequestSpec, Revision, TransportKind, encode_path};
use http::header::{ACCEPT_ENCODING, CONTENT_RANGE, ETAG, LOCATION, RANGE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::sync::Semaphore;
use url::Url;

use self::partial::{Partial, Writer};
use crate::hash::{ContentHasher, ContentId, file_matches};
use crate::path::{check_repo_path, prepare_target};
use crate::pattern::Patterns;
use crate::progress::{Progress, TransferEvent};
use crate::repo::{RepoFiles, TreeKind};
use crate::{blocking, io_error};

/// Files up to this size are fetched whole and written at once.
const SMALL: u64 = 1024 * 1024;
/// How many files are fetched at the same time, unless the caller says otherwise.
const PARALLEL: usize = 16;
/// How many of them may be large.
const PARALLEL_LARGE: usize = 4;
/// How often a download that makes no progress is tried.
const ATTEMPTS: u32 = 6;
/// How long to wait for another download of the same file to let go of its partial file, and how often to look.
const BUSY_WAIT: (Duration, u32) = (Duration::from_millis(100), 10);

/// How a repository is downloaded.
#[derive(Debug, Clone)]
pub struct DownloadOptions {
    /// The branch, tag or commit.
    pub revision: Revision,
    /// Only files whose path matches one of these. All if empty.
    pub allow_patterns: Vec<String>,
    /// No files whose path matches one of these.
    pub ignore_patterns: Vec<String>,
    /// How many files are fetched at the same time.
    pub parallel: usize,
    /// Who is told how far it is.
    pub progress: Progress,
}

impl Default for DownloadOptions {
    fn default() -> Self {
        Self {
            revision: Revision::main(),
            allow_patterns: Vec::new(),
            ignore_patterns: Vec::new(),
            parallel: PARALLEL,
            progress: Progress::none(),
        }
    }
}

/// A file that is on disk now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DownloadedFile {
    /// Its path in the repository.
    pub repo_path: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Its size.
    pub size_bytes: u64,
    /// How much of it came over the network in this call.
    pub received_bytes: u64,
    /// How much an earlier, interrupted download had left.
    pub resumed_bytes: u64,
    /// Whether it was there already, as the repository has it.
    pub unchanged: bool,
    /// Whether its hash was compared with the Hub's. False only when the Hub gives no hash to compare with.
    pub verified: bool,
    /// The commit it was taken from, when the Hub says so.
    pub commit: Option<String>,
}

/// A repository that is on disk now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The folder.
    pub path: PathBuf,
    /// The commit all files belong to.
    pub revision: String,
    /// The files, sorted by path.
    pub files: Vec<DownloadedFile>,
}

/// A file to fetch.
struct Job {
    repo_path: String,
    revision: Revision,
    target: PathBuf,
    known: Option<Known>,
    progress: Progress,
}

/// What is known about the content before it comes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    etag: String,
    id: Option<ContentId>,
    size: Option<u64>,
    commit: Option<String>,
}

/// A download under way.
struct Run {
    writer: Writer,
    known: Known,
    resumed: u64,
    received: u64,
}

/// What came back for a request of content.
struct Content {
    response: HfResponse,
    known: Known,
}

impl RepoFiles {
    /// Downloads one file to `target`, continuing an earlier try.
    ///
    /// Data grows in `<target>.<etag>.incomplete`. A process that was killed leaves that file, and the next call, from
    /// whatever process, continues it. The target appears only when its hash is the Hub's. A target that has the right
    /// content already is left alone.
    ///
    /// # Errors
    ///
    /// [`HfError::NotFound`] when the file or revision is missing; [`HfError::Decode`] when the content does not have
    /// the hash the Hub names, twice; [`HfError::Io`] when it cannot be written.
    ///
    /// # Source
    ///
    /// `huggingface_hub` 2.4.0 `file_download.py`: `X-Linked-Etag` before `ETag`, `X-Linked-Size`, and the token stays
    /// behind when the content lies on another origin.
    pub async fn download_file(
        &self,
        path: &str,
        revision: &Revision,
        target: &Path,
        progress: &Progress,
    ) -> Result<DownloadedFile, HfError> {
        check_repo_path(path)?;
        let target = target.to_path_buf();
        if let Some(parent) = target.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            tokio::fs::create_dir_all(parent)
                .await
                .map_err(|error| io_error("create the folder", parent, error))?;
        }
        let job = Job {
            repo_path: path.to_owned(),
            revision: revision.clone(),
            target,
            known: None,
            progress: progress.clone(),
        };
        let file = self.fetch(&job).await?;
        progress.emit(|| TransferEvent::Finished);
        Ok(file)
    }

    /// Downloads the files of a revision into `folder`; all of one commit, even if the branch moves meanwhile.
    ///
    /// Files that are there already are left alone, so a repeated call fetches what is missing. Files the repository
    /// does not have stay. Paths that would leave the folder, also through a link, are refused.
    ///
    /// # Errors
    ///
    /// As [`RepoFiles::download_file`], and [`HfError::InvalidArgument`] for a path that must not be written.
    pub async fn download_snapshot(
        &self,
        folder: &Path,
        options: &DownloadOptions,
    ) -> Result<Snapshot, HfError> {
        let allow = Patterns::parse(&options.allow_patterns)?;
        let ignore = Patterns::parse(&options.ignore_patterns)?;
        let info = self.info(Some(&options.revision)).await?;
        let Some(commit) = info.sha else {
            return Err(crate::invalid(format!(
                "{} has no commit yet; there is nothing to download",
                self.repo_id
            )));
        };
        let revision = Revision::parse(&commit)?;
        let mut jobs = Vec::new();
        let mut seen = HashSet::new();
        let mut total = 0;
        let mut tree = self.list_tree(&revision, None, true);
        while let Some(entry) = tree.next().await.transpose()? {
            let wanted = entry.kind == TreeKind::File
                && (options.allow_patterns.is_empty() || allow.matches(&entry.path))
                && !ignore.matches(&entry.path);
            if !wanted {
                continue;
            }
            check_repo_path(&entry.path)?;
            if !seen.insert(entry.path.clone()) {
                return Err(HfError::decode(
                    "the list of files",
                    format!("it names {:?} twice", entry.path),
                ));
            }
            total += entry.size_bytes;
            let etag = entry.sha256.unwrap_or(entry.oid);
            // On a gated repository the hashes are masked; then the answer's own header says.
            let known = ContentId::parse(&etag).map(|id| Known {
                etag,
                id: Some(id),
                size: Some(entry.size_bytes),
                commit: Some(commit.clone()),
            });
            jobs.push((entry.path, entry.size_bytes, known));
        }
        let files = jobs.len() as u64;
        options
            .progress
            .emit(|| TransferEvent::Started { files, bytes: total });
        let root = folder.to_path_buf();
        let root = blocking(move || {
            std::fs::create_dir_all(&root).map_err(|error| io_error("create the folder", &root, error))?;
            Ok(root)
        })
        .await?;
        let large = Arc::new(Semaphore::new(PARALLEL_LARGE));
        let fetches = jobs.into_iter().map(|(repo_path, size, known)| {
            let (root, revision, large) = (root.clone(), revision.clone(), large.clone());
            let progress = options.progress.clone();
            async move {
                let _permit = if size > SMALL {
                    large.acquire().await.ok()
                } else {
                    None
                };
                let path = repo_path.clone();
                let target = blocking(move || prepare_target(&root, &path)).await?;
                self.fetch(&Job {
                    repo_path,
                    revision,
                    target,
                    known,
                    progress,
                })
                .await
            }
        });
        let mut files: Vec<DownloadedFile> = futures::stream::iter(fetches)
            .buffer_unordered(options.parallel.max(1))
            .try_collect()
            .await?;
        files.sort_by(|a, b| a.repo_path.cmp(&b.repo_path));
        options.progress.emit(|| TransferEvent::Finished);
        Ok(Snapshot {
            path: root,
            revision: commit,
            files,
        })
    }

    async fn fetch(&self, job: &Job) -> Result<DownloadedFile, HfError> {
        if let Some(known) = &job.known {
            if let Some(file) = job.already_there(known).await? {
                return Ok(file);
            }
            if let (Some(id), Some(size)) = (&known.id, known.size)
                && size <= SMALL
            {
                return self.fetch_small(job, known, id, size).await;
            }
        }
        self.fetch_large(job).await
    }

    /// Fetches a file that fits into memory.
    async fn fetch_small(
        &self,
        job: &Job,
        known: &Known,
        id: &ContentId,
        size: u64,
    ) -> Result<DownloadedFile, HfError> {
        let mut failures = 0;
        loop {
            let content = if size == 0 {
                Bytes::new()
            } else {
                self.client
                    .request_bytes(
                        self.resolve_spec(job, &job.revision, 0)?
                            .redirects(Redirects::Follow),
                    )
                    .await?
            };
            let got = content.len() as u64;
            let (expected, target) = (id.clone(), job.target.clone());
            let published = blocking(move || {
                let mut hasher = ContentHasher::like(&expected, size);
                hasher.update(&content);
                if got != size || hasher.finish() != expected {
                    return Ok(false);
                }
                let mut partial = Partial::private(&target)?;
                partial.write_whole(&content)?;
                partial.publish(&target)?;
                Ok(true)
            })
            .await?;
            if published {
                job.progress.file_done(&job.repo_path, size, false);
                return Ok(job.done(known, size, got, 0, true));
            }
            failures += 1;
            if failures > 1 {
                return Err(job.wrong_content());
            }
            job.retrying("its content was not what the Hub announced");
        }
    }

    async fn fetch_large(&self, job: &Job) -> Result<DownloadedFile, HfError> {
        let mut known = job.known.clone();
        let mut commit_pin = job.revision.clone();
        let mut run: Option<Run> = None;
        let mut failures = 0;
        let mut wrong = 0;
        loop {
            let before = run.as_ref().map_or(0, |run| run.writer.position());
            let outcome = match self.advance(job, &commit_pin, &mut known, &mut run).await {
                Ok(Some(file)) => return Ok(file),
                Ok(None) => Ok(()),
                Err(error) => Err(error),
            };
            if let Some(commit) = known.as_ref().and_then(|known| known.commit.as_deref())
                && let Ok(commit) = Revision::parse(commit)
            {
                // Later tries ask for the same commit, so a branch that moves cannot mix two contents.
                commit_pin = commit;
            }
            match outcome {
                Ok(()) => {
                    let Some(finished) = run.take() else { continue };
                    if let Some(file) = job.finish(finished).await? {
                        return Ok(file);
                    }
                    wrong += 1;
                    if wrong > 1 {
                        return Err(job.wrong_content());
                    }
                    job.retrying("its content does not have the hash the Hub names");
                }
                Err(error) => {
                    let after = run.as_ref().map_or(0, |run| run.writer.position());
                    failures = if after > before { 1 } else { failures + 1 };
                    let expired = matches!(error.status(), Some(StatusCode::FORBIDDEN)) && run.is_some();
                    if failures >= ATTEMPTS || !(error.is_transient() || expired) {
                        if let Some(run) = run {
                            // What came is kept for the next call.
                            drop(run.writer.finish().await?);
                        }
                        return Err(error);
                    }
                    job.retrying(&error.to_string());
                    self.client.clock().sleep(self.client.backoff(failures)).await;
                }
            }
        }
    }

    /// Opens the content and writes it to its end. Returns the file when it turns out to be there already.
    async fn advance(
        &self,
        job: &Job,
        revision: &Revision,
        known: &mut Option<Known>,
        run: &mut Option<Run>,
    ) -> Result<Option<DownloadedFile>, HfError> {
        if run.is_none()
            && let Some(known) = known.as_ref()
        {
            *run = Some(self.start(job, known).await?);
        }
        if run
            .as_ref()
            .is_some_and(|run| Some(run.writer.position()) == run.known.size)
        {
            return Ok(None);
        }
        let from = run.as_ref().map_or(0, |run| run.writer.position());
        let content = match self.open(job, revision, from).await {
            Err(error) if error.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE) && from > 0 => {
                // The partial file is longer than the content: it is something else.
                if let Some(run) = run {
                    run.restart().await?;
                }
                return Err(job.broken("the storage refused to continue"));
            }
            other => other?,
        };
        // What the list of files said about a commit holds; otherwise a new name means a new content.
        let replaced = |run: &Run| !content.known.etag.is_empty() && run.known.etag != content.known.etag;
        if job.known.is_none() && run.as_ref().is_some_and(replaced) {
            // Another content than the one begun; its partial file stays for whoever wants it.
            *run = None;
        }
        if run.is_none() {
            if let Some(file) = job.already_there(&content.known).await? {
                return Ok(Some(file));
            }
            *known = Some(content.known.clone());
            let started = self.start(job, &content.known).await?;
            let resumed = started.writer.position() > 0;
            *run = Some(started);
            if resumed {
                // Ask again, for the rest only.
                return Box::pin(self.advance(job, revision, known, run)).await;
            }
        }
        let Some(run) = run else { return Ok(None) };
        run.receive(job, content).await?;
        Ok(None)
    }

    /// Opens the partial file and starts its writer.
    async fn start(&self, job: &Job, known: &Known) -> Result<Run, HfError> {
        let (wait, looks) = BUSY_WAIT;
        let mut partial = None;
        for look in 0..looks {
            let (target, etag) = (job.target.clone(), known.etag.clone());
            partial = blocking(move || Partial::open(&target, &etag)).await?;
            if partial.is_some() || look + 1 == looks {
                break;
            }
            self.client.clock().sleep(wait).await;
        }
        let mut partial = if let Some(partial) = partial {
            partial
        } else {
            let target = job.target.clone();
            blocking(move || Partial::private(&target)).await?
        };
        let unusable = known.etag.is_empty() || known.size.is_none_or(|size| partial.length() > size);
        if unusable && partial.length() > 0 {
            partial = blocking(move || {
                partial.clear()?;
                Ok(partial)
            })
            .await?;
        }
        let resumed = partial.length();
        // Git's hash starts with the length; without it the file is hashed at the end.
        let hashed = known.size.and(known.id.as_ref());
        let writer = Writer::start(
            partial,
            job.repo_path.clone(),
            hashed,
            known.size.unwrap_or(0),
            job.progress.clone(),
        );
        Ok(Run {
            writer,
            known: known.clone(),
            resumed,
            received: 0,
        })
    }

    fn resolve_spec(&self, job: &Job, revision: &Revision, from: u64) -> Result<RequestSpec, HfError> {
        let path = format!(
            "/{}{}/resolve/{}/{}",
            self.repo_type.url_prefix(),
            self.repo_id,
            revision.encoded(),
            encode_path(&job.repo_path)
        );
        ranged(RequestSpec::get(path), from)
    }

    /// Asks for the content from `from` on.
    async fn open(&self, job: &Job, revision: &Revision, from: u64) -> Result<Content, HfError> {
        let spec = self
            .resolve_spec(job, revision, from)?
            .redirects(Redirects::SameOrigin);
        let answer = self.client.request(spec).await?;
        let mut known = read_head(answer.headers());
        if !answer.status().is_redirection() {
            if known.size.is_none() {
                known.size = full_size(&answer);
            }
            return Ok(Content {
                response: answer,
                known,
            });
        }
        let location = answer
            .headers()
            .get(LOCATION)
            .and_then(|location| location.to_str().ok())
            .and_then(|location| answer.url().join(location).ok())
            .ok_or_else(|| HfError::decode("the redirect to a file's content", "its Location is no URL"))?;
        let response = self.payload(location, from).await?;
        if known.size.is_none() {
            known.size = full_size(&response);
        }
        if known.etag.is_empty() {
            // A storage names its objects as it likes, so this is a name and no hash to compare with.
            known.etag = etag_of(response.headers(), "etag").unwrap_or_default();
        }
        Ok(Content { response, known })
    }

    async fn payload(&self, url: Url, from: u64) -> Result<HfResponse, HfError> {
        self.client
            .request(ranged(RequestSpec::to_url(Method::GET, url).anonymous(), from)?)
            .await
    }
}

fn ranged(spec: RequestSpec, from: u64) -> Result<RequestSpec, HfError> {
    let spec = spec.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    if from == 0 {
        return Ok(spec);
    }
    let range = HeaderValue::try_from(format!("bytes={from}-"))
        .map_err(|_| HfError::decode("the size of the partial file", "it cannot stand in a header"))?;
    Ok(spec.header(RANGE, range))
}

fn read_head(headers: &HeaderMap) -> Known {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let etag = etag_of(headers, "x-linked-etag")
        .or_else(|| etag_of(headers, ETAG.as_str()))
        .unwrap_or_default();
    Known {
        id: ContentId::parse(&etag),
        etag,
        size: text("x-linked-size").and_then(|size| size.parse().ok()),
        commit: text("x-repo-commit"),
    }
}

fn etag_of(headers: &HeaderMap, name: &str) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    let text = text
        .trim()
        .strip_prefix("W/")
        .unwrap_or(text.trim())
        .trim_matches('"');
    (!text.is_empty()).then(|| text.to_owned())
}

/// The size of the whole content, from the answer that carries it or a part of it.
fn full_size(response: &HfResponse) -> Option<u64> {
    if response.status() == StatusCode::PARTIAL_CONTENT {
        return content_range(response.headers()).and_then(|(_, total)| total);
    }
    response.content_length()
}

/// Reads `Content-Range: bytes 5-9/10` as the first byte and the total.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes")?.trim().split_once('/')?;
    let (first, _) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, total.trim().parse().ok()))
}

impl Run {
    async fn restart(&mut self) -> Result<(), HfError> {
        self.resumed = 0;
        if self.writer.restart().await {
            Ok(())
        } else {
            Err(self.writer.failure().await)
        }
    }

    /// Writes the content until it ends.
    async fn receive(&mut self, job: &Job, content: Content) -> Result<(), HfError> {
        let from = self.writer.position();
        if from > 0 {
            let continues = content.response.status() == StatusCode::PARTIAL_CONTENT
                && content_range(content.response.headers()).is_some_and(|(first, total)| {
                    first == from
                        && (total.is_none() || self.known.size.is_none() || total == self.known.size)
                });
            if !continues {
                self.restart().await?;
                if content.response.status() == StatusCode::PARTIAL_CONTENT {
                    return Err(job.broken("the storage answered with another part than the one asked for"));
                }
            }
        }
        let mut body = Box::pin(content.response.into_stream());
        while let Some(piece) = body.next().await.transpose()? {
            let end = self.writer.position() + piece.len() as u64;
            if self.known.size.is_some_and(|size| end > size) {
                self.restart().await?;
                return Err(job.broken("more came than the Hub announced"));
            }
            self.received += piece.len() as u64;
            if !self.writer.write(piece).await {
                return Err(self.writer.failure().await);
            }
        }
        match self.known.size {
            Some(size) if self.writer.position() < size => Err(job.broken("the content ended early")),
            _ => Ok(()),
        }
    }
}

impl Job {
    /// Says that the target has the right content already.
    async fn already_there(&self, known: &Known) -> Result<Option<DownloadedFile>, HfError> {
        let (Some(id), Some(size)) = (known.id.clone(), known.size) else {
            return Ok(None);
        };
        let target = self.target.clone();
        if !blocking(move || file_matches(&target, &id, size)).await? {
            return Ok(None);
        }
        self.progress.file_done(&self.repo_path, size, true);
        Ok(Some(DownloadedFile {
            unchanged: true,
            ..self.done(known, size, 0, 0, true)
        }))
    }

    /// Checks the finished content and moves it to its target; `None` when it is wrong, and gone.
    async fn finish(&self, run: Run) -> Result<Option<DownloadedFile>, HfError> {
        let Run {
            writer,
            known,
            resumed,
            received,
        } = run;
        let (partial, hash) = writer.finish().await?;
        let (target, expected) = (self.target.clone(), known.id.clone());
        let length = partial.length();
        let good = blocking(move || {
            let good = match (&expected, hash) {
                (None, _) => true,
                (Some(expected), Some(hash)) => *expected == hash,
                (Some(expected), None) => file_matches(partial.path(), expected, partial.length())?,
            };
            if good {
                partial.publish(&target)?;
            } else {
                partial.discard();
            }
            Ok(good)
        })
        .await?;
        if !good {
            return Ok(None);
        }
        self.progress.file_done(&self.repo_path, length, false);
        Ok(Some(self.done(
            &known,
            length,
            received,
            resumed,
            known.id.is_some(),
        )))
    }

    fn done(&self, known: &Known, size: u64, received: u64, resumed: u64, verified: bool) -> DownloadedFile {
        DownloadedFile {
            repo_path: self.repo_path.clone(),
            path: self.target.clone(),
            size_bytes: size,
            received_bytes: received,
            resumed_bytes: resumed,
            unchanged: false,
            verified,
            commit: known.commit.clone(),
        }
    }

    fn retrying(&self, why: &str) {
        self.progress.emit(|| TransferEvent::Retrying {
            what: self.repo_path.clone(),
            why: why.to_owned(),
        });
    }

    fn broken(&self, why: &str) -> HfError {
        HfError::Transport {
            kind: TransportKind::Body,
            request: format!("download of {}", self.repo_path),
            message: why.to_owned(),
            source: None,
        }
    }

    fn wrong_content(&self) -> HfError {
        HfError::decode(
            format!("the content of {:?}", self.repo_path),
            "twice it was not what the Hub announced: size or hash differ. Nothing was written; try again later",
        )
    }
}
