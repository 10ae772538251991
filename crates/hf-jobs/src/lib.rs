//! A client of Hugging Face Jobs: submit, list, inspect, follow the logs, cancel, wait.
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
mod hardware;
mod info;
mod lenient;
mod logs;
mod runner;
mod spec;
mod stage;

pub use config::HfJobConfig;
pub use hardware::{Accelerator, JobHardware};
pub use info::{HfTokenInfo, JobDurations, JobInfo, JobOwner, JobStatus, ResourceGroupInfo};
pub use logs::{CollectedLogs, LogLimits, LogLine, LogOptions};
pub use runner::{HfJobRunner, JobFilter};
pub use spec::{Arch, Expose, JobImage, JobSpec, Network, Volume, VolumeKind};
pub use stage::JobStage;
