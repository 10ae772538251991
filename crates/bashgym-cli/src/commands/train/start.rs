//! `bashgym train start`: the plan, a question, and the job, followed to the verified student.

use std::sync::Arc;

use bashgym_core::plan::TrainPlan;
use bashgym_core::run::{DatasetSource, RunSpec};
use bashgym_core::trainer::{EmbeddedBackend, Launch, TrainingBackend, TrlBackend};
use clap::Args;
use serde_json::json;

use super::options::JobOptions;
use super::{consent, plan, show};
use crate::context::{Connection, Context};
use crate::driving::{Sink, interrupted, service};
use crate::error::{CliError, Kind};
use crate::progress::RunScreen;

/// Starts a training job.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    #[command(flatten)]
    options: JobOptions,
    /// Start without asking
    #[arg(long)]
    yes: bool,
    /// Begin anew, even if an unfinished run of the same training is there
    #[arg(long)]
    new: bool,
    /// On Ctrl-C, cancel the job instead of detaching from it
    #[arg(long)]
    cancel_on_interrupt: bool,
}

pub(super) async fn run(args: StartArgs, context: &Context) -> Result<(), CliError> {
    let connection = context.connect().await?;
    let store = Arc::new(context.store().await?);
    let made = args.options.plan(context, &connection, &store).await?;
    if context.output.is_json() {
        context.output.json(&json!({ "event": "plan", "plan": made }))?;
    } else {
        show::plan(&made, context.output)?;
    }
    plan::refuse_problems(&made)?;
    if !args.yes {
        ask(&made)?;
    }
    let spec = spec(&made, &connection)?;
    let launch = if connection.client.endpoint().is_loopback() {
        Launch::Fetched
    } else {
        Launch::Mounted
    };
    let backend: Arc<dyn TrainingBackend> = match &spec.training.trl {
        Some(options) => Arc::new(TrlBackend::new(options, launch)),
        None => Arc::new(EmbeddedBackend),
    };
    let service = service(context, &connection, &store, backend)?;
    let (record, continued) = service.find_or_create(spec, args.new).await?;
    let screen = RunScreen::new(context.output);
    let sink = Sink {
        context,
        screen: &screen,
    };
    tokio::select! {
        result = service.drive(record.id, continued, &sink) => {
            screen.finish(&result?)
        }
        _ = tokio::signal::ctrl_c() => {
            screen.clear();
            interrupted(args.cancel_on_interrupt, context, &connection, store.as_ref(), record.id).await
        }
    }
}

fn spec(plan: &TrainPlan, connection: &Connection) -> Result<RunSpec, CliError> {
    let (Some(dataset), Some(flavor)) = (&plan.dataset, &plan.flavor) else {
        return Err(CliError::new(
            Kind::Internal,
            "a plan without problems names dataset and flavor",
        ));
    };
    Ok(RunSpec {
        target: connection.target(),
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
    })
}

/// Nothing is spent on a guess.
fn ask(plan: &TrainPlan) -> Result<(), CliError> {
    let worst = plan
        .price_worst_usd
        .map_or_else(|| "an unknown price".to_owned(), |price| format!("${price}"));
    consent::ask(
        &format!("Start it, for {worst} at worst?"),
        "`--yes` starts without asking; `bashgym train plan` only shows",
    )
}
