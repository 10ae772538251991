//! What was seen of the jobs of a namespace: a copy of what the Hub told, and of when.

use async_trait::async_trait;
pub use hf_core::JobId;
pub use hf_jobs::JobInfo;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::run::Target;

/// Which jobs are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SeenJobFilter {
    /// Only jobs in one of these stages, in the Hub's words; none means any.
    pub stages: Vec<String>,
    /// Only jobs with this label, by key and value.
    pub label: Option<(String, String)>,
}

impl SeenJobFilter {
    /// Whether a job is asked for.
    pub fn has(&self, job: &JobInfo) -> bool {
        let stage = job.status.stage.to_string();
        let staged = self.stages.is_empty() || self.stages.contains(&stage);
        let labelled = self.label.as_ref();
        staged && labelled.is_none_or(|(key, value)| job.labels.get(key) == Some(value))
    }
}

/// How far the Hub's list of a namespace was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLook {
    /// When what is kept was last brought to date.
    pub at: Timestamp,
    /// When the list was last read to its end.
    pub whole_at: Timestamp,
    /// The newest job then: all that are older are kept.
    pub newest: Option<(Timestamp, JobId)>,
}

/// Keeps what was seen of jobs, by Hub and namespace. All of it can be asked of the Hub again.
#[async_trait]
pub trait SeenJobStore: Send + Sync {
    /// Keeps jobs as they were seen at `at`, each unless it was seen later than that already.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn keep_seen_jobs(&self, of: &Target, jobs: &[JobInfo], at: Timestamp) -> Result<(), StoreError>;

    /// Lists jobs, newest first, those after the job `after` in that order if one is given. A job that is not kept has none
    /// after it.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_seen_jobs(
        &self,
        of: &Target,
        filter: &SeenJobFilter,
        after: Option<&JobId>,
        limit: u32,
    ) -> Result<Vec<JobInfo>, StoreError>;

    /// Lists the ids of jobs that were not over, newest first.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_open_jobs(&self, of: &Target) -> Result<Vec<JobId>, StoreError>;

    /// Forgets a job.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn drop_seen_job(&self, of: &Target, id: &JobId) -> Result<(), StoreError>;

    /// How far the list was read; none when it was never read to its end.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn find_job_look(&self, of: &Target) -> Result<Option<JobLook>, StoreError>;

    /// Notes how far the list was read, and forgets the jobs that were last seen before [`JobLook::whole_at`]: where the list
    /// was read to its end since, they are not in it.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn save_job_look(&self, of: &Target, look: &JobLook) -> Result<(), StoreError>;
}
