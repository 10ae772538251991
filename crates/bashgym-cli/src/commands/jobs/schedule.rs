//! `bashgym jobs schedule`: jobs that start by the clock.

use bashgym_core::launch::{LaunchPrice, SCHEDULE_LABEL};
use clap::{Args, Subcommand};
use hf_jobs::{JobSpec, Schedule, ScheduledJobInfo};
use serde_json::json;
use uuid::Uuid;

use super::books::{book_scheduled, book_scheduled_aside};
use super::options::{SpecArgs, labels};
use super::run::{AgainArgs, ScriptArgs};
use super::ship::Shipper;
use super::submit::{Jobs, Work, ledger_error};
use super::{IdArgs, LabelArgs};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::{plain, table};

/// Jobs that start by the clock.
#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// Make one; the worst case of one run is reserved for as long as it is there
    Create(Box<CreateArgs>),
    /// Scripts run by `uv`
    #[command(subcommand)]
    Uv(Box<UvCommand>),
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
Budget: the worst case of one run is reserved until the schedule is removed, and refused where a cap has no room for it.
The Hub starts the runs itself, so no cap can stop one: what each cost is booked when `jobs ls`, `jobs wait`, `jobs resume`
or `budget show` sees it.

Example: bashgym jobs schedule create '0 9 * * 1' -- python report.py")]
pub(crate) struct CreateArgs {
    #[command(flatten)]
    clock: ClockArgs,
    /// The Docker image, or hf.co/spaces/NAMESPACE/NAME for that of a Space
    #[arg(long, value_name = "IMAGE", default_value = "python:3.12")]
    image: String,
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

/// When a job starts.
#[derive(Debug, Args)]
pub(crate) struct ClockArgs {
    /// When: @hourly, @daily, @weekly, @monthly, @yearly, or cron fields like '0 9 * * 1' (UTC)
    #[arg(value_name = "WHEN")]
    when: String,
    /// Begin suspended
    #[arg(long)]
    suspend: bool,
    /// Let a run begin while the last one goes on
    #[arg(long)]
    concurrency: bool,
}

impl ClockArgs {
    fn schedule(&self) -> Schedule {
        Schedule {
            when: self.when.clone(),
            suspend: self.suspend.then_some(true),
            concurrency: self.concurrency.then_some(true),
        }
    }
}

/// Scripts by the clock.
#[derive(Debug, Subcommand)]
pub(crate) enum UvCommand {
    /// Run a Python script with the packages it names, by the clock
    Run(UvArgs),
}

/// Makes a scheduled job of a script.
#[derive(Debug, Args)]
#[command(after_help = "Example: bashgym jobs schedule uv run @daily --with pandas report.py")]
pub(crate) struct UvArgs {
    #[command(flatten)]
    clock: ClockArgs,
    #[command(flatten)]
    script: ScriptArgs,
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
            let mut spec = args
                .spec
                .spec(&args.image, args.command.clone(), jobs.job_token()?.as_ref())?;
            spec.name_by_default();
            let folders = args.spec.local_folders()?;
            let price = checked(&spec, &args.clock, args.spec.allow_unknown_price, jobs).await?;
            if !folders.is_empty() {
                Shipper::open(&spec, jobs)?.folders(&folders, &mut spec).await?;
            }
            show(&create(spec, &args.clock, price, jobs).await?, context)
        }
        ScheduleCommand::Uv(command) => {
            let UvCommand::Run(args) = &**command;
            let spec = args.script.empty_spec(jobs)?;
            let price = checked(&spec, &args.clock, args.script.spec.allow_unknown_price, jobs).await?;
            let spec = args.script.ship(spec, jobs).await?;
            show(&create(spec, &args.clock, price, jobs).await?, context)
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
            let is_ours = kept.labels.contains_key(SCHEDULE_LABEL);
            let work = Work {
                flavor: kept.flavor,
                timeout_secs: kept.timeout,
                attempts: kept.retry.unwrap_or_default().saturating_add(1),
                has_ports: kept.expose.is_some(),
            };
            let send = runner.run_scheduled(&id);
            let job = jobs.start_kept(&work, args.allow_unknown_price, send).await?;
            if is_ours {
                let noted = jobs.schedule_books().await?.note_booked(&job.id).await;
                noted.map_err(ledger_error)?;
            }
            if context.output.is_json() {
                return context.output.json(&super::run::started(&job, runner));
            }
            context.output.line(&job.id)
        }
        ScheduleCommand::Set(args) => {
            show(&runner.reschedule(&args.job.parse()?, &args.when).await?, context)
        }
        ScheduleCommand::Label(args) => {
            let id = args.job.parse()?;
            let mut labels = labels(&args.labels)?;
            // By this one its runs are found and booked.
            let before = runner.get_scheduled(&id).await?.job_spec.labels;
            if let Some(tag) = before.get(SCHEDULE_LABEL) {
                labels.insert(SCHEDULE_LABEL.to_owned(), tag.clone());
            }
            show(&runner.set_scheduled_labels(&id, &labels).await?, context)
        }
        ScheduleCommand::Rm(args) => {
            let id = args.job.parse()?;
            let before = runner.get_scheduled(&id).await?.job_spec.labels;
            let tag = before.get(SCHEDULE_LABEL);
            if tag.is_some() {
                // Its runs are found as long as its money is held.
                book_scheduled(jobs).await?;
            }
            runner.delete_scheduled(&id).await?;
            if let Some(tag) = tag {
                book_scheduled_aside(jobs).await;
                let books = jobs.schedule_books().await?;
                let released = books.release(tag, "the schedule was removed").await;
                released.map_err(ledger_error)?;
            }
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

/// Checks a job and its schedule before anything of it is sent, and returns what a run may cost.
async fn checked(
    spec: &JobSpec,
    clock: &ClockArgs,
    allow_unknown: bool,
    jobs: &Jobs<'_>,
) -> Result<LaunchPrice, CliError> {
    clock.schedule().validate()?;
    let work = Work::of_spec(spec);
    let price = jobs.price(&work, allow_unknown).await?;
    jobs.check_room(&work, price).await?;
    Ok(price)
}

/// Makes a schedule with the worst case of one run held for it. After an unclear answer its label is looked up.
async fn create(
    mut spec: JobSpec,
    clock: &ClockArgs,
    price: LaunchPrice,
    jobs: &Jobs<'_>,
) -> Result<ScheduledJobInfo, CliError> {
    let tag = Uuid::now_v7().to_string();
    spec.labels.insert(SCHEDULE_LABEL.to_owned(), tag.clone());
    let books = jobs.schedule_books().await?;
    books.hold(&tag, price).await.map_err(ledger_error)?;
    let error = match jobs.runner.create_scheduled(&spec, &clock.schedule()).await {
        Ok(made) => return Ok(made),
        Err(error) => error,
    };
    if error.is_ambiguous() {
        let label = [(SCHEDULE_LABEL.to_owned(), tag)];
        if let Ok(found) = jobs.runner.list_scheduled(&label).await
            && let Some(made) = found.into_iter().next()
        {
            return Ok(made);
        }
        return Err(CliError::from(error)
            .hint("the schedule may be there all the same, so the money for one run stays held")
            .hint("look before you make it again: bashgym jobs schedule ls"));
    }
    let released = books.release(&tag, "the Hub made no schedule").await;
    let error = CliError::from(error);
    match released {
        Ok(()) => Err(error),
        Err(ledger) => Err(error.hint(format!("the money for one run stays held: {ledger}"))),
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
