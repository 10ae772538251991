//! Jobs in the index of the hub.

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteRow};
use sqlx::{Row, Sqlite};

use super::procfs::ProcessIdentity;
use super::stage::Stage;
use super::view::Job;
use crate::state::db::{Db, Migration};

/// The changes of the schema that jobs need.
pub(crate) const MIGRATIONS: &[Migration] = &[
    ("20261122-jobs", include_str!("schema.sql")),
    ("20261122-jobs-2", include_str!("schema_2.sql")),
];

/// The table of jobs.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    db: Db,
}

/// Which jobs a list shows.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Any of these stages; all when empty.
    pub(crate) stages: Vec<&'static str>,
    /// All of these labels.
    pub(crate) labels: Vec<(String, String)>,
}

/// A job that had no end yet when the hub stopped.
#[derive(Debug)]
pub(crate) struct Unfinished {
    pub(crate) job: Job,
    pub(crate) cancel_requested: bool,
    pub(crate) process: Option<ProcessIdentity>,
}

/// How a job ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct End<'a> {
    pub(crate) stage: Stage,
    pub(crate) message: Option<&'a str>,
    pub(crate) cancel_reason: Option<&'a str>,
    pub(crate) cost_micro_usd: i64,
}

/// A stage a job reached.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) seq: i64,
    pub(crate) stage: String,
    pub(crate) message: Option<String>,
    pub(crate) at: Timestamp,
}

impl Store {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    pub(super) fn read(&self) -> &sqlx::SqlitePool {
        self.db.read()
    }

    /// Makes one change, durably; returns how many jobs it touched.
    pub(super) async fn write(&self, change: Query<'_, Sqlite, SqliteArguments>) -> sqlx::Result<u64> {
        let mut transaction = self.db.write().await?;
        let done = change.execute(&mut *transaction).await?;
        transaction.commit().await?;
        Ok(done.rows_affected())
    }

