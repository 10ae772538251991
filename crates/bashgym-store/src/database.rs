//! One way to ask SQLite and PostgreSQL.
//!
//! Both number their parameters `$1`, `$2`, so that one text of SQL serves both. What a statement takes and gives is
//! text or a signed 64-bit integer, or null. Where the two differ, they differ here and in the migrations.

use std::sync::Arc;

use bashgym_core::{Clock, SystemClock};
use sqlx::postgres::PgRow;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, PgPool, Postgres, Row as _, Sqlite, SqlitePool, Transaction};
use tokio::sync::watch;

/// A value for a parameter.
#[derive(Debug, Clone)]
pub(crate) enum Arg {
    Text(Option<String>),
    Integer(Option<i64>),
}

impl From<&str> for Arg {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

impl From<String> for Arg {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<Option<String>> for Arg {
    fn from(text: Option<String>) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Arg {
    fn from(number: i64) -> Self {
        Self::Integer(Some(number))
    }
}

impl From<Option<i64>> for Arg {
    fn from(number: Option<i64>) -> Self {
        Self::Integer(number)
    }
}

impl From<u32> for Arg {
    fn from(number: u32) -> Self {
        Self::Integer(Some(number.into()))
    }
}

/// Counts do not reach the end of the signed integers that databases count in.
impl From<u64> for Arg {
    fn from(count: u64) -> Self {
        Self::Integer(Some(i64::try_from(count).unwrap_or(i64::MAX)))
    }
}

/// The values of a statement's parameters, in order.
macro_rules! args {
    ($($value:expr),* $(,)?) => { [$($crate::database::Arg::from($value)),*] };
}
pub(crate) use args;

/// A row of an answer.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

impl Row {
    pub(crate) fn text(&self, column: &str) -> Result<Option<String>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }

    pub(crate) fn integer(&self, column: &str) -> Result<Option<i64>, sqlx::Error> {
        match self {
            Self::Sqlite(row) => row.try_get(column),
            Self::Postgres(row) => row.try_get(column),
        }
    }
}

macro_rules! query {
    ($database:ty, $sql:expr, $args:expr) => {{
        let mut query = sqlx::query::<$database>($sql);
        for arg in $args {
            query = match arg {
                Arg::Text(text) => query.bind(text.clone()),
                Arg::Integer(number) => query.bind(*number),
            };
        }
        query
    }};
}

/// The database, through a few connections.
#[derive(Debug, Clone)]
pub(crate) struct Database {
    pub(crate) pool: Pool,
    /// Stamps events.
    pub(crate) clock: Arc<dyn Clock>,
    /// The number of the newest event that this process appended.
    pub(crate) newest: Arc<watch::Sender<u64>>,
}

/// The connections.
#[derive(Debug, Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

impl Database {
    pub(crate) fn new(pool: Pool) -> Self {
        Self {
            pool,
            clock: Arc::new(SystemClock::new()),
            newest: Arc::new(watch::Sender::new(0)),
        }
    }

    /// The text for this database, where one does not serve both.
    pub(crate) fn pick(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match &self.pool {
            Pool::Sqlite(_) => sqlite,
            Pool::Postgres(_) => postgres,
        }
    }

    /// Runs a statement and returns the number of rows it changed.
    pub(crate) async fn execute(&self, sql: &'static str, args: &[Arg]) -> Result<u64, sqlx::Error> {
        match &self.pool {
            Pool::Sqlite(pool) => Ok(query!(Sqlite, sql, args).execute(pool).await?.rows_affected()),
            Pool::Postgres(pool) => Ok(query!(Postgres, sql, args).execute(pool).await?.rows_affected()),
        }
    }

