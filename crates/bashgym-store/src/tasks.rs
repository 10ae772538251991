//! Long work.

use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::events::facts;
use bashgym_core::store::StoreError;
use bashgym_core::task::{TaskFilter, TaskId, TaskRecord, TaskStore};
use jiff::Timestamp;

use crate::SqlStore;
use crate::cells::Cells;
use crate::database::{Change, Row, args};
use crate::error::{backend, bad_data};

const TABLE: &str = "tasks";

fn until(now: Timestamp, ttl: Duration) -> i64 {
    now.saturating_add(ttl).unwrap_or(Timestamp::MAX).as_microsecond()
}

fn record(row: &Row) -> Result<TaskRecord, StoreError> {
    let cells = Cells::new(row, TABLE, "id");
    Ok(TaskRecord {
        version: cells.count("version")?,
        ..cells.json("record")?
    })
}

fn json(task: &TaskRecord) -> Result<String, StoreError> {
    serde_json::to_string(task).map_err(|error| bad_data(TABLE, "record", &task.id.to_string(), error))
}

fn failed(verb: &'static str, id: TaskId) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| backend(format!("{verb} task {id}"), error)
}

/// Writes a task over the one of version `was`. False where another version is there.
async fn write(change: &mut Change, task: &TaskRecord, was: u64) -> Result<bool, StoreError> {
    let saved = change
        .execute(
            "UPDATE tasks SET version = $1, state = $2, record = $3 WHERE id = $4 AND version = $5",
            &args![
                task.version,
                task.state.as_str(),
                json(task)?,
                task.id.to_string(),
                was
            ],
        )
        .await
        .map_err(failed("save", task.id))?;
    Ok(saved == 1)
}

async fn find(change: &mut Change, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
    let sql = change.pick(
        "SELECT id, version, record FROM tasks WHERE id = $1",
        "SELECT id, version, record FROM tasks WHERE id = $1 FOR UPDATE",
    );
    let rows = change
        .fetch_all(sql, &args![id.to_string()])
        .await
        .map_err(failed("read", id))?;
    rows.first().map(record).transpose()
}

/// What may be given out: it waits, or its holder was not heard of until now.
macro_rules! open_tasks {
    ($kinds:literal, $end:literal) => {
        concat!(
            "SELECT id, version, record FROM tasks WHERE state IN ('queued', 'running') ",
            "AND (state = 'queued' OR held_until_us <= $1) AND kind IN ",
            $kinds,
            " ORDER BY id LIMIT 1",
            $end
        )
    };
}

#[async_trait]
impl TaskStore for SqlStore {
    async fn create_task(&self, task: &TaskRecord) -> Result<(TaskRecord, bool), StoreError> {
        let mut change = self.database.begin().await.map_err(failed("create", task.id))?;
        let added = change
            .execute(
                "INSERT INTO tasks (id, version, kind, state, idempotency_key, holder, held_until_us, record) \
                 VALUES ($1, $2, $3, $4, $5, NULL, 0, $6) ON CONFLICT DO NOTHING",
                &args![
                    task.id.to_string(),
                    task.version,
                    task.kind.as_str(),
                    task.state.as_str(),
                    task.idempotency_key.clone(),
                    json(task)?,
                ],
            )
            .await
            .map_err(failed("create", task.id))?;
        if added == 1 {
            change.log(&facts::of_task(None, task)).await?;
            change.commit().await.map_err(failed("create", task.id))?;
            return Ok((task.clone(), true));
        }
        let rows = change
            .fetch_all(
                "SELECT id, version, record FROM tasks WHERE kind = $1 AND idempotency_key = $2",
                &args![task.kind.as_str(), task.idempotency_key.clone()],
            )
            .await
            .map_err(failed("read", task.id))?;
        match rows.first() {
            Some(row) => Ok((record(row)?, false)),
            None => Err(backend(
                format!("create task {}", task.id),
                "a task of this name is there",
            )),
        }
    }

    async fn find_task(&self, id: TaskId) -> Result<Option<TaskRecord>, StoreError> {
        self.database
            .fetch_optional(
                "SELECT id, version, record FROM tasks WHERE id = $1",
                &args![id.to_string()],
            )
            .await
            .map_err(failed("read", id))?
            .as_ref()
            .map(record)
            .transpose()
    }

