//! What was spent, what the plan includes, and how much quota is left, each part on its own.

mod read;
#[cfg(test)]
mod tests;
mod wire;

use jiff::Timestamp;
use serde::Serialize;

use crate::account::{Plan, WhoAmI};
use crate::error::{HfError, HfErrorKind};

/// Where the balance can be seen and credit bought.
pub const BILLING_PAGE: &str = "https://huggingface.co/settings/billing";

/// Whose wallet is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WalletOwner {
    /// The account of the token.
    Account,
    /// An organisation of it.
    Org(String),
}

/// A part of the wallet: known, or the reason why not. No part's failure takes another along.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Part<T> {
    /// The Hub told.
    Known(T),
    /// It did not.
    Unavailable {
        /// Why.
        why: String,
        /// What to do about it.
        unlock: String,
    },
}

impl<T> Part<T> {
    /// What the Hub told.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unavailable { .. } => None,
        }
    }

    pub(crate) fn unavailable(why: impl Into<String>, unlock: impl Into<String>) -> Self {
        Self::Unavailable {
            why: why.into(),
            unlock: unlock.into(),
        }
    }

    /// Turns a failure into words; `permission` is what the route needs.
    fn of(result: Result<T, HfError>, permission: Option<&str>) -> Self {
        let error = match result {
            Ok(value) => return Self::Known(value),
            Err(error) => error,
        };
        let unlock = match (error.kind(), permission) {
            (HfErrorKind::Forbidden, Some(permission)) => format!(
                "add {permission} to the token: {}",
                crate::capability::token_page(crate::DEFAULT_ENDPOINT, [permission])
            ),
            (HfErrorKind::Decode, _) => {
                "the Hub may have changed its answer: a newer version may read it".to_owned()
            }
            _ => error
                .hint()
                .unwrap_or_else(|| format!("see {BILLING_PAGE}, or try again later")),
        };
        Self::unavailable(error.to_string(), unlock)
    }
}

/// What a service cost in the period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServiceSpend {
    /// The first part of the product's name, such as `jobs`, `spaces`, `inference` or `endpoints`.
    pub service: String,
    /// Cost in US dollars.
    pub usd: f64,
    /// Lines of the bill.
    pub items: usize,
}

/// The bill of the running period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spend {
    /// Start of the period.
    pub period_start: Option<Timestamp>,
    /// End of the period.
    pub period_end: Option<Timestamp>,
    /// Cost by service, largest first.
    pub services: Vec<ServiceSpend>,
    /// The sum in US dollars.
    pub total_usd: f64,
}

/// Jobs in the running period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobsUse {
    /// Cost in US dollars.
    pub usd: f64,
    /// Billed minutes.
    pub minutes: f64,
    /// How many jobs ran.
    pub jobs: usize,
    /// Whether the Hub says the account may use Jobs.
    pub has_access: bool,
}

/// Inference Providers in the running period.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct InferenceCredit {
    /// What was used, in US dollars.
    pub used_usd: f64,
    /// What the plan includes, in US dollars.
    pub included_usd: Option<f64>,
    /// The most that can be used, in US dollars.
    pub limit_usd: Option<f64>,
    /// How many requests there were.
    pub requests: Option<u64>,
}

/// `ZeroGPU` time of the account.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ZeroGpuQuota {
    /// Seconds in a window.
    pub base_seconds: f64,
    /// Seconds left.
    pub left_seconds: f64,
    /// When the window ends; none while nothing was used.
    pub resets_at: Option<Timestamp>,
    /// Paid seconds used beyond the quota.
    pub over_quota_seconds: f64,
}

/// What repositories take up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StorageUse {
    /// Bytes in private repositories.
    pub private_bytes: u64,
    /// Bytes in public repositories.
    pub public_bytes: u64,
    /// How many repositories were counted.
    pub repositories: usize,
}

/// The credit that comes with the plan each month.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanCredit {
    /// The plan.
    pub plan: String,
    /// US dollars a month, or a seat and month; none where the documentation does not tell.
    pub usd: Option<f64>,
    /// Whether that is for each seat of the organisation.
    pub per_seat: bool,
    /// What it pays for.
    pub pays_for: &'static str,
}

impl PlanCredit {
    /// The credit of a plan.
    ///
    /// # Source
    /// Documentation of Inference Providers, pricing, August 2026.
    pub fn of(plan: &Plan) -> Self {
        let (usd, per_seat, pays_for) = match plan {
            Plan::Free => (Some(0.10), false, "Inference Providers only"),
            Plan::Pro => (Some(2.00), false, "all compute"),
            Plan::Team | Plan::Enterprise | Plan::EnterprisePlus => (Some(2.00), true, "all compute"),
            _ => (None, false, "not documented"),
        };
        Self {
            plan: plan.to_string(),
            usd,
            per_seat,
            pays_for,
        }
    }
}

/// The credit balance: no endpoint tells it, so no number stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Balance {
    /// Always `no_endpoint`.
    pub state: &'static str,
    /// Why there is no number.
    pub why: &'static str,
    /// Where it can be seen.
    pub url: &'static str,
}

impl Default for Balance {
    fn default() -> Self {
        Self {
            state: "no_endpoint",
            why: "the Hub has no endpoint for the credit balance; it is shown on the billing page",
            url: BILLING_PAGE,
        }
    }
}

/// Everything about money and quota that the Hub tells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Wallet {
    /// Whose it is; none when nobody is signed in.
    pub owner: Option<String>,
    /// What the plan includes each month; none when the plan is not known.
    pub plan_credit: Option<PlanCredit>,
    /// The bill by service.
    pub spend: Part<Spend>,
    /// Jobs.
    pub jobs: Part<JobsUse>,
    /// Inference Providers.
    pub inference: Part<InferenceCredit>,
    /// `ZeroGPU` time.
    pub zero_gpu: Part<ZeroGpuQuota>,
    /// Storage.
    pub storage: Part<StorageUse>,
    /// The balance, which nobody tells.
    pub balance: Balance,
}

impl Wallet {
    /// A wallet of which nothing can be told now.
    pub fn closed(me: Option<&WhoAmI>, why: &str, unlock: &str) -> Self {
        Self {
            owner: me.map(|me| me.name.clone()),
            plan_credit: me.map(|me| PlanCredit::of(&me.plan())),
            spend: Part::unavailable(why, unlock),
            jobs: Part::unavailable(why, unlock),
            inference: Part::unavailable(why, unlock),
            zero_gpu: Part::unavailable(why, unlock),
            storage: Part::unavailable(why, unlock),
            balance: Balance::default(),
        }
    }
}
