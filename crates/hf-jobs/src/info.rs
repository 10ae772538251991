//! A job as the Hub shows it.

use std::collections::BTreeMap;

use hf_core::{HfError, JobId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::lenient;
use crate::stage::JobStage;

/// A job.
///
/// Only `id` is required of the server; a field it leaves out, or writes in an unexpected shape, is empty here.
///
/// # Source
/// Hub OpenAPI, `GET /api/jobs/{namespace}/{jobId}`; `huggingface_hub` 2.4.0 `_jobs_api.py` `JobInfo`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobInfo {
    /// The job's id.
    pub id: JobId,
    /// When it was submitted.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub created_at: Option<Timestamp>,
    /// When it began to run.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub started_at: Option<Timestamp>,
    /// When it ended.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub finished_at: Option<Timestamp>,
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
    /// The longest it may run, in seconds.
    #[serde(
        default,
        deserialize_with = "lenient::number",
        skip_serializing_if = "Option::is_none"
    )]
    pub timeout: Option<u64>,
    /// How often it is started again after a failure.
    #[serde(
        default,
        deserialize_with = "lenient::number",
        skip_serializing_if = "Option::is_none"
    )]
    pub retry: Option<u64>,
    /// The labels.
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
    /// The private network it is in, as the Hub writes it.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub network: Option<Value>,
    /// The resource group it is in.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub resource_group: Option<ResourceGroupInfo>,
    /// The id of the resource group it is in.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub resource_group_id: Option<String>,
    /// Who submitted it.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub created_by: Option<JobOwner>,
    /// Who it belongs to, and who pays.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub owner: Option<JobOwner>,
    /// What started it: a user, an organisation, a schedule, a webhook, another job.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub initiator: Option<JobOwner>,
    /// Where it is.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub status: JobStatus,
    /// How long it took so far.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub durations: Option<JobDurations>,
    /// Which Hugging Face token the Hub found among its secrets.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub hf_token: Option<HfTokenInfo>,
}

impl JobInfo {
    /// The stage.
    pub fn stage(&self) -> &JobStage {
        &self.status.stage
    }

    /// Checks that the job ended well.
    ///
    /// # Errors
    /// [`HfError::JobFailed`] with stage and message in any other case, also when it is not over.
    pub fn require_success(&self) -> Result<(), HfError> {
        if self.status.stage == JobStage::Completed {
            return Ok(());
        }
        let message = match (&self.status.message, &self.status.cancel_reason) {
            (Some(message), Some(reason)) => Some(format!("{message} ({reason})")),
            (message, reason) => message.clone().or_else(|| reason.clone()),
        };
        Err(HfError::JobFailed {
            job_id: self.id.to_string(),
            stage: self.status.stage.to_string(),
            message,
        })
    }
}

/// Where a job is.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobStatus {
    /// The stage; an empty [`JobStage::Unknown`] when the server did not say.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub stage: JobStage,
    /// What the Hub says about it, like the exit code.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub message: Option<String>,
    /// Why it was canceled: `NO_CREDITS`, `NO_SUBSCRIPTION`, `RESOURCE_GROUP_LIMIT` or another word.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub cancel_reason: Option<String>,
    /// How often it failed and was started again.
    #[serde(
        default,
        deserialize_with = "lenient::number",
        skip_serializing_if = "Option::is_none"
    )]
    pub failure_count: Option<u64>,
    /// The addresses of its ports, in the order of the ports.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub expose_urls: Vec<String>,
    /// Its SSH address.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub ssh_url: Option<String>,
}

/// A user, an organisation, or what else may own or start a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobOwner {
    /// `user`, `org`, `scheduled-job`, `duplicated-job`, `webhook`; missing where the place tells.
    #[serde(
        rename = "type",
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub kind: Option<String>,
    /// Its id.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub id: String,
    /// Its name, where it has one.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub name: Option<String>,
}

/// A resource group of an organisation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ResourceGroupInfo {
    /// Its id.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub id: String,
    /// Its name.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub name: String,
}

/// How long a job took so far, computed by the Hub when asked.
///
/// # Units
/// Seconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobDurations {
    /// From submission to start.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub scheduling_secs: Option<f64>,
    /// From start to end.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub running_secs: Option<f64>,
    /// Both.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub total_secs: Option<f64>,
}

/// A Hugging Face token among a job's secrets; never its text.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct HfTokenInfo {
    /// Whose it is.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub owner_name: Option<String>,
    /// The organisation it acts for.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub org_name: Option<String>,
    /// What it may do.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub token_role: Option<String>,
    /// Its id in the account's settings.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub token_id: Option<String>,
    /// Where it is managed.
    #[serde(
        default,
        deserialize_with = "lenient::or_default",
        skip_serializing_if = "Option::is_none"
    )]
    pub settings_url: Option<String>,
}

