//! Reading a row into a type of the core; what does not read is named.

use std::error::Error;
use std::str::FromStr;

use bashgym_core::store::StoreError;
use jiff::Timestamp;

use crate::database::Row;
use crate::error::bad_data;

/// A row of a table, with the name it goes by.
pub(crate) struct Cells<'a> {
    row: &'a Row,
    table: &'static str,
    id: String,
}

type BoxError = Box<dyn Error + Send + Sync>;

impl<'a> Cells<'a> {
    /// The row goes by the text in `key`, or by `key` itself where that is no column of the answer.
    pub(crate) fn new(row: &'a Row, table: &'static str, key: &str) -> Self {
        let id = row.text(key).ok().flatten().unwrap_or_else(|| key.to_owned());
        Self { row, table, id }
    }

    pub(crate) fn bad(&self, column: &str, source: impl Into<BoxError>) -> StoreError {
        bad_data(self.table, column, &self.id, source)
    }

    pub(crate) fn optional_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        self.row.text(column).map_err(|error| self.bad(column, error))
    }

    pub(crate) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        self.optional_text(column)?
            .ok_or_else(|| self.bad(column, "there is no value"))
    }

    pub(crate) fn parsed<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: FromStr<Err: Into<BoxError>>,
    {
        self.text(column)?
            .parse()
            .map_err(|error: T::Err| self.bad(column, error))
    }

    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(&self.text(column)?).map_err(|error| self.bad(column, error))
    }

    pub(crate) fn optional_integer(&self, column: &'static str) -> Result<Option<i64>, StoreError> {
        self.row.integer(column).map_err(|error| self.bad(column, error))
    }

    pub(crate) fn integer(&self, column: &'static str) -> Result<i64, StoreError> {
        self.optional_integer(column)?
            .ok_or_else(|| self.bad(column, "there is no value"))
    }

    pub(crate) fn count(&self, column: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.integer(column)?).map_err(|error| self.bad(column, error))
    }

    /// A time that is kept as microseconds since 1970.
    pub(crate) fn time_us(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        Timestamp::from_microsecond(self.integer(column)?).map_err(|error| self.bad(column, error))
    }
}
