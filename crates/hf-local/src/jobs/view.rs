//! A job as the Hub shows it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::spec::JobSpec;
use super::stage::Stage;

/// A job as the store keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Job {
    /// The order of submission; 0 until stored.
    pub(crate) seq: i64,
    pub(crate) id: String,
    pub(crate) namespace: String,
    pub(crate) stage: Stage,
    pub(crate) spec: JobSpec,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) people: People,
    pub(crate) message: Option<String>,
    pub(crate) cancel_reason: Option<String>,
    pub(crate) failure_count: u64,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
}

/// Whose a job is and who asked for it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct People {
    pub(crate) owner: Value,
    pub(crate) created_by: Value,
    pub(crate) initiator: Value,
}

/// Writes a time as the Hub does: UTC with milliseconds and `Z`.
pub(crate) fn timestamp(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

impl Job {
    /// The job object.
    ///
    /// # Source
    /// Hub OpenAPI, reply of `GET /api/jobs/{namespace}/{jobId}`; `huggingface_hub` 2.4.0 `_jobs_api.py`, `JobInfo`.
    pub(crate) fn to_json(&self, now: Timestamp) -> Value {
        let mut job = Map::new();
        let mut put = |key: &str, value: Value| job.insert(key.to_owned(), value);
        put("type", "job".into());
        put("id", self.id.clone().into());
        put("createdAt", timestamp(self.created_at).into());
        if let Some(time) = self.started_at {
            put("startedAt", timestamp(time).into());
        }
        if let Some(time) = self.finished_at {
            put("finishedAt", timestamp(time).into());
        }
        self.spec.show(&mut job);
        let mut put = |key: &str, value: Value| job.insert(key.to_owned(), value);
        put("labels", json!(self.labels));
        put("createdBy", self.people.created_by.clone());
        put("owner", self.people.owner.clone());
        put("initiator", self.people.initiator.clone());
        let mut status = json!({
            "stage": self.stage.as_str(), "message": self.message, "failureCount": self.failure_count,
        });
        if let Some(reason) = &self.cancel_reason {
            status["cancelReason"] = reason.clone().into();
        }
        put("status", status);
        put("durations", self.durations(now));
        Value::Object(job)
    }

    fn durations(&self, now: Timestamp) -> Value {
        let end = self.finished_at.unwrap_or(now);
        let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs().max(0);
        let mut durations = Map::new();
        if let Some(started) = self.started_at {
            durations.insert(
                "schedulingSecs".to_owned(),
                seconds(self.created_at, started).into(),
            );
            durations.insert("runningSecs".to_owned(), seconds(started, end).into());
        }
        durations.insert("totalSecs".to_owned(), seconds(self.created_at, end).into());
        Value::Object(durations)
    }
}

impl JobSpec {
    /// Adds the fields a job and a scheduled job have in common.
    pub(crate) fn show(&self, job: &mut Map<String, Value>) {
        let mut put = |key: &str, value: Value| job.insert(key.to_owned(), value);
        if let Some(image) = &self.docker_image {
            put("dockerImage", image.clone().into());
        }
        if let Some(space) = &self.space_id {
            put("spaceId", space.clone().into());
        }
        put("command", json!(self.command));
        put("arguments", json!(self.arguments));
        put("environment", json!(self.environment));
        put("secrets", json!(self.secret_names));
        put("flavor", self.flavor.clone().into());
        if let Some(arch) = &self.arch {
            put("arch", arch.clone().into());
        }
        put("timeout", self.timeout_secs.into());
        put("retry", (self.attempts - 1).into());
        if !self.volumes.is_empty() {
            put("volumes", json!(self.volumes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_milliseconds_and_a_z() {
        assert_eq!(
            timestamp("2026-10-09T08:00:21Z".parse().unwrap()),
            "2026-10-09T08:00:21.000Z"
        );
        assert_eq!(
            timestamp("2026-10-09T08:00:22.1139Z".parse().unwrap()),
            "2026-10-09T08:00:22.113Z"
        );
    }
}
