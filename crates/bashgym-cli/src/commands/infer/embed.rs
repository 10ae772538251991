//! `bashgym infer embed`.

use clap::Args;
use hf_inference::EmbedOptions;
use serde::Serialize;

use super::{CallOptions, Told, aside, text_or_stdin};
use crate::context::Context;
use crate::error::CliError;

/// Turns texts into vectors.
#[derive(Debug, Args)]
#[command(after_help = "\
Without a text, each line of standard input is one. Providers name no price for embeddings, so on Hugging Face this asks
for --allow-unknown-price.

Examples:
  bashgym infer embed --model BAAI/bge-large-en-v1.5 'ls -la' 'list all files'
  bashgym --format json infer embed --model org/name --normalize < lines.txt")]
pub(crate) struct EmbedArgs {
    #[command(flatten)]
    call: CallOptions,
    /// The texts; the lines of standard input without any
    #[arg(value_name = "TEXT")]
    texts: Vec<String>,
    /// Scale each vector to length 1
    #[arg(long)]
    normalize: bool,
}

#[derive(Serialize)]
struct Answer<'a> {
    vectors: &'a [Vec<f32>],
    dimensions: usize,
    model: &'a str,
    #[serde(flatten)]
    told: Told<'a>,
}

pub(crate) async fn run(args: EmbedArgs, context: &Context) -> Result<(), CliError> {
    let texts = if args.texts.is_empty() {
        let lines = text_or_stdin(None)?;
        lines.lines().map(str::to_owned).collect()
    } else {
        args.texts
    };
    let desk = args.call.desk(context).await?;
    // Nobody names a price for it but the Hub on this machine.
    args.call
        .within(desk.is_free().then_some(hf_core::MicroUsd::ZERO))?;
    let options = EmbedOptions {
        normalize: args.normalize,
        purpose: Some("infer embed".to_owned()),
        ..EmbedOptions::default()
    };
    let answer = desk.embed(&args.call.model, &texts, &options).await?;
    let output = context.output;
    let dimensions = answer.vectors.first().map_or(0, Vec::len);
    if output.is_human() {
        output.line(format!(
            "{} vectors of {dimensions} numbers; --format json prints them",
            answer.vectors.len()
        ))?;
        output.note(aside(&answer.report));
        return Ok(());
    }
    output.json(&Answer {
        vectors: &answer.vectors,
        dimensions,
        model: &answer.report.model,
        told: Told::from(&answer.report),
    })
}
