//! `bashgym jobs`: everything there is to do with jobs.

mod books;
mod failure;
pub(crate) mod options;
mod run;
mod schedule;
mod ship;
mod show;
mod ssh;
mod submit;

use clap::{Args, Subcommand};
use futures::{StreamExt, TryStreamExt};
use hf_core::Namespace;
use hf_jobs::{Expose, HfJobRunner, JobInfo, LogOptions};
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::plain;

/// Jobs: run, list, show, follow, wait, cancel, schedule.
#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// Start a job and follow it
    Run(Box<run::RunArgs>),
    /// Scripts run by `uv`
    #[command(subcommand)]
    Uv(Box<run::UvCommand>),
    /// List jobs, newest first
    #[command(alias = "ps")]
    Ls(show::LsArgs),
    /// Show one job
    #[command(alias = "inspect")]
    Show(IdArgs),
    /// Print a job's log
    Logs(LogsArgs),
    /// Wait until jobs are over; success only when all succeeded
    Wait(show::WaitArgs),
    /// Cancel a job
    Cancel(IdArgs),
    /// What a job uses, second by second
    Metrics(MetricsArgs),
    /// Replace a job's labels
    Label(LabelArgs),
    /// Start a job once more as it was
    #[command(alias = "rerun")]
    Duplicate(run::AgainArgs),
    /// Follow and settle every unfinished job that was started here, also after a crash
    Resume,
    /// Enter a job that was started with --ssh
    Ssh(ssh::SshArgs),
    /// Change which ports a job offers
    Expose(ExposeArgs),
    /// Jobs that start by the clock
    #[command(subcommand)]
    Schedule(Box<schedule::ScheduleCommand>),
    /// List the hardware a job can ask for, with prices
    Hardware,
    /// Ask what the token may do with jobs
    Check(show::CheckArgs),
}

/// Names a job.
#[derive(Debug, Args)]
pub(crate) struct IdArgs {
    /// The job's id
    #[arg(value_name = "JOB")]
    job: String,
}

/// Prints a job's log.
#[derive(Debug, Args)]
#[command(after_help = "Example: bashgym jobs logs -f 66aa00bb11cc22dd33ee5501")]
pub(crate) struct LogsArgs {
    /// The job's id
    #[arg(value_name = "JOB")]
    job: String,
    /// Go on until the job ends; Ctrl-C stops following, not the job
    #[arg(short, long)]
    follow: bool,
    /// Only the last lines
    #[arg(long, value_name = "N")]
    tail: Option<u64>,
}

/// Shows what a job uses.
#[derive(Debug, Args)]
pub(crate) struct MetricsArgs {
    /// The job's id
    #[arg(value_name = "JOB")]
    job: String,
    /// Go on until the job ends
    #[arg(short, long)]
    follow: bool,
}

/// Replaces labels.
#[derive(Debug, Args)]
pub(crate) struct LabelArgs {
    /// The id
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    /// All labels it is to have; none removes them
    #[arg(value_name = "KEY=VALUE")]
    pub(crate) labels: Vec<String>,
}

/// Changes ports.
#[derive(Debug, Args)]
pub(crate) struct ExposeArgs {
    /// The job's id
    #[arg(value_name = "JOB")]
    job: String,
    /// The ports it is to offer
    #[arg(value_name = "PORT")]
    ports: Vec<u16>,
    /// Those everybody may use
    #[arg(long, value_name = "PORT")]
    public: Vec<u16>,
}

pub(crate) async fn run(command: JobsCommand, context: &Context) -> Result<(), CliError> {
    let connection = context.connect().await?;
    let named = match &command {
        JobsCommand::Run(args) => args.start().namespace.as_deref(),
        JobsCommand::Uv(command) => {
            let run::UvCommand::Run(args) = &**command;
            args.start().namespace.as_deref()
        }
        _ => None,
    };
    let namespace = match named {
        Some(name) => Namespace::parse(name)?,
        None => connection.namespace.clone(),
    };
    let jobs = submit::Jobs {
        runner: HfJobRunner::new(&connection.client, namespace),
        context,
        hub: connection.target().hub,
    };
    let runner = &jobs.runner;
    match command {
        JobsCommand::Run(args) => run::run(&args, &jobs).await,
        JobsCommand::Uv(command) => {
            let run::UvCommand::Run(args) = *command;
            run::uv_run(&args, &jobs).await
        }
        JobsCommand::Ls(args) => show::list(&args, &jobs).await,
        JobsCommand::Show(args) => show::show(&args, &jobs).await,
        JobsCommand::Logs(args) => logs(&args, runner, context).await,
        JobsCommand::Wait(args) => show::wait(&args, &jobs).await,
        JobsCommand::Cancel(args) => cancel(&args, &jobs).await,
        JobsCommand::Metrics(args) => metrics(&args, runner, context).await,
        JobsCommand::Label(args) => {
            let labels = options::labels(&args.labels)?;
            let job = runner.set_labels(&args.job.parse()?, &labels).await?;
            told(&job, "labels", context)
        }
        JobsCommand::Duplicate(args) => run::duplicate(&args, &jobs).await,
        JobsCommand::Resume => books::resume(&jobs).await,
        JobsCommand::Ssh(args) => ssh::run(&args, runner, context).await,
        JobsCommand::Expose(args) => {
            let expose = Expose {
                ports: args.ports,
                ports_public: args.public,
            };
            let job = runner.set_exposed(&args.job.parse()?, &expose).await?;
            told(&job, "ports", context)
        }
        JobsCommand::Schedule(command) => schedule::run(&command, &jobs).await,
        JobsCommand::Hardware => show::hardware(runner, context).await,
        JobsCommand::Check(args) => show::check(&args, runner, context).await,
    }
}

