//! The jobs of the simulated Hub: what a request makes, and how it goes over time.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::hub::State;

pub(crate) const PRICE_PER_MINUTE: u64 = 16_667;

#[derive(Debug, Clone)]
pub(crate) struct SimJob {
    pub(crate) id: String,
    pub(crate) request: Arc<Value>,
    pub(crate) intent: String,
    pub(crate) created: Duration,
    pub(crate) visible: Duration,
    started: Duration,
    pub(crate) ends: Duration,
    end: &'static str,
    pub(crate) canceled: Option<Duration>,
    pub(crate) lines: Arc<[(Duration, String)]>,
    pub(crate) dropped: usize,
    timeout: u64,
    pub(crate) drifted: bool,
    /// The machine that sent it.
    pub(crate) machine: &'static str,
}

impl SimJob {
    pub(crate) fn stage(&self, now: Duration) -> &'static str {
        match self.canceled {
            Some(at) if at <= now => "CANCELED",
            _ if now >= self.ends => self.end,
            _ if now >= self.started => "RUNNING",
            _ => "SCHEDULING",
        }
    }

    pub(crate) fn is_over(&self, now: Duration) -> bool {
        !matches!(self.stage(now), "RUNNING" | "SCHEDULING")
    }

    pub(crate) fn over_at(&self) -> Duration {
        self.canceled.unwrap_or(self.ends)
    }

    /// The lines there are once the job is over.
    pub(crate) fn final_lines(&self) -> Vec<String> {
        let over = self.over_at();
        let there = self.lines.iter().take_while(|(at, _)| *at <= over);
        there.map(|(_, text)| text.clone()).collect()
    }

    fn running_secs(&self, now: Duration) -> Option<u64> {
        let end = now.min(self.over_at());
        (end >= self.started && now >= self.started).then(|| (end - self.started).as_secs())
    }

    /// What the Hub bills by now.
    pub(crate) fn cost(&self, now: Duration) -> u64 {
        self.running_secs(now).unwrap_or(0).div_ceil(60) * PRICE_PER_MINUTE
    }

    pub(crate) fn to_json(&self, now: Duration, start: Timestamp) -> Value {
        let at = |time: Duration| start.saturating_add(time).unwrap().to_string();
        let mut job = json!({
            "type": "job", "id": self.id, "createdAt": at(self.created), "dockerImage": self.request["dockerImage"],
            "command": self.request["command"], "arguments": [], "environment": self.request["environment"],
            "secrets": ["HF_TOKEN"], "flavor": self.request["flavor"], "timeout": self.timeout,
            "labels": self.request["labels"], "initiator": {"type": "user", "id": "1"},
            "status": {"stage": self.stage(now), "message": null}});
        if let Some(running) = self.running_secs(now) {
            job["startedAt"] = json!(at(self.started));
            job["durations"] = json!({"runningSecs": running});
        }
        if self.stage(now) == "ERROR"
            && self.end == "ERROR"
            && self.ends - self.started >= Duration::from_secs(self.timeout)
        {
            job["status"]["message"] = json!("Job timeout");
        }
        job
    }
}

impl State {
    /// Counts what an answer shows a machine of jobs beside an older one.
    pub(crate) fn shown(&mut self, found: &[SimJob], now: Duration, machine: &'static str) {
        let age = |job: &SimJob| (job.created, job.id.clone());
        let oldest = found.iter().map(age).min();
        for job in found {
            if Some(age(job)) != oldest && !job.is_over(now) && !self.cancel_came.contains_key(&job.id) {
                *self.shown_beside.entry((job.id.clone(), machine)).or_default() += 1;
            }
        }
    }

    pub(crate) fn create(&mut self, at: Duration, request: Value, machine: &'static str) -> SimJob {
        let intent = request["labels"]["bashgym-intent"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        // Another machine can not be known of at once; what one machine sent itself, it must never send again.
        let sent = |job: &&SimJob| job.intent == intent && job.machine == machine;
        if let Some(other) = self.jobs.iter().find(sent) {
            let live = if other.is_over(at) {
                "a job that is over"
            } else {
                "a LIVE job"
            };
            self.violations.push(format!(
                "intent {intent} was sent again beside {live}, {}",
                other.id
            ));
        }
        let weather = self.weather;
        let asked = request["timeoutSeconds"].as_u64().unwrap_or(1800);
        let drifted = weather.drifts && self.rng.percent(50);
        let timeout = if drifted { 1800 } else { asked };
        let started = at + self.rng.millis(40_000);
        let mut ends = started + self.rng.millis(120_000);
        let mut end = if self.rng.percent(75) {
            "COMPLETED"
        } else {
            "ERROR"
        };
        let limit = started + Duration::from_secs(timeout);
        if self.rng.percent(15) {
            ends = limit + Duration::from_hours(1);
        }
        if ends >= limit && weather.keeps_timeout {
            (ends, end) = (limit, "ERROR");
        }
        let count = self.rng.below(14);
        let mut lines = vec![(
            started,
            "===== Job started at 2026-10-09 08:00:00 =====".to_owned(),
        )];
        let mut moment = started;
        for n in 0..count {
            // Some lines share a moment, and some of those are the same.
            if !self.rng.percent(30) {
                moment += Duration::from_millis(1 + self.rng.below(12_000));
            }
            lines.push((
                moment,
                match n % 4 {
                    2 => "same again".to_owned(),
                    3 => format!("[bashgym] {{\"event\":\"step\",\"step\":{n}}}"),
                    _ => format!("line {n} é😀"),
                },
            ));
        }
        // The last line stands in the log a moment before the stage says so.
        lines.retain(|(at, _)| *at <= ends);
        let visible = at + self.rng.millis(weather.list_lag);
        let job = SimJob {
            id: format!("66aa{:04x}", self.jobs.len() + 1),
            request: Arc::new(request),
            intent,
            created: at,
            visible,
            started,
            ends,
            end,
            canceled: None,
            lines: lines.into(),
            dropped: 0,
            timeout,
            drifted,
            machine,
        };
        self.jobs.push(job.clone());
        job
    }
}
