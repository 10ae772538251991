//! Launching: intent, reservation, one submission, read-back; and taking everything up again after a crash.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use hf_core::{HfClient, HfErrorKind};
use hf_jobs::{HfJobRunner, JobSpec, KeepOptions, SubmissionState, SubmitError, SubmitPolicy, Submitted};
use jiff::Timestamp;

use super::desk::Desk;
use super::event::{LaunchError, LaunchEvent, LaunchSink, NoSink};
use super::record::{LaunchPrice, LaunchRecord};
use super::view::{CancelCause, JobState, JobView, Observation, StageSeen};
use super::watchdog::WatchPolicy;
use crate::ledger::{Budget, CostSource, LedgerError, MicroUsd, ReserveRequest, Service, Settlement};
use crate::run::RunId;
use crate::store::{JobStore, StoreError};
use crate::trainer::TrainProgress;

/// How many launches are followed at once after a restart.
const FOLLOWED_AT_ONCE: usize = 32;

/// How launches are watched.
#[derive(Debug, Clone)]
pub struct LaunchPolicy {
    /// How patient a submission is.
    pub submit: SubmitPolicy,
    /// How a log is followed.
    pub keep: KeepOptions,
    /// The time between two looks at a followed job.
    pub tick: Duration,
    /// For how long a process that says nothing is still taken to be at a launch. More than two ticks.
    pub lease: Duration,
    /// How many times in a row the log may be given up before following ends; the job stays as it is.
    pub max_outages: u32,
    /// The watchdog's policy.
    pub watch: WatchPolicy,
}

impl Default for LaunchPolicy {
    fn default() -> Self {
        Self {
            submit: SubmitPolicy::default(),
            keep: KeepOptions::default(),
            tick: Duration::from_secs(10),
            lease: Duration::from_secs(45),
            max_outages: 10,
            watch: WatchPolicy::default(),
        }
    }
}

/// What launches work with. The composition root makes it.
#[derive(Clone)]
pub struct LaunchContext {
    /// The Hub; its clock is the time.
    pub client: HfClient,
    /// Where launches are remembered.
    pub store: Arc<dyn JobStore>,
    /// The ledger; none where nothing costs.
    pub budget: Option<Arc<dyn Budget>>,
    /// Which Hub this is, in a word that stays when its address changes: launches of another one are left alone.
    pub hub: String,
    /// Who this process is, in leases. Two processes that may be alive at once have different names.
    pub holder: String,
    /// The label that carries the intent.
    pub label: String,
    /// How a line of the log is read.
    pub read_line: fn(&str) -> Vec<Observation>,
    /// How launches are watched.
    pub policy: LaunchPolicy,
}

/// What is to be launched.
#[derive(Debug, Clone)]
pub struct LaunchRequest {
    /// The name of the intent: the same one again is the same job. It goes into a label, so letters, digits, `.`, `_`, `-`.
    pub intent: String,
    /// The namespace that pays.
    pub namespace: hf_core::Namespace,
    /// The job.
    pub spec: JobSpec,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// What for, for the ledger.
    pub purpose: String,
    /// Whether the job is to leave a model.
    pub leaves_model: bool,
    /// What it may cost.
    pub price: LaunchPrice,
}

/// Launches jobs and follows them. Cloning is cheap.
#[derive(Clone)]
pub struct LaunchService {
    pub(super) context: LaunchContext,
}

/// Reads the marker lines of a training job.
pub fn read_train_line(line: &str) -> Vec<Observation> {
    let Some(progress) = TrainProgress::parse_line(line) else {
        return Vec::new();
    };
    let Some(step) = progress.detail.get("step").and_then(serde_json::Value::as_u64) else {
        return Vec::new();
    };
    match progress.event.as_str() {
        "step" => vec![Observation::Progress { step }],
        "checkpoint" => {
            let revision = progress
                .detail
                .get("revision")
                .and_then(serde_json::Value::as_str);
            vec![Observation::Checkpoint {
                step,
                revision: revision.map(str::to_owned),
            }]
        }
        _ => Vec::new(),
    }
}

impl LaunchService {
    /// Makes a service.
    pub fn new(context: LaunchContext) -> Self {
        Self { context }
    }

