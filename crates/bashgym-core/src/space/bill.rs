//! What Spaces on billed hardware may cost, in the ledger.
//!
//! The Hub bills such hardware by the minute until it sleeps, and tells nobody afterwards what it came to. So the first period is
//! set aside before the Hub is asked, and stands as spent once the Space is gone, paused or on other hardware.

use std::time::Duration;

use hf_core::{HfError, MicroUsd, RepoId};
use hf_spaces::{
    DeployError, DeployOptions, DeployRequest, Deployment, DuplicateOptions, HfSpaceManager, Left, SleepTime,
    SpaceFlavor, SpaceHardware, SpaceRuntime,
};

use crate::ledger::{
    Budget, CostSource, EntryFilter, EntryState, Ledger, LedgerError, ReserveRequest, Service, Settlement,
};

/// What is set aside for hardware that never sleeps.
const LONGEST: Duration = Duration::from_hours(24);
/// The longest word for what money is for.
const PURPOSE_CHARS: usize = 100;
/// Entries of one Space that are looked at.
const ENTRIES: u32 = 100;

/// Why something that may cost did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceBillError {
    /// The ledger refused, or could not be written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The Hub refused, or did not answer.
    #[error(transparent)]
    Hub(#[from] HfError),
    /// The deployment failed.
    #[error(transparent)]
    Deploy(#[from] DeployError),
}

/// What a Space is to run on, and what was agreed to.
#[derive(Debug, Clone)]
pub struct SpaceTerms {
    /// The hardware.
    pub hardware: SpaceHardware,
    /// When it sleeps.
    pub sleep: Option<SleepTime>,
    /// Whether hardware may be used whose price the Hub does not tell.
    pub allow_unknown_price: bool,
}

/// Money set aside for a Space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpaceBill {
    key: String,
    /// The price of a minute; none where the Hub does not tell it.
    pub price_a_minute: Option<MicroUsd>,
    /// What is set aside.
    pub worst: Option<MicroUsd>,
    /// For how long.
    pub period: Duration,
}

/// What is billed until a Space without visitors sleeps; a day of one that never does.
pub fn first_period(sleep: Option<SleepTime>) -> Duration {
    match sleep {
        Some(SleepTime::After(time)) => time,
        _ => LONGEST,
    }
}

/// The price of a minute of `hardware`; none where the Hub does not tell it: unknown, not free.
pub async fn price_a_minute(spaces: &HfSpaceManager, hardware: &SpaceHardware) -> Option<MicroUsd> {
    let flavors = spaces.hardware().await.unwrap_or_default();
    flavors
        .iter()
        .filter(|flavor| flavor.name == hardware.as_str())
        .find_map(SpaceFlavor::micro_usd_per_minute)
        .and_then(|micros| MicroUsd::new(micros).ok())
}

/// The way to whatever changes what Spaces cost: each goes through the ledger.
#[derive(Clone)]
pub struct SpaceBooks {
    ledger: Ledger,
    spaces: HfSpaceManager,
}

impl SpaceBooks {
    /// The Spaces of a manager, in the books of a ledger.
    pub fn new(ledger: &Ledger, spaces: &HfSpaceManager) -> Self {
        Self {
            ledger: ledger.at(spaces.client().endpoint()),
            spaces: spaces.clone(),
        }
    }

    /// Makes a Space whose first period is set aside. `name` names this creation: after a crash the same name sets nothing aside twice.
    /// `told` hears of the bill before the Hub is asked, where there is one.
    ///
    /// # Errors
    /// [`SpaceBillError::Ledger`] before anything was asked, or [`SpaceBillError::Deploy`], after which the money is given back,
    /// settled, or left standing where something may be left that costs.
    pub async fn create(
        &self,
        name: &str,
        request: &DeployRequest,
        allow_unknown_price: bool,
        options: &DeployOptions,
        told: impl FnOnce(&SpaceBill) + Send,
    ) -> Result<Deployment, SpaceBillError> {
        let terms = SpaceTerms {
            hardware: request.config.hardware.clone(),
            sleep: request.config.sleep_time,
            allow_unknown_price,
        };
        let bill = self.open(self.key(name), &request.space, &terms).await?;
        if let Some(bill) = &bill {
            told(bill);
        }
        let clock = self.spaces.client().clock();
        let began = clock.elapsed();
        let made = self.spaces.create_inference_space(request, options).await;
        if let (Err(error), Some(bill)) = (&made, &bill) {
            let there = clock.elapsed().saturating_sub(began);
            self.failed(bill, &error.left, there).await?;
        }
        Ok(made?)
    }

