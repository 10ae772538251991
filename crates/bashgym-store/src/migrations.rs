//! The steps that bring a database to today's form. A step is never changed once it was released.

use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// A step, for each kind of database.
struct Step {
    version: i64,
    description: &'static str,
    sqlite: &'static str,
    postgres: &'static str,
}

macro_rules! step {
    ($version:literal, $description:literal, $file:literal) => {
        Step {
            version: $version,
            description: $description,
            sqlite: include_str!(concat!("../migrations/", $file)),
            postgres: include_str!(concat!("../migrations/postgres/", $file)),
        }
    };
}

const STEPS: &[Step] = &[
    step!(20_261_122_000_001, "runs", "20261122000001_runs.sql"),
    step!(20_261_122_000_002, "ledger", "20261122000002_ledger.sql"),
    step!(20_261_122_000_003, "jobs", "20261122000003_jobs.sql"),
    step!(20_261_122_000_004, "live", "20261122000004_live.sql"),
    step!(20_261_123_000_001, "calls", "20261123000001_calls.sql"),
    step!(20_261_123_400_001, "routes", "20261123400001_routes.sql"),
    step!(20_261_123_500_001, "seen jobs", "20261123500001_seen_jobs.sql"),
    step!(20_261_124_000_001, "books", "20261124000001_books.sql"),
];

pub(crate) fn sqlite() -> Migrator {
    migrator(|step| step.sqlite)
}

pub(crate) fn postgres() -> Migrator {
    migrator(|step| step.postgres)
}

fn migrator(text: impl Fn(&Step) -> &'static str) -> Migrator {
    let one = |step: &Step| {
        Migration::new(
            step.version,
            step.description.into(),
            MigrationType::Simple,
            text(step).into_sql_str(),
            false,
        )
    };
    Migrator::with_migrations(STEPS.iter().map(one).collect())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bashgym_core::ledger::{Book, CapScope, Ledger, Service, Window};
    use hf_core::SystemClock;
    use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

    use super::*;
    use crate::SqlStore;

    #[tokio::test]
    async fn what_was_spent_before_there_were_two_books_is_the_accounts() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bashgym.db");
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .create_if_missing(true);
        let pool = SqlitePoolOptions::new().connect_with(options).await.unwrap();
        let before = sqlite()
            .iter()
            .filter(|step| step.version < 20_261_124_000_001)
            .cloned()
            .collect();
        Migrator::with_migrations(before).run(&pool).await.unwrap();
        for sql in [
            "INSERT INTO ledger_entries VALUES ('k', 'jobs', NULL, 'train', 7, 0, '1970-01-01', 'settled', 5, 'unknown', NULL, 1)",
            "INSERT INTO ledger_sums VALUES ('total', '', 'jobs', 1, 0, 0, 5)",
        ] {
            sqlx::query(sql).execute(&pool).await.unwrap();
        }
        pool.close().await;
        let store = Arc::new(SqlStore::open(&file).await.unwrap());
        let ledger = Ledger::new(store, Arc::new(SystemClock::default()));
        assert_eq!(ledger.entry("k").await.unwrap().unwrap().book, Book::Account);
        let settled = async |book| {
            let overview = ledger.in_book(book).overview(None).await.unwrap();
            overview
                .used(CapScope::One(Service::Jobs), Window::Total)
                .unwrap()
                .settled_micro_usd
        };
        assert_eq!(
            (settled(Book::Account).await, settled(Book::Simulated).await),
            (5, 0)
        );
    }
}
