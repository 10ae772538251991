//! `bashgym run`: session logs in, trained student out.

use std::path::PathBuf;
use std::sync::Arc;

use bashgym_core::run::RunSpec;
use bashgym_core::trainer::{EmbeddedBackend, TrainerConfig};
use clap::Args;

use crate::commands::train::TrainingOptions;
use crate::context::Context;
use crate::driving::{Sink, interrupted, service};
use crate::error::CliError;
use crate::inputs::{inputs, share};
use crate::progress::RunScreen;

/// Session logs in, trained student out.
///
/// Imports the sessions, builds a dataset repository, submits a training job, follows it, verifies the model
/// repository and samples the student. A run that was interrupted or failed goes on where it stopped when the
/// same command is given again.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bashgym run ~/.claude/projects ~/.codex/sessions
  bashgym run ./logs --model my-student --max-seconds 300
  bashgym --format json run ./logs        one JSON event a line, the last one is the result

Ctrl-C detaches: the job goes on, and the same command follows it again.")]
pub(crate) struct RunArgs {
    /// Session logs, or folders of them; without any, the agents' own folders on this machine
    #[arg(value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// The dataset repository, with or without its namespace
    #[arg(long, value_name = "REPO", default_value = "bashgym-sessions")]
    dataset: String,

    /// The model repository, with or without its namespace
    #[arg(long, value_name = "REPO", default_value = "bashgym-student")]
    model: String,

    /// The share of rows held out for validation
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    val_fraction: f64,

    #[command(flatten)]
    training: TrainingOptions,

    /// Completions to sample from the student at the end
    #[arg(long, value_name = "N", default_value_t = 3)]
    samples: u32,

    /// Begin anew, even if an unfinished run of the same sessions is there
    #[arg(long)]
    new: bool,

    /// On Ctrl-C, cancel the job instead of detaching from it
    #[arg(long)]
    cancel_on_interrupt: bool,
}

pub(crate) async fn run(args: RunArgs, context: &Context) -> Result<(), CliError> {
    let inputs = inputs(&args.paths)?;
    let connection = context.connect().await?;
    let training: TrainerConfig = args.training.trainer_config();
    let spec = RunSpec {
        target: connection.target(),
        inputs,
        dataset_repo: connection.repo_id(&args.dataset)?.to_string(),
        model_repo: connection.repo_id(&args.model)?.to_string(),
        val_fraction: args.val_fraction,
        flavor: args.training.flavor.clone(),
        training,
        samples: args.samples,
        source: None,
    };
    let store = Arc::new(context.store().await?);
    let service = service(context, &connection, &store, Arc::new(EmbeddedBackend))?;
    let (record, continued) = service.find_or_create(spec, args.new).await?;
    if !continued {
        let (dataset, model) = (&record.spec.dataset_repo, &record.spec.model_repo);
        crate::storage::tell(&connection, dataset, model, context).await;
    }
    let screen = RunScreen::new(context.output);
    let sink = Sink {
        context,
        screen: &screen,
    };
    let drive = service.drive(record.id, continued, &sink);
    tokio::select! {
        result = drive => {
            let result = result?;
            screen.finish(&result)?;
            Ok(())
        }
        _ = tokio::signal::ctrl_c() => {
            screen.clear();
            interrupted(args.cancel_on_interrupt, context, &connection, store.as_ref(), record.id).await
        }
    }
}
