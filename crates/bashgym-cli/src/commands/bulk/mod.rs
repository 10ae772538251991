//! `bashgym data augment|score|dedup|generate`: work over many rows with a model.

mod drive;
mod options;
mod screen;

use std::path::PathBuf;
use std::sync::Arc;

use bashgym_core::bulk::{Augment, BulkError, Dedup, Generate, RUBRIC, RowFolder, Score, Work, read_labels};
use bashgym_traces::RowKind;
use clap::Args;

use self::drive::drive;
pub(crate) use self::drive::{Asked, ask_all, ended};
pub(crate) use self::options::BulkFlags;
use self::options::Ready;
use crate::commands::stages::{self, RowArgs, RowFlags};
use crate::context::Context;
use crate::error::{CliError, Kind, io_error};
use crate::inputs::share;

/// Asks for the same tasks in other words.
#[derive(Debug, Args)]
#[command(after_help = "\
Only what the person says first is said anew, and only in rows to train on. A rewriting that leaves out a path, a number or a
placeholder that the agent's tool calls name is dropped and counted.

Examples:
  bashgym data augment ./dataset --model org/name:cheapest --out ./more --dry-run
  bashgym data augment ./dataset --model org/name --variations 2 --out ./more")]
pub(crate) struct AugmentArgs {
    /// The dataset's folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// New prompts for each row
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=8))]
    variations: u32,
    /// How much they may differ, 0 to 2
    #[arg(long, value_name = "T", default_value_t = 0.8, value_parser = temperature)]
    temperature: f64,
    #[command(flatten)]
    bulk: BulkFlags,
}

/// Makes rows of prompts.
#[derive(Debug, Args)]
#[command(after_help = "\
A prompt a line: JSON with `prompt` or `messages`, or plain text.

Example: bashgym data generate --prompts prompts.jsonl --model org/name:cheapest -n 4 --out ./generated")]
pub(crate) struct GenerateArgs {
    /// The file of prompts
    #[arg(long, value_name = "FILE")]
    prompts: PathBuf,
    /// Answers to each prompt
    #[arg(
        short = 'n',
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(1..=1000)
    )]
    samples: u32,
    /// What the model is told to be
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
    /// The most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    /// How much answers may differ, 0 to 2
    #[arg(long, value_name = "T", default_value_t = 0.7, value_parser = temperature)]
    temperature: f64,
    /// The kind of rows: distillation, or sft, which the embedded engine trains on
    #[arg(long, value_name = "KIND", default_value = "distillation", value_parser = rows)]
    rows: RowKind,
    /// The share of prompts held out for validation
    #[arg(long, value_name = "SHARE", default_value_t = 0.1, value_parser = share)]
    val_fraction: f64,
    /// Decides which prompts are held out
    #[arg(long, value_name = "N", default_value_t = 42)]
    seed: u64,
    #[command(flatten)]
    bulk: BulkFlags,
}

/// Judges rows.
#[derive(Debug, Args)]
#[command(after_help = "\
With a dataset's folder, a model judges each row by a rubric, and its opinion joins the score. With --work, this is the third
stage of a build: the signs of each session are judged, without a model.

Examples:
  bashgym data score ./dataset --model org/name --labels labels.jsonl --out ./judged
  bashgym data score --work ./work")]
pub(crate) struct ScoreArgs {
    /// The dataset's folder, to be judged by a model
    #[arg(value_name = "DIR", conflicts_with = "work", requires_all = ["model", "out"])]
    dir: Option<PathBuf>,
    /// The folder in which stages leave their output
    #[arg(long, value_name = "DIR", required_unless_present = "dir")]
    work: Option<PathBuf>,
    /// A file with what the judge goes by, from 5 down to 1; without it, whether the goal was reached
    #[arg(long, value_name = "FILE", requires = "dir")]
    rubric: Option<PathBuf>,
    /// The most characters of a session that the judge gets
    #[arg(long, value_name = "N", default_value_t = 24_000, requires = "dir")]
    max_chars: usize,
    /// Leave out rows whose joined score is lower
    #[arg(long, value_name = "SCORE", requires = "dir")]
    drop_below: Option<f64>,
    #[command(flatten)]
    flags: RowFlags,
    #[command(flatten)]
    bulk: BulkFlags,
}

/// Finds repetition.
#[derive(Debug, Args)]
#[command(after_help = "\
With a dataset's folder, an embedder turns each row into a vector, and of rows that say the same the better one stays. With
--work, this is the fourth stage of a build: repetition in words is found, without a model.

Examples:
  bashgym data dedup ./dataset --model BAAI/bge-large-en-v1.5 --out ./distinct --allow-unknown-price
  bashgym data dedup --work ./work")]
