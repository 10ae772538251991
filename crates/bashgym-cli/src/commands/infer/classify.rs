//! `bashgym infer classify`.

use clap::Args;
use hf_inference::Label;
use serde::Serialize;

use super::{CallOptions, Told, aside, text_or_stdin};
use crate::context::Context;
use crate::error::CliError;
use crate::output::{plain, table};

/// Says which labels fit a text.
#[derive(Debug, Args)]
#[command(after_help = "\
Providers name no price for classification, so on Hugging Face this asks for --allow-unknown-price.

Examples:
  bashgym infer classify --model distilbert/distilbert-base-uncased-finetuned-sst-2-english 'It works!'")]
pub(crate) struct ClassifyArgs {
    #[command(flatten)]
    call: CallOptions,
    /// The text; standard input without it
    #[arg(value_name = "TEXT")]
    text: Option<String>,
    /// Labels at most
    #[arg(long, value_name = "N")]
    top_k: Option<u32>,
}

#[derive(Serialize)]
struct Answer<'a> {
    labels: &'a [Label],
    model: &'a str,
    #[serde(flatten)]
    told: Told<'a>,
}

pub(crate) async fn run(args: ClassifyArgs, context: &Context) -> Result<(), CliError> {
    let text = text_or_stdin(args.text.as_ref())?;
    let desk = args.call.desk(context).await?;
    // Nobody names a price for it but the Hub on this machine.
    args.call
        .within(desk.is_free().then_some(hf_core::MicroUsd::ZERO))?;
    let answer = desk.classify(&args.call.model, &text, args.top_k).await?;
    let output = context.output;
    if output.is_json() {
        return output.json(&Answer {
            labels: &answer.labels,
            model: &answer.report.model,
            told: Told::from(&answer.report),
        });
    }
    if !output.is_human() {
        let first = answer.labels.first().map_or("", |label| label.label.as_str());
        return output.line(plain(first));
    }
    let mut shown = table(&["label", "score"]);
    for label in &answer.labels {
        shown.add_row([plain(&label.label), format!("{:.4}", label.score)]);
    }
    output.line(shown)?;
    output.note(aside(&answer.report));
    Ok(())
}
