//! A transfer as a person watches it.

use hf_core::Revision;
use hf_datasets::{DownloadOptions, Progress, TransferEvent};
use indicatif::ProgressBar;

use crate::bar::bar;
use crate::output::Output;

/// Draws a transfer on standard error, for a person only.
pub(crate) struct TransferScreen {
    bar: ProgressBar,
}

impl TransferScreen {
    pub(crate) fn new(output: Output) -> Self {
        let style = "{bar:30.cyan/dim} {bytes}/{total_bytes} {bytes_per_sec} {eta} left {msg}";
        Self {
            bar: bar(output, style),
        }
    }

    /// What a transfer reports to.
    pub(crate) fn progress(&self) -> Progress {
        let bar = self.bar.clone();
        let done = std::sync::Mutex::new(std::collections::HashMap::<String, u64>::new());
        Progress::new(move |event: &TransferEvent| match event {
            TransferEvent::Started { bytes, .. } => bar.set_length(*bytes),
            TransferEvent::Advanced { path, done_bytes, .. } => {
                let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                let before = done.insert(path.clone(), *done_bytes).unwrap_or_default();
                bar.inc(done_bytes.saturating_sub(before));
            }
            TransferEvent::FileDone { path, .. } => {
                done.lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner)
                    .remove(path);
            }
            TransferEvent::Retrying { why, .. } => bar.set_message(format!("(trying again: {why})")),
            TransferEvent::Committing => bar.set_message("committing"),
            _ => {}
        })
    }

    /// How to download a revision while this watches.
    pub(crate) fn download_options(&self, revision: Revision) -> DownloadOptions {
        DownloadOptions {
            revision,
            progress: self.progress(),
            ..DownloadOptions::default()
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
