//! What the Hub refused lately, and why.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use url::Url;

use super::feature::Feature;
use crate::error::{HfError, Quota};

/// How long a refusal counts. Credit is bought and permissions are given elsewhere, so a refusal may be outdated.
const COUNTS_FOR: SignedDuration = SignedDuration::from_hours(24);
/// The most refusals that are kept.
const MOST: usize = 64;

/// Why the Hub refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalKind {
    /// It needs a PRO account.
    Pro,
    /// There is no credit.
    Credit,
    /// The month's inference credit is used up.
    MonthlyCredit,
    /// A limit of a resource group.
    ResourceGroup,
    /// The token, or the account's role, does not allow it.
    Permission,
    /// Another 402.
    Payment,
}

/// A refusal of the Hub, as it was worded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What was refused.
    pub feature: Feature,
    /// Where, when the request's address tells.
    pub namespace: Option<String>,
    /// Why.
    pub kind: RefusalKind,
    /// What the Hub said.
    pub message: String,
    /// The permissions it named as missing.
    #[serde(default)]
    pub missing: Vec<String>,
    /// When.
    pub at: Timestamp,
}

/// The refusals of one Hub for one token. A client notes each 402 and 403, and forgets it when the same is allowed.
#[derive(Debug, Default)]
pub struct Refusals {
    known: Mutex<BTreeMap<(Feature, Option<String>), Refusal>>,
}

impl Refusals {
    /// Starts with what was kept from before.
    pub fn from_kept(kept: impl IntoIterator<Item = Refusal>) -> Self {
        let this = Self::default();
        this.restore(kept);
        this
    }

    /// Adds what was kept from before; what is known already is newer and stays.
    pub fn restore(&self, kept: impl IntoIterator<Item = Refusal>) {
        for refusal in kept {
            let key = (refusal.feature, refusal.namespace.clone());
            if !self.lock().contains_key(&key) {
                self.insert(refusal);
            }
        }
    }

    /// Takes note of a refused request; other failures, and requests that tell no feature, are left out.
    pub fn note(&self, method: &Method, url: &Url, error: &HfError, now: Timestamp) {
        let Some((feature, namespace)) = Feature::of_request(method, url) else {
            return;
        };
        let Some(kind) = refusal_kind(error) else {
            return;
        };
        // A repository may be refused for many reasons; only the words about PRO tell that it was to be such a Space.
        if feature == Feature::CpuSpaces && kind != RefusalKind::Pro {
            return;
        }
        let message = error.context().and_then(|context| context.server_message.clone());
        self.insert(Refusal {
            feature,
            namespace,
            kind,
            message: message.unwrap_or_else(|| error.to_string()),
            missing: error.missing_permissions(),
            at: now,
        });
    }

    /// Forgets the refusal of what a good answer now allowed.
    pub fn clear(&self, method: &Method, url: &Url) {
        // Making any repository says nothing about Gradio and Docker Spaces.
        match Feature::of_request(method, url) {
            Some((Feature::CpuSpaces, _)) | None => {}
            Some(key) => {
                self.lock().remove(&key);
            }
        }
    }

    /// The refusal that counts for a feature in a namespace.
    pub fn find(&self, feature: Feature, namespace: Option<&str>, now: Timestamp) -> Option<Refusal> {
        let known = self.lock();
        let of = |namespace: Option<&str>| known.get(&(feature, namespace.map(str::to_owned)));
        let found = of(namespace).or_else(|| of(None))?;
        (now.duration_since(found.at).abs() < COUNTS_FOR).then(|| found.clone())
    }

    /// All that is remembered, to be kept.
    pub fn all(&self) -> Vec<Refusal> {
        self.lock().values().cloned().collect()
    }

    fn insert(&self, refusal: Refusal) {
        let mut known = self.lock();
        known.insert((refusal.feature, refusal.namespace.clone()), refusal);
        while known.len() > MOST {
            let oldest = known.iter().min_by_key(|(_, refusal)| refusal.at);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            known.remove(&key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(Feature, Option<String>), Refusal>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn refusal_kind(error: &HfError) -> Option<RefusalKind> {
    match error {
        HfError::ProRequired { .. } => Some(RefusalKind::Pro),
        HfError::QuotaExceeded { resource, .. } => Some(match resource {
            Quota::Credit => RefusalKind::Credit,
            Quota::MonthlyCredit => RefusalKind::MonthlyCredit,
            Quota::ResourceGroup => RefusalKind::ResourceGroup,
        }),
        HfError::Forbidden { .. } => Some(RefusalKind::Permission),
        HfError::Http { context } if context.status.as_u16() == 402 => Some(RefusalKind::Payment),
        _ => None,
    }
}
