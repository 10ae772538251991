//! Calls of models.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bashgym_core::inference::{CallFilter, CallId, CallStore, CallSums, StoredCall, UsageBy, UsageRow};
use bashgym_core::store::StoreError;

use crate::SqlStore;
use crate::cells::Cells;
use crate::database::{Arg, Insert, Row, args};
use crate::error::{backend, bad_data};

const CALLS: &str = "calls";
const SUMS: &str = "call_sums";

/// Calls by the index that the given condition can use; what else is asked for is checked on the way.
macro_rules! list_calls {
    ($condition:literal) => {
        concat!(
            "SELECT id, call FROM calls WHERE ",
            $condition,
            " AND ($1 IS NULL OR model = $1) AND ($2 IS NULL OR purpose = $2) AND at_us >= $3",
            " AND ($4 IS NULL OR id < $4) ORDER BY id DESC LIMIT $5"
        )
    };
}

const INTO_CALLS: Insert<5> = Insert {
    table: "calls",
    columns: ["id", "at_us", "model", "purpose", "call"],
    key: "id",
};

fn row(call: &StoredCall) -> Result<[Arg; 5], StoreError> {
    let text = serde_json::to_string(&call.call)
        .map_err(|error| bad_data(CALLS, "call", &call.id.to_string(), error))?;
    Ok(args![
        call.id.to_string(),
        call.call.at.as_microsecond(),
        call.call.report.model.as_str(),
        call.call.purpose.clone(),
        text,
    ])
}

#[async_trait]
impl CallStore for SqlStore {
    async fn add_call(&self, call: &StoredCall) -> Result<(), StoreError> {
        self.add_calls(std::slice::from_ref(call)).await
    }

    async fn add_calls(&self, calls: &[StoredCall]) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| backend("remember a call", error);
        // One at a time: two that add to the same sums in another order would wait for each other for ever.
        let mut change = self.database.begin_turn("calls").await.map_err(failed)?;
        let mut rows = Vec::with_capacity(calls.len());
        for call in calls {
            rows.push(row(call)?);
        }
        let mut new: Vec<&StoredCall> = calls.iter().collect();
        let added = change.insert(INTO_CALLS, &rows).await.map_err(failed)?;
        if added < calls.len() as u64 {
            // Some were written before, and are in the sums: which ones is asked row by row.
            drop(change);
            change = self.database.begin_turn("calls").await.map_err(failed)?;
            new.clear();
            for (call, row) in calls.iter().zip(&rows) {
                if change
                    .insert(INTO_CALLS, std::slice::from_ref(row))
                    .await
                    .map_err(failed)?
                    > 0
                {
                    new.push(call);
                }
            }
        }
        let mut sums: BTreeMap<(UsageBy, String), CallSums> = BTreeMap::new();
        for call in new {
            for by in UsageBy::ALL {
                let sum = sums.entry((by, call.bucket(by))).or_default();
                *sum = sum.plus(call.sums());
            }
        }
        for ((by, bucket), sums) in sums {
            change
                .execute(
                    "INSERT INTO call_sums \
                     (kind, bucket, calls, failed, prompt_tokens, completion_tokens, nano_usd, unknown_cost) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
                     ON CONFLICT (kind, bucket) DO UPDATE SET calls = call_sums.calls + excluded.calls, \
                     failed = call_sums.failed + excluded.failed, \
                     prompt_tokens = call_sums.prompt_tokens + excluded.prompt_tokens, \
                     completion_tokens = call_sums.completion_tokens + excluded.completion_tokens, \
                     nano_usd = call_sums.nano_usd + excluded.nano_usd, \
                     unknown_cost = call_sums.unknown_cost + excluded.unknown_cost",
                    &args![
                        by.as_str(),
                        bucket,
                        sums.calls,
                        sums.failed,
                        sums.prompt_tokens,
                        sums.completion_tokens,
                        sums.nano_usd,
                        sums.unknown_cost,
                    ],
                )
                .await
                .map_err(failed)?;
        }
        change.commit().await.map_err(failed)
    }

    async fn find_call(&self, id: CallId) -> Result<Option<StoredCall>, StoreError> {
        self.database
            .fetch_optional("SELECT id, call FROM calls WHERE id = $1", &args![id.to_string()])
            .await
            .map_err(|error| backend("read a call", error))?
            .as_ref()
            .map(stored)
            .transpose()
    }

    async fn list_calls(
        &self,
        filter: &CallFilter,
        before: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<StoredCall>, StoreError> {
        let sql = match filter {
            CallFilter { model: Some(_), .. } => list_calls!("model = $1"),
            CallFilter { purpose: Some(_), .. } => list_calls!("purpose = $2"),
            _ => list_calls!("1 = 1"),
        };
        self.database
            .fetch_all(
                sql,
                &args![
                    filter.model.clone(),
                    filter.purpose.clone(),
                    filter.from.map_or(i64::MIN, jiff::Timestamp::as_microsecond),
                    before.map(|before| before.to_string()),
                    limit,
                ],
            )
            .await
            .map_err(|error| backend("list calls", error))?
            .iter()
            .map(stored)
            .collect()
    }

    async fn list_call_usage(&self, by: UsageBy, limit: u32) -> Result<Vec<UsageRow>, StoreError> {
        let sql = if by == UsageBy::Day {
            "SELECT * FROM call_sums WHERE kind = $1 ORDER BY bucket DESC LIMIT $2"
        } else {
            "SELECT * FROM call_sums WHERE kind = $1 ORDER BY calls DESC, bucket LIMIT $2"
        };
        self.database
            .fetch_all(sql, &args![by.as_str(), limit])
            .await
            .map_err(|error| backend("add up calls", error))?
            .iter()
            .map(|row| {
                let cells = Cells::new(row, SUMS, "bucket");
                Ok(UsageRow {
                    bucket: cells.text("bucket")?,
                    sums: CallSums {
                        calls: cells.count("calls")?,
                        failed: cells.count("failed")?,
                        prompt_tokens: cells.count("prompt_tokens")?,
                        completion_tokens: cells.count("completion_tokens")?,
                        nano_usd: cells.count("nano_usd")?,
                        unknown_cost: cells.count("unknown_cost")?,
                    },
                })
            })
            .collect()
    }
}

fn stored(row: &Row) -> Result<StoredCall, StoreError> {
    let cells = Cells::new(row, CALLS, "id");
    Ok(StoredCall {
        id: cells.parsed("id")?,
        call: cells.json("call")?,
    })
}
