//! The submission itself: store, send, look up, compare.

use futures::TryStreamExt;
use hf_core::{HfError, JobId};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tracing::{info, warn};

use super::policy::{Kept, SubmitError, SubmitPolicy, Submitted};
use super::read_back::{Drift, read_back_request};
use super::state::{SubmissionJournal, SubmissionState};
use crate::info::JobInfo;
use crate::runner::{HfJobRunner, JobFilter};
use crate::spec::JobSpec;

/// One call of [`HfJobRunner::submit`].
struct Submission<'a> {
    jobs: &'a HfJobRunner,
    /// What may be sent; nothing is where only an earlier request is looked up.
    spec: Option<JobSpec>,
    /// What was asked, without the values of secrets.
    request: Value,
    label: (&'a str, &'a str),
    journal: &'a dyn SubmissionJournal,
    policy: &'a SubmitPolicy,
}

/// What looking up a request that was sent came to.
enum LookUp {
    Found(Box<JobInfo>),
    /// The time in which it could appear is over, and a look begun after that shows none.
    Nothing,
}

impl HfJobRunner {
    /// Submits a job exactly once for the label `label.0` = `label.1`, over crashes, unclear answers and machines.
    ///
    /// The journal is written before the request is sent. After any answer that leaves open whether there is a job, and
    /// after a crash, the label is looked up for [`SubmitPolicy::patience`]; only a look that succeeded, found nothing and was
    /// begun after that lets anything be sent again. Of several jobs with the label (made by machines without a common journal)
    /// the oldest stays and the younger are canceled. What came back is compared with `spec`; a job that differs is canceled.
    ///
    /// Dropping the future at any point is safe: call again with the same label and journal. Two callers with the same
    /// journal at once need a journal that refuses the second one.
    ///
    /// # Errors
    /// [`SubmitError`]; only [`SubmitError::NotCreated`] says that no job of this intent exists.
    pub async fn submit(
        &self,
        spec: &JobSpec,
        label: (&str, &str),
        journal: &dyn SubmissionJournal,
        policy: &SubmitPolicy,
    ) -> Result<Submitted, SubmitError> {
        let mut spec = spec.clone();
        spec.labels.insert(label.0.to_owned(), label.1.to_owned());
        let submission = Submission {
            jobs: self,
            request: spec.preview(),
            spec: Some(spec),
            label,
            journal,
            policy,
        };
        let none = || SubmitError::NotCreated(HfError::invalid("nothing was sent"));
        submission.run().await?.ok_or_else(none)
    }

    /// Finds out what became of the requests of an earlier [`HfJobRunner::submit`] and sends nothing: whoever takes over after a
    /// crash has no secrets to send. `request` is the [`JobSpec::preview`] of what was sent, with its label.
    ///
    /// None when there is no job: nothing was sent, or it made none.
    ///
    /// # Errors
    /// As [`HfJobRunner::submit`].
    pub async fn find_submission(
        &self,
        request: &Value,
        label: (&str, &str),
        journal: &dyn SubmissionJournal,
        policy: &SubmitPolicy,
    ) -> Result<Option<Submitted>, SubmitError> {
        let submission = Submission {
            jobs: self,
            spec: None,
            request: request.clone(),
            label,
            journal,
            policy,
        };
        submission.run().await
    }

    /// All jobs with the label `key` = `value` that were submitted as such, the oldest first.
    ///
    /// What a duplication, a schedule or a webhook made carries the labels of its origin and is left out.
    ///
    /// # Errors
    /// As [`HfJobRunner::list_jobs`].
    pub async fn find_submitted(&self, key: &str, value: &str) -> Result<Vec<JobInfo>, HfError> {
        let filter = JobFilter {
            labels: vec![(key.to_owned(), value.to_owned())],
            ..JobFilter::default()
        };
        let mut found = Vec::new();
        let mut jobs = self.list_jobs(&filter);
        while let Some(job) = jobs.try_next().await? {
            let derived = job.initiator.as_ref().is_some_and(|initiator| {
                matches!(
                    initiator.kind.as_deref(),
                    Some("duplicated-job" | "scheduled-job" | "webhook")
                )
            });
            // A server that does not know the filter sends all jobs.
            if !derived && job.labels.get(key).is_some_and(|found| found == value) {
                found.push(job);
            }
        }
        found.sort_by(|a, b| age(a).cmp(&age(b)));
        found.dedup_by(|a, b| a.id == b.id);
        Ok(found)
    }

