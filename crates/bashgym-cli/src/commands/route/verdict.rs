//! `bashgym route report`.

use std::sync::Arc;

use bashgym_core::router::{DecisionId, OutcomeSource, Router, RouterPolicy, VerifiedOutcome};
use clap::{Args, ValueEnum};

use super::find;
use crate::context::Context;
use crate::error::CliError;

/// Says whether an answer was right.
#[derive(Debug, Args)]
#[command(after_help = "\
Verdicts are what the router learns from; that an answer came at all is none.

Example: bashgym route report 01a2061a-5095-773f-a89f-ade87d315072 good --source test")]
pub(crate) struct ReportArgs {
    /// The decision
    #[arg(value_name = "ID")]
    id: DecisionId,
    /// Whether it was right
    #[arg(value_name = "VERDICT")]
    verdict: Word,
    /// Who says so
    #[arg(long, value_name = "WHO", default_value = "person")]
    source: Source,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Word {
    Good,
    Bad,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Source {
    Test,
    Judge,
    Person,
}

pub(crate) async fn run(args: &ReportArgs, context: &Context) -> Result<(), CliError> {
    find(args.id, context).await?;
    let store = Arc::new(context.store().await?);
    let outcome = VerifiedOutcome {
        good: args.verdict == Word::Good,
        source: match args.source {
            Source::Test => OutcomeSource::Test,
            Source::Judge => OutcomeSource::Judge,
            Source::Person => OutcomeSource::Person,
        },
        at: context.clock.now(),
    };
    // Without models it routes nothing; it keeps the books as the server does.
    let books = Router::new(Vec::new(), RouterPolicy::default(), store, context.clock.clone());
    let record = books.report(args.id, outcome).await?;
    if context.output.is_json() {
        return context.output.json(&record);
    }
    context
        .output
        .note("It is written down; a running server reads it within half a minute.");
    Ok(())
}
