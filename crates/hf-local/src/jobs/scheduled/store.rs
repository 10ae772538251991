//! Scheduled jobs in the index of the hub.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::jobs::spec::JobSpec;
use crate::jobs::store::{Store, from_text, time_of, to_text};
use crate::jobs::view::{People, timestamp};

/// A scheduled job as the store keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Scheduled {
    pub(crate) id: String,
    pub(crate) namespace: String,
    pub(crate) schedule: String,
    pub(crate) suspend: bool,
    pub(crate) suspend_reason: Option<String>,
    pub(crate) concurrency: bool,
    pub(crate) spec: JobSpec,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) people: People,
    pub(crate) payer: String,
    pub(crate) created_at: Timestamp,
    pub(crate) last_job: Option<(String, Timestamp)>,
    pub(crate) next_at: Timestamp,
}

impl Scheduled {
    /// The scheduled job object.
    ///
    /// # Source
    /// Hub OpenAPI, reply of `GET /api/scheduled-jobs/{namespace}/{jobId}`; `nextJobRunAt` is never null there.
    pub(crate) fn to_json(&self) -> Value {
        let mut spec = Map::new();
        self.spec.show(&mut spec);
        spec.insert("labels".to_owned(), json!(self.labels));
        let last = self
            .last_job
            .as_ref()
            .map(|(id, at)| json!({"id": id, "at": timestamp(*at)}));
        let mut job = json!({
            "type": "scheduled-job",
            "id": self.id,
            "createdAt": timestamp(self.created_at),
            "schedule": self.schedule,
            "suspend": self.suspend,
            "concurrency": self.concurrency,
            "status": {"lastJob": last, "nextJobRunAt": timestamp(self.next_at)},
            "owner": self.people.owner,
            "initiator": self.people.initiator,
            "jobSpec": spec,
        });
        if let Some(reason) = &self.suspend_reason {
            job["suspendReason"] = reason.clone().into();
        }
        job
    }
}

impl Store {
    pub(crate) async fn insert_scheduled(&self, job: &Scheduled) -> sqlx::Result<()> {
        let change = sqlx::query(
            "INSERT INTO scheduled_jobs (id, namespace, schedule, suspend, concurrency, spec, labels, people, payer,
             created_ms, next_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&job.id)
        .bind(&job.namespace)
        .bind(&job.schedule)
        .bind(job.suspend)
        .bind(job.concurrency)
        .bind(to_text(&job.spec)?)
        .bind(to_text(&job.labels)?)
        .bind(to_text(&job.people)?)
        .bind(&job.payer)
        .bind(job.created_at.as_millisecond())
        .bind(job.next_at.as_millisecond());
        self.write(change).await?;
        Ok(())
    }

    pub(crate) async fn find_scheduled(&self, namespace: &str, id: &str) -> sqlx::Result<Option<Scheduled>> {
        let row = sqlx::query("SELECT * FROM scheduled_jobs WHERE namespace = ? AND id = ?")
            .bind(namespace)
            .bind(id)
            .fetch_optional(self.read())
            .await?;
        row.as_ref().map(scheduled_of).transpose()
    }

    /// Lists scheduled jobs, newest first.
    pub(crate) async fn list_scheduled(
        &self,
        namespace: &str,
        label: Option<&(String, String)>,
    ) -> sqlx::Result<Vec<Scheduled>> {
        sqlx::query(
            "SELECT * FROM scheduled_jobs AS s WHERE namespace = ?1 AND (?2 IS NULL OR EXISTS (
                 SELECT 1 FROM json_each(s.labels) AS label WHERE label.key = ?2 AND label.value = ?3))
             ORDER BY seq DESC",
        )
        .bind(namespace)
        .bind(label.map(|(key, _)| key))
        .bind(label.map(|(_, value)| value))
        .fetch_all(self.read())
        .await?
        .iter()
        .map(scheduled_of)
        .collect()
    }

    /// All scheduled jobs with secrets that are not suspended.
    pub(crate) async fn scheduled_with_secrets(&self) -> sqlx::Result<Vec<Scheduled>> {
        let all = sqlx::query("SELECT * FROM scheduled_jobs WHERE suspend = 0")
            .fetch_all(self.read())
            .await?;
        let mut jobs = all.iter().map(scheduled_of).collect::<sqlx::Result<Vec<_>>>()?;
        jobs.retain(|job| !job.spec.secret_names.is_empty());
        Ok(jobs)
    }

    /// When the next scheduled job is due.
    pub(crate) async fn next_due(&self) -> sqlx::Result<Option<Timestamp>> {
        let row = sqlx::query("SELECT min(next_ms) AS next_ms FROM scheduled_jobs WHERE suspend = 0")
            .fetch_one(self.read())
            .await?;
        time_of(&row, "next_ms")
    }

    /// The scheduled jobs that are due, the longest due first.
    pub(crate) async fn due(&self, now: Timestamp) -> sqlx::Result<Vec<Scheduled>> {
        sqlx::query("SELECT * FROM scheduled_jobs WHERE suspend = 0 AND next_ms <= ? ORDER BY next_ms, seq")
            .bind(now.as_millisecond())
            .fetch_all(self.read())
            .await?
            .iter()
            .map(scheduled_of)
            .collect()
    }

    /// Writes what may change of a scheduled job; false when it is gone.
    pub(crate) async fn update_scheduled(&self, job: &Scheduled) -> sqlx::Result<bool> {
        let change = sqlx::query(
            "UPDATE scheduled_jobs SET schedule = ?, suspend = ?, suspend_reason = ?, labels = ?, next_ms = ? WHERE id = ?",
        )
        .bind(&job.schedule)
        .bind(job.suspend)
        .bind(&job.suspend_reason)
        .bind(to_text(&job.labels)?)
        .bind(job.next_at.as_millisecond())
        .bind(&job.id);
        Ok(self.write(change).await? == 1)
    }

    /// Notes a run of a scheduled job.
    pub(crate) async fn note_run(&self, id: &str, job_id: &str, at: Timestamp) -> sqlx::Result<()> {
        let change = sqlx::query("UPDATE scheduled_jobs SET last_job = ?, last_ms = ? WHERE id = ?")
            .bind(job_id)
            .bind(at.as_millisecond())
            .bind(id);
        self.write(change).await?;
        Ok(())
    }

    pub(crate) async fn delete_scheduled(&self, id: &str) -> sqlx::Result<()> {
        self.write(sqlx::query("DELETE FROM scheduled_jobs WHERE id = ?").bind(id))
            .await?;
        Ok(())
    }
}

fn scheduled_of(row: &SqliteRow) -> sqlx::Result<Scheduled> {
    let id: String = row.try_get("id")?;
    let last_job: Option<String> = row.try_get("last_job")?;
    Ok(Scheduled {
        namespace: row.try_get("namespace")?,
        schedule: row.try_get("schedule")?,
        suspend: row.try_get("suspend")?,
        suspend_reason: row.try_get("suspend_reason")?,
        concurrency: row.try_get("concurrency")?,
        spec: from_text(row, "spec", &id)?,
        labels: from_text(row, "labels", &id)?,
        people: from_text(row, "people", &id)?,
        payer: row.try_get("payer")?,
        created_at: time_of(row, "created_ms")?.unwrap_or_default(),
        last_job: last_job.zip(time_of(row, "last_ms")?),
        next_at: time_of(row, "next_ms")?.unwrap_or_default(),
        id,
    })
}
