//! What a run is remembered in. The traits are the least an implementer must do; the contract suite in
//! `testing` (a feature) says what each call promises.

mod behind;
mod jobs;
mod memory;
mod memory_events;
mod memory_jobs;
mod memory_seen;
mod memory_tasks;
mod seen;

use async_trait::async_trait;

#[cfg(test)]
pub(crate) use behind::MOST_WAITING;
pub(crate) use behind::{Batches, WriteBehind};
pub use jobs::{JobLine, JobLineStore, JobStore, JobStream, LaunchStore, Lease, LeaseStore};
pub use memory::MemoryStore;
pub use seen::{JobId, JobInfo, JobLook, SeenJobFilter, SeenJobStore};

use crate::events::{RunEvent, StoredEvent};
use crate::run::{RunId, RunRecord, RunSpec};

/// An error of a store, in words of the domain.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody else saved the run in the meantime.
    #[error("run {id} was changed by another process; read it again")]
    Stale {
        /// The run.
        id: RunId,
    },
    /// No run has this name.
    #[error("there is no run {id}")]
    Missing {
        /// The run.
        id: RunId,
    },
    /// Somebody else changed it in the meantime.
    #[error("{what} was changed by another process; read it again")]
    Changed {
        /// What was changed.
        what: String,
    },
    /// It is not in the store.
    #[error("there is no {what}")]
    Gone {
        /// What is missing.
        what: String,
    },
    /// What is stored does not read as what it should be.
    #[error("the store holds bad data in {place}")]
    BadData {
        /// Table, column and row.
        place: String,
        /// Why it does not read.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The store itself failed: disk full, file locked, file broken.
    #[error("the store failed to {action}")]
    Backend {
        /// What was attempted.
        action: String,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// Keeps runs.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Adds a run.
    ///
    /// # Errors
    /// [`StoreError::Backend`]; also if a run of this name is there.
    async fn create_run(&self, run: &RunRecord) -> Result<(), StoreError>;

    /// Returns the run of this name.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn find_run(&self, id: RunId) -> Result<Option<RunRecord>, StoreError>;

    /// Returns the newest run of this specification that has not succeeded.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn find_unfinished_run(&self, spec: &RunSpec) -> Result<Option<RunRecord>, StoreError>;

    /// Saves a run whose `version` is the stored one; the stored version then grows by one and is returned.
    ///
    /// # Errors
    /// [`StoreError::Stale`] if the stored version is another, [`StoreError::Missing`], [`StoreError::Backend`].
    async fn update_run(&self, run: &RunRecord) -> Result<u64, StoreError>;

    /// Lists the newest runs, newest first, those before `before` if it is given.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_runs(&self, before: Option<RunId>, limit: u32) -> Result<Vec<RunRecord>, StoreError>;
}

/// Keeps the events of runs, in order, without a gap.
#[async_trait]
pub trait EventStore: Send + Sync {
    /// Appends an event and returns its sequence number, which starts at 1 in each run.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn append_event(&self, run: RunId, event: &RunEvent) -> Result<u64, StoreError>;

    /// Lists the events after sequence number `after`, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_events(&self, run: RunId, after: u64, limit: u32) -> Result<Vec<StoredEvent>, StoreError>;
}

/// All that a run needs of a store.
pub trait Store: RunStore + EventStore {}

impl<T: RunStore + EventStore> Store for T {}
