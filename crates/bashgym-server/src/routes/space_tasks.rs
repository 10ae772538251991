//! The long work on Spaces: making one, giving it another model. Each goes on after a crash.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::space::{SpaceBooks, deploy_options, model_access, sleep_time};
use bashgym_core::task::{TaskContext, TaskError, TaskHandler, TaskProgress};
use hf_core::{HfError, RepoId, Revision};
use hf_spaces::{
    AppLimits, DeployError, DeployEvent, DeployOptions, DeployRequest, Fitted, HfSpaceManager, ModelAccess,
    SleepTime, SpaceApp, SpaceConfig, SpaceHardware, SpaceStage, Visibility,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::dataset_tasks::same_hub;
use super::tasks::failed;
use crate::audit::{Did, note};
use crate::parts::ServerParts;
use crate::problem::{Code, Problem};
use crate::space_watch::SpaceWatch;

/// The kind of a deployment.
pub(crate) const DEPLOY: &str = "space_deploy";

/// Steps that a deployment goes through.
const STEPS: u64 = 5;

/// What a deployment is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct DeployInput {
    /// Which Hub it was asked for on.
    pub(crate) hub: String,
    /// The Space.
    pub(crate) space: RepoId,
    pub(crate) timeout_seconds: u64,
    /// The first question; none asks nothing.
    pub(crate) question: Option<String>,
    pub(crate) what: Change,
}

/// What is to become of the Space.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(crate) enum Change {
    /// It is made.
    Create(Box<NewSpace>),
    /// It serves another model.
    Update {
        model: RepoId,
        revision: Option<Revision>,
    },
    /// It goes back to the model before.
    Rollback,
    /// It serves what another Space serves.
    Promote { from: RepoId },
    /// Its limits fit what its requests took.
    Fit,
}

/// A Space to make, without the values of its secrets.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NewSpace {
    pub(crate) model: RepoId,
    pub(crate) revision: Option<Revision>,
    #[serde(default)]
    pub(crate) app: SpaceApp,
    pub(crate) hardware: SpaceHardware,
    pub(crate) visibility: String,
    pub(crate) dev_mode: bool,
    /// Seconds; 0 is never.
    pub(crate) sleep_seconds: Option<u64>,
    pub(crate) secrets: Vec<String>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) title: Option<String>,
    /// Whether it may be billed at whatever price.
    #[serde(default)]
    pub(crate) accept_cost: bool,
    pub(crate) trust_remote_code: bool,
    pub(crate) max_new_tokens: u32,
}

/// The visibility of a word.
pub(crate) fn visibility(word: &str) -> Option<Visibility> {
    [Visibility::Public, Visibility::Private, Visibility::Protected]
        .into_iter()
        .find(|one| one.as_str() == word)
}

/// When a Space sleeps; 0 is never.
pub(crate) fn sleep_of(seconds: u64) -> SleepTime {
    match seconds {
        0 => SleepTime::Never,
        seconds => SleepTime::After(Duration::from_secs(seconds)),
    }
}

/// Makes Spaces and changes what they serve.
pub(crate) struct Deploy {
    pub(crate) parts: ServerParts,
    pub(crate) watch: Arc<SpaceWatch>,
}

#[async_trait]
impl TaskHandler for Deploy {
    async fn run(&self, task: &TaskContext) -> Result<Value, TaskError> {
        let input: DeployInput = task.input()?;
        let done = self.deploy(task, &input).await;
        self.watch.drop_secrets(&input.space);
        done.map_err(|problem| failed(&problem))
    }
}

impl Deploy {
    async fn deploy(&self, task: &TaskContext, input: &DeployInput) -> Result<Value, Problem> {
        let hub = self.parts.composition.connect().await?;
        same_hub(&hub, &input.hub)?;
        let spaces = HfSpaceManager::new(&hub.client, hub.namespace.clone());
        let inspector = self.parts.composition.inspector()?;
        let timeout = Duration::from_secs(input.timeout_seconds);
        let mut options = deploy_options(&hub.client, inspector, timeout, input.question.clone());
        let (told, mut news) = mpsc::unbounded_channel();
        options.observe = Some(Arc::new(move |event| {
            // Nobody listens once the work is over.
            let _ = told.send(event);
        }));
        let telling = async {
            while let Some(event) = news.recv().await {
                self.tell(task, &input.space, event).await;
            }
        };
        let is_new = self.is_absent(&spaces, input).await?;
        let working = async move {
            let options = options;
            self.change(task, &spaces, input, is_new, &options).await
        };
        let both = async { tokio::join!(working, telling).0 };
        let done = tokio::select! {
            done = both => done,
            () = task.canceled().cancelled() => Err(Problem::new(Code::Conflict, "it was canceled")),
        };
        match &done {
            Ok(told) => {
                let model = told["model_repo"].as_str().unwrap_or("other limits");
                let of = format!("{} with {model}", input.space);
                note(&*self.parts.events, Did::Sent, "space_deployed", of).await;
                self.watch.watch(&input.space);
            }
            Err(_) => match &input.what {
                // What was half made goes; what was there before is not ours to remove.
                Change::Create(new) if task.canceled().is_cancelled() && is_new => {
                    let spaces = HfSpaceManager::new(&hub.client, hub.namespace.clone());
                    SpaceBooks::new(&self.parts.ledger, &spaces)
                        .give_up(&input.space, &new.hardware, task.age())
                        .await?;
                    let log = self.parts.events.as_ref();
                    self.watch.deleted(log, &input.space).await;
                }
                _ => self.watch.watch(&input.space),
            },
        }
        done
    }

