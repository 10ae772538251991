//! The one place that starts jobs: the intent is stored and the worst case reserved before anything is sent.

use std::future::Future;
use std::sync::Arc;

pub(crate) use bashgym_core::launch::Work;
use bashgym_core::launch::{
    JobStarter, JobView, LaunchError, LaunchPrice, LaunchRecord, LaunchService, ScheduleBooks,
};
use bashgym_core::ledger::{
    Budget, CapExceeded, CapScope, Ledger, LedgerError, MicroUsd, ReserveRequest, Service, Settlement,
};
use bashgym_core::run::Target;
use bashgym_core::store::LaunchStore;
use bashgym_store::SqlStore;
use hf_core::{HfError, SecretValue};
use hf_jobs::{HfJobRunner, JobInfo, JobSpec, SubmissionState};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::gate::HomeGate;
use crate::job_token;

/// The jobs of one namespace, and whose books they are in.
pub(crate) struct Jobs<'a> {
    pub(crate) runner: HfJobRunner,
    pub(crate) context: &'a Context,
    /// The Hub's name in the store.
    pub(crate) hub: String,
}

/// Where launches and money are written down.
pub(crate) struct Books {
    pub(crate) store: Arc<SqlStore>,
    pub(crate) ledger: Ledger,
    pub(crate) launches: LaunchService,
    pub(crate) starter: JobStarter,
}

/// A job that is started.
pub(crate) struct Started {
    pub(crate) job: JobInfo,
    pub(crate) intent: String,
    pub(crate) books: Books,
}

impl Jobs<'_> {
    /// The token of its own that a job gets, if there is one.
    pub(crate) fn job_token(&self) -> Result<Option<SecretValue>, CliError> {
        if self.hub == Target::EMBEDDED {
            return Ok(None);
        }
        let own = job_token::find(self.context, self.runner.client().endpoint())?;
        Ok(own.map(|own| SecretValue::from(&own.token)))
    }

    /// The ledger, open at the book of this Hub.
    fn ledger(&self, store: &Arc<SqlStore>) -> Ledger {
        let ledger = Ledger::new(store.clone(), self.context.clock.clone());
        ledger.at(self.runner.client().endpoint())
    }

    pub(crate) async fn books(&self) -> Result<Books, CliError> {
        let store = Arc::new(self.context.store().await?);
        let ledger = self.ledger(&store);
        let starter = JobStarter {
            runner: self.runner.clone(),
            hub: self.hub.clone(),
            store: store.clone(),
            ledger: ledger.clone(),
        };
        let launches = starter.launches();
        Ok(Books {
            store,
            ledger,
            launches,
            starter,
        })
    }

    /// Where the schedules of this Hub are booked.
    pub(crate) async fn schedule_books(&self) -> Result<ScheduleBooks, CliError> {
        let store = Arc::new(self.context.store().await?);
        let clock = self.context.clock.clone();
        Ok(ScheduleBooks {
            ledger: self.ledger(&store),
            store,
            hub: self.hub.clone(),
            clock,
        })
    }

    /// What a job may cost, by the Hub's list of hardware.
    pub(crate) async fn price(&self, work: &Work, allow_unknown: bool) -> Result<LaunchPrice, CliError> {
        work.price(&self.runner, allow_unknown)
            .await
            .map_err(launch_error)
    }

    /// Submits a job exactly once for its intent, with its worst case reserved.
    ///
    /// The same `retry_key` again is the same job, also after a crash.
    pub(crate) async fn submit(
        &self,
        spec: &JobSpec,
        price: LaunchPrice,
        retry_key: Option<&str>,
    ) -> Result<Started, CliError> {
        spec.validate()?;
        // A job prints what it is given, and agents log what they see: no upload of this home may hold it.
        HomeGate::open(self.context)?
            .remember("job_secret", spec.secrets.values().map(SecretValue::expose))?;
        let books = self.books().await?;
        let launched = books.starter.submit(spec, price, retry_key).await;
        let launched = launched.map_err(launch_error)?;
        let Some(job_id) = launched.job_id() else {
            return Err(CliError::new(Kind::Internal, "a launch went well without a job"));
        };
        let job = self.runner.get_job(job_id).await.map_err(|error| {
            CliError::from(error).hint(format!("the job is started: bashgym jobs show {job_id}"))
        })?;
        let intent = launched.intent;
        Ok(Started { job, intent, books })
    }

    /// Starts what the Hub keeps the request of (a copy, a scheduled job's run now), with its worst case reserved.
    ///
    /// Sent once: the Hub lets nothing be added by which it could be looked up.
    pub(crate) async fn start_kept(
        &self,
        work: &Work,
        allow_unknown: bool,
        send: impl Future<Output = Result<JobInfo, HfError>>,
    ) -> Result<JobInfo, CliError> {
        let price = self.price(work, allow_unknown).await?;
        let books = self.books().await?;
        let key = format!("again-{}", Uuid::now_v7());
        let reserved = books.ledger.reserve(ReserveRequest {
            key: key.clone(),
            service: Service::Jobs,
            run: None,
            purpose: work.purpose(),
            worst: worst(price)?,
            allow_unknown_price: allow_unknown,
        });
        reserved.await.map_err(ledger_error)?;
        match send.await {
            Ok(job) => {
                let now = self.context.clock.now();
                let record = LaunchRecord {
                    intent: key,
                    version: 0,
                    hub: self.hub.clone(),
                    namespace: self.runner.namespace().to_string(),
                    run: None,
                    created_at: now,
                    updated_at: now,
                    request: serde_json::Value::Null,
                    price,
                    submission: SubmissionState::Created {
                        job_id: job.id.clone(),
                        at: now,
                    },
                    view: JobView::new(false, price.timeout_secs),
                    settled: false,
                };
                if let Err(error) = books.store.create_launch(&record).await {
                    let said = format!("What it costs stays reserved: it could not be noted ({error}).");
                    self.context.output.aside(said);
                }
                Ok(job)
            }
            Err(error) if error.is_ambiguous() => {
                let said = match books.ledger.settle(&key, Settlement::UNKNOWN).await {
                    Ok(_) => "the job may have been started all the same, so its worst case counts as spent",
                    Err(_) => "the job may have been started all the same, so its worst case stays reserved",
                };
                Err(CliError::from(error)
                    .hint(said)
                    .hint("look before you start it again: bashgym jobs ls"))
            }
            Err(error) => {
                let error = CliError::from(error);
                match books.ledger.release(&key, "the Hub made no job").await {
                    Ok(_) => Err(error),
                    Err(ledger) => Err(error.hint(format!("its worst case stays reserved: {ledger}"))),
                }
            }
        }
    }

    /// Refuses what a cap has no room for now, and reserves nothing.
    pub(crate) async fn check_room(&self, work: &Work, price: LaunchPrice) -> Result<(), CliError> {
        let Some(worst) = worst(price)? else {
            if price.allow_unknown {
                return Ok(());
            }
            return Err(ledger_error(LedgerError::UnknownPrice {
                service: Service::Jobs,
                purpose: work.purpose(),
            }));
        };
        let overview = self.books().await?.ledger.overview(None).await?;
        let jobs = |scope: CapScope| scope.covers(Service::Jobs);
        let tight = overview
            .caps
            .iter()
            .filter(|status| jobs(status.cap.scope))
            .filter(|status| status.left().is_some_and(|left| left < worst))
            .min_by_key(|status| status.left());
        let Some(status) = tight else { return Ok(()) };
        let amount = |micro_usd: i64| {
            let micro_usd = u64::try_from(micro_usd).unwrap_or_default();
            MicroUsd::new(micro_usd).unwrap_or(MicroUsd::MAX)
        };
        let used = status.used.unwrap_or_default();
        Err(ledger_error(LedgerError::CapExceeded(Box::new(CapExceeded {
            cap: status.cap,
            run: None,
            asked: Some(worst),
            reserved: amount(used.reserved_micro_usd),
            settled: amount(used.settled_micro_usd),
            resets_at: status.resets_at,
            holders: Vec::new(),
        }))))
    }
}

