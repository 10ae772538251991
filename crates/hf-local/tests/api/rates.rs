//! The client of this workspace under enforced limits: it waits on the clock, and is never refused.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hf_core::{Clock, HfClient, HfErrorKind, RetryPolicy, Token};
use hf_local::{AccountConfig, HubClock, LocalHub, LocalHubConfig, RateLimits};
use jiff::Timestamp;

/// The Hub's clock as the client's: waiting moves it.
#[derive(Debug)]
struct SharedClock(HubClock);

#[async_trait]
impl Clock for SharedClock {
    fn now(&self) -> Timestamp {
        self.0.now()
    }

    fn elapsed(&self) -> Duration {
        self.0.now().duration_since(Timestamp::UNIX_EPOCH).unsigned_abs()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.advance(duration);
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_client_keeps_under_the_limits_of_this_hub() {
    let dir = tempfile::tempdir().unwrap();
    let start: Timestamp = "2026-10-10T12:00:10Z".parse().unwrap();
    let config = LocalHubConfig::new(dir.path())
        .accounts(vec![AccountConfig::new("ada", "hf_ada")])
        .clock(HubClock::stepped(start));
    let hub = LocalHub::start(config).await.unwrap();
    hub.rates().set(RateLimits::enforced().api(5));
    let client = HfClient::builder()
        .endpoint(hub.endpoint().parse().unwrap())
        .token(Token::parse("hf_ada").unwrap())
        .clock(Arc::new(SharedClock(hub.clock().clone())))
        .retry(RetryPolicy {
            max_attempts: 1,
            ..RetryPolicy::default()
        })
        .build()
        .unwrap();
    for _ in 0..23 {
        client.get_text("/api/models", &[]).await.unwrap();
    }
    assert_eq!(hub.rates().refused(), 0);
    let waited = hub.clock().now().duration_since(start).as_secs();
    assert!(
        (1_190..1_300).contains(&waited),
        "four windows, not more: {waited} s"
    );

    // A limit that another program has used up is met with the Hub's own words.
    hub.rates().set(RateLimits::enforced().api(0));
    let fresh = HfClient::builder()
        .endpoint(hub.endpoint().parse().unwrap())
        .token(Token::parse("hf_ada").unwrap())
        .clock(Arc::new(SharedClock(hub.clock().clone())))
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let error = fresh.get_text("/api/models", &[]).await.unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::RateLimited);
    assert!(error.to_string().contains("quota of 0 api requests"), "{error}");
}
