//! Large files: where their bytes are.

mod lfs;
mod read;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use axum::body::Bytes;
use futures::stream::BoxStream;

use crate::accounts::Account;
use crate::reply::HubResult;
use crate::repos::Repo;
use crate::state::Hub;

pub(crate) use lfs::{LfsStore, Multipart, blocking};

/// A file in Xet storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct XetFile {
    /// Its Xet hash, 64 hexadecimal digits in Xet's own order.
    pub(crate) hash: String,
    /// Its length in bytes.
    pub(crate) size: u64,
}

/// What the repos need of Xet storage.
#[async_trait]
pub(crate) trait XetStore: Debug + Send + Sync {
    /// Finds the file with a sha256.
    async fn lookup_sha256(&self, sha256: &str) -> HubResult<Option<XetFile>>;

    /// Reads a part of a file, in pieces.
    fn stream_file(&self, hash: &str, range: Range<u64>) -> BoxStream<'static, io::Result<Bytes>>;

    /// Gives what an LFS batch answer hands to a client that will upload over Xet: the address and a first token.
    fn upload_headers(&self, hub: &Hub, repo: &Repo, account: &Account) -> BTreeMap<String, String>;

    /// Tells a client where it learns how to rebuild a file.
    fn reconstruction_url(&self, hub: &Hub, hash: &str) -> String;
}

/// A large file that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LargeObject {
    pub(crate) sha256: String,
    pub(crate) size: u64,
    /// Its Xet hash, if it can be read over Xet.
    pub(crate) xet_hash: Option<String>,
    in_lfs: bool,
}

/// All large files: those that came over LFS, and those that came over Xet.
#[derive(Debug)]
pub(crate) struct LargeObjects {
    pub(crate) lfs: LfsStore,
    xet: Option<Arc<dyn XetStore>>,
}

impl LargeObjects {
    pub(crate) fn new(lfs: LfsStore, xet: Option<Arc<dyn XetStore>>) -> Self {
        Self { lfs, xet }
    }

    /// Xet storage, where this Hub has it.
    pub(crate) fn xet(&self) -> Option<&Arc<dyn XetStore>> {
        self.xet.as_ref()
    }

    /// Finds a file by its sha256.
    pub(crate) async fn find(&self, sha256: &str) -> HubResult<Option<LargeObject>> {
        let xet = match &self.xet {
            Some(xet) => xet.lookup_sha256(sha256).await?,
            None => None,
        };
        let lfs = self.lfs.size(sha256)?;
        let Some(size) = lfs.or_else(|| xet.as_ref().map(|file| file.size)) else {
            return Ok(None);
        };
        let sha256 = sha256.to_owned();
        Ok(Some(LargeObject {
            sha256,
            size,
            xet_hash: xet.map(|file| file.hash),
            in_lfs: lfs.is_some(),
        }))
    }

    /// Returns the Xet hash of a file, if it has one.
    pub(crate) async fn xet_hash(&self, sha256: &str) -> HubResult<Option<String>> {
        match &self.xet {
            Some(xet) => Ok(xet.lookup_sha256(sha256).await?.map(|file| file.hash)),
            None => Ok(None),
        }
    }

    /// Where a file lies as one, if it does.
    pub(crate) fn stored_at(&self, object: &LargeObject) -> Option<std::path::PathBuf> {
        object.in_lfs.then(|| self.lfs.path(&object.sha256))
    }

    /// Reads a part of a file, in pieces; memory does not grow with the part.
    pub(crate) fn stream(
        &self,
        object: &LargeObject,
        range: Range<u64>,
    ) -> BoxStream<'static, io::Result<Bytes>> {
        match (&self.xet, &object.xet_hash) {
            (Some(xet), Some(hash)) if !object.in_lfs => xet.stream_file(hash, range),
            _ => read::stream(self.lfs.path(&object.sha256), range),
        }
    }
}
