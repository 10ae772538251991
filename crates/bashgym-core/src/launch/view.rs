//! How a job stands: one view, made by one pure reducer from everything that is observed.
//!
//! Stage, log, metrics, checkpoints and the pushed revision come from different places and at different times. Only
//! [`JobView::apply`] joins them, so no two screens can contradict each other.

use hf_jobs::{JobInfo, JobStage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What [`JobView::apply`] joins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "observation", rename_all = "snake_case")]
pub enum Observation {
    /// A request is about to be sent.
    Sending,
    /// The Hub refused, and it is certain that there is no job.
    Refused {
        /// What it said.
        reason: String,
    },
    /// The Hub has a job that is not what was asked for; it is canceled.
    Drifted {
        /// What differs, in words.
        reason: String,
    },
    /// The Hub told where the job is.
    Stage(StageSeen),
    /// The Hub could not be asked, or did not answer.
    NotSeen {
        /// Why.
        why: String,
    },
    /// Lines were kept; this many in all.
    Lines {
        /// The number of the last one.
        count: u64,
    },
    /// The job said how far it got.
    Progress {
        /// The step.
        step: u64,
    },
    /// The machine was measured.
    Measured {
        /// The busiest GPU, in percent; none without GPU.
        gpu_percent: Option<f64>,
    },
    /// A checkpoint is in the output repository.
    Checkpoint {
        /// Its step.
        step: u64,
        /// The commit it came with, where it is known.
        revision: Option<String>,
    },
    /// The model is in the output repository.
    Pushed {
        /// The commit it came with.
        revision: String,
    },
    /// A cancel was asked for.
    CancelAsked {
        /// Why.
        by: CancelCause,
    },
}

/// What the Hub said of a job at one look.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct StageSeen {
    /// The stage.
    pub stage: JobStage,
    /// What the Hub says about it.
    pub message: Option<String>,
    /// The Hub's word for a cancel of its own.
    pub cancel_reason: Option<String>,
    /// How long it ran, in seconds, where the Hub tells.
    pub running_secs: Option<f64>,
}

impl From<&JobInfo> for StageSeen {
    fn from(job: &JobInfo) -> Self {
        Self {
            stage: job.status.stage.clone(),
            message: job.status.message.clone(),
            cancel_reason: job.status.cancel_reason.clone(),
            running_secs: job
                .durations
                .as_ref()
                .and_then(|durations| durations.running_secs),
        }
    }
}

/// Why a job was canceled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
pub enum CancelCause {
    /// Somebody asked for it here.
    User,
    /// Its cost reached the budget's cap.
    BudgetCap,
    /// The watchdog's policy.
    Watchdog {
        /// What it saw.
        finding: String,
    },
    /// Not from here: the Hub, or somebody else there.
    Hub {
        /// The Hub's word, such as `NO_CREDITS`.
        reason: Option<String>,
    },
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum JobState {
    /// Nothing was sent.
    #[default]
    Planned,
    /// A request was sent; whether there is a job is not known.
    Submitting,
    /// It waits for hardware.
    Scheduling,
    /// It runs.
    Running,
    /// It can not be seen, or is in a stage this version does not know. It may well be running.
    Unknown {
        /// Why, or the stage's word.
        why: String,
    },
    /// The Hub calls it completed; whether its model is there is not seen yet.
    Unverified,
    /// It did what it was for; with the revision of its model, if it makes one.
    Succeeded {
        /// The revision of the output repository.
        revision: Option<String>,
    },
    /// It ended without success.
    Failed {
        /// What the Hub said.
        message: Option<String>,
    },
    /// It ran as long as it was allowed to.
    TimedOut {
        /// The last checkpoint in the output repository, from which another attempt goes on.
        checkpoint: Option<Checkpoint>,
    },
    /// It was canceled.
    Canceled {
        /// By whom, or why.
        by: CancelCause,
    },
    /// It was not what was asked for, and is canceled.
    Drifted {
        /// What differs, in words.
        reason: String,
    },
    /// There is no job: the Hub refused it.
    Refused {
        /// What it said.
        reason: String,
    },
}

impl JobState {
    /// Whether the state is never left.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Planned
            | Self::Submitting
            | Self::Scheduling
            | Self::Running
            | Self::Unknown { .. }
            | Self::Unverified => false,
            Self::Succeeded { .. }
            | Self::Failed { .. }
            | Self::TimedOut { .. }
            | Self::Canceled { .. }
            | Self::Drifted { .. }
            | Self::Refused { .. } => true,
        }
    }
}

/// A checkpoint in the output repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Its step.
    pub step: u64,
    /// The commit it came with, where it is known.
    pub revision: Option<String>,
}

/// All that is known of a job.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct JobView {
    /// Where it stands.
    pub state: JobState,
    /// Whether it is to leave a model, without which it has not succeeded.
    pub leaves_model: bool,
    /// The longest it may run, in seconds.
    pub timeout_secs: Option<u64>,
    /// Whether the Hub said that it is over; it is not asked again then.
    pub ended: bool,
    /// When it was first seen to run.
    pub running_since: Option<Timestamp>,
    /// How long it ran, in seconds, as the Hub told last.
    pub running_secs: Option<f64>,
    /// When the Hub was last heard of it.
    pub seen_at: Option<Timestamp>,
    /// When the job last moved: a stage, a line, a step.
    pub moved_at: Option<Timestamp>,
    /// How many lines of its log are kept.
    pub lines: u64,
    /// The last step it told of.
    pub step: Option<u64>,
    /// How busy its busiest GPU was at the last measurement, in percent.
    pub gpu_percent: Option<f64>,
    /// Since when its GPUs have been idle.
    pub idle_since: Option<Timestamp>,
    /// The last checkpoint.
    pub checkpoint: Option<Checkpoint>,
    /// The revision of its model.
    pub revision: Option<String>,
    /// The first cancel that was asked for.
    pub cancel_asked: Option<CancelCause>,
}

