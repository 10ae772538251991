//! Opening the database and bringing it to today's form.

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bashgym_core::Clock;
use bashgym_core::store::StoreError;
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::database::{Database, Pool};
use crate::error::backend;
use crate::migrations;

/// How long a writer waits for another process to finish its write.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The state of Bash Gym in a database: a SQLite file, or PostgreSQL.
#[derive(Debug, Clone)]
pub struct SqlStore {
    pub(crate) database: Database,
    /// The file, or host and database; never a password.
    pub(crate) place: Arc<str>,
}

impl SqlStore {
    /// Opens a SQLite file, makes it if it is not there, and applies the migrations it lacks.
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
        migrations::sqlite()
            .run(&pool)
            .await
            .map_err(|error| backend(format!("bring {} to today's form", path.display()), error))?;
        drop(turn);
        Ok(Self {
            database: Database::new(Pool::Sqlite(pool)),
            place: path.display().to_string().into(),
        })
    }

    /// Connects to a PostgreSQL database, `postgres://user:password@host/database`, and applies the migrations it
    /// lacks. `sslmode`, `sslrootcert` and a `host` that is a folder of sockets may follow as the query.
    ///
    /// # Errors
    /// [`StoreError::Backend`] if the URL does not read, the database cannot be reached, or a migration fails. The
    /// error names host and database, never the URL, which may hold a password.
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        if !["postgres://", "postgresql://"]
            .iter()
            .any(|scheme| url.starts_with(scheme))
        {
            return Err(backend(
                "read the URL of the database",
                "it must begin with postgres:// or postgresql://",
            ));
        }
        let options = PgConnectOptions::from_str(url)
            .map_err(|_| backend("read the URL of the database", "it does not read as a URL"))?
            .application_name("bashgym")
            // Who waits for a turn longer than this is told so; who holds one and is gone loses it.
            .options([
                ("lock_timeout", "10s"),
                ("idle_in_transaction_session_timeout", "30s"),
            ]);
        let name = format!(
            "{} on {}",
            options.get_database().unwrap_or_else(|| options.get_username()),
            options.get_socket().map_or_else(
                || options.get_host().to_owned(),
                |socket| socket.display().to_string()
            ),
        );
        let failed = |error| backend(format!("connect to {name}"), error);
        // A pool would try a server that is away again and again; one connection tells at once.
        let first = PgConnection::connect_with(&options).await.map_err(failed)?;
        first.close().await.map_err(failed)?;
        let pool = PgPoolOptions::new().max_connections(8).connect_lazy_with(options);
        migrations::postgres()
            .run(&pool)
            .await
            .map_err(|error| backend(format!("bring {name} to today's form"), error))?;
        Ok(Self {
            database: Database::new(Pool::Postgres(pool)),
            place: name.into(),
        })
    }

    /// The same store, whose events get the time of `clock` instead of the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.database.clock = clock;
        self
    }

    /// Waits for running queries and closes the connections.
    pub async fn close(&self) {
        match &self.database.pool {
            Pool::Sqlite(pool) => pool.close().await,
            Pool::Postgres(pool) => pool.close().await,
        }
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
    let action = || format!("lock {name}");
    match taken.await {
        Ok(Ok(file)) => Ok(file),
        Ok(Err(error)) => Err(backend(action(), error)),
        Err(error) => Err(backend(action(), error)),
    }
}
