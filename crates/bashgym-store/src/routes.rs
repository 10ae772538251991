//! Routing decisions. `judged` is 0 without a verdict, and else the verdict's number.

use async_trait::async_trait;
use bashgym_core::router::{
    DecisionFilter, DecisionId, DecisionRecord, Exchange, RouteStore, VerifiedOutcome,
};
use bashgym_core::store::StoreError;
use jiff::Timestamp;
use serde_json::Value;

use crate::SqlStore;
use crate::cells::Cells;
use crate::database::{Change, Insert, Row, args};
use crate::error::{backend, bad_data};

const DECISIONS: &str = "route_decisions";
const NOTES: &str = "route_notes";

const INTO_DECISIONS: Insert<5> = Insert {
    table: "route_decisions",
    columns: ["id", "at_us", "judged", "record", "exchange"],
    key: "id",
};

/// The number of the verdict to come: one more than the last. Whoever asks has the turn of the routes.
async fn next_verdict(change: &mut Change) -> Result<i64, sqlx::Error> {
    let rows = change
        .fetch_all(
            "SELECT COALESCE(MAX(judged), 0) + 1 AS next FROM route_decisions",
            &[],
        )
        .await?;
    let next = rows.first().map(|row| row.integer("next")).transpose()?;
    Ok(next.flatten().unwrap_or(1))
}

#[async_trait]
impl RouteStore for SqlStore {
    async fn add_decisions(
        &self,
        decisions: &[(DecisionRecord, Option<Exchange>)],
    ) -> Result<(), StoreError> {
        if decisions.is_empty() {
            return Ok(());
        }
        let failed = |error: sqlx::Error| backend("remember decisions", error);
        let mut change = self.database.begin_turn("routes").await.map_err(failed)?;
        let mut rows = Vec::with_capacity(decisions.len());
        for (record, exchange) in decisions {
            let bad = |error| bad_data(DECISIONS, "record", &record.id.to_string(), error);
            let exchange = exchange.as_ref().map(serde_json::to_string).transpose();
            let judged = match record.outcome {
                Some(_) => next_verdict(&mut change).await.map_err(failed)?,
                None => 0,
            };
            let row = args![
                record.id.to_string(),
                record.at.as_microsecond(),
                judged,
                serde_json::to_string(record).map_err(bad)?,
                exchange.map_err(bad)?,
            ];
            if judged == 0 {
                rows.push(row);
            } else {
                change.insert(INTO_DECISIONS, &[row]).await.map_err(failed)?;
            }
        }
        change.insert(INTO_DECISIONS, &rows).await.map_err(failed)?;
        change.commit().await.map_err(failed)
    }

    async fn find_decision(&self, id: DecisionId) -> Result<Option<DecisionRecord>, StoreError> {
        self.database
            .fetch_optional(
                "SELECT id, record FROM route_decisions WHERE id = $1",
                &args![id.to_string()],
            )
            .await
            .map_err(|error| backend("read a decision", error))?
            .as_ref()
            .map(decision)
            .transpose()
    }

    async fn find_exchange(&self, id: DecisionId) -> Result<Option<Exchange>, StoreError> {
        self.database
            .fetch_optional(
                "SELECT id, exchange FROM route_decisions WHERE id = $1 AND exchange IS NOT NULL",
                &args![id.to_string()],
            )
            .await
            .map_err(|error| backend("read what was said", error))?
            .as_ref()
            .map(|row| Cells::new(row, DECISIONS, "id").json("exchange"))
            .transpose()
    }

    async fn list_decisions(
        &self,
        filter: &DecisionFilter,
        before: Option<DecisionId>,
        limit: u32,
    ) -> Result<Vec<DecisionRecord>, StoreError> {
        let sql = if filter.judged {
            "SELECT id, record FROM route_decisions WHERE judged > 0 AND at_us >= $1 AND ($2 IS NULL OR id < $2) \
             AND ($3 = 0 OR exchange IS NOT NULL) ORDER BY id DESC LIMIT $4"
        } else {
            "SELECT id, record FROM route_decisions WHERE at_us >= $1 AND ($2 IS NULL OR id < $2) \
             AND ($3 = 0 OR exchange IS NOT NULL) ORDER BY id DESC LIMIT $4"
        };
        self.database
            .fetch_all(
                sql,
                &args![
                    filter.from.map_or(i64::MIN, Timestamp::as_microsecond),
                    before.map(|before| before.to_string()),
                    i64::from(filter.kept),
                    limit,
                ],
            )
            .await
            .map_err(|error| backend("list decisions", error))?
            .iter()
            .map(decision)
            .collect()
    }

