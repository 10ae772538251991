//! Events of runs.

use async_trait::async_trait;
use bashgym_core::events::{RunEvent, StoredEvent};
use bashgym_core::run::RunId;
use bashgym_core::store::{EventStore, StoreError};
use sqlx::Row;

use crate::SqliteStore;
use crate::error::{backend, bad_data};
use crate::runs::to_integer;

const TABLE: &str = "run_events";

#[async_trait]
impl EventStore for SqliteStore {
    async fn append_event(&self, run: RunId, event: &RunEvent) -> Result<u64, StoreError> {
        let id = run.to_string();
        let text = serde_json::to_string(event).map_err(|error| bad_data(TABLE, "event", &id, error))?;
        // One statement, so that two writers cannot take the same number.
        let row = sqlx::query(
            "INSERT INTO run_events (run_id, seq, event) \
             SELECT ?1, COALESCE(MAX(seq), 0) + 1, ?2 FROM run_events WHERE run_id = ?1 RETURNING seq",
        )
        .bind(&id)
        .bind(text)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| backend(format!("append an event to run {id}"), error))?;
        sequence(&row, &id)
    }

    async fn list_events(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let id = run.to_string();
        sqlx::query("SELECT seq, event FROM run_events WHERE run_id = ? AND seq > ? ORDER BY seq LIMIT ?")
            .bind(&id)
            .bind(to_integer(after))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(|error| backend(format!("list the events of run {id}"), error))?
            .iter()
            .map(|row| {
                let text: &str = row
                    .try_get("event")
                    .map_err(|error| bad_data(TABLE, "event", &id, error))?;
                let event =
                    serde_json::from_str(text).map_err(|error| bad_data(TABLE, "event", &id, error))?;
                Ok(StoredEvent {
                    seq: sequence(row, &id)?,
                    event,
                })
            })
            .collect()
    }
}

fn sequence(row: &sqlx::sqlite::SqliteRow, id: &str) -> Result<u64, StoreError> {
    let seq: i64 = row
        .try_get("seq")
        .map_err(|error| bad_data(TABLE, "seq", id, error))?;
    u64::try_from(seq).map_err(|error| bad_data(TABLE, "seq", id, error))
}
