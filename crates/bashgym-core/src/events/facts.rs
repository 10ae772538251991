//! Which events follow from a change of what is stored.
//!
//! These are pure rules. A store calls them with what was there before and what is there now, and appends the events in
//! the transaction of the change itself.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Event, NewEvent, RunEvent};
use crate::launch::{JobState, LaunchRecord};
use crate::ledger::{EntryState, LedgerEntry, Service};
use crate::run::{RunId, RunRecord, RunState};
use crate::store::JobStream;
use crate::task::{TaskRecord, TaskState};

/// A job was launched.
pub const JOB_CREATED: &str = "hf:job:created";
/// Lines of a job's log were kept.
pub const JOB_LOG: &str = "hf:job:log";
/// Measurements of a job's machine were kept.
pub const JOB_METRICS: &str = "hf:job:metrics";

/// How many lines one event may refer to.
const LINES_PER_EVENT: usize = 200;
/// How many bytes of lines one event may refer to, unless a single line has more.
const BYTES_PER_EVENT: usize = 128 * 1024;

/// The lines that an event refers to: those numbered `from` to `to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineRange {
    /// The job.
    pub job_id: String,
    /// The number of the first line.
    pub from: u64,
    /// The number of the last line.
    pub to: u64,
}

impl LineRange {
    /// The lines that an event of a log or of metrics refers to; none for any other event.
    pub fn of(event: &Event) -> Option<Self> {
        if event.kind != JOB_LOG && event.kind != JOB_METRICS {
            return None;
        }
        let range = Self::deserialize(&event.data).ok()?;
        (1 <= range.from && range.from <= range.to).then_some(range)
    }

    /// How many lines that is.
    pub fn count(&self) -> u64 {
        self.to - self.from + 1
    }
}

/// The topic of a job.
pub fn job_topic(job_id: &str) -> String {
    format!("job:{job_id}")
}

/// The topic of a run.
pub fn run_topic(run: RunId) -> String {
    format!("run:{run}")
}

/// What follows from lines that were appended after line `after`.
pub fn of_lines(job: &str, stream: JobStream, after: u64, lines: &[String]) -> Vec<NewEvent> {
    let kind = match stream {
        JobStream::Log => JOB_LOG,
        JobStream::Metrics => JOB_METRICS,
    };
    let mut ranges: Vec<(LineRange, usize)> = Vec::new();
    for (number, line) in (after + 1..).zip(lines) {
        match ranges.last_mut() {
            Some((range, bytes))
                if range.count() < LINES_PER_EVENT as u64 && *bytes + line.len() <= BYTES_PER_EVENT =>
            {
                range.to = number;
                *bytes += line.len();
            }
            _ => ranges.push((
                LineRange {
                    job_id: job.to_owned(),
                    from: number,
                    to: number,
                },
                line.len(),
            )),
        }
    }
    ranges
        .into_iter()
        .map(|(range, _)| NewEvent::new(kind, job_topic(job), json!(range)))
        .collect()
}

/// What follows from a launch that was `before` and is `after` now.
pub fn of_launch(before: Option<&LaunchRecord>, after: &LaunchRecord) -> Vec<NewEvent> {
    let topic = after.job_id().map_or_else(
        || format!("launch:{}", after.intent),
        |job_id| job_topic(job_id.as_str()),
    );
    let mut events = Vec::new();
    let mut tell = |kind: &str, more: Value| {
        let mut data = json!({
            "intent": after.intent,
            "job_id": after.job_id(),
            "namespace": after.namespace,
            "run_id": after.run,
            "state": state_word(&after.view.state),
        });
        if let (Some(data), Value::Object(more)) = (data.as_object_mut(), more) {
            data.extend(more);
        }
        events.push(NewEvent::new(kind, topic.clone(), data));
    };
    let same_job = before.filter(|before| before.job_id() == after.job_id());
    if same_job.is_none() && after.job_id().is_some() {
        tell(JOB_CREATED, json!({ "flavor": after.request.get("flavor") }));
    }
    // With another job the view begins anew.
    let (old, new) = (same_job.map(|before| &before.view), &after.view);
    let state_changed = before.map(|before| &before.view.state) != Some(&new.state) || same_job.is_none();
    let ended = new.ended && !old.is_some_and(|old| old.ended);
    let began = new.running_since.is_some() && old.is_none_or(|old| old.running_since.is_none());
    let completed = matches!(new.state, JobState::Unverified | JobState::Succeeded { .. });
    // A job that was over before anybody looked has run all the same.
    if began || (ended && completed && new.running_since.is_none()) {
        tell("hf:job:started", json!({ "running_since": new.running_since }));
    }
    if let Some(step) = new.step
        && old.is_none_or(|old| old.step < Some(step))
    {
        tell(
            "hf:job:progress",
            json!({ "step": step, "checkpoint": new.checkpoint }),
        );
    }
    if new.gpu_percent.is_some() && old.is_none_or(|old| old.gpu_percent != new.gpu_percent) {
        tell(JOB_METRICS, json!({ "gpu_percent": new.gpu_percent }));
    }
    if new.cancel_asked.is_some() && old.is_none_or(|old| old.cancel_asked.is_none()) {
        tell("hf:job:canceling", json!({ "by": new.cancel_asked }));
    }
    if state_changed {
        let first = before.is_none() && new.state == JobState::Planned;
        if let (Some(kind), false) = (state_kind(&new.state), first) {
            let told = began && kind == "hf:job:state" && new.state == JobState::Running;
            if !told {
                tell(
                    kind,
                    json!({ "detail": new.state, "running_secs": new.running_secs, "lines": new.lines }),
                );
            }
        }
    }
    if after.settled && !before.is_some_and(|before| before.settled) {
        tell("hf:job:settled", json!({}));
    }
    events
}

