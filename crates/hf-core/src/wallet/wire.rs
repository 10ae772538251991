//! The billing answers of the Hub, as far as they are read here.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

/// `GET /api/settings/billing/usage`.
///
/// # Source
/// Hub `OpenAPI`, August 2026.
#[derive(Debug, Deserialize)]
pub(super) struct Usage {
    #[serde(default)]
    pub(super) usage: BTreeMap<String, Vec<UsageItem>>,
    pub(super) period: Period,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageItem {
    #[serde(default)]
    pub(super) product: Option<String>,
    #[serde(rename = "totalCostMicroUSD")]
    pub(super) total_cost_micro_usd: f64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Period {
    pub(super) period_start: Timestamp,
    pub(super) period_end: Timestamp,
}

/// `GET /api/settings/billing/usage/jobs`.
///
/// # Source
/// Hub `OpenAPI`, August 2026.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobsUsage {
    pub(super) usage: JobsTotals,
    #[serde(default)]
    pub(super) has_access: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct JobsTotals {
    pub(super) used_micro_usd: f64,
    pub(super) total_minutes: f64,
    #[serde(default)]
    pub(super) job_details: Vec<serde::de::IgnoredAny>,
}

/// `GET /api/settings/billing/usage-v2`, the part about Inference Providers.
///
/// # Source
/// Not in the Hub's `OpenAPI`; what a public client reads.
#[derive(Debug, Deserialize)]
pub(super) struct UsageV2 {
    pub(super) usage: UsageV2Groups,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UsageV2Groups {
    #[serde(default)]
    pub(super) inference_providers: Option<InferenceTotals>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct InferenceTotals {
    pub(super) used_nano_usd: f64,
    #[serde(default)]
    pub(super) included_nano_usd: Option<f64>,
    #[serde(default)]
    pub(super) limit_nano_usd: Option<f64>,
    #[serde(default)]
    pub(super) num_requests: Option<u64>,
}

/// `GET /api/spaces/zero-gpu/quota`: GPU seconds; `current` is what is left.
///
/// # Source
/// Hub `OpenAPI`, August 2026.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Quota {
    pub(super) base: f64,
    pub(super) current: f64,
    #[serde(default)]
    pub(super) resets_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) overquota_used: Option<f64>,
}

/// An item of `GET /api/settings/repositories`.
///
/// # Source
/// Hub `OpenAPI`, August 2026. Other visibilities than `public` count as private.
#[derive(Debug, Deserialize)]
pub(super) struct RepoStorage {
    #[serde(default)]
    pub(super) visibility: String,
    #[serde(default)]
    pub(super) storage: u64,
}
