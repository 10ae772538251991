//! What a Space on billed hardware may cost, in the ledger.

use std::time::Duration;

use bashgym_core::ledger::{
    Budget, CostSource, EntryFilter, EntryState, Ledger, LedgerError, ReserveRequest, Service, Settlement,
};
use hf_core::{MicroUsd, RepoId};
use hf_spaces::{Left, SleepTime, SpaceHardware};

use super::Spaces;
use crate::error::CliError;

/// What is set aside for hardware that never sleeps.
const LONGEST: Duration = Duration::from_hours(24);
/// The longest word for what money is for.
const PURPOSE_CHARS: usize = 100;
/// Entries of one Space that are looked at.
const ENTRIES: u32 = 100;

/// Money that is set aside for a Space.
pub(super) struct Bill {
    ledger: Ledger,
    key: String,
    price: Option<MicroUsd>,
}

/// What is billed until a Space without visitors sleeps; a day of one that never does.
pub(super) fn first_period(sleep: Option<SleepTime>) -> Duration {
    match sleep {
        Some(SleepTime::After(time)) => time,
        _ => LONGEST,
    }
}

impl Bill {
    /// Sets aside what the first period costs; none for hardware that is not billed.
    pub(super) async fn open(
        id: &RepoId,
        hardware: &SpaceHardware,
        sleep: Option<SleepTime>,
        accept_unknown: bool,
        spaces: &Spaces<'_>,
    ) -> Result<Option<Self>, CliError> {
        if !hardware.is_paid() {
            return Ok(None);
        }
        let flavors = spaces.manager.hardware().await.unwrap_or_default();
        let price = flavors
            .iter()
            .find(|flavor| flavor.name == hardware.as_str() && flavor.unit_label.as_deref() == Some("minute"))
            .and_then(|flavor| flavor.unit_cost_micro_usd)
            .and_then(|micros| MicroUsd::new(micros).ok());
        let period = first_period(sleep);
        let worst = price.and_then(|price| MicroUsd::of_duration(price, period));
        let ledger = spaces.context.ledger().await?;
        let endpoint = spaces.manager.client().endpoint();
        let key = format!("space-{}@{endpoint}", uuid::Uuid::new_v4());
        let request = ReserveRequest {
            key: key.clone(),
            service: Service::Spaces,
            run: None,
            purpose: purpose(id),
            worst,
            allow_unknown_price: accept_unknown,
        };
        ledger
            .reserve(request)
            .await
            .map_err(|error| refused(error, hardware))?;
        let output = spaces.context.output;
        match (price, worst) {
            (Some(price), Some(worst)) => output.note(format!(
                "{hardware} is billed at {:.2} USD an hour until it sleeps; {worst} USD are set aside, for {}",
                price.usd() * 60.0,
                words(period)
            )),
            _ => output.note(format!("{hardware} is billed at a price the Hub does not tell")),
        }
        Ok(Some(Self { ledger, key, price }))
    }

    /// Settles a creation that failed: nothing where nothing was made, else no more than the time it was there.
    pub(super) async fn failed(self, left: &Left, there: Duration) -> Result<(), CliError> {
        match left {
            Left::Nothing => {
                self.ledger.release(&self.key, "the Space was not made").await?;
            }
            Left::Removed => {
                let actual = self.price.and_then(|price| MicroUsd::of_duration(price, there));
                let source = if actual.is_some() {
                    CostSource::DurationPrice
                } else {
                    CostSource::Unknown
                };
                self.ledger
                    .settle(&self.key, Settlement { actual, source })
                    .await?;
            }
            // It may be there still, and cost.
            _ => {}
        }
        Ok(())
    }
}

/// Closes what is set aside for a Space that is removed. The Hub does not tell what it cost: what was set aside stands.
pub(super) async fn close(id: &RepoId, spaces: &Spaces<'_>) -> Result<(), CliError> {
    let ledger = spaces.context.ledger().await?;
    let filter = EntryFilter {
        service: Some(Service::Spaces),
        purpose: Some(purpose(id)),
        ..EntryFilter::default()
    };
    let end = format!("@{}", spaces.manager.client().endpoint());
    for entry in ledger.entries(&filter, None, ENTRIES).await? {
        if entry.state == EntryState::Reserved && entry.key.ends_with(&end) {
            ledger.settle(&entry.key, Settlement::UNKNOWN).await?;
        }
    }
    Ok(())
}

fn purpose(id: &RepoId) -> String {
    format!("space {id}").chars().take(PURPOSE_CHARS).collect()
}

fn refused(error: LedgerError, hardware: &SpaceHardware) -> CliError {
    let unknown = matches!(error, LedgerError::UnknownPrice { .. });
    let error = CliError::from(error);
    if unknown {
        error.hint(format!(
            "the Hub tells no price of {hardware}; --accept-cost uses it all the same"
        ))
    } else {
        error.hint("--sleep chooses a shorter time; --hardware zero-gpu and cpu-basic are not billed")
    }
}

fn words(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    if minutes.is_multiple_of(60) {
        format!("{} h", minutes / 60)
    } else {
        format!("{minutes} min")
    }
}
