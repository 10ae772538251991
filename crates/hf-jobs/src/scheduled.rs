//! Jobs that start by the clock.

use std::collections::BTreeMap;

use hf_core::{HfError, JobId, RequestSpec};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tracing::info;

use crate::info::{JobInfo, JobOwner};
use crate::lenient;
use crate::runner::HfJobRunner;
use crate::spec::JobSpec;

/// When a scheduled job runs.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`, or a cron expression of five to seven fields.
    pub when: String,
    /// Whether it begins suspended; the Hub's default is that it does not.
    pub suspend: Option<bool>,
    /// Whether a run may begin while the last one goes on; the Hub's default is that it may not.
    pub concurrency: Option<bool>,
}

impl Schedule {
    /// A schedule that begins at once, without two runs at a time.
    pub fn new(when: impl Into<String>) -> Self {
        Self {
            when: when.into(),
            ..Self::default()
        }
    }

    /// Checks the form. Whether the fields make sense, the Hub says.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`].
    pub fn validate(&self) -> Result<(), HfError> {
        let word = ["@annually", "@yearly", "@monthly", "@weekly", "@daily", "@hourly"]
            .contains(&self.when.as_str());
        let fields: Vec<&str> = self.when.split_ascii_whitespace().collect();
        let is_cron = (5..=7).contains(&fields.len())
            && fields.iter().all(|field| {
                field
                    .bytes()
                    .all(|b| b.is_ascii_digit() || matches!(b, b'*' | b',' | b'-' | b'/'))
            });
        if word || is_cron {
            return Ok(());
        }
        Err(HfError::invalid(format!(
            "{:?} is no schedule; expected @hourly, @daily, @weekly, @monthly, @yearly, or cron fields like \"0 9 * * 1\"",
            self.when
        )))
    }
}

/// A job that starts by the clock.
///
/// Only `id` is required of the server; a field it leaves out, or writes in an unexpected shape, is empty here.
///
/// # Source
/// Hub OpenAPI, `GET /api/scheduled-jobs/{namespace}/{jobId}`; `huggingface_hub` 2.4.0 `_jobs_api.py` `ScheduledJobInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ScheduledJobInfo {
    /// Its id.
    pub id: JobId,
    /// When it was made.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub created_at: Option<Timestamp>,
    /// When it runs.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub schedule: Option<String>,
    /// Whether it is suspended.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub suspend: Option<bool>,
    /// Why the Hub suspended it.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub suspend_reason: Option<String>,
    /// Whether a run may begin while the last one goes on.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub concurrency: Option<bool>,
    /// The last and the next run.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub status: ScheduledJobStatus,
    /// Who it belongs to, and who pays.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub owner: Option<JobOwner>,
    /// Who made it.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub initiator: Option<JobOwner>,
    /// What it runs.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub job_spec: ScheduledJobSpec,
}

/// The last and the next run of a scheduled job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ScheduledJobStatus {
    /// The last run.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub last_job: Option<LastJob>,
    /// When the next one is due.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub next_job_run_at: Option<Timestamp>,
}

/// A run of a scheduled job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LastJob {
    /// The job.
    pub id: JobId,
    /// When it was started.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub at: Option<Timestamp>,
}

/// What a scheduled job runs, as the Hub shows it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ScheduledJobSpec {
    /// The Docker image, if it runs one.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub docker_image: Option<String>,
    /// The Space it runs the image of, if it does.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub space_id: Option<String>,
    /// The command.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub command: Vec<String>,
    /// The arguments after the command.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub arguments: Vec<String>,
    /// The environment.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub environment: BTreeMap<String, String>,
    /// The names of its secrets; their values never come back.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub secrets: Vec<String>,
    /// The hardware.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub flavor: String,
    /// The processor architecture.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub arch: Option<String>,
    /// The longest a run may take, in seconds.
    #[serde(
        default,
        deserialize_with = "lenient::number",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<u64>,
    /// How often a run is started again after a failure.
    #[serde(
        default,
        deserialize_with = "lenient::number",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry: Option<u64>,
    /// The labels of each run.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub labels: BTreeMap<String, String>,
    /// What is mounted, as the Hub writes it.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub volumes: Vec<Value>,
    /// The ports it offers, as the Hub writes them.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub expose: Option<Value>,
}