    /// Cancels all jobs with the label that are not over, but for the oldest.
    ///
    /// Machines without a common journal can each send one job of an intent, as the list does not show at once what another
    /// one sent. Promised is that this does not last: once the list shows both, each machine that looks names the same
    /// oldest (by `createdAt`, then by id) and cancels the others, so that one job at most goes on. Until then both run and
    /// are billed. One that is over by itself before it is seen stays as it is.
    ///
    /// # Errors
    /// As [`HfJobRunner::find_submitted`] and [`HfJobRunner::cancel_job`]; what was canceled by then stays so.
    pub async fn keep_oldest(&self, key: &str, value: &str) -> Result<Kept, HfError> {
        let mut kept = Kept::default();
        for job in self.find_submitted(key, value).await? {
            if kept.job.is_none() {
                kept.job = Some(job);
            } else if !job.stage().is_terminal() {
                warn!(job_id = %job.id, key, value, "a second job of one intent is canceled; the oldest stays");
                self.cancel_job(&job.id).await?;
                kept.canceled.push(job.id);
            }
        }
        Ok(kept)
    }
}

/// Orders jobs by age; ids decide between jobs of one moment, so that every machine picks the same.
fn age(job: &JobInfo) -> (Timestamp, &str) {
    (job.created_at.unwrap_or(Timestamp::MAX), job.id.as_str())
}

