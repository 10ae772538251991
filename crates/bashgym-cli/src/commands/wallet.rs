//! `bashgym wallet`: what was spent, what the plan includes, how much quota is left.

use clap::Args;
use hf_core::{Part, Wallet};

use crate::account::Look;
use crate::context::Context;
use crate::error::CliError;
use crate::output::{bytes, plain, table};

/// What was spent, what the plan includes, and how much quota is left.
#[derive(Debug, Args)]
#[command(after_help = "\
Each part stands for itself: what the Hub does not tell says why. The credit balance has no endpoint.

Examples:
  bashgym wallet                 your account
  bashgym wallet --org lab       an organisation
  bashgym --format json wallet   for scripts")]
pub(crate) struct WalletArgs {}

pub(crate) async fn run(_: WalletArgs, context: &Context) -> Result<(), CliError> {
    let wallet = Look::take(context).await?.wallet().await;
    if context.output.is_human() {
        return context.output.line(shown(&wallet));
    }
    context.output.json(&wallet)
}

/// The wallet as a table.
pub(crate) fn shown(wallet: &Wallet) -> comfy_table::Table {
    let mut shown = table(&["what", "value", "about"]);
    let mut add = |what: &str, value: String, about: String| {
        shown.add_row([what.to_owned(), value, plain(&about)]);
    };
    if let Some(credit) = &wallet.plan_credit {
        let amount = match (credit.usd, credit.per_seat) {
            (Some(usd), true) => format!("${usd:.2} a seat and month"),
            (Some(usd), false) => format!("${usd:.2} a month"),
            (None, _) => "not documented".to_owned(),
        };
        add(
            "credit of the plan",
            amount,
            format!("{}; for {}", credit.plan, credit.pays_for),
        );
    }
    match same_for_all(wallet) {
        Some((why, unlock)) => add("wallet", "not known".to_owned(), format!("{why}; {unlock}")),
        None => parts(wallet, &mut add),
    }
    add(
        "balance",
        "no endpoint".to_owned(),
        format!("{}: {}", wallet.balance.why, wallet.balance.url),
    );
    shown
}

/// Each part by itself.
fn parts(wallet: &Wallet, add: &mut impl FnMut(&str, String, String)) {
    match &wallet.spend {
        Part::Known(spend) => {
            let until = spend
                .period_end
                .map(|end| format!("until {end}"))
                .unwrap_or_default();
            add("spent", format!("${:.2}", spend.total_usd), until);
            for service in &spend.services {
                add(
                    &format!("  {}", plain(&service.service)),
                    format!("${:.2}", service.usd),
                    String::new(),
                );
            }
        }
        Part::Unavailable { why, unlock } => add("spent", "not known".to_owned(), format!("{why}; {unlock}")),
    }
    match &wallet.jobs {
        Part::Known(jobs) => add(
            "jobs",
            format!("${:.2}", jobs.usd),
            format!("{} jobs, {:.1} min", jobs.jobs, jobs.minutes),
        ),
        Part::Unavailable { why, unlock } => add("jobs", "not known".to_owned(), format!("{why}; {unlock}")),
    }
    match &wallet.inference {
        Part::Known(credit) => add(
            "inference",
            format!("${:.2}", credit.used_usd),
            credit
                .included_usd
                .map(|usd| format!("of ${usd:.2} included"))
                .unwrap_or_default(),
        ),
        Part::Unavailable { why, unlock } => {
            add("inference", "not known".to_owned(), format!("{why}; {unlock}"));
        }
    }
    match &wallet.zero_gpu {
        Part::Known(quota) => add(
            "ZeroGPU",
            format!("{:.0} s left of {:.0} s", quota.left_seconds, quota.base_seconds),
            quota
                .resets_at
                .map_or_else(|| "not used yet".to_owned(), |at| format!("resets at {at}")),
        ),
        Part::Unavailable { why, unlock } => {
            add("ZeroGPU", "not known".to_owned(), format!("{why}; {unlock}"));
        }
    }
    match &wallet.storage {
        Part::Known(storage) => add(
            "storage",
            format!("{} private", bytes(storage.private_bytes)),
            format!(
                "{} public, {} repositories",
                bytes(storage.public_bytes),
                storage.repositories
            ),
        ),
        Part::Unavailable { why, unlock } => {
            add("storage", "not known".to_owned(), format!("{why}; {unlock}"));
        }
    }
}

/// Why nothing is known, and what to do, when it is one reason for all parts.
fn same_for_all(wallet: &Wallet) -> Option<(&str, &str)> {
    fn gap<T>(part: &Part<T>) -> Option<(&str, &str)> {
        match part {
            Part::Known(_) => None,
            Part::Unavailable { why, unlock } => Some((why, unlock)),
        }
    }
    let first = gap(&wallet.spend)?;
    let others = [
        gap(&wallet.jobs),
        gap(&wallet.inference),
        gap(&wallet.zero_gpu),
        gap(&wallet.storage),
    ];
    others.iter().all(|other| *other == Some(first)).then_some(first)
}