impl HfJobRunner {
    fn scheduled_path(&self) -> String {
        format!("/api/scheduled-jobs/{}", self.namespace())
    }

    fn scheduled_job_path(&self, id: &JobId) -> String {
        format!("{}/{id}", self.scheduled_path())
    }

    /// Makes a job that starts by the clock: `POST /api/scheduled-jobs/{namespace}`. Sent once, whatever happens.
    ///
    /// # Errors
    /// As [`HfJobRunner::run`]; a job with SSH can not be scheduled.
    pub async fn create_scheduled(
        &self,
        spec: &JobSpec,
        schedule: &Schedule,
    ) -> Result<ScheduledJobInfo, HfError> {
        schedule.validate()?;
        self.check(spec)?;
        if spec.ssh {
            return Err(HfError::invalid("a scheduled job can not be entered with SSH"));
        }
        let mut body = Map::new();
        body.insert("jobSpec".to_owned(), spec.to_wire());
        body.insert("schedule".to_owned(), json!(schedule.when));
        if let Some(concurrency) = schedule.concurrency {
            body.insert("concurrency".to_owned(), json!(concurrency));
        }
        if let Some(suspend) = schedule.suspend {
            body.insert("suspend".to_owned(), json!(suspend));
        }
        let made: ScheduledJobInfo = self
            .client()
            .post_json(&self.scheduled_path(), &Value::Object(body))
            .await?;
        info!(scheduled_job_id = %made.id, schedule = schedule.when, "job scheduled");
        Ok(made)
    }

    /// The scheduled jobs of the namespace that have all these labels: `GET /api/scheduled-jobs/{namespace}`.
    ///
    /// # Errors
    /// Any [`HfError`].
    ///
    /// # Source
    /// `huggingface_hub` 2.4.0 `hf_api.py`, `list_scheduled_jobs`: the Hub filters by one label, the others are looked at here.
    pub async fn list_scheduled(
        &self,
        labels: &[(String, String)],
    ) -> Result<Vec<ScheduledJobInfo>, HfError> {
        let first = labels.first().map(|(key, value)| format!("{key}={value}"));
        let query: Vec<(&str, &str)> = first.iter().map(|label| ("label", label.as_str())).collect();
        let mut jobs: Vec<ScheduledJobInfo> = self.client().get_json(&self.scheduled_path(), &query).await?;
        jobs.retain(|job| {
            labels
                .iter()
                .all(|(key, value)| job.job_spec.labels.get(key) == Some(value))
        });
        Ok(jobs)
    }

    /// A scheduled job: `GET /api/scheduled-jobs/{namespace}/{id}`.
    ///
    /// # Errors
    /// [`HfError::NotFound`] when it is not there, or in another namespace.
    pub async fn get_scheduled(&self, id: &JobId) -> Result<ScheduledJobInfo, HfError> {
        self.client().get_json(&self.scheduled_job_path(id), &[]).await
    }

    /// Removes a scheduled job: `DELETE /api/scheduled-jobs/{namespace}/{id}`. Its runs stay.
    ///
    /// # Errors
    /// [`HfError::NotFound`] when it is not there.
    pub async fn delete_scheduled(&self, id: &JobId) -> Result<(), HfError> {
        let spec = RequestSpec::delete(self.scheduled_job_path(id));
        self.client().request_bytes(spec).await.map(drop)
    }

    /// Suspends a scheduled job: `POST /api/scheduled-jobs/{namespace}/{id}/suspend`.
    ///
    /// # Errors
    /// [`HfError::NotFound`] when it is not there.
    pub async fn suspend_scheduled(&self, id: &JobId) -> Result<(), HfError> {
        self.tell_scheduled(id, "suspend").await
    }

