//! Asking a run to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Asks a run to stop at its next step boundary. Clones ask the same run.
#[derive(Debug, Clone, Default)]
pub struct StopFlag {
    asked: Arc<AtomicBool>,
}

impl StopFlag {
    /// Makes a flag that nobody has raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks the run to stop.
    pub fn stop(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Tells if the run was asked to stop.
    pub fn is_stopped(&self) -> bool {
        self.asked.load(Ordering::Relaxed)
    }
}
