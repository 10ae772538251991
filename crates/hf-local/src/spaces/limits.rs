//! What a plan may host.
//!
//! # Source
//! Documentation of Spaces and ZeroGPU, August 2026. The texts of the refusals are not recorded, but for the start of the first.

use http::StatusCode;

use super::store;
use crate::accounts::{Account, Plan};
use crate::jobs::Flavor;
use crate::reply::{HubError, HubResult};
use crate::state::Hub;

pub(super) const ZERO_GPU: &str = "zero-a10g";

/// The name of a hardware, as the Hub keeps it. `zerogpu` is a name at creation only.
pub(super) fn flavor(name: &str, creating: bool) -> HubResult<String> {
    let name = if creating && name == "zerogpu" {
        ZERO_GPU
    } else {
        name
    };
    if name == ZERO_GPU || Flavor::find(name).is_some() {
        return Ok(name.to_owned());
    }
    Err(HubError::bad_request(format!(
        "\u{2716} Invalid option: {name:?} is no hardware; GET /api/spaces/hardware lists them\n  \u{2192} at hardware"
    )))
}

fn payment(text: impl Into<String>) -> HubError {
    HubError::new(StatusCode::PAYMENT_REQUIRED, text)
}

/// Refuses hardware that the account may not use in a namespace. `own` is the Space that asks, if it is there already.
pub(super) async fn check(
    hub: &Hub,
    account: &Account,
    namespace: &str,
    sdk: &str,
    hardware: &str,
    own: Option<i64>,
) -> HubResult<()> {
    let is_org = hub.namespace(namespace).is_some_and(|(_, _, is_org)| is_org);
    let is_free = account.plan == Plan::Free && !is_org;
    match hardware {
        "cpu-basic" if is_free => Err(payment(
            "Static Spaces are free; Gradio and Docker Spaces on cpu-basic need PRO: https://huggingface.co/pro",
        )),
        "cpu-basic" => Ok(()),
        ZERO_GPU => {
            if sdk != "gradio" {
                return Err(HubError::bad_request("ZeroGPU is for Gradio Spaces only"));
            }
            if is_free && !account.email_verified {
                return Err(HubError::forbidden(
                    "Confirm your email address to host ZeroGPU Spaces",
                ));
            }
            let limit = if is_org {
                50
            } else if is_free {
                2
            } else {
                10
            };
            if store::count_on(hub, namespace, ZERO_GPU, own).await? < limit {
                return Ok(());
            }
            Err(payment(format!(
                "{namespace} hosts {limit} ZeroGPU Spaces, which is all the plan allows"
            )))
        }
        _ if account.credit_usd <= 0.0 => Err(HubError::forbidden(
            "Paid hardware needs a payment method (here: credit_usd of the account)",
        )),
        _ => Ok(()),
    }
}

/// Refuses Dev Mode.
pub(super) fn check_dev_mode(account: &Account, is_static: bool) -> HubResult<()> {
    if is_static {
        return Err(HubError::bad_request("Static Spaces have no Dev Mode"));
    }
    if account.plan == Plan::Free {
        return Err(payment("Dev Mode needs PRO: https://huggingface.co/pro"));
    }
    Ok(())
}
