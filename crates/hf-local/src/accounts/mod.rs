//! Whom a local Hub knows: users, their tokens, their organisations.

mod config;
mod registry;
mod scope;

pub use config::{AccountConfig, AccountInfo, OrgConfig, OrgRole, Plan, TokenRole};
pub(crate) use registry::{Account, Accounts, is_namespace};
pub(crate) use scope::Permission;