    async fn list_tasks(
        &self,
        filter: &TaskFilter,
        before: Option<TaskId>,
        limit: u32,
    ) -> Result<Vec<TaskRecord>, StoreError> {
        // Any UUID is before this text.
        let before = before.map_or_else(|| "g".to_owned(), |id| id.to_string());
        self.database
            .fetch_all(
                "SELECT id, version, record FROM tasks WHERE id < $1 AND ($2 IS NULL OR kind = $2) \
                 AND ($3 IS NULL OR state = $3) ORDER BY id DESC LIMIT $4",
                &args![
                    before,
                    filter.kind.clone(),
                    filter.state.map(|state| state.as_str().to_owned()),
                    limit
                ],
            )
            .await
            .map_err(|error| backend("list tasks", error))?
            .iter()
            .map(record)
            .collect()
    }

    async fn update_task(&self, task: &TaskRecord) -> Result<u64, StoreError> {
        let what = || format!("task {}", task.id);
        let mut change = self.database.begin().await.map_err(failed("save", task.id))?;
        let before = find(&mut change, task.id)
            .await?
            .ok_or_else(|| StoreError::Gone { what: what() })?;
        let next = TaskRecord {
            version: task.version + 1,
            ..task.clone()
        };
        if !write(&mut change, &next, task.version).await? {
            return Err(StoreError::Changed { what: what() });
        }
        if task.state.is_final() {
            change
                .execute(
                    "UPDATE tasks SET holder = NULL, held_until_us = 0 WHERE id = $1",
                    &args![task.id.to_string()],
                )
                .await
                .map_err(failed("save", task.id))?;
        }
        change.log(&facts::of_task(Some(&before), task)).await?;
        change.commit().await.map_err(failed("save", task.id))?;
        Ok(next.version)
    }

    async fn claim_task(
        &self,
        kinds: &[String],
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Option<TaskRecord>, StoreError> {
        let failed = |error: sqlx::Error| backend("take a task", error);
        let kinds =
            serde_json::to_string(kinds).map_err(|error| bad_data(TABLE, "kind", "to find", error))?;
        let args = args![now.as_microsecond(), kinds];
        // Most looks find nothing to do, and a look should not keep others from writing.
        let look = self.database.pick(
            open_tasks!("(SELECT value FROM json_each($2))", ""),
            open_tasks!(
                "(SELECT value FROM json_array_elements_text(CAST($2 AS json)) AS e(value))",
                ""
            ),
        );
        if self
            .database
            .fetch_optional(look, &args)
            .await
            .map_err(failed)?
            .is_none()
        {
            return Ok(None);
        }
        let take = self.database.pick(
            open_tasks!("(SELECT value FROM json_each($2))", ""),
            open_tasks!(
                "(SELECT value FROM json_array_elements_text(CAST($2 AS json)) AS e(value))",
                " FOR UPDATE SKIP LOCKED"
            ),
        );
        let mut change = self.database.begin().await.map_err(failed)?;
        let rows = change.fetch_all(take, &args).await.map_err(failed)?;
        let Some(before) = rows.first().map(record).transpose()? else {
            return Ok(None);
        };
        let taken = before.clone().taken(now);
        if !write(&mut change, &taken, before.version).await? {
            return Ok(None);
        }
        change
            .execute(
                "UPDATE tasks SET holder = $1, held_until_us = $2 WHERE id = $3",
                &args![holder, until(now, ttl), taken.id.to_string()],
            )
            .await
            .map_err(failed)?;
        change.log(&facts::of_task(Some(&before), &taken)).await?;
        change.commit().await.map_err(failed)?;
        Ok(Some(taken))
    }

    async fn hold_task(
        &self,
        id: TaskId,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<bool, StoreError> {
        let held = self
            .database
            .execute(
                "UPDATE tasks SET held_until_us = $1 WHERE id = $2 AND holder = $3",
                &args![until(now, ttl), id.to_string(), holder],
            )
            .await
            .map_err(failed("hold", id))?;
        Ok(held == 1)
    }

    async fn release_task(&self, id: TaskId, holder: &str, now: Timestamp) -> Result<(), StoreError> {
        let mut change = self.database.begin().await.map_err(failed("give back", id))?;
        let freed = change
            .execute(
                "UPDATE tasks SET holder = NULL, held_until_us = 0 \
                 WHERE id = $1 AND holder = $2 AND state = 'running'",
                &args![id.to_string(), holder],
            )
            .await
            .map_err(failed("give back", id))?;
        let before = match find(&mut change, id).await? {
            Some(before) if freed == 1 => before,
            _ => return Ok(()),
        };
        let back = before.clone().given_back(now);
        if !write(&mut change, &back, before.version).await? {
            return Ok(());
        }
        change.log(&facts::of_task(Some(&before), &back)).await?;
        change.commit().await.map_err(failed("give back", id))
    }
}
