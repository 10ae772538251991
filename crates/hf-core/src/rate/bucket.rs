//! The count of one class: pure, given the time.

use std::time::Duration;

use crate::retry::{RateLimit, RatePolicy};

/// Requests that may be on their way while the limit is not known: below the smallest documented quota.
const UNKNOWN_IN_FLIGHT: u64 = 64;
/// `t` is in whole seconds, and which way the Hub rounds is not known. The official client adds a second too.
const MARGIN: Duration = Duration::from_secs(1);
/// The documented window, where the Hub does not name it.
const USUAL_WINDOW: Duration = Duration::from_mins(5);
/// A window is not believed to be longer.
const LONGEST_WINDOW: Duration = Duration::from_hours(1);

/// The count of one class. Times are those of `Clock::elapsed`.
#[derive(Debug, Default)]
pub(super) struct Bucket {
    issued: u64,
    in_flight: u64,
    /// Requests that got no answer: whether, and in which window, the Hub counted them is not known.
    lost: u64,
    /// Our own limit; the Hub's words do not change it.
    is_fixed: bool,
    window: Option<Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    quota: Option<u64>,
    length: Duration,
    left: u64,
    ends: Duration,
}

/// What was on its way when a request got its turn.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    number: u64,
    in_flight_before: u64,
}

/// The answer to a request's wish to go out.
#[derive(Debug)]
pub(super) enum Turn {
    Go(Seen),
    Wait(Duration),
    WaitForAnswer,
}

impl Bucket {
    /// A limit of our own.
    pub(super) fn fixed(quota: u64, length: Duration, now: Duration) -> Self {
        Self {
            is_fixed: true,
            window: Some(Window {
                quota: Some(quota),
                length,
                left: quota,
                ends: now + length,
            }),
            ..Self::default()
        }
    }

    /// Begins a new window if the old one is over.
    fn roll(&mut self, now: Duration) {
        let Some(window) = self.window.as_mut().filter(|window| now >= window.ends) else {
            return;
        };
        let Some(quota) = window.quota else {
            self.window = None;
            return;
        };
        // What is on its way may be counted in the new window already.
        window.left = quota.saturating_sub(self.in_flight).saturating_sub(self.lost);
        self.lost = 0;
        let behind = now.saturating_sub(window.ends).as_nanos() / window.length.as_nanos().max(1);
        let windows = u32::try_from(behind).unwrap_or(u32::MAX - 1) + 1;
        window.ends = window
            .ends
            .saturating_add(window.length.saturating_mul(windows))
            .max(now);
    }

    /// Gives a request its turn, or says what to wait for.
    pub(super) fn take(&mut self, now: Duration) -> Turn {
        self.roll(now);
        match &mut self.window {
            None if self.in_flight >= UNKNOWN_IN_FLIGHT => return Turn::WaitForAnswer,
            None => {}
            Some(window) if window.left == 0 => {
                return Turn::Wait(window.ends.saturating_sub(now).max(Duration::from_millis(1)));
            }
            Some(window) => window.left -= 1,
        }
        let seen = Seen {
            number: self.issued,
            in_flight_before: self.in_flight,
        };
        self.issued += 1;
        self.in_flight += 1;
        Turn::Go(seen)
    }

    /// Takes note of an answer's headers.
    pub(super) fn observe(
        &mut self,
        seen: Seen,
        limit: &RateLimit,
        policy: Option<&RatePolicy>,
        now: Duration,
    ) {
        if self.is_fixed {
            return;
        }
        // Whatever overlapped with this request may not have been counted in its answer.
        let issued_since = self.issued - seen.number - 1;
        let left = limit
            .remaining
            .saturating_sub(seen.in_flight_before)
            .saturating_sub(issued_since);
        let ends = now + limit.reset_after.min(LONGEST_WINDOW) + MARGIN;
        let length = policy.map_or(USUAL_WINDOW, |policy| {
            policy.window.clamp(Duration::from_secs(1), LONGEST_WINDOW)
        });
        let quota = policy.map(|policy| policy.quota);
        let old = self.window.filter(|window| window.ends > now);
        let ends = match old {
            // The answer of a request that was counted in the window before.
            Some(old) if ends + length / 2 < old.ends => return,
            Some(old) if ends < old.ends + length / 2 => ends.min(old.ends),
            _ => ends,
        };
        self.window = Some(Window {
            quota: quota.or(old.and_then(|old| old.quota)),
            length,
            left,
            ends,
        });
    }

    /// A request is over.
    pub(super) fn done(&mut self, answered: bool) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if !answered && !self.is_fixed {
            self.lost += 1;
        }
    }

    /// What is left, of how many, and for how long.
    pub(super) fn look(&mut self, now: Duration) -> Option<(u64, Option<u64>, Duration)> {
        self.roll(now);
        let window = self.window?;
        Some((window.left, window.quota, window.ends.saturating_sub(now)))
    }
}
