//! Git objects in the index.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use axum::body::Bytes;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, Transaction};

use super::cache::Cache;
use super::path::RepoPath;
use crate::git::{Entry, Mode, Oid, Pointer, Tree};
use crate::reply::HubResult;
use crate::state::Hub;
use crate::state::dirs::Dirs;
use crate::state::files;

/// Blobs above this size are files of their own.
pub(crate) const MAX_ROW_BYTES: usize = 64 * 1024;
/// How many values one statement binds.
pub(super) const BATCH: usize = 500;

/// What there is to know of a blob besides its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    /// Bytes of the blob itself.
    pub(crate) size: u64,
    /// What it points to, if it is a pointer.
    pub(crate) pointer: Option<Pointer>,
}

impl Blob {
    /// The size users see: of the large file, not of its pointer.
    pub(crate) fn real_size(&self) -> u64 {
        self.pointer.as_ref().map_or(self.size, |pointer| pointer.size)
    }
}

/// Objects read lately.
#[derive(Debug)]
pub(crate) struct ObjectCache {
    trees: Cache<Oid, Arc<Tree>>,
    blobs: Cache<Oid, Arc<Blob>>,
    bodies: Cache<Oid, Bytes>,
}

impl Default for ObjectCache {
    fn default() -> Self {
        Self {
            trees: Cache::new(8 << 20),
            blobs: Cache::new(20_000),
            bodies: Cache::new(4 << 20),
        }
    }
}

fn tree_weight(tree: &Arc<Tree>) -> usize {
    64 + tree.entries().len() * 96
}

fn damaged(what: &str, oid: Oid) -> sqlx::Error {
    sqlx::Error::Decode(format!("{what} {oid} can't be read").into())
}

pub(super) fn read_oid(row: &SqliteRow, column: &str) -> Result<Oid, sqlx::Error> {
    let text: String = row.try_get(column)?;
    text.parse()
        .map_err(|error| sqlx::Error::Decode(format!("{column} {text:?}: {error}").into()))
}

fn size_of(row: &SqliteRow, column: &str) -> Result<u64, sqlx::Error> {
    let size: i64 = row.try_get(column)?;
    u64::try_from(size).map_err(|error| sqlx::Error::Decode(format!("{column} {size}: {error}").into()))
}

impl Hub {
    /// Reads a tree.
    pub(crate) async fn tree(&self, oid: Oid) -> HubResult<Arc<Tree>> {
        if let Some(tree) = self.objects.trees.get(&oid, tree_weight) {
            return Ok(tree);
        }
        let body: Vec<u8> = sqlx::query_scalar("SELECT body FROM trees WHERE oid = ?")
            .bind(oid.to_string())
            .fetch_one(self.db.read())
            .await?;
        let tree = Arc::new(Tree::decode(&body).ok_or_else(|| damaged("tree", oid))?);
        self.objects
            .trees
            .insert(oid, Arc::clone(&tree), tree_weight(&tree));
        Ok(tree)
    }

    /// Finds what is at a path.
    pub(crate) async fn entry(&self, root: Oid, path: &RepoPath) -> HubResult<Option<Entry>> {
        let (folders, name) = path.split();
        let mut tree = self.tree(root).await?;
        for folder in folders {
            match tree.get(folder) {
                Some(entry) if entry.is_dir() => tree = self.tree(entry.oid).await?,
                _ => return Ok(None),
            }
        }
        Ok(tree.get(name).cloned())
    }

    /// Finds the tree of a folder; no path is the root.
    pub(crate) async fn folder(&self, root: Oid, path: Option<&RepoPath>) -> HubResult<Option<Oid>> {
        match path {
            None => Ok(Some(root)),
            Some(path) => Ok(self
                .entry(root, path)
                .await?
                .filter(Entry::is_dir)
                .map(|entry| entry.oid)),
        }
    }

    /// Finds the blob at a path.
    pub(crate) async fn file(&self, root: Oid, path: &RepoPath) -> HubResult<Option<(Oid, Arc<Blob>)>> {
        match self.entry(root, path).await? {
            Some(Entry {
                mode: Mode::File,
                oid,
                ..
            }) => Ok(self.blobs(&[oid]).await?.remove(&oid).map(|blob| (oid, blob))),
            _ => Ok(None),
        }
    }

