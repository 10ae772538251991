//! Following a run's job: what its launch tells is told on.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::model::{RunSpec, SubmittedJob};
use super::service::Recorder;
use super::state::Stage;
use crate::CoreError;
use crate::launch::{Checkpoint, JobState, LaunchEvent, LaunchService, LaunchSink};
use crate::trainer::TrainProgress;

/// How many lines of a failed job are kept for its explanation.
const LAST_LINES: usize = 20;
/// How the Hub's own first line begins.
const HEADING: &str = "===== Job started";

/// How a job ended.
pub(crate) enum JobEnd {
    Completed {
        seconds: Option<f64>,
    },
    Canceled,
    Failed {
        stage: String,
        message: Option<String>,
        last_lines: Vec<String>,
    },
}

/// Follows a job to its end, from the line after the last one in the store.
pub(crate) async fn job(
    launches: &LaunchService,
    spec: &RunSpec,
    intent: &str,
    job: &SubmittedJob,
    events: &Recorder<'_>,
) -> Result<JobEnd, CoreError> {
    launches
        .adopt(intent, &spec.target.namespace, &job.job_id, job.submitted_at)
        .await?;
    let sink = Teller {
        events,
        last_lines: Mutex::default(),
    };
    let record = Box::pin(launches.follow(intent, &sink)).await?;
    let last_lines = sink
        .last_lines
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let failed = |stage: &str, message| JobEnd::Failed {
        stage: stage.to_owned(),
        message,
        last_lines: last_lines.into(),
    };
    Ok(match record.view.state {
        JobState::Unverified | JobState::Succeeded { .. } => JobEnd::Completed {
            seconds: record.view.running_secs,
        },
        JobState::Canceled { .. } => JobEnd::Canceled,
        JobState::Failed { message } => failed("ERROR", message),
        JobState::TimedOut { checkpoint } => failed("ERROR", Some(timed_out(checkpoint.as_ref()))),
        other => failed("ERROR", Some(format!("{other:?}"))),
    })
}

fn timed_out(checkpoint: Option<&Checkpoint>) -> String {
    match checkpoint {
        Some(last) => format!(
            "Job timeout; its checkpoint of step {} is in the output repository",
            last.step
        ),
        None => "Job timeout; it left no checkpoint".to_owned(),
    }
}

/// Tells what a launch tells as events of the run.
struct Teller<'a> {
    events: &'a Recorder<'a>,
    last_lines: Mutex<VecDeque<String>>,
}

#[async_trait]
impl LaunchSink for Teller<'_> {
    async fn tell(&self, event: LaunchEvent) {
        let detail = match event {
            LaunchEvent::Line(line) if line.index == 0 && line.text.starts_with(HEADING) => return,
            LaunchEvent::Line(line) => {
                let mut lines = self.last_lines.lock().unwrap_or_else(PoisonError::into_inner);
                if lines.len() == LAST_LINES {
                    lines.pop_front();
                }
                lines.push_back(line.text.clone());
                drop(lines);
                told(&line.text)
            }
            LaunchEvent::State(JobState::Unknown { why }) => json!({ "job_unseen": why }),
            LaunchEvent::Finding { finding, action } => json!({ "finding": finding, "action": action }),
            LaunchEvent::LogRotated { lost: true } => {
                json!({ "log_lost": "the Hub dropped lines before they were read" })
            }
            LaunchEvent::LogIncomplete { reason } => json!({ "log_incomplete": reason }),
            LaunchEvent::CapReached {
                spent_micro_usd,
                cap_micro_usd,
            } => {
                json!({ "cap_reached": { "spent_micro_usd": spent_micro_usd, "cap_micro_usd": cap_micro_usd } })
            }
            _ => return,
        };
        self.events.pass_on(Stage::Train, detail).await;
    }
}

fn told(line: &str) -> Value {
    match TrainProgress::parse_line(line) {
        Some(progress) => json!({ "progress": progress }),
        None => json!({ "line": line }),
    }
}
