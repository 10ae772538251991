//! How a Space stands, put together from what the Hub tells in several places.

use hf_core::{HfError, RepoId, ZeroGpuQuota};
use hf_spaces::{HfSpaceManager, PinnedModel, SpaceApp, SpaceHardware, SpaceRuntime, SpaceStage};
use serde::Serialize;
use serde_json::Value;

/// How a Space stands and what it serves.
///
/// # Shape
/// `{"space_id","url","app_url","app","stage","hardware","hardware_requested","sleep_time_s","dev_mode","commit","error","simulated",
/// "model_repo","model_revision","previous","zero_gpu"}`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpaceView {
    /// `namespace/name`.
    pub space_id: String,
    /// Its page.
    pub url: String,
    /// Where the app is reached.
    pub app_url: Option<String>,
    /// What answers in it; none for a Space of another making.
    pub app: Option<SpaceApp>,
    /// Where it is in its life.
    pub stage: SpaceStage,
    /// What it runs on.
    pub hardware: Option<String>,
    /// What it is to run on.
    pub hardware_requested: Option<String>,
    /// Seconds without a visitor until it sleeps.
    pub sleep_time_s: Option<u64>,
    /// Whether Dev Mode is on.
    pub dev_mode: bool,
    /// The commit that runs.
    pub commit: Option<String>,
    /// Why it failed, in the Hub's words.
    pub error: Option<String>,
    /// What a Hub that only simulates it says of that.
    pub simulated: Option<String>,
    /// The model it serves; none for a Space of another making.
    pub model_repo: Option<String>,
    /// The model's commit.
    pub model_revision: Option<String>,
    /// What it served before.
    pub previous: Option<PinnedModel>,
    /// What is left of the `ZeroGPU` quota, for a Space on it.
    pub zero_gpu: Option<ZeroGpuQuota>,
}

/// What a Hub that simulates says of it.
pub fn simulated(runtime: &SpaceRuntime) -> Option<&str> {
    runtime.more.get("simulated").and_then(Value::as_str)
}

/// Looks at a Space.
///
/// # Errors
/// [`HfError::NotFound`] when it is not there.
pub async fn look(spaces: &HfSpaceManager, id: &RepoId) -> Result<SpaceView, HfError> {
    let info = spaces.get_space(id).await?;
    let runtime = spaces.get_space_status(id).await?;
    // A Space of another making is shown too.
    let serves = spaces.served_model(id).await.ok().flatten();
    let on_zero = runtime.hardware.requested.as_deref().is_some_and(|name| {
        name.parse::<SpaceHardware>()
            .is_ok_and(|hardware| hardware.is_zero_gpu())
    });
    let zero_gpu = if on_zero {
        spaces.zero_gpu_quota().await.ok()
    } else {
        None
    };
    let shown = serves.as_ref().map(|file| &file.shown);
    Ok(SpaceView {
        space_id: id.to_string(),
        url: spaces.page_url(id),
        app_url: info.app_url(),
        app: serves.as_ref().map(|file| file.app),
        simulated: simulated(&runtime).map(str::to_owned),
        hardware: runtime
            .hardware
            .current
            .clone()
            .or_else(|| runtime.hardware.requested.clone()),
        hardware_requested: runtime.hardware.requested,
        stage: runtime.stage,
        sleep_time_s: runtime.sleep_time_s,
        dev_mode: runtime.dev_mode,
        commit: runtime.sha,
        error: runtime.error_message,
        model_repo: shown.map(|model| model.repo_id.clone()),
        model_revision: shown.map(|model| model.revision.clone()),
        previous: serves.and_then(|file| file.previous),
        zero_gpu,
    })
}
