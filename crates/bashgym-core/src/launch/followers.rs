//! Following every unfinished launch in the background, shared among the processes of one store.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use hf_jobs::SubmissionState;
use serde_json::{Value, json};
use tokio::task::{Id, JoinSet};
use tokio_util::sync::CancellationToken;

use super::desk::Desk;
use super::event::{LaunchError, LaunchEvent, LaunchSink};
use super::record::LaunchRecord;
use super::service::LaunchService;
use crate::events::{EventLog, NewEvent, facts};

/// How launches are followed in the background.
#[derive(Debug, Clone, Copy)]
pub struct FollowerPolicy {
    /// The time between two looks for launches that nobody follows.
    pub scan: Duration,
    /// How many one process follows at most; the rest is left to others.
    pub most: usize,
    /// How long a launch is let be that could not be followed.
    pub retry: Duration,
}

impl Default for FollowerPolicy {
    fn default() -> Self {
        Self {
            scan: Duration::from_secs(10),
            most: 256,
            retry: Duration::from_mins(1),
        }
    }
}

/// How it stands with the followers of a process.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FollowerStatus {
    /// The launches that are followed now, by intent.
    pub following: BTreeSet<String>,
    /// The launches that could not be followed at the last try, and why.
    pub troubled: BTreeMap<String, String>,
}

/// Follows launches. Of several processes on one store, each launch is followed by one, which holds its lease; when that
/// process is gone and its lease runs out, another one goes on after the last kept line.
///
/// Its [`super::LaunchContext::holder`] must be its own: nobody else in the process follows under that name.
#[derive(Clone)]
pub struct FollowerService {
    launches: LaunchService,
    log: Arc<dyn EventLog>,
    policy: FollowerPolicy,
    status: Arc<Mutex<FollowerStatus>>,
}

impl FollowerService {
    /// Makes a service. What a launch tells beside what is stored of it goes into `log`.
    pub fn new(launches: LaunchService, log: Arc<dyn EventLog>, policy: FollowerPolicy) -> Self {
        Self {
            launches,
            log,
            policy,
            status: Arc::default(),
        }
    }

    /// How it stands now.
    pub fn status(&self) -> FollowerStatus {
        self.with(|status| status.clone())
    }

