//! `bashgym route calibrate`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bashgym_core::bulk::{Calibrate, Measured, RowFolder, Work};
use bashgym_core::router::{Router, RouterPolicy, judged_confidences};
use clap::Args;
use serde_json::json;

use super::models::quality;
use crate::commands::bulk::{Asked, BulkFlags, ask_all, ended};
use crate::context::Context;
use crate::error::{CliError, Kind};

/// Measures what a student's confidence is worth.
#[derive(Debug, Args)]
#[command(
    mut_arg("out", |arg| arg.hide(true)),
    after_help = "\
The student is asked for what the agent did next in held-out sessions, and how likely each of its tokens was. An answer is right
where it calls the same tools with the same arguments, or says the same in nearly the same words: a lower bound, since work can
be right in more than one way. Verdicts on answers with a confidence count too; without a folder, they alone do. The same
command again asks only what has no answer yet.

Examples:
  bashgym route calibrate ./dataset --model me/student --dry-run
  bashgym route calibrate --model me/student"
)]
pub(crate) struct CalibrateArgs {
    /// The dataset's folder; its held-out rows are asked
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Turns at most
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    turns: u32,
    /// Turns of one session at most, spread over it
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1000))]
    turns_of_a_row: u32,
    /// Leave out turns with more characters before them
    #[arg(long, value_name = "N", default_value_t = 24_000)]
    max_chars: usize,
    /// Tokens of an answer at most
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
    #[command(flatten)]
    bulk: BulkFlags,
}

pub(crate) async fn run(args: CalibrateArgs, context: &Context) -> Result<(), CliError> {
    let store = Arc::new(context.store().await?);
    let model = args.bulk.model()?;
    let verdicts = judged_confidences(&*store, &model.id).await?;
    let measured = match &args.dir {
        None => Measured::of_verdicts(&verdicts),
        Some(dir) => {
            let ready = args.bulk.ready_for(dir.clone(), context).await?;
            let work = Calibrate {
                folder: RowFolder::open(dir)?,
                dir: dir.clone(),
                endpoint: ready.endpoint(),
                model: model.clone(),
                turns: args.turns as usize,
                turns_of_a_row: args.turns_of_a_row as usize,
                max_chars: args.max_chars,
                max_tokens: args.max_tokens,
                verdicts,
            };
            let asked: Arc<dyn Work> = Arc::new(work.clone());
            // One journal for a model, whatever the folder: what was asked once is known.
            let name = Path::new("calibrations").join(&model.id);
            let Some(Asked { ran, run }) = ask_all(asked, ready, &name, context).await? else {
                return Ok(());
            };
            ended(ran)?;
            work.measure(run.journal())?
        }
    };
    let output = context.output;
    let Some(calibration) = measured.calibration.clone() else {
        return Err(CliError::new(
            Kind::Data,
            format!("{} answers of {model} came with a confidence and a verdict; twenty are needed", measured.examples),
        )
        .hint("a model has to tell log-probabilities, and the held-out rows need turns of an agent; --turns asks for more"));
    };
    if !args.bulk.is_dry_run() {
        // Without models it routes nothing; it keeps the books as the server does.
        let books = Router::new(Vec::new(), RouterPolicy::default(), store, context.clock.clone());
        books.calibrate(&model.id, calibration.clone()).await?;
    }
    if output.is_json() {
        let told = json!({"event": "result", "model": model.id, "kept": !args.bulk.is_dry_run(), "measured": measured});
        return output.json(&told);
    }
    output.line(format_args!("{}: {}", model.id, quality(&calibration)))?;
    output.note(format!(
        "{} of {} answers were right; {} came from verdicts, {} without a confidence, {} called a tool wrongly, {} were not answered.",
        measured.right,
        measured.examples,
        measured.from_verdicts,
        measured.without_confidence,
        measured.bad_calls,
        measured.without_answer
    ));
    Ok(())
}
