//! One piece of work from its price to its output.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bashgym_gate::Inspector;
use bashgym_traces::Gate;
use hf_core::Clock;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::error::BulkError;
use super::journal::Journal;
use super::runner::{Counts, Ran, RunOptions, Runner};
use super::work::{Estimate, Making, Work, ask_stream, estimate, work_id};
use crate::inference::InferenceDesk;

/// A piece of work, with what it is done with.
pub struct BulkRun {
    work: Arc<dyn Work>,
    out: PathBuf,
    journal_dir: PathBuf,
    journal: Arc<Journal>,
    desk: InferenceDesk,
    clock: Arc<dyn Clock>,
    gate: Option<Inspector>,
    options: RunOptions,
}

impl std::fmt::Debug for BulkRun {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BulkRun")
            .field("command", &self.work.command())
            .field("out", &self.out)
            .finish_non_exhaustive()
    }
}

/// What a piece of work is done with.
pub struct BulkMeans {
    /// Who is asked.
    pub desk: InferenceDesk,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What looks at everything before it is sent; none only where nothing leaves this machine.
    pub gate: Option<Inspector>,
    /// How the asking is done.
    pub options: RunOptions,
}

impl BulkRun {
    /// Opens the journal of the work below `journals`; `out` names the work beside its command.
    ///
    /// # Errors
    /// [`BulkError::Busy`] while another process works on it, [`BulkError::Io`].
    pub fn open(
        work: Arc<dyn Work>,
        out: &Path,
        journals: &Path,
        means: BulkMeans,
    ) -> Result<Self, BulkError> {
        let journal_dir = journals.join(work_id(&*work, out));
        Ok(Self {
            journal: Arc::new(Journal::open(&journal_dir)?),
            journal_dir,
            out: out.to_path_buf(),
            work,
            desk: means.desk,
            clock: means.clock,
            gate: means.gate,
            options: means.options,
        })
    }

    /// The work.
    pub fn work(&self) -> &Arc<dyn Work> {
        &self.work
    }

    /// What was asked and answered.
    pub fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Where that is.
    pub fn journal_dir(&self) -> &Path {
        &self.journal_dir
    }

    /// What it will take. Nothing is sent to a model.
    ///
    /// # Errors
    /// As [`estimate`].
    pub async fn estimate(&self) -> Result<Estimate, BulkError> {
        let (gate, again) = (self.gate.as_ref(), self.options.retry_unclear);
        estimate(&self.work, &self.desk, &self.journal, gate, again).await
    }

    /// Asks what the journal does not know, until all is asked or `stop` is cancelled.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub async fn ask(
        &self,
        stop: &CancellationToken,
        progress: &(dyn Fn(Counts) + Sync),
    ) -> Result<Ran, BulkError> {
        let runner = Runner::new(
            self.desk.clone(),
            Arc::clone(&self.journal),
            Arc::clone(&self.clock),
            self.gate.clone(),
            self.options.clone(),
        );
        let asks = ask_stream(&self.work, self.options.concurrency * 2);
        runner.run(asks, stop, progress).await
    }

    /// Writes the output of what is there; none when there is nothing, or when it makes no sense of a part.
    ///
    /// # Errors
    /// [`BulkError`].
    pub async fn finish(&self, ran: &Ran, mut gate: Gate) -> Result<Option<Value>, BulkError> {
        let counts = ran.counts;
        let nothing =
            counts.answered + counts.from_journal == 0 && (counts.failed > 0 || ran.stopped.is_some());
        if nothing || (ran.stopped.is_some() && !self.work.can_be_partial()) {
            return Ok(None);
        }
        let complete = ran.stopped.is_none() && counts.failed == 0 && counts.unclear == 0;
        let (work, journal, out) = (
            Arc::clone(&self.work),
            Arc::clone(&self.journal),
            self.out.clone(),
        );
        let writing = tokio::task::spawn_blocking(move || {
            work.write(Making {
                journal: &journal,
                out: &out,
                gate: &mut gate,
                complete,
                counts,
            })
        });
        let broken = |error| BulkError::Io {
            action: "finish",
            path: self.out.clone(),
            source: std::io::Error::other(error),
        };
        writing.await.map_err(broken)?.map(Some)
    }
}

/// What came of a piece of work.
///
/// # Shape
/// `{"calls","failures","cost_usd","complete","result"}`
pub fn report(ran: &Ran, result: Option<&Value>) -> Value {
    json!({
        "calls": ran.counts, "failures": ran.failures, "cost_usd": ran.counts.nano_usd as f64 / 1e9,
        "complete": result.is_some_and(|it| it["complete"] == true), "result": result,
    })
}
