//! Whom a local Hub knows: users, their tokens, their organisations.

mod billing;
mod config;
mod rates;
mod registry;
mod scope;

pub(crate) use billing::router;

pub use config::{AccountConfig, AccountInfo, OrgConfig, OrgRole, Plan, TokenRole};
pub use rates::{RateLimits, Rates};
pub(crate) use registry::{Account, Accounts, is_namespace};
pub(crate) use scope::Permission;