    async fn list_verdicts(
        &self,
        from: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(u64, DecisionRecord)>, StoreError> {
        let sql = if from.is_some() {
            "SELECT id, judged, record FROM route_decisions WHERE judged >= $1 ORDER BY judged, id LIMIT $2"
        } else {
            "SELECT id, judged, record FROM route_decisions WHERE judged >= $1 ORDER BY judged DESC, id DESC LIMIT $2"
        };
        let least = i64::try_from(from.unwrap_or(1).max(1)).unwrap_or(i64::MAX);
        let rows = self
            .database
            .fetch_all(sql, &args![least, limit])
            .await
            .map_err(|error| backend("list verdicts", error))?;
        let read = |row: &Row| Ok((Cells::new(row, DECISIONS, "id").count("judged")?, decision(row)?));
        if from.is_some() {
            rows.iter().map(read).collect()
        } else {
            rows.iter().rev().map(read).collect()
        }
    }

    async fn judge_decision(
        &self,
        id: DecisionId,
        outcome: &VerifiedOutcome,
    ) -> Result<DecisionRecord, StoreError> {
        let failed = |error: sqlx::Error| backend("judge a decision", error);
        let mut change = self.database.begin_turn("routes").await.map_err(failed)?;
        let rows = change
            .fetch_all(
                "SELECT id, record FROM route_decisions WHERE id = $1",
                &args![id.to_string()],
            )
            .await
            .map_err(failed)?;
        let Some(row) = rows.first() else {
            return Err(StoreError::Gone {
                what: format!("decision {id}"),
            });
        };
        let mut record = decision(row)?;
        record.outcome = Some(outcome.clone());
        let text = serde_json::to_string(&record)
            .map_err(|error| bad_data(DECISIONS, "record", &id.to_string(), error))?;
        change
            .execute(
                "UPDATE route_decisions SET record = $2, \
                 judged = (SELECT COALESCE(MAX(judged), 0) + 1 FROM route_decisions) WHERE id = $1",
                &args![id.to_string(), text],
            )
            .await
            .map_err(failed)?;
        change.commit().await.map_err(failed)?;
        Ok(record)
    }

    async fn prune_decisions(&self, before: Timestamp) -> Result<u64, StoreError> {
        self.database
            .execute(
                "DELETE FROM route_decisions WHERE at_us < $1",
                &args![before.as_microsecond()],
            )
            .await
            .map_err(|error| backend("remove old decisions", error))
    }

    async fn put_route_note(&self, name: &str, note: &Value) -> Result<(), StoreError> {
        self.database
            .execute(
                "INSERT INTO route_notes (name, note) VALUES ($1, $2) \
                 ON CONFLICT (name) DO UPDATE SET note = excluded.note",
                &args![name, note.to_string()],
            )
            .await
            .map_err(|error| backend("keep a note of a model", error))?;
        Ok(())
    }

    async fn change_route_note(
        &self,
        name: &str,
        change: &(dyn Fn(Option<Value>) -> Value + Send + Sync),
    ) -> Result<Value, StoreError> {
        let failed = |error: sqlx::Error| backend("change a note of a model", error);
        let mut turn = self.database.begin_turn("routes").await.map_err(failed)?;
        let rows = turn
            .fetch_all("SELECT name, note FROM route_notes WHERE name = $1", &args![name])
            .await
            .map_err(failed)?;
        let known = rows
            .first()
            .map(|row| Cells::new(row, NOTES, "name").json("note"));
        let changed = change(known.transpose()?);
        turn.execute(
            "INSERT INTO route_notes (name, note) VALUES ($1, $2) \
             ON CONFLICT (name) DO UPDATE SET note = excluded.note",
            &args![name, changed.to_string()],
        )
        .await
        .map_err(failed)?;
        turn.commit().await.map_err(failed)?;
        Ok(changed)
    }

    async fn route_notes(&self) -> Result<Vec<(String, Value)>, StoreError> {
        self.database
            .fetch_all("SELECT name, note FROM route_notes ORDER BY name", &args![])
            .await
            .map_err(|error| backend("read the notes of models", error))?
            .iter()
            .map(|row| {
                let cells = Cells::new(row, NOTES, "name");
                Ok((cells.text("name")?, cells.json("note")?))
            })
            .collect()
    }
}

fn decision(row: &Row) -> Result<DecisionRecord, StoreError> {
    Cells::new(row, DECISIONS, "id").json("record")
}
