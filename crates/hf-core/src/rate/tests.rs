use std::sync::atomic::{AtomicU64, Ordering};

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::testing::ManualClock;

/// A Hub that counts as documented: fixed windows, whole seconds.
#[derive(Debug)]
struct CountingHub {
    quota: u64,
    window: u64,
    count: Mutex<(u64, u64)>,
    refused: AtomicU64,
}

impl CountingHub {
    fn new(quota: u64, window: u64) -> Self {
        Self {
            quota,
            window,
            count: Mutex::new((0, 0)),
            refused: AtomicU64::new(0),
        }
    }

    /// Counts a request that arrives `now`.
    fn arrive(&self, now: Duration) -> HeaderMap {
        let mut count = self.count.lock().unwrap();
        let window = now.as_secs() / self.window;
        if count.0 != window {
            *count = (window, 0);
        }
        count.1 += 1;
        if count.1 > self.quota {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        let left = self.quota.saturating_sub(count.1);
        let reset = (window + 1) * self.window - now.as_secs();
        let mut headers = HeaderMap::new();
        let put = |headers: &mut HeaderMap, name: &'static str, text: String| {
            headers.insert(name, HeaderValue::from_str(&text).unwrap());
        };
        put(&mut headers, "ratelimit", format!("\"api\";r={left};t={reset}"));
        put(
            &mut headers,
            "ratelimit-policy",
            format!("\"fixed window\";\"api\";q={};w={}", self.quota, self.window),
        );
        headers
    }
}

fn manual() -> ManualClock {
    ManualClock::new(jiff::Timestamp::UNIX_EPOCH)
}

#[test]
fn addresses_have_their_class() {
    for (path, class) in [
        ("/api/models/ada/x", Some(RateClass::Api)),
        ("/api/whoami-v2", Some(RateClass::WhoAmI)),
        ("/datasets/ada/x/resolve/main/a/b", Some(RateClass::Resolvers)),
        (
            "/api/resolve-cache/models/ada/x/resolve/0/a",
            Some(RateClass::Resolvers),
        ),
        ("/ada/x.git/info/lfs/objects/batch", Some(RateClass::Pages)),
        ("/v1/chat/completions", None),
    ] {
        let url = Url::parse(&format!("https://h{path}")).unwrap();
        assert_eq!(RateClass::of(&url), class, "{path}");
    }
}

#[tokio::test]
async fn a_used_up_window_is_waited_for_on_the_clock() {
    let clock = ManualClock::auto();
    let limiter = Arc::new(RateLimiter::new(Arc::new(clock.clone()), Duration::from_mins(6)));
    let hub = CountingHub::new(2, 300);
    for _ in 0..2 {
        let permit = limiter.acquire(RateClass::Api).await.unwrap();
        permit.observe(&hub.arrive(clock.elapsed()));
    }
    assert!(clock.sleeps().is_empty());
    limiter.acquire(RateClass::Api).await.unwrap();
    assert_eq!(clock.sleeps(), [Duration::from_secs(301)]);
    // Other classes have their own window.
    limiter.acquire(RateClass::Resolvers).await.unwrap();
    assert_eq!(clock.sleeps().len(), 1);
}

#[tokio::test]
async fn a_wait_longer_than_allowed_is_an_error_that_says_for_how_long() {
    let clock = ManualClock::auto();
    let limiter = Arc::new(RateLimiter::new(Arc::new(clock.clone()), Duration::from_secs(10)));
    let hub = CountingHub::new(1, 300);
    limiter
        .acquire(RateClass::Api)
        .await
        .unwrap()
        .observe(&hub.arrive(clock.elapsed()));
    let error = limiter.acquire(RateClass::Api).await.unwrap_err();
    assert!(
        matches!(&error, HfError::RateLimited { retry_after: Some(wait), context: None, .. } if wait.as_secs() == 301),
        "{error}"
    );
    assert!(clock.sleeps().is_empty() && !error.is_ambiguous());
}

