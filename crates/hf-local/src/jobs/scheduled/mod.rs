//! Jobs that start by the Hub's clock.
//!
//! What the Hub does about runs that were missed while it was away is not known: here they are not made up for, and when the clock
//! passes several at once there is one run. A run that is due while the last one goes on is left out unless the job allows two at a
//! time. Secrets are kept in memory only: a hub that starts again suspends the scheduled jobs that have some.

mod cron;
mod routes;
mod store;

use jiff::Timestamp;

pub(crate) use cron::Cron;
pub(super) use routes::router;
pub(crate) use store::Scheduled;

use super::view::Job;
use super::{Jobs, NotTaken};

/// Why a scheduled job did not run.
#[derive(Debug)]
pub(crate) enum NotRun {
    /// The last run goes on, and there may not be two.
    Runs(String),
    /// The account that pays has nothing left.
    NoCredit,
    /// Its secrets went with an earlier hub.
    NoSecrets,
    NotTaken(NotTaken),
}

impl From<NotTaken> for NotRun {
    fn from(error: NotTaken) -> Self {
        Self::NotTaken(error)
    }
}

impl From<sqlx::Error> for NotRun {
    fn from(error: sqlx::Error) -> Self {
        Self::NotTaken(NotTaken::Store(error))
    }
}

impl Jobs {
    /// Suspends what can't run any more, and starts the task that starts jobs by the clock.
    pub(super) async fn start_clockwork(&self) -> sqlx::Result<()> {
        for mut job in self.inner.store.scheduled_with_secrets().await? {
            job.suspend = true;
            job.suspend_reason =
                Some("The hub was started again and keeps secrets in memory only".to_owned());
            self.inner.store.update_scheduled(&job).await?;
        }
        let jobs = self.clone();
        self.inner.tasks.spawn(async move { jobs.clockwork().await });
        Ok(())
    }

    async fn clockwork(&self) {
        let (clock, closing) = (&self.inner.clock, &self.inner.closing);
        loop {
            let changed = self.inner.schedule_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let next = match self.inner.store.next_due().await {
                Ok(next) => next,
                Err(error) => {
                    tracing::error!(%error, "the schedules could not be read");
                    None
                }
            };
            let due = async {
                match next {
                    Some(at) => {
                        let left = at.duration_since(clock.now());
                        clock.sleep(left.try_into().unwrap_or_default()).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = closing.cancelled() => return,
                () = changed => continue,
                () = due => {}
            }
            if let Err(error) = self.run_due(clock.now()).await {
                tracing::error!(%error, "a schedule could not be kept");
                // The disk, probably. Not at once again.
                tokio::select! {
                    () = closing.cancelled() => return,
                    () = clock.sleep(super::runner::STORE_RETRY) => {}
                }
            }
        }
    }

    async fn run_due(&self, now: Timestamp) -> sqlx::Result<()> {
        for mut job in self.inner.store.due(now).await? {
            // Moved on first: a hub that dies in between leaves a run out and never makes it twice.
            let cron = job.schedule.parse::<Cron>().ok();
            if let Some(next) = cron.and_then(|cron| cron.next_after(now)) {
                job.next_at = next;
            } else {
                job.suspend = true;
                job.suspend_reason = Some("The schedule has no further time".to_owned());
            }
            if !self.inner.store.update_scheduled(&job).await? {
                continue;
            }
            match self.run_scheduled(&job).await {
                Ok(_) => {}
                Err(NotRun::NotTaken(NotTaken::Store(error))) => return Err(error),
                Err(NotRun::NoCredit) => {
                    job.suspend = true;
                    job.suspend_reason = Some("NO_CREDITS".to_owned());
                    self.inner.store.update_scheduled(&job).await?;
                }
                Err(why) => tracing::info!(scheduled_job_id = job.id, ?why, "a run is left out"),
            }
        }
        Ok(())
    }

    /// Runs a scheduled job now.
    pub(crate) async fn run_scheduled(&self, scheduled: &Scheduled) -> Result<Job, NotRun> {
        let _in_order = self.inner.firing.lock().await;
        // Looked up anew: another run may have begun meanwhile.
        let last = self
            .inner
            .store
            .find_scheduled(&scheduled.namespace, &scheduled.id)
            .await?
            .and_then(|job| job.last_job);
        if let Some((id, _)) = last
            && !scheduled.concurrency
            && self.find_live(&id).is_some()
        {
            return Err(NotRun::Runs(id));
        }
        let secrets = self.scheduled_secrets(&scheduled.id);
        if secrets.0.len() < scheduled.spec.secret_names.len() {
            return Err(NotRun::NoSecrets);
        }
        if self
            .balance(&scheduled.payer)
            .await?
            .is_some_and(|left| left <= 0)
        {
            return Err(NotRun::NoCredit);
        }
        let mut people = scheduled.people.clone();
        people.initiator = serde_json::json!({"type": "scheduled-job", "id": scheduled.id});
        let job = self
            .submit(
                &scheduled.namespace,
                people,
                scheduled.spec.clone(),
                scheduled.labels.clone(),
                secrets,
            )
            .await?;
        self.inner
            .store
            .note_run(&scheduled.id, &job.id, job.created_at)
            .await?;
        Ok(job)
    }
}
