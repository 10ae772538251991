//! `bashgym infer usage`.

use bashgym_core::inference::{CallStore, CallSums, UsageBy, UsageRow};
use clap::Args;
use hf_inference::NanoUsd;
use serde::Serialize;

use crate::context::Context;
use crate::error::CliError;
use crate::output::{plain, table};

/// Adds up the calls that were made from this machine.
#[derive(Debug, Args)]
#[command(after_help = "\
What a provider did not price is counted, not added: a cost is at least what is shown. `bashgym wallet` asks Hugging
Face what it billed.

Examples:
  bashgym infer usage --by model
  bashgym --format json infer usage --by day")]
pub(crate) struct UsageArgs {
    /// What to add up by: model, provider, day, purpose, total
    #[arg(long, value_name = "WHAT", default_value = "model")]
    by: UsageBy,
    /// Rows at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
}

#[derive(Serialize)]
struct Shown<'a> {
    by: &'static str,
    bucket: &'a str,
    #[serde(flatten)]
    sums: CallSums,
    cost_usd: f64,
}

pub(crate) async fn run(args: &UsageArgs, context: &Context) -> Result<(), CliError> {
    let rows = context
        .store()
        .await?
        .list_call_usage(args.by, args.limit)
        .await?;
    let output = context.output;
    let dollars = |row: &UsageRow| NanoUsd::new(row.sums.nano_usd).to_usd();
    if output.is_human() {
        if rows.is_empty() {
            output.note("No call was made yet.");
            return Ok(());
        }
        let mut shown = table(&[
            args.by.as_str(),
            "calls",
            "failed",
            "tokens in",
            "out",
            "cost",
            "not priced",
        ]);
        for row in &rows {
            shown.add_row([
                plain(&row.bucket),
                row.sums.calls.to_string(),
                row.sums.failed.to_string(),
                row.sums.prompt_tokens.to_string(),
                row.sums.completion_tokens.to_string(),
                format!("${:.6}", dollars(row)),
                row.sums.unknown_cost.to_string(),
            ]);
        }
        return output.line(shown);
    }
    for row in &rows {
        output.json(&Shown {
            by: args.by.as_str(),
            bucket: &row.bucket,
            sums: row.sums,
            cost_usd: dollars(row),
        })?;
    }
    Ok(())
}
