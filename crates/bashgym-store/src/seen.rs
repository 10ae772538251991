//! What was seen of jobs.

use async_trait::async_trait;
use bashgym_core::run::Target;
use bashgym_core::store::{JobId, JobInfo, JobLook, SeenJobFilter, SeenJobStore, StoreError};
use jiff::Timestamp;

use crate::SqlStore;
use crate::cells::Cells;
use crate::database::args;
use crate::error::{backend, bad_data};

const JOBS: &str = "seen_jobs";
const LOOKS: &str = "job_looks";

/// The jobs that are asked for; `$find` says at which place one text stands in another, and 0 where it does not.
macro_rules! list {
    ($find:literal) => {
        concat!(
            "SELECT id, job FROM seen_jobs WHERE hub = $1 AND namespace = $2",
            " AND ($3 IS NULL OR ",
            $find,
            "($3, ',' || stage || ',') > 0)",
            " AND ($4 IS NULL OR ",
            $find,
            "(labels, $4) > 0)",
            " AND ($5 IS NULL OR (created_at_us, id) < ((SELECT created_at_us FROM seen_jobs",
            " WHERE hub = $1 AND namespace = $2 AND id = $5), $5))",
            " ORDER BY created_at_us DESC, id DESC LIMIT $6"
        )
    };
}

#[async_trait]
impl SeenJobStore for SqlStore {
    async fn keep_seen_jobs(&self, of: &Target, jobs: &[JobInfo], at: Timestamp) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| backend("keep what was seen of jobs", error);
        // In one order, or two that keep the same jobs would wait for each other for ever.
        let mut change = self.database.begin_turn("seen jobs").await.map_err(failed)?;
        for job in jobs {
            let text =
                serde_json::to_string(job).map_err(|error| bad_data(JOBS, "job", job.id.as_str(), error))?;
            change
                .execute(
                    "INSERT INTO seen_jobs \
                     (hub, namespace, id, created_at_us, stage, is_over, labels, job, seen_at_us) \
                     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) \
                     ON CONFLICT (hub, namespace, id) DO UPDATE SET created_at_us = excluded.created_at_us, \
                     stage = excluded.stage, is_over = excluded.is_over, labels = excluded.labels, \
                     job = excluded.job, seen_at_us = excluded.seen_at_us \
                     WHERE seen_jobs.seen_at_us <= excluded.seen_at_us",
                    &args![
                        of.hub.as_str(),
                        of.namespace.as_str(),
                        job.id.as_str(),
                        job.created_at.unwrap_or_default().as_microsecond(),
                        job.status.stage.to_string(),
                        i64::from(job.stage().is_terminal()),
                        job.labels
                            .iter()
                            .map(|(key, value)| label(key, value))
                            .collect::<String>(),
                        text,
                        at.as_microsecond(),
                    ],
                )
                .await
                .map_err(failed)?;
        }
        change.commit().await.map_err(failed)
    }

    async fn list_seen_jobs(
        &self,
        of: &Target,
        filter: &SeenJobFilter,
        after: Option<&JobId>,
        limit: u32,
    ) -> Result<Vec<JobInfo>, StoreError> {
        let stages = (!filter.stages.is_empty()).then(|| format!(",{},", filter.stages.join(",")));
        let label = filter.label.as_ref().map(|(key, value)| label(key, value));
        self.database
            .fetch_all(
                self.database.pick(list!("instr"), list!("strpos")),
                &args![
                    of.hub.as_str(),
                    of.namespace.as_str(),
                    stages,
                    label,
                    after.map(ToString::to_string),
                    limit,
                ],
            )
            .await
            .map_err(|error| backend("list the jobs that were seen", error))?
            .iter()
            .map(|row| Cells::new(row, JOBS, "id").json("job"))
            .collect()
    }

    async fn list_open_jobs(&self, of: &Target) -> Result<Vec<JobId>, StoreError> {
        self.database
            .fetch_all(
                "SELECT id FROM seen_jobs WHERE hub = $1 AND namespace = $2 AND is_over = 0 \
                 ORDER BY created_at_us DESC, id DESC",
                &args![of.hub.as_str(), of.namespace.as_str()],
            )
            .await
            .map_err(|error| backend("list the jobs that were not over", error))?
            .iter()
            .map(|row| Cells::new(row, JOBS, "id").parsed("id"))
            .collect()
    }

    async fn drop_seen_job(&self, of: &Target, id: &JobId) -> Result<(), StoreError> {
        self.database
            .execute(
                "DELETE FROM seen_jobs WHERE hub = $1 AND namespace = $2 AND id = $3",
                &args![of.hub.as_str(), of.namespace.as_str(), id.as_str()],
            )
            .await
            .map_err(|error| backend(format!("forget job {id}"), error))?;
        Ok(())
    }

    async fn find_job_look(&self, of: &Target) -> Result<Option<JobLook>, StoreError> {
        self.database
            .fetch_optional(
                "SELECT namespace, look FROM job_looks WHERE hub = $1 AND namespace = $2",
                &args![of.hub.as_str(), of.namespace.as_str()],
            )
            .await
            .map_err(|error| backend("read how far jobs were seen", error))?
            .map(|row| Cells::new(&row, LOOKS, "namespace").json("look"))
            .transpose()
    }

    async fn save_job_look(&self, of: &Target, look: &JobLook) -> Result<(), StoreError> {
        let failed = |error: sqlx::Error| backend("note how far jobs were seen", error);
        let text =
            serde_json::to_string(look).map_err(|error| bad_data(LOOKS, "look", &of.namespace, error))?;
        let mut change = self.database.begin_turn("seen jobs").await.map_err(failed)?;
        change
            .execute(
                "DELETE FROM seen_jobs WHERE hub = $1 AND namespace = $2 AND seen_at_us < $3",
                &args![
                    of.hub.as_str(),
                    of.namespace.as_str(),
                    look.whole_at.as_microsecond()
                ],
            )
            .await
            .map_err(failed)?;
        change
            .execute(
                "INSERT INTO job_looks (hub, namespace, look) VALUES ($1, $2, $3) \
                 ON CONFLICT (hub, namespace) DO UPDATE SET look = excluded.look",
                &args![of.hub.as_str(), of.namespace.as_str(), text],
            )
            .await
            .map_err(failed)?;
        change.commit().await.map_err(failed)
    }
}

/// A label as it is looked for: no other label's text holds it.
fn label(key: &str, value: &str) -> String {
    serde_json::Value::String(format!("{key}={value}")).to_string()
}
