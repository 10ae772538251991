//! `bashgym budget show`: what is left.

use std::collections::BTreeMap;

use bashgym_core::ledger::{Book, CapScope, CapStatus, Ledger, Overview, Service, Totals, Window};
use bashgym_core::run::RunId;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{BookArgs, Usd};
use crate::context::Context;
use crate::error::CliError;
use crate::output::table;

/// Shows what is left.
#[derive(Debug, Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    pub(super) book: BookArgs,
    /// A run, to see what its caps have left
    #[arg(long, value_name = "RUN")]
    run: Option<RunId>,
}

/// A cap, or the day where there is none, and what counts in it.
#[derive(Serialize)]
struct Standing {
    service: CapScope,
    window: Window,
    cap_usd: Option<Usd>,
    reserved_usd: Option<Usd>,
    settled_usd: Option<Usd>,
    left_usd: Option<Usd>,
    resets_at: Option<Timestamp>,
    unknown_entries: Option<i64>,
}

impl Standing {
    fn of_cap(status: &CapStatus) -> Self {
        Self {
            cap_usd: Some(Usd::of(status.cap.amount)),
            left_usd: status.left().map(Usd::of),
            resets_at: status.resets_at,
            ..Self::uncapped(status.cap.scope, status.cap.window, status.used)
        }
    }

    fn uncapped(service: CapScope, window: Window, used: Option<Totals>) -> Self {
        Self {
            service,
            window,
            cap_usd: None,
            reserved_usd: used.map(|used| Usd(used.reserved_micro_usd)),
            settled_usd: used.map(|used| Usd(used.settled_micro_usd)),
            left_usd: None,
            resets_at: None,
            unknown_entries: used.map(|used| used.unknown),
        }
    }

    /// The cap that has the least left; without one that can be told, the day.
    fn tightest(overview: &Overview, scope: CapScope) -> Self {
        match overview.tightest(scope) {
            Some(status) if status.used.is_some() => Self::of_cap(status),
            _ => Self::uncapped(scope, Window::Day, overview.used(scope, Window::Day)),
        }
    }
}

#[derive(Serialize)]
struct Shown<'a> {
    at: Timestamp,
    book: Book,
    timezone: &'static str,
    cap_usd: BTreeMap<&'static str, Option<Usd>>,
    reserved_usd: BTreeMap<&'static str, Option<Usd>>,
    settled_usd: BTreeMap<&'static str, Option<Usd>>,
    left_usd: BTreeMap<&'static str, Option<Usd>>,
    services: BTreeMap<&'static str, &'a Standing>,
    caps: Vec<Standing>,
}

pub(super) async fn show(args: &ShowArgs, ledger: &Ledger, context: &Context) -> Result<(), CliError> {
    let overview = &ledger.overview(args.run).await?;
    let scopes = Service::ALL.into_iter().map(CapScope::One).chain([CapScope::All]);
    let standings: Vec<Standing> = scopes.map(|scope| Standing::tightest(overview, scope)).collect();
    let caps: Vec<Standing> = overview.caps.iter().map(Standing::of_cap).collect();
    if context.output.is_human() {
        let uncapped = standings.iter().filter(|standing| {
            standing.cap_usd.is_none() && !caps.iter().any(|cap| cap.service == standing.service)
        });
        show_table(caps.iter().chain(uncapped), context)?;
        super::remark(ledger, context);
        return Ok(());
    }
    let by_service = |value: fn(&Standing) -> Option<Usd>| {
        standings
            .iter()
            .map(|standing| (standing.service.as_str(), value(standing)))
            .collect()
    };
    context.output.json(&Shown {
        at: overview.at,
        book: ledger.book(),
        timezone: "UTC",
        cap_usd: by_service(|standing| standing.cap_usd),
        reserved_usd: by_service(|standing| standing.reserved_usd),
        settled_usd: by_service(|standing| standing.settled_usd),
        left_usd: by_service(|standing| standing.left_usd),
        services: standings
            .iter()
            .map(|standing| (standing.service.as_str(), standing))
            .collect(),
        caps,
    })
}

fn show_table<'a>(standings: impl Iterator<Item = &'a Standing>, context: &Context) -> Result<(), CliError> {
    let mut shown = table(&[
        "service",
        "per",
        "cap USD",
        "reserved",
        "settled",
        "left",
        "begins anew",
    ]);
    let mut unknown = 0;
    let usd = |amount: Option<Usd>| amount.map_or_else(|| "-".to_owned(), Usd::text);
    for standing in standings {
        if standing.window != Window::Run {
            unknown = unknown.max(standing.unknown_entries.unwrap_or_default());
        }
        shown.add_row([
            standing.service.to_string(),
            standing.window.to_string(),
            usd(standing.cap_usd),
            usd(standing.reserved_usd),
            usd(standing.settled_usd),
            usd(standing.left_usd),
            standing
                .resets_at
                .map_or_else(|| "-".to_owned(), |at| at.to_string()),
        ]);
    }
    context.output.line(shown)?;
    if unknown > 0 {
        context.output.note(format!(
            "{unknown} of these cost an unknown amount, which is in no sum: `bashgym budget ls` names them."
        ));
    }
    Ok(())
}