    pub(crate) async fn insert(&self, job: &Job) -> sqlx::Result<()> {
        let change = sqlx::query(
            "INSERT INTO jobs (id, namespace, stage, spec, labels, people, created_ms, payer) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&job.id)
        .bind(&job.namespace)
        .bind(job.stage.as_str())
        .bind(to_text(&job.spec)?)
        .bind(to_text(&job.labels)?)
        .bind(to_text(&job.people)?)
        .bind(job.created_at.as_millisecond())
        .bind(job.payer());
        self.write(change).await?;
        Ok(())
    }

    /// What an account paid for jobs that are over, in millionths of a US dollar.
    pub(crate) async fn paid(&self, account: &str) -> sqlx::Result<i64> {
        let paid = sqlx::query("SELECT micro_usd FROM job_spend WHERE payer = ?")
            .bind(account)
            .fetch_optional(self.db.read())
            .await?;
        paid.map_or(Ok(0), |row| row.try_get(0))
    }

    pub(crate) async fn find(&self, namespace: &str, id: &str) -> sqlx::Result<Option<Job>> {
        let row = sqlx::query("SELECT * FROM jobs WHERE namespace = ? AND id = ?")
            .bind(namespace)
            .bind(id)
            .fetch_optional(self.db.read())
            .await?;
        row.as_ref().map(job_of).transpose()
    }

    /// Lists up to `limit` jobs submitted before `before`, newest first.
    pub(crate) async fn list(
        &self,
        namespace: &str,
        filter: &Filter,
        before: Option<i64>,
        limit: u32,
    ) -> sqlx::Result<Vec<Job>> {
        let before = before.unwrap_or(i64::MAX);
        if !filter.labels.is_empty() {
            return self.list_labeled(namespace, filter, before, limit).await;
        }
        let mut jobs = Vec::new();
        if filter.stages.is_empty() {
            let rows =
                sqlx::query("SELECT * FROM jobs WHERE namespace = ? AND seq < ? ORDER BY seq DESC LIMIT ?")
                    .bind(namespace)
                    .bind(before)
                    .bind(limit)
                    .fetch_all(self.db.read())
                    .await?;
            return rows.iter().map(job_of).collect();
        }
        // One look at the index for each stage: a rare one is not searched for among all jobs.
        for stage in &filter.stages {
            let rows = sqlx::query(
                "SELECT * FROM jobs WHERE namespace = ? AND stage = ? AND seq < ? ORDER BY seq DESC LIMIT ?",
            )
            .bind(namespace)
            .bind(stage)
            .bind(before)
            .bind(limit)
            .fetch_all(self.db.read())
            .await?;
            for row in &rows {
                jobs.push(job_of(row)?);
            }
        }
        jobs.sort_by_key(|job| std::cmp::Reverse(job.seq));
        jobs.dedup_by_key(|job| job.seq);
        jobs.truncate(limit as usize);
        Ok(jobs)
    }

    /// The first label leads to the jobs, the others and the stages are looked at.
    async fn list_labeled(
        &self,
        namespace: &str,
        filter: &Filter,
        before: i64,
        limit: u32,
    ) -> sqlx::Result<Vec<Job>> {
        let Some(((key, value), others)) = filter.labels.split_first() else {
            return Ok(Vec::new());
        };
        sqlx::query(
            "SELECT j.* FROM job_labels AS l CROSS JOIN jobs AS j ON j.seq = l.seq
             WHERE l.namespace = ?1 AND l.key = ?2 AND l.value = ?3 AND l.seq < ?4
             AND (?5 = '[]' OR j.stage IN (SELECT value FROM json_each(?5)))
             AND NOT EXISTS (
                 SELECT 1 FROM json_each(?6) AS wanted WHERE NOT EXISTS (
                     SELECT 1 FROM job_labels AS other WHERE other.namespace = l.namespace
                     AND other.key = wanted.value ->> 0 AND other.value = wanted.value ->> 1 AND other.seq = l.seq))
             ORDER BY l.seq DESC LIMIT ?7",
        )
        .bind(namespace)
        .bind(key)
        .bind(value)
        .bind(before)
        .bind(to_text(&filter.stages)?)
        .bind(to_text(&others)?)
        .bind(limit)
        .fetch_all(self.db.read())
        .await?
        .iter()
        .map(job_of)
        .collect()
    }

    pub(crate) async fn count(&self, namespace: &str, stages: &[&'static str]) -> sqlx::Result<i64> {
        sqlx::query(
            "SELECT count(*) FROM jobs WHERE namespace = ?1
             AND (?2 = '[]' OR stage IN (SELECT value FROM json_each(?2)))",
        )
        .bind(namespace)
        .bind(to_text(&stages)?)
        .fetch_one(self.db.read())
        .await?
        .try_get(0)
    }

    pub(crate) async fn set_labels(
        &self,
        id: &str,
        labels: &std::collections::BTreeMap<String, String>,
    ) -> sqlx::Result<()> {
        let change = sqlx::query("UPDATE jobs SET labels = ? WHERE id = ?")
            .bind(to_text(labels)?)
            .bind(id);
        self.write(change).await?;
        Ok(())
    }

    /// Moves a job to `RUNNING`; false when it is not `SCHEDULING`.
    pub(crate) async fn start(&self, id: &str, now: Timestamp) -> sqlx::Result<bool> {
        let change = sqlx::query(
            "UPDATE jobs SET stage = 'RUNNING', started_ms = ? WHERE id = ? AND stage = 'SCHEDULING'",
        )
        .bind(now.as_millisecond())
        .bind(id);
        Ok(self.write(change).await? == 1)
    }

    pub(crate) async fn set_process(&self, id: &str, process: &ProcessIdentity) -> sqlx::Result<()> {
        let change = sqlx::query("UPDATE jobs SET pid = ?, pid_started = ? WHERE id = ?")
            .bind(process.pid)
            .bind(&process.started)
            .bind(id);
        self.write(change).await?;
        Ok(())
    }

    pub(crate) async fn add_failure(&self, id: &str) -> sqlx::Result<()> {
        let change = sqlx::query("UPDATE jobs SET failure_count = failure_count + 1 WHERE id = ?").bind(id);
        self.write(change).await?;
        Ok(())
    }

    /// Notes that the end of a job was asked for, so that a hub which dies before it comes can tell.
    pub(crate) async fn request_cancel(&self, id: &str) -> sqlx::Result<()> {
        let change = sqlx::query(
            "UPDATE jobs SET cancel_requested = 1 WHERE id = ? AND stage IN ('SCHEDULING', 'RUNNING')",
        )
        .bind(id);
        self.write(change).await?;
        Ok(())
    }

    /// Moves a job to a final stage; false when it is in one already.
    pub(crate) async fn finish(&self, id: &str, end: &End<'_>, now: Timestamp) -> sqlx::Result<bool> {
        let change = sqlx::query(
            "UPDATE jobs SET stage = ?, message = ?, cancel_reason = ?, cost_micro_usd = ?, finished_ms = ?, pid = NULL,
             pid_started = NULL WHERE id = ? AND stage IN ('SCHEDULING', 'RUNNING')",
        )
        .bind(end.stage.as_str())
        .bind(end.message)
        .bind(end.cancel_reason)
        .bind(end.cost_micro_usd)
        .bind(now.as_millisecond())
        .bind(id);
        Ok(self.write(change).await? == 1)
    }

    /// Lists the jobs without an end, oldest first.
    pub(crate) async fn unfinished(&self) -> sqlx::Result<Vec<Unfinished>> {
        sqlx::query("SELECT * FROM jobs WHERE stage IN ('SCHEDULING', 'RUNNING') ORDER BY seq")
            .fetch_all(self.db.read())
            .await?
            .iter()
            .map(|row| {
                let pid: Option<i32> = row.try_get("pid")?;
                let started: Option<String> = row.try_get("pid_started")?;
                Ok(Unfinished {
                    job: job_of(row)?,
                    cancel_requested: row.try_get::<i64, _>("cancel_requested")? != 0,
                    process: pid
                        .zip(started)
                        .map(|(pid, started)| ProcessIdentity { pid, started }),
                })
            })
            .collect()
    }

    /// Lists the stages a job reached after the event `after`.
    pub(crate) async fn events(&self, id: &str, after: i64) -> sqlx::Result<Vec<Event>> {
        sqlx::query(
            "SELECT seq, stage, message, at_ms FROM job_events WHERE job_id = ? AND seq > ? ORDER BY seq",
        )
        .bind(id)
        .bind(after)
        .fetch_all(self.db.read())
        .await?
        .iter()
        .map(|row| {
            Ok(Event {
                seq: row.try_get("seq")?,
                stage: row.try_get("stage")?,
                message: row.try_get("message")?,
                at: time_of(row, "at_ms")?.unwrap_or_default(),
            })
        })
        .collect()
    }

    /// Lists the jobs of a namespace that ran at some time from `from` on, newest first.
    pub(crate) async fn ran_since(&self, namespace: &str, from: Timestamp) -> sqlx::Result<Vec<Job>> {
        sqlx::query(
            "SELECT * FROM jobs WHERE namespace = ? AND started_ms IS NOT NULL
             AND coalesce(finished_ms, ?) >= ? ORDER BY seq DESC",
        )
        .bind(namespace)
        .bind(i64::MAX)
        .bind(from.as_millisecond())
        .fetch_all(self.db.read())
        .await?
        .iter()
        .map(job_of)
        .collect()
    }
}

fn job_of(row: &SqliteRow) -> sqlx::Result<Job> {
    let id: String = row.try_get("id")?;
    let stage: String = row.try_get("stage")?;
    Ok(Job {
        seq: row.try_get("seq")?,
        namespace: row.try_get("namespace")?,
        stage: Stage::parse(&stage).ok_or_else(|| bad_column("stage", &id, format!("no stage {stage:?}")))?,
        spec: from_text(row, "spec", &id)?,
        labels: from_text(row, "labels", &id)?,
        people: from_text(row, "people", &id)?,
        message: row.try_get("message")?,
        cancel_reason: row.try_get("cancel_reason")?,
        failure_count: u64::try_from(row.try_get::<i64, _>("failure_count")?).unwrap_or_default(),
        created_at: time_of(row, "created_ms")?.unwrap_or_default(),
        started_at: time_of(row, "started_ms")?,
        finished_at: time_of(row, "finished_ms")?,
        id,
    })
}

pub(super) fn time_of(row: &SqliteRow, column: &str) -> sqlx::Result<Option<Timestamp>> {
    let milliseconds: Option<i64> = row.try_get(column)?;
    milliseconds
        .map(Timestamp::from_millisecond)
        .transpose()
        .map_err(|error| bad_column(column, "?", error.to_string()))
}

pub(super) fn from_text<T: DeserializeOwned>(row: &SqliteRow, column: &str, id: &str) -> sqlx::Result<T> {
    let text: String = row.try_get(column)?;
    serde_json::from_str(&text).map_err(|error| bad_column(column, id, error.to_string()))
}

fn bad_column(column: &str, id: &str, why: String) -> sqlx::Error {
    sqlx::Error::ColumnDecode {
        index: format!("jobs.{column} of job {id}"),
        source: why.into(),
    }
}

pub(super) fn to_text(value: &impl Serialize) -> sqlx::Result<String> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))
}
