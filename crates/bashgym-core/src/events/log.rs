//! The log of events: one sequence for everything, kept for a while.

use std::convert::Infallible;
use std::time::Duration;

use async_trait::async_trait;
use hf_core::Clock;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Topics;
use crate::store::StoreError;

/// An event that is to be appended; the log gives it number and time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewEvent {
    /// What happened, such as `hf:job:started`. Readers let words pass that they do not know.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about, such as `job:66aa`; what readers subscribe to.
    pub topic: String,
    /// What there is to tell.
    pub data: Value,
}

impl NewEvent {
    /// Makes an event.
    pub fn new(kind: impl Into<String>, topic: impl Into<String>, data: Value) -> Self {
        Self {
            kind: kind.into(),
            topic: topic.into(),
            data,
        }
    }
}

/// An event of the log.
///
/// # Shape
/// `{"seq":7,"time":"2026-11-22T12:00:00Z","type":"hf:job:started","topic":"job:66aa","data":{..}}`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its number. Grows with every event; a reader that has seen one never finds a lower one appear later.
    pub seq: u64,
    /// When it was logged.
    pub time: Timestamp,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: String,
    /// What it is about.
    pub topic: String,
    /// What there is to tell.
    pub data: Value,
}

impl Event {
    /// Whether it only says that something goes on: lines, measurements, how far a task is.
    pub fn is_progress(&self) -> bool {
        let word = self.kind.rsplit(':').next().unwrap_or_default();
        matches!(word, "log" | "metrics" | "progress") || self.data["status"] == "progress"
    }
}

/// The first and the last number in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogBounds {
    /// The number of the oldest event that is kept; 0 in an empty log.
    pub oldest: u64,
    /// The number of the newest event; 0 in an empty log.
    pub newest: u64,
}

impl LogBounds {
    /// Whether everything after `after` is there. It is not where events were dropped since, and not where the log ends
    /// before `after`: then it is another log, such as one from a backup.
    pub fn reaches(&self, after: u64) -> bool {
        after <= self.newest && after.saturating_add(1) >= self.oldest
    }
}

/// What is kept of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// The most events that are kept.
    pub most: u64,
    /// This many are kept however old they are, so that a clock that jumps ahead leaves those who reconnect their gap.
    pub least: u64,
    /// Events older than this may go.
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            most: 200_000,
            least: 10_000,
            age: Duration::from_hours(7 * 24),
        }
    }
}

impl Retention {
    /// Events logged before this moment may go.
    pub fn horizon(&self, now: Timestamp) -> Timestamp {
        let age = SignedDuration::try_from(self.age).unwrap_or(SignedDuration::MAX);
        now.saturating_sub(age).unwrap_or(Timestamp::MIN)
    }

    /// The highest number that goes although it is young, and the highest that may go when it is old enough. The newest
    /// event always stays: its number is where the next one continues.
    pub fn limits(&self, newest: u64) -> (u64, u64) {
        (
            newest.saturating_sub(self.most.max(1)),
            newest.saturating_sub(self.least.max(1)),
        )
    }
}

/// The log of everything that happened. Several processes append to it and read it at once.
#[async_trait]
pub trait EventLog: Send + Sync {
    /// Appends events, all or none, and returns their numbers: in order, without a gap among them.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn append(&self, events: &[NewEvent]) -> Result<Vec<u64>, StoreError>;

    /// Lists the events of `topics` after number `after`, oldest first. Lines of a job's log are not in it but referred
    /// to; [`super::EventReader`] fills them in.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list(&self, after: u64, topics: &Topics, limit: u32) -> Result<Vec<Event>, StoreError>;

    /// Lists the events of `topics` before number `before`, newest first; as [`EventLog::list`] otherwise.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_back(&self, before: u64, topics: &Topics, limit: u32) -> Result<Vec<Event>, StoreError>;

    /// The first and the last number that are there.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn bounds(&self) -> Result<LogBounds, StoreError>;

    /// Drops what need not be kept, and returns how many events that were.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn prune(&self, keep: &Retention) -> Result<u64, StoreError>;

    /// Begins to watch for what is appended, by whatever process. Costs nothing once the watch is dropped.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn watch(&self) -> Result<Box<dyn EventWatch>, StoreError>;
}

/// Watches the log.
#[async_trait]
pub trait EventWatch: Send + Sync {
    /// Returns once there is an event after number `after`; may return early. Dropping the future is safe.
    ///
    /// # Errors
    /// [`StoreError::Backend`]; the watch may then be broken for good, and a new one is to be made.
    async fn wait_after(&mut self, after: u64) -> Result<(), StoreError>;
}

/// How often old events are dropped.
const TIDY: Duration = Duration::from_hours(1);

/// Drops old events, now and from time to time, until the future is dropped. Any number of processes may do so at once.
pub async fn keep_tidy(log: &dyn EventLog, keep: &Retention, clock: &dyn Clock) -> Infallible {
    loop {
        // A store that does not answer is asked again the next time.
        let _ = log.prune(keep).await;
        clock.sleep(TIDY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gap_is_there_unless_it_was_dropped_or_never_was() {
        let bounds = LogBounds {
            oldest: 10,
            newest: 20,
        };
        assert!(bounds.reaches(9) && bounds.reaches(20));
        assert!(!bounds.reaches(8), "event 9 was dropped");
        assert!(!bounds.reaches(21), "a number of another log");
        assert!(LogBounds::default().reaches(0));
        assert!(!LogBounds::default().reaches(1));
    }

    #[test]
    fn what_only_goes_on_is_progress() {
        let event = |kind: &str, data: Value| Event {
            seq: 1,
            time: Timestamp::UNIX_EPOCH,
            kind: kind.to_owned(),
            topic: String::new(),
            data,
        };
        for (kind, data, expected) in [
            ("hf:job:log", Value::Null, true),
            ("task:progress", Value::Null, true),
            ("run:stage", serde_json::json!({ "status": "progress" }), true),
            ("run:stage", serde_json::json!({ "status": "done" }), false),
            ("hf:job:started", Value::Null, false),
        ] {
            assert_eq!(event(kind, data).is_progress(), expected, "{kind}");
        }
    }

    #[test]
    fn newest_event_outlives_any_retention() {
        let none = Retention {
            most: 0,
            least: 0,
            age: Duration::ZERO,
        };
        assert_eq!(none.limits(5), (4, 4));
        assert_eq!(Retention::default().limits(5), (0, 0));
    }
}
