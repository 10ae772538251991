//! How a client comes to be.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::sync::Mutex;

use super::{HfClient, Inner};
use crate::auth::Token;
use crate::capability::Refusals;
use crate::clock::{Clock, SystemClock};
use crate::endpoint::Endpoint;
use crate::error::HfError;
use crate::rate::RateLimiter;
use crate::retry::{Backoff, RetryPolicy};
use crate::transport::{HttpTransport, ReqwestTransport};

/// How long the Hub may be silent, unless a request says otherwise.
const IDLE_TIMEOUT: Duration = Duration::from_mins(1);

/// Builds an [`HfClient`]. Everything has a default; [`HfClientBuilder::build`] checks.
#[derive(Debug, Default)]
pub struct HfClientBuilder {
    endpoint: Endpoint,
    token: Option<Token>,
    user_agent: Option<String>,
    transport: Option<Arc<dyn HttpTransport>>,
    clock: Option<Arc<dyn Clock>>,
    retry: RetryPolicy,
    idle_timeout: Option<Duration>,
    offline: bool,
    rate_limiter: Option<Arc<RateLimiter>>,
    refusals: Option<Arc<Refusals>>,
}

impl HfClientBuilder {
    /// Sets the Hub; the default is [`DEFAULT_ENDPOINT`](crate::DEFAULT_ENDPOINT).
    #[must_use]
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoint = endpoint;
        self
    }

    /// Sets the token, or none.
    #[must_use]
    pub fn token(mut self, token: impl Into<Option<Token>>) -> Self {
        self.token = token.into();
        self
    }

    /// Sets the transport; the default is [`ReqwestTransport`].
    #[must_use]
    pub fn transport(mut self, transport: Arc<dyn HttpTransport>) -> Self {
        self.transport = Some(transport);
        self
    }

    /// Sets the clock; the default is [`SystemClock`].
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets how often to try.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the `User-Agent`; the default names this workspace and its version.
    #[must_use]
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Sets how long the server may be silent; the default is 60 s.
    #[must_use]
    pub fn idle_timeout(mut self, idle_timeout: Duration) -> Self {
        self.idle_timeout = Some(idle_timeout);
        self
    }

    /// Shares a rate limiter with other clients of the same account; the default is one of this client's own.
    #[must_use]
    pub fn rate_limiter(mut self, limiter: Arc<RateLimiter>) -> Self {
        self.rate_limiter = Some(limiter);
        self
    }

    /// Sets where refusals of the Hub are remembered; the default is a memory of this client's own.
    #[must_use]
    pub fn refusals(mut self, refusals: Arc<Refusals>) -> Self {
        self.refusals = Some(refusals);
        self
    }

    /// Forbids the network, except toward loopback.
    #[must_use]
    pub fn offline(mut self, offline: bool) -> Self {
        self.offline = offline;
        self
    }

    /// Checks everything and makes the client.
    ///
    /// # Errors
    /// [`HfError::InvalidArgument`] when the user agent can not stand in a header or the retry policy has no tries.
    pub fn build(self) -> Result<HfClient, HfError> {
        if self.retry.max_attempts == 0 {
            return Err(HfError::invalid(
                "the retry policy allows no try at all; 1 is the least",
            ));
        }
        let user_agent = self
            .user_agent
            .unwrap_or_else(|| concat!("bashgym/", env!("CARGO_PKG_VERSION")).to_owned());
        let user_agent = HeaderValue::try_from(&user_agent).map_err(|_| {
            HfError::invalid(format!("the user agent {user_agent:?} can not stand in a header"))
        })?;
        let auth_header = self.token.as_ref().map(Token::header).transpose()?;
        let clock = self.clock.unwrap_or_else(|| Arc::new(SystemClock::new()));
        let inner = Inner {
            rates: self
                .rate_limiter
                .unwrap_or_else(|| Arc::new(RateLimiter::new(Arc::clone(&clock), self.retry.deadline))),
            refusals: self.refusals.unwrap_or_default(),
            endpoint: self.endpoint,
            token: self.token,
            auth_header,
            user_agent,
            transport: self
                .transport
                .unwrap_or_else(|| Arc::new(ReqwestTransport::new())),
            clock,
            backoff: Backoff::new(&self.retry),
            retry: self.retry,
            idle_timeout: self.idle_timeout.unwrap_or(IDLE_TIMEOUT),
            offline: self.offline,
            whoami: Mutex::new(None),
        };
        Ok(HfClient {
            inner: Arc::new(inner),
        })
    }
}