    /// Lets a suspended job run again: `POST /api/scheduled-jobs/{namespace}/{id}/resume`.
    ///
    /// # Errors
    /// [`HfError::NotFound`] when it is not there.
    pub async fn resume_scheduled(&self, id: &JobId) -> Result<(), HfError> {
        self.tell_scheduled(id, "resume").await
    }

    async fn tell_scheduled(&self, id: &JobId, verb: &str) -> Result<(), HfError> {
        // Twice does no more than once. The answer's shape is not known, and the official client does not read it.
        let spec = RequestSpec::post(format!("{}/{verb}", self.scheduled_job_path(id))).idempotent();
        self.client().request_bytes(spec).await.map(drop)
    }

    /// Runs a scheduled job now: `POST /api/scheduled-jobs/{namespace}/{id}/run`. Sent once, whatever happens.
    ///
    /// # Errors
    /// [`HfError::Conflict`] when one runs and two at a time are not allowed.
    pub async fn run_scheduled(&self, id: &JobId) -> Result<JobInfo, HfError> {
        let path = format!("{}/run", self.scheduled_job_path(id));
        self.client()
            .request_json(RequestSpec::post(path).no_retry())
            .await
    }

    /// Changes when a scheduled job runs: `POST /api/scheduled-jobs/{namespace}/{id}/schedule`.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when the schedule is none; [`HfError::NotFound`].
    pub async fn reschedule(&self, id: &JobId, when: &str) -> Result<ScheduledJobInfo, HfError> {
        Schedule::new(when).validate()?;
        let path = format!("{}/schedule", self.scheduled_job_path(id));
        let spec = RequestSpec::post(path)
            .json(&json!({"schedule": when}))?
            .idempotent();
        self.client().request_json(spec).await
    }

    /// Replaces all labels of the runs to come: `PUT /api/scheduled-jobs/{namespace}/{id}/labels`.
    ///
    /// # Errors
    /// As [`HfJobRunner::set_labels`].
    pub async fn set_scheduled_labels(
        &self,
        id: &JobId,
        labels: &BTreeMap<String, String>,
    ) -> Result<ScheduledJobInfo, HfError> {
        let path = format!("{}/labels", self.scheduled_job_path(id));
        self.client().put_json(&path, &json!({"labels": labels})).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scheduled_job_is_read() {
        let job: ScheduledJobInfo = serde_json::from_value(json!({
            "type": "scheduled-job", "id": "69aa01", "createdAt": "2026-10-09T08:00:00.000Z", "schedule": "0 9 * * 1",
            "suspend": false, "concurrency": false, "status": {"lastJob": {"id": "66aa", "at": "2026-10-09T09:00:00Z"},
            "nextJobRunAt": "2026-10-12T09:00:00.000Z"}, "owner": {"id": "1", "name": "ada", "type": "user"},
            "initiator": {"type": "user", "id": "1", "name": "ada"}, "new": {},
            "jobSpec": {"dockerImage": "python:3.12", "command": ["python"], "environment": {}, "secrets": ["K"],
                "flavor": "cpu-basic", "timeout": 1800, "labels": {"a": "b"}}}))
        .unwrap();
        assert_eq!(job.status.last_job.as_ref().unwrap().id.as_str(), "66aa");
        assert_eq!(
            (job.job_spec.timeout, job.job_spec.secrets.len()),
            (Some(1800), 1)
        );
        let again: ScheduledJobInfo = serde_json::from_value(serde_json::to_value(&job).unwrap()).unwrap();
        assert_eq!(again, job);
        let least: ScheduledJobInfo = serde_json::from_value(json!({"id": "69aa", "status": "odd"})).unwrap();
        assert_eq!(least.status, ScheduledJobStatus::default());
    }

    #[test]
    fn schedules_have_a_form() {
        for good in [
            "@hourly",
            "@yearly",
            "*/5 * * * *",
            "0 0 9 * * 1-5",
            "0 0 9 1,15 * * 2027",
        ] {
            Schedule::new(good).validate().unwrap();
        }
        for bad in [
            "",
            "hourly",
            "@often",
            "* * * *",
            "0 9 * * MON",
            "* * * * * * * *",
        ] {
            assert!(Schedule::new(bad).validate().is_err(), "{bad}");
        }
    }
}
