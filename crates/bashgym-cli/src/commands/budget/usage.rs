//! `bashgym budget usage`: sums of what was set aside and spent.

use bashgym_core::ledger::{Book, Ledger, Service, Totals, UsageBy};
use clap::{Args, ValueEnum};
use hf_core::Clock;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{BookArgs, Usd};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::{plain, table};

/// Adds up.
#[derive(Debug, Args)]
pub(crate) struct UsageArgs {
    #[command(flatten)]
    pub(super) book: BookArgs,
    /// What to add up by
    #[arg(long, value_enum, default_value = "service")]
    by: By,
    /// From this day on (UTC), as 2026-11-22; for service, day and month
    #[arg(long, value_name = "DAY")]
    from: Option<Date>,
    /// Up to this day (UTC), itself included
    #[arg(long, value_name = "DAY")]
    until: Option<Date>,
    /// How many lines at most
    #[arg(long, value_name = "N", default_value_t = 100)]
    limit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum By {
    Service,
    Day,
    Month,
    Run,
    Purpose,
}

#[derive(Serialize)]
struct UsageLine {
    book: Book,
    by: &'static str,
    name: String,
    service: Service,
    entries: i64,
    unknown_entries: i64,
    reserved_usd: Usd,
    settled_usd: Usd,
}

pub(super) async fn usage(args: &UsageArgs, ledger: &Ledger, context: &Context) -> Result<(), CliError> {
    let lines = usage_lines(args, ledger, context.clock.as_ref()).await?;
    if context.output.is_json() {
        return lines.iter().try_for_each(|line| context.output.json(line));
    }
    let mut shown = table(&[
        "name",
        "service",
        "entries",
        "unknown",
        "reserved USD",
        "settled USD",
    ]);
    for line in &lines {
        if !context.output.is_human() {
            context.output.line(&line.name)?;
        }
        shown.add_row([
            plain(&line.name),
            line.service.to_string(),
            line.entries.to_string(),
            line.unknown_entries.to_string(),
            line.reserved_usd.text(),
            line.settled_usd.text(),
        ]);
    }
    if context.output.is_human() {
        context.output.line(shown)?;
        super::remark(ledger, context);
    }
    Ok(())
}

async fn usage_lines(
    args: &UsageArgs,
    ledger: &Ledger,
    clock: &dyn Clock,
) -> Result<Vec<UsageLine>, CliError> {
    let line = |by: &'static str, name: String, service, totals: Totals| UsageLine {
        book: ledger.book(),
        by,
        name,
        service,
        entries: totals.entries,
        unknown_entries: totals.unknown,
        reserved_usd: Usd(totals.reserved_micro_usd),
        settled_usd: Usd(totals.settled_micro_usd),
    };
    let today = clock.now().to_zoned(TimeZone::UTC).date();
    let (from, until) = (args.from, args.until.unwrap_or(today));
    let by = match args.by {
        By::Service => {
            let from = from.map_or_else(String::new, |day| day.to_string());
            let sums = ledger.usage_by_service(&from, &until.to_string()).await?;
            return Ok(sums
                .into_iter()
                .map(|(service, totals)| line("service", service.to_string(), service, totals))
                .collect());
        }
        By::Day => UsageBy::Day,
        By::Month => UsageBy::Month,
        By::Run => UsageBy::Run,
        By::Purpose => UsageBy::Purpose,
    };
    let dated = matches!(args.by, By::Day | By::Month);
    if !dated && (args.from.is_some() || args.until.is_some()) {
        return Err(CliError::new(
            Kind::Usage,
            format!("sums by {} are over all time", by.as_str()),
        )
        .hint("name the days with `bashgym budget ls --from DAY --until DAY`, or add up by service, day or month"));
    }
    let pattern = if args.by == By::Month { "%Y-%m" } else { "%Y-%m-%d" };
    let name = |day: Date| day.strftime(pattern).to_string();
    let (first, last) = (from.map(name), dated.then(|| name(until)));
    let rows = ledger
        .usage(by, first.as_deref(), last.as_deref(), args.limit)
        .await?;
    Ok(rows
        .into_iter()
        .map(|row| line(by.as_str(), row.bucket, row.service, row.totals))
        .collect())
}
