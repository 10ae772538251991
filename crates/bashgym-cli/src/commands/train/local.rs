//! `bashgym train DIR --out DIR`: a student from a dataset's folder, in this process or by uv beside it.

use std::path::{Path, PathBuf};

use bashgym_core::trainer::{Recipe, ScriptConfig, TrainerConfig, TrlOptions};
use bashgym_engine::{StopFlag, TrainEvent, TrainOutcome};
use clap::Args;
use serde_json::json;

use super::consent;
use super::options::{BaseOptions, TrainingOptions};
use crate::bar::bar;
use crate::context::Context;
use crate::error::{CliError, Kind, io_error};
use crate::output::Output;
use crate::student::train_config;

/// What one says yes to.
const RUNS_COMMANDS: &str = "\
grpo rewards a completion by running the shell commands in it, here, with your rights: they can read and change whatever you
can. They get a fresh folder, no secrets of this environment, limits on time and size, and no network where the kernel allows
it, but no jail. Run them?";

/// Trains a student from a dataset folder, here.
///
/// For the whole way, as a job and with a verified model repository, use `bashgym run`.
#[derive(Debug, Args)]
pub(crate) struct LocalArgs {
    /// The dataset's folder
    #[arg(value_name = "DIR", required = true)]
    dataset: Option<PathBuf>,
    /// The folder for the model; an interrupted training goes on from its last checkpoint there
    #[arg(long, value_name = "DIR", required = true)]
    out: Option<PathBuf>,
    #[command(flatten)]
    training: TrainingOptions,
    #[command(flatten)]
    base: BaseOptions,
    /// Run commands that the model writes, as grpo does, without asking
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(args: LocalArgs, context: &Context) -> Result<(), CliError> {
    let (Some(dataset), Some(out)) = (args.dataset, args.out) else {
        return Err(CliError::new(
            Kind::Usage,
            "a dataset's folder and --out are needed",
        ));
    };
    let config = args.training.trainer_config();
    match args.base.trl()? {
        Some(options) => {
            if options.recipe == Recipe::Grpo && !args.yes {
                consent::ask(
                    RUNS_COMMANDS,
                    "`--yes` says yes; `bashgym train start` runs it in a job instead",
                )?;
            }
            by_uv(&options, &config, &dataset, &out, context).await
        }
        None => here(dataset, out, config, context).await,
    }
}

/// Runs the recipe's script with uv. Its output is ours: structured lines and whatever its libraries say.
async fn by_uv(
    options: &TrlOptions,
    config: &TrainerConfig,
    dataset: &Path,
    out: &Path,
    context: &Context,
) -> Result<(), CliError> {
    let absolute = |path: &Path| std::path::absolute(path).map_err(|error| io_error("find", path, error));
    let (dataset, out) = (absolute(dataset)?, absolute(out)?);
    let config = ScriptConfig::for_folders(options, config, &dataset, &out);
    let work = out.join(".work");
    std::fs::create_dir_all(&work).map_err(|error| io_error("make the folder", &work, error))?;
    let place = |name: &str, text: String| {
        let path = work.join(name);
        std::fs::write(&path, text).map_err(|error| io_error("write", &path, error))?;
        Ok::<PathBuf, CliError>(path)
    };
    let script = place(options.recipe.script_name(), options.recipe.script().to_owned())?;
    let config = place("config.json", config.to_json()?)?;
    crate::commands::worker::run_script(&script, &config, &work).await?;
    // The script has left what counts in the output folder.
    let _ = std::fs::remove_dir_all(&work);
    if context.output.is_json() {
        return context.output.json(&json!({ "event": "result", "dir": out }));
    }
    context.output.line(out.display())
}

async fn here(
    dataset: PathBuf,
    out: PathBuf,
    config: TrainerConfig,
    context: &Context,
) -> Result<(), CliError> {
    let stop = StopFlag::default();
    let output = context.output;
    let shown_dir = out.clone();
    let flag = stop.clone();
    let mut work = tokio::task::spawn_blocking(move || train(&dataset, &out, &config, &flag, output));
    let outcome = loop {
        tokio::select! {
            done = &mut work => {
                break done.map_err(|error| CliError::new(Kind::Internal, "training broke off").because(error))??;
            }
            _ = tokio::signal::ctrl_c() => {
                output.note("Stopping after this step; the checkpoint is kept.");
                stop.stop();
            }
        }
    };
    if output.is_json() {
        return output.json(&json!({ "event": "result", "dir": shown_dir, "outcome": outcome }));
    }
    output.line(shown_dir.display())?;
    output.note(format!(
        "Validation loss {} before, {} after {} steps. Next: bashgym generate {} --prompt 'Fix the failing test'",
        shown(outcome.val_loss_before),
        shown(outcome.val_loss_after),
        outcome.steps,
        shown_dir.display()
    ));
    Ok(())
}

fn shown(loss: Option<f64>) -> String {
    loss.map_or_else(|| "not measured".to_owned(), |loss| format!("{loss:.3}"))
}

fn train(
    dataset: &Path,
    out: &Path,
    config: &TrainerConfig,
    stop: &StopFlag,
    output: Output,
) -> Result<TrainOutcome, CliError> {
    let bar = bar(output, "{bar:30.cyan/dim} {pos}/{len} {msg}");
    let outcome = bashgym_engine::train(
        dataset,
        out,
        &train_config(config),
        &mut |event| {
            if output.is_json() {
                // A reader that went away does not stop the training.
                let _ = output.json(&event);
            } else if let TrainEvent::Step {
                step,
                total_steps,
                loss,
                ..
            } = &event
            {
                bar.set_length(*total_steps);
                bar.set_position(*step);
                bar.set_message(format!("loss {loss:.2}"));
            }
        },
        stop,
    )?;
    bar.finish_and_clear();
    Ok(outcome)
}
