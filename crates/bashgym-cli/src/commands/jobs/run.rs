//! `bashgym jobs run`, `jobs uv run`, `jobs duplicate`: what starts a job and follows it.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bashgym_core::launch::{LaunchEvent, LaunchPrice, LaunchSink};
use clap::{Args, Subcommand};
use futures::channel::oneshot;
use hf_jobs::{DEFAULT_UV_IMAGE, HfJobRunner, JobInfo, JobSpec, UvScript};
use serde_json::json;

use super::books::tell_aside;
use super::failure::failed;
use super::options::SpecArgs;
use super::ship::Shipper;
use super::submit::{Jobs, Started, Work, launch_error};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::{Output, plain};

/// How the Hub's own first line begins; it is not the job's.
const HEADING: &str = "===== Job started";

/// Starts a job.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  bashgym jobs run --image python:3.12 -- python -c 'print(1)'
  bashgym jobs run --flavor a10g-small --timeout 2h --secret HF_TOKEN --detach -- python train.py")]
pub(crate) struct RunArgs {
    /// The Docker image, or hf.co/spaces/NAMESPACE/NAME for that of a Space
    #[arg(long, value_name = "IMAGE", default_value = "python:3.12")]
    image: String,
    #[command(flatten)]
    spec: SpecArgs,
    #[command(flatten)]
    start: StartArgs,
    /// The same key again is the same job: it is not started twice, also after a crash
    #[arg(long, value_name = "KEY", value_parser = retry_key)]
    retry_key: Option<String>,
    /// The command and its arguments
    #[arg(
        value_name = "COMMAND",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

/// How to start.
#[derive(Debug, Args)]
pub(crate) struct StartArgs {
    /// Return once it is started, instead of following its log
    #[arg(short, long)]
    detach: bool,
    /// Who it belongs to, and who pays; the account itself, or `--org`, by default
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Show what would be sent, with the worst price, and send nothing
    #[arg(long)]
    dry_run: bool,
}

/// Scripts run by `uv`.
#[derive(Debug, Subcommand)]
pub(crate) enum UvCommand {
    /// Run a Python script with the packages it names
    Run(UvRunArgs),
}

/// Runs a script.
#[derive(Debug, Args)]
#[command(after_help = "Example: bashgym jobs uv run --with trl --flavor a10g-small train.py --epochs 3")]
pub(crate) struct UvRunArgs {
    #[command(flatten)]
    start: StartArgs,
    #[command(flatten)]
    script: ScriptArgs,
}

/// A script, and what it runs on and with.
#[derive(Debug, Args)]
pub(crate) struct ScriptArgs {
    /// The Docker image, which has to have `uv`
    #[arg(long, value_name = "IMAGE", default_value = DEFAULT_UV_IMAGE)]
    image: String,
    /// A package it needs beside those it names itself
    #[arg(long = "with", value_name = "PACKAGE")]
    dependencies: Vec<String>,
    /// The Python it needs
    #[arg(short, long, value_name = "VERSION")]
    python: Option<String>,
    #[command(flatten)]
    pub(crate) spec: SpecArgs,
    /// The script: a file here, an address, or a command
    #[arg(value_name = "SCRIPT")]
    script: String,
    /// Its arguments; files here are shipped with it
    #[arg(value_name = "ARG", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl RunArgs {
    pub(crate) fn start(&self) -> &StartArgs {
        &self.start
    }
}

impl ScriptArgs {
    /// The job without its command.
    pub(crate) fn empty_spec(&self, jobs: &Jobs<'_>) -> Result<JobSpec, CliError> {
        self.spec
            .spec(&self.image, Vec::new(), jobs.job_token()?.as_ref())
    }