    /// Makes sure that the job of this intent was submitted, exactly once, and returns its record.
    ///
    /// The intent is stored and the worst case reserved before anything is sent. Where another process is at the same
    /// intent, this waits for it and returns its job. Call it again after any error or crash.
    ///
    /// # Errors
    /// [`LaunchError`]; only [`LaunchError::NotCreated`] and [`LaunchError::Budget`] say that there is no job.
    pub async fn launch(
        &self,
        request: &LaunchRequest,
        sink: &dyn LaunchSink,
    ) -> Result<LaunchRecord, LaunchError> {
        let mut spec = request.spec.clone();
        spec.labels
            .insert(self.context.label.clone(), request.intent.clone());
        let now = self.context.client.clock().now();
        let fresh = LaunchRecord {
            intent: request.intent.clone(),
            version: 0,
            hub: self.context.hub.clone(),
            namespace: request.namespace.to_string(),
            run: request.run,
            created_at: now,
            updated_at: now,
            request: spec.preview(),
            price: request.price,
            submission: SubmissionState::Planned,
            view: JobView::new(request.leaves_model, request.price.timeout_secs),
            settled: false,
        };
        self.context.store.create_launch(&fresh).await?;
        loop {
            let record = self.find(&request.intent).await?;
            if matches!(record.submission, SubmissionState::Created { .. }) {
                return Ok(record);
            }
            if !self.hold(&request.intent).await? {
                self.context.client.clock().sleep(self.context.policy.tick).await;
                continue;
            }
            // Read again: the one who had the lease may have gone on until just now.
            let desk = Desk::new(&self.context, sink, self.find(&request.intent).await?);
            let ended = Box::pin(self.submit(&desk, &spec, request, &fresh)).await;
            self.let_go(&request.intent).await;
            match ended {
                Err(LaunchError::Busy { .. }) => {
                    self.context.client.clock().sleep(self.context.policy.tick).await;
                }
                Err(error) => return Err(error),
                Ok(()) => return Ok(desk.record().await),
            }
        }
    }

    /// Makes sure that there is a record for a job that was submitted without one, so that it can be followed.
    ///
    /// # Errors
    /// [`LaunchError::Store`]; [`LaunchError::NotCreated`] when `job_id` is no job's id.
    pub async fn adopt(
        &self,
        intent: &str,
        namespace: &str,
        job_id: &str,
        submitted_at: Timestamp,
    ) -> Result<(), LaunchError> {
        let job_id = job_id.parse().map_err(LaunchError::NotCreated)?;
        let record = LaunchRecord {
            intent: intent.to_owned(),
            version: 0,
            hub: self.context.hub.clone(),
            namespace: namespace.to_owned(),
            run: None,
            created_at: submitted_at,
            updated_at: submitted_at,
            request: serde_json::Value::Null,
            price: LaunchPrice::default(),
            submission: SubmissionState::Created {
                job_id,
                at: submitted_at,
            },
            view: JobView::new(true, None),
            settled: false,
        };
        self.context.store.create_launch(&record).await?;
        Ok(())
    }

    async fn submit(
        &self,
        desk: &Desk<'_>,
        spec: &JobSpec,
        request: &LaunchRequest,
        fresh: &LaunchRecord,
    ) -> Result<(), LaunchError> {
        let record = desk.record().await;
        if record.submission == SubmissionState::Planned {
            // A refusal of before does not bind a new attempt.
            desk.change(|record| {
                if matches!(record.view.state, JobState::Refused { .. }) {
                    record.view = fresh.view.clone();
                    record.settled = false;
                }
                record.request = fresh.request.clone();
                record.price = fresh.price;
                Ok(())
            })
            .await?;
            if let Err(error) = self.reserve(request).await {
                if !matches!(error, LedgerError::Store(_)) {
                    self.refused(desk, error.to_string()).await?;
                }
                return Err(error.into());
            }
        }
        let jobs = self.jobs(&record.namespace)?;
        let label = (self.context.label.as_str(), record.intent.as_str());
        let submitted = jobs.submit(spec, label, desk, &self.context.policy.submit).await;
        self.submitted(desk, submitted.map(Some)).await
    }