    /// Copies a Space, the copy's first period set aside.
    ///
    /// # Errors
    /// [`SpaceBillError::Ledger`] or [`SpaceBillError::Hub`].
    pub async fn duplicate(
        &self,
        from: &RepoId,
        to: &RepoId,
        terms: &SpaceTerms,
        options: &DuplicateOptions,
    ) -> Result<(), SpaceBillError> {
        let bill = self.open(self.new_key(), to, terms).await?;
        let made = self.spaces.duplicate(from, to, options).await;
        self.unless_refused(made, bill.as_ref()).await.map(drop)
    }

    /// Gives a Space other hardware. The first period on it is set aside; what stood for the hardware before counts as spent.
    /// `told` hears of the bill before the Hub is asked, where there is one.
    ///
    /// # Errors
    /// [`SpaceBillError::Ledger`] before the Hub was asked, or [`SpaceBillError::Hub`].
    pub async fn change_hardware(
        &self,
        id: &RepoId,
        terms: &SpaceTerms,
        told: impl FnOnce(&SpaceBill) + Send,
    ) -> Result<SpaceRuntime, SpaceBillError> {
        let runtime = self.spaces.get_space_status(id).await?;
        let earlier = self.standing(id).await?;
        let key = match earlier.first() {
            Some(key) if hardware_of(&runtime).as_ref() == Some(&terms.hardware) => key.clone(),
            _ => self.new_key(),
        };
        let is_new = !earlier.contains(&key);
        let bill = self.open(key.clone(), id, terms).await?;
        if let Some(bill) = &bill {
            told(bill);
        }
        let asked = self
            .spaces
            .request_hardware(id, &terms.hardware, terms.sleep)
            .await;
        let runtime = self
            .unless_refused(asked, bill.as_ref().filter(|_| is_new))
            .await?;
        self.settle(earlier.into_iter().filter(|one| bill.is_none() || *one != key))
            .await?;
        Ok(runtime)
    }

    /// Sets when a Space sleeps. On billed hardware the longer period is set aside first.
    ///
    /// # Errors
    /// [`SpaceBillError::Ledger`] before the Hub was asked, or [`SpaceBillError::Hub`].
    pub async fn change_sleep(&self, id: &RepoId, sleep: SleepTime) -> Result<SpaceRuntime, SpaceBillError> {
        let runtime = self.spaces.get_space_status(id).await?;
        if let Some(hardware) = hardware_of(&runtime) {
            let standing = self.standing(id).await?.into_iter().next();
            let terms = SpaceTerms {
                hardware,
                sleep: Some(sleep),
                // It is in use already.
                allow_unknown_price: true,
            };
            let key = standing.unwrap_or_else(|| self.new_key());
            self.open(key, id, &terms).await?;
        }
        Ok(self.spaces.set_sleep_time(id, sleep).await?)
    }

    /// Pauses a Space. What stood for it counts as spent.
    ///
    /// # Errors
    /// [`SpaceBillError::Hub`] or [`SpaceBillError::Ledger`].
    pub async fn pause(&self, id: &RepoId) -> Result<SpaceRuntime, SpaceBillError> {
        let runtime = self.spaces.pause(id).await?;
        self.close(id).await?;
        Ok(runtime)
    }

    /// Starts a Space again. On billed hardware for which nothing stands, the period that begins is set aside first.
    ///
    /// # Errors
    /// [`SpaceBillError::Ledger`] before the Hub was asked, or [`SpaceBillError::Hub`].
    pub async fn restart(&self, id: &RepoId, factory: bool) -> Result<SpaceRuntime, SpaceBillError> {
        let runtime = self.spaces.get_space_status(id).await?;
        let mut bill = None;
        if let Some(hardware) = hardware_of(&runtime)
            && self.standing(id).await?.is_empty()
        {
            let terms = SpaceTerms {
                hardware,
                sleep: runtime
                    .sleep_time_s
                    .map(|seconds| SleepTime::After(Duration::from_secs(seconds))),
                // It was accepted when the Space was given this hardware.
                allow_unknown_price: true,
            };
            bill = self.open(self.new_key(), id, &terms).await?;
        }
        let started = self.spaces.restart(id, factory).await;
        self.unless_refused(started, bill.as_ref()).await
    }

    /// Removes a Space and everything in it. What stood for it counts as spent.
    ///
    /// # Errors
    /// [`SpaceBillError::Hub`] or [`SpaceBillError::Ledger`].
    pub async fn remove(&self, id: &RepoId) -> Result<(), SpaceBillError> {
        self.spaces.delete_space(id).await?;
        Ok(self.close(id).await?)
    }