    /// Sends what is here of it and of its folders, and completes the job.
    pub(crate) async fn ship(&self, mut spec: JobSpec, jobs: &Jobs<'_>) -> Result<JobSpec, CliError> {
        let script = UvScript {
            script: self.script.clone(),
            arguments: self.arguments.clone(),
            dependencies: self.dependencies.clone(),
            python: self.python.clone(),
        };
        let shipper = Shipper::open(&spec, jobs)?;
        shipper.folders(&self.spec.local_folders()?, &mut spec).await?;
        shipper.script(&script, spec).await
    }
}

impl UvRunArgs {
    pub(crate) fn start(&self) -> &StartArgs {
        &self.start
    }
}

/// Starts a job that the Hub has the request of.
#[derive(Debug, Args)]
pub(crate) struct AgainArgs {
    /// The id
    #[arg(value_name = "JOB")]
    pub(crate) job: String,
    /// Start it even if its price is not known; caps then cannot count it
    #[arg(long)]
    pub(crate) allow_unknown_price: bool,
}

fn retry_key(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if (1..=64).contains(&text.len()) && text.chars().all(plain) {
        Ok(text.to_owned())
    } else {
        Err("a key is 1 to 64 letters, digits, points, dashes and underscores".to_owned())
    }
}

pub(crate) async fn run(args: &RunArgs, jobs: &Jobs<'_>) -> Result<(), CliError> {
    let mut spec = args
        .spec
        .spec(&args.image, args.command.clone(), jobs.job_token()?.as_ref())?;
    spec.name_by_default();
    let folders = args.spec.local_folders()?;
    if args.retry_key.is_some() && !folders.is_empty() {
        return Err(CliError::new(
            Kind::Usage,
            "a folder here is copied anew by each call, so the same --retry-key would be another request",
        )
        .hint("put it into a bucket or repository once and mount that: --volume hf://…:/MOUNT"));
    }
    if args.start.dry_run {
        return preview(&spec, &jobs.runner, jobs.context).await;
    }
    let work = Work::of_spec(&spec);
    let price = jobs.price(&work, args.spec.allow_unknown_price).await?;
    if !folders.is_empty() {
        // Before they are sent.
        jobs.check_room(&work, price).await?;
        Shipper::open(&spec, jobs)?.folders(&folders, &mut spec).await?;
    }
    start(&spec, price, args.retry_key.as_deref(), &args.start, jobs).await
}

pub(crate) async fn uv_run(args: &UvRunArgs, jobs: &Jobs<'_>) -> Result<(), CliError> {
    let spec = args.script.empty_spec(jobs)?;
    if args.start.dry_run {
        return preview(&spec, &jobs.runner, jobs.context).await;
    }
    // Before its files are sent.
    let work = Work::of_spec(&spec);
    let price = jobs.price(&work, args.script.spec.allow_unknown_price).await?;
    jobs.check_room(&work, price).await?;
    let spec = args.script.ship(spec, jobs).await?;
    start(&spec, price, None, &args.start, jobs).await
}

pub(crate) async fn duplicate(args: &AgainArgs, jobs: &Jobs<'_>) -> Result<(), CliError> {
    let id = args.job.parse()?;
    let original = jobs.runner.get_job(&id).await?;
    let work = Work {
        flavor: original.flavor,
        timeout_secs: original.timeout,
        attempts: original.retry.unwrap_or_default().saturating_add(1),
        has_ports: original.expose.is_some(),
    };
    let send = jobs.runner.duplicate_job(&id);
    let job = jobs.start_kept(&work, args.allow_unknown_price, send).await?;
    show_started(&job, &jobs.runner, jobs.context)
}

async fn start(
    spec: &JobSpec,
    price: LaunchPrice,
    retry_key: Option<&str>,
    args: &StartArgs,
    jobs: &Jobs<'_>,
) -> Result<(), CliError> {
    let started = jobs.submit(spec, price, retry_key).await?;
    show_started(&started.job, &jobs.runner, jobs.context)?;
    if args.detach {
        return Ok(());
    }
    follow(&started, jobs).await
}

/// What would be sent. A script's files are not, so its command is not known yet.
async fn preview(spec: &JobSpec, runner: &HfJobRunner, context: &Context) -> Result<(), CliError> {
    spec.validate()?;
    let all = runner.hardware().await?;
    let hardware = all.iter().find(|hardware| hardware.name == spec.flavor);
    let worst = hardware.and_then(|hardware| spec.price_worst(hardware));
    let shown = json!({
        "namespace": runner.namespace(), "request": spec.preview(), "price_worst_usd": worst.map(hf_core::MicroUsd::usd),
    });
    context.output.json(&shown)
}

/// Says which job was started: one object, or one id.
fn show_started(job: &JobInfo, runner: &HfJobRunner, context: &Context) -> Result<(), CliError> {
    let output = context.output;
    if output.is_json() {
        return output.json(&started(job, runner));
    }
    if output.is_human() {
        output.note(format!("Job {} is started: {}", job.id, runner.job_url(job)));
        return Ok(());
    }
    output.line(&job.id)
}

/// What scripts rely on.
pub(crate) fn started(job: &JobInfo, runner: &HfJobRunner) -> serde_json::Value {
    json!({
        "job_id": job.id, "stage": job.status.stage, "flavor": job.flavor, "created_at": job.created_at,
        "url": runner.job_url(job), "labels": job.labels, "timeout_s": job.timeout,
    })
}

/// Prints the job's lines until it ends; they go to standard error where standard output holds the answer.
async fn follow(started: &Started, jobs: &Jobs<'_>) -> Result<(), CliError> {
    let (failure, failed_to_print) = oneshot::channel();
    let printer = Printer {
        output: jobs.context.output,
        failure: Mutex::new(Some(failure)),
    };
    let id = &started.job.id;
    let following = Box::pin(started.books.launches.follow(&started.intent, &printer));
    let record = tokio::select! {
        followed = following => followed.map_err(launch_error)?,
        Ok(error) = failed_to_print => return Err(error),
        _ = tokio::signal::ctrl_c() => {
            let stopped = format!("stopped following; job {id} goes on");
            return Err(CliError::new(Kind::Interrupted, stopped)
                .hint(format!("bashgym jobs logs -f {id}"))
                .hint(format!("bashgym jobs cancel {id}")));
        }
    };
    let ended = jobs.runner.get_job(record.job_id().unwrap_or(id)).await?;
    match ended.require_success() {
        Ok(()) => Ok(()),
        Err(_) => Err(failed(&ended, &jobs.runner).await),
    }
}

/// Prints lines as they come.
struct Printer {
    output: Output,
    /// Takes the first failure to print, which ends following.
    failure: Mutex<Option<oneshot::Sender<CliError>>>,
}

#[async_trait]
impl LaunchSink for Printer {
    async fn tell(&self, event: LaunchEvent) {
        match event {
            LaunchEvent::Line(line) if line.index == 0 && line.text.starts_with(HEADING) => {}
            LaunchEvent::Line(line) if self.output.is_human() => {
                if let Err(error) = self.output.line(plain(&line.text)) {
                    let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(failure) = failure.take() {
                        // Nobody waits for it once following is over.
                        let _ = failure.send(error);
                    }
                }
            }
            LaunchEvent::Line(line) => self.output.aside(plain(&line.text)),
            other => tell_aside(&other, self.output),
        }
    }
}