    pub(crate) async fn fetch_all(&self, sql: &'static str, args: &[Arg]) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match &self.pool {
            Pool::Sqlite(pool) => {
                let rows = query!(Sqlite, sql, args).fetch_all(pool).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Pool::Postgres(pool) => {
                let rows = query!(Postgres, sql, args).fetch_all(pool).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    pub(crate) async fn fetch_optional(
        &self,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<Option<Row>, sqlx::Error> {
        Ok(self.fetch_all(sql, args).await?.into_iter().next())
    }

    /// Begins a transaction. On SQLite it is the one writer until it ends.
    pub(crate) async fn begin(&self) -> Result<Change, sqlx::Error> {
        let inner = match &self.pool {
            Pool::Sqlite(pool) => Inner::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            // With any higher isolation, what is read after a wait would be as old as the transaction's beginning.
            Pool::Postgres(pool) => {
                Inner::Postgres(pool.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?)
            }
        };
        Ok(Change {
            inner,
            clock: Arc::clone(&self.clock),
            newest: Arc::clone(&self.newest),
            appended: 0,
        })
    }

    /// Begins a transaction that has the turn of this name alone: whoever else begins one of the same name, in any
    /// process, waits until this one is over. It reads what those before it wrote.
    pub(crate) async fn begin_turn(&self, turn: &str) -> Result<Change, sqlx::Error> {
        let mut change = self.begin().await?;
        change.take_turn(turn).await?;
        Ok(change)
    }
}

/// Rows of a statement that inserts many: few different numbers, so that the statements stay prepared.
const ROWS_AT_ONCE: [usize; 4] = [64, 16, 4, 1];

/// Where rows are inserted; one whose key is there already is left as it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Insert<const WIDTH: usize> {
    pub(crate) table: &'static str,
    pub(crate) columns: [&'static str; WIDTH],
    /// The column of the key.
    pub(crate) key: &'static str,
}

impl<const WIDTH: usize> Insert<WIDTH> {
    fn text(&self, rows: usize) -> String {
        let row = |at: usize| {
            let numbers = (at * WIDTH + 1..=(at + 1) * WIDTH).map(|number| format!("${number}"));
            format!("({})", numbers.collect::<Vec<_>>().join(", "))
        };
        format!(
            "INSERT INTO {} ({}) VALUES {} ON CONFLICT ({}) DO NOTHING",
            self.table,
            self.columns.join(", "),
            (0..rows).map(row).collect::<Vec<_>>().join(", "),
            self.key
        )
    }
}

/// A transaction; dropped without a commit, it is rolled back.
pub(crate) struct Change {
    inner: Inner,
    pub(crate) clock: Arc<dyn Clock>,
    newest: Arc<watch::Sender<u64>>,
    /// The number of the last event that the transaction appends; 0 when it appends none.
    pub(crate) appended: u64,
}

enum Inner {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Change {
    /// Waits for the turn of this name, and has it until the transaction is over.
    pub(crate) async fn take_turn(&mut self, turn: &str) -> Result<(), sqlx::Error> {
        // SQLite has one writer at a time, whatever the name.
        if let Inner::Postgres(change) = &mut self.inner {
            sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))")
                .bind(format!("bashgym {turn}"))
                .execute(&mut **change)
                .await?;
        }
        Ok(())
    }

    /// The text for this database, where one does not serve both.
    pub(crate) fn pick(&self, sqlite: &'static str, postgres: &'static str) -> &'static str {
        match self.inner {
            Inner::Sqlite(_) => sqlite,
            Inner::Postgres(_) => postgres,
        }
    }

    /// Runs a statement and returns the number of rows it changed.
    pub(crate) async fn execute(&mut self, sql: &'static str, args: &[Arg]) -> Result<u64, sqlx::Error> {
        match &mut self.inner {
            Inner::Sqlite(change) => Ok(query!(Sqlite, sql, args)
                .execute(&mut **change)
                .await?
                .rows_affected()),
            Inner::Postgres(change) => Ok(query!(Postgres, sql, args)
                .execute(&mut **change)
                .await?
                .rows_affected()),
        }
    }

    /// Inserts rows, many with a statement: on SQLite each statement is a trip to another thread and back. Returns the number of
    /// rows that were not there before.
    pub(crate) async fn insert<const WIDTH: usize>(
        &mut self,
        insert: Insert<WIDTH>,
        rows: &[[Arg; WIDTH]],
    ) -> Result<u64, sqlx::Error> {
        let mut added = 0;
        let mut left = rows;
        while let Some(count) = ROWS_AT_ONCE.into_iter().find(|count| *count <= left.len()) {
            let (now, later) = left.split_at(count);
            added += self.insert_at_once(insert, now).await?;
            left = later;
        }
        Ok(added)
    }

    async fn insert_at_once<const WIDTH: usize>(
        &mut self,
        insert: Insert<WIDTH>,
        rows: &[[Arg; WIDTH]],
    ) -> Result<u64, sqlx::Error> {
        let sql = AssertSqlSafe(insert.text(rows.len()));
        let args = rows.iter().flatten();
        Ok(match &mut self.inner {
            Inner::Sqlite(change) => query!(Sqlite, sql, args)
                .execute(&mut **change)
                .await?
                .rows_affected(),
            Inner::Postgres(change) => query!(Postgres, sql, args)
                .execute(&mut **change)
                .await?
                .rows_affected(),
        })
    }

    pub(crate) async fn fetch_all(
        &mut self,
        sql: &'static str,
        args: &[Arg],
    ) -> Result<Vec<Row>, sqlx::Error> {
        Ok(match &mut self.inner {
            Inner::Sqlite(change) => {
                let rows = query!(Sqlite, sql, args).fetch_all(&mut **change).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
            Inner::Postgres(change) => {
                let rows = query!(Postgres, sql, args).fetch_all(&mut **change).await?;
                rows.into_iter().map(Row::Postgres).collect()
            }
        })
    }

    pub(crate) async fn commit(self) -> Result<(), sqlx::Error> {
        match self.inner {
            Inner::Sqlite(change) => change.commit().await?,
            Inner::Postgres(change) => change.commit().await?,
        }
        if self.appended > 0 {
            self.newest.send_if_modified(|newest| {
                let grown = self.appended > *newest;
                *newest = self.appended.max(*newest);
                grown
            });
        }
        Ok(())
    }
}