/// Books what schedules started by the clock, where the Hub they run on is up. For commands that are about money, not about jobs.
pub(crate) async fn book_schedules(context: &Context) {
    if let Err(error) = try_book_schedules(context).await {
        context.output.aside(format!(
            "Runs that schedules started may be missing from the books: {error}"
        ));
    }
}

async fn try_book_schedules(context: &Context) -> Result<(), CliError> {
    if !books::has_schedules(context).await? {
        return Ok(());
    }
    let is_embedded = context.is_embedded(&context.settings()?);
    if is_embedded && context.embedded_hub().find().await?.is_none() {
        // It runs nothing while it is not there.
        return Ok(());
    }
    let connection = context.connect().await?;
    let jobs = submit::Jobs {
        runner: HfJobRunner::new(&connection.client, connection.namespace.clone()),
        context,
        hub: connection.target().hub,
    };
    books::book_scheduled_aside(&jobs).await;
    Ok(())
}

/// Says that a job was changed.
fn told(job: &JobInfo, what: &str, context: &Context) -> Result<(), CliError> {
    if context.output.is_json() {
        return context.output.json(job);
    }
    context.output.note(format!("Job {} has its new {what}.", job.id));
    Ok(())
}

async fn cancel(args: &IdArgs, jobs: &submit::Jobs<'_>) -> Result<(), CliError> {
    let (runner, context) = (&jobs.runner, jobs.context);
    let id = args.job.parse()?;
    let before = runner.get_job(&id).await?;
    if before.status.stage.is_terminal() {
        let ended = format!("job {} has ended already, as {}", args.job, before.status.stage);
        return Err(CliError::new(Kind::Conflict, ended));
    }
    let job = runner.cancel_job(&id).await?;
    books::settle_seen(std::slice::from_ref(&job), jobs).await;
    if context.output.is_json() {
        return context
            .output
            .json(&json!({ "job_id": args.job, "cancel": "requested", "stage": job.status.stage }));
    }
    context.output.note(format!("Job {} is told to end.", args.job));
    Ok(())
}

async fn logs(args: &LogsArgs, runner: &HfJobRunner, context: &Context) -> Result<(), CliError> {
    let options = LogOptions {
        follow: args.follow,
        tail: args.tail,
        ..LogOptions::default()
    };
    let id = args.job.parse()?;
    let mut lines = runner.stream_logs(&id, options);
    loop {
        let line = tokio::select! {
            line = lines.next() => line,
            _ = tokio::signal::ctrl_c() => {
                return Err(CliError::new(Kind::Interrupted, format!("stopped following; job {} goes on", args.job)));
            }
        };
        let Some(line) = line else { break };
        let line = line?;
        if context.output.is_json() {
            context.output.json(&line)?;
        } else {
            context.output.line(plain(&line.text))?;
        }
    }
    // The log is told in full; that the job cannot be seen now takes nothing from it.
    if let Ok(job) = runner.get_job(&id).await
        && let Some(explained) = failure::explanation(&job, runner).await
    {
        failure::tell(&explained, context.output);
    }
    Ok(())
}

async fn metrics(args: &MetricsArgs, runner: &HfJobRunner, context: &Context) -> Result<(), CliError> {
    let limit = if args.follow { usize::MAX } else { 1 };
    let mut metrics = runner.stream_metrics(&args.job.parse()?).take(limit);
    loop {
        let next = tokio::select! {
            next = metrics.try_next() => next?,
            _ = tokio::signal::ctrl_c() => {
                return Err(CliError::new(Kind::Interrupted, format!("stopped looking; job {} goes on", args.job)));
            }
        };
        let Some(now) = next else { return Ok(()) };
        if context.output.is_human() {
            let share = |used: Option<u64>, total: Option<u64>| match (used, total) {
                (Some(used), Some(total)) => {
                    format!(
                        "{} of {}",
                        crate::output::bytes(used),
                        crate::output::bytes(total)
                    )
                }
                _ => "unknown".to_owned(),
            };
            let cpu = now
                .cpu_usage_pct
                .map_or_else(|| "unknown".to_owned(), |pct| format!("{pct:.0} %"));
            let mut text = format!(
                "cpu {cpu}, memory {}",
                share(now.memory_used_bytes, now.memory_total_bytes)
            );
            for (name, gpu) in &now.gpus {
                let used = gpu
                    .utilization
                    .map_or_else(|| "unknown".to_owned(), |pct| format!("{pct:.0} %"));
                let memory = share(gpu.memory_used_bytes, gpu.memory_total_bytes);
                text = format!("{text}, {} {used}, {memory}", plain(name));
            }
            context.output.line(text)?;
        } else {
            context.output.json(&now)?;
        }
    }
}
