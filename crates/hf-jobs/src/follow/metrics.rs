//! The measurements of a job's machine: a stream without history and without an end of its own.

use std::time::Duration;

use futures::future::{Either, select};
use futures::{Stream, StreamExt};
use hf_core::{HfError, JobId};
use tracing::debug;

use crate::runner::{HfJobRunner, pause};

/// How following a job's measurements ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsEnd {
    /// The job is over.
    JobOver,
}

/// Whether this answer to a request for measurements is what a job that is over gives.
///
/// # Source
/// `huggingface_hub` 2.4.0 `hf_api.py`, `fetch_job_metrics`: 406, formerly 500.
pub fn is_metrics_end(error: &HfError) -> bool {
    error
        .status()
        .is_some_and(|status| matches!(status.as_u16(), 406 | 500))
}

impl HfJobRunner {
    /// Follows a job's measurements until the job is over. `open` makes a connection, `told` is given each measurement.
    ///
    /// Nothing is replayed after a break, and what was measured meanwhile is lost: the Hub keeps no history. A silent or
    /// broken stream, and the refusal that a job gives when it is over, are no errors: the job's stage decides.
    ///
    /// # Errors
    /// A refusal other than that; [`hf_core::HfErrorKind::Transport`] and the like after `max_failures` in a row.
    pub async fn keep_metrics<T, S, O>(
        &self,
        id: &JobId,
        quiet: Duration,
        max_failures: u32,
        mut open: O,
        mut told: impl FnMut(T) + Send,
    ) -> Result<MetricsEnd, HfError>
    where
        T: Send,
        S: Stream<Item = Result<T, HfError>> + Send + Unpin,
        O: FnMut() -> S + Send,
    {
        let clock = self.client().clock().clone();
        let (mut failures, mut rounds) = (0, 0);
        loop {
            let mut events = open();
            loop {
                let next = match select(events.next(), clock.sleep(quiet)).await {
                    Either::Left((next, _)) => next,
                    Either::Right(_) => None,
                };
                match next {
                    Some(Ok(event)) => {
                        (failures, rounds) = (0, 0);
                        told(event);
                    }
                    Some(Err(error)) if is_metrics_end(&error) || error.is_transient() => {
                        debug!(%error, job_id = %id, "the measurements broke off");
                        break;
                    }
                    Some(Err(error)) => return Err(error),
                    None => break,
                }
            }
            match self.get_job_status(id).await {
                Ok(status) if status.stage.is_terminal() => return Ok(MetricsEnd::JobOver),
                Ok(_) => failures = 0,
                Err(error) => {
                    failures += 1;
                    if !error.is_transient() || failures > max_failures {
                        return Err(error);
                    }
                }
            }
            clock.sleep(pause(rounds)).await;
            rounds += 1;
        }
    }
}
