//! Time as a seam, so that tests of time budgets do not wait.

use std::time::Instant;

/// Tells how long a run has taken.
pub trait Clock: Send + Sync {
    /// Gives the seconds since the clock was made.
    fn elapsed_seconds(&self) -> f64;
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// Starts at zero now.
    pub fn start() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl Clock for SystemClock {
    fn elapsed_seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
