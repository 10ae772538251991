//! Runs.

use async_trait::async_trait;
use bashgym_core::events::facts;
use bashgym_core::run::{RunId, RunRecord, RunSpec};
use bashgym_core::store::{RunStore, StoreError};

use crate::SqlStore;
use crate::cells::Cells;
use crate::database::{Row, args};
use crate::error::{backend, bad_data};

const TABLE: &str = "runs";
const FIND: &str = "SELECT id, version, created_at, updated_at, spec, state FROM runs WHERE id = $1";

#[async_trait]
impl RunStore for SqlStore {
    async fn create_run(&self, run: &RunRecord) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| backend(format!("create run {}", run.id), error);
        let mut change = self.database.begin().await.map_err(failed)?;
        change
            .execute(
                "INSERT INTO runs (id, version, created_at, updated_at, spec, state_name, state) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7)",
                &args![
                    run.id.to_string(),
                    run.version,
                    run.created_at.to_string(),
                    run.updated_at.to_string(),
                    json(run.id, "spec", &run.spec)?,
                    run.state.as_str(),
                    json(run.id, "state", &run.state)?,
                ],
            )
            .await
            .map_err(failed)?;
        change.log(&facts::of_run(None, run)).await?;
        change.commit().await.map_err(failed)
    }

    async fn find_run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError> {
        self.database
            .fetch_optional(FIND, &args![id.to_string()])
            .await
            .map_err(|error| backend(format!("read run {id}"), error))?
            .as_ref()
            .map(record)
            .transpose()
    }

    async fn find_unfinished_run(&self, spec: &RunSpec) -> Result<Option<RunRecord>, StoreError> {
        let spec = serde_json::to_string(spec).map_err(|error| bad_data(TABLE, "spec", "to find", error))?;
        self.database
            .fetch_optional(
                "SELECT id, version, created_at, updated_at, spec, state FROM runs \
                 WHERE spec = $1 AND state_name <> 'succeeded' ORDER BY id DESC LIMIT 1",
                &args![spec],
            )
            .await
            .map_err(|error| backend("look for an unfinished run", error))?
            .as_ref()
            .map(record)
            .transpose()
    }

    async fn update_run(&self, run: &RunRecord) -> Result<u64, StoreError> {
        let failed = |error: sqlx::Error| backend(format!("save run {}", run.id), error);
        let next = run.version + 1;
        let mut change = self.database.begin().await.map_err(failed)?;
        let before = change
            .fetch_all(FIND, &args![run.id.to_string()])
            .await
            .map_err(failed)?
            .first()
            .map(record)
            .transpose()?
            .ok_or(StoreError::Missing { id: run.id })?;
        let saved = change
            .execute(
                "UPDATE runs SET version = $1, updated_at = $2, state_name = $3, state = $4 \
                 WHERE id = $5 AND version = $6",
                &args![
                    next,
                    run.updated_at.to_string(),
                    run.state.as_str(),
                    json(run.id, "state", &run.state)?,
                    run.id.to_string(),
                    run.version,
                ],
            )
            .await
            .map_err(failed)?;
        if saved == 0 {
            return Err(StoreError::Stale { id: run.id });
        }
        // Of the version that was replaced, or the save would have changed nothing.
        change.log(&facts::of_run(Some(&before), run)).await?;
        change.commit().await.map_err(failed)?;
        Ok(next)
    }

    async fn list_runs(&self, before: Option<RunId>, limit: u32) -> Result<Vec<RunRecord>, StoreError> {
        // Any UUID is before this text.
        let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string());
        self.database
            .fetch_all(
                "SELECT id, version, created_at, updated_at, spec, state FROM runs \
                 WHERE id < $1 ORDER BY id DESC LIMIT $2",
                &args![before, limit],
            )
            .await
            .map_err(|error| backend("list runs", error))?
            .iter()
            .map(record)
            .collect()
    }
}

fn record(row: &Row) -> Result<RunRecord, StoreError> {
    let cells = Cells::new(row, TABLE, "id");
    Ok(RunRecord {
        id: cells.parsed("id")?,
        version: cells.count("version")?,
        created_at: cells.parsed("created_at")?,
        updated_at: cells.parsed("updated_at")?,
        spec: cells.json("spec")?,
        state: cells.json("state")?,
    })
}

fn json(id: RunId, column: &str, value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| bad_data(TABLE, column, &id.to_string(), error))
}
