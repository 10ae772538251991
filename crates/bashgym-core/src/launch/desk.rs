//! One launch in the hands of one process: its record, saved with every change, and the journals that write into it.

use std::sync::{Mutex as SyncMutex, PoisonError};

use async_trait::async_trait;
use hf_core::JobId;
use hf_jobs::{JournalError, LogCursor, LogJournal, LogLine, SubmissionJournal, SubmissionState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::event::{LaunchError, LaunchEvent, LaunchSink};
use super::record::LaunchRecord;
use super::service::LaunchContext;
use super::view::Observation;
use crate::store::{JobStream, StoreError};

/// How many kept lines are read at once.
const PAGE: u32 = 1000;

/// A launch in hand.
pub(super) struct Desk<'a> {
    context: &'a LaunchContext,
    sink: &'a dyn LaunchSink,
    record: Mutex<LaunchRecord>,
}

impl<'a> Desk<'a> {
    pub(super) fn new(context: &'a LaunchContext, sink: &'a dyn LaunchSink, record: LaunchRecord) -> Self {
        Self {
            context,
            sink,
            record: Mutex::new(record),
        }
    }

    pub(super) async fn record(&self) -> LaunchRecord {
        self.record.lock().await.clone()
    }

    pub(super) async fn tell(&self, event: LaunchEvent) {
        self.sink.tell(event).await;
    }

    /// Applies a change and saves it; if somebody else saved in the meantime, applies it to what is there now.
    ///
    /// What is told of it is told after it was saved, by whoever saved it: once.
    pub(super) async fn change<T>(
        &self,
        mut change: impl FnMut(&mut LaunchRecord) -> Result<T, LaunchError> + Send,
    ) -> Result<T, LaunchError>
    where
        T: Send,
    {
        let mut record = self.record.lock().await;
        let (before, value) = loop {
            let mut next = record.clone();
            let value = change(&mut next)?;
            if next == *record {
                return Ok(value);
            }
            next.updated_at = self.context.client.clock().now();
            match self.context.store.update_launch(&next).await {
                Ok(version) => {
                    next.version = version;
                    break (std::mem::replace(&mut *record, next), value);
                }
                Err(StoreError::Changed { .. }) => {
                    let found = self.context.store.find_launch(&record.intent).await?;
                    *record = found.ok_or_else(|| StoreError::Gone {
                        what: format!("launch {}", record.intent),
                    })?;
                }
                Err(error) => return Err(error.into()),
            }
        };
        let state = record.view.state.clone();
        drop(record);
        if state != before.view.state {
            self.tell(LaunchEvent::State(state.clone())).await;
            if state.is_final() && !before.view.state.is_final() {
                self.tell(LaunchEvent::Ended(state)).await;
            }
        }
        Ok(value)
    }

    pub(super) async fn observe(&self, observation: Observation) -> Result<(), LaunchError> {
        let now = self.context.client.clock().now();
        self.change(|record| {
            record.view.apply(now, observation.clone());
            Ok(())
        })
        .await
    }
}

/// The submission's journal is the launch's record.
#[async_trait]
impl SubmissionJournal for Desk<'_> {
    async fn read(&self) -> Result<SubmissionState, JournalError> {
        Ok(self.record.lock().await.submission.clone())
    }

    async fn write(&self, state: &SubmissionState) -> Result<(), JournalError> {
        let known = self.record.lock().await.submission.clone();
        let now = self.context.client.clock().now();
        self.change(|record| {
            if record.submission != known {
                // Another process went on with this submission: what it did is not known here.
                return Err(LaunchError::Busy {
                    intent: record.intent.clone(),
                });
            }
            record.submission = state.clone();
            if matches!(state, SubmissionState::Sent { .. }) {
                record.view.apply(now, Observation::Sending);
            }
            Ok(())
        })
        .await
        .map_err(JournalError::new)
    }
}

/// A job's log, kept in the store.
pub(super) struct StoreLog<'a> {
    pub(super) desk: &'a Desk<'a>,
    pub(super) job_id: &'a JobId,
    /// What is to be told before the next line.
    pub(super) said: &'a SyncMutex<Vec<LaunchEvent>>,
}

/// # Shape
/// As the Hub sends it, so that a kept log reads like a streamed one.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    data: T,
    timestamp: Option<Timestamp>,
}

impl StoreLog<'_> {
    pub(super) async fn tell_said(&self) {
        let said = std::mem::take(&mut *self.said.lock().unwrap_or_else(PoisonError::into_inner));
        for event in said {
            self.desk.tell(event).await;
        }
    }
}

impl StoreLog<'_> {
    /// Takes kept lines into the view, the last of which is the one numbered `count`.
    async fn take_in(&self, count: u64, lines: &[LogLine]) -> Result<(), JournalError> {
        if lines.is_empty() {
            return Ok(());
        }
        let now = self.desk.context.client.clock().now();
        let read = self.desk.context.read_line;
        let change = |record: &mut LaunchRecord| {
            record.view.apply(now, Observation::Lines { count });
            for observation in lines.iter().flat_map(|line| read(&line.text)) {
                record.view.apply(now, observation);
            }
            Ok(())
        };
        self.desk.change(change).await.map_err(JournalError::new)
    }
}

/// Reads a kept line back.
pub(crate) fn read_kept(seq: u64, text: &str) -> Result<LogLine, serde_json::Error> {
    let kept: Kept<String> = serde_json::from_str(text)?;
    Ok(LogLine {
        index: seq - 1,
        timestamp: kept.timestamp,
        text: kept.data,
    })
}

#[async_trait]
impl LogJournal for StoreLog<'_> {
    async fn cursor(&self) -> Result<LogCursor, JournalError> {
        let mut cursor = LogCursor::default();
        let seen = self.desk.record().await.view.lines;
        loop {
            let store = &self.desk.context.store;
            let page = store
                .list_job_lines(self.job_id.as_str(), JobStream::Log, cursor.lines(), PAGE)
                .await
                .map_err(JournalError::new)?;
            if page.is_empty() {
                return Ok(cursor);
            }
            let mut unseen = Vec::new();
            for line in page {
                let kept = read_kept(line.seq, &line.text).map_err(JournalError::new)?;
                cursor.push(&kept);
                if line.seq > seen {
                    unseen.push(kept);
                }
            }
            // Lines that a process kept and did not live to take in.
            self.take_in(cursor.lines(), &unseen).await?;
        }
    }

    async fn append(&self, after: u64, lines: &[LogLine]) -> Result<(), JournalError> {
        self.tell_said().await;
        let texts: Result<Vec<String>, _> = lines
            .iter()
            .map(|line| {
                serde_json::to_string(&Kept {
                    data: &line.text,
                    timestamp: line.timestamp,
                })
            })
            .collect();
        let count = self
            .desk
            .context
            .store
            .append_job_lines(
                self.job_id.as_str(),
                JobStream::Log,
                after,
                &texts.map_err(JournalError::new)?,
            )
            .await
            .map_err(JournalError::new)?;
        self.take_in(count, lines).await?;
        for line in lines {
            self.desk.tell(LaunchEvent::Line(line.clone())).await;
        }
        Ok(())
    }
}