    /// Removes a Space that was being made and is not wanted any more. Counted as spent is the time since it was asked
    /// for, where the price of its hardware is known; else the worst case.
    ///
    /// # Errors
    /// [`SpaceBillError::Hub`], and [`SpaceBillError::Ledger`] after the Space is gone.
    pub async fn give_up(
        &self,
        id: &RepoId,
        hardware: &SpaceHardware,
        there: Duration,
    ) -> Result<(), SpaceBillError> {
        self.spaces.delete_space(id).await?;
        let standing = self.standing(id).await?;
        if !standing.is_empty() {
            let settlement = settlement(price_a_minute(&self.spaces, hardware).await, there);
            for key in standing {
                self.ledger.settle(&key, settlement).await?;
            }
        }
        Ok(())
    }

    async fn open(
        &self,
        key: String,
        id: &RepoId,
        terms: &SpaceTerms,
    ) -> Result<Option<SpaceBill>, LedgerError> {
        if !terms.hardware.is_paid() {
            return Ok(None);
        }
        let price_a_minute = price_a_minute(&self.spaces, &terms.hardware).await;
        let period = first_period(terms.sleep);
        let worst = price_a_minute.and_then(|price| MicroUsd::of_duration(price, period));
        let request = ReserveRequest {
            key: key.clone(),
            service: Service::Spaces,
            run: None,
            purpose: purpose(id),
            worst,
            allow_unknown_price: terms.allow_unknown_price,
        };
        self.ledger.reserve(request).await?;
        Ok(Some(SpaceBill {
            key,
            price_a_minute,
            worst,
            period,
        }))
    }

    /// Closes the bill of a creation that failed: nothing where nothing was made, else no more than the time it was there.
    async fn failed(&self, bill: &SpaceBill, left: &Left, there: Duration) -> Result<(), LedgerError> {
        match left {
            Left::Nothing => {
                self.ledger.release(&bill.key, "the Space was not made").await?;
            }
            Left::Removed => {
                let settlement = settlement(bill.price_a_minute, there);
                self.ledger.settle(&bill.key, settlement).await?;
            }
            // It may be there still, and cost.
            _ => {}
        }
        Ok(())
    }

    /// Gives the money back where the Hub surely did not do what was asked.
    async fn unless_refused<T>(
        &self,
        asked: Result<T, HfError>,
        bill: Option<&SpaceBill>,
    ) -> Result<T, SpaceBillError> {
        if let (Err(error), Some(bill)) = (&asked, bill)
            && !error.is_ambiguous()
        {
            self.ledger.release(&bill.key, "the Hub did not do it").await?;
        }
        Ok(asked?)
    }

    /// The Hub does not tell what it cost: what was set aside stands.
    async fn close(&self, id: &RepoId) -> Result<(), LedgerError> {
        let standing = self.standing(id).await?;
        self.settle(standing.into_iter()).await
    }

    async fn settle(&self, keys: impl Iterator<Item = String> + Send) -> Result<(), LedgerError> {
        for key in keys {
            self.ledger.settle(&key, Settlement::UNKNOWN).await?;
        }
        Ok(())
    }

    /// The keys of what stands for a Space of this Hub, the newest first.
    async fn standing(&self, id: &RepoId) -> Result<Vec<String>, LedgerError> {
        let filter = EntryFilter {
            service: Some(Service::Spaces),
            purpose: Some(purpose(id)),
            ..EntryFilter::default()
        };
        let end = format!("@{}", self.spaces.client().endpoint());
        let entries = self.ledger.entries(&filter, None, ENTRIES).await?;
        Ok(entries
            .into_iter()
            .filter(|entry| entry.state == EntryState::Reserved && entry.key.ends_with(&end))
            .map(|entry| entry.key)
            .collect())
    }

    fn new_key(&self) -> String {
        self.key(&uuid::Uuid::new_v4().to_string())
    }

    fn key(&self, name: &str) -> String {
        format!("space-{name}@{}", self.spaces.client().endpoint())
    }
}

/// What billed hardware cost for a while.
fn settlement(price_a_minute: Option<MicroUsd>, there: Duration) -> Settlement {
    let actual = price_a_minute.and_then(|price| MicroUsd::of_duration(price, there));
    let source = if actual.is_some() {
        CostSource::DurationPrice
    } else {
        CostSource::Unknown
    };
    Settlement { actual, source }
}

/// The billed hardware that a Space has or is to have.
fn hardware_of(runtime: &SpaceRuntime) -> Option<SpaceHardware> {
    let name = runtime
        .hardware
        .requested
        .as_deref()
        .or(runtime.hardware.current.as_deref())?;
    name.parse().ok().filter(SpaceHardware::is_paid)
}

fn purpose(id: &RepoId) -> String {
    format!("space {id}").chars().take(PURPOSE_CHARS).collect()
}
