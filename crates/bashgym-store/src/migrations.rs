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
