//! Who the token belongs to, what it may do, and how long that is believed.

mod access;
mod cache;
mod token_store;
mod types;

pub use access::Access;
pub use cache::{Account, AccountCache, Doubt, StoredAccount};
pub use token_store::TokenStore;
pub use types::{
    AccessToken, AccountAuth, FineGrained, OrgMembership, Permission, Plan, ResourceGroup, ScopeEntity,
    TokenRole, WhoAmI,
};
