//! `bashgym jobs`: list, show, logs, cancel, hardware.

use clap::{Args, Subcommand};
use futures::StreamExt;
use hf_jobs::{Accelerator, HfJobRunner, JobFilter, JobInfo, JobStage, LogOptions};
use serde_json::json;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::{plain, table};

/// Jobs: list, show, logs, cancel, hardware.
#[derive(Debug, Subcommand)]
pub(crate) enum JobsCommand {
    /// List jobs, newest first
    Ls(LsArgs),
    /// Show one job
    Show(IdArgs),
    /// Print a job's log
    Logs(LogsArgs),
    /// Cancel a job
    Cancel(IdArgs),
    /// List the hardware a job can ask for, with prices
    Hardware,
}

/// Lists jobs.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only jobs of this stage: SCHEDULING, RUNNING, COMPLETED, CANCELED, ERROR
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
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

pub(crate) async fn run(command: JobsCommand, context: &Context) -> Result<(), CliError> {
    let connection = context.connect().await?;
    let runner = HfJobRunner::new(&connection.client, connection.namespace.clone());
    match command {
        JobsCommand::Ls(args) => list(&args, &runner, context).await,
        JobsCommand::Show(args) => show(&runner.get_job(&args.job.parse()?).await?, context),
        JobsCommand::Logs(args) => logs(&args, &runner, context).await,
        JobsCommand::Cancel(args) => {
            let id = args.job.parse()?;
            let before = runner.get_job(&id).await?;
            if before.status.stage.is_terminal() {
                let ended = format!("job {} has ended already, as {}", args.job, before.status.stage);
                return Err(CliError::new(Kind::Conflict, ended));
            }
            runner.cancel_job(&id).await?;
            if context.output.is_json() {
                return context
                    .output
                    .json(&json!({ "job_id": args.job, "cancel": "requested" }));
            }
            context.output.note(format!("Job {} is told to end.", args.job));
            Ok(())
        }
        JobsCommand::Hardware => hardware(&runner, context).await,
    }
}

async fn list(args: &LsArgs, runner: &HfJobRunner, context: &Context) -> Result<(), CliError> {
    let mut filter = JobFilter::default();
    if let Some(stage) = &args.stage {
        filter.stages = vec![
            stage
                .to_uppercase()
                .parse()
                .unwrap_or(JobStage::Unknown(stage.to_uppercase())),
        ];
    }
    let mut jobs = runner.list_jobs(&filter).take(args.limit);
    let mut shown = table(&["job", "stage", "flavor", "created", "seconds", "command"]);
    let mut count = 0_usize;
    while let Some(job) = jobs.next().await {
        let job = job?;
        count += 1;
        if context.output.is_json() {
            context.output.json(&job)?;
        } else if context.output.is_human() {
            let seconds = job
                .durations
                .as_ref()
                .and_then(|durations| durations.running_secs);
            shown.add_row([
                job.id.to_string(),
                job.status.stage.to_string(),
                job.flavor.clone(),
                job.created_at.map_or_else(
                    || "-".to_owned(),
                    |time| time.strftime("%Y-%m-%d %H:%M").to_string(),
                ),
                seconds.map_or_else(|| "-".to_owned(), |seconds| format!("{seconds:.0}")),
                plain(&job.command.join(" ")),
            ]);
        } else {
            context.output.line(&job.id)?;
        }
    }
    if !context.output.is_human() {
        return Ok(());
    }
    if count == 0 {
        context.output.note("No jobs.");
        return Ok(());
    }
    context.output.line(shown)
}

fn show(job: &JobInfo, context: &Context) -> Result<(), CliError> {
    if !context.output.is_human() {
        return context.output.json(job);
    }
    let text = serde_json::to_string_pretty(job)
        .map_err(|error| CliError::new(Kind::Internal, "the job is no JSON").because(error))?;
    context.output.line(text)
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
        let Some(line) = line else { return Ok(()) };
        let line = line?;
        if context.output.is_json() {
            context.output.json(&line)?;
        } else {
            context.output.line(plain(&line.text))?;
        }
    }
}

async fn hardware(runner: &HfJobRunner, context: &Context) -> Result<(), CliError> {
    let all = runner.hardware().await?;
    let mut shown = table(&["flavor", "name", "cpu", "ram", "accelerator", "usd per hour"]);
    for hardware in &all {
        let price = hardware
            .micro_usd_per_minute()
            .map(|micros| micros as f64 * 60.0 / 1e6);
        let accelerator = hardware.accelerator.as_ref().map(accelerator_text);
        if context.output.is_json() {
            context.output.json(&json!({
                "name": hardware.name, "pretty_name": hardware.pretty_name, "cpu": hardware.cpu, "ram": hardware.ram,
                "accelerator": accelerator, "price_usd_per_hour": price,
            }))?;
        } else if context.output.is_human() {
            shown.add_row([
                hardware.name.clone(),
                hardware.pretty_name.clone().unwrap_or_default(),
                hardware.cpu.clone().unwrap_or_default(),
                hardware.ram.clone().unwrap_or_default(),
                accelerator.unwrap_or_else(|| "-".to_owned()),
                price.map_or_else(|| "not known".to_owned(), |price| format!("{price:.2}")),
            ]);
        } else {
            context.output.line(&hardware.name)?;
        }
    }
    if context.output.is_human() {
        context.output.line(shown)
    } else {
        Ok(())
    }
}

fn accelerator_text(accelerator: &Accelerator) -> String {
    let count = accelerator
        .quantity
        .filter(|count| *count > 1)
        .map(|count| format!("{count}x "))
        .unwrap_or_default();
    let memory = accelerator
        .vram
        .as_deref()
        .map(|vram| format!(" ({vram})"))
        .unwrap_or_default();
    format!(
        "{count}{}{memory}",
        accelerator.model.as_deref().unwrap_or("unknown")
    )
}
