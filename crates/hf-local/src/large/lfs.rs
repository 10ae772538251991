//! Large files by sha256, below `lfs/`.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Bytes;
use futures::{Stream, StreamExt};
use http::StatusCode;
use sha2::{Digest, Sha256};
use tempfile::TempPath;
use tokio::sync::mpsc;

use crate::reply::{HubError, HubResult};
use crate::state::dirs::Dirs;
use crate::state::files;

/// Pieces of a body that may wait for the disk.
const WAITING: usize = 8;
/// How long an object stays for a client that was told not to upload it.
const PROMISE_MS: i64 = 24 * 3_600_000;
const MAX_PROMISES: usize = 100_000;

/// Files by sha256. A file is there whole, checked and durable, or not at all.
#[derive(Clone, Debug)]
pub(crate) struct LfsStore {
    base: PathBuf,
    temp: PathBuf,
    /// Objects that clients were told need no upload, and when (milliseconds).
    promised: Arc<Mutex<HashMap<String, i64>>>,
}

impl LfsStore {
    pub(crate) fn new(dirs: &Dirs) -> Self {
        Self {
            base: dirs.lfs(),
            temp: dirs.temp(),
            promised: Arc::default(),
        }
    }

    /// Keeps an object for a client that was told not to upload it.
    pub(crate) fn promise(&self, sha256: &str, now_ms: i64) {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        if promised.len() >= MAX_PROMISES {
            promised.retain(|_, at| now_ms - *at < PROMISE_MS);
        }
        promised.insert(sha256.to_owned(), now_ms);
    }

    /// Takes a promise back: the object was not there.
    pub(crate) fn take_back(&self, sha256: &str) {
        let mut promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        promised.remove(sha256);
    }

    /// Returns whether a client was told lately not to upload an object.
    pub(crate) fn is_promised(&self, sha256: &str, now_ms: i64) -> bool {
        let promised = self.promised.lock().unwrap_or_else(PoisonError::into_inner);
        promised.get(sha256).is_some_and(|at| now_ms - at < PROMISE_MS)
    }

    /// Where a file is, or would be.
    pub(crate) fn path(&self, sha256: &str) -> PathBuf {
        Dirs::sharded(&self.base, sha256)
    }

