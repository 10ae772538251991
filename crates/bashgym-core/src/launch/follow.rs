//! Following a launched job to its end: its log into the store, its stage into the view, its cost into the ledger.

use std::collections::BTreeSet;
use std::pin::pin;
use std::sync::{Mutex as SyncMutex, PoisonError};

use futures::future::{Either, select};
use hf_core::{HfErrorKind, JobId};
use hf_jobs::{FollowError, HfJobRunner, JobInfo, JobStage, LogItem, SubmissionState, read_back_request};
use jiff::{SignedDuration, Timestamp};

use super::desk::{Desk, StoreLog, read_kept};
use super::event::{LaunchError, LaunchEvent, LaunchSink, NoSink};
use super::measure::Gauge;
use super::record::LaunchRecord;
use super::service::LaunchService;
use super::view::{CancelCause, JobView, Observation, StageSeen};
use super::watchdog::{WatchAction, WatchFinding};
use crate::store::JobStream;

/// How many lines are handed on at once by a process that only looks on.
const PAGE: u32 = 256;

/// Why a job is no longer looked at.
enum Ended {
    /// It is over.
    Over(Box<JobInfo>),
    /// An older job of the same intent takes its place.
    Replaced,
}

impl LaunchService {
    /// Follows the job of a launch to its end and returns the record then: every line of its log is in the store, each once
    /// and in order, its final state was told, and what it cost is settled.
    ///
    /// Where another process follows it, its lines are handed on from the store, and following is taken over when that
    /// process is gone. Dropping the future at any point is safe; call it again.
    ///
    /// # Errors
    /// [`LaunchError::Unknown`] when the job can not be seen for long or access is refused: the record stays as it was.
    pub async fn follow(&self, intent: &str, sink: &dyn LaunchSink) -> Result<LaunchRecord, LaunchError> {
        let mut handed_on = None;
        loop {
            let record = self.find(intent).await?;
            if record.is_finished() {
                self.hand_on(&record, &mut handed_on, sink).await?;
                return Ok(record);
            }
            if self.hold(intent).await? {
                self.hand_on(&record, &mut handed_on, sink).await?;
                let desk = Desk::new(&self.context, sink, self.find(intent).await?);
                let ended = Box::pin(self.lead(&desk)).await;
                match ended {
                    Ok(()) => {
                        self.let_go(intent).await;
                        return Ok(desk.record().await);
                    }
                    // Held up for so long that another process took over.
                    Err(LaunchError::Busy { .. }) => handed_on = Some(desk.record().await.view.lines),
                    Err(error) => {
                        self.let_go(intent).await;
                        return Err(error);
                    }
                }
            } else {
                handed_on.get_or_insert(record.view.lines);
                self.hand_on(&record, &mut handed_on, sink).await?;
                self.context.client.clock().sleep(self.context.policy.tick).await;
            }
        }
    }

    /// Takes in that a job was seen to be over: what it cost is settled, without its log being read. True when it was.
    ///
    /// Nothing happens where the launch is finished or has another job by now, or another process is at it.
    ///
    /// # Errors
    /// [`LaunchError::Unknown`], [`LaunchError::Budget`] or [`LaunchError::Store`]; a later call goes on from there.
    pub async fn settle(&self, intent: &str, job: &JobInfo) -> Result<bool, LaunchError> {
        if !job.stage().is_terminal() || !self.hold(intent).await? {
            return Ok(false);
        }
        let settled = self.settle_held(intent, job).await;
        self.let_go(intent).await;
        settled
    }

    async fn settle_held(&self, intent: &str, job: &JobInfo) -> Result<bool, LaunchError> {
        let record = self.find(intent).await?;
        if record.is_finished() || record.job_id() != Some(&job.id) {
            return Ok(false);
        }
        let desk = Desk::new(&self.context, &NoSink, record.clone());
        if job.status.stage == JobStage::Canceled && record.view.cancel_asked.is_none() {
            let jobs = self.jobs(&record.namespace)?;
            if self.replaced(&desk, &jobs, &job.id).await? {
                return Ok(false);
            }
        }
        if record.run.is_none() {
            // A run reads the log of its job before it takes the end for told.
            desk.observe(Observation::Stage(StageSeen::from(job))).await?;
        }
        self.settle_ended(&desk).await?;
        Ok(true)
    }

    /// Hands on the lines that another process kept since this one began to look on.
    async fn hand_on(
        &self,
        record: &LaunchRecord,
        from: &mut Option<u64>,
        sink: &dyn LaunchSink,
    ) -> Result<(), LaunchError> {
        let (Some(from), Some(job_id)) = (from.as_mut(), record.job_id()) else {
            return Ok(());
        };
        loop {
            let page = self
                .context
                .store
                .list_job_lines(job_id.as_str(), JobStream::Log, *from, PAGE)
                .await?;
            if page.is_empty() {
                return Ok(());
            }
            for line in page {
                *from = line.seq;
                let line = read_kept(line.seq, &line.text).map_err(hf_jobs::JournalError::new)?;
                sink.tell(LaunchEvent::Line(line)).await;
            }
        }
    }

