//! The store: xorbs as files, the rest in an index, and what the Hub asks of both.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::Stream;
use tokio::sync::Semaphore;

use super::index::{Index, Registration};
use super::reader::{self, BufferPool, FileSpans, RawSpans};
use super::reconstruction::{self, Plan};
use super::shard::{self, Progress};
use super::token::{FETCH_URL_LIFETIME_SECONDS, FetchGrant, Keys, Refused, TOKEN_LIFETIME_SECONDS};
use super::xorb::{XorbIndex, XorbReceiver};
use super::{Result, XetError, XetFile, XetHash, XetScope, XetToken};
use crate::clock::HubClock;

/// The most chunks whose place is kept in memory, over all xorbs: about 10 MB.
const CACHED_CHUNKS: usize = 256 * 1024;

/// How many shards are checked at once; each reads footers and may hash whole files.
const SHARDS_AT_ONCE: usize = 2;

/// The files and folders of a store, as blocking code uses them.
#[derive(Debug)]
pub(super) struct Shelf {
    xorbs: PathBuf,
    temporary: PathBuf,
    indexes: Mutex<IndexCache>,
    buffers: Arc<BufferPool>,
}

impl Shelf {
    fn open(dir: &Path) -> io::Result<Self> {
        let (xorbs, temporary) = (dir.join("xorbs"), dir.join("tmp"));
        fs::create_dir_all(&xorbs)?;
        // What an upload left behind when the process was killed.
        if temporary.exists() {
            fs::remove_dir_all(&temporary)?;
        }
        fs::create_dir_all(&temporary)?;
        Ok(Self {
            xorbs,
            temporary,
            indexes: Mutex::default(),
            buffers: Arc::default(),
        })
    }

    pub(super) fn buffers(&self) -> &Arc<BufferPool> {
        &self.buffers
    }

    fn path(&self, xorb: &XetHash) -> PathBuf {
        let name = xorb.to_string();
        self.xorbs.join(&name[..2]).join(name)
    }

    pub(super) fn has_xorb(&self, xorb: &XetHash) -> Result<bool> {
        self.path(xorb)
            .try_exists()
            .map_err(XetError::io("look for a xorb"))
    }

    pub(super) fn receive(&self, xorb: XetHash) -> Result<XorbReceiver> {
        XorbReceiver::new(xorb, &self.temporary)
    }

    pub(super) fn keep(&self, xorb: &XetHash, receiver: XorbReceiver) -> Result<()> {
        receiver.finish(&self.path(xorb))
    }

    fn open_file(&self, xorb: &XetHash) -> Result<File> {
        File::open(self.path(xorb)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => XetError::NotFound {
                what: "xorb",
                hash: *xorb,
            },
            _ => XetError::io("open a xorb")(error),
        })
    }

    pub(super) fn open_xorb(&self, xorb: &XetHash) -> Result<(File, Arc<XorbIndex>)> {
        let file = self.open_file(xorb)?;
        if let Some(index) = self.cached(xorb) {
            return Ok((file, index));
        }
        let index = Arc::new(XorbIndex::read(&file, xorb)?);
        self.indexes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(*xorb, &index);
        Ok((file, index))
    }

    pub(super) fn xorb_index(&self, xorb: &XetHash) -> Result<Arc<XorbIndex>> {
        match self.cached(xorb) {
            Some(index) => Ok(index),
            None => self.open_xorb(xorb).map(|(_, index)| index),
        }
    }

    fn cached(&self, xorb: &XetHash) -> Option<Arc<XorbIndex>> {
        self.indexes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(xorb)
    }
}

/// The xorb indexes used last.
#[derive(Debug, Default)]
struct IndexCache {
    entries: HashMap<XetHash, (u64, Arc<XorbIndex>)>,
    chunks: usize,
    clock: u64,
}

impl IndexCache {
    fn get(&mut self, xorb: &XetHash) -> Option<Arc<XorbIndex>> {
        self.clock += 1;
        let (used, index) = self.entries.get_mut(xorb)?;
        *used = self.clock;
        Some(Arc::clone(index))
    }

