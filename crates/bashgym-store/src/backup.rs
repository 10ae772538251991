//! Backups. A backup is a SQLite file whatever the database is, so that what was begun on a laptop goes on on a team's
//! server, and the other way.

use std::path::{Path, PathBuf};

use bashgym_core::events::NewEvent;
use bashgym_core::store::StoreError;
use futures::{StreamExt, TryStreamExt};
use serde::Serialize;
use serde_json::json;
use sqlx::{Postgres, Sqlite, Transaction};

use crate::SqlStore;
use crate::cells::Cells;
use crate::database::{Arg, Change, Pool, Row, args};
use crate::error::backend;
use crate::tables::{Holds, TABLES, Table};

/// What is in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoreInfo {
    /// `sqlite` or `postgres`.
    pub kind: &'static str,
    /// The file, or host and database; never a password.
    pub place: String,
    /// The newest step that brought the database to its form.
    pub schema: u64,
    /// How large the database is.
    pub size_bytes: u64,
    /// How many rows each table has.
    pub rows: Vec<TableRows>,
    /// The number of the newest event.
    pub newest_event: u64,
    /// What is wrong with the file as a database; nothing when it is whole. PostgreSQL looks after this by itself.
    pub damage: Vec<String>,
}

/// How many rows a table has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TableRows {
    /// The table.
    pub table: &'static str,
    /// Its rows.
    pub rows: u64,
}

/// What a restore replaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restore {
    /// Nothing: only an empty store is filled.
    IntoEmpty,
    /// Everything that is there.
    Replace,
}

/// What can keep a backup from being made or restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The file for the backup is there.
    #[error("{} is there already; nothing was written", .0.display())]
    Exists(PathBuf),
    /// There is no such file.
    #[error("there is no file {}", .0.display())]
    NoFile(PathBuf),
    /// The file is a database that is being used, or was not closed: a part of it is in another file.
    #[error("{} is a database in use, not a backup; make one with `bashgym store backup`", .0.display())]
    Live(PathBuf),
    /// The file is no whole backup.
    #[error("{} is damaged ({damage}); nothing was restored", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: String,
    },
    /// The store has something in it.
    #[error("the store is not empty: {rows} rows in {table}; nothing was restored")]
    NotEmpty {
        /// A table that has rows.
        table: &'static str,
        /// How many.
        rows: u64,
    },
    /// Somebody works with the store.
    #[error("the store is in use: {holder} has {name:?}; nothing was restored")]
    InUse {
        /// What is held.
        name: String,
        /// Who holds it.
        holder: String,
    },
    /// A file failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl BackupError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}

fn failed(verb: &str, what: &str) -> impl FnOnce(sqlx::Error) -> StoreError {
    let action = format!("{verb} {what}");
    move |error| backend(action, error)
}

