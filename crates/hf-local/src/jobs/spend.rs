//! What jobs cost, and what is left to pay them with. Simulated: the published price of the flavor times the real duration.
//!
//! The account that starts a job pays for it, also in an organisation. A job costs its price a minute, exact to the millisecond: how
//! the Hub rounds minutes is not known. When an account has nothing left, its running jobs are canceled with `NO_CREDITS`.

use std::collections::HashMap;
use std::sync::PoisonError;
use std::time::Duration;

use jiff::Timestamp;

use super::Jobs;
use super::flavor::Flavor;
use super::view::Job;
use crate::accounts::Accounts;

/// What each account may spend, by its name in lower case.
///
/// # Units
/// Millionths of a US dollar.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credits(HashMap<String, i64>);

impl Credits {
    pub(crate) fn of(accounts: &Accounts) -> Self {
        let names = accounts.infos().iter().map(|info| info.name.as_str());
        Self(
            names
                .filter_map(|name| accounts.by_name(name))
                .map(|account| (account.name.to_ascii_lowercase(), micro_usd(account.credit_usd)))
                .collect(),
        )
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a float becomes the nearest whole number there is"
)]
fn micro_usd(usd: f64) -> i64 {
    (usd * 1e6).round() as i64
}

/// A running job, whose cost grows.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    payer: String,
    started: Timestamp,
    micro_usd_per_minute: i64,
}

impl Running {
    fn cost(&self, now: Timestamp) -> i64 {
        cost(self.micro_usd_per_minute, self.started, now)
    }
}

/// The price of running from one time to another, to the nearest micro-USD.
fn cost(micro_usd_per_minute: i64, from: Timestamp, to: Timestamp) -> i64 {
    let milliseconds = to.duration_since(from).as_millis().max(0);
    let micro_usd = (milliseconds * i128::from(micro_usd_per_minute) + 30_000) / 60_000;
    i64::try_from(micro_usd).unwrap_or(i64::MAX)
}

/// What one job cost, as far as it falls into a time asked about.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct JobCost {
    pub(crate) job_id: String,
    pub(crate) flavor: String,
    pub(crate) minutes: f64,
    pub(crate) micro_usd: i64,
    pub(crate) started_at: Timestamp,
    pub(crate) finished_at: Option<Timestamp>,
}

impl Job {
    /// What the job cost between two times, which may not be over yet.
    pub(crate) fn cost_between(&self, from: Timestamp, to: Timestamp) -> Option<JobCost> {
        let started_at = self.started_at?;
        let flavor = Flavor::find(&self.spec.flavor)?;
        let from = started_at.max(from);
        let to = self.finished_at.map_or(to, |finished| finished.min(to)).max(from);
        Some(JobCost {
            job_id: self.id.clone(),
            flavor: flavor.name.to_owned(),
            minutes: to.duration_since(from).as_secs_f64() / 60.0,
            micro_usd: cost(price(flavor), from, to),
            started_at,
            finished_at: self.finished_at,
        })
    }

    /// The name of the account that pays.
    pub(crate) fn payer(&self) -> &str {
        self.people.created_by["name"].as_str().unwrap_or(&self.namespace)
    }
}

fn price(flavor: &Flavor) -> i64 {
    i64::try_from(flavor.micro_usd_per_minute).unwrap_or(i64::MAX)
}

impl Jobs {
    /// What each job of a namespace cost between two times, newest first: what billing pages are made of.
    pub(crate) async fn spend_of(
        &self,
        namespace: &str,
        from: Timestamp,
        to: Timestamp,
    ) -> sqlx::Result<Vec<JobCost>> {
        let jobs = self.inner.store.ran_since(namespace, from).await?;
        let ran = jobs
            .iter()
            .filter(|job| job.started_at.is_some_and(|started| started <= to));
        Ok(ran.filter_map(|job| job.cost_between(from, to)).collect())
    }

    /// What an account has spent on jobs, those that run counted up to now.
    ///
    /// # Units
    /// Millionths of a US dollar.
    pub(crate) async fn spent(&self, account: &str) -> sqlx::Result<i64> {
        let over = self.inner.store.paid(account).await?;
        let now = self.inner.clock.now();
        Ok(over.saturating_add(self.sum_running(account, |job| job.cost(now))))
    }

    /// What an account has left for jobs; none when the hub does not know the account.
    ///
    /// # Units
    /// Millionths of a US dollar.
    pub(crate) async fn balance(&self, account: &str) -> sqlx::Result<Option<i64>> {
        let Some(credit) = self.inner.credits.0.get(&account.to_ascii_lowercase()) else {
            return Ok(None);
        };
        Ok(Some(credit.saturating_sub(self.spent(account).await?)))
    }

    fn sum_running(&self, account: &str, what: impl Fn(&Running) -> i64) -> i64 {
        let running = self.inner.running.lock().unwrap_or_else(PoisonError::into_inner);
        let own = running
            .values()
            .filter(|job| job.payer.eq_ignore_ascii_case(account));
        own.map(what).fold(0, i64::saturating_add)
    }

    /// Begins to count a job that started.
    pub(super) fn meter(&self, job: &Job) {
        if let (Some(started), Some(flavor)) = (job.started_at, Flavor::find(&job.spec.flavor)) {
            let running = Running {
                payer: job.payer().to_owned(),
                started,
                micro_usd_per_minute: price(flavor),
            };
            let mut all = self.inner.running.lock().unwrap_or_else(PoisonError::into_inner);
            all.insert(job.id.clone(), running);
        }
        self.inner.spending.notify_waiters();
    }

    /// Ends counting a job; what it cost goes to the index with its end.
    pub(super) fn unmeter(&self, job: &Job) {
        let mut all = self.inner.running.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&job.id);
    }

    /// Waits until the account that pays for a job has nothing left.
    pub(super) async fn out_of_credit(&self, payer: &str) {
        loop {
            let changed = self.inner.spending.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            let left = match self.balance(payer).await {
                Ok(Some(left)) => left,
                // Nothing is known to be owed.
                Ok(None) => return std::future::pending().await,
                Err(error) => {
                    tracing::error!(%error, "what is left to spend could not be read");
                    i64::MAX
                }
            };
            if left <= 0 {
                return;
            }
            let burning = self.sum_running(payer, |job| job.micro_usd_per_minute).max(1);
            let milliseconds = i128::from(left) * 60_000 / i128::from(burning) + 1;
            let wait = Duration::from_millis(u64::try_from(milliseconds).unwrap_or(u64::MAX).min(MONTH_MS));
            tokio::select! {
                () = changed => {}
                () = self.inner.clock.sleep(wait) => {}
            }
        }
    }
}

/// Longer waits are split.
const MONTH_MS: u64 = 30 * 24 * 3600 * 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_costs_its_price_and_half_a_minute_half() {
        let at = |ms| Timestamp::from_millisecond(ms).unwrap();
        assert_eq!(cost(16_667, at(0), at(60_000)), 16_667);
        assert_eq!(cost(167, at(0), at(30_000)), 84);
        assert_eq!(cost(167, at(0), at(1)), 0);
        assert_eq!(cost(167, at(5), at(0)), 0);
        assert_eq!(micro_usd(2.0), 2_000_000);
    }
}
