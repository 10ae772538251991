//! What is decided before the Hub is asked for a Space.

use std::sync::Arc;
use std::time::Duration;

use bashgym_gate::Inspector;
use hf_core::{HfClient, HfError, SecretValue, TokenRole};
use hf_spaces::{DeployOptions, HfSpaceManager, ModelAccess, SleepTime, SpaceHardware};

/// When paid hardware falls asleep, unless told otherwise.
pub const PAID_SLEEP: Duration = Duration::from_hours(1);

/// Why a Space is not asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceRefusal {
    /// The hardware is billed, and nobody said that this is meant.
    #[error(
        "{hardware} is billed {price} until it sleeps or is removed, and the caps of `bashgym budget` do not count it"
    )]
    Billed {
        /// The hardware.
        hardware: SpaceHardware,
        /// At how much.
        price: String,
    },
    /// The app would get a token that can do more than read the model.
    #[error("the secret HF_TOKEN is this account's own token, which can do more than read the model")]
    OwnToken,
    /// The Hub did not say who owns the token.
    #[error(transparent)]
    Hub(#[from] HfError),
}

/// Refuses hardware that is billed unless that was accepted.
///
/// # Errors
/// [`SpaceRefusal::Billed`] with its price, where the Hub tells it.
pub async fn check_cost(
    spaces: &HfSpaceManager,
    hardware: &SpaceHardware,
    accepted: bool,
) -> Result<(), SpaceRefusal> {
    if accepted || !hardware.is_paid() {
        return Ok(());
    }
    // A price that is not told is unknown, not free.
    let flavors = spaces.hardware().await.unwrap_or_default();
    let price = flavors
        .iter()
        .find(|flavor| flavor.name == hardware.as_str() && flavor.unit_label.as_deref() == Some("minute"))
        .and_then(|flavor| flavor.unit_cost_micro_usd)
        .map_or_else(
            || "at a price the Hub does not tell".to_owned(),
            |micros| format!("at {:.2} USD an hour", micros as f64 * 60.0 / 1e6),
        );
    Err(SpaceRefusal::Billed {
        hardware: hardware.clone(),
        price,
    })
}

/// When a Space falls asleep: as asked; else paid hardware after [`PAID_SLEEP`], and other hardware as the Hub decides.
pub fn sleep_time(hardware: &SpaceHardware, asked: Option<SleepTime>) -> Option<SleepTime> {
    asked.or_else(|| hardware.is_paid().then_some(SleepTime::After(PAID_SLEEP)))
}

/// How the app reads the model: with the secret `HF_TOKEN`; on a Hub of this machine nothing but the Hub itself reads it.
///
/// # Errors
/// [`SpaceRefusal::OwnToken`] when the secret is the account's own token and that can do more than read.
pub async fn model_access(
    client: &HfClient,
    secret: Option<SecretValue>,
) -> Result<ModelAccess, SpaceRefusal> {
    let Some(secret) = secret else {
        return Ok(if client.endpoint().is_loopback() {
            ModelAccess::OfTheRuntime
        } else {
            ModelAccess::Public
        });
    };
    let own = client
        .token()
        .is_some_and(|token| token.expose() == secret.expose());
    if own {
        let me = client.whoami().await?;
        let token = me.auth.as_ref().and_then(|auth| auth.access_token.as_ref());
        if token.is_none_or(|token| token.role != TokenRole::Read) {
            return Err(SpaceRefusal::OwnToken);
        }
    }
    Ok(ModelAccess::Token(secret))
}

/// How a deployment goes on: every file passes the secret gate, and the Hub is asked as often as it bears.
pub fn deploy_options(
    client: &HfClient,
    inspector: Inspector,
    timeout: Duration,
    question: Option<String>,
) -> DeployOptions {
    DeployOptions {
        timeout,
        poll: if client.endpoint().is_loopback() {
            Duration::from_millis(200)
        } else {
            Duration::from_secs(5)
        },
        smoke_prompt: question,
        inspect: Some(Arc::new(move |path, bytes| {
            let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
            let mut inspection = inspector
                .begin(path, size)
                .map_err(|refusal| refusal.to_string())?;
            inspection.feed(bytes);
            inspection.finish().map_err(|refusal| refusal.to_string())
        })),
        observe: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paid_hardware_sleeps_unless_told_otherwise() {
        let of = |name: &str, asked| sleep_time(&name.parse().unwrap(), asked);
        assert_eq!(of("t4-small", None), Some(SleepTime::After(PAID_SLEEP)));
        assert_eq!(of("t4-small", Some(SleepTime::Never)), Some(SleepTime::Never));
        assert_eq!(of("cpu-basic", None), None);
        assert_eq!(of("zero-gpu", None), None);
    }
}