    pub(super) async fn lead(&self, desk: &Desk<'_>) -> Result<(), LaunchError> {
        loop {
            let record = desk.record().await;
            let Some(job_id) = record.job_id().cloned() else {
                return Err(LaunchError::NotCreated(hf_core::HfError::invalid(format!(
                    "launch {} has no job to follow",
                    record.intent
                ))));
            };
            let jobs = self.jobs(&record.namespace)?;
            let ended = {
                let keeper = pin!(self.keep(desk, &jobs, &job_id));
                let gauge = Gauge::default();
                let ticker = pin!(self.watch(desk, &jobs, &job_id, &gauge));
                let meter = pin!(self.measure(desk, &jobs, &job_id, &gauge));
                match select(keeper, select(ticker, meter)).await {
                    Either::Left((ended, _)) => Ended::Over(Box::new(ended?)),
                    Either::Right((Either::Left((ended, _)), _)) => ended?,
                    Either::Right((Either::Right((never, _)), _)) => match never {},
                }
            };
            let Ended::Over(job) = ended else { continue };
            let ours = desk.record().await.view.cancel_asked.is_some();
            if job.status.stage == JobStage::Canceled && !ours && self.replaced(desk, &jobs, &job_id).await? {
                // Another machine canceled it in favour of its own, older one.
                continue;
            }
            desk.observe(Observation::Stage(StageSeen::from(&*job))).await?;
            return self.settle_ended(desk).await;
        }
    }

    /// Keeps the log until the job is over and the log at its end.
    async fn keep(
        &self,
        desk: &Desk<'_>,
        jobs: &HfJobRunner,
        job_id: &JobId,
    ) -> Result<JobInfo, LaunchError> {
        let said = SyncMutex::new(Vec::new());
        let log = StoreLog {
            desk,
            job_id,
            said: &said,
        };
        let mut outages = 0;
        loop {
            let lines = desk.record().await.view.lines;
            let kept = jobs
                .keep_log(job_id, &log, &self.context.policy.keep, |item| {
                    if let LogItem::Rotated { lost } = item {
                        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                        said.push(LaunchEvent::LogRotated { lost: *lost });
                    }
                })
                .await;
            log.tell_said().await;
            let error = match kept {
                Ok(job) => return Ok(job),
                Err(FollowError::Hub(error)) => error,
                Err(other) => return Err(other.into()),
            };
            if desk.record().await.view.lines > lines {
                outages = 0;
            }
            outages += 1;
            // An answer that can not be read may be readable at the next try.
            let passing = error.is_transient() || error.kind() == HfErrorKind::Decode;
            let last = outages >= self.context.policy.max_outages;
            let why = error.to_string();
            desk.observe(Observation::NotSeen { why }).await?;
            let over = jobs
                .get_job(job_id)
                .await
                .ok()
                .filter(|job| job.stage().is_terminal());
            match over {
                // Its end is known; that its log can not be had takes nothing from that.
                Some(job) if last => {
                    desk.tell(LaunchEvent::LogIncomplete {
                        reason: error.to_string(),
                    })
                    .await;
                    return Ok(job);
                }
                None if last || !passing => return Err(LaunchError::Unknown(error)),
                _ => {}
            }
            self.context.client.clock().sleep(self.context.policy.tick).await;
        }
    }

    /// Looks at a job from time to time: its stage, its cost, what the watchdog says, and whether it is still the one.
    async fn watch(
        &self,
        desk: &Desk<'_>,
        jobs: &HfJobRunner,
        job_id: &JobId,
        gauge: &Gauge,
    ) -> Result<Ended, LaunchError> {
        let clock = self.context.client.clock();
        let mut alone = false;
        let mut found: BTreeSet<WatchFinding> = BTreeSet::new();
        loop {
            let record = desk.record().await;
            if !self.hold(&record.intent).await? {
                return Err(LaunchError::Busy {
                    intent: record.intent,
                });
            }
            match jobs.get_job(job_id).await {
                // The end is told after the last line.
                Ok(job) if job.stage().is_terminal() => {}
                Ok(job) => desk.observe(Observation::Stage(StageSeen::from(&job))).await?,
                Err(error) => {
                    let why = error.to_string();
                    desk.observe(Observation::NotSeen { why }).await?;
                }
            }
            if !alone {
                let last = clock.now() >= self.visible_at(&record);
                match self.replaced(desk, jobs, job_id).await {
                    Ok(true) => return Ok(Ended::Replaced),
                    Ok(false) => alone = last,
                    // Seen at the next look.
                    Err(LaunchError::Unknown(error)) => {
                        let why = error.to_string();
                        desk.observe(Observation::NotSeen { why }).await?;
                    }
                    Err(error) => return Err(error),
                }
            }
            if let Some(measured) = gauge.read() {
                desk.observe(measured).await?;
            }
            self.guard(desk, jobs, job_id, &mut found).await?;
            clock.sleep(self.context.policy.tick).await;
        }
    }

