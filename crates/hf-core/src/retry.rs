//! When to try again, and how long to wait before.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

/// How often and how long to try.
///
/// Waits grow exponentially with full jitter: a random share of `base`, 2 × `base`, 4 × `base`…, never above `cap`.
/// What the server asks for goes before, as long as it fits into the deadline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Tries in all, the first included; 1 means never again.
    pub max_attempts: u32,
    /// The longest first wait.
    pub base: Duration,
    /// The longest wait of all.
    pub cap: Duration,
    /// No wait may end later than this after the first try. The default covers one rate-limit window of the Hub, 5 minutes.
    pub deadline: Duration,
    /// Makes the jitter repeatable.
    pub seed: Option<u64>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 6,
            base: Duration::from_millis(500),
            cap: Duration::from_secs(10),
            deadline: Duration::from_secs(330),
            seed: None,
        }
    }
}

impl RetryPolicy {
    /// Never tries again.
    pub fn never() -> Self {
        Self {
            max_attempts: 1,
            ..Self::default()
        }
    }
}

/// Draws the waits of a [`RetryPolicy`].
#[derive(Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    rng: Mutex<StdRng>,
}

impl Backoff {
    /// Makes a source of waits.
    pub fn new(policy: &RetryPolicy) -> Self {
        let rng = match policy.seed {
            Some(seed) => StdRng::seed_from_u64(seed),
            None => StdRng::from_os_rng(),
        };
        Self {
            base: policy.base,
            cap: policy.cap,
            rng: Mutex::new(rng),
        }
    }

    /// The wait after the failure number `failures` (1 for the first).
    pub fn wait(&self, failures: u32) -> Duration {
        let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(30));
        let most = self.base.saturating_mul(factor).min(self.cap);
        let share: f64 = self.rng.lock().unwrap_or_else(PoisonError::into_inner).random();
        most.mul_f64(share)
    }

    /// A fresh random id.
    pub(crate) fn trace_id(&self) -> u128 {
        self.rng.lock().unwrap_or_else(PoisonError::into_inner).random()
    }
}

/// Whether an answer with this status is worth another try.
///
/// # Source
/// `huggingface_hub` 2.4.0 `utils/_http.py` and `hf-hub` 1.0.0 `retry.rs` use this set.
pub(crate) fn is_retryable_status(status: StatusCode) -> bool {
    matches!(status.as_u16(), 408 | 429 | 500 | 502 | 503 | 504)
}

/// One bucket of the Hub's `RateLimit` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateLimit {
    /// The bucket: `api`, `pages` or `resolvers`.
    pub bucket: String,
    /// Requests left in this window.
    pub remaining: u64,
    /// Time until the window ends.
    pub reset_after: Duration,
}

/// Reads a `RateLimit` header: `"api";r=987;t=143`, several separated by commas.
///
/// Items without `r` and `t` are left out.
///
/// ```
/// let limits = hf_core::parse_rate_limit(r#""api";r=0;t=143"#);
/// assert_eq!(limits[0].remaining, 0);
/// ```
pub fn parse_rate_limit(header: &str) -> Vec<RateLimit> {
    split_outside_quotes(header, ',')
        .filter_map(parse_rate_item)
        .collect()
}

fn parse_rate_item(item: &str) -> Option<RateLimit> {
    let mut parts = split_outside_quotes(item, ';').map(str::trim);
    let bucket = parts.next()?.trim_matches('"').to_owned();
    let (mut remaining, mut reset) = (None, None);
    for part in parts {
        match part.split_once('=') {
            Some(("r", value)) => remaining = value.trim().parse().ok(),
            Some(("t", value)) => reset = value.trim().parse().ok(),
            _ => {}
        }
    }
    Some(RateLimit {
        bucket,
        remaining: remaining?,
        reset_after: Duration::from_secs(reset?),
    })
}

/// One rule of the Hub's `RateLimit-Policy` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RatePolicy {
    /// The bucket: `api`, `pages` or `resolvers`.
    pub bucket: String,
    /// Requests in a window.
    pub quota: u64,
    /// The length of a window.
    pub window: Duration,
}

