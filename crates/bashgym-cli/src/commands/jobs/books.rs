//! What became of jobs that were started here: settled when they are seen to be over, followed again after a crash.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bashgym_core::launch::{JobState, LaunchEvent, LaunchRecord, LaunchSink, ScheduleBooks, ScheduleError};
use bashgym_core::ledger::Ledger;
use bashgym_core::store::LaunchStore;
use hf_jobs::{JobInfo, SubmissionState};
use serde_json::{Value, json};

use super::submit::{Jobs, launch_error, ledger_error};
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::output::Output;

/// How long settling may hold up a command that is about something else.
const SETTLE_PATIENCE: Duration = Duration::from_secs(10);

/// Settles what jobs that were started here and seen to be over cost. What does not work now is left to the next look.
pub(crate) async fn settle_seen(seen: &[JobInfo], jobs: &Jobs<'_>) {
    if !seen.iter().any(|job| job.stage().is_terminal()) {
        return;
    }
    // A future that is dropped leaves a launch that the next look goes on with.
    let _ = tokio::time::timeout(SETTLE_PATIENCE, settle(seen, jobs)).await;
}

/// Whether schedules were made here and not removed.
pub(crate) async fn has_schedules(context: &Context) -> Result<bool, CliError> {
    let store = Arc::new(context.store().await?);
    let books = ScheduleBooks {
        ledger: Ledger::new(store.clone(), context.clock.clone()),
        store,
        hub: String::new(),
        clock: context.clock.clone(),
    };
    let open = books.open_schedules().await.map_err(schedule_error)?;
    Ok(!open.is_empty())
}

/// Books the runs that our schedules started by the clock, and settles those that are over.
pub(crate) async fn book_scheduled(jobs: &Jobs<'_>) -> Result<(), CliError> {
    let books = jobs.schedule_books().await?;
    if books.open_schedules().await.map_err(schedule_error)?.is_empty() {
        return Ok(());
    }
    let runs = books.book_runs(&jobs.runner).await.map_err(schedule_error)?;
    let launches = jobs.books().await?.launches;
    for run in runs.iter().filter(|run| run.job.stage().is_terminal()) {
        // One that does not work takes no other along, and is left to the next look.
        let _ = launches.settle(&run.intent, &run.job).await;
    }
    Ok(())
}

/// As [`book_scheduled`], for commands that are about something else: what does not work is told and left to the next look.
pub(crate) async fn book_scheduled_aside(jobs: &Jobs<'_>) {
    let why = match tokio::time::timeout(SETTLE_PATIENCE, book_scheduled(jobs)).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "the Hub took too long".to_owned(),
    };
    jobs.context.output.aside(format!(
        "Runs that schedules started may be missing from the books: {why}"
    ));
}

fn schedule_error(error: ScheduleError) -> CliError {
    match error {
        ScheduleError::Hub(source) => CliError::from(source),
        ScheduleError::Ledger(source) => ledger_error(source),
        ScheduleError::Store(source) => CliError::from(source),
        other => CliError::new(Kind::Internal, other.to_string()),
    }
}

async fn settle(seen: &[JobInfo], jobs: &Jobs<'_>) -> Result<(), CliError> {
    Ok(jobs.books().await?.starter.settle_seen(seen).await?)
}

/// `bashgym jobs resume`: everything unfinished is looked up, followed to its end and settled.
pub(crate) async fn resume(jobs: &Jobs<'_>) -> Result<(), CliError> {
    let output = jobs.context.output;
    book_scheduled(jobs).await?;
    let books = jobs.books().await?;
    let sinks = |record: &LaunchRecord| -> Box<dyn LaunchSink> {
        let intent = record.intent.clone();
        Box::new(Teller { intent, output })
    };
    let ended = tokio::select! {
        ended = books.launches.resume_all(&sinks) => ended.map_err(launch_error)?,
        _ = tokio::signal::ctrl_c() => {
            return Err(CliError::new(Kind::Interrupted, "stopped following; the jobs go on")
                .hint("bashgym jobs resume"));
        }
    };
    let mut first_failure = None;
    let none = ended.is_empty();
    for (intent, result) in ended {
        let mut result = result;
        if let Ok(record) = &result
            && record.submission == SubmissionState::Planned
            && record.run.is_none()
            && books.launches.give_up(&intent).await.map_err(launch_error)?
        {
            // Whoever planned it is gone, and its money is held for nothing.
            result = books.store.find_launch(&intent).await?.map_or(result, Ok);
        }
        match result {
            Ok(record) if output.is_json() => output.json(&line(&record))?,
            Ok(record) => {
                let job = record.job_id().map_or("no job", |id| id.as_str());
                let state = word(&record.view.state);
                output.line(format_args!("{job}\t{state}"))?;
            }
            Err(error) => {
                let error = launch_error(error);
                if output.is_json() {
                    output.json(&json!({ "intent": intent, "job_id": null, "state": "unknown", "reason": error.to_string() }))?;
                } else {
                    output.aside(format!("{intent}: {error}"));
                }
                first_failure.get_or_insert(error);
            }
        }
    }
    if none {
        output.note("Nothing is unfinished.");
    }
    first_failure.map_or(Ok(()), Err)
}

/// What scripts get of a launch.
fn line(record: &LaunchRecord) -> Value {
    json!({
        "intent": record.intent, "job_id": record.job_id(), "run_id": record.run, "namespace": record.namespace,
        "state": word(&record.view.state), "running_s": record.view.running_secs, "settled": record.settled,
    })
}

/// The state's word in JSON.
fn word(state: &JobState) -> String {
    let value = serde_json::to_value(state).unwrap_or_default();
    value["state"].as_str().unwrap_or("unknown").to_owned()
}

/// Tells a person how followed jobs get on.
struct Teller {
    intent: String,
    output: Output,
}

#[async_trait]
impl LaunchSink for Teller {
    async fn tell(&self, event: LaunchEvent) {
        match event {
            LaunchEvent::State(state) => self.output.note(format!("{}: {}", self.intent, word(&state))),
            LaunchEvent::Created { job_id, .. } => self.output.note(format!("{}: job {job_id}", self.intent)),
            other => tell_aside(&other, self.output),
        }
    }
}

/// Tells what one should know of a job that is followed, beside its lines.
pub(crate) fn tell_aside(event: &LaunchEvent, output: Output) {
    match event {
        LaunchEvent::DuplicateCanceled { job_id } => {
            output.aside(format!("A second job of the same intent, {job_id}, is canceled."));
        }
        LaunchEvent::LogRotated { lost: true } => {
            output.aside("Lines of the log are lost: the Hub no longer has them.");
        }

        LaunchEvent::LogIncomplete { reason } => {
            output.aside(format!("The log could not be read to its end: {reason}"));
        }
        LaunchEvent::CapReached { .. } => {
            output.aside("The job costs more than what was reserved for it; it is being canceled.");
        }
        LaunchEvent::Finding { finding, .. } => output.note(format!("The job: {}", finding.as_str())),
        _ => {}
    }
}
