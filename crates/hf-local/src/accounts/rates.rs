//! Rate limits: reported on every reply, enforced on request.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::Request;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};

use super::Plan;
use crate::extract::token;
use crate::reply::{HubError, HubResult};
use crate::state::Hub;

const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const WINDOW_SECONDS: i64 = 300;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Bucket {
    Api,
    Resolvers,
    WhoAmI,
}

impl Bucket {
    fn of(path: &str) -> Self {
        if path.contains("/resolve/") {
            Self::Resolvers
        } else {
            Self::Api
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Resolvers => "resolvers",
            Self::WhoAmI => "whoami",
        }
    }

    fn documented(self, plan: Option<Plan>) -> u64 {
        let (api, resolvers) = match plan {
            None => (500, 3_000),
            Some(Plan::Free) => (1_000, 5_000),
            Some(Plan::Pro) => (2_500, 12_000),
            Some(Plan::Team) => (3_000, 20_000),
        };
        match self {
            Self::Api => api,
            Self::Resolvers => resolvers,
            Self::WhoAmI => u64::MAX,
        }
    }
}

/// Whether limits are enforced, and with which quotas. The windows are those of the Hub's clock, 5 minutes each.
///
/// # Shape
/// `{"enforce": true, "api": 20, "resolvers": 50, "whoami": 5}`; what is missing has the quota of the plan, and `whoami`
/// none of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RateLimits {
    /// Whether a request beyond its quota gets a 429. Otherwise limits are reported only, and never as used up.
    #[serde(default)]
    pub enforce: bool,
    /// Requests of the API in a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<u64>,
    /// Downloads in a window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolvers: Option<u64>,
    /// Calls of `whoami` in a window, which count as API too. How tight the Hub is here is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whoami: Option<u64>,
}

impl RateLimits {
    /// Enforces the quotas of the plans.
    pub fn enforced() -> Self {
        Self {
            enforce: true,
            ..Self::default()
        }
    }

    /// Sets the quota of the API.
    #[must_use]
    pub fn api(mut self, quota: u64) -> Self {
        self.api = Some(quota);
        self
    }

    /// Sets the quota of `whoami`.
    #[must_use]
    pub fn whoami(mut self, quota: u64) -> Self {
        self.whoami = Some(quota);
        self
    }

    fn quota(&self, bucket: Bucket, plan: Option<Plan>) -> u64 {
        let set = match bucket {
            Bucket::Api => self.api,
            Bucket::Resolvers => self.resolvers,
            Bucket::WhoAmI => self.whoami,
        };
        set.unwrap_or_else(|| bucket.documented(plan))
    }
}

/// Counts requests the way the Hub reports them. Clones share one count.
///
/// # Source
/// Hub documentation, rate limits; `huggingface_hub` 2.4.0 `utils/_http.py`, `parse_ratelimit_headers`; the texts of the
/// 429 are quoted in reports of users.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    limits: RateLimits,
    window: i64,
    by_caller: HashMap<(String, &'static str), u64>,
    refused: u64,
}

/// What counting a request gave.
pub(crate) struct Counted {
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) refused: HubResult<()>,
}

impl Rates {
    /// Sets the limits; the count goes on.
    pub fn set(&self, limits: RateLimits) {
        self.state().limits = limits;
    }

    /// The limits.
    pub fn limits(&self) -> RateLimits {
        self.state().limits
    }

    /// How many requests got a 429.
    pub fn refused(&self) -> u64 {
        self.state().refused
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request. The Hub's own controls are not counted.
    pub(crate) fn count(&self, hub: &Hub, request: &Request) -> Counted {
        let path = request.uri().path();
        if path.starts_with("/_local/") {
            return Counted {
                headers: Vec::new(),
                refused: Ok(()),
            };
        }
        let now = hub.clock.now();
        let sent = request.headers().get(AUTHORIZATION).is_some();
        let account = if sent {
            token(request.headers()).and_then(|token| hub.accounts.by_live_token(&token, now))
        } else {
            None
        };
        let caller = account.map(|account| account.id.clone()).unwrap_or_default();
        let plan = account.map(|account| account.plan);
        let bucket = Bucket::of(path);
        let now = now.as_second();
        let window = now.div_euclid(WINDOW_SECONDS);
        let reset = (window + 1) * WINDOW_SECONDS - now;

        let mut state = self.state();
        if state.window != window {
            state.window = window;
            state.by_caller.clear();
        }
        let limits = state.limits;
        let mut used = |bucket: Bucket| {
            let count = state
                .by_caller
                .entry((caller.clone(), bucket.name()))
                .or_default();
            *count += 1;
            *count
        };
        let count = used(bucket);
        let whoami = (path == "/api/whoami-v2").then(|| used(Bucket::WhoAmI));
        let quota = limits.quota(bucket, plan);
        let left = quota.saturating_sub(count);
        // Where nobody is refused, nobody needs to wait: a client that keeps to what is left is never stopped.
        let left = if limits.enforce { left } else { left.max(quota / 2) };
        let over = limits.enforce
            && (count > quota || whoami.is_some_and(|count| count > limits.quota(Bucket::WhoAmI, plan)));
        state.refused += u64::from(over);
        drop(state);

        let name = bucket.name();
        let texts = [
            (
                RATE_LIMIT_POLICY,
                format!("\"fixed window\";\"{name}\";q={quota};w={WINDOW_SECONDS}"),
            ),
            (RATE_LIMIT, format!("\"{name}\";r={left};t={reset}")),
        ];
        let headers = texts
            .into_iter()
            .filter_map(|(name, text)| Some((name, HeaderValue::from_str(&text).ok()?)))
            .collect();
        let refused = if over {
            let text = if account.is_some() {
                format!(
                    "We had to rate limit you, you hit the quota of {quota} {name} requests per 5 minutes period. \
                     See https://huggingface.co/pricing"
                )
            } else {
                "We had to rate limit your IP (127.0.0.1)".to_owned()
            };
            Err(HubError::new(StatusCode::TOO_MANY_REQUESTS, text)
                .with_header(http::header::RETRY_AFTER, &reset.to_string()))
        } else {
            Ok(())
        };
        Counted { headers, refused }
    }
}