/// Reads a `RateLimit-Policy` header: `"fixed window";"api";q=1000;w=300`, several separated by commas.
///
/// The bucket is the last quoted word before the numbers. Items without `q` and `w` are left out.
///
/// ```
/// let policies = hf_core::parse_rate_policy(r#""fixed window";"api";q=1000;w=300"#);
/// assert_eq!((policies[0].bucket.as_str(), policies[0].quota), ("api", 1000));
/// ```
pub fn parse_rate_policy(header: &str) -> Vec<RatePolicy> {
    split_outside_quotes(header, ',')
        .filter_map(|item| {
            let (mut bucket, mut quota, mut window) = (None, None, None);
            for part in split_outside_quotes(item, ';').map(str::trim) {
                match part.split_once('=') {
                    Some(("q", value)) => quota = value.trim().parse().ok(),
                    Some(("w", value)) => window = value.trim().parse().ok(),
                    None if quota.is_none() && window.is_none() => bucket = Some(part.trim_matches('"')),
                    _ => {}
                }
            }
            Some(RatePolicy {
                bucket: bucket?.to_owned(),
                quota: quota?,
                window: Duration::from_secs(window?),
            })
        })
        .collect()
}

/// Splits at a separator that does not stand between quotes.
pub(crate) fn split_outside_quotes(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |c: char| {
        if c == '"' {
            quoted = !quoted;
        }
        c == separator && !quoted
    })
}

/// How long the server asks to wait before the next request, if it asks.
///
/// An exhausted `RateLimit` bucket counts one second more than its reset, so as to land inside the next window; otherwise
/// an integer `Retry-After` counts. A date in `Retry-After` is not read: the Hub sends seconds.
pub fn server_wait(headers: &HeaderMap) -> Option<Duration> {
    let exhausted = headers
        .get_all("ratelimit")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(parse_rate_limit)
        .filter(|limit| limit.remaining == 0)
        .map(|limit| limit.reset_after.saturating_add(Duration::from_secs(1)))
        .max();
    exhausted.or_else(|| {
        let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_server_s_wish_is_read() {
        for (pairs, expected) in [
            (vec![("ratelimit", "\"api\";r=0;t=143")], Some(144)),
            (vec![("ratelimit", "\"api\";r=5;t=143")], None),
            (
                vec![("ratelimit", "\"api\";r=5;t=143"), ("retry-after", "7")],
                Some(7),
            ),
            (
                vec![("ratelimit", "\"api\";r=0;t=3, \"pages\";r=0;t=9")],
                Some(10),
            ),
            (vec![("retry-after", " 2 ")], Some(2)),
            (vec![("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT")], None),
            (vec![("retry-after", "-1")], None),
            (vec![("ratelimit", "nonsense")], None),
            (vec![], None),
        ] {
            assert_eq!(
                server_wait(&headers(&pairs)),
                expected.map(Duration::from_secs),
                "{pairs:?}"
            );
        }
    }

    #[test]
    fn waits_grow_to_the_cap_and_repeat_with_the_seed() {
        let policy = RetryPolicy {
            seed: Some(7),
            ..RetryPolicy::default()
        };
        let draw = || {
            (1..=40)
                .map(|n| Backoff::new(&policy).wait(n))
                .collect::<Vec<_>>()
        };
        assert_eq!(draw(), draw());
        let backoff = Backoff::new(&policy);
        for failures in 1..=40_u32 {
            let most = policy
                .base
                .saturating_mul(2_u32.saturating_pow((failures - 1).min(20)))
                .min(policy.cap);
            assert!(backoff.wait(failures) <= most, "failure {failures}");
        }
    }

    proptest! {
        #[test]
        fn any_rate_limit_header_is_survived(text in "\\PC{0,80}") {
            let _ = (parse_rate_limit(&text), parse_rate_policy(&text));
        }

        #[test]
        fn a_written_rate_limit_is_read_back(bucket in "[a-z,; ]{1,12}", r in 0..u64::MAX, t in 0..1_000_000_u64) {
            let limits = parse_rate_limit(&format!("\"{bucket}\"; r={r};t={t}"));
            prop_assert_eq!(limits, vec![RateLimit { bucket, remaining: r, reset_after: Duration::from_secs(t) }]);
        }
    }
}
