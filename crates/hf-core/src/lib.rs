//! The ground the Hugging Face crates of this workspace stand on: settings, token, transport, retry, errors and account.
//!
//! Nothing here knows a single Hub product. `hf-jobs`, `hf-datasets` and their siblings each add one, on the
//! [`HfClient`] of this crate; whoever points the client at another [`Endpoint`] talks to another Hub.
//!
//! ```
//! # async fn example() -> Result<(), hf_core::HfError> {
//! use hf_core::{HfClient, HuggingFaceSettings, SettingsInput};
//!
//! // Flag, environment, `.env`, token file, default: resolved once.
//! let settings = HuggingFaceSettings::resolve(SettingsInput::from_process())?;
//! for (name, source) in settings.sources().iter() {
//!     println!("{name}: {source}");
//! }
//! let client = HfClient::from_settings(&settings)?;
//! let me = client.whoami().await?;
//! println!("{} on the {} plan", me.name, me.plan());
//! # Ok(()) }
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;

// The examples name this crate as its users do, and are run by the unit tests too.
#[cfg(test)]
extern crate self as hf_core;
#[cfg(test)]
mod example_tests;

mod account;
mod auth;
mod capability;
mod client;
mod clock;
mod encode;
mod endpoint;
mod error;
mod gate;
mod ids;
mod money;
mod page;
mod rate;
mod retry;
mod settings;
mod sse;
mod telemetry;
mod transport;
mod wallet;
#[cfg(feature = "xet")]
mod xet;

#[cfg(any(test, feature = "testing"))]
pub mod testing;

pub use account::{
    Access, AccessToken, Account, AccountAuth, AccountCache, Doubt, FineGrained, OrgMembership, Permission,
    Plan, ResourceGroup, ScopeEntity, StoredAccount, TokenRole, TokenStore, WhoAmI,
};
pub use auth::{SecretValue, Token};
pub use capability::{
    Availability, Capability, Facts, Feature, MissingScope, Refusal, RefusalKind, Refusals, SignIn, Standing,
    capabilities, missing_scopes, smallest_scopes, token_page,
};
pub use client::{
    HfClient, HfClientBuilder, HfResponse, MAX_BODY_BYTES, Redirects, RequestBody, RequestSpec,
};
pub use clock::{Clock, SystemClock};
pub use encode::{encode_path, encode_query, encode_segment};
pub use endpoint::{DEFAULT_ENDPOINT, Endpoint};
pub use error::{HfError, HfErrorKind, HttpContext, Quota, Resource, redact_url, scrub_secrets};
pub use gate::{FileScan, UploadGate, UploadScanner};
pub use ids::{JobId, Namespace, RepoId, RepoType, Revision};
pub use money::{AmountError, MicroUsd, decimal_usd};
pub use page::{Link, next_link, parse_links};
pub use rate::{RateClass, RateLimiter, RatePermit, RateState, WHOAMI_QUOTA, WHOAMI_WINDOW};
pub use retry::{
    Backoff, RateLimit, RatePolicy, RetryPolicy, parse_rate_limit, parse_rate_policy, server_wait,
};
pub use settings::{HuggingFaceSettings, SettingsInput, SettingsOverrides, SettingsSources, Source};
pub use sse::{SseError, SseEvent, SseItem, SseLimits, SseParser};
pub use telemetry::SPANS;
pub use transport::{
    ByteStream, HttpBody, HttpRequest, HttpResponse, HttpTransport, ReqwestTransport, TransportError,
    TransportKind,
};
pub use wallet::{
    BILLING_PAGE, Balance, InferenceCredit, JobsUse, Part, PlanCredit, ServiceSpend, Spend, StorageUse,
    Wallet, WalletOwner, ZeroGpuQuota,
};
#[cfg(feature = "xet")]
pub use xet::{XetBytes, XetLeave, XetSent, XetTransfer};

/// A result whose error is [`HfError`].
pub type Result<T> = std::result::Result<T, HfError>;
