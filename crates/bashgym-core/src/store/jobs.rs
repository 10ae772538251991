//! What is remembered of jobs: launches, who follows them, and what they wrote.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::StoreError;
use crate::launch::LaunchRecord;

/// Keeps launches, one for each intent.
#[async_trait]
pub trait LaunchStore: Send + Sync {
    /// Adds a launch, unless one with this intent is there; returns the one that is there then, and whether it was added.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn create_launch(&self, launch: &LaunchRecord) -> Result<(LaunchRecord, bool), StoreError>;

    /// Returns the launch with this intent.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn find_launch(&self, intent: &str) -> Result<Option<LaunchRecord>, StoreError>;

    /// Saves a launch whose `version` is the stored one; the stored version then grows by one and is returned.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if the stored version is another, [`StoreError::Gone`] if there is none,
    /// [`StoreError::Backend`].
    async fn update_launch(&self, launch: &LaunchRecord) -> Result<u64, StoreError>;

    /// Lists the launches for which [`LaunchRecord::is_finished`] does not hold, by intent.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_unfinished_launches(&self) -> Result<Vec<LaunchRecord>, StoreError>;
}

/// The right to do something alone, until it runs out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// What it is about.
    pub name: String,
    /// Who has it.
    pub holder: String,
    /// When it runs out unless it is taken again.
    pub expires_at: Timestamp,
}

/// Keeps leases, so that of several processes one is at a job.
#[async_trait]
pub trait LeaseStore: Send + Sync {
    /// Takes the lease `name` for `holder`, or prolongs it, until `now + ttl`. None when another holder has it and it has not
    /// run out at `now`.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        ttl: Duration,
    ) -> Result<Option<Lease>, StoreError>;

    /// Gives the lease back; nothing happens when `holder` does not have it.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn release_lease(&self, name: &str, holder: &str) -> Result<(), StoreError>;
}

/// What a job wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum JobStream {
    /// Its log.
    Log,
    /// The measurements of its machine.
    Metrics,
}

impl JobStream {
    /// The stream's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Metrics => "metrics",
        }
    }
}

/// A kept line of a job's log or metrics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobLine {
    /// Its number in the stream, from 1 without a gap.
    pub seq: u64,
    /// The line: one JSON object.
    pub text: String,
}

/// Keeps what jobs wrote: append-only, in order, without a gap.
#[async_trait]
pub trait JobLineStore: Send + Sync {
    /// Appends lines after the line numbered `after`, all or none, and returns the number of the last one.
    ///
    /// # Errors
    /// [`StoreError::Changed`] if `after` is not the number of the last line: somebody else appends;
    /// [`StoreError::Backend`].
    async fn append_job_lines(
        &self,
        job: &str,
        stream: JobStream,
        after: u64,
        lines: &[String],
    ) -> Result<u64, StoreError>;

    /// Lists the lines after number `after`, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_job_lines(
        &self,
        job: &str,
        stream: JobStream,
        after: u64,
        limit: u32,
    ) -> Result<Vec<JobLine>, StoreError>;

    /// Lists the lines after number `after` up to number `until` that may hold `text`, whatever the case: every one that
    /// does, and maybe others. A store that can look at lines where they lie leaves out what surely does not hold it, and
    /// stops after the first `most` of the rest.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn find_job_lines(
        &self,
        job: &str,
        stream: JobStream,
        after: u64,
        until: u64,
        text: &str,
        most: u32,
    ) -> Result<Vec<JobLine>, StoreError> {
        let _ = (text, most);
        let all = u32::try_from(until.saturating_sub(after)).unwrap_or(u32::MAX);
        self.list_job_lines(job, stream, after, all).await
    }

    /// The number of the last line, 0 when there is none.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn count_job_lines(&self, job: &str, stream: JobStream) -> Result<u64, StoreError>;
}

/// All that a launch needs of a store.
pub trait JobStore: LaunchStore + LeaseStore + JobLineStore {}

impl<T: LaunchStore + LeaseStore + JobLineStore> JobStore for T {}
