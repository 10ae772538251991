//! The time of a local Hub: the machine's, or one that moves only when told.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

/// Tells a local Hub what time it is. Clones share one time.
#[derive(Clone, Debug)]
pub struct HubClock {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    mode: Mutex<Mode>,
    moved: Notify,
}

#[derive(Clone, Copy, Debug)]
enum Mode {
    Real { ahead: SignedDuration },
    Stepped { now: Timestamp },
}

impl Default for HubClock {
    fn default() -> Self {
        Self::real()
    }
}

impl HubClock {
    /// Follows the machine's clock.
    pub fn real() -> Self {
        Self::with(Mode::Real {
            ahead: SignedDuration::ZERO,
        })
    }

    /// Stands still at `now` until [`HubClock::advance`] moves it.
    pub fn stepped(now: Timestamp) -> Self {
        Self::with(Mode::Stepped { now })
    }

    fn with(mode: Mode) -> Self {
        Self {
            inner: Arc::new(Inner {
                mode: Mutex::new(mode),
                moved: Notify::new(),
            }),
        }
    }

    /// Returns the Hub's time.
    pub fn now(&self) -> Timestamp {
        match *self.mode() {
            Mode::Real { ahead } => machine_now().saturating_add(ahead).unwrap_or(Timestamp::MAX),
            Mode::Stepped { now } => now,
        }
    }

    /// Returns the Hub's time in milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.now().as_millisecond()
    }

    /// Moves the time forward; sleepers whose time has come wake up.
    pub fn advance(&self, by: Duration) {
        let by = SignedDuration::try_from(by).unwrap_or(SignedDuration::MAX);
        {
            let mut mode = self.mode();
            *mode = match *mode {
                Mode::Real { ahead } => Mode::Real {
                    ahead: ahead.saturating_add(by),
                },
                Mode::Stepped { now } => Mode::Stepped {
                    now: now.saturating_add(by).unwrap_or(Timestamp::MAX),
                },
            };
        }
        self.inner.moved.notify_waiters();
    }

    /// Stops the time at `now`, or lets it run again from the machine's clock.
    pub fn set_stepped(&self, now: Option<Timestamp>) {
        *self.mode() = match now {
            Some(now) => Mode::Stepped { now },
            None => Mode::Real {
                ahead: SignedDuration::ZERO,
            },
        };
        self.inner.moved.notify_waiters();
    }

    /// Waits until `duration` of the Hub's time has passed.
    pub async fn sleep(&self, duration: Duration) {
        let by = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
        let until = self.now().saturating_add(by).unwrap_or(Timestamp::MAX);
        loop {
            let moved = self.inner.moved.notified();
            tokio::pin!(moved);
            moved.as_mut().enable();
            let left = until.duration_since(self.now());
            if left <= SignedDuration::ZERO {
                return;
            }
            let real = matches!(*self.mode(), Mode::Real { .. });
            if real {
                let left = Duration::try_from(left).unwrap_or_default();
                let _ = tokio::time::timeout(left, moved).await;
            } else {
                moved.await;
            }
        }
    }

    fn mode(&self) -> std::sync::MutexGuard<'_, Mode> {
        self.inner.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[expect(clippy::disallowed_methods, reason = "this is the seam")]
fn machine_now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stepped_clock_wakes_its_sleepers_when_it_is_moved() {
        let clock = HubClock::stepped(Timestamp::UNIX_EPOCH);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep(Duration::from_mins(1)).await }
        });
        tokio::task::yield_now().await;
        assert!(!sleeper.is_finished());
        clock.advance(Duration::from_secs(61));
        sleeper.await.unwrap();
        assert_eq!(clock.now_ms(), 61_000);
    }
}
