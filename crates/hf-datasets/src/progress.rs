//! What a transfer tells while it runs.

use std::fmt;
use std::sync::Arc;

/// Something that happened in an upload or a download.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TransferEvent {
    /// The work is known.
    Started {
        /// How many files take part, those that turn out unchanged included.
        files: u64,
        /// Their size together.
        bytes: u64,
    },
    /// More of a file is done. For an upload: accepted by the Hub's storage; for a download: on disk.
    Advanced {
        /// The file's path in the repository.
        path: String,
        /// How many of its bytes are done.
        done_bytes: u64,
        /// Its size.
        total_bytes: u64,
    },
    /// A file is done.
    FileDone {
        /// The file's path in the repository.
        path: String,
        /// Its size.
        total_bytes: u64,
        /// Whether nothing had to be sent, because the other side had it.
        unchanged: bool,
    },
    /// All data is in place and the commit is being made; uploads only.
    Committing,
    /// A try failed and another follows.
    Retrying {
        /// What is tried again.
        what: String,
        /// Why the last try failed.
        why: String,
    },
    /// Everything is done.
    Finished,
}

/// Receives [`TransferEvent`]s.
///
/// Calls come from the tasks that do the transfer: an implementation must neither block nor panic.
pub trait ProgressSink: Send + Sync {
    /// Takes one event.
    fn on_event(&self, event: &TransferEvent);
}

impl<F: Fn(&TransferEvent) + Send + Sync> ProgressSink for F {
    fn on_event(&self, event: &TransferEvent) {
        self(event);
    }
}

/// A shared [`ProgressSink`], or none.
#[derive(Clone, Default)]
pub struct Progress(Option<Arc<dyn ProgressSink>>);

impl Progress {
    /// Reports to `sink`.
    pub fn new(sink: impl ProgressSink + 'static) -> Self {
        Self(Some(Arc::new(sink)))
    }

    /// Reports to nobody.
    pub fn none() -> Self {
        Self(None)
    }

    pub(crate) fn emit(&self, event: impl FnOnce() -> TransferEvent) {
        if let Some(sink) = &self.0 {
            sink.on_event(&event());
        }
    }

    pub(crate) fn advanced(&self, path: &str, done_bytes: u64, total_bytes: u64) {
        self.emit(|| TransferEvent::Advanced {
            path: path.to_owned(),
            done_bytes,
            total_bytes,
        });
    }

    pub(crate) fn file_done(&self, path: &str, total_bytes: u64, unchanged: bool) {
        self.emit(|| TransferEvent::FileDone {
            path: path.to_owned(),
            total_bytes,
            unchanged,
        });
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() {
            "Progress(set)"
        } else {
            "Progress(unset)"
        })
    }
}
