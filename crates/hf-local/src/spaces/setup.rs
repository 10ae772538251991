//! What a creation says about a new Space.

use serde::Deserialize;

use super::limits;
use crate::accounts::Account;
use crate::reply::{HubError, HubResult};
use crate::state::Hub;
use crate::wire::repos::CreateRepo;

/// A secret or variable of a creation.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Pair {
    pub(crate) key: String,
    pub(crate) value: String,
    #[serde(default)]
    pub(crate) description: Option<String>,
}

/// How a new Space is set up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(super) hardware: Option<String>,
    pub(super) sleep_s: Option<i64>,
    pub(super) dev_mode: bool,
    pub(super) secrets: Vec<Pair>,
    pub(super) variables: Vec<Pair>,
}

/// Reads the setup of a new Space, if the account may have it.
///
/// # Errors
/// 400 for names that are none, 402 and 403 where the plan does not allow it.
pub(crate) async fn setup(
    hub: &Hub,
    account: &Account,
    namespace: &str,
    sdk: &str,
    body: &CreateRepo,
) -> HubResult<Setup> {
    let is_static = sdk == "static";
    let hardware = match (is_static, body.hardware.as_deref()) {
        (true, _) => None,
        (false, None) => Some("cpu-basic".to_owned()),
        (false, Some(name)) => Some(limits::flavor(name, true)?),
    };
    if let Some(hardware) = &hardware {
        limits::check(hub, account, namespace, sdk, hardware, None).await?;
    }
    for pair in body.secrets.iter().chain(&body.variables) {
        check_key(&pair.key)?;
    }
    let dev_mode = body.dev_mode_enabled.unwrap_or(false);
    if dev_mode {
        limits::check_dev_mode(account, is_static)?;
    }
    Ok(Setup {
        hardware,
        sleep_s: body.sleep_time_seconds,
        dev_mode,
        secrets: body.secrets.clone(),
        variables: body.variables.clone(),
    })
}

/// 400 unless `key` can name a secret or a variable.
pub(super) fn check_key(key: &str) -> HubResult<()> {
    let good = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if good {
        return Ok(());
    }
    Err(HubError::bad_request(
        "\u{2716} Invalid string: must match pattern /^[a-zA-Z][_a-zA-Z0-9]*$/\n  \u{2192} at key",
    ))
}
