//! From the decision to run a job to its end: intent, reservation, one submission, read-back, following, settlement.
//!
//! [`LaunchService::launch`] submits exactly once, [`LaunchService::follow`] follows to the end, [`LaunchService::resume_all`]
//! takes everything up again after a crash, [`FollowerService`] does so in the background. [`JobBoard`] lists. [`JobView::apply`] is the one place where what is observed becomes a state.

mod board;
mod desk;
mod event;
mod follow;
mod followers;
mod kept;
mod measure;
mod record;
mod scheduled;
mod search;
mod service;
mod start;
#[cfg(test)]
mod tests;
mod view;
mod watchdog;

pub use board::{BoardError, BoardPage, BoardPolicy, JobBoard, Stale};
pub use event::{LaunchError, LaunchEvent, LaunchSink, NoSink};
pub use followers::{FollowerPolicy, FollowerService, FollowerStatus};
pub use record::{LaunchPrice, LaunchRecord};
pub use scheduled::{BookedRun, PORTS_MICRO_USD_PER_MINUTE, SCHEDULE_LABEL, ScheduleBooks, ScheduleError};
pub use search::{Found, find_lines, holds};
pub use service::{LaunchContext, LaunchPolicy, LaunchRequest, LaunchService, read_train_line};
pub use start::{JobStarter, Work};
pub use view::{CancelCause, Checkpoint, JobState, JobView, Observation, StageSeen};
pub use watchdog::{WatchAction, WatchFinding, WatchPolicy, WatchRule};
