//! A job's log: each line once and in order, over as many connections as it takes.

mod follow;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use hf_core::{HfError, JobId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use self::follow::Follower;
use crate::follow::LogCursor;
use crate::runner::HfJobRunner;

/// One line of a job's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its place in the log, counted from 0 over all lines, the hidden heading too; with [`LogOptions::tail`], its place in
    /// what was asked for. To continue later, pass this plus 1 as [`LogOptions::skip`].
    pub index: u64,
    /// When it was written.
    pub timestamp: Option<Timestamp>,
    /// The line, without a line break.
    pub text: String,
}

/// What following a log brings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogItem {
    /// The next line.
    Line(LogLine),
    /// The Hub's log does not begin where it once did. The lines that follow are the next ones all the same.
    Rotated {
        /// Whether lines in between are gone: the log now begins after the last line that was known.
        lost: bool,
    },
}

/// Which part of a log to read, and for how long.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// Whether to stay until the job is over. Otherwise the stream ends with what is there now.
    pub follow: bool,
    /// Only the last lines, this many.
    pub tail: Option<u64>,
    /// Leaves out this many lines at the beginning. Not together with `tail`.
    pub skip: u64,
    /// Begins behind a place that is known, in place of `skip`: the replay is then checked to be the same log.
    pub after: Option<LogCursor>,
    /// Whether to give the Hub's own heading too (`===== Job started …`), which the official clients hide.
    pub heading: bool,
    /// How long a silence makes the stream look whether the job is over, or end if it does not follow.
    pub quiet: Duration,
    /// How many failures in a row, without a new line in between, end the stream.
    pub max_failures: u32,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            follow: true,
            tail: None,
            skip: 0,
            after: None,
            heading: false,
            quiet: Duration::from_secs(5),
            max_failures: 5,
        }
    }
}

/// How much of a log to keep in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogLimits {
    /// The most lines.
    pub max_lines: usize,
    /// The most bytes, line breaks counted.
    pub max_bytes: usize,
}

impl Default for LogLimits {
    fn default() -> Self {
        Self {
            max_lines: 10_000,
            max_bytes: 1 << 20,
        }
    }
}

/// The end of a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CollectedLogs {
    /// The lines, each with its line break.
    pub text: String,
    /// How many lines that is.
    pub lines: usize,
    /// Whether earlier lines were left out.
    pub truncated: bool,
}

/// See [`HfJobRunner::stream_logs`].
pub(crate) fn stream(
    jobs: HfJobRunner,
    id: JobId,
    options: LogOptions,
) -> impl Stream<Item = Result<LogLine, HfError>> + Send + Unpin + use<> {
    items(jobs, id, options)
        .try_filter_map(|item| async move {
            Ok(match item {
                LogItem::Line(line) => Some(line),
                LogItem::Rotated { .. } => None,
            })
        })
        .boxed()
}

/// See [`HfJobRunner::follow_log`].
pub(crate) fn items(
    jobs: HfJobRunner,
    id: JobId,
    options: LogOptions,
) -> impl Stream<Item = Result<LogItem, HfError>> + Send + Unpin + use<> {
    if options.tail.is_some() && (options.skip > 0 || options.after.is_some()) {
        let error = HfError::invalid("tail and skip can not be used together: a tail has no known beginning");
        return stream::iter([Err(error)]).left_stream();
    }
    let follower = Follower::new(jobs, id, options);
    let lines = stream::unfold(follower, |mut follower| async move {
        Some((follower.next().await?, follower))
    });
    lines.boxed().right_stream()
}

/// See [`HfJobRunner::collect_logs`].
pub(crate) async fn collect(
    jobs: HfJobRunner,
    id: JobId,
    limits: LogLimits,
) -> Result<CollectedLogs, HfError> {
    // One line more than is kept tells whether there are more; another, because the heading is a line for the Hub.
    let tail = u64::try_from(limits.max_lines)
        .unwrap_or(u64::MAX)
        .saturating_add(2);
    let options = LogOptions {
        follow: false,
        tail: Some(tail),
        ..LogOptions::default()
    };
    let mut lines = stream(jobs, id, options);
    let mut kept: VecDeque<String> = VecDeque::new();
    let mut bytes = 0;
    let mut truncated = false;
    while let Some(line) = lines.next().await.transpose()? {
        bytes += line.text.len() + 1;
        kept.push_back(line.text);
        while kept.len() > limits.max_lines || bytes > limits.max_bytes {
            let Some(first) = kept.pop_front() else { break };
            bytes -= first.len() + 1;
            truncated = true;
        }
    }
    let mut text = String::with_capacity(bytes);
    for line in &kept {
        text.push_str(line);
        text.push('\n');
    }
    Ok(CollectedLogs {
        text,
        lines: kept.len(),
        truncated,
    })
}
