//! A model served by a Space, as a transaction: either it answers in the end, or nothing half-made stays.

mod create;
mod error;
mod fit;
mod follow;
mod plan;
mod smoke;
mod update;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use hf_core::RepoId;
use serde::Serialize;

pub use self::error::{DeployCause, DeployError, Left};
pub use self::fit::Fitted;
pub use self::smoke::Smoke;
pub(crate) use self::smoke::{KEY_LIFE, first_text, with_key};
use crate::config::SpaceConfig;
use crate::program::Program;
use crate::stage::SpaceStage;
use crate::template::PinnedModel;

/// What goes on in a deployment, for whoever watches.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeployEvent {
    /// The account and the model were looked at.
    Planned {
        /// The model that will be served.
        model: PinnedModel,
    },
    /// Something to know of what is sent.
    Remark(String),
    /// Its program is sent.
    Uploading,
    /// The Space is made, or its commit.
    Committed {
        /// The Space.
        space_id: String,
    },
    /// It went on to another stage.
    Stage(SpaceStage),
    /// The app is asked for a first answer.
    Asking,
    /// Something failed and is undone.
    Undoing,
}

/// Looks at each file before it is sent; an error is the reason not to.
pub type Inspect = Arc<dyn Fn(&str, &[u8]) -> Result<(), String> + Send + Sync>;
/// Is told what goes on.
pub type Observe = Arc<dyn Fn(DeployEvent) + Send + Sync>;

/// How long a deployment may take, and who looks on.
#[derive(Clone)]
pub struct DeployOptions {
    /// The longest time until the app has to run.
    pub timeout: Duration,
    /// The pause between two looks at the stage.
    pub poll: Duration,
    /// The first question to the app; none asks nothing.
    pub smoke_prompt: Option<String>,
    /// Looks at each file before it is sent.
    pub inspect: Option<Inspect>,
    /// The `bashgym` that answers in a Space of [`SpaceApp::Bashgym`](crate::SpaceApp::Bashgym).
    pub program: Option<Program>,
    /// Is told what goes on.
    pub observe: Option<Observe>,
}

impl Default for DeployOptions {
    fn default() -> Self {
        Self {
            timeout: Duration::from_mins(30),
            poll: Duration::from_secs(5),
            smoke_prompt: Some("Say hello.".to_owned()),
            inspect: None,
            program: None,
            observe: None,
        }
    }
}

impl fmt::Debug for DeployOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeployOptions")
            .field("timeout", &self.timeout)
            .field("poll", &self.poll)
            .field("smoke_prompt", &self.smoke_prompt)
            .finish_non_exhaustive()
    }
}

impl DeployOptions {
    fn tell(&self, event: DeployEvent) {
        if let Some(observe) = &self.observe {
            observe(event);
        }
    }

    fn inspect(&self, path: &str, bytes: &[u8]) -> Result<(), DeployCause> {
        match &self.inspect {
            Some(inspect) => {
                inspect(path, bytes).map_err(|why| DeployCause::Refused(format!("{path}: {why}")))
            }
            None => Ok(()),
        }
    }
}

/// A Space that serves a model.
///
/// # Shape
/// `{"space_id","url","app_url","stage","hardware","model_repo","model_revision","commit","smoke"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Deployment {
    /// `namespace/name`.
    pub space_id: RepoId,
    /// Its page.
    pub url: String,
    /// Where the app is reached, where the Hub tells.
    pub app_url: Option<String>,
    /// Where it is, as read last.
    pub stage: SpaceStage,
    /// What it runs on, as read back.
    pub hardware: Option<String>,
    /// The model it serves.
    pub model_repo: String,
    /// The model's commit.
    pub model_revision: String,
    /// The commit of the Space.
    pub commit: Option<String>,
    /// What the first question brought.
    pub smoke: Smoke,
}

/// What is to be served, and where.
#[derive(Debug, Clone)]
pub struct DeployRequest {
    /// The model repository.
    pub model: RepoId,
    /// The Space to make.
    pub space: RepoId,
    /// How.
    pub config: SpaceConfig,
}
