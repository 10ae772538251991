//! What a person may decide about training, here and as a job.

use std::path::PathBuf;
use std::sync::Arc;

use bashgym_core::plan::{PlanRequest, TrainPlan, make_plan};
use bashgym_core::trainer::{Launch, Method, Preset, Recipe, TrainerConfig, TrlOptions};
use bashgym_store::SqlStore;
use clap::{Args, ValueEnum};
use hf_core::Revision;

use crate::context::{Connection, Context};
use crate::error::{CliError, Kind};
use crate::student::EngineChat;

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
            preset: self.preset.into(),
            seed: self.seed,
            max_steps: self.max_steps,
            max_seconds: self.max_seconds,
            timeout_seconds: self.timeout,
            ..TrainerConfig::default()
        }
    }
}

impl From<PresetName> for Preset {
    fn from(name: PresetName) -> Self {
        match name {
            PresetName::Tiny => Self::Tiny,
            PresetName::Small => Self::Small,
            PresetName::Base => Self::Base,
        }
    }
}

/// Who trains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum BackendName {
    /// TRL where a base model is named, else the embedded engine
    #[default]
    Auto,
    /// The embedded engine: a small student from nothing, on the CPU, without Python
    Embedded,
    /// A recipe's script on TRL, run by uv
    Trl,
}

/// Which weights are trained.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub(crate) enum MethodName {
    /// Adapters
    #[default]
    Lora,
    /// Adapters over four-bit weights
    Qlora,
    /// All weights
    Full,
}

/// How a base model is trained.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Base model")]
pub(crate) struct BaseOptions {
    /// The base model, a repository; without it the embedded engine trains a student from nothing
    #[arg(long, value_name = "BASE")]
    pub(crate) model: Option<String>,
    /// Who trains
    #[arg(long, value_enum, default_value = "auto")]
    pub(crate) backend: BackendName,
    /// The recipe: sft, dpo, grpo, distillation
    #[arg(long, value_name = "RECIPE", default_value = "sft")]
    recipe: Recipe,
    /// Which weights are trained
    #[arg(long, value_enum, default_value = "lora")]
    method: MethodName,
    /// Passes over the data
    #[arg(long, value_name = "N", default_value_t = 3.0, value_parser = positive)]
    epochs: f64,
    /// The learning rate; the recipe's own where absent
    #[arg(long, value_name = "RATE", value_parser = positive)]
    learning_rate: Option<f64>,
    /// Rows that go through the model at once
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=4096))]
    batch_size: u32,
    /// Batches to one step
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=65536))]
    accumulation: u32,
    /// Tokens of a row at most
    #[arg(long, value_name = "TOKENS", default_value_t = 2048, value_parser = clap::value_parser!(u32).range(8..=1_048_576))]
    sequence_length: u32,
    /// The rank of adapters
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    lora_rank: u32,
}

impl BaseOptions {
    /// The options for TRL; none when the embedded engine trains.
    pub(crate) fn trl(&self) -> Result<Option<TrlOptions>, CliError> {
        let base = match (self.backend, &self.model) {
            (BackendName::Embedded, Some(_)) => {
                return Err(CliError::new(
                    Kind::Usage,
                    "the embedded engine trains a student from nothing: it takes no --model",
                ));
            }
            (BackendName::Trl, None) => {
                return Err(CliError::new(Kind::Usage, "TRL needs a base model")
                    .hint("name one: --model NAMESPACE/NAME"));
            }
            (_, None) if self.recipe != Recipe::Sft => {
                return Err(CliError::new(
                    Kind::Usage,
                    format!("the embedded engine trains sft, not {}", self.recipe),
                )
                .hint("name a base model: --model NAMESPACE/NAME"));
            }
            (_, None) => return Ok(None),
            (_, Some(base)) => base,
        };
        Ok(Some(TrlOptions {
            method: match self.method {
                MethodName::Lora => Method::Lora,
                MethodName::Qlora => Method::Qlora,
                MethodName::Full => Method::Full,
            },
            lora_rank: self.lora_rank,
            epochs: self.epochs,
            learning_rate: self.learning_rate,
            batch_size: self.batch_size,
            accumulation: self.accumulation,
            sequence_length: self.sequence_length,
            ..TrlOptions::new(self.recipe, base)
        }))
    }
}