pub(crate) struct DedupArgs {
    /// The dataset's folder, to be compared by meaning
    #[arg(value_name = "DIR", conflicts_with = "work", requires_all = ["model", "out"])]
    dir: Option<PathBuf>,
    /// The folder in which stages leave their output
    #[arg(long, value_name = "DIR", required_unless_present = "dir")]
    work: Option<PathBuf>,
    /// From this cosine of their vectors on, two rows say the same
    #[arg(long, value_name = "COSINE", default_value_t = 0.95, requires = "dir", value_parser = cosine)]
    threshold: f32,
    #[command(flatten)]
    flags: RowFlags,
    #[command(flatten)]
    bulk: BulkFlags,
}

fn temperature(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if (0.0..=2.0).contains(&value) => Ok(value),
        _ => Err("a temperature is a number from 0 to 2".to_owned()),
    }
}

fn cosine(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if value > 0.5 && value <= 1.0 => Ok(value),
        _ => Err("a threshold is a number above 0.5, at most 1".to_owned()),
    }
}

fn rows(text: &str) -> Result<RowKind, String> {
    match text.parse::<RowKind>()? {
        kind @ (RowKind::Sft | RowKind::Distillation) => Ok(kind),
        _ => Err("rows of prompts are sft or distillation".to_owned()),
    }
}

impl From<BulkError> for CliError {
    fn from(error: BulkError) -> Self {
        let kind = match error {
            BulkError::Inference(error) => return Self::from(error),
            BulkError::Traces(error) => return Self::from(error),
            BulkError::Core(error) => return Self::from(error),
            BulkError::Busy { .. } | BulkError::NotOurs { .. } => Kind::Conflict,
            BulkError::Refused { .. } => Kind::Auth,
            BulkError::Data { .. } => Kind::Data,
            BulkError::Io { ref source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Kind::NotFound
            }
            BulkError::Io { .. } => Kind::Io,
            _ => Kind::Internal,
        };
        let hint = error.hint();
        let message = error.to_string();
        let converted = Self::new(kind, message).because(error);
        match hint {
            Some(hint) => converted.hint(hint),
            None => converted,
        }
    }
}

pub(crate) async fn augment(args: AugmentArgs, context: &Context) -> Result<(), CliError> {
    let ready = args.bulk.ready(context).await?;
    let work = Augment {
        folder: RowFolder::open(&args.dir)?,
        dir: args.dir,
        endpoint: ready.endpoint(),
        model: ready.model.clone(),
        variations: args.variations,
        temperature: args.temperature,
    };
    go(work, ready, context).await
}

pub(crate) async fn generate(args: GenerateArgs, context: &Context) -> Result<(), CliError> {
    if !args.prompts.is_file() {
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(io_error("read", &args.prompts, error));
    }
    let ready = args.bulk.ready(context).await?;
    let work = Generate {
        prompts: args.prompts,
        endpoint: ready.endpoint(),
        model: ready.model.clone(),
        samples: args.samples,
        system: args.system,
        max_tokens: args.max_tokens,
        temperature: args.temperature,
        kind: args.rows,
        val_fraction: args.val_fraction,
        seed: args.seed,
    };
    go(work, ready, context).await
}

pub(crate) async fn score(args: ScoreArgs, context: &Context) -> Result<(), CliError> {
    let Some(dir) = args.dir else {
        return stages::score(&RowArgs::new(args.work, args.flags)?, context);
    };
    let rubric = match &args.rubric {
        Some(path) => std::fs::read_to_string(path).map_err(|error| io_error("read", path, error))?,
        None => RUBRIC.to_owned(),
    };
    let labels = match args.flags.labels() {
        Some(path) => read_labels(path)?,
        None => std::collections::BTreeMap::new(),
    };
    let ready = args.bulk.ready(context).await?;
    let work = Score {
        folder: RowFolder::open(&dir)?,
        dir,
        endpoint: ready.endpoint(),
        model: ready.model.clone(),
        rubric,
        labels,
        max_chars: args.max_chars,
        min_score: args.drop_below,
    };
    go(work, ready, context).await
}

pub(crate) async fn dedup(args: DedupArgs, context: &Context) -> Result<(), CliError> {
    let Some(dir) = args.dir else {
        return stages::dedup(&RowArgs::new(args.work, args.flags)?, context);
    };
    let ready = args.bulk.ready(context).await?;
    let work = Dedup {
        folder: RowFolder::open(&dir)?,
        dir,
        endpoint: ready.endpoint(),
        model: ready.model.clone(),
        threshold: args.threshold,
    };
    go(work, ready, context).await
}

async fn go(work: impl Work + 'static, ready: Ready, context: &Context) -> Result<(), CliError> {
    // The work and its answers are large; its future is not kept on the stack of whoever waits.
    Box::pin(drive(Arc::new(work), ready, context)).await
}
