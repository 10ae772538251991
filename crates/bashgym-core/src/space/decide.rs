//! What is decided before the Hub is asked for a Space.

use std::sync::Arc;
use std::time::Duration;

use super::bill::{first_period, price_a_minute};
use super::program::OwnProgram;
use bashgym_gate::Inspector;
use hf_core::{HfClient, HfError, SecretValue, TokenRole};
use hf_spaces::{DeployOptions, HfSpaceManager, ModelAccess, Program, SleepTime, SpaceHardware};

/// When paid hardware falls asleep, unless told otherwise.
pub const PAID_SLEEP: Duration = Duration::from_hours(1);

/// Why a Space is not asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceRefusal {
    /// The hardware is billed, and nobody said that this is meant.
    #[error("{hardware} is billed {price} until it sleeps or is removed; {period} of it are set aside")]
    Billed {
        /// The hardware.
        hardware: SpaceHardware,
        /// At how much.
        price: String,
        /// How long the first period is.
        period: String,
    },
    /// The app would get a token that can do more than read the model.
    #[error("the secret HF_TOKEN is this account's own token, which can do more than read the model")]
    OwnToken,
    /// A variable, which whoever sees the Space can read, holds something secret.
    #[error("the variable {key} can be read by whoever sees the Space: {why}")]
    SecretVariable {
        /// Its name.
        key: String,
        /// What the gate found.
        why: String,
    },
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
    sleep: Option<SleepTime>,
    accepted: bool,
) -> Result<(), SpaceRefusal> {
    if accepted || !hardware.is_paid() {
        return Ok(());
    }
    let price = price_a_minute(spaces, hardware).await.map_or_else(
        || "at a price the Hub does not tell".to_owned(),
        |price| format!("at {:.2} USD an hour", price.usd() * 60.0),
    );
    Err(SpaceRefusal::Billed {
        hardware: hardware.clone(),
        price,
        period: period_words(first_period(sleep_time(hardware, sleep))),
    })
}

/// Refuses variables that hold something secret: they are no place for it.
///
/// # Errors
/// [`SpaceRefusal::SecretVariable`].
pub fn check_variables<'a>(
    inspector: &Inspector,
    variables: impl IntoIterator<Item = (&'a String, &'a String)>,
) -> Result<(), SpaceRefusal> {
    for (key, value) in variables {
        // As an assignment: a password is known by the name it is given.
        inspect(inspector, "variables.env", format!("{key}={value}\n").as_bytes()).map_err(|why| {
            SpaceRefusal::SecretVariable {
                key: key.clone(),
                why,
            }
        })?;
    }
    Ok(())
}

fn inspect(inspector: &Inspector, path: &str, bytes: &[u8]) -> Result<(), String> {
    let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let mut inspection = inspector
        .begin(path, size)
        .map_err(|refusal| refusal.to_string())?;
    inspection.feed(bytes);
    inspection.finish().map_err(|refusal| refusal.to_string())
}

/// A stretch of time as people say it: `30 min`, `2 h`.
pub fn period_words(time: Duration) -> String {
    let minutes = time.as_secs().div_ceil(60);
    if minutes.is_multiple_of(60) {
        format!("{} h", minutes / 60)
    } else {
        format!("{minutes} min")
    }
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

/// How a deployment goes on: every file passes the secret gate, the Hub is asked as often as it bears, and the program that runs
/// now is the one for a container.
pub fn deploy_options(
    client: &HfClient,
    inspector: Inspector,
    timeout: Duration,
    question: Option<String>,
) -> DeployOptions {
    let program = OwnProgram::of_this_process(client, inspector.clone()).ok();
    DeployOptions {
        timeout,
        poll: if client.endpoint().is_loopback() {
            Duration::from_millis(200)
        } else {
            Duration::from_secs(5)
        },
        smoke_prompt: question,
        inspect: Some(Arc::new(move |path, bytes| inspect(&inspector, path, bytes))),
        program: program.map(|program| Arc::new(program) as Program),
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
