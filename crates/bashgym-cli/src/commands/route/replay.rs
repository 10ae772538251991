//! `bashgym route replay`.

use bashgym_core::router::{Recorded, ReplaySum, RoutingStrategy, Seen};
use clap::Args;

use super::Since;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::table;

/// Runs a strategy over the calls that were made.
#[derive(Debug, Args)]
#[command(after_help = "\
What another model would have answered is not known. Where the strategy would have asked the model that did answer, its verdict
and cost count; elsewhere what was believed of the model at the time. The more verdicts there are, the more this says.

Examples:
  bashgym route replay --strategy cost_optimized:0.9
  bashgym --format json route replay --strategy teacher_only --since 7d")]
pub(crate) struct ReplayArgs {
    #[arg(
        long,
        value_name = "STRATEGY",
        help = "teacher_only, student_only, hf_inference, confidence_based or cost_optimized; the last two with a quality \
                behind a colon if you like"
    )]
    strategy: RoutingStrategy,
    #[command(flatten)]
    since: Since,
    /// Calls at most, the newest
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    limit: u32,
}

pub(crate) async fn run(args: &ReplayArgs, context: &Context) -> Result<(), CliError> {
    if let Some((why, instead)) = args.strategy.why_no_replay() {
        return Err(CliError::new(Kind::Usage, why).hint(instead));
    }
    let filter = args.since.filter(context)?;
    let store = context.store().await?;
    let recorded = Recorded::read(&store, &filter, args.limit as usize).await?;
    let replay = recorded.replay(args.strategy);
    let output = context.output;
    if !output.is_human() {
        return output.json(&replay);
    }
    if replay.done.calls == 0 {
        output.note("No answered call left the choice to the router.");
        return Ok(());
    }
    let mut shown = table(&[
        "",
        "calls",
        "cost",
        "right (at least)",
        "judged",
        "asked twice",
        "by the student",
    ]);
    let would = args.strategy.to_string();
    for (what, sum) in [("was done", &replay.done), (would.as_str(), &replay.would)] {
        shown.add_row(row(what, sum));
    }
    output.line(shown)?;
    output.note(seen(&replay.seen));
    if replay.named > 0 {
        output.note(format!(
            "{} calls named their model and are left out.",
            replay.named
        ));
    }
    Ok(())
}

/// What verdicts alone say, for a person.
fn seen(seen: &Seen) -> String {
    let (Some(quality), Some((low, high))) = (seen.quality, seen.quality_interval) else {
        return "Nobody judged an answer it would have given too: what it is worth is only believed."
            .to_owned();
    };
    let told = format!(
        "By {} verdicts on answers it would have given too: right {:.1} % (90 %: {:.1} to {:.1} %), for {:.0} % of the judged calls.",
        seen.verdicts,
        quality * 100.0,
        low * 100.0,
        high * 100.0,
        seen.covered * 100.0
    );
    if seen.is_thin {
        format!("{told} That is too little to go by.")
    } else {
        told
    }
}

fn row(what: &str, sum: &ReplaySum) -> [String; 7] {
    let cost = format!("${:.6}", sum.nano_usd / 1e9);
    [
        what.to_owned(),
        sum.calls.to_string(),
        if sum.unknown_cost == 0 {
            cost
        } else {
            format!("{cost}, {} not known", sum.unknown_cost)
        },
        format!("{:.1} % ({:.1} %)", sum.quality * 100.0, sum.quality_low * 100.0),
        sum.judged.to_string(),
        format!("{:.1} %", sum.escalated * 100.0),
        format!("{:.1} %", sum.student * 100.0),
    ]
}
