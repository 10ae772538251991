//! `bashgym runs`: what was run, and how far it got.

use bashgym_core::run::{RunId, RunRecord};
use bashgym_core::store::{EventStore, RunStore};
use clap::{Args, Subcommand};
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::table;

/// Lists runs, or shows one.
#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List runs, newest first
    Ls(LsArgs),
    /// Show one run
    Show(IdArgs),
    /// Print what a run told while it went on, as JSON
    Events(IdArgs),
}

/// Lists runs.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 20)]
    limit: u32,
}

/// Names a run.
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The run's id, or its beginning
    #[arg(value_name = "RUN")]
    run: String,
}

pub(crate) async fn run(command: RunsCommand, context: &Context) -> Result<(), CliError> {
    let store = context.store().await?;
    match command {
        RunsCommand::Ls(args) => list(&store.list_runs(None, args.limit).await?, context),
        RunsCommand::Show(args) => {
            let record = find(&store, &args.run).await?;
            if context.output.is_human() {
                let text = serde_json::to_string_pretty(&record)
                    .map_err(|error| CliError::new(Kind::Internal, "the run is no JSON").because(error))?;
                return context.output.line(text);
            }
            context.output.json(&record)
        }
        RunsCommand::Events(args) => {
            let record = find(&store, &args.run).await?;
            let mut after = 0;
            loop {
                let page = store.list_events(record.id, after, 500).await?;
                let Some(last) = page.last() else { return Ok(()) };
                after = last.seq;
                for event in &page {
                    context.output.json(event)?;
                }
            }
        }
    }
}

fn list(runs: &[RunRecord], context: &Context) -> Result<(), CliError> {
    if context.output.is_json() {
        for run in runs {
            context.output.json(&json!({
                "id": run.id, "state": run.state.as_str(), "created_at": run.created_at, "updated_at": run.updated_at,
                "model_repo": run.spec.model_repo, "dataset_repo": run.spec.dataset_repo, "job_id": run.state.job_id(),
                "hub": run.spec.target.hub,
            }))?;
        }
        return Ok(());
    }
    if !context.output.is_human() {
        return runs.iter().try_for_each(|run| context.output.line(run.id));
    }
    if runs.is_empty() {
        context
            .output
            .note("No run yet. Begin with: bashgym run ~/.claude/projects");
        return Ok(());
    }
    let mut shown = table(&["run", "state", "begun", "model", "job"]);
    for run in runs {
        shown.add_row([
            run.id.to_string(),
            run.state.as_str().to_owned(),
            run.created_at.strftime("%Y-%m-%d %H:%M").to_string(),
            run.spec.model_repo.clone(),
            run.state.job_id().unwrap_or("-").to_owned(),
        ]);
    }
    context.output.line(shown)
}

async fn find(store: &impl RunStore, name: &str) -> Result<RunRecord, CliError> {
    if let Ok(id) = name.parse::<RunId>()
        && let Some(record) = store.find_run(id).await?
    {
        return Ok(record);
    }
    let mut matching: Vec<RunRecord> = store
        .list_runs(None, 1000)
        .await?
        .into_iter()
        .filter(|run| run.id.to_string().starts_with(name))
        .collect();
    match (matching.pop(), matching.is_empty()) {
        (Some(record), true) => Ok(record),
        (Some(_), false) => Err(
            CliError::new(Kind::Usage, format!("several runs begin with {name}")).hint("give more of the id"),
        ),
        (None, _) => {
            Err(CliError::new(Kind::NotFound, format!("there is no run {name}")).hint("bashgym runs ls"))
        }
    }
}
