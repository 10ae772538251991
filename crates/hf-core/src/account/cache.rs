//! How long an answer of `whoami` is believed, and what holds while the Hub can not be asked.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::types::WhoAmI;
use crate::client::{HfClient, RequestSpec, WHOAMI};
use crate::error::{HfError, HfErrorKind, scrub_secrets};

/// How long an answer counts as fresh, unless set otherwise.
const FRESH_FOR: Duration = Duration::from_mins(5);

/// What is known of the account.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Account {
    /// No token is set.
    NoToken,
    /// The Hub told.
    Known {
        /// What it told.
        me: Arc<WhoAmI>,
        /// When it told.
        checked_at: Timestamp,
        /// Why a newer answer could not be had; nothing while the answer is fresh.
        stale: Option<Doubt>,
    },
    /// The Hub does not know the token, or it expired.
    Refused(Doubt),
    /// The Hub could not be asked, and nothing is known from before.
    Unknown(Doubt),
}

impl Account {
    /// What the Hub told, stale or not.
    pub fn me(&self) -> Option<&Arc<WhoAmI>> {
        match self {
            Self::Known { me, .. } => Some(me),
            Self::NoToken | Self::Refused(_) | Self::Unknown(_) => None,
        }
    }

    /// Whether the answer is an old one, kept because no newer could be had.
    pub fn is_stale(&self) -> bool {
        matches!(self, Self::Known { stale: Some(_), .. })
    }
}

/// Why something is not known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The kind of failure.
    pub kind: HfErrorKind,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl From<&HfError> for Doubt {
    fn from(error: &HfError) -> Self {
        Self {
            kind: error.kind(),
            message: scrub_secrets(&error.to_string()),
            hint: error.hint(),
        }
    }
}

/// An answer of `whoami` to be kept over restarts. It holds no token, only a fingerprint to tell tokens apart.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredAccount {
    /// Which Hub and token the answer belongs to, see [`AccountCache::key`].
    pub key: String,
    /// When the Hub told.
    pub checked_at: Timestamp,
    /// What it told.
    pub me: WhoAmI,
}

#[derive(Debug, Clone)]
struct Remembered {
    me: Arc<WhoAmI>,
    checked_at: Timestamp,
}

/// The account behind a client's token: asked seldom, kept while the Hub is away, and then marked stale.
///
/// A failure is never kept: the next question asks the Hub again. A refused token forgets what was known. `whoami` has a
/// limit of its own, so several callers at once share one request.
#[derive(Debug)]
pub struct AccountCache {
    client: HfClient,
    fresh_for: Duration,
    known: Mutex<Option<Remembered>>,
}

impl AccountCache {
    /// Makes a cache that believes an answer for five minutes.
    pub fn new(client: HfClient) -> Self {
        Self {
            client,
            fresh_for: FRESH_FOR,
            known: Mutex::new(None),
        }
    }

    /// Sets how long an answer counts as fresh.
    #[must_use]
    pub fn fresh_for(mut self, fresh_for: Duration) -> Self {
        self.fresh_for = fresh_for;
        self
    }

    /// Takes over an answer kept from before, if it belongs to this Hub and token.
    #[must_use]
    pub fn remembering(self, stored: Option<StoredAccount>) -> Self {
        let mine = stored.filter(|stored| Some(&stored.key) == self.key().as_ref());
        let known = mine.map(|stored| Remembered {
            me: Arc::new(stored.me),
            checked_at: stored.checked_at,
        });
        Self {
            known: Mutex::new(known),
            ..self
        }
    }

    /// A short text that tells this Hub and token from others, fit to be kept; nothing without a token.
    ///
    /// It is a hash: the token can not be read from it. Another build may give another text, which costs one question.
    pub fn key(&self) -> Option<String> {
        let token = self.client.token()?;
        let mut hasher = DefaultHasher::new();
        (self.client.endpoint().as_str(), token.expose()).hash(&mut hasher);
        Some(format!("{:016x}", hasher.finish()))
    }

    /// The last answer, to be kept.
    pub async fn stored(&self) -> Option<StoredAccount> {
        let key = self.key()?;
        let known = self.known.lock().await.clone()?;
        Some(StoredAccount {
            key,
            checked_at: known.checked_at,
            // Nothing here needs the address, so it is not kept.
            me: WhoAmI {
                email: None,
                ..(*known.me).clone()
            },
        })
    }

    /// What is known of the account; the Hub is asked unless it told lately.
    pub async fn get(&self) -> Account {
        self.look(false).await
    }

    /// Asks the Hub now; falls back on what it told before.
    pub async fn refresh(&self) -> Account {
        self.look(true).await
    }

    async fn look(&self, anew: bool) -> Account {
        if self.client.token().is_none() {
            return Account::NoToken;
        }
        let mut known = self.known.lock().await;
        let now = self.client.clock().now();
        if let Some(last) = known.as_ref().filter(|last| !anew && self.is_fresh(last, now)) {
            return Account::Known {
                me: last.me.clone(),
                checked_at: last.checked_at,
                stale: None,
            };
        }
        // With an old answer at hand there is no need to insist.
        let spec = RequestSpec::get(WHOAMI);
        let spec = if known.is_some() { spec.no_retry() } else { spec };
        match self.client.ask_whoami(spec).await {
            Ok(me) => {
                let me = Arc::new(me);
                let checked_at = self.client.clock().now();
                *known = Some(Remembered {
                    me: me.clone(),
                    checked_at,
                });
                Account::Known {
                    me,
                    checked_at,
                    stale: None,
                }
            }
            Err(error) if error.kind() == HfErrorKind::Auth => {
                *known = None;
                Account::Refused(Doubt::from(&error))
            }
            Err(error) => match known.as_ref() {
                Some(last) => Account::Known {
                    me: last.me.clone(),
                    checked_at: last.checked_at,
                    stale: Some(Doubt::from(&error)),
                },
                None => Account::Unknown(Doubt::from(&error)),
            },
        }
    }

