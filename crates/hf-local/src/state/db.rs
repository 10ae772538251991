//! The index: one SQLite file.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Sqlite, SqlitePool, Transaction};

use crate::error::LocalHubError;

/// A change of the schema; applied once, in order, by name.
pub(crate) type Migration = (&'static str, &'static str);

/// All changes of the schema.
const MIGRATIONS: &[&[Migration]] = &[
    crate::repos::MIGRATIONS,
    crate::jobs::MIGRATIONS,
    crate::buckets::MIGRATIONS,
    crate::spaces::MIGRATIONS,
];

/// The index: many readers, one writer.
#[derive(Clone, Debug)]
pub(crate) struct Db {
    readers: SqlitePool,
    writer: SqlitePool,
}

impl Db {
    /// Opens the index of a data folder and brings its schema up to date.
    pub(crate) async fn open(data_dir: &Path) -> Result<Self, LocalHubError> {
        let path = data_dir.join("index.sqlite");
        Self::connect(&path)
            .await
            .map_err(|source| LocalHubError::Index { path, source })
    }

    async fn connect(path: &Path) -> Result<Self, sqlx::Error> {
        // FULL: a commit that was answered is on the disk.
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(10))
            .foreign_keys(true);
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.clone())
            .await?;
        migrate(&writer).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(4)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(options.pragma("query_only", "1"))
            .await?;
        Ok(Self { readers, writer })
    }

    /// Returns when the data folder was first used, which is `now_ms` the first time.
    pub(crate) async fn created_ms(&self, data_dir: &Path, now_ms: i64) -> Result<i64, LocalHubError> {
        const SQL: &str = "INSERT INTO meta (key, value) VALUES ('created_ms', ?)
            ON CONFLICT (key) DO UPDATE SET value = value RETURNING CAST(value AS INTEGER)";
        sqlx::query_scalar(SQL)
            .bind(now_ms.to_string())
            .fetch_one(&self.writer)
            .await
            .map_err(|source| LocalHubError::Index {
                path: data_dir.join("index.sqlite"),
                source,
            })
    }

    /// The connections for reading; writing through them fails.
    pub(crate) fn read(&self) -> &SqlitePool {
        &self.readers
    }

    /// Begins the one write transaction there can be at a time.
    pub(crate) async fn write(&self) -> Result<Transaction<'static, Sqlite>, sqlx::Error> {
        self.writer.begin_with("BEGIN IMMEDIATE").await
    }

    /// Waits for what is running and closes the file.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

async fn migrate(writer: &SqlitePool) -> Result<(), sqlx::Error> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::raw_sql("CREATE TABLE IF NOT EXISTS migrations (name TEXT PRIMARY KEY) STRICT")
        .execute(&mut *tx)
        .await?;
    for (name, sql) in MIGRATIONS.iter().copied().flatten() {
        let known: Option<i64> = sqlx::query_scalar("SELECT 1 FROM migrations WHERE name = ?")
            .bind(name)
            .fetch_optional(&mut *tx)
            .await?;
        if known.is_none() {
            sqlx::raw_sql(*sql).execute(&mut *tx).await?;
            sqlx::query("INSERT INTO migrations (name) VALUES (?)")
                .bind(name)
                .execute(&mut *tx)
                .await?;
        }
    }
    tx.commit().await
}
