//! Why a job failed, in words, wherever its end is seen.

use std::time::Duration;

use bashgym_core::explain::{Explanation, FailedJob, FailureCause, explain};
use hf_jobs::{HfJobRunner, JobInfo, JobStage, LogLimits};

use crate::error::{CliError, Kind};
use crate::output::{Output, plain};

/// How long explaining may hold up an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// What is read of the end of a log.
const END_OF_LOG: LogLimits = LogLimits {
    max_lines: 400,
    max_bytes: 128 << 10,
};

/// Explains a job that ended without success; nothing for any other. What cannot be asked for now is left out.
pub(crate) async fn explanation(job: &JobInfo, runner: &HfJobRunner) -> Option<Explanation> {
    if !job.stage().is_terminal() || job.require_success().is_ok() {
        return None;
    }
    let asked = async { tokio::join!(runner.collect_logs(&job.id, END_OF_LOG), runner.hardware()) };
    let (log, hardware) = match tokio::time::timeout(PATIENCE, asked).await {
        Ok((log, hardware)) => (log.ok(), hardware.unwrap_or_default()),
        Err(_elapsed) => (None, Vec::new()),
    };
    let lines: Vec<String> = log
        .map(|log| log.text.lines().map(str::to_owned).collect())
        .unwrap_or_default();
    let mut explained = explain(&FailedJob {
        stage: job.status.stage.as_str(),
        message: job.status.message.as_deref(),
        cancel_reason: job.status.cancel_reason.as_deref(),
        last_lines: &lines,
        flavor: Some(&job.flavor),
        hardware: &hardware,
    });
    if explained.cause == FailureCause::Unknown && *job.stage() == JobStage::Canceled {
        // Somebody wanted it so.
        return None;
    }
    for next in &mut explained.next {
        *next = next.replace("jobs logs JOB", &format!("jobs logs {}", job.id));
    }
    Some(explained)
}

/// A job that ended without success, with why and what to do next.
pub(crate) async fn failed(job: &JobInfo, runner: &HfJobRunner) -> CliError {
    let said = match (&job.status.message, &job.status.cancel_reason) {
        (Some(message), Some(reason)) => format!(": {message} ({reason})"),
        (Some(text), None) | (None, Some(text)) => format!(": {text}"),
        (None, None) => String::new(),
    };
    let ended = format!("job {} ended as {}{said}", job.id, job.status.stage);
    let error = match explanation(job, runner).await {
        Some(explained) if explained.cause != FailureCause::Unknown => {
            let mut text = format!("{ended}; {}", explained.summary);
            for line in &explained.evidence {
                text.push_str("\n  ");
                text.push_str(&plain(line));
            }
            explained
                .next
                .into_iter()
                .fold(CliError::new(Kind::JobFailed, text), CliError::hint)
        }
        _ => CliError::new(Kind::JobFailed, ended),
    };
    error.hint(format!("bashgym jobs logs {}", job.id))
}

/// Tells beside an answer why the job failed.
pub(crate) fn tell(explained: &Explanation, output: Output) {
    output.aside(format!("It failed: {}.", explained.summary));
    for line in &explained.evidence {
        output.aside(format!("  {}", plain(line)));
    }
    for next in &explained.next {
        output.aside(format!("Next: {next}"));
    }
}
