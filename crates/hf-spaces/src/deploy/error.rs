//! Why a deployment did not come about, and what is left of it.

use hf_core::{HfError, HfErrorKind};

use crate::stage::SpaceStage;

/// What is left of a deployment that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Left {
    /// Nothing was made.
    Nothing,
    /// What was made is removed.
    Removed,
    /// The Space serves what it served before.
    AsBefore,
    /// The Space is there and is not to be used; removing it, or going back, failed for this reason.
    Unfinished(String),
}

/// Why a deployment failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeployCause {
    /// The account may not do this.
    #[error("{feature} is not available: {why}")]
    NotAvailable {
        /// What was asked for.
        feature: &'static str,
        /// Why not.
        why: String,
        /// How it becomes available.
        unlock: String,
    },
    /// All hosts of the plan are taken.
    #[error("{namespace} hosts {held} of at most {limit} ZeroGPU Spaces")]
    NoSlot {
        /// Whose.
        namespace: String,
        /// How many there are.
        held: usize,
        /// How many there may be.
        limit: usize,
        /// The one that was not changed for the longest time.
        oldest: Option<String>,
    },
    /// The name is taken.
    #[error("there is a Space {0} already")]
    NameTaken(String),
    /// The model is private and the Space would have no way to read it.
    #[error("the model {0} is private and the Space has no token to read it")]
    ModelIsPrivate(String),
    /// The student is an adapter whose base is not named.
    #[error("{0} is an adapter and does not name its base model")]
    NoBaseModel(String),
    /// `bashgym` does not run the model, and why.
    #[error("bashgym does not run {model}: {why}")]
    NotRunnable {
        /// The model.
        model: String,
        /// Why not.
        why: &'static str,
    },
    /// There is no program to put into the Space, or it would not start there.
    #[error("the Space would have no program: {0}")]
    NoProgram(String),
    /// The Space is not one of this template.
    #[error("the Space {0} was not made by this program: it has no space.json")]
    NotOurs(String),
    /// There is nothing to go back to.
    #[error("the Space {0} has served one model only; there is none to go back to")]
    NothingBefore(String),
    /// The log tells of too few requests to fit anything to.
    #[error("the log of {space} tells of {requests} requests; {needed} are needed to see what they take")]
    TooFewRequests {
        /// The Space.
        space: String,
        /// How many there are.
        requests: usize,
        /// How many are needed.
        needed: usize,
    },
    /// The Hub gave other hardware than asked for.
    #[error("the Space runs on {got}, not on {wanted}")]
    OtherHardware {
        /// What was asked for.
        wanted: String,
        /// What the Hub says.
        got: String,
    },
    /// It ended in a stage that does not serve.
    #[error("the Space ended as {stage}{}", message.as_deref().map(|text| format!(": {text}")).unwrap_or_default())]
    Ended {
        /// The stage.
        stage: SpaceStage,
        /// The Hub's words.
        message: Option<String>,
    },
    /// It was not ready in time.
    #[error("the Space is still {stage} after {seconds} s")]
    TimedOut {
        /// The stage.
        stage: SpaceStage,
        /// How long was waited.
        seconds: u64,
    },
    /// It runs and does not answer as it should.
    #[error("the app runs but its first answer failed: {0}")]
    Smoke(String),
    /// A call of the Hub failed.
    #[error("the Hub did not {action}")]
    Hub {
        /// What was asked.
        action: &'static str,
        /// Its error.
        #[source]
        source: HfError,
    },
    /// A file was not let through.
    #[error("{0}")]
    Refused(String),
}

/// A deployment that failed: why, what is left, and what the log says.
#[derive(Debug, thiserror::Error)]
#[error("{cause}")]
pub struct DeployError {
    /// Why.
    #[source]
    pub cause: Box<DeployCause>,
    /// What is left.
    pub left: Left,
    /// The telling lines of the log, where there is one.
    pub log: Vec<String>,
}

impl DeployError {
    pub(super) fn before(cause: DeployCause) -> Self {
        Self {
            cause: Box::new(cause),
            left: Left::Nothing,
            log: Vec::new(),
        }
    }