    fn insert(&mut self, xorb: XetHash, index: &Arc<XorbIndex>) {
        self.clock += 1;
        self.chunks += index.chunk_count() as usize;
        if let Some((_, old)) = self.entries.insert(xorb, (self.clock, Arc::clone(index))) {
            self.chunks -= old.chunk_count() as usize;
        }
        while self.chunks > CACHED_CHUNKS && self.entries.len() > 1 {
            let Some(oldest) = self
                .entries
                .iter()
                .min_by_key(|(_, (used, _))| *used)
                .map(|(xorb, _)| *xorb)
            else {
                return;
            };
            if let Some((_, index)) = self.entries.remove(&oldest) {
                self.chunks -= index.chunk_count() as usize;
            }
        }
    }
}

/// Keeps the large files of a Hub the way Xet clients send them. A cheap clone.
///
/// Everything is in one folder: `xorbs/` (chunks in the official format, named by hash), `index.db` (SQLite), `secret`
/// (the key behind tokens and signed URLs) and `tmp/`. One process may have it open at a time.
#[derive(Clone)]
pub struct XetStore {
    shelf: Arc<Shelf>,
    index: Index,
    keys: Keys,
    clock: HubClock,
    shard_slots: Arc<Semaphore>,
}

impl std::fmt::Debug for XetStore {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("XetStore")
            .field("xorbs", &self.shelf.xorbs)
            .finish_non_exhaustive()
    }
}

impl XetStore {
    /// Opens the store in `dir`, or makes one; removes what interrupted uploads left there.
    ///
    /// # Errors
    ///
    /// [`XetError::Io`] or [`XetError::Index`] when the folder cannot be used, [`XetError::Damaged`] when its secret
    /// is not one.
    pub async fn open(dir: impl Into<PathBuf>, clock: HubClock) -> Result<Self> {
        let dir: PathBuf = dir.into();
        let (dir, shelf, keys) = blocking(move || {
            let shelf = Shelf::open(&dir).map_err(XetError::io("open its folder"))?;
            let keys = Keys::open(&dir)?;
            Ok((dir, shelf, keys))
        })
        .await?;
        let index = Index::open(&dir.join("index.db")).await?;
        let shard_slots = Arc::new(Semaphore::new(SHARDS_AT_ONCE));
        Ok(Self {
            shelf: Arc::new(shelf),
            index,
            keys,
            clock,
            shard_slots,
        })
    }

    /// Finds the file whose bytes have this SHA-256. Only digests that the store computed itself are found.
    ///
    /// # Errors
    ///
    /// [`XetError::Index`] when the index cannot be read, [`XetError::Damaged`] when it contradicts itself.
    pub async fn lookup_sha256(&self, sha256: &[u8; 32]) -> Result<Option<XetFile>> {
        self.index.lookup_sha256(sha256).await
    }

    /// Finds the file with this hash.
    ///
    /// # Errors
    ///
    /// [`XetError::Index`] when the index cannot be read.
    pub async fn file(&self, hash: &XetHash) -> Result<Option<XetFile>> {
        Ok(self
            .index
            .file_size(hash)
            .await?
            .map(|size| XetFile { hash: *hash, size }))
    }

    /// Streams a file, or `range` of it, without ever holding more than a few spans of it.
    ///
    /// A range that ends past the file is cut at its end.
    ///
    /// # Errors
    ///
    /// [`XetError::NotFound`] when there is no such file, [`XetError::RangeNotSatisfiable`] when the range starts at or
    /// past the end, [`XetError::Index`] when the index cannot be read. What goes wrong later is an error item of the
    /// stream, which then ends.
    pub async fn stream_file(
        &self,
        hash: &XetHash,
        range: Option<Range<u64>>,
    ) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>> {
        let (file, segments) = self.index.file(hash).await?;
        let range = match range {
            None => 0..file.size,
            Some(range) if range.start < file.size && range.start <= range.end => {
                range.start..range.end.min(file.size)
            }
            Some(_) => return Err(XetError::RangeNotSatisfiable { size: file.size }),
        };
        Ok(reader::stream(FileSpans::new(
            Arc::clone(&self.shelf),
            segments,
            &range,
        )))
    }

    /// Returns where the CAS of this store is, given the origin [`router`](super::router) is served at.
    ///
    /// The path names the store: clients remember by URL what a CAS has, and another store on the same port has other
    /// things.
    pub fn cas_url(&self, payload_origin: &str) -> String {
        format!("{}{}", payload_origin.trim_end_matches('/'), self.cas_path())
    }

