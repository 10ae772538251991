//! `bashgym infer usage`.

use bashgym_core::inference::{CallStore, CallSums, HubCalls, UsageBy, UsageRow, hub_calls};
use clap::Args;
use hf_core::Part;
use hf_inference::NanoUsd;
use serde::Serialize;

use crate::account::Look;
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
  bashgym --format json infer usage --by day
  bashgym infer usage --reconcile                what Hugging Face billed, beside what was counted here")]
pub(crate) struct UsageArgs {
    /// What to add up by: model, provider, day, purpose, total
    #[arg(long, value_name = "WHAT", default_value = "model")]
    by: UsageBy,
    /// Rows at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
    /// Compare with what Hugging Face billed in its running period; the token has to be one that may read that
    #[arg(long, conflicts_with_all = ["by", "limit"])]
    reconcile: bool,
}

/// What was counted here, and what was billed.
#[derive(Serialize)]
struct Reconciled {
    /// The period's beginning; the month's, where Hugging Face does not tell it.
    since: jiff::Timestamp,
    #[serde(flatten)]
    here: HubCalls,
    cost_usd: f64,
    /// US dollars; null when it cannot be read.
    billed_usd: Option<f64>,
    billed_requests: Option<u64>,
    /// What was billed beyond what is known here; calls of unknown cost are in it, and so is what other programs asked.
    difference_usd: Option<f64>,
    /// Why there is no bill.
    why: Option<String>,
}

async fn reconcile(context: &Context) -> Result<(), CliError> {
    let wallet = Look::take(context).await?.wallet().await;
    let told = wallet.spend.known().and_then(|spend| spend.period_start);
    let now = context.clock.now().to_zoned(jiff::tz::TimeZone::UTC);
    let month = now.date().first_of_month().to_zoned(jiff::tz::TimeZone::UTC);
    let since = told.or_else(|| month.ok().map(|month| month.timestamp()));
    let since = since.unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    let here = hub_calls(&context.store().await?, since).await?;
    let billed = wallet.inference.known();
    let why = match &wallet.inference {
        Part::Known(_) => None,
        Part::Unavailable { why, .. } => Some(why.clone()),
    };
    let shown = Reconciled {
        since,
        here,
        cost_usd: here.cost_usd(),
        billed_usd: billed.map(|credit| credit.used_usd),
        billed_requests: billed.and_then(|credit| credit.requests),
        difference_usd: billed.map(|credit| credit.used_usd - here.cost_usd()),
        why,
    };
    let output = context.output;
    if !output.is_human() {
        return output.json(&shown);
    }
    let not_known = || "not known".to_owned();
    let mut rows = table(&["since", "", "calls", "cost", "not priced"]);
    rows.add_row([
        since.to_string(),
        "counted here".to_owned(),
        here.sums.calls.to_string(),
        format!("${:.6}", shown.cost_usd),
        here.sums.unknown_cost.to_string(),
    ]);
    rows.add_row([
        String::new(),
        "billed".to_owned(),
        shown
            .billed_requests
            .map_or_else(not_known, |count| count.to_string()),
        shown
            .billed_usd
            .map_or_else(not_known, |usd| format!("${usd:.6}")),
        String::new(),
    ]);
    output.line(rows)?;
    match (&shown.why, shown.difference_usd) {
        (Some(why), _) => output.note(format!("What was billed is not known: {}", plain(why))),
        (None, Some(difference)) => output.note(format!(
            "Billed beyond what is known here: ${difference:.6}; calls without a price and other programs are in it."
        )),
        (None, None) => {}
    }
    if here.elsewhere > 0 {
        output.note(format!(
            "{} calls were made elsewhere and are not on this bill.",
            here.elsewhere
        ));
    }
    Ok(())
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
    if args.reconcile {
        return reconcile(context).await;
    }
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
