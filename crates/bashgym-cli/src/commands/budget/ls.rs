//! `bashgym budget ls`: what was set aside and spent, entry by entry.

use bashgym_core::ledger::{Book, EntryFilter, EntryState, Ledger, LedgerEntry, Service};
use bashgym_core::run::RunId;
use clap::Args;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::Serialize;

use super::{BookArgs, Usd};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::{plain, table};

/// Lists entries.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    #[command(flatten)]
    pub(super) book: BookArgs,
    /// Only this service: jobs, inference, spaces
    #[arg(long, value_name = "SERVICE")]
    service: Option<Service>,
    /// Only this run
    #[arg(long, value_name = "RUN")]
    run: Option<RunId>,
    /// Only this purpose
    #[arg(long, value_name = "TEXT")]
    purpose: Option<String>,
    /// Only from this day on (UTC), as 2026-11-22
    #[arg(long, value_name = "DAY")]
    from: Option<Date>,
    /// Only up to this day (UTC), itself included
    #[arg(long, value_name = "DAY")]
    until: Option<Date>,
    /// Only the entry of this key
    #[arg(long, value_name = "KEY", conflicts_with_all = ["book", "service", "run", "purpose", "from", "until"])]
    key: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

#[derive(Serialize)]
struct EntryLine<'a> {
    key: &'a str,
    book: Book,
    service: Service,
    run_id: Option<RunId>,
    purpose: &'a str,
    state: &'static str,
    /// The most it could cost; null if the price was not known.
    worst_usd: Option<Usd>,
    /// What it cost; null as long as it is open, if nothing was spent, or if nobody knows.
    cost_usd: Option<Usd>,
    cost_source: Option<&'static str>,
    reason: Option<&'a str>,
    reserved_at: Timestamp,
    closed_at: Option<Timestamp>,
}

impl<'a> EntryLine<'a> {
    fn new(entry: &'a LedgerEntry) -> Self {
        let (cost_usd, cost_source, reason, closed_at) = match &entry.state {
            EntryState::Reserved => (None, None, None, None),
            EntryState::Settled { amount, source, at } => {
                (amount.map(Usd::of), Some(source.as_str()), None, Some(*at))
            }
            EntryState::Released { reason, at } => (None, None, Some(reason.as_str()), Some(*at)),
        };
        Self {
            key: &entry.key,
            book: entry.book,
            service: entry.service,
            run_id: entry.run,
            purpose: &entry.purpose,
            state: entry.state.as_str(),
            worst_usd: entry.worst.map(Usd::of),
            cost_usd,
            cost_source,
            reason,
            reserved_at: entry.reserved_at,
            closed_at,
        }
    }
}

pub(super) async fn list(args: &LsArgs, ledger: &Ledger, context: &Context) -> Result<(), CliError> {
    let entries = if let Some(key) = &args.key {
        let entry = ledger.entry(key).await?.ok_or_else(|| {
            CliError::new(Kind::NotFound, format!("the ledger has no entry {key}")).hint("bashgym budget ls")
        })?;
        vec![entry]
    } else {
        let filter = EntryFilter {
            book: Some(ledger.book()),
            service: args.service,
            run: args.run,
            purpose: args.purpose.clone(),
            from: args.from.map(midnight),
            until: args.until.map(|day| midnight(day.saturating_add(1.day()))),
        };
        ledger.entries(&filter, None, args.limit).await?
    };
    if context.output.is_json() {
        return entries
            .iter()
            .try_for_each(|entry| context.output.json(&EntryLine::new(entry)));
    }
    if !context.output.is_human() {
        return entries
            .iter()
            .try_for_each(|entry| context.output.line(&entry.key));
    }
    if entries.is_empty() {
        context.output.note("Nothing was set aside or spent.");
        return Ok(());
    }
    let mut shown = table(&[
        "reserved (UTC)",
        "service",
        "purpose",
        "state",
        "worst USD",
        "cost USD",
        "from",
        "key",
    ]);
    for entry in &entries {
        let line = EntryLine::new(entry);
        let unknown_cost = if line.state == "settled" { "unknown" } else { "-" };
        shown.add_row([
            entry.reserved_at.strftime("%Y-%m-%d %H:%M").to_string(),
            line.service.to_string(),
            plain(line.purpose),
            line.state.to_owned(),
            line.worst_usd.map_or_else(|| "unknown".to_owned(), Usd::text),
            line.cost_usd.map_or_else(|| unknown_cost.to_owned(), Usd::text),
            line.cost_source
                .or(line.reason)
                .map_or_else(|| "-".to_owned(), plain),
            plain(line.key),
        ]);
    }
    context.output.line(shown)?;
    super::remark(ledger, context);
    Ok(())
}

/// When a day begins. The last days of the calendar lie beyond all times, and so after every entry.
fn midnight(day: Date) -> Timestamp {
    let beyond = if day.year() > 0 {
        Timestamp::MAX
    } else {
        Timestamp::MIN
    };
    day.to_zoned(TimeZone::UTC)
        .map_or(beyond, |zoned| zoned.timestamp())
}