/// Below this a GPU does nothing that counts.
const IDLE_GPU_PERCENT: f64 = 1.0;

impl JobView {
    /// A job of which nothing is known.
    pub fn new(leaves_model: bool, timeout_secs: Option<u64>) -> Self {
        Self {
            leaves_model,
            timeout_secs,
            ..Self::default()
        }
    }

    /// Takes one observation in. Returns the final state at the one moment at which it is reached, and never again.
    pub fn apply(&mut self, at: Timestamp, observation: Observation) -> Option<JobState> {
        let was_final = self.state.is_final();
        match observation {
            Observation::Sending => self.go(JobState::Submitting),
            Observation::Refused { reason } => {
                // A job that is known of was not refused.
                if matches!(self.state, JobState::Planned | JobState::Submitting) {
                    self.go(JobState::Refused { reason });
                }
            }
            Observation::Drifted { reason } => self.go(JobState::Drifted { reason }),
            Observation::Stage(seen) => self.stage(at, seen),
            Observation::NotSeen { why } => {
                if !self.ended && self.state != JobState::Planned && self.state != JobState::Submitting {
                    self.go(JobState::Unknown { why });
                }
            }
            Observation::Lines { count } => {
                if count > self.lines {
                    self.lines = count;
                    self.moved_at = self.moved_at.max(Some(at));
                }
            }
            Observation::Progress { step } => {
                if self.step.is_none_or(|last| step > last) {
                    self.step = Some(step);
                    self.moved_at = self.moved_at.max(Some(at));
                }
            }
            Observation::Measured { gpu_percent } => {
                self.gpu_percent = gpu_percent;
                let idle = gpu_percent.is_some_and(|percent| percent < IDLE_GPU_PERCENT);
                self.idle_since = idle.then_some(self.idle_since.unwrap_or(at));
            }
            Observation::Checkpoint { step, revision } => self.take_checkpoint(Checkpoint { step, revision }),
            Observation::Pushed { revision } => {
                self.revision = Some(revision);
                if self.state == JobState::Unverified {
                    self.go(JobState::Succeeded {
                        revision: self.revision.clone(),
                    });
                }
            }
            Observation::CancelAsked { by } => {
                self.cancel_asked.get_or_insert(by);
            }
        }
        (!was_final && self.state.is_final()).then(|| self.state.clone())
    }

    fn go(&mut self, to: JobState) {
        if !self.state.is_final() {
            self.state = to;
        }
    }

    fn take_checkpoint(&mut self, found: Checkpoint) {
        if self
            .checkpoint
            .as_ref()
            .is_none_or(|last| found.step >= last.step)
        {
            self.checkpoint = Some(found.clone());
            if let JobState::TimedOut { checkpoint } = &mut self.state {
                // Its commit may be seen only after the end was.
                *checkpoint = Some(found);
            }
        }
    }

    fn stage(&mut self, at: Timestamp, seen: StageSeen) {
        self.seen_at = self.seen_at.max(Some(at));
        if seen.running_secs.is_some() {
            self.running_secs = seen.running_secs;
        }
        if self.ended {
            // An answer that was on its way when the end was told already.
            return;
        }
        self.ended = seen.stage.is_terminal();
        let next = match seen.stage {
            JobStage::Scheduling => JobState::Scheduling,
            JobStage::Running => {
                self.running_since.get_or_insert(at);
                JobState::Running
            }
            JobStage::Completed if self.leaves_model && self.revision.is_none() => JobState::Unverified,
            JobStage::Completed => JobState::Succeeded {
                revision: self.revision.clone(),
            },
            JobStage::Canceled => JobState::Canceled {
                by: match (&self.cancel_asked, seen.cancel_reason) {
                    (Some(asked), None) => asked.clone(),
                    (_, reason) => CancelCause::Hub { reason },
                },
            },
            JobStage::Error if self.is_timeout(seen.message.as_deref()) => JobState::TimedOut {
                checkpoint: self.checkpoint.clone(),
            },
            JobStage::Error => JobState::Failed {
                message: seen.message,
            },
            JobStage::Deleted => JobState::Failed {
                message: Some("the Hub removed the job".to_owned()),
            },
            JobStage::Unknown(word) => JobState::Unknown {
                why: format!("stage {word:?}"),
            },
        };
        if self.state != next {
            self.moved_at = self.moved_at.max(Some(at));
            self.go(next);
        }
    }

    /// # Source
    /// The Hub's documentation gives `Job timeout` as the message; that the stage is `ERROR` is inferred. Where the message
    /// is another one, a running time that reached the limit tells.
    fn is_timeout(&self, message: Option<&str>) -> bool {
        let told = message.is_some_and(|message| message.starts_with("Job timeout"));
        #[expect(clippy::cast_precision_loss, reason = "a time-out is far below 2^52 seconds")]
        let reached = message.is_none()
            && matches!((self.running_secs, self.timeout_secs), (Some(ran), Some(limit)) if ran >= limit as f64);
        told || reached
    }
}