    pub(super) fn cas_path(&self) -> String {
        format!("/xet/{}", self.keys.store_id())
    }

    /// Makes a token for `repo` (such as `models/ada/tiny`), good for an hour.
    ///
    /// The caller has checked that the account may read, or write, that repo.
    pub fn issue_token(&self, scope: XetScope, repo: &str, payload_origin: &str) -> XetToken {
        let exp = self.now() + TOKEN_LIFETIME_SECONDS;
        XetToken {
            cas_url: self.cas_url(payload_origin),
            access_token: self.keys.issue(scope, repo, exp),
            exp,
        }
    }

    /// Returns the URL that tells how to rebuild the file `hash`: `reconstructionUrl` in the answer to
    /// `Accept: application/vnd.xet-fileinfo+json`.
    pub fn reconstruction_url(&self, hash: &XetHash, payload_origin: &str) -> String {
        format!("{}/v1/reconstructions/{hash}", self.cas_url(payload_origin))
    }

    pub(super) fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    pub(super) fn check_token(&self, token: &str, scope: XetScope) -> Result<(), Refused> {
        self.keys.check(token, scope, self.now())
    }

    pub(super) fn check_fetch(&self, grant: &FetchGrant) -> Result<(), Refused> {
        self.keys.check_fetch(grant, self.now())
    }

    /// The query of a URL that reads `bytes` of a stored xorb for an hour.
    pub(super) fn fetch_query(&self, xorb: &XetHash, bytes: &Range<u64>) -> String {
        let exp = self.now() + FETCH_URL_LIFETIME_SECONDS;
        let sig = self.keys.sign_fetch(xorb, bytes.start, bytes.end, exp);
        format!(
            "xorb={xorb}&start={}&end={}&exp={exp}&sig={sig}",
            bytes.start, bytes.end
        )
    }

    /// Plans `range` of a file; `None` when it starts past the end.
    pub(super) async fn plan(
        &self,
        hash: &XetHash,
        range: Option<crate::xet::routes::WantedRange>,
    ) -> Result<Plan> {
        let (file, segments) = self.index.file(hash).await?;
        let range = match range {
            None => 0..file.size,
            Some(range) => range
                .resolve(file.size)
                .ok_or(XetError::RangeNotSatisfiable { size: file.size })?,
        };
        let shelf = Arc::clone(&self.shelf);
        blocking(move || reconstruction::plan(&shelf, &segments, &range)).await
    }

    /// Bytes of a stored xorb, and the length of all its chunks as stored.
    pub(super) async fn open_raw(&self, xorb: XetHash) -> Result<(File, u64)> {
        let shelf = Arc::clone(&self.shelf);
        blocking(move || {
            let (file, index) = shelf.open_xorb(&xorb)?;
            Ok((file, index.packed(&(0..index.chunk_count())).end))
        })
        .await
    }

    pub(super) fn stream_raw(
        &self,
        file: File,
        range: Range<u64>,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + use<> {
        reader::stream(RawSpans::new(file, range, Arc::clone(self.shelf.buffers())))
    }

    /// Checks a shard and registers its files. Answers whether any of it was new.
    pub(super) async fn register_shard(&self, shard: Bytes, progress: Arc<Progress>) -> Result<bool> {
        // The semaphore is never closed.
        let _slot = self.shard_slots.acquire().await;
        let mut claims = blocking(move || shard::parse(&shard)).await?;
        for claim in &mut claims {
            if let Some(sha256) = &claim.sha256 {
                claim.sha256_known = self.index.has_sha256(sha256, &claim.hash).await?;
            }
        }
        let shelf = Arc::clone(&self.shelf);
        let new: Registration = blocking(move || shard::verify(&shelf, claims, &progress)).await?;
        self.index.register(&new).await
    }

    /// The answer to a chunk query.
    pub(super) async fn describe_chunk(&self, chunk: &XetHash) -> Result<Option<Vec<u8>>> {
        let Some(xorbs) = self.index.xorbs_with_chunk(chunk).await? else {
            return Ok(None);
        };
        let shelf = Arc::clone(&self.shelf);
        blocking(move || shard::describe(&shelf, &xorbs)).await.map(Some)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.clock.now().as_second()).unwrap_or(0)
    }
}

/// Runs `work` where it may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(XetError::io("finish a piece of work")(io::Error::other(error))),
    }
}
