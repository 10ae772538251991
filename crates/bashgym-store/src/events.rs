//! Events of runs.

use async_trait::async_trait;
use bashgym_core::events::{RunEvent, StoredEvent, facts};
use bashgym_core::run::RunId;
use bashgym_core::store::{EventStore, StoreError};

use crate::SqlStore;
use crate::cells::Cells;
use crate::database::args;
use crate::error::{backend, bad_data};

const TABLE: &str = "run_events";

#[async_trait]
impl EventStore for SqlStore {
    async fn append_event(&self, run: RunId, event: &RunEvent) -> Result<u64, StoreError> {
        let id = run.to_string();
        let text = serde_json::to_string(event).map_err(|error| bad_data(TABLE, "event", &id, error))?;
        let failed = |error: sqlx::Error| backend(format!("append an event to run {id}"), error);
        // Two writers must not take the same number.
        let turn = format!("events of run {id}");
        let mut change = self.database.begin_turn(&turn).await.map_err(failed)?;
        let row = change
            .fetch_all(
                "INSERT INTO run_events (run_id, seq, event) \
                 SELECT $1, COALESCE(MAX(seq), 0) + 1, $2 FROM run_events WHERE run_id = $1 RETURNING seq",
                &args![id.as_str(), text],
            )
            .await
            .map_err(failed)?
            .pop()
            .ok_or_else(|| failed(sqlx::Error::RowNotFound))?;
        let seq = Cells::new(&row, TABLE, &id).count("seq")?;
        change.log(&[facts::of_run_event(run, seq, event)]).await?;
        change.commit().await.map_err(failed)?;
        Ok(seq)
    }

    async fn list_events(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError> {
        let id = run.to_string();
        self.database
            .fetch_all(
                "SELECT seq, event FROM run_events WHERE run_id = $1 AND seq > $2 ORDER BY seq LIMIT $3",
                &args![id.as_str(), after, limit],
            )
            .await
            .map_err(|error| backend(format!("list the events of run {id}"), error))?
            .iter()
            .map(|row| {
                let cells = Cells::new(row, TABLE, &id);
                Ok(StoredEvent {
                    seq: cells.count("seq")?,
                    event: cells.json("event")?,
                })
            })
            .collect()
    }
}
