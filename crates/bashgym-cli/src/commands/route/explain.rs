//! `bashgym route explain`.

use bashgym_core::router::{DecisionId, DecisionRecord, TryEnd};
use clap::Args;
use hf_inference::NanoUsd;

use super::{cost, find, strategy, verdict_word};
use crate::context::Context;
use crate::error::CliError;
use crate::output::{plain, table};

/// Shows everything about one decision.
#[derive(Debug, Args)]
#[command(after_help = "\
The id stands in the answer's header `x-bashgym-decision`, and in `bashgym route ls`.

Example: bashgym --format json route explain 01a2061a-5095-773f-a89f-ade87d315072")]
pub(crate) struct ExplainArgs {
    /// The decision
    #[arg(value_name = "ID")]
    id: DecisionId,
}

pub(crate) async fn run(args: &ExplainArgs, context: &Context) -> Result<(), CliError> {
    let record = find(args.id, context).await?;
    let output = context.output;
    if !output.is_human() {
        return output.json(&record);
    }
    output.line(format_args!(
        "{} for {} ({}, {} messages, {} bytes): {}",
        strategy(&record),
        plain(record.purpose.as_deref().unwrap_or("a call")),
        plain(&record.bucket),
        record.features.messages,
        record.features.prompt_bytes,
        plain(&record.reason)
    ))?;
    output.line(format_args!(
        "{} in {} ms, {}; right: {}\n",
        if record.succeeded {
            "answered"
        } else {
            "not answered"
        },
        record.millis,
        cost(&record),
        verdict_word(&record)
    ))?;
    output.line(candidates(&record))?;
    output.line("")?;
    output.line(tries(&record))
}

fn candidates(record: &DecisionRecord) -> comfy_table::Table {
    let mut shown = table(&[
        "candidate",
        "part",
        "right at least",
        "on average",
        "verdicts",
        "expected cost",
        "left out",
    ]);
    for it in &record.candidates {
        let cost = it.expected_nano_usd.map_or_else(
            || "not known".to_owned(),
            |nano| format!("${:.6}", NanoUsd::new(nano).to_usd()),
        );
        shown.add_row([
            plain(&it.model),
            it.role.to_string(),
            format!("{:.0} %", it.belief.low * 100.0),
            format!("{:.0} %", it.belief.mean * 100.0),
            format!("{:.0}", it.belief.verdicts),
            cost,
            plain(it.left_out.as_deref().unwrap_or("-")),
        ]);
    }
    shown
}

fn tries(record: &DecisionRecord) -> comfy_table::Table {
    let mut shown = table(&["asked", "came to", "how sure", "tokens", "cost", "ms", "why"]);
    for it in &record.tries {
        let end = match it.end {
            TryEnd::Answered => "answered",
            TryEnd::Escalated => "not sure enough",
            TryEnd::Failed => "failed",
            TryEnd::Refused => "refused by the budget",
            TryEnd::BrokeOff => "broke off",
            TryEnd::Dropped => "the caller left",
        };
        let sure = it.confidence.map_or_else(
            || "-".to_owned(),
            |it| {
                let how = if it.calibrated { "" } else { ", not calibrated" };
                format!("{:.0} %{how}", it.probability * 100.0)
            },
        );
        let cost = match it.cost.map(hf_inference::Cost::amount) {
            None => "nothing".to_owned(),
            Some(None) => "not known".to_owned(),
            Some(Some(amount)) => amount.to_string(),
        };
        shown.add_row([
            plain(&it.model),
            end.to_owned(),
            sure,
            it.usage
                .map_or_else(|| "-".to_owned(), |usage| usage.total().to_string()),
            cost,
            it.millis.to_string(),
            plain(it.error.as_deref().unwrap_or("-")),
        ]);
    }
    shown
}