    /// Whether the Space is to be made and is not there yet.
    async fn is_absent(&self, spaces: &HfSpaceManager, input: &DeployInput) -> Result<bool, Problem> {
        if !matches!(input.what, Change::Create(_)) {
            return Ok(false);
        }
        match spaces.get_space(&input.space).await {
            Ok(_) => Ok(false),
            Err(HfError::NotFound { .. }) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }

    async fn change(
        &self,
        task: &TaskContext,
        spaces: &HfSpaceManager,
        input: &DeployInput,
        is_new: bool,
        options: &DeployOptions,
    ) -> Result<Value, Problem> {
        let id = &input.space;
        let done = match &input.what {
            Change::Create(new) if is_new => {
                let config = self.config(spaces, id, new).await?;
                let request = DeployRequest {
                    model: new.model.clone(),
                    space: id.clone(),
                    config,
                };
                // The task's id: after a crash the same money stands, once.
                let name = task.id().to_string();
                let made = SpaceBooks::new(&self.parts.ledger, spaces)
                    .create(&name, &request, new.accept_cost, options, |_| {})
                    .await;
                return Ok(json!(made?));
            }
            Change::Create(new) => {
                // An attempt before this one made it; whoever else did keeps it.
                let serves = spaces.served_model(id).await?;
                if serves.is_none_or(|file| file.shown.repo_id != new.model.as_str()) {
                    return Err(Problem::new(
                        Code::Conflict,
                        format!("there is a Space {id} already"),
                    ));
                }
                spaces
                    .update_space_model(id, &new.model, new.revision.as_ref(), options)
                    .await
            }
            Change::Update { model, revision } => {
                spaces
                    .update_space_model(id, model, revision.as_ref(), options)
                    .await
            }
            Change::Rollback => spaces.rollback_space(id, options).await,
            Change::Promote { from } => spaces.promote_space(from, id, options).await,
            Change::Fit => return Ok(fitted(id, &spaces.fit_space(id, options).await?)),
        };
        Ok(json!(done?))
    }

    async fn config(
        &self,
        spaces: &HfSpaceManager,
        id: &RepoId,
        new: &NewSpace,
    ) -> Result<SpaceConfig, Problem> {
        let mut secrets = self.watch.secrets(id).unwrap_or_default();
        if new.secrets.iter().any(|name| !secrets.contains_key(name)) {
            let why = "the values of its secrets were only in the memory of the server that was asked";
            return Err(Problem::new(Code::Conflict, why).hint("ask for the Space again, with its secrets"));
        }
        let model_access: ModelAccess = model_access(spaces.client(), secrets.remove("HF_TOKEN")).await?;
        Ok(SpaceConfig {
            app: new.app,
            sleep_time: sleep_time(&new.hardware, new.sleep_seconds.map(sleep_of)),
            hardware: new.hardware.clone(),
            visibility: visibility(&new.visibility).unwrap_or_default(),
            dev_mode: new.dev_mode,
            model_revision: new.revision.clone(),
            model_access,
            secrets,
            variables: new.variables.clone(),
            title: new.title.clone(),
            trust_remote_code: new.trust_remote_code,
            limits: AppLimits {
                max_new_tokens: new.max_new_tokens,
                ..AppLimits::default()
            },
        })
    }

    /// Tells the task and the log how far it is.
    async fn tell(&self, task: &TaskContext, id: &RepoId, event: DeployEvent) {
        let (done, message) = match &event {
            DeployEvent::Planned { model } => (1, format!("{} at {}", model.repo_id, model.revision)),
            DeployEvent::Remark(words) => (1, words.clone()),
            DeployEvent::Uploading => (1, "sending the program".to_owned()),
            DeployEvent::Committed { .. } => {
                self.watch.changed(id);
                (2, "it is committed; the app is built".to_owned())
            }
            DeployEvent::Stage(stage) => {
                let log = self.parts.events.as_ref();
                self.watch.see_stage(log, id, stage).await;
                (
                    if *stage == SpaceStage::Running { 4 } else { 3 },
                    stage.to_string(),
                )
            }
            DeployEvent::Asking => (4, "asking it a first question".to_owned()),
            DeployEvent::Undoing => (2, "it failed; undoing".to_owned()),
            _ => return,
        };
        let progress = TaskProgress {
            done,
            total: Some(STEPS),
            unit: "steps".to_owned(),
            message: Some(message),
        };
        task.progress(progress).await;
    }
}

/// What came of fitting the limits of an app.
fn fitted(id: &RepoId, fitted: &Fitted) -> Value {
    let (measured, before, limits) = fitted.parts();
    json!({"space_id": id, "changed": before != limits, "measured": measured, "before": before, "limits": limits})
}

impl From<DeployError> for Problem {
    fn from(error: DeployError) -> Self {
        use hf_spaces::Left;
        let left = match &error.left {
            Left::Nothing => "nothing was made",
            Left::Removed => "what was made is removed again",
            Left::AsBefore => "the files from before are back",
            _ => "something may be left of it",
        };
        let mut detail = format!("{error}; {left}");
        if let Some(cause) = std::error::Error::source(&*error.cause) {
            detail = format!("{detail}; {cause}");
        }
        for line in &error.log {
            detail = format!("{detail}\nlog: {line}");
        }
        let problem = Self::new(crate::problem::hf_code(error.kind()), detail);
        error.next().into_iter().fold(problem, Self::hint)
    }
}
