//! Making the plan: every question the Hub can answer without spending anything.

use std::sync::Arc;

use hf_core::HfClient;
use hf_jobs::HfJobRunner;

use super::data::ChatRenderer;
use super::flavor::choose_flavor;
use super::foretell::foretell;
use super::look::{find_dataset, look_at_base};
use super::permission::{check_job_token, check_token};
use super::request::describe_request;
use super::wanted::PlanRequest;
use super::{Problem, TrainPlan};
use crate::CoreError;
use crate::store::RunStore;
use crate::trainer::{Recipe, TrlOptions};

/// Makes a plan. Only reads go to the Hub.
///
/// # Errors
/// [`CoreError::Hub`] if the Hub cannot be asked. What speaks against the training is no error but a problem of the plan.
pub async fn make_plan(
    client: &HfClient,
    request: &PlanRequest,
    store: &dyn RunStore,
    renderer: Arc<dyn ChatRenderer>,
) -> Result<TrainPlan, CoreError> {
    let mut plan = TrainPlan::empty(request);
    let account = check_token(client, request, &mut plan).await?;
    check_job_token(client, request, &account, &mut plan).await?;
    if request
        .training
        .trl
        .as_ref()
        .is_some_and(|options| options.recipe == Recipe::Grpo)
    {
        let place = if client.endpoint().is_loopback() {
            "on the machine of this Hub, with the rights of its user"
        } else {
            "in the job's container"
        };
        plan.warnings.push(Problem::new(
            "runs_model_commands",
            format!("grpo runs shell commands that the model writes, {place}"),
            "they get a fresh folder, no secrets, limits on time and size, and no network where the kernel allows it; that is no jail",
        ));
    }
    let Some(mut dataset) = find_dataset(client, request, &mut plan.problems).await? else {
        return Ok(plan);
    };
    let hardware = HfJobRunner::new(client, request.namespace.clone())
        .hardware()
        .await
        .map_err(CoreError::hub("list its hardware"))?;

    let mut shape = None;
    if let Some(options) = request.training.trl.clone() {
        let base = look_at_base(client, request, &options, &mut dataset, renderer, &mut plan).await?;
        shape = base.shape;
        plan.training.trl = Some(TrlOptions {
            base_revision: base.facts.revision.clone(),
            ..options
        });
        plan.base_model = Some(base.facts);
    }
    choose_flavor(request, shape.as_ref(), &hardware, &mut plan);
    foretell(request, store, &dataset, &hardware, &mut plan).await?;
    plan.dataset = Some(dataset);
    if plan.timeout_seconds.is_some() && plan.flavor.is_some() {
        describe_request(client, request, &mut plan)?;
    }
    Ok(plan)
}

impl TrainPlan {
    fn empty(request: &PlanRequest) -> Self {
        Self {
            backend: if request.training.trl.is_some() {
                "trl"
            } else {
                "embedded"
            }
            .to_owned(),
            training: request.training.clone(),
            model_repo: request.model_repo.clone(),
            base_model: None,
            dataset: None,
            memory: None,
            fits: None,
            flavor: None,
            cheaper_flavors: Vec::new(),
            steps: None,
            tokens: None,
            throughput: None,
            seconds_expected: None,
            timeout_seconds: None,
            price_expected_usd: None,
            price_worst_usd: None,
            price_worst_micro_usd: None,
            problems: Vec::new(),
            warnings: Vec::new(),
            files: Vec::new(),
            config: None,
            request: None,
        }
    }
}
