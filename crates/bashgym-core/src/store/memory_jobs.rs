//! What is remembered of jobs, in memory.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::memory::MemoryStore;
use super::{JobLine, JobLineStore, JobStream, LaunchStore, Lease, LeaseStore, StoreError};
use crate::events::facts;
use crate::launch::LaunchRecord;

/// The part of [`MemoryStore`] that is about jobs.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    launches: BTreeMap<String, LaunchRecord>,
    leases: BTreeMap<String, Lease>,
    lines: BTreeMap<(String, JobStream), Vec<String>>,
}

#[async_trait]
impl LaunchStore for MemoryStore {
    async fn create_launch(&self, launch: &LaunchRecord) -> Result<(LaunchRecord, bool), StoreError> {
        self.change(|inner| {
            if let Some(there) = inner.jobs.launches.get(&launch.intent) {
                return Ok(((there.clone(), false), Vec::new()));
            }
            inner.jobs.launches.insert(launch.intent.clone(), launch.clone());
            Ok(((launch.clone(), true), facts::of_launch(None, launch)))
        })
    }

    async fn find_launch(&self, intent: &str) -> Result<Option<LaunchRecord>, StoreError> {
        Ok(self.with(|inner| inner.jobs.launches.get(intent).cloned()))
    }

    async fn update_launch(&self, launch: &LaunchRecord) -> Result<u64, StoreError> {
        self.change(|inner| {
            let what = || format!("launch {}", launch.intent);
            let stored = inner
                .jobs
                .launches
                .get_mut(&launch.intent)
                .ok_or_else(|| StoreError::Gone { what: what() })?;
            if stored.version != launch.version {
                return Err(StoreError::Changed { what: what() });
            }
            let events = facts::of_launch(Some(stored), launch);
            *stored = LaunchRecord {
                version: launch.version + 1,
                ..launch.clone()
            };
            Ok((stored.version, events))
        })
    }

    async fn list_unfinished_launches(&self) -> Result<Vec<LaunchRecord>, StoreError> {
        Ok(self.with(|inner| {
            inner
                .jobs
                .launches
                .values()
                .filter(|launch| !launch.is_finished())
                .cloned()
                .collect()
        }))
    }
}

#[async_trait]
impl LeaseStore for MemoryStore {
    async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        Ok(self.with(|inner| {
            if let Some(there) = inner.jobs.leases.get(name)
                && there.holder != holder
                && there.expires_at > now
            {
                return None;
            }
            let lease = Lease {
                name: name.to_owned(),
                holder: holder.to_owned(),
                expires_at: now.saturating_add(ttl).unwrap_or(Timestamp::MAX),
            };
            inner.jobs.leases.insert(name.to_owned(), lease.clone());
            Some(lease)
        }))
    }

    async fn release_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.with(|inner| {
            if inner
                .jobs
                .leases
                .get(name)
                .is_some_and(|lease| lease.holder == holder)
            {
                inner.jobs.leases.remove(name);
            }
        });
        Ok(())
    }
}

#[async_trait]
impl JobLineStore for MemoryStore {
    async fn append_job_lines(
        &self,
        job: &str,
        stream: JobStream,
        after: u64,
        lines: &[String],
    ) -> Result<u64, StoreError> {
        self.change(|inner| {
            let kept = inner.jobs.lines.entry((job.to_owned(), stream)).or_default();
            if kept.len() as u64 != after {
                return Err(StoreError::Changed {
                    what: format!("{} of job {job}", stream.as_str()),
                });
            }
            kept.extend_from_slice(lines);
            Ok((kept.len() as u64, facts::of_lines(job, stream, after, lines)))
        })
    }

    async fn list_job_lines(
        &self,
        job: &str,
        stream: JobStream,
        after: u64,
        limit: u32,
    ) -> Result<Vec<JobLine>, StoreError> {
        Ok(self.with(|inner| {
            let kept = inner.jobs.lines.get(&(job.to_owned(), stream));
            let kept = kept.map(Vec::as_slice).unwrap_or_default();
            let from = usize::try_from(after).unwrap_or(usize::MAX).min(kept.len());
            (after + 1..)
                .zip(kept.iter().skip(from))
                .take(limit as usize)
                .map(|(seq, text)| JobLine {
                    seq,
                    text: text.clone(),
                })
                .collect()
        }))
    }

    async fn count_job_lines(&self, job: &str, stream: JobStream) -> Result<u64, StoreError> {
        Ok(self.with(|inner| {
            inner
                .jobs
                .lines
                .get(&(job.to_owned(), stream))
                .map_or(0, |lines| lines.len() as u64)
        }))
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use super::MemoryStore;

    #[tokio::test]
    async fn memory_store_keeps_the_contract_of_jobs() {
        crate::testing::job_store_contract(&MemoryStore::default()).await;
    }
}
