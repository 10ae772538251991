//! Keeps requests under the Hub's rate limits, so that it seldom has to refuse one.

mod bucket;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderMap;
use serde::Serialize;
use tokio::sync::Notify;
use url::Url;

use self::bucket::{Bucket, Seen, Turn};
use crate::clock::Clock;
use crate::error::HfError;
use crate::retry::{parse_rate_limit, parse_rate_policy};

/// How often `whoami` is asked at most, in [`WHOAMI_WINDOW`].
///
/// The Hub limits that route more tightly than others and does not say how much. The number is ours.
pub const WHOAMI_QUOTA: u64 = 20;
/// The window of [`WHOAMI_QUOTA`].
pub const WHOAMI_WINDOW: Duration = Duration::from_mins(5);

/// What the Hub counts separately.
///
/// # Source
/// Hub documentation, rate limits: buckets `api`, `resolvers` and `pages`, in fixed windows of five minutes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RateClass {
    /// Routes below `/api/`.
    Api,
    /// Downloads: addresses with `/resolve/`.
    Resolvers,
    /// Everything else on the Hub.
    Pages,
    /// `GET /api/whoami-v2`: it counts as [`RateClass::Api`] and has a tight limit of its own besides.
    WhoAmI,
}

impl RateClass {
    const ALL: [Self; 4] = [Self::Api, Self::Resolvers, Self::Pages, Self::WhoAmI];

    /// The class of an address on the Hub; none for inference, which the Hub does not count with these.
    pub fn of(url: &Url) -> Option<Self> {
        let path = url.path();
        if path.ends_with("/api/whoami-v2") {
            Some(Self::WhoAmI)
        } else if path.contains("/resolve/") {
            Some(Self::Resolvers)
        } else if path.contains("/api/") {
            Some(Self::Api)
        } else if path.starts_with("/v1/") || path.starts_with("/hf-inference/") {
            None
        } else {
            Some(Self::Pages)
        }
    }

    /// The word in the `RateLimit` header.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Resolvers => "resolvers",
            Self::Pages => "pages",
            Self::WhoAmI => "whoami",
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Api => 0,
            Self::Resolvers => 1,
            Self::Pages => 2,
            Self::WhoAmI => 3,
        }
    }
}

impl fmt::Display for RateClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known of one class.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RateState {
    /// The class.
    pub class: RateClass,
    /// Requests that may surely still be sent in this window.
    pub left: u64,
    /// Requests in a window, when the Hub said so.
    pub quota: Option<u64>,
    /// Time until the window ends, in milliseconds.
    pub resets_in_ms: u64,
}

/// A token bucket for each [`RateClass`], filled by what the Hub says in `RateLimit` and `RateLimit-Policy`.
///
/// A client and its clones share one; several clients of one account can too, see
/// [`HfClientBuilder::rate_limiter`](crate::HfClientBuilder::rate_limiter). Nothing is held back before the Hub has named
/// a limit, except that only a few dozen requests may be on their way at once until then. Requests that are on their way
/// are taken for uncounted until their answer is here, so the estimate errs on the careful side.
pub struct RateLimiter {
    clock: Arc<dyn Clock>,
    max_wait: Duration,
    buckets: Mutex<[Bucket; 4]>,
    changed: Notify,
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

impl RateLimiter {
    /// Makes a limiter that lets no request wait longer than `max_wait`.
    pub fn new(clock: Arc<dyn Clock>, max_wait: Duration) -> Self {
        let now = clock.elapsed();
        let mut buckets: [Bucket; 4] = Default::default();
        buckets[RateClass::WhoAmI.index()] = Bucket::fixed(WHOAMI_QUOTA, WHOAMI_WINDOW, now);
        Self {
            clock,
            max_wait,
            buckets: Mutex::new(buckets),
            changed: Notify::new(),
        }
    }

