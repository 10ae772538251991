//! Training a student from a dataset that is on the Hub: the plan, and the start from it.

use axum::extract::State;
use bashgym_core::plan::{PlanRequest, TrainPlan, make_plan};
use bashgym_core::run::{DatasetSource, RunSpec};
use bashgym_core::trainer::{Method, Preset, Recipe, TrainerConfig, TrlOptions};
use hf_core::Revision;
use http::StatusCode;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::runs::{RunStarted, begin, launch};
use crate::extract::Json;
use crate::parts::HubConnection;
use crate::problem::{Code, Failures, HubFailures, Missing, Problem, Refusals};
use crate::state::AppState;

/// A training of a dataset on the Hub.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TrainRequest {
    /// The dataset repository, with or without its namespace.
    dataset: String,
    /// Its revision; the newest commit without it.
    revision: Option<String>,
    /// The model repository; `bashgym-student` without it.
    output: Option<String>,
    /// The base model; without it the embedded engine trains a student from nothing.
    base_model: Option<String>,
    /// `sft`, `dpo`, `grpo` or `distillation`; `sft` without it.
    recipe: Option<String>,
    /// `lora`, `qlora` or `full`.
    #[schema(value_type = Option<String>, example = "lora")]
    method: Option<Method>,
    /// Passes over the data.
    #[schema(exclusive_minimum = 0, maximum = 1000)]
    epochs: Option<f64>,
    /// The size of an embedded student: `tiny`, `small` or `base`.
    #[schema(value_type = Option<String>, example = "small")]
    preset: Option<Preset>,
    /// Decides the order of the data and the first weights.
    seed: Option<u64>,
    /// Optimiser steps at most.
    #[schema(minimum = 1)]
    max_steps: Option<u64>,
    /// The hardware; the cheapest that fits without it.
    flavor: Option<String>,
    /// After how long the job is ended, in seconds.
    #[schema(minimum = 1, maximum = 2_592_000)]
    timeout_seconds: Option<u64>,
    /// Begin anew, even if an unfinished run of the same training is there.
    #[serde(default)]
    new: bool,
}

impl TrainRequest {
    fn config(&self) -> Result<TrainerConfig, Problem> {
        let invalid = |why: &'static str| Problem::new(Code::Invalid, why);
        let recipe: Recipe = match &self.recipe {
            Some(word) => word
                .parse()
                .map_err(|_| invalid("recipe is sft, dpo, grpo or distillation"))?,
            None => Recipe::Sft,
        };
        if self.max_steps == Some(0) {
            return Err(invalid("max_steps is at least 1"));
        }
        if self
            .timeout_seconds
            .is_some_and(|seconds| !(1..=2_592_000).contains(&seconds))
        {
            return Err(invalid("timeout_seconds is 1 to 2592000, which is 30 days"));
        }
        let epochs = self.epochs.unwrap_or(3.0);
        if !(epochs > 0.0 && epochs <= 1000.0) {
            return Err(invalid("epochs is above 0 and at most 1000"));
        }
        let trl = match &self.base_model {
            Some(base) => Some(TrlOptions {
                method: self.method.unwrap_or_default(),
                epochs,
                ..TrlOptions::new(recipe, base.clone())
            }),
            None if recipe == Recipe::Sft => None,
            None => {
                return Err(invalid(
                    "without base_model the embedded engine trains, and only sft",
                ));
            }
        };
        Ok(TrainerConfig {
            preset: self.preset.unwrap_or_default(),
            seed: self.seed.unwrap_or(42),
            max_steps: self.max_steps,
            trl,
            ..TrainerConfig::default()
        })
    }

    async fn plan(&self, state: &AppState, hub: &HubConnection) -> Result<TrainPlan, Problem> {
        let work_dir = state.parts.work_dir.join(uuid::Uuid::now_v7().to_string());
        let output = self.output.as_deref().unwrap_or("bashgym-student");
        let request = PlanRequest {
            namespace: hub.namespace.clone(),
            target: hub.target(),
            dataset_repo: hub.repo_id(&self.dataset)?.to_string(),
            dataset_revision: self.revision.as_deref().map(str::parse::<Revision>).transpose()?,
            model_repo: hub.repo_id(output)?.to_string(),
            training: self.config()?,
            timeout_seconds: self.timeout_seconds,
            flavor: self
                .flavor
                .clone()
                .or_else(|| hub.embedded.then(|| "cpu-basic".to_owned())),
            launch: launch(hub),
            job_token: hub.job_token.clone(),
            work_dir: work_dir.clone(),
        };
        let chat = state.parts.composition.chat();
        let plan = make_plan(&hub.client, &request, state.parts.store.as_ref(), chat).await;
        // What was looked at can be had again.
        let _ = tokio::fs::remove_dir_all(&work_dir).await;
        Ok(plan?)
    }
}

/// What a training needs, takes and costs, and exactly what would be sent. Spends nothing; what speaks against it is in `problems`.
#[utoipa::path(post, path = "/api/training/plans", tag = "training", request_body = TrainRequest,
    responses((status = 200, body = Object), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn plan(
    State(state): State<AppState>,
    Json(request): Json<TrainRequest>,
) -> Result<axum::Json<Value>, Problem> {
    let hub = state.hub().await?;
    let plan = request.plan(&state, &hub).await?;
    let value = serde_json::to_value(&plan);
    Ok(axum::Json(value.map_err(|_| {
        Problem::new(Code::Internal, "the plan is no JSON")
    })?))
}

/// Plans a training and starts it where nothing speaks against it.
#[utoipa::path(post, path = "/api/training", tag = "training", request_body = TrainRequest,
    responses((status = 202, body = RunStarted), Failures, HubFailures, Missing, Refusals))]
pub(crate) async fn start(
    State(state): State<AppState>,
    Json(request): Json<TrainRequest>,
) -> Result<(StatusCode, axum::Json<RunStarted>), Problem> {
    let hub = state.hub().await?;
    let plan = request.plan(&state, &hub).await?;
    if !plan.problems.is_empty() {
        let said: Vec<&str> = plan
            .problems
            .iter()
            .map(|problem| problem.message.as_str())
            .collect();
        let refused = Problem::new(Code::Data, said.join("; "));
        return Err(plan
            .problems
            .iter()
            .fold(refused, |refused, problem| refused.hint(problem.next.clone())));
    }
    let (Some(dataset), Some(flavor)) = (&plan.dataset, &plan.flavor) else {
        return Err(Problem::new(
            Code::Internal,
            "a plan without problems names dataset and flavor",
        ));
    };
    let spec = RunSpec {
        target: hub.target(),
        inputs: Vec::new(),
        dataset_repo: dataset.repo_id.clone(),
        model_repo: plan.model_repo.clone(),
        val_fraction: 0.0,
        flavor: flavor.clone(),
        training: plan.training.clone(),
        // The engine answers with students of its own make; an adapter of another model is not one.
        samples: if plan.training.trl.is_some() { 0 } else { 3 },
        source: Some(DatasetSource {
            revision: dataset.revision.clone(),
            files: dataset.files.clone(),
        }),
    };
    begin(&state, &hub, spec, request.new).await
}