    /// Writes down what a submission came to.
    async fn submitted(
        &self,
        desk: &Desk<'_>,
        submitted: Result<Option<Submitted>, SubmitError>,
    ) -> Result<(), LaunchError> {
        let submitted = match submitted {
            Ok(Some(submitted)) => submitted,
            Ok(None) => {
                self.release(desk, "no job was made").await?;
                return self
                    .refused(desk, "the requests that were sent made no job".to_owned())
                    .await;
            }
            Err(SubmitError::NotCreated(error)) => {
                self.release(desk, "the Hub made no job").await?;
                self.refused(desk, error.to_string()).await?;
                return Err(LaunchError::NotCreated(error));
            }
            Err(SubmitError::Drifted {
                job_id,
                drifts,
                canceled,
            }) => {
                let words: Vec<String> = drifts.iter().map(ToString::to_string).collect();
                desk.observe(Observation::Drifted {
                    reason: words.join("; "),
                })
                .await?;
                if canceled {
                    self.settle_ended(desk).await?;
                }
                return Err(LaunchError::Drifted {
                    job_id,
                    drifts,
                    canceled,
                });
            }
            Err(SubmitError::Journal(error)) => {
                let busy = error
                    .source
                    .downcast_ref::<LaunchError>()
                    .is_some_and(|error| matches!(error, LaunchError::Busy { .. }));
                let intent = desk.record().await.intent;
                return Err(if busy {
                    LaunchError::Busy { intent }
                } else {
                    LaunchError::Journal(error)
                });
            }
            Err(error) => return Err(error.into()),
        };
        desk.tell(LaunchEvent::Created {
            job_id: submitted.job.id.clone(),
            not_shown: submitted.not_shown,
        })
        .await;
        for job_id in submitted.canceled {
            desk.tell(LaunchEvent::DuplicateCanceled { job_id }).await;
        }
        if !submitted.job.stage().is_terminal() {
            // An end is told after the last line, by whoever follows.
            desk.observe(Observation::Stage(StageSeen::from(&submitted.job)))
                .await?;
        }
        Ok(())
    }

    async fn reserve(&self, request: &LaunchRequest) -> Result<(), LedgerError> {
        let Some(budget) = &self.context.budget else {
            return Ok(());
        };
        let worst = match request.price.worst_micro_usd() {
            Some(worst) => Some(MicroUsd::new(worst).map_err(|_| LedgerError::TooLarge)?),
            None => None,
        };
        budget
            .reserve(ReserveRequest {
                key: request.intent.clone(),
                service: Service::Jobs,
                run: request.run,
                purpose: request.purpose.clone(),
                worst,
                allow_unknown_price: request.price.allow_unknown,
            })
            .await?;
        Ok(())
    }

