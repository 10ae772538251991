//! Buckets in the index of the hub.

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, Transaction};

use crate::accounts::Permission;
use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::repos::RepoPath;
use crate::state::Hub;
use crate::state::db::Migration;

pub(crate) const MIGRATIONS: &[Migration] = &[("20261122-buckets", include_str!("schema.sql"))];

/// A bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) seq: i64,
    pub(super) id: String,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) private: bool,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
}

impl Bucket {
    pub(super) fn path(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }
}

/// A file of a bucket.
#[derive(Clone, Debug)]
pub(super) struct File {
    pub(super) path: String,
    pub(super) xet_hash: String,
    pub(super) size: i64,
    pub(super) mtime_ms: i64,
    pub(super) uploaded_ms: i64,
    pub(super) content_type: Option<String>,
}

fn bucket_of(row: &SqliteRow) -> sqlx::Result<Bucket> {
    Ok(Bucket {
        seq: row.try_get("seq")?,
        id: row.try_get("id")?,
        namespace: row.try_get("namespace")?,
        name: row.try_get("name")?,
        private: row.try_get("private")?,
        created_ms: row.try_get("created_ms")?,
        updated_ms: row.try_get("updated_ms")?,
    })
}

pub(super) async fn find(hub: &Hub, namespace: &str, name: &str) -> HubResult<Option<Bucket>> {
    let row = sqlx::query("SELECT * FROM buckets WHERE namespace = ? AND name = ?")
        .bind(namespace)
        .bind(name)
        .fetch_optional(hub.db.read())
        .await?;
    Ok(row.as_ref().map(bucket_of).transpose()?)
}

/// Finds a bucket the caller may read; one that is hidden is as one that is not there.
pub(super) async fn find_readable(hub: &Hub, caller: &Caller, id: &str) -> HubResult<Bucket> {
    let (namespace, name) = id.split_once('/').ok_or_else(|| caller.no_such_repo())?;
    match find(hub, namespace, name).await? {
        Some(bucket) if caller.sees(!bucket.private, &bucket.namespace) => Ok(bucket),
        _ => Err(caller.no_such_repo()),
    }
}

/// Finds a bucket the caller may write.
pub(super) async fn find_writable(hub: &Hub, caller: &Caller, id: &str) -> HubResult<Bucket> {
    let bucket = find_readable(hub, caller, id).await?;
    caller.require_permission(Permission::RepoWrite, &bucket.namespace)?;
    Ok(bucket)
}

/// Makes a bucket; false when there is one of that name.
pub(super) async fn create(hub: &Hub, bucket: &Bucket) -> HubResult<bool> {
    let mut tx = hub.db.write().await?;
    let done = sqlx::query(
        "INSERT INTO buckets (id, namespace, name, private, created_ms, updated_ms) VALUES (?, ?, ?, ?, ?, ?)
         ON CONFLICT (namespace, name) DO NOTHING",
    )
    .bind(&bucket.id)
    .bind(&bucket.namespace)
    .bind(&bucket.name)
    .bind(bucket.private)
    .bind(bucket.created_ms)
    .bind(bucket.updated_ms)
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(done.rows_affected() == 1)
}

pub(super) async fn remove(hub: &Hub, bucket: &Bucket) -> HubResult<()> {
    let mut tx = hub.db.write().await?;
    sqlx::query("DELETE FROM buckets WHERE seq = ?")
        .bind(bucket.seq)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

/// The number of files and their size together.
pub(super) async fn totals(hub: &Hub, bucket: &Bucket) -> HubResult<(i64, i64)> {
    let row = sqlx::query(
        "SELECT count(*) AS files, coalesce(sum(size), 0) AS size FROM bucket_files WHERE bucket = ?",
    )
    .bind(bucket.seq)
    .fetch_one(hub.db.read())
    .await?;
    Ok((row.try_get("files")?, row.try_get("size")?))
}

/// The buckets of a namespace, by name.
pub(super) async fn of_namespace(hub: &Hub, namespace: &str) -> HubResult<Vec<Bucket>> {
    let rows = sqlx::query("SELECT * FROM buckets WHERE namespace = ? ORDER BY name")
        .bind(namespace)
        .fetch_all(hub.db.read())
        .await?;
    Ok(rows.iter().map(bucket_of).collect::<sqlx::Result<_>>()?)
}

/// The files whose paths begin with `prefix`, by path.
pub(super) async fn list(hub: &Hub, bucket: &Bucket, prefix: &str) -> HubResult<Vec<File>> {
    let rows = sqlx::query(
        "SELECT * FROM bucket_files WHERE bucket = ?1 AND substr(path, 1, length(?2)) = ?2 ORDER BY path",
    )
    .bind(bucket.seq)
    .bind(prefix)
    .fetch_all(hub.db.read())
    .await?;
    let file_of = |row: &SqliteRow| {
        Ok(File {
            path: row.try_get("path")?,
            xet_hash: row.try_get("xet_hash")?,
            size: row.try_get("size")?,
            mtime_ms: row.try_get("mtime_ms")?,
            uploaded_ms: row.try_get("uploaded_ms")?,
            content_type: row.try_get("content_type")?,
        })
    };
    Ok(rows.iter().map(file_of).collect::<sqlx::Result<_>>()?)
}

/// One change of a bucket's files.
#[derive(Debug)]
pub(super) enum Change {
    Add(File),
    Delete(String),
}

/// Makes changes, all or none.
pub(super) async fn apply(hub: &Hub, bucket: &Bucket, changes: &[Change]) -> HubResult<()> {
    let mut tx = hub.db.write().await?;
    for change in changes {
        apply_one(&mut tx, bucket, change).await?;
    }
    sqlx::query("UPDATE buckets SET updated_ms = ? WHERE seq = ?")
        .bind(hub.clock.now_ms())
        .bind(bucket.seq)
        .execute(&mut *tx)
        .await?;
    tx.commit().await?;
    Ok(())
}

async fn apply_one(tx: &mut Transaction<'_, Sqlite>, bucket: &Bucket, change: &Change) -> HubResult<()> {
    match change {
        Change::Add(file) => {
            sqlx::query(
                "INSERT OR REPLACE INTO bucket_files (bucket, path, xet_hash, size, mtime_ms, uploaded_ms, content_type)
                 VALUES (?, ?, ?, ?, ?, ?, ?)",
            )
            .bind(bucket.seq)
            .bind(&file.path)
            .bind(&file.xet_hash)
            .bind(file.size)
            .bind(file.mtime_ms)
            .bind(file.uploaded_ms)
            .bind(&file.content_type)
            .execute(&mut **tx)
            .await?;
        }
        Change::Delete(path) => {
            sqlx::query("DELETE FROM bucket_files WHERE bucket = ? AND path = ?")
                .bind(bucket.seq)
                .bind(path)
                .execute(&mut **tx)
                .await?;
        }
    }
    Ok(())
}

/// A path of a bucket, by the rules of repositories.
pub(super) fn path_of(text: &str) -> Result<String, HubError> {
    RepoPath::parse(text).map(|path| path.as_str().to_owned())
}