    /// Returns the size of a file, if it is there.
    pub(crate) fn size(&self, sha256: &str) -> io::Result<Option<u64>> {
        match fs::metadata(self.path(sha256)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Receives a file. Hashing and writing happen on a thread of their own.
    ///
    /// # Errors
    /// 400 if the bytes are not those that were announced; then nothing is kept.
    pub(crate) async fn receive<E: Into<axum::BoxError>>(
        &self,
        sha256: &str,
        size: u64,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> HubResult<()> {
        let store = self.clone();
        let wanted = sha256.to_owned();
        pump(body, size, move |pieces| {
            let (mut file, path) = tempfile::NamedTempFile::new_in(&store.temp)?.into_parts();
            let mut hasher = Sha256::new();
            let mut got = 0;
            while let Some(piece) = pieces.blocking_recv() {
                let piece = piece?;
                hasher.update(&piece);
                file.write_all(&piece)?;
                got += piece.len() as u64;
            }
            store.keep(&file, path, &wanted, &hex::encode(hasher.finalize()), got, size)
        })
        .await
    }

    /// Makes a received file the object it was announced as.
    fn keep(
        &self,
        file: &File,
        path: TempPath,
        wanted: &str,
        found: &str,
        got: u64,
        size: u64,
    ) -> HubResult<()> {
        if got != size {
            return Err(HubError::bad_request(format!(
                "The object has {got} bytes, not the {size} announced"
            )));
        }
        if found != wanted {
            return Err(HubError::bad_request(format!(
                "The object has the sha256 {found}, not the {wanted} announced"
            )));
        }
        file.sync_all()?;
        let to = self.path(wanted);
        let kept = path.keep().map_err(io::Error::from)?;
        Ok(files::publish(&kept, &to)?)
    }

    /// Begins or goes on with an upload in parts.
    pub(crate) fn multipart(&self, sha256: &str, size: u64, chunk: u64) -> Multipart {
        let dir = self.temp.join(format!("parts-{sha256}-{chunk}"));
        Multipart {
            store: self.clone(),
            dir,
            sha256: sha256.to_owned(),
            size,
            chunk,
        }
    }
}

/// An upload in parts: each is written to its place in one file, then all are hashed.
#[derive(Debug)]
pub(crate) struct Multipart {
    store: LfsStore,
    dir: PathBuf,
    sha256: String,
    size: u64,
    chunk: u64,
}

impl Multipart {
    /// How many parts there are.
    pub(crate) fn parts(&self) -> u64 {
        self.size.div_ceil(self.chunk)
    }

    fn part_size(&self, number: u64) -> Option<u64> {
        let start = number.checked_sub(1)?.checked_mul(self.chunk)?;
        (start < self.size).then(|| self.chunk.min(self.size - start))
    }

    /// Receives a part (the first is 1) and returns its `ETag`, without quotes.
    pub(crate) async fn receive<E: Into<axum::BoxError>>(
        &self,
        number: u64,
        body: impl Stream<Item = Result<Bytes, E>>,
    ) -> HubResult<String> {
        let size = self
            .part_size(number)
            .ok_or_else(|| HubError::not_found(format!("There is no part {number}")))?;
        let start = (number - 1) * self.chunk;
        let dir = self.dir.clone();
        pump(body, size, move |pieces| {
            fs::create_dir_all(&dir)?;
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(dir.join("data"))?;
            let mut hasher = blake3::Hasher::new();
            let mut got = 0;
            while let Some(piece) = pieces.blocking_recv() {
                let piece = piece?;
                hasher.update(&piece);
                file.write_all_at(&piece, start + got)?;
                got += piece.len() as u64;
            }
            if got != size {
                return Err(HubError::bad_request(format!(
                    "Part {number} has {got} bytes, not {size}"
                )));
            }
            let etag = hasher.finalize().to_hex().to_string();
            fs::write(dir.join(number.to_string()), &etag)?;
            Ok(etag)
        })
        .await
    }

    /// Puts the parts together. `etags` are those of parts 1, 2, ..
    ///
    /// # Errors
    /// 400 if a part is missing or is not the one named, or if the whole is not what was announced.
    pub(crate) async fn complete(self, etags: Vec<String>) -> HubResult<()> {
        if self.store.size(&self.sha256)? == Some(self.size) && !self.dir.exists() {
            // The answer to an earlier completion was lost.
            return Ok(());
        }
        if etags.len() as u64 != self.parts() {
            return Err(HubError::bad_request(format!(
                "{} parts were named; there are {}",
                etags.len(),
                self.parts()
            )));
        }
        blocking(move || {
            for (number, etag) in (1..).zip(&etags) {
                let stored = fs::read_to_string(self.dir.join(u64::to_string(&number))).ok();
                if stored.as_deref() != Some(etag.trim_matches('"')) {
                    return Err(HubError::bad_request(format!(
                        "Part {number} was not uploaded, or is another one"
                    )));
                }
            }
            let path = self.dir.join("data");
            let mut file = File::open(&path)?;
            let mut hasher = Sha256::new();
            let mut buffer = vec![0; 256 * 1024];
            let mut got = 0;
            loop {
                let read = file.read(&mut buffer)?;
                let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else {
                    break;
                };
                hasher.update(piece);
                got += read as u64;
            }
            let found = hex::encode(hasher.finalize());
            let result = self.store.keep(
                &file,
                TempPath::try_from_path(path)?,
                &self.sha256,
                &found,
                got,
                self.size,
            );
            remove_dir(&self.dir)?;
            result
        })
        .await
    }
}

fn remove_dir(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Hands the pieces of a body to a thread that may block. A body longer than `size` is cut off with 400.
async fn pump<T: Send + 'static, E: Into<axum::BoxError>>(
    body: impl Stream<Item = Result<Bytes, E>>,
    size: u64,
    work: impl FnOnce(&mut mpsc::Receiver<HubResult<Bytes>>) -> HubResult<T> + Send + 'static,
) -> HubResult<T> {
    let (sender, mut receiver) = mpsc::channel(WAITING);
    let worker = tokio::spawn(blocking(move || work(&mut receiver)));
    let mut body = std::pin::pin!(body);
    let mut left = size;
    while let Some(piece) = body.next().await {
        let piece = match piece {
            Ok(piece) if piece.len() as u64 <= left => {
                left -= piece.len() as u64;
                Ok(piece)
            }
            Ok(_) => Err(HubError::new(
                StatusCode::BAD_REQUEST,
                format!("The body is longer than the {size} bytes announced"),
            )),
            Err(error) => {
                let error: axum::BoxError = error.into();
                tracing::debug!(error, "an upload ended early");
                Err(HubError::bad_request("The upload ended early"))
            }
        };
        let last = piece.is_err();
        if sender.send(piece).await.is_err() || last {
            break;
        }
    }
    drop(sender);
    worker.await.map_err(|error| HubError::internal(&error))?
}

/// Runs what may block where it may.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> HubResult<T> + Send + 'static,
) -> HubResult<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| HubError::internal(&error))?
}