    async fn release(&self, desk: &Desk<'_>, reason: &str) -> Result<(), LaunchError> {
        let Some(budget) = &self.context.budget else {
            return Ok(());
        };
        let intent = desk.record().await.intent;
        match budget.release(&intent, reason).await {
            Ok(_) | Err(LedgerError::Missing { .. } | LedgerError::AlreadySettled { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn refused(&self, desk: &Desk<'_>, reason: String) -> Result<(), LaunchError> {
        let now = self.context.client.clock().now();
        desk.change(|record| {
            let reason = reason.clone();
            record.view.apply(now, Observation::Refused { reason });
            record.settled = true;
            Ok(())
        })
        .await
    }

    /// Writes down what a job that is over cost. Nothing is done a second time.
    pub(super) async fn settle_ended(&self, desk: &Desk<'_>) -> Result<(), LaunchError> {
        let record = desk.record().await;
        if record.settled {
            return Ok(());
        }
        let (Some(budget), Some(job_id)) = (&self.context.budget, record.job_id()) else {
            return self.settled(desk).await;
        };
        let job = self
            .jobs(&record.namespace)?
            .get_job(job_id)
            .await
            .map_err(LaunchError::Unknown)?;
        let never_ran = job.started_at.is_none() && job.created_at.is_some();
        let ran = match job
            .durations
            .as_ref()
            .and_then(|durations| durations.running_secs)
        {
            None if never_ran => Some(0.0),
            ran => ran,
        };
        let actual = ran
            .and_then(|seconds| record.price.cost_micro_usd(seconds))
            .and_then(|cost| MicroUsd::new(cost).ok());
        let settlement = match actual {
            Some(_) => Settlement {
                actual,
                source: CostSource::DurationPrice,
            },
            None => Settlement::UNKNOWN,
        };
        match budget.settle(&record.intent, settlement).await {
            Ok(_) | Err(LedgerError::Missing { .. }) => self.settled(desk).await,
            Err(error) => Err(error.into()),
        }
    }

    async fn settled(&self, desk: &Desk<'_>) -> Result<(), LaunchError> {
        desk.change(|record| {
            record.settled = true;
            Ok(())
        })
        .await
    }

    /// Takes an observation in that comes from elsewhere, such as the revision of the model once it was seen.
    ///
    /// # Errors
    /// [`LaunchError::Store`].
    pub async fn observe(
        &self,
        intent: &str,
        observation: Observation,
        sink: &dyn LaunchSink,
    ) -> Result<LaunchRecord, LaunchError> {
        let desk = Desk::new(&self.context, sink, self.find(intent).await?);
        desk.observe(observation).await?;
        Ok(desk.record().await)
    }

    /// Asks the Hub to cancel the job, and returns the record as it stands then.
    ///
    /// # Errors
    /// [`LaunchError::AlreadyOver`] with the state when the job is over; [`LaunchError::Unknown`].
    pub async fn cancel(
        &self,
        intent: &str,
        by: CancelCause,
        sink: &dyn LaunchSink,
    ) -> Result<LaunchRecord, LaunchError> {
        let desk = Desk::new(&self.context, sink, self.find(intent).await?);
        let record = desk.record().await;
        let over = |record: LaunchRecord, job_id: &str| LaunchError::AlreadyOver {
            job_id: job_id.to_owned(),
            state: Box::new(record.view.state),
        };
        let Some(job_id) = record.job_id().cloned() else {
            return Err(over(record, "that was never made"));
        };
        // One that drifted is being canceled already, for a better reason.
        let drifted = matches!(record.submission, SubmissionState::Drifted { .. });
        if drifted || record.view.ended || record.view.state.is_final() {
            return Err(over(record, job_id.as_str()));
        }
        let jobs = self.jobs(&record.namespace)?;
        let job = jobs.get_job(&job_id).await.map_err(LaunchError::Unknown)?;
        if job.stage().is_terminal() {
            // Its follower tells the end, and whether an older job takes its place.
            let mut record = record;
            let now = self.context.client.clock().now();
            let seen = StageSeen::from(&job);
            record.view.apply(now, Observation::Stage(seen));
            return Err(over(record, job_id.as_str()));
        }
        desk.observe(Observation::CancelAsked { by }).await?;
        match jobs.cancel_job(&job_id).await {
            Ok(job) if job.stage().is_terminal() => {
                desk.observe(Observation::Stage(StageSeen::from(&job))).await?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == HfErrorKind::Conflict => {
                // It ended in between.
                let job = jobs.get_job(&job_id).await.map_err(LaunchError::Unknown)?;
                desk.observe(Observation::Stage(StageSeen::from(&job))).await?;
                return Err(over(desk.record().await, job_id.as_str()));
            }
            Err(error) => return Err(LaunchError::Unknown(error)),
        }
        let record = desk.record().await;
        match record.view.state {
            // Ended by itself at the same moment: the Hub's word counts.
            JobState::Canceled { .. } => Ok(record),
            _ if record.view.ended => Err(over(record, job_id.as_str())),
            _ => Ok(record),
        }
    }

    /// Takes up everything that an earlier process left unfinished: looks up what was sent, follows every job to its end
    /// and settles it. `sinks` gives the sink of each. What was only planned is left to whoever launches it again, and what
    /// belongs to another Hub to whoever connects to that.
    ///
    /// # Errors
    /// [`LaunchError::Store`] when the unfinished can not be listed; what befell each launch is in the list, by intent.
    pub async fn resume_all(
        &self,
        sinks: &(dyn Fn(&LaunchRecord) -> Box<dyn LaunchSink> + Sync),
    ) -> Result<Vec<(String, Result<LaunchRecord, LaunchError>)>, LaunchError> {
        let mut unfinished = self.context.store.list_unfinished_launches().await?;
        unfinished.retain(|record| record.hub == self.context.hub);
        let mut ended: Vec<_> = futures::stream::iter(unfinished)
            .map(|record| async move {
                let intent = record.intent.clone();
                let sink = sinks(&record);
                (intent, Box::pin(self.resume(record, &*sink)).await)
            })
            .buffer_unordered(FOLLOWED_AT_ONCE)
            .collect()
            .await;
        ended.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(ended)
    }

    /// Gives up a launch of which nothing was sent: its money is given back. True when it was so. Whoever launches the same
    /// intent again begins anew.
    ///
    /// # Errors
    /// [`LaunchError::Budget`] or [`LaunchError::Store`].
    pub async fn give_up(&self, intent: &str) -> Result<bool, LaunchError> {
        if !self.hold(intent).await? {
            return Ok(false);
        }
        let given_up = self.give_up_held(intent).await;
        self.let_go(intent).await;
        given_up
    }

    async fn give_up_held(&self, intent: &str) -> Result<bool, LaunchError> {
        let record = self.find(intent).await?;
        if record.submission != SubmissionState::Planned || record.is_finished() {
            return Ok(false);
        }
        let desk = Desk::new(&self.context, &NoSink, record);
        self.release(&desk, "nothing was sent").await?;
        self.refused(&desk, "it was given up before anything was sent".to_owned())
            .await?;
        Ok(true)
    }

    async fn resume(&self, record: LaunchRecord, sink: &dyn LaunchSink) -> Result<LaunchRecord, LaunchError> {
        let intent = record.intent.clone();
        let mut record = record;
        if matches!(
            record.submission,
            SubmissionState::Sent { .. } | SubmissionState::Drifted { .. }
        ) {
            while !self.hold(&intent).await? {
                self.context.client.clock().sleep(self.context.policy.tick).await;
            }
            let desk = Desk::new(&self.context, sink, self.find(&intent).await?);
            let found = self.look_up(&desk).await;
            self.let_go(&intent).await;
            found?;
            record = desk.record().await;
        }
        match record.submission {
            SubmissionState::Created { .. } => Box::pin(self.follow(&intent, sink)).await,
            _ => Ok(record),
        }
    }

    pub(super) async fn look_up(&self, desk: &Desk<'_>) -> Result<(), LaunchError> {
        let record = desk.record().await;
        if matches!(
            record.submission,
            SubmissionState::Planned | SubmissionState::Created { .. }
        ) {
            return Ok(());
        }
        let jobs = self.jobs(&record.namespace)?;
        let label = (self.context.label.as_str(), record.intent.as_str());
        let found = jobs
            .find_submission(&record.request, label, desk, &self.context.policy.submit)
            .await;
        self.submitted(desk, found).await
    }

    pub(super) async fn find(&self, intent: &str) -> Result<LaunchRecord, LaunchError> {
        let found = self.context.store.find_launch(intent).await?;
        Ok(found.ok_or_else(|| StoreError::Gone {
            what: format!("launch {intent}"),
        })?)
    }

    pub(super) fn jobs(&self, namespace: &str) -> Result<HfJobRunner, LaunchError> {
        let namespace = namespace.parse().map_err(LaunchError::NotCreated)?;
        Ok(HfJobRunner::new(&self.context.client, namespace))
    }

    /// Takes or prolongs the lease on a launch.
    pub(super) async fn hold(&self, intent: &str) -> Result<bool, LaunchError> {
        let now = self.context.client.clock().now();
        let name = lease_name(intent);
        let (holder, ttl) = (&self.context.holder, self.context.policy.lease);
        let lease = self.context.store.take_lease(&name, holder, now, ttl).await?;
        Ok(lease.is_some())
    }

    /// Gives the lease back. One that could not be given back runs out.
    pub(super) async fn let_go(&self, intent: &str) {
        let name = lease_name(intent);
        let _ = self
            .context
            .store
            .release_lease(&name, &self.context.holder)
            .await;
    }
}

fn lease_name(intent: &str) -> String {
    format!("launch {intent}")
}