#[tokio::test]
async fn whoami_has_its_own_tight_limit_and_never_waits_for_it() {
    let clock = ManualClock::auto();
    let limiter = Arc::new(RateLimiter::new(Arc::new(clock.clone()), Duration::from_mins(6)));
    for _ in 0..WHOAMI_QUOTA {
        limiter.acquire(RateClass::WhoAmI).await.unwrap();
    }
    let error = limiter.acquire(RateClass::WhoAmI).await.unwrap_err();
    assert!(matches!(error, HfError::RateLimited { .. }) && clock.sleeps().is_empty());
    limiter.acquire(RateClass::Api).await.unwrap();
    clock.advance(WHOAMI_WINDOW);
    limiter.acquire(RateClass::WhoAmI).await.unwrap();
}

#[tokio::test]
async fn a_cancelled_request_gives_its_place_back_and_counts_as_sent() {
    let clock = manual();
    let limiter = Arc::new(RateLimiter::new(Arc::new(clock.clone()), Duration::from_mins(6)));
    let hub = CountingHub::new(3, 300);
    limiter
        .acquire(RateClass::Api)
        .await
        .unwrap()
        .observe(&hub.arrive(clock.elapsed()));
    drop(limiter.acquire(RateClass::Api).await.unwrap());
    assert_eq!(limiter.state()[0].left, 1);
    clock.advance(Duration::from_secs(301));
    assert_eq!(
        limiter.state()[0].left,
        2,
        "the Hub may have counted it in this window"
    );
}

#[tokio::test]
async fn a_hub_without_limits_holds_nothing_back() {
    let clock = manual();
    let limiter = Arc::new(RateLimiter::new(Arc::new(clock.clone()), Duration::ZERO));
    for _ in 0..10_000 {
        limiter
            .acquire(RateClass::Api)
            .await
            .unwrap()
            .observe(&HeaderMap::new());
    }
    assert!(clock.sleeps().is_empty());
}

/// One request's ways: when it asks, and how long it travels there and back, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Trip {
    asks: u64,
    there: u64,
    back: u64,
    lost: bool,
}

fn trip() -> impl Strategy<Value = Trip> {
    (
        0..90_000_u64,
        0..2_000_u64,
        0..2_000_u64,
        prop::bool::weighted(0.1),
    )
        .prop_map(|(asks, there, back, lost)| Trip {
            asks,
            there,
            back,
            lost,
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Whatever overlaps, gets lost or comes back out of order: no window is exceeded, and every request gets its turn.
    #[test]
    fn no_window_is_exceeded_and_nobody_waits_for_ever(
        quota in 1..40_u64,
        window in 20..60_u64,
        trips in prop::collection::vec(trip(), 1..120),
        step in 50..900_u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async move {
            let clock = manual();
            let limiter = Arc::new(RateLimiter::new(Arc::new(clock.clone()), Duration::MAX));
            let hub = Arc::new(CountingHub::new(quota, window));
            // One request alone tells the limit, as in a real session.
            let first = limiter.acquire(RateClass::Api).await.unwrap();
            first.observe(&hub.arrive(clock.elapsed()));
            let mut tasks: Vec<_> = trips.iter().copied().map(|trip| {
                let (clock, limiter, hub) = (clock.clone(), Arc::clone(&limiter), Arc::clone(&hub));
                tokio::spawn(async move {
                    clock.sleep(Duration::from_millis(trip.asks)).await;
                    let permit = limiter.acquire(RateClass::Api).await.unwrap();
                    clock.sleep(Duration::from_millis(trip.there)).await;
                    let headers = hub.arrive(clock.elapsed());
                    if trip.lost {
                        return;
                    }
                    clock.sleep(Duration::from_millis(trip.back)).await;
                    permit.observe(&headers);
                })
            }).collect();
            // With a quota of one, a request that is on its way or lost when a window begins may be counted in it, so at the
            // worst two windows pass for each request before one lets it through.
            let most = 90_000 + 3 * (trips.len() as u64 + 3) * (window + 2) * 1_000;
            let mut now = 0;
            while !tasks.is_empty() {
                for _ in 0..4 {
                    tokio::task::yield_now().await;
                }
                clock.advance(Duration::from_millis(step));
                now += step;
                assert!(now < most, "{} requests still wait", tasks.len());
                tasks.retain(|task| !task.is_finished());
            }
            assert_eq!(hub.refused.load(Ordering::Relaxed), 0);
        });
    }
}