impl SqlStore {
    /// Writes everything that is stored at one moment into a new file that only this user may read. Others may use the
    /// store meanwhile. The file is whole once it has its name.
    ///
    /// # Errors
    /// [`BackupError::Exists`], [`BackupError::Io`] or [`BackupError::Store`]; there is no file then.
    pub async fn backup(&self, to: &Path) -> Result<StoreInfo, BackupError> {
        if to.exists() {
            return Err(BackupError::Exists(to.to_path_buf()));
        }
        let folder = match to.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        // A folder that only this user may look into, so that nothing of it is ever read by others.
        let work = tempfile::Builder::new()
            .prefix(".bashgym-backup-")
            .tempdir_in(folder)
            .map_err(BackupError::io("make a folder in", folder))?;
        let part = work.path().join("backup.db");
        match &self.database.pool {
            Pool::Sqlite(pool) => {
                let name = part.display().to_string();
                sqlx::query("VACUUM INTO $1")
                    .bind(name)
                    .execute(pool)
                    .await
                    .map_err(failed("write the backup", &to.display().to_string()))?;
            }
            Pool::Postgres(_) => {
                let target = Self::open(&part).await?;
                self.copy_into(&target).await?;
                target.close().await;
            }
        }
        let copy = Self::open(&part).await?;
        let info = copy.info().await?;
        copy.close().await;
        let name = to.to_path_buf();
        let done = tokio::task::spawn_blocking(move || {
            use std::os::unix::fs::PermissionsExt;
            let file = std::fs::File::open(&part)?;
            file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
            file.sync_all()?;
            // Unlike a rename, this fails where somebody else made the file meanwhile.
            std::fs::hard_link(&part, &name)?;
            if let Some(folder) = name.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::File::open(folder)?.sync_all()?;
            }
            drop(work);
            Ok(())
        });
        done.await
            .map_err(std::io::Error::other)
            .and_then(|done| done)
            .map_err(BackupError::io("write", to))?;
        Ok(StoreInfo {
            place: to.display().to_string(),
            ..info
        })
    }

    /// Puts what a backup holds into this store, all of it or nothing. A backup of an older version is brought to today's
    /// form first; the file stays as it is. Whoever listens to events is told to read anew.
    ///
    /// # Errors
    /// [`BackupError`]; nothing has changed then.
    pub async fn restore(&self, from: &Path, how: Restore) -> Result<StoreInfo, BackupError> {
        if !from.is_file() {
            return Err(BackupError::NoFile(from.to_path_buf()));
        }
        let mut log = from.as_os_str().to_owned();
        log.push("-wal");
        if std::fs::metadata(&log).is_ok_and(|log| log.len() > 0) {
            return Err(BackupError::Live(from.to_path_buf()));
        }
        let work = tempfile::Builder::new()
            .prefix("bashgym-restore-")
            .tempdir()
            .map_err(BackupError::io("make a folder for", from))?;
        let copy = work.path().join("backup.db");
        tokio::fs::copy(from, &copy)
            .await
            .map_err(BackupError::io("read", from))?;
        let source = Self::open(&copy).await?;
        let restored = async {
            let info = source.info().await?;
            if !info.damage.is_empty() {
                return Err(BackupError::Damaged {
                    path: from.to_path_buf(),
                    damage: info.damage.join("; "),
                });
            }
            self.take_over(&source, info.newest_event, how).await
        };
        let restored = restored.await;
        source.close().await;
        restored?;
        Ok(self.info().await?)
    }

    async fn take_over(&self, source: &Self, newest: u64, how: Restore) -> Result<(), BackupError> {
        let mut change = self
            .database
            .begin()
            .await
            .map_err(failed("begin", "the restore"))?;
        let now = change.clock.now().as_microsecond();
        let held = change
            .fetch_all(
                "SELECT name, holder FROM leases WHERE expires_at_us > $1 LIMIT 1",
                &args![now],
            )
            .await
            .map_err(failed("read", "leases"))?;
        if let Some(row) = held.first() {
            let cells = Cells::new(row, "leases", "name");
            return Err(BackupError::InUse {
                name: cells.text("name")?,
                holder: cells.text("holder")?,
            });
        }
        for table in TABLES {
            let rows = count(&mut change, table).await?;
            if rows > 0 && how == Restore::IntoEmpty {
                return Err(BackupError::NotEmpty {
                    table: table.name,
                    rows,
                });
            }
            change
                .execute(table.delete, &[])
                .await
                .map_err(failed("empty", table.name))?;
        }
        source.copy_to(&mut change).await?;
        // Workers of the backup's time are gone.
        change
            .execute("UPDATE tasks SET holder = NULL, held_until_us = 0", &[])
            .await
            .map_err(failed("free", "tasks"))?;
        change.restart_log(newest).await?;
        change
            .log(&[NewEvent::new("store:restored", "store", json!({}))])
            .await?;
        change.commit().await.map_err(failed("end", "the restore"))?;
        Ok(())
    }

    async fn copy_into(&self, target: &Self) -> Result<(), StoreError> {
        let mut change = target
            .database
            .begin()
            .await
            .map_err(failed("begin", "the backup"))?;
        self.copy_to(&mut change).await?;
        change.restart_log(self.newest_event().await?).await?;
        change.commit().await.map_err(failed("end", "the backup"))
    }

    /// Copies every table as it is at one moment, row by row.
    async fn copy_to(&self, target: &mut Change) -> Result<(), StoreError> {
        let mut source = match &self.database.pool {
            Pool::Sqlite(pool) => Source::Sqlite(
                pool.begin()
                    .await
                    .map_err(failed("read", "what is to be copied"))?,
            ),
            Pool::Postgres(pool) => Source::Postgres(
                pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                    .await
                    .map_err(failed("read", "what is to be copied"))?,
            ),
        };
        for table in TABLES {
            let mut rows = match &mut source {
                Source::Sqlite(read) => sqlx::query(table.select)
                    .fetch(&mut **read)
                    .map_ok(Row::Sqlite)
                    .boxed(),
                Source::Postgres(read) => sqlx::query(table.select)
                    .fetch(&mut **read)
                    .map_ok(Row::Postgres)
                    .boxed(),
            };
            while let Some(row) = rows.try_next().await.map_err(failed("read", table.name))? {
                let values: Result<Vec<Arg>, sqlx::Error> = table
                    .columns
                    .iter()
                    .map(|(column, holds)| {
                        Ok(match holds {
                            Holds::Text => Arg::from(row.text(column)?),
                            Holds::Integer => Arg::from(row.integer(column)?),
                        })
                    })
                    .collect();
                let values = values.map_err(failed("read", table.name))?;
                target
                    .execute(table.insert, &values)
                    .await
                    .map_err(failed("fill", table.name))?;
            }
        }
        Ok(())
    }

    async fn newest_event(&self) -> Result<u64, StoreError> {
        use bashgym_core::events::EventLog;
        Ok(self.bounds().await?.newest)
    }

    /// What is in the store.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    pub async fn info(&self) -> Result<StoreInfo, StoreError> {
        let number = async |sql: &'static str| -> Result<u64, StoreError> {
            let row = self
                .database
                .fetch_optional(sql, &[])
                .await
                .map_err(failed("read", "the store"))?;
            row.map_or(Ok(0), |row| Cells::new(&row, "store", "n").count("n"))
        };
        let mut rows = Vec::new();
        for table in TABLES {
            rows.push(TableRows {
                table: table.name,
                rows: number(table.count).await?,
            });
        }
        rows.push(TableRows {
            table: "event_log",
            rows: number("SELECT COUNT(*) AS n FROM event_log").await?,
        });
        let size = self.database.pick(
            "SELECT page_count * page_size AS n FROM pragma_page_count(), pragma_page_size()",
            "SELECT pg_database_size(current_database()) AS n",
        );
        let damage = match &self.database.pool {
            Pool::Sqlite(pool) => {
                let found: Vec<String> = sqlx::query_scalar("PRAGMA integrity_check(20)")
                    .fetch_all(pool)
                    .await
                    .map_err(failed("check", "the store"))?;
                found.into_iter().filter(|word| word != "ok").collect()
            }
            Pool::Postgres(_) => Vec::new(),
        };
        Ok(StoreInfo {
            kind: self.database.pick("sqlite", "postgres"),
            place: self.place.to_string(),
            schema: number("SELECT COALESCE(MAX(version), 0) AS n FROM _sqlx_migrations").await?,
            size_bytes: number(size).await?,
            rows,
            newest_event: self.newest_event().await?,
            damage,
        })
    }
}

