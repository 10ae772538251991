//! The matrix: what each plan gives, as data. Figures are those of the Hub's documentation of August 2026.

use super::feature::Feature;
use crate::account::Plan;

/// What a plan gives of a feature.
#[derive(Debug, Clone, Copy)]
pub(super) enum Grant {
    /// All of it.
    Yes,
    /// It, with this much included.
    Includes(&'static str),
    /// Up to a limit.
    UpTo { limit: &'static str, why: &'static str },
    /// Up to a limit, for accounts in good standing: a confirmed address and more than 30 days of age.
    GoodStanding { limit: &'static str, why: &'static str },
    /// Nothing.
    No { why: &'static str, unlock: &'static str },
    /// The documentation does not tell.
    NotDocumented,
}

/// Whose plan counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// That of the namespace one acts in.
    Namespace,
    /// The best of the account's own and its organisations'.
    Caller,
}

/// A row of the matrix.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) feature: Feature,
    pub(super) by: By,
    /// Without a token; nothing means that a token is needed.
    pub(super) anonymous: Option<Grant>,
    pub(super) free: Grant,
    pub(super) pro: Grant,
    pub(super) team: Grant,
    pub(super) enterprise: Grant,
    pub(super) academia: Grant,
    /// Where the row was taken from.
    pub(super) source: &'static str,
}

impl Rule {
    pub(super) fn grant(&self, plan: &Plan) -> Grant {
        match plan {
            Plan::Free => self.free,
            Plan::Pro => self.pro,
            Plan::Team => self.team,
            Plan::Enterprise | Plan::EnterprisePlus => self.enterprise,
            Plan::Academia => self.academia,
            Plan::Unknown(_) => Grant::NotDocumented,
        }
    }
}

const GET_PRO: &str =
    "subscribe to PRO (https://huggingface.co/pro), or act for a Team or Enterprise organisation with --org";

const fn same(feature: Feature, grant: Grant, source: &'static str) -> Rule {
    Rule {
        feature,
        by: By::Namespace,
        anonymous: None,
        free: grant,
        pro: grant,
        team: grant,
        enterprise: grant,
        academia: grant,
        source,
    }
}

/// Free accounts have nothing of it, paying ones all.
const fn paid(feature: Feature, why: &'static str, source: &'static str) -> Rule {
    Rule {
        free: Grant::No { why, unlock: GET_PRO },
        academia: Grant::NotDocumented,
        ..same(feature, Grant::Yes, source)
    }
}

/// All rows, in the order of [`Feature::ALL`].
pub(super) const RULES: [Rule; 16] = [
    Rule {
        anonymous: Some(Grant::Yes),
        ..same(Feature::ReadPublic, Grant::Yes, "Hub API")
    },
    same(Feature::ReadPrivate, Grant::Yes, "documentation of tokens"),
    same(
        Feature::UploadPublicDatasets,
        Grant::Yes,
        "documentation of storage limits, August 2026",
    ),
    Rule {
        free: Grant::UpTo {
            limit: "100 GB",
            why: "a free account keeps 100 GB of private data",
        },
        academia: Grant::NotDocumented,
        ..same(
            Feature::UploadPrivateDatasets,
            Grant::Yes,
            "documentation of storage limits, August 2026",
        )
    },
    Rule {
        free: Grant::UpTo {
            limit: "100 GB",
            why: "the private storage of a free account; PRO has 1 TB",
        },
        pro: Grant::Includes("1 TB, then $18 per TB and month"),
        team: Grant::Includes("1 TB a seat, then $18 per TB and month"),
        enterprise: Grant::Includes("1 TB a seat, then volume prices"),
        academia: Grant::NotDocumented,
        ..same(
            Feature::PrivateStorage,
            Grant::Yes,
            "documentation of storage limits, August 2026",
        )
    },
    paid(
        Feature::DataStudioPrivate,
        "the viewer shows private datasets of PRO, Team and Enterprise accounts only",
        "documentation of Data Studio",
    ),
    Rule {
        free: Grant::UpTo {
            limit: "$0.10 of calls a month",
            why: "the credit a free account gets each month (it may change); beyond that, buy credit",
        },
        pro: Grant::Includes("$2.00 a month for all compute, then pay as you go"),
        team: Grant::Includes("$2.00 a seat and month for all compute, shared, then pay as you go"),
        enterprise: Grant::Includes("$2.00 a seat and month for all compute, shared, then pay as you go"),
        academia: Grant::NotDocumented,
        ..same(
            Feature::Inference,
            Grant::Yes,
            "documentation of Inference Providers, pricing",
        )
    },
    Rule {
        free: Grant::UpTo {
            limit: "the credit that was bought",
            why: "jobs need a positive credit balance, not a plan; the free $0.10 a month does not count, and no endpoint \
                  tells the balance",
        },
        pro: Grant::Includes("$2.00 a month for all compute, then pay as you go"),
        team: Grant::Includes("$2.00 a seat and month for all compute, shared, then pay as you go"),
        enterprise: Grant::Includes("$2.00 a seat and month for all compute, shared, then pay as you go"),
        academia: Grant::NotDocumented,
        ..same(
            Feature::Jobs,
            Grant::Yes,
            "documentation of Jobs; replies with 402 up to July 2026",
        )
    },
    same(
        Feature::BillOrg,
        Grant::Yes,
        "documentation of Jobs and Inference Providers: the namespace, or X-HF-Bill-To, pays",
    ),
    Rule {
        free: Grant::GoodStanding {
            limit: "2 Spaces",
            why: "what a free account in good standing may host",
        },
        pro: Grant::Includes("10 Spaces"),
        team: Grant::Includes("50 Spaces an organisation"),
        enterprise: Grant::Includes("50 Spaces an organisation"),
        academia: Grant::NotDocumented,
        ..same(
            Feature::ZeroGpuSpaces,
            Grant::Yes,
            "documentation of ZeroGPU, since July 2026",
        )
    },
    Rule {
        by: By::Caller,
        anonymous: Some(Grant::UpTo {
            limit: "2 min a day",
            why: "GPU time of visitors without a token, low in the queue",
        }),
        free: Grant::UpTo {
            limit: "5 min a day",
            why: "GPU time of a free account; PRO has 40 min",
        },
        pro: Grant::Includes("40 min a day, then $1 for 10 min"),
        team: Grant::Includes("40 min a day, then $1 for 10 min"),
        enterprise: Grant::Includes("60 min a day, then $1 for 10 min"),
        academia: Grant::NotDocumented,
        ..same(Feature::ZeroGpuTime, Grant::Yes, "documentation of ZeroGPU")
    },
    same(
        Feature::StaticSpaces,
        Grant::Yes,
        "documentation of Spaces, since July 2026",
    ),
    paid(
        Feature::CpuSpaces,
        "since July 2026 free accounts make static and ZeroGPU Spaces only; the Hub answers 402",
        "documentation of Spaces; replies with 402 of July 2026",
    ),
    same(
        Feature::PaidSpaceHardware,
        Grant::UpTo {
            limit: "what credit or a payment method covers",
            why: "paid hardware is billed by the minute; whether it can be paid only the Hub knows",
        },
        "documentation of Spaces",
    ),
    paid(
        Feature::DevMode,
        "Dev Mode is for PRO, Team and Enterprise accounts",
        "documentation of Dev Mode",
    ),
    Rule {
        by: By::Caller,
        ..same(
            Feature::BillingUsage,
            Grant::Yes,
            "Hub OpenAPI, user.billing.read",
        )
    },
];