    fn with<T>(&self, work: impl FnOnce(&mut FollowerStatus) -> T) -> T {
        work(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows whatever is unfinished and whatever is launched meanwhile, by any process, until `stop` fires. The leases
    /// are then given back, so that another process goes on at once.
    pub async fn run(&self, stop: CancellationToken) {
        let clock = Arc::clone(self.launches.context.client.clock());
        let mut at_work: JoinSet<Result<(), LaunchError>> = JoinSet::new();
        let mut intents: HashMap<Id, String> = HashMap::new();
        let mut not_before: BTreeMap<String, Duration> = BTreeMap::new();
        loop {
            let now = clock.elapsed();
            not_before.retain(|_, until| *until > now);
            // A store that does not answer is asked again at the next look.
            for record in self.wanted().await.unwrap_or_default() {
                let busy = not_before.contains_key(&record.intent)
                    || at_work.len() >= self.policy.most
                    || self.with(|status| status.following.contains(&record.intent));
                if busy || !matches!(self.launches.hold(&record.intent).await, Ok(true)) {
                    continue;
                }
                self.with(|status| status.following.insert(record.intent.clone()));
                let (service, intent) = (self.clone(), record.intent.clone());
                let task = at_work.spawn(async move { Box::pin(service.lead(&intent)).await });
                intents.insert(task.id(), record.intent);
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = clock.sleep(self.policy.scan) => {}
                Some(joined) = at_work.join_next_with_id(), if !at_work.is_empty() => {
                    let (id, trouble) = match joined {
                        Ok((id, ended)) => (id, ended.err().map(|error| error.to_string())),
                        Err(error) => (error.id(), Some(error.to_string())),
                    };
                    let Some(intent) = intents.remove(&id) else { continue };
                    if trouble.is_some() {
                        let until = clock.elapsed().saturating_add(self.policy.retry);
                        not_before.insert(intent.clone(), until);
                    }
                    self.with(|status| {
                        status.following.remove(&intent);
                        match trouble {
                            Some(trouble) => status.troubled.insert(intent, trouble),
                            None => status.troubled.remove(&intent),
                        }
                    });
                }
            }
        }
        at_work.shutdown().await;
        let left = self.with(|status| std::mem::take(&mut status.following));
        for intent in left {
            self.launches.let_go(&intent).await;
        }
    }

    /// What there is to follow: what was sent, on this Hub, and is not finished.
    async fn wanted(&self) -> Result<Vec<LaunchRecord>, LaunchError> {
        let context = &self.launches.context;
        let mut unfinished = context.store.list_unfinished_launches().await?;
        unfinished.retain(|record| {
            record.hub == context.hub && !matches!(record.submission, SubmissionState::Planned)
        });
        Ok(unfinished)
    }

    /// Follows a launch whose lease was just taken, to its end or until another process has it.
    async fn lead(&self, intent: &str) -> Result<(), LaunchError> {
        let sink = LogSink {
            log: Arc::clone(&self.log),
            topic: Mutex::new(format!("launch:{intent}")),
            intent: intent.to_owned(),
        };
        let led = Box::pin(self.lead_with(intent, &sink)).await;
        match led {
            // Held up for so long that another process took over: it is that one's now.
            Err(LaunchError::Busy { .. }) => Ok(()),
            led => {
                self.launches.let_go(intent).await;
                led
            }
        }
    }

    async fn lead_with(&self, intent: &str, sink: &LogSink) -> Result<(), LaunchError> {
        let record = self.launches.find(intent).await?;
        if record.is_finished() {
            return Ok(());
        }
        let desk = Desk::new(&self.launches.context, sink, record);
        self.launches.look_up(&desk).await?;
        let record = desk.record().await;
        let (SubmissionState::Created { job_id, .. }, false) = (&record.submission, record.is_finished())
        else {
            return Ok(());
        };
        sink.about(facts::job_topic(job_id.as_str()));
        Box::pin(self.launches.lead(&desk)).await
    }
}

/// Puts into the log what a launch tells and no store keeps.
struct LogSink {
    log: Arc<dyn EventLog>,
    topic: Mutex<String>,
    intent: String,
}

impl LogSink {
    fn about(&self, topic: String) {
        *self.topic.lock().unwrap_or_else(PoisonError::into_inner) = topic;
    }

    fn event(&self, kind: &str, mut data: Value) -> NewEvent {
        data["intent"] = json!(self.intent);
        let topic = self.topic.lock().unwrap_or_else(PoisonError::into_inner).clone();
        NewEvent::new(kind, topic, data)
    }
}

#[async_trait]
impl LaunchSink for LogSink {
    async fn tell(&self, event: LaunchEvent) {
        let event = match event {
            LaunchEvent::DuplicateCanceled { job_id } => {
                self.event("hf:job:duplicate_canceled", json!({ "duplicate": job_id }))
            }
            LaunchEvent::LogRotated { lost } => self.event("hf:job:log_rotated", json!({ "lost": lost })),
            LaunchEvent::LogIncomplete { reason } => {
                self.event("hf:job:log_incomplete", json!({ "reason": reason }))
            }
            LaunchEvent::Finding { finding, action } => {
                self.event("hf:job:finding", json!({ "finding": finding, "action": action }))
            }
            LaunchEvent::CapReached {
                spent_micro_usd,
                cap_micro_usd,
            } => self.event(
                "hf:job:cap_reached",
                json!({ "spent_micro_usd": spent_micro_usd, "cap_micro_usd": cap_micro_usd }),
            ),
            // The store tells of these in the transaction that keeps them.
            LaunchEvent::Created { .. }
            | LaunchEvent::Line(_)
            | LaunchEvent::State(_)
            | LaunchEvent::Ended(_) => return,
        };
        // A hint beside what is stored; following does not end for it.
        let _ = self.log.append(&[event]).await;
    }
}
