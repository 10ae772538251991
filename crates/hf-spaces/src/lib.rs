//! A client of Hugging Face Spaces: create, list, follow, configure; and a model served by one, as a transaction.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use hf_core::{HfClient, HuggingFaceSettings, Namespace, SettingsInput};
//! use hf_spaces::{DeployOptions, DeployRequest, HfSpaceManager, SpaceConfig};
//!
//! let settings = HuggingFaceSettings::resolve(SettingsInput::from_process())?;
//! let client = HfClient::from_settings(&settings)?;
//! let spaces = HfSpaceManager::new(&client, Namespace::parse("ada")?);
//! let request = DeployRequest {
//!     model: "ada/tiny-student".parse()?,
//!     space: "ada/demo".parse()?,
//!     config: SpaceConfig::default(),
//! };
//! let deployed = spaces.create_inference_space(&request, &DeployOptions::default()).await?;
//! println!("{} serves {}", deployed.url, deployed.model_revision);
//! # Ok(()) }
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;

mod app;
mod config;
mod deploy;
mod feed;
mod hardware;
mod lenient;
mod logs;
mod manager;
mod measured;
mod program;
mod runtime;
mod ssh;
mod stage;
mod template;

pub use app::{AppPiece, AppQuestion};
pub use config::{AppLimits, ModelAccess, SleepTime, SpaceConfig, Visibility, check_key};
pub use deploy::{
    DeployCause, DeployError, DeployEvent, DeployOptions, DeployRequest, Deployment, Fitted, Inspect, Left,
    Observe, Smoke,
};
pub use feed::{SpaceFeed, SpaceFeedItem};
pub use hardware::{SpaceFlavor, SpaceHardware};
pub use logs::{SpaceLog, SpaceLogLine, SpaceLogOptions, telling_lines};
pub use manager::{DuplicateOptions, HfSpaceManager, SpaceSecret, SpaceVariable};
pub use measured::MeasuredRequests;
pub use program::{IMAGE_GLIBC, PROGRAM_FILE, Program, SpaceApp, SpaceProgram};
pub use runtime::{HardwareState, Sibling, SpaceDomain, SpaceInfo, SpaceRuntime};
pub use ssh::SshCredentials;
pub use stage::SpaceStage;
pub use template::{GRADIO_VERSION, PinnedModel, SPACE_FILE, SpaceFile, Student, TextFile, render};
