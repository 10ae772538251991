//! `bashgym jobs ls`, `show`, `wait`, `hardware`: looking at jobs.

use std::time::Duration;

use clap::Args;
use futures::{StreamExt, TryStreamExt};
use hf_core::JobId;
use hf_jobs::{
    Accelerator, HfJobRunner, JobAccess, JobFilter, JobInfo, JobStage, WaitOptions, parse_timeout,
};
use serde_json::json;

use super::IdArgs;
use super::books::{book_scheduled_aside, settle_seen};
use super::failure::{self, failed};
use super::options::labels;
use super::submit::Jobs;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::{plain, table};

/// Lists jobs.
#[derive(Debug, Args)]
pub(crate) struct LsArgs {
    /// Only jobs of this stage, or one of several: SCHEDULING, RUNNING, COMPLETED, CANCELED, ERROR
    #[arg(long, value_name = "STAGE")]
    stage: Vec<String>,
    /// Only jobs with this label, or all of several
    #[arg(short, long = "label", value_name = "KEY=VALUE")]
    labels: Vec<String>,
    /// How many at most
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// Only how many there are, by stage; labels are not counted by
    #[arg(long, conflicts_with = "labels")]
    count: bool,
}

/// Waits for jobs.
#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The jobs' ids
    #[arg(value_name = "JOB", required = true)]
    jobs: Vec<String>,
    /// Give up after this time; the jobs go on
    #[arg(long, value_name = "DURATION")]
    timeout: Option<String>,
}

/// Asks what the token may do.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Whether it may start and change jobs, not only see them
    #[arg(long)]
    write: bool,
    /// One job, instead of the namespace
    #[arg(value_name = "JOB")]
    job: Option<String>,
}

fn stages(words: &[String]) -> Vec<JobStage> {
    words
        .iter()
        .map(|word| JobStage::from(word.to_uppercase()))
        .collect()
}

pub(crate) async fn list(args: &LsArgs, jobs: &Jobs<'_>) -> Result<(), CliError> {
    let (runner, context) = (&jobs.runner, jobs.context);
    let filter = JobFilter {
        stages: stages(&args.stage),
        labels: labels(&args.labels)?.into_iter().collect(),
    };
    if args.count {
        let count = runner.count_jobs(&filter.stages).await?;
        return if context.output.is_json() {
            context.output.json(&json!({ "count": count }))
        } else {
            context.output.line(count)
        };
    }
    let mut listed = runner.list_jobs(&filter).take(args.limit);
    let mut over = Vec::new();
    let mut shown = table(&["job", "stage", "flavor", "created", "seconds", "command"]);
    let mut count = 0_usize;
    while let Some(job) = listed.try_next().await? {
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
        if job.stage().is_terminal() {
            over.push(job);
        }
    }
    settle_seen(&over, jobs).await;
    book_scheduled_aside(jobs).await;
    if !context.output.is_human() {
        return Ok(());
    }
    if count == 0 {
        context.output.note("No jobs.");
        return Ok(());
    }
    context.output.line(shown)
}

pub(crate) async fn show(args: &IdArgs, jobs: &Jobs<'_>) -> Result<(), CliError> {
    let (runner, context) = (&jobs.runner, jobs.context);
    let job = runner.get_job(&args.job.parse()?).await?;
    settle_seen(std::slice::from_ref(&job), jobs).await;
    let explained = failure::explanation(&job, runner).await;
    if context.output.is_json() {
        let mut shown = serde_json::to_value(&job).unwrap_or_default();
        // The keys `jobs run` answers with, beside the Hub's own.
        if let (Some(shown), Some(more)) = (
            shown.as_object_mut(),
            super::run::started(&job, runner).as_object(),
        ) {
            for (key, value) in more {
                shown.entry(key).or_insert_with(|| value.clone());
            }
            shown.insert("stage".to_owned(), json!(job.status.stage));
            if let Some(explained) = &explained {
                shown.insert("explanation".to_owned(), json!(explained));
            }
        }
        return context.output.json(&shown);
    }
    if !context.output.is_human() {
        return context.output.json(&job);
    }
    let text = serde_json::to_string_pretty(&job)
        .map_err(|error| CliError::new(Kind::Internal, "the job is no JSON").because(error))?;
    context.output.line(text)?;
    if let Some(explained) = &explained {
        failure::tell(explained, context.output);
    }
    Ok(())
}

pub(crate) async fn wait(args: &WaitArgs, jobs: &Jobs<'_>) -> Result<(), CliError> {
    let (runner, context) = (&jobs.runner, jobs.context);
    let ids = args
        .jobs
        .iter()
        .map(|id| id.parse())
        .collect::<Result<Vec<JobId>, _>>()?;
    let limit: Option<Duration> = args.timeout.as_deref().map(parse_timeout).transpose()?;
    let options = WaitOptions {
        limit,
        ..WaitOptions::default()
    };
    let ended = tokio::select! {
        ended = runner.wait_all(&ids, &options) => ended,
        _ = tokio::signal::ctrl_c() => {
            return Err(CliError::new(Kind::Interrupted, "stopped waiting; the jobs go on"));
        }
    };
    let seen: Vec<JobInfo> = ended.iter().flatten().cloned().collect();
    settle_seen(&seen, jobs).await;
    book_scheduled_aside(jobs).await;
    let mut first_failure = None;
    for job in ended {
        // An answer that did not come says nothing about the job, and is told after those that did.
        let job: JobInfo = match job {
            Ok(job) => job,
            Err(error) => {
                first_failure.get_or_insert(CliError::from(error));
                continue;
            }
        };
        if context.output.is_json() {
            context.output.json(&job)?;
        } else {
            context
                .output
                .line(format_args!("{}\t{}", job.id, job.status.stage))?;
        }
        if !job.stage().is_terminal() {
            let why = format!(
                "job {} is still {} after the time given",
                job.id, job.status.stage
            );
            first_failure.get_or_insert(
                CliError::new(Kind::Conflict, why).hint(format!("bashgym jobs wait {}", job.id)),
            );
        } else if job.require_success().is_err() && first_failure.is_none() {
            first_failure = Some(failed(&job, runner).await);
        }
    }
    first_failure.map_or(Ok(()), Err)
}

pub(crate) async fn check(args: &CheckArgs, runner: &HfJobRunner, context: &Context) -> Result<(), CliError> {
    let access = if args.write {
        JobAccess::Write
    } else {
        JobAccess::Read
    };
    let id = args.job.as_deref().map(str::parse::<JobId>).transpose()?;
    let found = runner.check_access(access, id.as_ref()).await?;
    if context.output.is_json() {
        return context.output.json(&found);
    }
    context.output.line(format_args!(
        "{} may, in {}",
        found.user.name, found.namespace.name
    ))
}

pub(crate) async fn hardware(runner: &HfJobRunner, context: &Context) -> Result<(), CliError> {
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
                "price_micro_usd_per_minute": hardware.micro_usd_per_minute(),
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
