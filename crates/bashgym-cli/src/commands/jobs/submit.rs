//! The one place that starts jobs: the intent is stored and the worst case reserved before anything is sent.

use std::future::Future;
use std::sync::Arc;

use bashgym_core::launch::{
    JobView, LaunchContext, LaunchError, LaunchPolicy, LaunchPrice, LaunchRecord, LaunchRequest,
    LaunchService, NoSink, read_train_line,
};
use bashgym_core::ledger::{
    Budget, CapExceeded, CapScope, Ledger, LedgerError, MicroUsd, ReserveRequest, Service, Settlement,
};
use bashgym_core::store::LaunchStore;
use bashgym_core::trainer::INTENT_LABEL;
use bashgym_store::SqlStore;
use hf_core::HfError;
use hf_jobs::{HfJobRunner, JobInfo, JobSpec, SubmissionState};
use uuid::Uuid;

use crate::context::Context;
use crate::error::{CliError, Kind};

/// What offered ports cost a minute, a started millionth counting whole.
///
/// # Source
/// The Hub's documentation of jobs: a flat $0.01 an hour, however many ports.
const PORTS_MICRO_USD_PER_MINUTE: u64 = 167;

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
}

/// What decides over the price of a job.
#[derive(Debug, Clone)]
pub(crate) struct Work {
    pub(crate) flavor: String,
    pub(crate) timeout_secs: Option<u64>,
    pub(crate) attempts: u64,
    pub(crate) has_ports: bool,
}

impl Work {
    pub(crate) fn of_spec(spec: &JobSpec) -> Self {
        Self {
            flavor: spec.flavor.clone(),
            timeout_secs: spec.timeout.map(|timeout| timeout.as_secs()),
            attempts: spec.attempts.map_or(1, u64::from),
            has_ports: spec.expose.is_some(),
        }
    }
}

/// A job that is started.
pub(crate) struct Started {
    pub(crate) job: JobInfo,
    pub(crate) intent: String,
    pub(crate) books: Books,
}

impl Jobs<'_> {
    pub(crate) async fn books(&self) -> Result<Books, CliError> {
        let store = Arc::new(self.context.store().await?);
        let ledger = Ledger::new(store.clone(), self.context.clock.clone());
        let launches = LaunchService::new(LaunchContext {
            client: self.runner.client().clone(),
            store: store.clone(),
            budget: Some(Arc::new(ledger.clone())),
            hub: self.hub.clone(),
            holder: format!("jobs {}", Uuid::now_v7()),
            label: INTENT_LABEL.to_owned(),
            read_line: read_train_line,
            policy: LaunchPolicy::default(),
        });
        Ok(Books {
            store,
            ledger,
            launches,
        })
    }

    /// What a job may cost, by the Hub's list of hardware.
    pub(crate) async fn price(&self, work: &Work, allow_unknown: bool) -> Result<LaunchPrice, CliError> {
        let all = self.runner.hardware().await?;
        let flavor = all.iter().find(|hardware| hardware.name == work.flavor);
        let ports = if work.has_ports {
            PORTS_MICRO_USD_PER_MINUTE
        } else {
            0
        };
        Ok(LaunchPrice {
            micro_usd_per_minute: flavor
                .and_then(hf_jobs::JobHardware::micro_usd_per_minute)
                .and_then(|rate| rate.checked_add(ports)),
            // Whether the time-out is that of the job or of each attempt is not known.
            timeout_secs: work
                .timeout_secs
                .map(|seconds| seconds.saturating_mul(work.attempts.max(1))),
            cap_micro_usd: None,
            allow_unknown,
        })
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
        let intent = match retry_key {
            Some(key) => format!("key-{key}"),
            None => format!("job-{}", Uuid::now_v7()),
        };
        let books = self.books().await?;
        if retry_key.is_some()
            && let Some(known) = books.store.find_launch(&intent).await?
        {
            self.is_same(&known, spec, &intent)?;
        }
        let request = LaunchRequest {
            intent: intent.clone(),
            namespace: self.runner.namespace().clone(),
            spec: spec.clone(),
            run: None,
            purpose: purpose(&spec.flavor),
            leaves_model: false,
            price,
        };
        let launched = Box::pin(books.launches.launch(&request, &NoSink)).await;
        let launched = launched.map_err(launch_error)?;
        let Some(job_id) = launched.job_id() else {
            return Err(CliError::new(Kind::Internal, "a launch went well without a job"));
        };
        let job = self.runner.get_job(job_id).await.map_err(|error| {
            CliError::from(error).hint(format!("the job is started: bashgym jobs show {job_id}"))
        })?;
        Ok(Started { job, intent, books })
    }

    /// Refuses a key that another request had. What made no job may be asked for otherwise.
    fn is_same(&self, known: &LaunchRecord, spec: &JobSpec, intent: &str) -> Result<(), CliError> {
        let mut spec = spec.clone();
        spec.labels.insert(INTENT_LABEL.to_owned(), intent.to_owned());
        let same = known.hub == self.hub
            && known.namespace == self.runner.namespace().as_str()
            && known.request == spec.preview();
        if same || known.submission == SubmissionState::Planned {
            return Ok(());
        }
        Err(
            CliError::new(Kind::Conflict, "this retry key was used for another request")
                .hint("give each job a key of its own, and the same key only to try the same job again"),
        )
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
            purpose: purpose(&work.flavor),
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
                purpose: purpose(&work.flavor),
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

fn purpose(flavor: &str) -> String {
    format!("job on {flavor}")
}

fn worst(price: LaunchPrice) -> Result<Option<MicroUsd>, CliError> {
    let worst = price.worst_micro_usd().map(MicroUsd::new).transpose();
    worst.map_err(|_| CliError::from(LedgerError::TooLarge))
}

fn ledger_error(error: LedgerError) -> CliError {
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
        LaunchError::AlreadyOver { .. } | LaunchError::Busy { .. } => {
            CliError::new(Kind::Conflict, error.to_string())
        }
        LaunchError::Journal(_) => CliError::new(Kind::Io, error.to_string()),
        other => CliError::new(Kind::Internal, other.to_string()),
    }
}
