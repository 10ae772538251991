//! Time as a seam.

use std::fmt::Debug;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;

/// Tells the time and waits.
///
/// Everything in the Hugging Face crates that waits or stamps takes one of these, so that a test decides how time passes.
#[async_trait]
pub trait Clock: Debug + Send + Sync {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;

    /// Time since some fixed start; never goes backwards, whatever happens to the wall clock.
    fn elapsed(&self) -> Duration;

    /// Waits for `duration`.
    async fn sleep(&self, duration: Duration);
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// Starts a clock whose [`Clock::elapsed`] counts from now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the seam: the one place that reads the machine's time"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
