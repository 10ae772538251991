//! Asks the Hub for the parts of a wallet, all at once.

use futures::TryStreamExt;
use jiff::{Timestamp, tz::TimeZone};

use super::wire;
use super::{
    Balance, InferenceCredit, JobsUse, Part, PlanCredit, ServiceSpend, Spend, StorageUse, Wallet,
    WalletOwner, ZeroGpuQuota,
};
use crate::account::{Plan, WhoAmI};
use crate::client::HfClient;
use crate::encode::encode_segment;
use crate::error::HfError;

const MICRO: f64 = 1e6;
const NANO: f64 = 1e9;
const BILLING: Option<&str> = Some("user.billing.read");

impl Wallet {
    /// Reads the wallet of `me`, or of an organisation of it. No failure takes more than its own part along.
    pub async fn read(client: &HfClient, me: &WhoAmI, owner: &WalletOwner) -> Self {
        let storage_path = storage_path(owner);
        let (billing, name, plan) = match owner {
            WalletOwner::Account => ("/api/settings/billing".to_owned(), me.name.clone(), me.plan()),
            WalletOwner::Org(org) => {
                let segment = encode_segment(org);
                (
                    format!("/api/organizations/{segment}/billing"),
                    org.clone(),
                    me.plan_in(org),
                )
            }
        };
        let own = *owner == WalletOwner::Account;
        let (spend, jobs, inference, zero_gpu, storage) = tokio::join!(
            spend(client, &billing),
            async { if own { Some(jobs(client).await) } else { None } },
            inference(client, &billing),
            async { if own { Some(zero_gpu(client).await) } else { None } },
            storage(client, &storage_path),
        );
        let of_accounts_only = "the Hub tells this of accounts, not of organisations";
        let account_only = "ask without --org";
        Self {
            owner: Some(name),
            plan_credit: Some(PlanCredit::of(&plan)),
            spend: Part::of(spend, BILLING),
            jobs: jobs.map_or_else(
                || Part::unavailable(of_accounts_only, account_only),
                |jobs| Part::of(jobs, BILLING),
            ),
            inference: match inference {
                Ok(Some(credit)) => Part::Known(credit),
                Ok(None) => Part::unavailable(
                    "the Hub's answer says nothing of Inference Providers",
                    format!("see {}", super::BILLING_PAGE),
                ),
                Err(error) => Part::of(Err(error), BILLING),
            },
            zero_gpu: zero_gpu.map_or_else(
                || Part::unavailable(of_accounts_only, account_only),
                |quota| Part::of(quota, None),
            ),
            storage: Part::of(storage, Some("repo.content.read")),
            balance: Balance::default(),
        }
    }
}

async fn spend(client: &HfClient, billing: &str) -> Result<Spend, HfError> {
    let answer: wire::Usage = client.get_json(&format!("{billing}/usage"), &[]).await?;
    let mut services: Vec<ServiceSpend> = Vec::new();
    for (group, items) in &answer.usage {
        for item in items {
            // `jobs/a10g-small/minutes` belongs to `jobs`; the group's name is for people.
            let service = item
                .product
                .as_deref()
                .and_then(|product| product.split('/').next())
                .filter(|name| !name.is_empty())
                .map_or_else(|| group.to_lowercase(), str::to_owned);
            let usd = item.total_cost_micro_usd / MICRO;
            match services.iter_mut().find(|known| known.service == service) {
                Some(known) => {
                    known.usd += usd;
                    known.items += 1;
                }
                None => services.push(ServiceSpend {
                    service,
                    usd,
                    items: 1,
                }),
            }
        }
    }
    services.sort_by(|a, b| b.usd.total_cmp(&a.usd).then_with(|| a.service.cmp(&b.service)));
    Ok(Spend {
        period_start: Some(answer.period.period_start),
        period_end: Some(answer.period.period_end),
        total_usd: services.iter().map(|service| service.usd).sum(),
        services,
    })
}

async fn jobs(client: &HfClient) -> Result<JobsUse, HfError> {
    let answer: wire::JobsUsage = client.get_json("/api/settings/billing/usage/jobs", &[]).await?;
    Ok(JobsUse {
        usd: answer.usage.used_micro_usd / MICRO,
        minutes: answer.usage.total_minutes,
        jobs: answer.usage.job_details.len(),
        has_access: answer.has_access,
    })
}

/// The running month; the credit comes each month.
async fn inference(client: &HfClient, billing: &str) -> Result<Option<InferenceCredit>, HfError> {
    let now = client.clock().now();
    let start = month_start(now).as_second().max(1).to_string();
    let end = now.as_second().saturating_add(1).max(2).to_string();
    let query = [("startDate", start.as_str()), ("endDate", end.as_str())];
    let answer: wire::UsageV2 = client.get_json(&format!("{billing}/usage-v2"), &query).await?;
    Ok(answer.usage.inference_providers.map(|totals| InferenceCredit {
        used_usd: totals.used_nano_usd / NANO,
        included_usd: totals.included_nano_usd.map(|nano| nano / NANO),
        limit_usd: totals.limit_nano_usd.map(|nano| nano / NANO),
        requests: totals.num_requests,
    }))
}

fn month_start(now: Timestamp) -> Timestamp {
    now.to_zoned(TimeZone::UTC)
        .first_of_month()
        .and_then(|first| first.start_of_day())
        .map_or(now, |start| start.timestamp())
}

async fn zero_gpu(client: &HfClient) -> Result<ZeroGpuQuota, HfError> {
    let answer: wire::Quota = client.get_json("/api/spaces/zero-gpu/quota", &[]).await?;
    Ok(ZeroGpuQuota {
        base_seconds: answer.base,
        left_seconds: answer.current,
        resets_at: answer.resets_at,
        over_quota_seconds: answer.overquota_used.unwrap_or_default(),
    })
}

fn storage_path(owner: &WalletOwner) -> String {
    match owner {
        WalletOwner::Account => "/api/settings/repositories".to_owned(),
        WalletOwner::Org(org) => format!("/api/organizations/{}/settings/repositories", encode_segment(org)),
    }
}

impl StorageUse {
    /// Asks what the repositories of an account or an organisation take up. `GET /api/settings/repositories`
    ///
    /// # Errors
    ///
    /// Any [`HfError`]; a fine-grained token needs the permission `repo.content.read`.
    pub async fn read(client: &HfClient, owner: &WalletOwner) -> Result<Self, HfError> {
        storage(client, &storage_path(owner)).await
    }

    /// The bytes of private repositories that come with a plan; `None` where the documentation tells no number for one
    /// account (an organisation's grows with its seats).
    ///
    /// # Source
    ///
    /// The Hub's documentation of storage limits, August 2026: 100 GB for a free account, 1 TB for PRO.
    pub fn private_limit_bytes(plan: &Plan) -> Option<u64> {
        match plan {
            Plan::Free => Some(100_000_000_000),
            Plan::Pro => Some(1_000_000_000_000),
            _ => None,
        }
    }
}

async fn storage(client: &HfClient, path: &str) -> Result<StorageUse, HfError> {
    let mut repos = client.pages::<wire::RepoStorage>(path, &[]);
    let mut sum = StorageUse {
        private_bytes: 0,
        public_bytes: 0,
        repositories: 0,
    };
    while let Some(repo) = repos.try_next().await? {
        sum.repositories += 1;
        let side = if repo.visibility == "public" {
            &mut sum.public_bytes
        } else {
            &mut sum.private_bytes
        };
        *side = side.saturating_add(repo.storage);
    }
    Ok(sum)
}
