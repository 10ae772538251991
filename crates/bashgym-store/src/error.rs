//! From errors of the database to errors of the domain.

use bashgym_core::store::StoreError;

pub(crate) fn backend(
    action: impl Into<String>,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Backend {
        action: action.into(),
        source: source.into(),
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
