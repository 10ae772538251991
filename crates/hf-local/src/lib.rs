//! A Hugging Face Hub that runs on this machine and speaks the Hub's own wire.
//!
//! [`LocalHub::start`] opens two loopback ports over one data folder: the Hub origin, where the API and the small
//! files are, and the payload origin, where large files move. The official clients work against it unmodified: set
//! `HF_ENDPOINT` to [`LocalHub::endpoint`] and `HF_TOKEN` to a token of [`LocalHub::accounts`].
//!
//! ```no_run
//! # async fn run() -> Result<(), hf_local::LocalHubError> {
//! use hf_local::{LocalHub, LocalHubConfig};
//!
//! let hub = LocalHub::start(LocalHubConfig::new("hub-data")).await?;
//! let token = &hub.accounts()[0].token;
//! // ... point a client at hub.endpoint() with that token ...
//! # let _ = token;
//! hub.shutdown().await;
//! # Ok(())
//! # }
//! ```

mod accounts;
mod app;
mod buckets;
mod clock;
mod config;
mod error;
mod extract;
mod faults;
mod git;
mod guard;
mod inference;
mod jobs;
mod large;
mod listener;
mod reply;
mod repos;
mod router;
mod routes;
mod serve;
mod spaces;
mod state;
mod viewer;
mod wire;
#[cfg(feature = "xet")]
pub mod xet;

pub use accounts::{AccountConfig, AccountInfo, OrgConfig, OrgRole, Plan, RateLimits, Rates, TokenRole};
pub use app::{SpaceAddress, SpaceApp, SpaceAppError, SpaceFile};
pub use clock::HubClock;
pub use config::LocalHubConfig;
pub use error::LocalHubError;
pub use faults::{FaultKind, FaultRule, Faults};
pub use inference::{
    ChatEnd, ChatPiece, ChatTask, EmbedTask, FinishReason, InferenceEngine, InferenceFailure, InferenceTask,
    LoadedModel, ModelListing, ModelPlan, ScriptedFault, ScriptedModel, ScriptedPrice, ScriptedProvider,
    ScriptedProviders, StopWatch, TokenScore,
};
pub use jobs::ExecutorConfig;
pub use serve::LocalHub;
