//! What was seen of jobs, in memory.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use async_trait::async_trait;
use hf_core::JobId;
use hf_jobs::JobInfo;
use jiff::Timestamp;

use super::memory::MemoryStore;
use super::{JobLook, SeenJobFilter, SeenJobStore, StoreError};
use crate::run::Target;

/// The part of [`MemoryStore`] that is about jobs the Hub told of.
#[derive(Debug, Default)]
pub(super) struct Seen(BTreeMap<(String, String), Namespace>);

#[derive(Debug, Default)]
struct Namespace {
    jobs: BTreeMap<String, (Timestamp, JobInfo)>,
    look: Option<JobLook>,
}

impl Seen {
    fn of(&mut self, of: &Target) -> &mut Namespace {
        let key = (of.hub.clone(), of.namespace.clone());
        self.0.entry(key).or_default()
    }
}

fn place(job: &JobInfo) -> Reverse<(Timestamp, String)> {
    Reverse((job.created_at.unwrap_or_default(), job.id.to_string()))
}

impl Namespace {
    fn newest_first(&self) -> Vec<&JobInfo> {
        let mut jobs: Vec<&JobInfo> = self.jobs.values().map(|(_, job)| job).collect();
        jobs.sort_by_key(|job| place(job));
        jobs
    }
}

#[async_trait]
impl SeenJobStore for MemoryStore {
    async fn keep_seen_jobs(&self, of: &Target, jobs: &[JobInfo], at: Timestamp) -> Result<(), StoreError> {
        self.with(|inner| {
            let kept = &mut inner.seen.of(of).jobs;
            for job in jobs {
                let id = job.id.to_string();
                if kept.get(&id).is_none_or(|(seen, _)| *seen <= at) {
                    kept.insert(id, (at, job.clone()));
                }
            }
        });
        Ok(())
    }

    async fn list_seen_jobs(
        &self,
        of: &Target,
        filter: &SeenJobFilter,
        after: Option<&JobId>,
        limit: u32,
    ) -> Result<Vec<JobInfo>, StoreError> {
        Ok(self.with(|inner| {
            let namespace = inner.seen.of(of);
            let from = match after.map(|id| namespace.jobs.get(id.as_str())) {
                None => None,
                Some(None) => return Vec::new(),
                Some(Some((_, job))) => Some(place(job)),
            };
            let jobs = namespace.newest_first().into_iter();
            jobs.filter(|job| from.as_ref().is_none_or(|from| place(job) > *from))
                .filter(|job| filter.has(job))
                .take(limit as usize)
                .cloned()
                .collect()
        }))
    }

    async fn list_open_jobs(&self, of: &Target) -> Result<Vec<JobId>, StoreError> {
        Ok(self.with(|inner| {
            let jobs = inner.seen.of(of).newest_first().into_iter();
            jobs.filter(|job| !job.stage().is_terminal())
                .map(|job| job.id.clone())
                .collect()
        }))
    }

    async fn drop_seen_job(&self, of: &Target, id: &JobId) -> Result<(), StoreError> {
        self.with(|inner| inner.seen.of(of).jobs.remove(id.as_str()));
        Ok(())
    }

    async fn find_job_look(&self, of: &Target) -> Result<Option<JobLook>, StoreError> {
        Ok(self.with(|inner| inner.seen.of(of).look.clone()))
    }

    async fn save_job_look(&self, of: &Target, look: &JobLook) -> Result<(), StoreError> {
        self.with(|inner| {
            let namespace = inner.seen.of(of);
            namespace.jobs.retain(|_, (seen, _)| *seen >= look.whole_at);
            namespace.look = Some(look.clone());
        });
        Ok(())
    }
}
