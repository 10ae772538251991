//! A job's log into a journal.

use std::time::Duration;

use async_trait::async_trait;
use futures::{FutureExt, StreamExt};
use hf_core::{HfError, JobId};

use super::LogCursor;
use crate::info::JobInfo;
use crate::logs::{LogItem, LogLine, LogOptions};
use crate::runner::HfJobRunner;
use crate::submit::JournalError;

/// The most lines that are written at once.
const BATCH: usize = 256;

/// Keeps the lines of one log, append-only.
#[async_trait]
pub trait LogJournal: Send + Sync {
    /// The place up to which lines are kept.
    ///
    /// # Errors
    /// When the kept lines can not be read.
    async fn cursor(&self) -> Result<LogCursor, JournalError>;

    /// Appends lines behind the line numbered `after` (the number of lines kept so far), all or none.
    ///
    /// # Errors
    /// When they can not be written, or when another number of lines is kept: somebody else follows too.
    async fn append(&self, after: u64, lines: &[LogLine]) -> Result<(), JournalError>;
}

/// How a log is followed into a journal.
#[derive(Debug, Clone)]
pub struct KeepOptions {
    /// How long a silence makes the follower look whether the job is over.
    pub quiet: Duration,
    /// How many failures in a row, without a new line in between, end the following.
    pub max_failures: u32,
}

impl Default for KeepOptions {
    fn default() -> Self {
        let LogOptions {
            quiet, max_failures, ..
        } = LogOptions::default();
        Self { quiet, max_failures }
    }
}

/// Why following stopped before the job's end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The Hub can not be asked, or refuses. The job goes on all the same.
    #[error("the job can not be seen: {0}")]
    Hub(#[from] HfError),
    /// The journal failed.
    #[error(transparent)]
    Journal(#[from] JournalError),
}

impl HfJobRunner {
    /// Follows a job's log into a journal until the job is over, from behind the last kept line, and returns the job as it is
    /// then. The Hub's heading is kept too, as the first line.
    ///
    /// `told` is given each line after it was kept. Memory is bounded by the longest line and a batch of 256; what is not
    /// read yet waits on the connection.
    ///
    /// # Errors
    /// [`FollowError`]; calling again goes on where this stopped.
    pub async fn keep_log(
        &self,
        id: &JobId,
        journal: &dyn LogJournal,
        options: &KeepOptions,
        mut told: impl FnMut(&LogItem) + Send,
    ) -> Result<JobInfo, FollowError> {
        let cursor = journal.cursor().await?;
        let mut kept = cursor.lines();
        let options = LogOptions {
            follow: true,
            after: Some(cursor),
            heading: true,
            quiet: options.quiet,
            max_failures: options.max_failures,
            ..LogOptions::default()
        };
        let mut items = self.follow_log(id, options);
        let mut end = None;
        while end.is_none() {
            let mut batch = Vec::new();
            let mut next = items.next().await;
            loop {
                match next {
                    Some(Ok(LogItem::Line(line))) => batch.push(line),
                    Some(Ok(other)) => told(&other),
                    Some(Err(error)) => end = Some(Err(error)),
                    None => end = Some(Ok(())),
                }
                if end.is_some() || batch.len() == BATCH {
                    break;
                }
                // Lines that are there already are written together.
                match items.next().now_or_never() {
                    Some(ready) => next = ready,
                    None => break,
                }
            }
            if !batch.is_empty() {
                journal.append(kept, &batch).await?;
                kept += batch.len() as u64;
                for line in batch {
                    told(&LogItem::Line(line));
                }
            }
        }
        match end {
            Some(Err(error)) => Err(error.into()),
            _ => Ok(self.get_job(id).await?),
        }
    }
}
