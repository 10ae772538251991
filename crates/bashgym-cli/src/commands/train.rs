//! `bashgym train`: a student from a dataset, here or as a job.

use std::path::{Path, PathBuf};

use bashgym_core::trainer::{Preset, TrainerConfig};
use bashgym_engine::{StopFlag, TrainEvent, TrainOutcome};
use clap::{Args, ValueEnum};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::Output;
use crate::student::train_config;

/// The size of an embedded student.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum PresetName {
    /// Seconds; for trying out the flow
    Tiny,
    /// A minute or two on two cores
    #[default]
    Small,
    /// Longer, for more data
    Base,
}

/// How a student is trained.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Training")]
pub(crate) struct TrainingOptions {
    /// The size of the student
    #[arg(long, value_enum, default_value = "small")]
    pub(crate) preset: PresetName,
    /// Decides the split, the order of the data and the first weights
    #[arg(long, value_name = "N", default_value_t = 42)]
    pub(crate) seed: u64,
    /// Optimiser steps at most
    #[arg(long, value_name = "N")]
    pub(crate) max_steps: Option<u64>,
    /// Seconds of training at most; it ends with a proper evaluation
    #[arg(long, value_name = "SECONDS")]
    pub(crate) max_seconds: Option<u64>,
    /// Seconds after which a job is stopped from outside
    #[arg(long, value_name = "SECONDS", default_value_t = 7200)]
    pub(crate) timeout: u64,
    /// The hardware a job asks for; the embedded Hub runs every flavor on this machine
    #[arg(long, value_name = "FLAVOR", default_value = "cpu-basic")]
    pub(crate) flavor: String,
}

impl TrainingOptions {
    pub(crate) fn trainer_config(&self) -> TrainerConfig {
        TrainerConfig {
            preset: match self.preset {
                PresetName::Tiny => Preset::Tiny,
                PresetName::Small => Preset::Small,
                PresetName::Base => Preset::Base,
            },
            seed: self.seed,
            max_steps: self.max_steps,
            max_seconds: self.max_seconds,
            timeout_seconds: self.timeout,
        }
    }
}

/// Trains a student from a dataset folder, here.
///
/// For the whole way, as a job and with a verified model repository, use `bashgym run`.
#[derive(Debug, Args)]
#[command(after_help = "Example: bashgym train ./dataset --out ./student --max-seconds 60")]
pub(crate) struct TrainArgs {
    /// The dataset's folder
    #[arg(value_name = "DIR")]
    dataset: PathBuf,
    /// The folder for the model; an interrupted training goes on from its last checkpoint there
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    training: TrainingOptions,
}

pub(crate) async fn run(args: TrainArgs, context: &Context) -> Result<(), CliError> {
    let stop = StopFlag::default();
    let output = context.output;
    let (dataset, out, config) = (
        args.dataset.clone(),
        args.out.clone(),
        args.training.trainer_config(),
    );
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
        return output.json(&json!({ "event": "result", "dir": args.out, "outcome": outcome }));
    }
    output.line(args.out.display())?;
    output.note(format!(
        "Validation loss {} before, {} after {} steps. Next: bashgym generate {} --prompt 'Fix the failing test'",
        shown(outcome.val_loss_before),
        shown(outcome.val_loss_after),
        outcome.steps,
        args.out.display()
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
    let target = if output.is_live() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(None, target);
    let style = ProgressStyle::with_template("{bar:30.cyan/dim} {pos}/{len} {msg}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
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