    /// What is known of each class.
    pub fn state(&self) -> Vec<RateState> {
        let now = self.clock.elapsed();
        let mut buckets = self.lock();
        RateClass::ALL
            .into_iter()
            .filter_map(|class| {
                let (left, quota, resets_in) = buckets[class.index()].look(now)?;
                Some(RateState {
                    class,
                    left,
                    quota,
                    resets_in_ms: u64::try_from(resets_in.as_millis()).unwrap_or(u64::MAX),
                })
            })
            .collect()
    }

    /// Waits until a request of `class` may go out.
    ///
    /// # Errors
    /// [`HfError::RateLimited`] without an answer of the Hub when the wait would be longer than allowed; for
    /// [`RateClass::WhoAmI`] at once, since whoever asks can use what was known before.
    pub async fn acquire(self: &Arc<Self>, class: RateClass) -> Result<RatePermit, HfError> {
        let own = match class {
            RateClass::WhoAmI => Some(self.turn(RateClass::WhoAmI, Duration::ZERO).await?),
            _ => None,
        };
        let counted = match class {
            RateClass::WhoAmI => RateClass::Api,
            other => other,
        };
        let main = self.turn(counted, self.max_wait).await?;
        Ok(RatePermit { main, _own: own })
    }

    async fn turn(self: &Arc<Self>, class: RateClass, max_wait: Duration) -> Result<Slot, HfError> {
        let start = self.clock.elapsed();
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registered before the look, so that a change in between is not missed.
            changed.as_mut().enable();
            let now = self.clock.elapsed();
            let turn = self.lock()[class.index()].take(now);
            match turn {
                Turn::Go(seen) => {
                    return Ok(Slot {
                        limiter: Arc::clone(self),
                        class,
                        seen,
                        answered: false,
                    });
                }
                Turn::Wait(wait) => {
                    let spent = now.saturating_sub(start);
                    if spent.saturating_add(wait) > max_wait {
                        return Err(HfError::RateLimited {
                            retry_after: Some(wait),
                            message: format!(
                                "the limit for {class} requests is used up; held back before asking the Hub"
                            ),
                            context: None,
                        });
                    }
                    tracing::debug!(%class, wait_ms = wait.as_millis(), "waiting for the next rate-limit window");
                    tokio::select! {
                        () = self.clock.sleep(wait) => {}
                        () = changed => {}
                    }
                }
                // Each request on its way ends by its own idle timeout, and then says so.
                Turn::WaitForAnswer => changed.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, [Bucket; 4]> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Leave to send one request. Dropping it without [`RatePermit::observe`] counts the request as sent and unanswered.
#[derive(Debug)]
pub struct RatePermit {
    main: Slot,
    _own: Option<Slot>,
}

impl RatePermit {
    /// Takes note of what the answer says about the limit.
    pub fn observe(mut self, headers: &HeaderMap) {
        self.main.observe(headers);
    }
}

struct Slot {
    limiter: Arc<RateLimiter>,
    class: RateClass,
    seen: Seen,
    answered: bool,
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot")
            .field("class", &self.class)
            .finish_non_exhaustive()
    }
}

impl Slot {
    fn observe(&mut self, headers: &HeaderMap) {
        let texts = |name: &str| {
            headers
                .get_all(name)
                .iter()
                .filter_map(|value| value.to_str().ok())
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        let name = self.class.as_str();
        let limit = texts("ratelimit")
            .iter()
            .flat_map(|text| parse_rate_limit(text))
            .find(|limit| limit.bucket == name);
        let policy = texts("ratelimit-policy")
            .iter()
            .flat_map(|text| parse_rate_policy(text))
            .find(|policy| policy.bucket == name);
        let now = self.limiter.clock.elapsed();
        let mut buckets = self.limiter.lock();
        let bucket = &mut buckets[self.class.index()];
        self.answered = true;
        if let Some(limit) = limit {
            bucket.observe(self.seen, &limit, policy.as_ref(), now);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.limiter.lock()[self.class.index()].done(self.answered);
        self.limiter.changed.notify_waiters();
    }
}
