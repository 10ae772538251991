//! Starting jobs that belong to no run: what each face of the product does between a request and a followed job.

use std::sync::Arc;

use hf_jobs::{HfJobRunner, JobHardware, JobInfo, JobSpec, SubmissionState};
use uuid::Uuid;

use super::event::{LaunchError, NoSink};
use super::record::{LaunchPrice, LaunchRecord};
use super::scheduled::PORTS_MICRO_USD_PER_MINUTE;
use super::service::{LaunchContext, LaunchPolicy, LaunchRequest, LaunchService, read_train_line};
use crate::ledger::Ledger;
use crate::store::{JobStore, StoreError};
use crate::trainer::INTENT_LABEL;

/// How many jobs one look settles at most.
const SETTLED_AT_ONCE: usize = 20;

/// What decides over the price of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// The hardware, by its name.
    pub flavor: String,
    /// The longest it may run, in seconds; none where the Hub's own default holds.
    pub timeout_secs: Option<u64>,
    /// How often it is tried at most.
    pub attempts: u64,
    /// Whether it offers ports.
    pub has_ports: bool,
}

impl Work {
    /// What a request asks for.
    pub fn of_spec(spec: &JobSpec) -> Self {
        Self {
            flavor: spec.flavor.clone(),
            timeout_secs: spec.timeout.map(|timeout| timeout.as_secs()),
            attempts: spec.attempts.map_or(1, u64::from),
            has_ports: spec.expose.is_some(),
        }
    }

    /// What a job may cost, by the Hub's list of hardware.
    ///
    /// # Errors
    /// [`LaunchError::NotCreated`] when the Hub does not list its hardware.
    pub async fn price(&self, runner: &HfJobRunner, allow_unknown: bool) -> Result<LaunchPrice, LaunchError> {
        let all = runner.hardware().await.map_err(LaunchError::NotCreated)?;
        let flavor = all.iter().find(|hardware| hardware.name == self.flavor);
        let ports = if self.has_ports {
            PORTS_MICRO_USD_PER_MINUTE
        } else {
            0
        };
        Ok(LaunchPrice {
            micro_usd_per_minute: flavor
                .and_then(JobHardware::micro_usd_per_minute)
                .and_then(|rate| rate.checked_add(ports)),
            // Whether the time-out is that of the job or of each attempt is not known.
            timeout_secs: self
                .timeout_secs
                .map(|seconds| seconds.saturating_mul(self.attempts.max(1))),
            cap_micro_usd: None,
            allow_unknown,
        })
    }

    /// What it is for, in the ledger.
    pub fn purpose(&self) -> String {
        format!("job on {}", self.flavor)
    }
}

/// Starts jobs of one namespace and keeps their books.
#[derive(Clone)]
pub struct JobStarter {
    /// The Hub's jobs of the namespace that pays.
    pub runner: HfJobRunner,
    /// Which Hub this is, as [`LaunchContext::hub`] names it.
    pub hub: String,
    /// Where launches are remembered.
    pub store: Arc<dyn JobStore>,
    /// The ledger.
    pub ledger: Ledger,
}

impl JobStarter {
    /// What launches and follows these jobs, as a holder of its own.
    pub fn launches(&self) -> LaunchService {
        LaunchService::new(self.context())
    }

    /// What launches of these jobs work with, under a holder's name that nobody else has.
    pub fn context(&self) -> LaunchContext {
        LaunchContext {
            client: self.runner.client().clone(),
            store: Arc::clone(&self.store),
            budget: Some(Arc::new(self.ledger.clone())),
            hub: self.hub.clone(),
            holder: format!("jobs {}", Uuid::now_v7()),
            label: INTENT_LABEL.to_owned(),
            read_line: read_train_line,
            policy: LaunchPolicy::default(),
        }
    }

    /// Submits a job exactly once for its intent, with its worst case reserved, and returns its launch.
    ///
    /// The same `retry_key` again is the same job, also after a crash and from another process.
    ///
    /// # Errors
    /// [`LaunchError`]; [`LaunchError::OtherRequest`] when the key was used for another request.
    pub async fn submit(
        &self,
        spec: &JobSpec,
        price: LaunchPrice,
        retry_key: Option<&str>,
    ) -> Result<LaunchRecord, LaunchError> {
        spec.validate().map_err(LaunchError::NotCreated)?;
        let intent = match retry_key {
            Some(key) => format!("key-{key}"),
            None => format!("job-{}", Uuid::now_v7()),
        };
        if retry_key.is_some()
            && let Some(known) = self.store.find_launch(&intent).await?
            && !self.is_same(&known, spec, &intent)
        {
            return Err(LaunchError::OtherRequest { intent });
        }
        let request = LaunchRequest {
            intent,
            namespace: self.runner.namespace().clone(),
            spec: spec.clone(),
            run: None,
            purpose: Work::of_spec(spec).purpose(),
            leaves_model: false,
            price,
        };
        Box::pin(self.launches().launch(&request, &NoSink)).await
    }

    /// Whether a known launch is of this very request. What made no job may be asked for otherwise.
    fn is_same(&self, known: &LaunchRecord, spec: &JobSpec, intent: &str) -> bool {
        let mut spec = spec.clone();
        spec.labels.insert(INTENT_LABEL.to_owned(), intent.to_owned());
        let same = known.hub == self.hub
            && known.namespace == self.runner.namespace().as_str()
            && known.request == spec.preview();
        same || known.submission == SubmissionState::Planned
    }

    /// Settles what jobs that were started here and seen to be over cost. One that does not work is left to the next look.
    ///
    /// # Errors
    /// [`StoreError`] when the unfinished launches cannot be listed.
    pub async fn settle_seen(&self, seen: &[JobInfo]) -> Result<(), StoreError> {
        let launches = self.launches();
        let unfinished = self.store.list_unfinished_launches().await?;
        let over = unfinished.iter().filter_map(|record| {
            let job = seen.iter().find(|job| record.job_id() == Some(&job.id))?;
            (record.hub == self.hub && job.stage().is_terminal()).then_some((record, job))
        });
        for (record, job) in over.take(SETTLED_AT_ONCE) {
            // One that does not work takes no other along.
            let _ = launches.settle(&record.intent, job).await;
        }
        Ok(())
    }
}
