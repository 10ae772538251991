//! What can be changed about a job, and waiting for several.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use hf_core::{HfError, JobId, RequestSpec};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::info::JobInfo;
use crate::runner::{HfJobRunner, pause};
use crate::spec::Expose;
use crate::stage::JobStage;

/// How many looks in a row may fail, each after the client's own retries, before waiting gives up.
const MAX_FAILED_LOOKS: u32 = 5;

/// What to wait for, and for how long.
#[derive(Debug, Clone, Default)]
pub struct WaitOptions {
    /// Stages that end the wait too. One that is final always does.
    pub stages: Vec<JobStage>,
    /// The longest wait; none has no end.
    pub limit: Option<Duration>,
    /// The time between two looks; by default it grows from 1 to 10 seconds.
    pub poll: Option<Duration>,
}

/// What [`HfJobRunner::check_access`] asks about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobAccess {
    /// To see jobs.
    Read,
    /// To start and change them.
    Write,
}

/// Who may act where, as the Hub answers it.
///
/// # Source
/// Hub OpenAPI, `POST /api/jobs/{namespace}/auth-check/{perms}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AccessInfo {
    /// The namespace.
    pub namespace: AccessName,
    /// Whose token it is.
    pub user: AccessName,
}

/// An id and a name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AccessName {
    /// The id.
    #[serde(default)]
    pub id: String,
    /// The name.
    #[serde(default)]
    pub name: String,
}

impl HfJobRunner {
    /// Replaces all labels of a job: `PUT /api/jobs/{namespace}/{id}/labels`.
    ///
    /// # Errors
    /// [`HfError::NotFound`]; [`HfError::InvalidArgument`] when the Hub does not take a label.
    pub async fn set_labels(
        &self,
        id: &JobId,
        labels: &BTreeMap<String, String>,
    ) -> Result<JobInfo, HfError> {
        let path = format!("{}/labels", self.job_path(id));
        self.client().put_json(&path, &json!({"labels": labels})).await
    }

    /// Submits a job once more as it was: `POST /api/jobs/{namespace}/{id}/duplicate`. Sent once, like [`HfJobRunner::run`].
    ///
    /// # Errors
    /// As [`HfJobRunner::run`], and [`HfError::NotFound`].
    pub async fn duplicate_job(&self, id: &JobId) -> Result<JobInfo, HfError> {
        let path = format!("{}/duplicate", self.job_path(id));
        self.client()
            .request_json(RequestSpec::post(path).no_retry())
            .await
    }

    /// Changes which ports a job offers: `PUT /api/jobs/{namespace}/{id}/expose`. Public ports are offered ones too.
    ///
    /// # Errors
    /// [`HfError::NotFound`]; [`HfError::InvalidArgument`] when the Hub does not take the ports.
    pub async fn set_exposed(&self, id: &JobId, expose: &Expose) -> Result<JobInfo, HfError> {
        let path = format!("{}/expose", self.job_path(id));
        self.client().put_json(&path, &expose.to_wire()).await
    }

    /// Asks whether the token may do this in the namespace, or to one job of it, without doing it:
    /// `POST /api/jobs/{namespace}[/{id}]/auth-check/{read|write}`.
    ///
    /// # Errors
    /// [`HfError::Forbidden`] when it may not, with the scope that is missing; [`HfError::Auth`] without a valid token.
    pub async fn check_access(&self, access: JobAccess, id: Option<&JobId>) -> Result<AccessInfo, HfError> {
        let at = id.map_or_else(|| self.path(), |id| self.job_path(id));
        let word = match access {
            JobAccess::Read => "read",
            JobAccess::Write => "write",
        };
        let spec = RequestSpec::post(format!("{at}/auth-check/{word}")).idempotent();
        self.client().request_json(spec).await
    }

    /// Waits for a stage and returns the job as it is then: in one of the stages, final, or as it was when the limit ran out.
    ///
    /// # Errors
    /// As [`HfJobRunner::wait`].
    pub async fn wait_until(&self, id: &JobId, options: &WaitOptions) -> Result<JobInfo, HfError> {
        let clock = self.client().clock().clone();
        let start = clock.elapsed();
        let (mut looks, mut failed) = (0, 0);
        loop {
            let left = options
                .limit
                .map(|limit| limit.saturating_sub(clock.elapsed().saturating_sub(start)));
            match self.get_job(id).await {
                Ok(job) => {
                    failed = 0;
                    let reached = job.stage().is_terminal() || options.stages.contains(job.stage());
                    if reached || left == Some(Duration::ZERO) {
                        return Ok(job);
                    }
                }
                Err(error) => {
                    failed += 1;
                    if !error.is_transient() || failed >= MAX_FAILED_LOOKS {
                        return Err(error);
                    }
                }
            }
            let wait = options.poll.unwrap_or_else(|| pause(looks));
            looks += 1;
            clock.sleep(left.map_or(wait, |left| wait.min(left))).await;
        }
    }

    /// Waits for several jobs at once; the answers are in the order of `ids`, and one that fails does not stop the others.
    pub async fn wait_all(&self, ids: &[JobId], options: &WaitOptions) -> Vec<Result<JobInfo, HfError>> {
        futures::stream::iter(ids)
            .map(|id| self.wait_until(id, options))
            .buffered(ids.len().max(1))
            .collect()
            .await
    }
}
