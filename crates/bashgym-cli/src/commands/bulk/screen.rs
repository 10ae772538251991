//! How far the asking is: a bar on a terminal, now and then a line of JSON.

use std::sync::atomic::{AtomicU64, Ordering};

use bashgym_core::bulk::Counts;
use indicatif::ProgressBar;
use serde_json::json;

use crate::bar::bar;
use crate::output::Output;

/// Lines of JSON for one run.
const LINES: u64 = 20;

/// Shows how far the asking is.
pub(crate) struct BulkScreen {
    output: Output,
    bar: ProgressBar,
    total: u64,
    told: AtomicU64,
}

impl BulkScreen {
    pub(crate) fn new(output: Output, total: u64) -> Self {
        let bar = bar(output, "{bar:30} {pos} of {len}  {msg}  {eta} left");
        bar.set_length(total);
        Self {
            output,
            bar,
            total,
            told: AtomicU64::new(0),
        }
    }

    pub(crate) fn show(&self, counts: Counts) {
        let settled = counts.settled();
        self.bar.set_position(settled);
        self.bar.set_message(summary(counts));
        let step = (settled * LINES).checked_div(self.total).unwrap_or(LINES);
        if self.output.is_json() && step > self.told.fetch_max(step, Ordering::AcqRel) {
            // That nobody reads any more shows when the result is told.
            let _ = self
                .output
                .json(&json!({"event": "progress", "done": settled, "total": self.total, "calls": counts}));
        }
    }

    pub(crate) fn say(&self, text: &str) {
        self.bar.suspend(|| self.output.note(text));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

fn summary(counts: Counts) -> String {
    let mut parts = vec![format!("${:.4}", counts.nano_usd as f64 / 1e9)];
    if counts.failed > 0 {
        parts.push(format!("{} failed", counts.failed));
    }
    parts.join(", ")
}
