//! Jobs that the Hub starts by the clock: nobody here decides about a run, so its money is held by the schedule and what each
//! run cost is booked when it is seen.

use std::sync::Arc;

use futures::TryStreamExt;
use hf_core::{Clock, HfError, JobId};
use hf_jobs::{HfJobRunner, JobFilter, JobHardware, JobInfo, SubmissionState};

use super::record::{LaunchPrice, LaunchRecord};
use super::view::JobView;
use crate::ledger::{
    Budget, EntryFilter, EntryState, Ledger, LedgerError, MicroUsd, ReserveRequest, Service,
};
use crate::store::LaunchStore;

/// The label that names the schedule on each of its runs.
pub const SCHEDULE_LABEL: &str = "bashgym-schedule";
/// What the ledger says a schedule's money is for.
const HELD_FOR: &str = "the next run of a schedule";
/// Schedules that are looked at.
const MOST_SCHEDULES: u32 = 1000;
/// Runs of one schedule that are looked at, newest first.
const MOST_RUNS: usize = 1000;

/// What offered ports cost a minute, a started millionth counting whole.
///
/// # Source
/// The Hub's documentation of jobs: a flat $0.01 an hour, however many ports.
pub const PORTS_MICRO_USD_PER_MINUTE: u64 = 167;

/// Books the schedules of one Hub and their runs. Cloning is cheap.
#[derive(Clone)]
pub struct ScheduleBooks {
    /// The ledger.
    pub ledger: Ledger,
    /// Where launches are remembered.
    pub store: Arc<dyn LaunchStore>,
    /// The Hub's name in the store.
    pub hub: String,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

/// A run that was booked.
#[derive(Debug, Clone, PartialEq)]
pub struct BookedRun {
    /// The launch it was booked as.
    pub intent: String,
    /// The job.
    pub job: JobInfo,
}

/// Why runs could not be booked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The Hub did not tell the runs.
    #[error("the runs of a schedule cannot be seen: {0}")]
    Hub(#[from] HfError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

impl ScheduleBooks {
    /// Holds the worst case of one run for as long as the schedule is there, unless a cap has no room for it. `tag` is the value
    /// of [`SCHEDULE_LABEL`].
    ///
    /// # Errors
    /// As [`Budget::reserve`].
    pub async fn hold(&self, tag: &str, price: LaunchPrice) -> Result<(), LedgerError> {
        let request = ReserveRequest {
            key: hold_key(tag),
            service: Service::Jobs,
            run: None,
            purpose: HELD_FOR.to_owned(),
            worst: worst(price)?,
            allow_unknown_price: price.allow_unknown,
        };
        self.ledger.reserve(request).await.map(drop)
    }

    /// Gives the schedule's money back: it was removed, or never made.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn release(&self, tag: &str, reason: &str) -> Result<(), LedgerError> {
        match self.ledger.release(&hold_key(tag), reason).await {
            Ok(_) | Err(LedgerError::Missing { .. } | LedgerError::AlreadySettled { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The tags of the schedules that were made here and not removed.
    ///
    /// # Errors
    /// [`ScheduleError::Store`].
    pub async fn open_schedules(&self) -> Result<Vec<String>, ScheduleError> {
        let filter = EntryFilter {
            service: Some(Service::Jobs),
            purpose: Some(HELD_FOR.to_owned()),
            ..EntryFilter::default()
        };
        let entries = self.ledger.entries(&filter, None, MOST_SCHEDULES).await?;
        Ok(entries
            .into_iter()
            .filter(|entry| entry.state == EntryState::Reserved)
            .filter_map(|entry| Some(entry.key.strip_prefix(HOLD)?.to_owned()))
            .collect())
    }

    /// Notes that a run is in the books under another name: it was started by hand, and reserved then.
    ///
    /// # Errors
    /// [`LedgerError::Store`].
    pub async fn note_booked(&self, job: &JobId) -> Result<(), LedgerError> {
        let request = ReserveRequest {
            key: run_key(job),
            service: Service::Jobs,
            run: None,
            purpose: HELD_FOR.to_owned(),
            worst: Some(MicroUsd::ZERO),
            allow_unknown_price: false,
        };
        self.ledger.book_spent(request).await?;
        self.ledger
            .release(&run_key(job), "it was started by hand and is booked as such")
            .await
            .map(drop)
    }

    /// Books the runs of our schedules that no book knows yet, the oldest first, and returns those that are not settled.
    ///
    /// A run is booked whatever the caps say, since it runs already. What it costs is settled like that of any launch
    /// ([`super::LaunchService::settle`]). At most a thousand runs of a schedule are looked at.
    ///
    /// # Errors
    /// [`ScheduleError`]; runs before the failure are booked.
    pub async fn book_runs(&self, jobs: &HfJobRunner) -> Result<Vec<BookedRun>, ScheduleError> {
        let mut booked = Vec::new();
        let mut hardware: Option<Vec<JobHardware>> = None;
        for tag in self.open_schedules().await? {
            let mut runs = self.runs(jobs, &tag).await?;
            runs.reverse();
            for job in runs {
                let key = run_key(&job.id);
                let entry = self.ledger.entry(&key).await?;
                if entry.is_some_and(|entry| entry.state != EntryState::Reserved) {
                    continue;
                }
                let hardware = match &mut hardware {
                    Some(known) => known,
                    unknown => unknown.insert(jobs.hardware().await?),
                };
                let price = price(&job, hardware);
                self.book(&key, &job, price, jobs.namespace().as_str()).await?;
                booked.push(BookedRun { intent: key, job });
            }
        }
        Ok(booked)
    }

    /// The runs of a schedule, newest first.
    async fn runs(&self, jobs: &HfJobRunner, tag: &str) -> Result<Vec<JobInfo>, HfError> {
        let filter = JobFilter {
            labels: vec![(SCHEDULE_LABEL.to_owned(), tag.to_owned())],
            ..JobFilter::default()
        };
        let mut listed = jobs.list_jobs(&filter);
        let mut runs = Vec::new();
        while let Some(job) = listed.try_next().await? {
            // A server that does not know the filter sends all jobs.
            if job.labels.get(SCHEDULE_LABEL).is_some_and(|found| found == tag) {
                runs.push(job);
            }
            if runs.len() == MOST_RUNS {
                break;
            }
        }
        Ok(runs)
    }

    /// The ledger first: a launch without an entry would be settled as if it had cost nothing.
    async fn book(
        &self,
        key: &str,
        job: &JobInfo,
        price: LaunchPrice,
        namespace: &str,
    ) -> Result<(), ScheduleError> {
        let request = ReserveRequest {
            key: key.to_owned(),
            service: Service::Jobs,
            run: None,
            purpose: format!("scheduled job on {}", job.flavor),
            worst: worst(price)?,
            allow_unknown_price: true,
        };
        self.ledger.book_spent(request).await?;
        let now = self.clock.now();
        let record = LaunchRecord {
            intent: key.to_owned(),
            version: 0,
            hub: self.hub.clone(),
            namespace: namespace.to_owned(),
            run: None,
            created_at: now,
            updated_at: now,
            request: serde_json::Value::Null,
            price,
            submission: SubmissionState::Created {
                job_id: job.id.clone(),
                at: job.created_at.unwrap_or(now),
            },
            view: JobView::new(false, price.timeout_secs),
            settled: false,
        };
        self.store.create_launch(&record).await?;
        Ok(())
    }
}

const HOLD: &str = "schedule-";

fn hold_key(tag: &str) -> String {
    format!("{HOLD}{tag}")
}

fn run_key(job: &JobId) -> String {
    format!("scheduled-{job}")
}

fn price(job: &JobInfo, hardware: &[JobHardware]) -> LaunchPrice {
    let ports = if job.expose.is_some() {
        PORTS_MICRO_USD_PER_MINUTE
    } else {
        0
    };
    let attempts = job.retry.unwrap_or_default().saturating_add(1);
    LaunchPrice {
        micro_usd_per_minute: hardware
            .iter()
            .find(|flavor| flavor.name == job.flavor)
            .and_then(JobHardware::micro_usd_per_minute)
            .and_then(|rate| rate.checked_add(ports)),
        timeout_secs: job.timeout.map(|seconds| seconds.saturating_mul(attempts)),
        cap_micro_usd: None,
        allow_unknown: true,
    }
}

pub(super) fn worst(price: LaunchPrice) -> Result<Option<MicroUsd>, LedgerError> {
    let worst = price.worst_micro_usd().map(MicroUsd::new).transpose();
    worst.map_err(|_| LedgerError::TooLarge)
}
