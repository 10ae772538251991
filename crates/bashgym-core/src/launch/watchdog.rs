//! What a job does that it should not: wait for ever, let its GPUs idle, get nowhere.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::view::{JobState, JobView};

/// What is done about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchAction {
    /// Nothing.
    Ignore,
    /// It is told.
    Warn,
    /// It is told, and the job is canceled.
    Cancel,
}

/// How long something may last, and what is done then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchRule {
    /// How long.
    pub after: Duration,
    /// What is done.
    pub action: WatchAction,
}

/// The watchdog's policy. Nothing is canceled unless it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WatchPolicy {
    /// Waiting for hardware.
    pub scheduling: WatchRule,
    /// No GPU does anything.
    pub idle_gpu: WatchRule,
    /// No line and no step.
    pub no_progress: WatchRule,
}

impl Default for WatchPolicy {
    fn default() -> Self {
        let warn = |minutes| WatchRule {
            after: Duration::from_mins(minutes),
            action: WatchAction::Warn,
        };
        Self {
            scheduling: warn(30),
            idle_gpu: warn(15),
            no_progress: warn(30),
        }
    }
}

/// What the watchdog saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WatchFinding {
    /// It waits for hardware for too long.
    StuckInScheduling,
    /// It pays for GPUs that do nothing.
    IdleGpu,
    /// It writes no line and makes no step.
    NoProgress,
}

impl WatchFinding {
    /// The finding's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StuckInScheduling => "stuck_in_scheduling",
            Self::IdleGpu => "idle_gpu",
            Self::NoProgress => "no_progress",
        }
    }
}

impl WatchPolicy {
    /// What of the policy a job breaks at `now`. What can not be seen is not judged.
    pub fn findings(&self, view: &JobView, now: Timestamp) -> Vec<(WatchFinding, WatchAction)> {
        let since = match view.state {
            JobState::Scheduling => [
                (WatchFinding::StuckInScheduling, self.scheduling, view.moved_at),
                (WatchFinding::IdleGpu, self.idle_gpu, None),
                (WatchFinding::NoProgress, self.no_progress, None),
            ],
            JobState::Running => [
                (WatchFinding::StuckInScheduling, self.scheduling, None),
                (WatchFinding::IdleGpu, self.idle_gpu, view.idle_since),
                (WatchFinding::NoProgress, self.no_progress, view.moved_at),
            ],
            _ => return Vec::new(),
        };
        since
            .into_iter()
            .filter(|(_, rule, since)| {
                let limit = SignedDuration::try_from(rule.after).unwrap_or(SignedDuration::MAX);
                rule.action != WatchAction::Ignore
                    && since.is_some_and(|since| now.duration_since(since) >= limit)
            })
            .map(|(finding, rule, _)| (finding, rule.action))
            .collect()
    }
}