    /// Reads what is known of many blobs. Those that are not there are left out.
    pub(crate) async fn blobs(&self, oids: &[Oid]) -> HubResult<HashMap<Oid, Arc<Blob>>> {
        let mut found = HashMap::with_capacity(oids.len());
        let mut missing = Vec::new();
        for oid in oids {
            match self.objects.blobs.get(oid, |_| 1) {
                Some(blob) => drop(found.insert(*oid, blob)),
                None => missing.push(*oid),
            }
        }
        for batch in missing.chunks(BATCH) {
            let mut query =
                QueryBuilder::<Sqlite>::new("SELECT oid, size, lfs_oid, lfs_size FROM blobs WHERE oid IN (");
            let mut list = query.separated(", ");
            for oid in batch {
                list.push_bind(oid.to_string());
            }
            query.push(")");
            for row in query
                .build()
                .persistent(batch.len() == 1)
                .fetch_all(self.db.read())
                .await?
            {
                let oid = read_oid(&row, "oid")?;
                let pointer = match row.try_get("lfs_oid")? {
                    Some(sha256) => Some(Pointer {
                        sha256,
                        size: size_of(&row, "lfs_size")?,
                    }),
                    None => None,
                };
                let blob = Arc::new(Blob {
                    size: size_of(&row, "size")?,
                    pointer,
                });
                self.objects.blobs.insert(oid, Arc::clone(&blob), 1);
                found.insert(oid, blob);
            }
        }
        Ok(found)
    }

    /// Reads the bytes of a blob (at most [`MAX_REGULAR_BYTES`](crate::routes::commit::MAX_REGULAR_BYTES) of them).
    pub(crate) async fn blob_body(&self, oid: Oid) -> HubResult<Bytes> {
        if let Some(body) = self.objects.bodies.get(&oid, Bytes::len) {
            return Ok(body);
        }
        let body: Option<Vec<u8>> = sqlx::query_scalar("SELECT body FROM blobs WHERE oid = ?")
            .bind(oid.to_string())
            .fetch_one(self.db.read())
            .await?;
        let body = if let Some(body) = body {
            Bytes::from(body)
        } else {
            Bytes::from(tokio::fs::read(Dirs::sharded(&self.dirs.blobs(), &oid.to_string())).await?)
        };
        if body.len() <= MAX_ROW_BYTES {
            self.objects.bodies.insert(oid, body.clone(), body.len() + 64);
        }
        Ok(body)
    }

    /// Reads a small text file of a commit, if there is one.
    pub(crate) async fn text_file(&self, root: Oid, path: &str) -> HubResult<Option<String>> {
        let path = RepoPath::parse(path)?;
        let Some((oid, blob)) = self.file(root, &path).await? else {
            return Ok(None);
        };
        if blob.pointer.is_some() {
            return Ok(None);
        }
        Ok(Some(
            String::from_utf8_lossy(&self.blob_body(oid).await?).into_owned(),
        ))
    }
}

/// A blob to be stored.
#[derive(Debug)]
pub(crate) struct NewBlob {
    pub(crate) oid: Oid,
    pub(crate) size: u64,
    /// None when it was written to a file.
    pub(crate) body: Option<Bytes>,
    pub(crate) pointer: Option<Pointer>,
}

impl NewBlob {
    /// Makes a blob of bytes; a text that is a pointer becomes one.
    pub(crate) fn new(body: Bytes) -> Self {
        let pointer = Pointer::parse(&body);
        Self {
            oid: Oid::of_blob(&body),
            size: body.len() as u64,
            body: Some(body),
            pointer,
        }
    }

    /// Writes a big body to its own file, durably; it is not kept in memory after that.
    pub(crate) fn spill(&mut self, dirs: &Dirs) -> io::Result<()> {
        let Some(body) = self.body.take_if(|body| body.len() > MAX_ROW_BYTES) else {
            return Ok(());
        };
        let to = Dirs::sharded(&dirs.blobs(), &self.oid.to_string());
        if to.is_file() {
            return Ok(());
        }
        let mut temp = tempfile::NamedTempFile::new_in(dirs.temp())?;
        io::Write::write_all(&mut temp, &body)?;
        temp.as_file().sync_all()?;
        files::publish(&temp.into_temp_path().keep()?, &to)
    }
}

/// Stores blobs that are not there yet.
pub(super) async fn insert_blobs(
    tx: &mut Transaction<'_, Sqlite>,
    blobs: &[NewBlob],
) -> Result<(), sqlx::Error> {
    for blob in blobs {
        sqlx::query(
            "INSERT OR IGNORE INTO blobs (oid, size, body, lfs_oid, lfs_size) VALUES (?, ?, ?, ?, ?)",
        )
        .bind(blob.oid.to_string())
        .bind(i64::try_from(blob.size).unwrap_or(i64::MAX))
        .bind(blob.body.as_deref())
        .bind(blob.pointer.as_ref().map(|pointer| pointer.sha256.as_str()))
        .bind(
            blob.pointer
                .as_ref()
                .map(|pointer| i64::try_from(pointer.size).unwrap_or(i64::MAX)),
        )
        .execute(&mut **tx)
        .await?;
    }
    Ok(())
}

/// Stores trees that are not there yet.
pub(super) async fn insert_trees(
    tx: &mut Transaction<'_, Sqlite>,
    trees: &[(Oid, Vec<u8>)],
) -> Result<(), sqlx::Error> {
    for (oid, body) in trees {
        sqlx::query("INSERT OR IGNORE INTO trees (oid, body) VALUES (?, ?)")
            .bind(oid.to_string())
            .bind(body)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