enum Source {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

async fn count(change: &mut Change, table: &Table) -> Result<u64, StoreError> {
    let rows = change
        .fetch_all(table.count, &[])
        .await
        .map_err(failed("count", table.name))?;
    rows.first()
        .map_or(Ok(0), |row| Cells::new(row, table.name, "n").count("n"))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::SqlStore;
    use crate::database::args;
    use crate::tables::{NOT_COPIED, TABLES};

    #[tokio::test]
    async fn backup_names_every_table_and_column_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let store = SqlStore::open(&folder.path().join("bashgym.db")).await.unwrap();
        let rows = store
            .database
            .fetch_all(
                "SELECT m.name AS table_name, c.name AS column_name FROM sqlite_master m, pragma_table_info(m.name) c \
                 WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%'",
                &args![],
            )
            .await
            .unwrap();
        let mut there: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for row in rows {
            let column = row.text("column_name").unwrap().unwrap();
            let table = row.text("table_name").unwrap().unwrap();
            there.entry(table).or_default().insert(column);
        }
        for table in NOT_COPIED {
            there.remove(*table).unwrap();
        }
        let copied: BTreeMap<String, BTreeSet<String>> = TABLES
            .iter()
            .map(|table| {
                let columns = table.columns.iter().map(|(column, _)| (*column).to_owned());
                (table.name.to_owned(), columns.collect())
            })
            .collect();
        assert_eq!(copied, there, "a table that a step adds is added to `tables.rs`");
    }
}
