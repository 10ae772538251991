//! Opening the database file and bringing it to today's form.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::time::Duration;

use bashgym_core::store::StoreError;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{SqlSafeStr, SqlitePool};

use crate::error::{backend, migrate};

/// How long a writer waits for another process to finish its write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// A store in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    pub(crate) pool: SqlitePool,
}

impl SqliteStore {
    /// Opens the file, makes it if it is not there, and applies the migrations it lacks.
    ///
    /// # Errors
    /// [`StoreError::Backend`] if the file cannot be opened or is no database of ours, or if a migration fails.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            // Power loss must not take back a submission that was decided: the intent is what keeps jobs single.
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let turn = take_turn(path).await?;
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .connect_with(options)
            .await
            .map_err(|error| backend(format!("open {}", path.display()), error))?;
        migrations()
            .run(&pool)
            .await
            .map_err(|error| migrate(path, error))?;
        drop(turn);
        Ok(Self { pool })
    }

    /// Waits for running queries and closes the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Waits until no other process brings the file to today's form. SQLite has no lock for that: of two that begin on
/// a new file at once, both would make its tables, and one would be refused the switch to WAL without waiting.
async fn take_turn(path: &Path) -> Result<File, StoreError> {
    let lock = path.with_extension("lock");
    let name = lock.display().to_string();
    let taken = tokio::task::spawn_blocking(move || {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock)?;
        file.lock()?;
        Ok::<File, std::io::Error>(file)
    });
    let failed = |source| StoreError::Backend {
        action: format!("lock {name}"),
        source,
    };
    match taken.await {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) => Err(failed(Box::new(error))),
        Err(error) => Err(failed(Box::new(error))),
    }
}

fn migrations() -> Migrator {
    let one = |version, description: &'static str, sql: &'static str| {
        Migration::new(
            version,
            description.into(),
            MigrationType::Simple,
            sql.into_sql_str(),
            false,
        )
    };
    Migrator::with_migrations(vec![one(
        20_261_122_000_001,
        "runs",
        include_str!("../migrations/20261122000001_runs.sql"),
    )])
}