    /// When a job that another machine submitted at the same time is surely in the list.
    fn visible_at(&self, record: &LaunchRecord) -> Timestamp {
        let patience =
            SignedDuration::try_from(self.context.policy.submit.patience).unwrap_or(SignedDuration::MAX);
        let at = match &record.submission {
            SubmissionState::Created { at, .. } => *at,
            _ => record.created_at,
        };
        at.saturating_add(patience).unwrap_or(Timestamp::MAX)
    }

    /// Cancels younger jobs of the same intent. True when the followed one is itself younger than another.
    async fn replaced(
        &self,
        desk: &Desk<'_>,
        jobs: &HfJobRunner,
        job_id: &JobId,
    ) -> Result<bool, LaunchError> {
        let record = desk.record().await;
        let kept = jobs
            .keep_oldest(&self.context.label, &record.intent)
            .await
            .map_err(LaunchError::Unknown)?;
        for job_id in kept.canceled {
            desk.tell(LaunchEvent::DuplicateCanceled { job_id }).await;
        }
        let Some(oldest) = kept.job.filter(|oldest| oldest.id != *job_id) else {
            return Ok(false);
        };
        let now = self.context.client.clock().now();
        // A job that was only taken over is compared with nothing: what was asked is not known.
        let compared = (!record.request.is_null()).then(|| read_back_request(&record.request, &oldest));
        let (drifts, not_shown) =
            compared.map_or_else(Default::default, |found| (found.drifts, found.not_shown));
        let submission = if drifts.is_empty() {
            SubmissionState::Created {
                job_id: oldest.id.clone(),
                at: now,
            }
        } else {
            SubmissionState::Drifted {
                job_id: oldest.id.clone(),
                drifts,
                canceled: false,
            }
        };
        let taken = desk
            .change(|record| {
                // Its end was told already; a second one must not be.
                let taken = !record.view.ended && !record.view.state.is_final();
                if taken {
                    record.submission = submission.clone();
                    record.view = JobView::new(record.view.leaves_model, record.view.timeout_secs);
                }
                Ok(taken)
            })
            .await?;
        if !taken {
            return Ok(false);
        }
        if matches!(submission, SubmissionState::Drifted { .. }) {
            // Cancels it and says so.
            Box::pin(self.look_up(desk)).await?;
        }
        desk.tell(LaunchEvent::Created {
            job_id: oldest.id,
            not_shown,
        })
        .await;
        Ok(true)
    }

    /// Tells what the watchdog sees and cancels what passes the cap, or what the policy says.
    async fn guard(
        &self,
        desk: &Desk<'_>,
        jobs: &HfJobRunner,
        job_id: &JobId,
        found: &mut BTreeSet<WatchFinding>,
    ) -> Result<(), LaunchError> {
        let record = desk.record().await;
        let now = self.context.client.clock().now();
        let mut cause = None;
        let findings = self.context.policy.watch.findings(&record.view, now);
        found.retain(|old| findings.iter().any(|(finding, _)| finding == old));
        for (finding, action) in findings {
            if found.insert(finding) {
                desk.tell(LaunchEvent::Finding { finding, action }).await;
            }
            if action == WatchAction::Cancel {
                cause = Some(CancelCause::Watchdog {
                    finding: finding.as_str().to_owned(),
                });
            }
        }
        if let Some((spent_micro_usd, cap_micro_usd)) = self.over_cap(&record, now) {
            if record.view.cancel_asked.is_none() {
                desk.tell(LaunchEvent::CapReached {
                    spent_micro_usd,
                    cap_micro_usd,
                })
                .await;
            }
            cause = Some(CancelCause::BudgetCap);
        }
        // Asked again at each look until the job is over: an answer may have been lost.
        if let Some(by) = cause {
            desk.observe(Observation::CancelAsked { by }).await?;
            if let Err(error) = jobs.cancel_job(job_id).await {
                let why = error.to_string();
                desk.observe(Observation::NotSeen { why }).await?;
            }
        }
        Ok(())
    }

    /// What the job has cost and what it may cost, when it is to be canceled for that.
    ///
    /// Before its own cap is passed: the minute that may begin before the next two looks counts. And once it ran for longer
    /// than its time-out, which the Hub should have ended, so that the reservation does not hold any more.
    fn over_cap(&self, record: &LaunchRecord, now: Timestamp) -> Option<(u64, u64)> {
        let running = now.duration_since(record.view.running_since?);
        #[expect(clippy::cast_precision_loss, reason = "seconds of one job")]
        let seconds = (running.as_secs().max(0) as f64).max(record.view.running_secs.unwrap_or_default());
        let spent = record.price.cost_micro_usd(seconds)?;
        let ahead = self.context.policy.tick.as_secs_f64() * 2.0;
        if let Some(cap) = record.price.cap_micro_usd
            && record.price.cost_micro_usd(seconds + ahead)? > cap
        {
            return Some((spent, cap));
        }
        let worst = record.price.worst_micro_usd()?;
        let late = record.price.cost_micro_usd((seconds - ahead).max(0.0))?;
        (late > worst).then_some((spent, worst))
    }
}
