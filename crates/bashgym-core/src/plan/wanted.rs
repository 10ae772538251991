//! What a plan is asked for.

use std::path::PathBuf;

use hf_core::{Namespace, Revision, Token};

use crate::run::Target;
use crate::trainer::{Launch, TrainerConfig};

/// What is to be planned.
pub struct PlanRequest {
    /// Who owns and pays for the job.
    pub namespace: Namespace,
    /// How the Hub is remembered with runs.
    pub target: Target,
    /// The dataset, `namespace/name`.
    pub dataset_repo: String,
    /// Its revision; the newest commit where absent.
    pub dataset_revision: Option<Revision>,
    /// The output repository, `namespace/name`.
    pub model_repo: String,
    /// How to train; its time-out is replaced.
    pub training: TrainerConfig,
    /// Seconds after which the job is ended; derived from what earlier runs measured where absent.
    pub timeout_seconds: Option<u64>,
    /// The flavor; the cheapest that fits where absent.
    pub flavor: Option<String>,
    /// How the job gets its script.
    pub launch: Launch,
    /// The token that the job gets; none is the client's own.
    pub job_token: Option<Token>,
    /// A folder for what must be looked at here.
    pub work_dir: PathBuf,
}
