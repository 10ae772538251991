//! What is looked at before anything is made: the account, the slots, the model.

use hf_core::{
    Availability, Facts, Feature, HfError, Plan, RepoId, RepoType, Revision, SignIn, capabilities,
};
use serde::Deserialize;
use serde_json::Value;

use super::{DeployCause, DeployError};
use crate::config::{ModelAccess, SpaceConfig};
use crate::hardware::SpaceHardware;
use crate::lenient;
use crate::manager::HfSpaceManager;
use crate::program::SpaceApp;
use crate::runtime::Sibling;
use crate::template::{PinnedModel, Student};

/// Host slots of a plan on `ZeroGPU`.
///
/// # Source
/// Documentation of `ZeroGPU`, August 2026.
fn zero_gpu_slots(plan: &Plan) -> Option<usize> {
    match plan {
        Plan::Free => Some(2),
        Plan::Pro => Some(10),
        Plan::Team | Plan::Enterprise | Plan::EnterprisePlus => Some(50),
        _ => None,
    }
}

/// What is read of a model.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModelInfo {
    sha: String,
    #[serde(default, deserialize_with = "lenient::or_default")]
    private: bool,
    #[serde(default, deserialize_with = "lenient::or_default")]
    siblings: Vec<Sibling>,
    #[serde(default, deserialize_with = "lenient::or_default")]
    card_data: Value,
    #[serde(default, deserialize_with = "lenient::or_default")]
    config: Value,
}

pub(super) fn hub(action: &'static str) -> impl FnOnce(HfError) -> DeployCause {
    move |source| DeployCause::Hub { action, source }
}

impl HfSpaceManager {
    /// Checks whether the account may host a Space on this hardware in this namespace, and whether a slot is free.
    ///
    /// # Errors
    /// [`DeployCause::NotAvailable`], [`DeployCause::NoSlot`], or the Hub's failure.
    pub async fn check_hosting(&self, namespace: &str, hardware: &SpaceHardware) -> Result<(), DeployError> {
        self.hosting(namespace, hardware)
            .await
            .map_err(DeployError::before)
    }

    async fn hosting(&self, namespace: &str, hardware: &SpaceHardware) -> Result<(), DeployCause> {
        let me = self
            .client()
            .whoami()
            .await
            .map_err(hub("tell who is signed in"))?;
        let feature = if hardware.is_zero_gpu() {
            Feature::ZeroGpuSpaces
        } else if hardware.is_paid() {
            Feature::PaidSpaceHardware
        } else {
            Feature::CpuSpaces
        };
        let facts = Facts {
            sign_in: SignIn::SignedIn(me.clone()),
            namespace: Some(namespace.to_owned()),
            account_created: None,
            now: self.client().clock().now(),
        };
        let rows = capabilities(&facts, self.client().refusals());
        let row = rows.into_iter().find(|row| row.feature == feature);
        if let Some(Availability::Unavailable { why, unlock }) = row.map(|row| row.availability) {
            return Err(DeployCause::NotAvailable {
                feature: feature.title(),
                why,
                unlock,
            });
        }
        if !hardware.is_zero_gpu() {
            return Ok(());
        }
        let Some(limit) = zero_gpu_slots(&me.plan_in(namespace)) else {
            return Ok(());
        };
        let held = self.zero_gpu_spaces().await.map_err(hub("list the Spaces"))?;
        if held.len() < limit {
            return Ok(());
        }
        Err(DeployCause::NoSlot {
            namespace: namespace.to_owned(),
            held: held.len(),
            limit,
            oldest: held.first().map(|space| space.id.clone()),
        })
    }

    /// Pins a model and finds out what has to be loaded to serve it.
    pub(super) async fn student(
        &self,
        model: &RepoId,
        revision: Option<&Revision>,
        access: &ModelAccess,
        app: SpaceApp,
    ) -> Result<Student, DeployCause> {
        let info = self.model(model, revision).await.map_err(hub("show the model"))?;
        if info.private && matches!(access, ModelAccess::Public) {
            return Err(DeployCause::ModelIsPrivate(model.to_string()));
        }
        if app == SpaceApp::Bashgym {
            runnable(model, &info.siblings)?;
        }
        let shown = PinnedModel {
            repo_id: model.to_string(),
            revision: info.sha.clone(),
        };
        let is_adapter = info
            .siblings
            .iter()
            .any(|file| file.rfilename == "adapter_config.json");
        if !is_adapter {
            return Ok(Student {
                model: shown.clone(),
                adapter: None,
                shown,
            });
        }
        let base = base_model(&info).ok_or_else(|| DeployCause::NoBaseModel(model.to_string()))?;
        let pinned = self
            .model(&base, None)
            .await
            .map_err(hub("show the base model"))?;
        if pinned.private && matches!(access, ModelAccess::Public) {
            return Err(DeployCause::ModelIsPrivate(base.to_string()));
        }
        Ok(Student {
            model: PinnedModel {
                repo_id: base.to_string(),
                revision: pinned.sha,
            },
            adapter: Some(shown.clone()),
            shown,
        })
    }

    async fn model(&self, id: &RepoId, revision: Option<&Revision>) -> Result<ModelInfo, HfError> {
        let mut path = id.api_path(RepoType::Model);
        if let Some(revision) = revision {
            path.push_str("/revision/");
            path.push_str(&revision.encoded());
        }
        self.client().get_json(&path, &[]).await
    }
}

/// Refuses what the engine of `bashgym` does not load, as far as the names of a model's files tell.
fn runnable(model: &RepoId, files: &[Sibling]) -> Result<(), DeployCause> {
    let has = |name: &str| files.iter().any(|file| file.rfilename == name);
    let not = |why| {
        Err(DeployCause::NotRunnable {
            model: model.to_string(),
            why,
        })
    };
    if has("adapter_config.json") {
        return not("it is an adapter, and whole models are run only; merge it first");
    }
    let is_gguf = files
        .iter()
        .any(|file| file.rfilename.to_ascii_lowercase().ends_with(".gguf"));
    if is_gguf
        || ["config.json", "tokenizer.json", "model.safetensors"]
            .into_iter()
            .all(has)
    {
        return Ok(());
    }
    not("it has neither a GGUF file nor config.json, tokenizer.json and model.safetensors")
}

fn base_model(info: &ModelInfo) -> Option<RepoId> {
    let card = &info.card_data["base_model"];
    let named = card
        .as_str()
        .or_else(|| card.as_array()?.first()?.as_str())
        .or_else(|| info.config["peft"]["base_model_name_or_path"].as_str())?;
    named.parse().ok()
}

/// Refuses a configuration that can not be.
pub(super) fn validate(config: &SpaceConfig) -> Result<(), DeployCause> {
    config.validate().map_err(hub("take the configuration"))
}
