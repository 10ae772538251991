//! From errors of the database to errors of the domain.

use std::path::Path;

use bashgym_core::store::StoreError;

pub(crate) fn backend(action: String, source: sqlx::Error) -> StoreError {
    StoreError::Backend {
        action,
        source: Box::new(source),
    }
}

pub(crate) fn migrate(path: &Path, source: sqlx::migrate::MigrateError) -> StoreError {
    StoreError::Backend {
        action: format!("bring {} to today's form", path.display()),
        source: Box::new(source),
    }
}

/// Names table, column and row of a value that does not read.
pub(crate) fn bad_data(
    table: &str,
    column: &str,
    row: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::BadData {
        place: format!("{table}.{column} of row {row}"),
        source: source.into(),
    }
}
