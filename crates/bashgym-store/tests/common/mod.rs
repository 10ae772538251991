//! Databases of a test's own.
#![allow(dead_code, reason = "each test file uses its part")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that cannot begin has failed; who skips says so"
)]

use std::path::PathBuf;

use bashgym_store::SqlStore;
use sqlx::Connection;
use sqlx::postgres::PgConnection;
use tempfile::TempDir;

/// The variable that names a PostgreSQL server on which tests may make databases.
pub(crate) const POSTGRES: &str = "BASHGYM_TEST_POSTGRES";

/// A new database, and the means to open it again.
pub(crate) enum Place {
    /// A file in a folder that ends with the test.
    File(TempDir),
    /// A database of its own on the server of the tests.
    Server(String),
    /// A database that another process of the same test made.
    Given(String),
}

impl Place {
    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    /// A new database on the PostgreSQL server of the tests, or nothing, said aloud, where there is none.
    pub(crate) async fn server(test: &str) -> Option<Self> {
        #[expect(clippy::disallowed_methods, reason = "the one place where the tests read it")]
        let Ok(url) = std::env::var(POSTGRES) else {
            eprintln!("skipped: no PostgreSQL ({test}); `cargo xtask test` starts one where it is installed");
            return None;
        };
        let name = format!("bashgym_{}", uuid::Uuid::new_v4().simple());
        let mut connection = PgConnection::connect(&url).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        let (server, query) = url.split_once('?').unwrap_or((&url, ""));
        let server = server.rsplit_once('/').unwrap().0;
        Some(Self::Server(format!("{server}/{name}?{query}")))
    }

    /// Where it is, for another process.
    pub(crate) fn address(&self) -> String {
        match self {
            Self::File(folder) => folder.path().join("bashgym.db").display().to_string(),
            Self::Server(url) | Self::Given(url) => url.clone(),
        }
    }

    pub(crate) async fn open(&self) -> SqlStore {
        let address = self.address();
        if address.starts_with("postgres://") {
            SqlStore::connect(&address).await.unwrap()
        } else {
            SqlStore::open(&PathBuf::from(address)).await.unwrap()
        }
    }
}

/// A file, and a PostgreSQL database where there is a server.
pub(crate) async fn places(test: &str) -> Vec<Place> {
    let mut places = vec![Place::file()];
    places.extend(Place::server(test).await);
    places
}
