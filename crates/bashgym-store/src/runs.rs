//! Runs.

use async_trait::async_trait;
use bashgym_core::run::{RunId, RunRecord, RunSpec};
use bashgym_core::store::{RunStore, StoreError};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::SqliteStore;
use crate::error::{backend, bad_data};

const TABLE: &str = "runs";

#[async_trait]
impl RunStore for SqliteStore {
    async fn create_run(&self, run: &RunRecord) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO runs (id, version, created_at, updated_at, spec, state_name, state) VALUES (?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(run.id.to_string())
        .bind(to_integer(run.version))
        .bind(run.created_at.to_string())
        .bind(run.updated_at.to_string())
        .bind(json(run.id, "spec", &run.spec)?)
        .bind(run.state.as_str())
        .bind(json(run.id, "state", &run.state)?)
        .execute(&self.pool)
        .await
        .map_err(|error| backend(format!("create run {}", run.id), error))?;
        Ok(())
    }

    async fn find_run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        sqlx::query("SELECT id, version, created_at, updated_at, spec, state FROM runs WHERE id = ?")
            .bind(id.to_string())
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| backend(format!("read run {id}"), error))?
            .as_ref()
            .map(record)
            .transpose()
    }

    async fn find_unfinished_run(&self, spec: &RunSpec) -> Result<Option<RunRecord>, StoreError> {
        sqlx::query(
            "SELECT id, version, created_at, updated_at, spec, state FROM runs \
             WHERE spec = ? AND state_name <> 'succeeded' ORDER BY id DESC LIMIT 1",
        )
        .bind(serde_json::to_string(spec).map_err(|error| bad_data(TABLE, "spec", "to find", error))?)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| backend("look for an unfinished run".to_owned(), error))?
        .as_ref()
        .map(record)
        .transpose()
    }

    async fn update_run(&self, run: &RunRecord) -> Result<u64, StoreError> {
        let next = run.version + 1;
        let saved = sqlx::query(
            "UPDATE runs SET version = ?, updated_at = ?, state_name = ?, state = ? WHERE id = ? AND version = ?",
        )
        .bind(to_integer(next))
        .bind(run.updated_at.to_string())
        .bind(run.state.as_str())
        .bind(json(run.id, "state", &run.state)?)
        .bind(run.id.to_string())
        .bind(to_integer(run.version))
        .execute(&self.pool)
        .await
        .map_err(|error| backend(format!("save run {}", run.id), error))?;
        if saved.rows_affected() == 1 {
            return Ok(next);
        }
        match self.find_run(run.id).await? {
            Some(_) => Err(StoreError::Stale { id: run.id }),
            None => Err(StoreError::Missing { id: run.id }),
        }
    }

    async fn list_runs(&self, before: Option<RunId>, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        // Any UUID is before this text.
        let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string());
        sqlx::query(
            "SELECT id, version, created_at, updated_at, spec, state FROM runs WHERE id < ? ORDER BY id DESC LIMIT ?",
        )
        .bind(before)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(|error| backend("list runs".to_owned(), error))?
        .iter()
        .map(record)
        .collect()
    }
}

fn record(row: &SqliteRow) -> Result<RunRecord, StoreError> {
    let text = |column: &'static str| -> Result<&str, StoreError> {
        row.try_get::<&str, _>(column)
            .map_err(|error| bad_data(TABLE, column, "unknown", error))
    };
    let id = text("id")?;
    let time = |column| {
        text(column)?
            .parse()
            .map_err(|error: jiff::Error| bad_data(TABLE, column, id, error))
    };
    let version: i64 = row
        .try_get("version")
        .map_err(|error| bad_data(TABLE, "version", id, error))?;
    Ok(RunRecord {
        id: id
            .parse()
            .map_err(|error: <RunId as std::str::FromStr>::Err| bad_data(TABLE, "id", id, error))?,
        version: u64::try_from(version).map_err(|error| bad_data(TABLE, "version", id, error))?,
        created_at: time("created_at")?,
        updated_at: time("updated_at")?,
        spec: serde_json::from_str(text("spec")?).map_err(|error| bad_data(TABLE, "spec", id, error))?,
        state: serde_json::from_str(text("state")?).map_err(|error| bad_data(TABLE, "state", id, error))?,
    })
}

fn json(id: RunId, column: &str, value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| bad_data(TABLE, column, &id.to_string(), error))
}

/// SQLite counts in signed integers; a count of saves does not reach their end.
pub(crate) fn to_integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