    /// An answer from the future, after the clock was set back, is not fresh.
    fn is_fresh(&self, last: &Remembered, now: Timestamp) -> bool {
        let age = now.duration_since(last.checked_at);
        age >= SignedDuration::ZERO && age.unsigned_abs() < self.fresh_for
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{ManualClock, Reply, ScriptedTransport};
    use crate::{RetryPolicy, Token, TransportKind};

    const TOKEN: &str = "hf_canarycanarycanarycanary0123456789";

    fn client(transport: &ScriptedTransport, clock: &ManualClock, token: &str) -> HfClient {
        HfClient::builder()
            .token(Token::parse(token).unwrap())
            .transport(Arc::new(transport.clone()))
            .clock(Arc::new(clock.clone()))
            .retry(RetryPolicy::never())
            .build()
            .unwrap()
    }

    fn pro() -> Reply {
        Reply::json(200, json!({"name": "ada", "isPro": true}))
    }

    fn clock() -> ManualClock {
        ManualClock::new("2026-10-10T12:00:00Z".parse().unwrap())
    }

    /// Acceptance case 4, first half.
    #[tokio::test]
    async fn case_4_a_failed_whoami_is_unknown_and_the_next_call_recovers() {
        for failure in [
            Reply::fail(TransportKind::Connect),
            Reply::fail(TransportKind::Timeout),
            Reply::status(503),
            Reply::status(429),
            Reply::status(200).body("<html>"),
        ] {
            let transport = ScriptedTransport::with_replies([failure, pro()]);
            let cache = AccountCache::new(client(&transport, &clock(), TOKEN));
            let Account::Unknown(doubt) = cache.get().await else {
                panic!("nothing can be known yet");
            };
            assert!(!doubt.message.is_empty());
            assert!(cache.stored().await.is_none());
            assert!(cache.get().await.me().unwrap().is_pro);
        }
    }

    /// Acceptance case 4, second half.
    #[tokio::test]
    async fn case_4_a_known_pro_account_survives_an_outage_marked_stale() {
        let transport = ScriptedTransport::with_replies([pro()]);
        let clock = clock();
        let cache = AccountCache::new(client(&transport, &clock, TOKEN));
        assert!(!cache.get().await.is_stale());
        clock.advance(Duration::from_secs(299));
        assert!(!cache.get().await.is_stale());
        assert_eq!(
            transport.requests().len(),
            1,
            "fresh answers are not asked for again"
        );

        clock.advance(Duration::from_secs(1));
        for failure in [TransportKind::Connect, TransportKind::Timeout] {
            transport.push(Reply::fail(failure));
            let account = cache.get().await;
            assert!(account.is_stale() && account.me().unwrap().is_pro);
            let Account::Known { checked_at, .. } = account else {
                unreachable!()
            };
            assert_eq!(checked_at.to_string(), "2026-10-10T12:00:00Z");
        }
        transport.push(Reply::json(200, json!({"name": "ada", "isPro": false})));
        let account = cache.get().await;
        assert!(!account.is_stale() && !account.me().unwrap().is_pro);
    }

    #[tokio::test]
    async fn a_refused_token_forgets_what_was_known() {
        let refusal = Reply::json(401, json!({"error": "Invalid username or password."}));
        let transport =
            ScriptedTransport::with_replies([pro(), refusal, Reply::fail(TransportKind::Connect)]);
        let cache = AccountCache::new(client(&transport, &clock(), TOKEN));
        cache.get().await;
        assert!(matches!(cache.refresh().await, Account::Refused(_)));
        assert!(
            matches!(cache.get().await, Account::Unknown(_)),
            "no PRO from before"
        );
    }

    #[tokio::test]
    async fn what_was_kept_counts_for_the_same_token_and_hub_only() {
        let transport = ScriptedTransport::with_replies([pro()]);
        let clock = clock();
        let cache = AccountCache::new(client(&transport, &clock, TOKEN));
        cache.get().await;
        let stored = cache.stored().await.unwrap();
        let text = serde_json::to_string(&stored).unwrap();
        assert!(!text.contains("canary"), "{text}");
        let stored: StoredAccount = serde_json::from_str(&text).unwrap();

        clock.advance(Duration::from_hours(1));
        let away = ScriptedTransport::answering(|_| Some(Reply::fail(TransportKind::Connect)));
        let again = AccountCache::new(client(&away, &clock, TOKEN)).remembering(Some(stored.clone()));
        assert!(again.get().await.is_stale());
        let other = AccountCache::new(client(&away, &clock, "hf_other")).remembering(Some(stored));
        assert!(matches!(other.get().await, Account::Unknown(_)));
    }

    #[tokio::test]
    async fn callers_at_once_share_one_request_and_no_token_asks_nothing() {
        let transport = ScriptedTransport::with_replies([pro()]);
        let cache = AccountCache::new(client(&transport, &clock(), TOKEN));
        let (a, b, c) = tokio::join!(cache.get(), cache.get(), cache.get());
        assert!([a, b, c].iter().all(|account| account.me().is_some()));
        assert_eq!(transport.requests().len(), 1);

        let nobody = HfClient::builder()
            .transport(Arc::new(transport.clone()))
            .build()
            .unwrap();
        assert!(matches!(AccountCache::new(nobody).get().await, Account::NoToken));
        assert_eq!(transport.requests().len(), 1);
    }
}
