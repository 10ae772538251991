//! The memory store with a point to die at before and after each call.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::launch::LaunchRecord;
use bashgym_core::store::{
    JobLine, JobLineStore, JobStream, LaunchStore, Lease, LeaseStore, MemoryStore, StoreError,
};
use hf_core::Clock;
use hf_jobs::SubmissionState;
use jiff::Timestamp;

use super::hub::SimHub;
use super::job::SimJob;
use super::world::turn;

#[derive(Clone)]
pub(crate) struct SimStore {
    pub(crate) inner: Arc<MemoryStore>,
    pub(crate) hub: SimHub,
}

async fn between<T>(call: impl Future<Output = T>) -> T {
    turn().await;
    let value = call.await;
    turn().await;
    value
}

impl SimStore {
    /// What is written down of a job, against what the job is.
    fn judge(&self, launch: &LaunchRecord) {
        let (now, mut state) = (self.hub.clock.elapsed(), self.hub.state());
        match &launch.submission {
            SubmissionState::Drifted { job_id, .. } => {
                state.drift_known.entry(job_id.to_string()).or_insert(now);
            }
            SubmissionState::Created { job_id, .. } => {
                let taken = |job: &SimJob| job.id == job_id.as_str() && job.drifted;
                if state.jobs.iter().any(taken) {
                    let violation = format!("job {job_id} drifted, and was taken for what was asked for");
                    state.violations.push(violation);
                }
            }
            SubmissionState::Planned | SubmissionState::Sent { .. } => {}
        }
    }
}

#[async_trait]
impl LaunchStore for SimStore {
    async fn create_launch(&self, launch: &LaunchRecord) -> Result<(LaunchRecord, bool), StoreError> {
        between(self.inner.create_launch(launch)).await
    }
    async fn find_launch(&self, intent: &str) -> Result<Option<LaunchRecord>, StoreError> {
        between(self.inner.find_launch(intent)).await
    }
    async fn update_launch(&self, launch: &LaunchRecord) -> Result<u64, StoreError> {
        turn().await;
        let version = self.inner.update_launch(launch).await?;
        self.judge(launch);
        turn().await;
        Ok(version)
    }
    async fn list_unfinished_launches(&self) -> Result<Vec<LaunchRecord>, StoreError> {
        between(self.inner.list_unfinished_launches()).await
    }
}

#[async_trait]
impl LeaseStore for SimStore {
    async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        between(self.inner.take_lease(name, holder, now, ttl)).await
    }
    async fn release_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        between(self.inner.release_lease(name, holder)).await
    }
}

#[async_trait]
impl JobLineStore for SimStore {
    async fn append_job_lines(
        &self,
        job: &str,
        stream: JobStream,
        after: u64,
        lines: &[String],
    ) -> Result<u64, StoreError> {
        turn().await;
        let count = self.inner.append_job_lines(job, stream, after, lines).await?;
        let kept = usize::try_from(count).unwrap();
        let key = (job.to_owned(), self.hub.machine);
        self.hub.state().kept.insert(key, kept);
        turn().await;
        Ok(count)
    }
    async fn list_job_lines(
        &self,
        job: &str,
        stream: JobStream,
        after: u64,
        limit: u32,
    ) -> Result<Vec<JobLine>, StoreError> {
        between(self.inner.list_job_lines(job, stream, after, limit)).await
    }
    async fn count_job_lines(&self, job: &str, stream: JobStream) -> Result<u64, StoreError> {
        between(self.inner.count_job_lines(job, stream)).await
    }
}