    /// What it means, for exit codes.
    pub fn kind(&self) -> HfErrorKind {
        match &*self.cause {
            DeployCause::NotAvailable { .. }
            | DeployCause::NoSlot { .. }
            | DeployCause::OtherHardware { .. } => HfErrorKind::QuotaExceeded,
            DeployCause::NameTaken(_) => HfErrorKind::Conflict,
            DeployCause::ModelIsPrivate(_)
            | DeployCause::NoBaseModel(_)
            | DeployCause::NotRunnable { .. }
            | DeployCause::NoProgram(_)
            | DeployCause::NotOurs(_)
            | DeployCause::NothingBefore(_)
            | DeployCause::TooFewRequests { .. } => HfErrorKind::InvalidArgument,
            DeployCause::Ended { .. } | DeployCause::Smoke(_) => HfErrorKind::JobFailed,
            DeployCause::TimedOut { .. } => HfErrorKind::Transport,
            DeployCause::Hub { source, .. } if needs_payment(source) => HfErrorKind::QuotaExceeded,
            DeployCause::Hub { source, .. } => source.kind(),
            DeployCause::Refused(_) => HfErrorKind::Forbidden,
        }
    }

    /// What to do next.
    pub fn next(&self) -> Vec<String> {
        let mut next = Vec::new();
        match &*self.cause {
            DeployCause::NotAvailable { unlock, .. } => next.push(unlock.clone()),
            DeployCause::NoSlot { oldest, .. } => {
                if let Some(oldest) = oldest {
                    next.push(format!(
                        "retire one: {oldest} was not changed for the longest time (`bashgym space rm {oldest}`)"
                    ));
                }
                next.push("or use other hardware, such as --hardware cpu-basic".to_owned());
            }
            DeployCause::NameTaken(id) => next.push(format!(
                "choose another --name, or give {id} the new model with `bashgym space update {id} MODEL`"
            )),
            DeployCause::ModelIsPrivate(_) => next.push(
                "give the Space a token that only reads this model: --secret HF_TOKEN=- reads it from standard input; \
                 https://huggingface.co/settings/tokens/new?tokenType=fineGrained makes one"
                    .to_owned(),
            ),
            DeployCause::TooFewRequests { space, .. } => {
                next.push(format!("ask the app something a few times (`bashgym space open {space}`), then again"));
            }
            DeployCause::NoBaseModel(_) => {
                next.push("name it in the adapter's README: `base_model: namespace/name`".to_owned());
            }
            DeployCause::NotRunnable { .. } => {
                next.push("serve it with Gradio: leave --app away".to_owned());
            }
            DeployCause::NoProgram(_) => {
                next.push("name one with --program FILE, or serve with Gradio: leave --app away".to_owned());
            }
            DeployCause::OtherHardware { .. } => {
                next.push("ask for other hardware, or check the plan: `bashgym status`".to_owned());
            }
            DeployCause::Ended { .. } | DeployCause::Smoke(_) => {
                next.push("the lines of the log above name what to change; then deploy again".to_owned());
            }
            DeployCause::TimedOut { .. } => {
                next.push("try again later, or with a smaller model; --timeout waits longer".to_owned());
            }
            DeployCause::Hub { source, .. } => {
                next.extend(source.hint());
                if needs_payment(source) {
                    next.push(
                        "this needs PRO (https://huggingface.co/pro) or credit (https://huggingface.co/settings/billing); \
                         --hardware names other hardware"
                            .to_owned(),
                    );
                }
            }
            DeployCause::NotOurs(_) | DeployCause::NothingBefore(_) | DeployCause::Refused(_) => {}
        }
        if let Left::Unfinished(why) = &self.left {
            next.push(format!(
                "something may be left ({why}); look with `bashgym space ls`"
            ));
        }
        next
    }
}

/// Whether the Hub answered 402, whatever its words.
fn needs_payment(error: &HfError) -> bool {
    error.status().is_some_and(|status| status.as_u16() == 402)
}
