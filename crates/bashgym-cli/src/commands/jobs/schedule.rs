//! `bashgym jobs schedule`: jobs that start by the clock.

use clap::{Args, Subcommand};
use hf_jobs::{Schedule, ScheduledJobInfo};
use serde_json::json;

use super::options::{SpecArgs, labels};
use super::run::AgainArgs;
use super::submit::{Jobs, Work};
use super::{IdArgs, LabelArgs};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::{plain, table};

/// Jobs that start by the clock.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Make one; caps do not see the runs that the Hub starts by the clock
    Create(Box<CreateArgs>),
    /// List them
    Ls(LsArgs),
    /// Show one
    Show(IdArgs),
    /// Let it rest
    Suspend(IdArgs),
    /// Let it run again
    Resume(IdArgs),
    /// Run it now
    Run(AgainArgs),
    /// Change when it runs
    Set(SetArgs),
    /// Replace the labels of its runs to come
    Label(LabelArgs),
    /// Remove it; its runs stay
    Rm(IdArgs),
}

/// Makes a scheduled job.
#[derive(Debug, Args)]
#[command(after_help = "\
Budget: a run that could cost more than a cap has left now is refused; runs by the clock are not reserved ahead.

Example: bashgym jobs schedule create '0 9 * * 1' -- python report.py")]
pub(crate) struct CreateArgs {
    /// When: @hourly, @daily, @weekly, @monthly, @yearly, or cron fields like '0 9 * * 1' (UTC)
    #[arg(value_name = "WHEN")]
    when: String,
    /// The Docker image, or hf.co/spaces/NAMESPACE/NAME for that of a Space
    #[arg(long, value_name = "IMAGE", default_value = "python:3.12")]
    image: String,
    /// Begin suspended
    #[arg(long)]
    suspend: bool,
    /// Let a run begin while the last one goes on
    #[arg(long)]
    concurrency: bool,
    #[command(flatten)]
    spec: SpecArgs,
    /// The command and its arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

/// Lists scheduled jobs.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only those with this label, or all of several
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
}

/// Changes when a scheduled job runs.
#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    /// The scheduled job's id
    #[arg(value_name = "ID")]
    job: String,
    /// When
    #[arg(value_name = "WHEN")]
    when: String,
}

pub(crate) async fn run(command: &ScheduleCommand, jobs: &Jobs<'_>) -> Result<(), CliError> {
    let (runner, context) = (&jobs.runner, jobs.context);
    match command {
        ScheduleCommand::Create(args) => {
            let mut spec = args.spec.spec(&args.image, args.command.clone())?;
            spec.name_by_default();
            let schedule = Schedule {
                when: args.when.clone(),
                suspend: args.suspend.then_some(true),
                concurrency: args.concurrency.then_some(true),
            };
            let work = Work::of_spec(&spec);
            let price = jobs.price(&work, args.spec.allow_unknown_price).await?;
            jobs.check_room(&work, price).await?;
            let made = runner.create_scheduled(&spec, &schedule).await?;
            context
                .output
                .note("Its runs are not reserved ahead: the Hub starts them, and caps do not see them.");
            show(&made, context)
        }
        ScheduleCommand::Ls(args) => {
            let labels: Vec<(String, String)> = labels(&args.labels)?.into_iter().collect();
            list(&runner.list_scheduled(&labels).await?, context)
        }
        ScheduleCommand::Show(args) => show(&runner.get_scheduled(&args.job.parse()?).await?, context),
        ScheduleCommand::Suspend(args) => {
            let id = args.job.parse()?;
            runner.suspend_scheduled(&id).await?;
            show(&runner.get_scheduled(&id).await?, context)
        }
        ScheduleCommand::Resume(args) => {
            let id = args.job.parse()?;
            runner.resume_scheduled(&id).await?;
            show(&runner.get_scheduled(&id).await?, context)
        }
        ScheduleCommand::Run(args) => {
            let id = args.job.parse()?;
            let kept = runner.get_scheduled(&id).await?.job_spec;
            let work = Work {
                flavor: kept.flavor,
                timeout_secs: kept.timeout,
                attempts: kept.retry.unwrap_or_default().saturating_add(1),
                has_ports: kept.expose.is_some(),
            };
            let send = runner.run_scheduled(&id);
            let job = jobs.start_kept(&work, args.allow_unknown_price, send).await?;
            if context.output.is_json() {
                return context.output.json(&super::run::started(&job, runner));
            }
            context.output.line(&job.id)
        }
        ScheduleCommand::Set(args) => {
            show(&runner.reschedule(&args.job.parse()?, &args.when).await?, context)
        }
        ScheduleCommand::Label(args) => {
            let labels = labels(&args.labels)?;
            show(
                &runner.set_scheduled_labels(&args.job.parse()?, &labels).await?,
                context,
            )
        }
        ScheduleCommand::Rm(args) => {
            runner.delete_scheduled(&args.job.parse()?).await?;
            if context.output.is_json() {
                return context.output.json(&json!({ "id": args.job, "removed": true }));
            }
            context
                .output
                .note(format!("Scheduled job {} is removed.", args.job));
            Ok(())
        }
    }
}

fn show(job: &ScheduledJobInfo, context: &Context) -> Result<(), CliError> {
    if context.output.is_json() {
        return context.output.json(job);
    }
    if !context.output.is_human() {
        return context.output.line(&job.id);
    }
    let text = serde_json::to_string_pretty(job)
        .map_err(|error| CliError::new(Kind::Internal, "the scheduled job is no JSON").because(error))?;
    context.output.line(text)
}

fn list(jobs: &[ScheduledJobInfo], context: &Context) -> Result<(), CliError> {
    let mut shown = table(&["id", "when", "next", "suspended", "command"]);
    for job in jobs {
        if context.output.is_json() {
            context.output.json(job)?;
        } else if context.output.is_human() {
            shown.add_row([
                job.id.to_string(),
                plain(job.schedule.as_deref().unwrap_or("-")),
                job.status.next_job_run_at.map_or_else(
                    || "-".to_owned(),
                    |time| time.strftime("%Y-%m-%d %H:%M").to_string(),
                ),
                if job.suspend == Some(true) { "yes" } else { "no" }.to_owned(),
                plain(&job.job_spec.command.join(" ")),
            ]);
        } else {
            context.output.line(&job.id)?;
        }
    }
    if !context.output.is_human() {
        return Ok(());
    }
    if jobs.is_empty() {
        context.output.note("No scheduled jobs.");
        return Ok(());
    }
    context.output.line(shown)
}
