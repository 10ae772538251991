//! `bashgym budget`: what may be spent, what is set aside, and what was spent.

mod ls;
mod show;
mod usage;

use bashgym_core::ledger::{Book, Cap, CapScope, Ledger, MicroUsd, Window, decimal_usd};
use clap::{Args, Subcommand};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::context::Context;
use crate::error::{CliError, Kind};

/// What may be spent, what is set aside, and what was spent.
#[derive(Debug, Subcommand)]
pub(crate) enum BudgetCommand {
    /// Set how much may be spent at most
    #[command(after_help = "\
Amounts are US dollars. Days and months are those of UTC. Before anything is spent its worst case is set aside;
what would pass a cap is refused with exit code 5.

Examples:
  bashgym budget set --service jobs --day 1.00
  bashgym budget set --month 50 --run 5")]
    Set(SetArgs),
    /// Remove caps
    Unset(UnsetArgs),
    /// Show what is left
    Show(show::ShowArgs),
    /// List what was set aside and spent, newest first
    Ls(ls::LsArgs),
    /// Add up what was set aside and spent
    Usage(usage::UsageArgs),
}

/// Sets caps.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// What the caps watch: jobs, inference, spaces, or all together
    #[arg(long, value_name = "SERVICE", default_value = "all")]
    service: CapScope,
    #[command(flatten)]
    amounts: Amounts,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Amounts {
    /// The most a day (UTC)
    #[arg(long, value_name = "USD")]
    day: Option<MicroUsd>,
    /// The most a calendar month (UTC)
    #[arg(long, value_name = "USD")]
    month: Option<MicroUsd>,
    /// The most a run; each run has the whole amount
    #[arg(long, value_name = "USD")]
    run: Option<MicroUsd>,
    /// The most in all
    #[arg(long, value_name = "USD")]
    total: Option<MicroUsd>,
}

/// Removes caps.
#[derive(Debug, Args)]
pub(crate) struct UnsetArgs {
    /// What the caps watch: jobs, inference, spaces, or all together
    #[arg(long, value_name = "SERVICE", default_value = "all")]
    service: CapScope,
    #[command(flatten)]
    windows: Windows,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
struct Windows {
    /// Remove the cap a day
    #[arg(long)]
    day: bool,
    /// Remove the cap a month
    #[arg(long)]
    month: bool,
    /// Remove the cap a run
    #[arg(long)]
    run: bool,
    /// Remove the cap in all
    #[arg(long)]
    total: bool,
}

/// Which book is opened.
#[derive(Debug, Args)]
struct BookArgs {
    /// Which book: account (what is charged) or simulated (what a Hub of this machine counts, which nobody pays); that of
    /// the Hub that is used now when not given
    #[arg(long, value_name = "BOOK")]
    book: Option<Book>,
}

pub(crate) async fn run(command: BudgetCommand, context: &Context) -> Result<(), CliError> {
    let ledger = context.ledger().await?;
    let open = |args: &BookArgs| -> Result<Ledger, CliError> {
        let book = args.book.map_or_else(|| context.book(), Ok)?;
        Ok(ledger.in_book(book))
    };
    match command {
        BudgetCommand::Set(args) => set(&args, &ledger, context).await,
        BudgetCommand::Unset(args) => unset(&args, &ledger, context).await,
        BudgetCommand::Show(args) => {
            crate::commands::jobs::book_schedules(context).await;
            show::show(&args, &open(&args.book)?, context).await
        }
        BudgetCommand::Ls(args) => ls::list(&args, &open(&args.book)?, context).await,
        BudgetCommand::Usage(args) => usage::usage(&args, &open(&args.book)?, context).await,
    }
}

/// Tells a person that nobody pays what is shown.
fn remark(ledger: &Ledger, context: &Context) {
    if ledger.book() == Book::Simulated {
        context.output.note(
            "Simulated: what a Hub of this machine counts, which nobody pays. `--book account` shows what accounts are charged.",
        );
    }
}

/// Dollars as a JSON number with every digit, never by way of a float.
#[derive(Debug, Clone, Copy)]
struct Usd(i64);

impl Usd {
    fn of(amount: MicroUsd) -> Self {
        Self(i64::try_from(amount.get()).unwrap_or(i64::MAX))
    }

    fn text(self) -> String {
        decimal_usd(u64::try_from(self.0).unwrap_or_default())
    }
}

impl Serialize for Usd {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.text())
            .map_err(serde::ser::Error::custom)?
            .serialize(serializer)
    }
}

#[derive(Serialize)]
struct CapLine {
    service: CapScope,
    window: Window,
    cap_usd: Option<Usd>,
}

async fn set(args: &SetArgs, ledger: &Ledger, context: &Context) -> Result<(), CliError> {
    let Amounts {
        day,
        month,
        run,
        total,
    } = args.amounts;
    for (window, amount) in Window::ALL.into_iter().zip([day, month, run, total]) {
        let Some(amount) = amount else { continue };
        let scope = args.service;
        ledger
            .set_cap(Cap {
                scope,
                window,
                amount,
            })
            .await?;
        told(scope, window, Some(Usd::of(amount)), context)?;
    }
    Ok(())
}

async fn unset(args: &UnsetArgs, ledger: &Ledger, context: &Context) -> Result<(), CliError> {
    let Windows {
        day,
        month,
        run,
        total,
    } = args.windows;
    for (window, named) in Window::ALL.into_iter().zip([day, month, run, total]) {
        if !named {
            continue;
        }
        if !ledger.remove_cap(args.service, window).await? {
            return Err(CliError::new(
                Kind::NotFound,
                format!("there is no cap a {window} for {}", args.service),
            )
            .hint("see the caps with `bashgym budget show`"));
        }
        told(args.service, window, None, context)?;
    }
    Ok(())
}

/// Says what a cap is now.
fn told(scope: CapScope, window: Window, amount: Option<Usd>, context: &Context) -> Result<(), CliError> {
    if context.output.is_json() {
        return context.output.json(&CapLine {
            service: scope,
            window,
            cap_usd: amount,
        });
    }
    match amount {
        Some(amount) => context.output.note(format!(
            "The budget {} for {scope} is {} USD.",
            stretch(window),
            amount.text()
        )),
        None => context.output.note(format!(
            "There is no budget {} for {scope} any more.",
            stretch(window)
        )),
    }
    Ok(())
}

fn stretch(window: Window) -> &'static str {
    match window {
        Window::Day => "a day (UTC)",
        Window::Month => "a month (UTC)",
        Window::Run => "a run",
        Window::Total => "in all",
    }
}