#[cfg(test)]
mod tests {
    use hf_core::HfErrorKind;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_full_job_is_read() {
        let job: JobInfo = serde_json::from_value(json!({
            "type": "job", "id": "66aa00bb11cc22dd33ee5501", "createdAt": "2026-10-09T08:00:00.000Z",
            "startedAt": "2026-10-09T08:00:21.000Z", "dockerImage": "python:3.12", "command": ["python"], "arguments": [],
            "environment": {"EPOCHS": "3"}, "secrets": ["HF_TOKEN"], "flavor": "a10g-small", "arch": "amd64",
            "timeout": 5400, "retry": 1, "labels": {"name": "x"}, "createdBy": {"id": "1", "name": "ada"},
            "owner": {"id": "1", "name": "ada", "type": "user", "avatarUrl": "/a.svg"},
            "initiator": {"type": "webhook", "id": "9"}, "somethingNew": [1],
            "status": {"stage": "RUNNING", "message": null, "failureCount": 0, "exposeUrls": ["https://a"]},
            "durations": {"schedulingSecs": 21, "runningSecs": 4.5}, "hfToken": {"ownerName": "ada"}}))
        .unwrap();
        assert_eq!(job.stage(), &JobStage::Running);
        assert_eq!(
            (job.timeout, job.retry, job.secrets.len()),
            (Some(5400), Some(1), 1)
        );
        assert_eq!(job.durations.as_ref().unwrap().running_secs, Some(4.5));
        assert_eq!(job.initiator.as_ref().unwrap().kind.as_deref(), Some("webhook"));
        let again: JobInfo = serde_json::from_value(serde_json::to_value(&job).unwrap()).unwrap();
        assert_eq!(again, job);
    }

    #[test]
    fn the_least_and_the_oddest_jobs_are_read() {
        let job: JobInfo = serde_json::from_value(json!({"id": "66aa"})).unwrap();
        assert_eq!(job.stage(), &JobStage::Unknown(String::new()));
        let job: JobInfo = serde_json::from_value(json!({
            "id": "66aa", "createdAt": "yesterday", "environment": null, "labels": ["a"], "timeout": "900",
            "status": {"stage": "NAPPING", "message": {"a": 1}}, "durations": "long", "owner": 7}))
        .unwrap();
        assert_eq!((job.created_at, job.timeout), (None, Some(900)));
        assert_eq!(job.stage(), &JobStage::Unknown("NAPPING".into()));
        assert!(serde_json::from_value::<JobInfo>(json!({"status": {}})).is_err());
    }

    #[test]
    fn only_a_completed_job_is_a_success() {
        let job = |stage: &str, message: Value, reason: Value| -> JobInfo {
            let status = json!({"stage": stage, "message": message, "cancelReason": reason});
            serde_json::from_value(json!({"id": "66aa", "status": status})).unwrap()
        };
        job("COMPLETED", Value::Null, Value::Null)
            .require_success()
            .unwrap();
        for (stage, message, reason, part) in [
            (
                "ERROR",
                json!("Job failed with exit code: 137"),
                Value::Null,
                "exit code: 137",
            ),
            ("CANCELED", Value::Null, json!("NO_CREDITS"), "NO_CREDITS"),
            ("RUNNING", Value::Null, Value::Null, "RUNNING"),
            ("NAPPING", Value::Null, Value::Null, "NAPPING"),
        ] {
            let error = job(stage, message, reason).require_success().unwrap_err();
            assert_eq!(error.kind(), HfErrorKind::JobFailed);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(2, 12, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::hash_map("[a-zA-Z]{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever a server writes into the minor fields, and whatever it adds, the job is read; its stage is kept to the letter.
        #[test]
        fn any_job_is_read_and_its_stage_is_kept(
            stage in "[A-Z_]{1,12}", new in "[a-z]{3,9}_new", odd in prop::collection::vec(any_json(), 8),
        ) {
            let mut job = json!({"id": "66aa", "status": {"stage": stage, "message": odd[0]}, "createdAt": odd[1],
                "environment": odd[2], "labels": odd[3], "timeout": odd[4], "durations": odd[5], "volumes": odd[6]});
            job[&new] = odd[7].clone();
            let read: JobInfo = serde_json::from_value(job).unwrap();
            prop_assert_eq!(read.status.stage.as_str(), stage.as_str());
            let again: JobInfo = serde_json::from_value(serde_json::to_value(&read).unwrap()).unwrap();
            prop_assert_eq!(again, read);
        }
    }

    /// Acceptance case 14: a stage this version does not know is kept, and is no failure.
    #[test]
    fn an_unknown_stage_is_kept_and_is_not_a_failure() {
        let job: JobInfo =
            serde_json::from_value(json!({"id": "66aa", "status": {"stage": "HIBERNATING"}})).unwrap();
        assert_eq!(job.stage(), &JobStage::Unknown("HIBERNATING".into()));
        assert!(!job.stage().is_terminal());
        assert_eq!(
            serde_json::to_value(&job).unwrap()["status"]["stage"],
            "HIBERNATING"
        );
    }
}
