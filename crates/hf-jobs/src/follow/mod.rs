//! Following a job over restarts: what it wrote is kept in a journal, each line once and in order.

mod cursor;
mod file;
mod keep;
mod metrics;
#[cfg(test)]
mod tests;

pub use cursor::LogCursor;
pub(crate) use cursor::{chain, no_lines, print};
pub use file::FileJournal;
pub use keep::{FollowError, KeepOptions, LogJournal};
pub use metrics::{MetricsEnd, is_metrics_end};