/// A training job.
#[derive(Debug, Clone, Args)]
pub(crate) struct JobOptions {
    /// The dataset repository, with or without its namespace
    #[arg(value_name = "DATASET")]
    dataset: String,
    /// The repository for the student, with or without its namespace
    #[arg(long, value_name = "REPO", default_value = "bashgym-student")]
    output: String,
    /// The dataset's revision; its newest commit where absent
    #[arg(long, value_name = "REVISION")]
    revision: Option<Revision>,
    #[command(flatten)]
    pub(crate) base: BaseOptions,
    /// The size of an embedded student
    #[arg(long, value_enum, default_value = "small")]
    preset: PresetName,
    /// Decides the order of the data and the first weights
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    /// Optimiser steps at most
    #[arg(long, value_name = "N")]
    max_steps: Option<u64>,
    /// The hardware: `auto` takes the cheapest that fits; on the embedded Hub every flavor is this machine
    #[arg(long, value_name = "FLAVOR", default_value = "auto")]
    flavor: String,
    /// After how long the job is ended: 90, 90s, 30m, 2h; derived from earlier runs where absent and known
    #[arg(long, value_name = "DURATION", value_parser = seconds)]
    timeout: Option<u64>,
    /// Jobs that may be submitted in all: after a time-out or a crash the next goes on from the last checkpoint
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=20))]
    attempts: u32,
    /// Seconds between two checkpoints that leave the job
    #[arg(long, value_name = "SECONDS", value_parser = positive)]
    checkpoint_every: Option<f64>,
}

impl JobOptions {
    /// Makes the plan.
    pub(crate) async fn plan(
        &self,
        context: &Context,
        connection: &Connection,
        store: &SqlStore,
    ) -> Result<TrainPlan, CliError> {
        let loopback = connection.client.endpoint().is_loopback();
        let asked = (self.flavor != "auto").then(|| self.flavor.clone());
        let work_dir: PathBuf = context.home()?.join("plan").join(std::process::id().to_string());
        let request = PlanRequest {
            namespace: connection.namespace.clone(),
            target: connection.target(),
            dataset_repo: connection.repo_id(&self.dataset)?.to_string(),
            dataset_revision: self.revision.clone(),
            model_repo: connection.repo_id(&self.output)?.to_string(),
            training: TrainerConfig {
                preset: self.preset.into(),
                seed: self.seed,
                max_steps: self.max_steps,
                max_attempts: self.attempts,
                checkpoint_every_seconds: self.checkpoint_every,
                trl: self.base.trl()?,
                ..TrainerConfig::default()
            },
            timeout_seconds: self.timeout,
            flavor: asked.or_else(|| connection.embedded.then(|| "cpu-basic".to_owned())),
            launch: if loopback {
                Launch::Fetched
            } else {
                Launch::Mounted
            },
            job_token: crate::job_token::of_connection(context, connection)?.map(|own| own.token),
            work_dir: work_dir.clone(),
        };
        let plan = make_plan(&connection.client, &request, store, Arc::new(EngineChat)).await;
        // What was looked at can be had again.
        let _ = std::fs::remove_dir_all(&work_dir);
        Ok(plan?)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number > 0.0 => Ok(number),
        _ => Err("expected a number above zero".to_owned()),
    }
}

/// Reads a duration as the Hub's own client does: seconds, or a number with s, m, h or d.
fn seconds(text: &str) -> Result<u64, String> {
    let (number, factor) = match text.char_indices().last() {
        Some((end, 's')) => (&text[..end], 1.0),
        Some((end, 'm')) => (&text[..end], 60.0),
        Some((end, 'h')) => (&text[..end], 3600.0),
        Some((end, 'd')) => (&text[..end], 86400.0),
        _ => (text, 1.0),
    };
    let number = positive(number).map_err(|_| "expected a duration such as 90, 90s, 30m or 2h".to_owned())?;
    let seconds = (number * factor).ceil();
    if seconds > 30.0 * 86400.0 {
        return Err("that is longer than 30 days".to_owned());
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "checked to be within 30 days"
    )]
    Ok(seconds as u64)
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn durations_are_read() {
        for (text, expected) in [
            ("90", 90),
            ("90s", 90),
            ("30m", 1800),
            ("1.5h", 5400),
            ("2d", 172_800),
        ] {
            assert_eq!(seconds(text), Ok(expected), "{text}");
        }
        for wrong in ["", "h", "0", "-5", "2 weeks", "31d", "nan"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
