//! A client of Hugging Face Jobs: submit, list, inspect, follow the logs, cancel, wait; scripts run by `uv`; jobs that start by
//! the clock; metrics, labels, ports, hardware and what it costs.
//!
//! What is trained, and what a price means for a budget, is not known here.
//!
//! ```no_run
//! # async fn example() -> Result<(), hf_core::HfError> {
//! use futures::TryStreamExt;
//! use hf_core::{HfClient, HuggingFaceSettings, Namespace, SettingsInput};
//! use hf_jobs::{HfJobRunner, JobSpec, LogOptions};
//!
//! let settings = HuggingFaceSettings::resolve(SettingsInput::from_process())?;
//! let client = HfClient::from_settings(&settings)?;
//! let jobs = HfJobRunner::new(&client, Namespace::parse("ada")?);
//!
//! let job = jobs.run(&JobSpec::docker("python:3.12", ["python", "-c", "print('hi')"])).await?;
//! let mut lines = jobs.stream_logs(&job.id, LogOptions::default());
//! while let Some(line) = lines.try_next().await? {
//!     println!("{}", line.text);
//! }
//! jobs.wait(&job.id).await?.require_success()?;
//! # Ok(()) }
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;

mod config;
mod control;
mod follow;
mod hardware;
mod info;
mod lenient;
mod logs;
mod metrics;
mod naming;
mod price;
mod runner;
mod scheduled;
mod spec;
mod stage;
mod submit;
mod timeout;
mod uv;
mod volume;

pub use config::HfJobConfig;
pub use control::{AccessInfo, AccessName, JobAccess, WaitOptions};
pub use follow::{FileJournal, FollowError, KeepOptions, LogCursor, LogJournal, MetricsEnd, is_metrics_end};
pub use hardware::{Accelerator, JobHardware};
pub use info::{HfTokenInfo, JobDurations, JobInfo, JobOwner, JobStatus, ResourceGroupInfo};
pub use logs::{CollectedLogs, LogItem, LogLimits, LogLine, LogOptions};
pub use metrics::{GpuMetrics, JobMetrics};
pub use runner::{HfJobRunner, JobFilter};
pub use scheduled::{LastJob, Schedule, ScheduledJobInfo, ScheduledJobSpec, ScheduledJobStatus};
pub use spec::{Arch, Expose, JobImage, JobSpec, Network};
pub use stage::JobStage;
pub use submit::{
    Drift, JournalError, Kept, MemoryJournal, ReadBack, SubmissionJournal, SubmissionState, SubmitError,
    SubmitPolicy, Submitted, read_back, read_back_request,
};
pub use timeout::parse_timeout;
pub use uv::{DEFAULT_UV_IMAGE, UvScript};
pub use volume::{Volume, VolumeKind};
