//! `bashgym train`: a student from a dataset, here or as a job; and what that will take, before it begins.

mod consent;
mod local;
mod options;
mod plan;
mod show;
mod start;

use bashgym_core::trainer::Recipe;
use clap::{Args, Subcommand};

use crate::context::Context;
use crate::error::CliError;

pub(crate) use options::TrainingOptions;

/// Trains a student from a dataset.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "\
Examples:
  bashgym train ./dataset --out ./student --max-seconds 60     here, with the embedded engine
  bashgym train plan sessions --model BASE --output student    what a job will need and cost; spends nothing
  bashgym train start sessions --model BASE --output student --timeout 2h"
)]
pub(crate) struct TrainArgs {
    #[command(subcommand)]
    command: Option<TrainCommand>,
    #[command(flatten)]
    local: local::LocalArgs,
}

/// What `train` can do besides training here.
#[derive(Debug, Subcommand)]
pub(crate) enum TrainCommand {
    /// What a job will need, take and cost; spends nothing
    Plan(options::JobOptions),
    /// Show the plan, ask, and submit the job
    Start(start::StartArgs),
    /// Train here, from a folder into a folder
    Local(local::LocalArgs),
    /// Print a recipe's script, which runs anywhere with uv
    Script(ScriptArgs),
}

/// Names a recipe.
#[derive(Debug, Args)]
pub(crate) struct ScriptArgs {
    /// The recipe
    #[arg(value_name = "RECIPE")]
    recipe: Recipe,
}

pub(crate) async fn run(args: TrainArgs, context: &Context) -> Result<(), CliError> {
    match args.command {
        None => local::run(args.local, context).await,
        Some(TrainCommand::Local(args)) => local::run(args, context).await,
        Some(TrainCommand::Plan(options)) => plan::run(&options, context).await,
        Some(TrainCommand::Start(args)) => start::run(args, context).await,
        Some(TrainCommand::Script(args)) => context.output.raw(args.recipe.script()),
    }
}