fn state_kind(state: &JobState) -> Option<&'static str> {
    Some(match state {
        JobState::Planned => return None,
        JobState::Submitting | JobState::Scheduling | JobState::Running | JobState::Unknown { .. } => {
            "hf:job:state"
        }
        JobState::Unverified => "hf:job:completed",
        JobState::Succeeded { .. } => "hf:job:succeeded",
        JobState::Failed { .. } | JobState::TimedOut { .. } => "hf:job:failed",
        JobState::Canceled { .. } => "hf:job:canceled",
        JobState::Drifted { .. } => "hf:job:drifted",
        JobState::Refused { .. } => "hf:job:refused",
    })
}

fn state_word(state: &JobState) -> Value {
    json!(state).get("state").cloned().unwrap_or_default()
}

/// What follows from a run that was `before` and is `after` now.
pub fn of_run(before: Option<&RunRecord>, after: &RunRecord) -> Vec<NewEvent> {
    let word = after.state.as_str();
    let kind = match before {
        None => "run:created",
        Some(before) if before.state.as_str() == word => return Vec::new(),
        Some(_) => "run:state",
    };
    let mut data = json!({
        "run_id": after.id,
        "state": word,
        "job_id": after.state.job_id(),
        "model_repo": after.spec.model_repo,
    });
    if let RunState::Failed { stage, reason, .. } = &after.state {
        data["stage"] = json!(stage);
        data["reason"] = json!(reason);
    }
    vec![NewEvent::new(kind, run_topic(after.id), data)]
}

/// What follows from an event of a run that was kept as its event number `run_seq`.
pub fn of_run_event(run: RunId, run_seq: u64, event: &RunEvent) -> NewEvent {
    let kind = match event {
        RunEvent::Run { .. } => "run:started",
        RunEvent::Stage { .. } => "run:stage",
        RunEvent::Result(_) => "run:completed",
    };
    let mut data = json!(event);
    if let Some(data) = data.as_object_mut() {
        data.remove("event");
        data.insert("run_id".to_owned(), json!(run));
        data.insert("run_seq".to_owned(), json!(run_seq));
    }
    NewEvent::new(kind, run_topic(run), data)
}

/// What follows from an entry of the ledger that was written. Calls of inference leave none: there may be thousands a
/// second, and the sums of usage tell of them.
pub fn of_entry(entry: &LedgerEntry) -> Vec<NewEvent> {
    if entry.service == Service::Inference {
        return Vec::new();
    }
    let kind = match entry.state {
        EntryState::Reserved => "budget:reserved",
        EntryState::Settled { .. } => "budget:settled",
        EntryState::Released { .. } => "budget:released",
    };
    vec![NewEvent::new(kind, "budget", json!(entry))]
}

/// What follows from a task that was `before` and is `after` now.
pub fn of_task(before: Option<&TaskRecord>, after: &TaskRecord) -> Vec<NewEvent> {
    let word = |state: TaskState| format!("task:{}", state.as_str());
    let kind = match before {
        None => word(after.state),
        Some(before) if before.state != after.state || before.attempts != after.attempts => word(after.state),
        Some(before) if before.cancel_asked != after.cancel_asked => "task:canceling".to_owned(),
        Some(before) if before.progress != after.progress => "task:progress".to_owned(),
        Some(_) => return Vec::new(),
    };
    let data = json!({
        "task_id": after.id,
        "kind": after.kind,
        "state": after.state,
        "attempts": after.attempts,
        "progress": after.progress,
        "result": after.result,
        "error": after.error,
    });
    vec![NewEvent::new(kind, format!("task:{}", after.id), data)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lines_are_told_in_events_of_a_bounded_size() {
        let lines: Vec<String> = (0..450).map(|number| number.to_string()).collect();
        let ranges: Vec<Value> = of_lines("66aa", JobStream::Log, 10, &lines)
            .into_iter()
            .map(|event| event.data)
            .collect();
        let range = |from: u64, to: u64| json!({ "job_id": "66aa", "from": from, "to": to });
        assert_eq!(ranges, [range(11, 210), range(211, 410), range(411, 460)]);
        let wide = vec!["x".repeat(BYTES_PER_EVENT); 3];
        assert_eq!(of_lines("66aa", JobStream::Log, 0, &wide).len(), 3);
        assert_eq!(of_lines("66aa", JobStream::Log, 0, &[]), []);
    }
}