fn worst(price: LaunchPrice) -> Result<Option<MicroUsd>, CliError> {
    let worst = price.worst_micro_usd().map(MicroUsd::new).transpose();
    worst.map_err(|_| CliError::from(LedgerError::TooLarge))
}

pub(crate) fn ledger_error(error: LedgerError) -> CliError {
    let unknown = matches!(error, LedgerError::UnknownPrice { .. });
    let error = CliError::from(error);
    if unknown {
        error.hint("bashgym jobs hardware lists prices; --allow-unknown-price starts it all the same")
    } else {
        error
    }
}

/// A launch that did not get on.
pub(crate) fn launch_error(error: LaunchError) -> CliError {
    const RESUME: &str = "bashgym jobs resume";
    match error {
        LaunchError::NotCreated(source) => CliError::from(source),
        LaunchError::Unknown(source) => CliError::from(source).hint(format!(
            "the job may exist and is looked up before anything is sent again: {RESUME}"
        )),
        LaunchError::Budget(source) => ledger_error(source),
        LaunchError::Store(source) => CliError::from(source),
        LaunchError::Drifted { canceled, .. } => {
            let failed = CliError::new(Kind::JobFailed, error.to_string());
            if canceled {
                failed
            } else {
                failed.hint(format!("cancel it once the Hub answers: {RESUME}"))
            }
        }
        LaunchError::OtherRequest { .. } => CliError::new(Kind::Conflict, error.to_string())
            .hint("give each job a key of its own, and the same key only to try the same job again"),
        LaunchError::AlreadyOver { .. } | LaunchError::Busy { .. } => {
            CliError::new(Kind::Conflict, error.to_string())
        }
        LaunchError::Journal(_) => CliError::new(Kind::Io, error.to_string()),
        other => CliError::new(Kind::Internal, other.to_string()),
    }
}
