//! `bashgym route`: which model answered which call, and why.

mod calibrate;
mod candidates;
mod explain;
mod models;
mod replay;
mod verdict;

use bashgym_core::router::{DecisionFilter, DecisionId, DecisionRecord, RouteStore};
use clap::{Args, Subcommand};
use hf_inference::NanoUsd;
use jiff::{Span, Timestamp};

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::{plain, table};

/// Which model answered which call, and why.
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// List decisions, newest first
    Ls(LsArgs),
    /// Show everything about one decision
    Explain(explain::ExplainArgs),
    /// What another strategy would have cost and been worth
    Replay(replay::ReplayArgs),
    /// Measure what a student's confidence is worth
    Calibrate(Box<calibrate::CalibrateArgs>),
    /// List what is kept of models: how far their confidence can be believed, their share of requests
    Models,
    /// Say whether an answer was right
    Report(verdict::ReportArgs),
    /// Write escalated calls as candidates for the next dataset
    Candidates(candidates::CandidatesArgs),
    /// Remove old decisions
    Prune(PruneArgs),
}

/// Lists decisions.
#[derive(Debug, Args)]
#[command(after_help = "Example: bashgym --format json route ls --since 2d")]
pub(crate) struct LsArgs {
    #[command(flatten)]
    since: Since,
    /// Rows at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u32,
}

/// Removes decisions.
#[derive(Debug, Args)]
pub(crate) struct PruneArgs {
    /// Those older than this: 30d, 12h
    #[arg(long, value_name = "AGE", value_parser = age)]
    older_than: Span,
}

/// From when on.
#[derive(Debug, Args)]
pub(crate) struct Since {
    /// Only those of the last hours or days: 12h, 7d
    #[arg(long, value_name = "AGE", value_parser = age)]
    since: Option<Span>,
}

impl Since {
    fn filter(&self, context: &Context) -> Result<DecisionFilter, CliError> {
        let from = self.since.map(|age| before_now(age, context)).transpose()?;
        Ok(DecisionFilter {
            from,
            ..DecisionFilter::default()
        })
    }
}

fn age(text: &str) -> Result<Span, String> {
    let usual = || "an age is a number and d, h or m: 7d, 12h, 30m".to_owned();
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(usual)?;
    let number: i64 = number.parse().map_err(|_| usual())?;
    let hours = match unit {
        "d" => number.checked_mul(24 * 60),
        "h" => number.checked_mul(60),
        "m" => Some(number),
        _ => None,
    };
    let minutes = hours
        .filter(|minutes| (0..=5_256_000).contains(minutes))
        .ok_or_else(usual)?;
    Ok(Span::new().minutes(minutes))
}

fn before_now(age: Span, context: &Context) -> Result<Timestamp, CliError> {
    let now = context.clock.now();
    now.checked_sub(age)
        .map_err(|error| CliError::new(Kind::Usage, "that is too long ago").because(error))
}

pub(crate) async fn run(command: RouteCommand, context: &Context) -> Result<(), CliError> {
    match command {
        RouteCommand::Ls(args) => list(&args, context).await,
        RouteCommand::Explain(args) => explain::run(&args, context).await,
        RouteCommand::Replay(args) => replay::run(&args, context).await,
        RouteCommand::Calibrate(args) => Box::pin(calibrate::run(*args, context)).await,
        RouteCommand::Models => models::run(context).await,
        RouteCommand::Report(args) => verdict::run(&args, context).await,
        RouteCommand::Candidates(args) => candidates::run(&args, context).await,
        RouteCommand::Prune(args) => {
            let before = before_now(args.older_than, context)?;
            let removed = context.store().await?.prune_decisions(before).await?;
            if context.output.is_json() {
                return context.output.json(&serde_json::json!({ "removed": removed }));
            }
            context.output.note(format!("{removed} decisions are removed."));
            Ok(())
        }
    }
}

async fn list(args: &LsArgs, context: &Context) -> Result<(), CliError> {
    let filter = args.since.filter(context)?;
    let found = context
        .store()
        .await?
        .list_decisions(&filter, None, args.limit)
        .await?;
    let output = context.output;
    if !output.is_human() {
        for record in &found {
            if output.is_json() {
                output.json(record)?;
            } else {
                output.line(record.id)?;
            }
        }
        return Ok(());
    }
    if found.is_empty() {
        output.note(
            "No call went through the router yet: `bashgym serve` has it under /v1, model `bashgym/auto`.",
        );
        return Ok(());
    }
    let mut shown = table(&[
        "decision",
        "at",
        "strategy",
        "task",
        "answered by",
        "asked",
        "cost",
        "right",
    ]);
    for record in &found {
        shown.add_row([
            record.id.to_string(),
            record.at.strftime("%m-%d %H:%M:%S").to_string(),
            strategy(record).to_owned(),
            plain(&record.bucket),
            record
                .answered_by()
                .map_or_else(|| "nobody".to_owned(), |by| plain(&by.model)),
            record.tries.len().to_string(),
            cost(record),
            verdict_word(record).to_owned(),
        ]);
    }
    output.line(shown)?;
    models::notes(context).await
}

fn strategy(record: &DecisionRecord) -> &'static str {
    record.strategy.map_or("named", |strategy| strategy.as_str())
}

fn verdict_word(record: &DecisionRecord) -> &'static str {
    match &record.outcome {
        None => "-",
        Some(outcome) if outcome.good => "yes",
        Some(_) => "no",
    }
}

fn cost(record: &DecisionRecord) -> String {
    match record.cost() {
        (nano, true) => format!("${:.6}", NanoUsd::new(nano).to_usd()),
        (0, false) => "not known".to_owned(),
        (nano, false) => format!("${:.6} and more", NanoUsd::new(nano).to_usd()),
    }
}

async fn find(id: DecisionId, context: &Context) -> Result<DecisionRecord, CliError> {
    let found = context.store().await?.find_decision(id).await?;
    found.ok_or_else(|| {
        CliError::new(Kind::NotFound, format!("there is no decision {id}"))
            .hint("bashgym route ls lists them")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_a_number_and_a_unit() {
        assert_eq!(age("2d").unwrap().get_minutes(), 2880);
        assert_eq!(age("90m").unwrap().get_minutes(), 90);
        for bad in ["", "d", "2", "2w", "-1d", "99999999999d", "é"] {
            assert!(age(bad).is_err(), "{bad}");
        }
    }
}