impl Submission<'_> {
    async fn run(&self) -> Result<Option<Submitted>, SubmitError> {
        loop {
            match self.journal.read().await? {
                SubmissionState::Planned => {
                    let Some(spec) = &self.spec else { return Ok(None) };
                    spec.validate().map_err(SubmitError::NotCreated)?;
                    // Another machine may have sent it.
                    let found = self.look().await.map_err(SubmitError::NotCreated)?;
                    if let Some(job) = found {
                        return self.accept(job, false).await.map(Some);
                    }
                    if let Some(submitted) = self.send(spec, 0).await? {
                        return Ok(Some(submitted));
                    }
                }
                SubmissionState::Sent { at, sends } => match self.look_up(at).await? {
                    LookUp::Found(job) => return self.accept(*job, false).await.map(Some),
                    LookUp::Nothing if sends >= self.policy.max_sends => {
                        self.journal.write(&SubmissionState::Planned).await?;
                        let why =
                            format!("{sends} requests were answered unclearly and none of them made a job");
                        return Err(SubmitError::NotCreated(HfError::decode("the Hub's answer", why)));
                    }
                    LookUp::Nothing => {
                        let Some(spec) = &self.spec else {
                            self.journal.write(&SubmissionState::Planned).await?;
                            return Ok(None);
                        };
                        if let Some(submitted) = self.send(spec, sends).await? {
                            return Ok(Some(submitted));
                        }
                    }
                },
                SubmissionState::Created { job_id, .. } => {
                    let job = self.jobs.get_job(&job_id).await.map_err(SubmitError::Unknown)?;
                    return Ok(Some(Submitted {
                        not_shown: read_back_request(&self.request, &job).not_shown,
                        job,
                        sent: false,
                        canceled: Vec::new(),
                    }));
                }
                SubmissionState::Drifted {
                    job_id,
                    drifts,
                    canceled,
                } => return Err(self.refuse(job_id, drifts, canceled).await?),
            }
        }
    }

    /// Stores that a request goes out and sends it. None when it has to be looked up what became of it.
    async fn send(&self, spec: &JobSpec, sends: u32) -> Result<Option<Submitted>, SubmitError> {
        let clock = self.jobs.client().clock();
        let began = clock.elapsed();
        let sent = SubmissionState::Sent {
            at: clock.now(),
            sends: sends + 1,
        };
        self.journal.write(&sent).await?;
        if clock.elapsed().saturating_sub(began) > self.policy.patience / 2 {
            // Held up for so long that somebody else may take the request for lost soon.
            return Ok(None);
        }
        match self.jobs.run(spec).await {
            Ok(job) => self.accept(job, true).await.map(Some),
            Err(error) if error.is_ambiguous() => {
                warn!(%error, key = self.label.0, value = self.label.1, "the answer to a submission is unclear; looking the job up");
                Ok(None)
            }
            Err(error) => {
                self.journal.write(&SubmissionState::Planned).await?;
                Err(SubmitError::NotCreated(error))
            }
        }
    }

    /// The oldest job with the label.
    async fn look(&self) -> Result<Option<JobInfo>, HfError> {
        let found = self.jobs.find_submitted(self.label.0, self.label.1).await?;
        Ok(found.into_iter().next())
    }

    /// Looks until the job of a request sent at `at` is found, or could have been found if there were one.
    async fn look_up(&self, at: Timestamp) -> Result<LookUp, SubmitError> {
        let clock = self.jobs.client().clock();
        let patience = SignedDuration::try_from(self.policy.patience).unwrap_or(SignedDuration::MAX);
        let until = at.saturating_add(patience).unwrap_or(Timestamp::MAX);
        let mut failed = 0;
        loop {
            let begun = clock.now();
            match self.look().await {
                Ok(Some(job)) => return Ok(LookUp::Found(Box::new(job))),
                // A wall clock that went backwards only makes this wait longer.
                Ok(None) if begun >= until => return Ok(LookUp::Nothing),
                Ok(None) => failed = 0,
                Err(error) => {
                    failed += 1;
                    if !error.is_transient() && !error.is_ambiguous()
                        || failed >= self.policy.max_failed_lookups
                    {
                        return Err(SubmitError::Unknown(error));
                    }
                }
            }
            clock.sleep(self.policy.pause).await;
        }
    }

    /// Takes a job as the intent's own, unless it is not what was asked for or not the oldest.
    async fn accept(&self, job: JobInfo, sent: bool) -> Result<Submitted, SubmitError> {
        let compared = read_back_request(&self.request, &job);
        if !compared.is_good() {
            return Err(self.refuse(job.id, compared.drifts, false).await?);
        }
        let mut submitted = Submitted {
            job,
            sent,
            canceled: Vec::new(),
            not_shown: compared.not_shown,
        };
        self.created(&submitted.job.id).await?;
        // A look that fails leaves two jobs for a while at most: whoever follows looks again.
        match self.jobs.keep_oldest(self.label.0, self.label.1).await {
            Ok(kept) => {
                submitted.canceled = kept.canceled;
                if let Some(oldest) = kept.job
                    && oldest.id != submitted.job.id
                {
                    info!(job_id = %oldest.id, "another machine was first; its job is followed");
                    let compared = read_back_request(&self.request, &oldest);
                    if !compared.is_good() {
                        return Err(self.refuse(oldest.id, compared.drifts, false).await?);
                    }
                    self.created(&oldest.id).await?;
                    submitted.job = oldest;
                    submitted.sent = false;
                }
            }
            Err(error) => warn!(%error, "whether there is a second job of this intent could not be seen"),
        }
        Ok(submitted)
    }

    async fn created(&self, job_id: &JobId) -> Result<(), SubmitError> {
        let state = SubmissionState::Created {
            job_id: job_id.clone(),
            at: self.jobs.client().clock().now(),
        };
        Ok(self.journal.write(&state).await?)
    }

    /// Cancels a job that is not what was asked for.
    async fn refuse(
        &self,
        job_id: JobId,
        drifts: Vec<Drift>,
        canceled: bool,
    ) -> Result<SubmitError, SubmitError> {
        let state = |canceled| SubmissionState::Drifted {
            job_id: job_id.clone(),
            drifts: drifts.clone(),
            canceled,
        };
        let mut canceled = canceled;
        if !canceled {
            self.journal.write(&state(false)).await?;
            canceled = match self.jobs.cancel_job(&job_id).await {
                Ok(_) => true,
                Err(error) => {
                    // One that is over refuses to be canceled, which is as good.
                    let over = self.jobs.get_job(&job_id).await;
                    warn!(%error, %job_id, "a job that is not what was asked for could not be canceled");
                    over.is_ok_and(|job| job.stage().is_terminal())
                }
            };
            if canceled {
                self.journal.write(&state(true)).await?;
            }
        }
        Ok(SubmitError::Drifted {
            job_id,
            drifts,
            canceled,
        })
    }
}
