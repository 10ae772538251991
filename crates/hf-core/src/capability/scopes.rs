//! What a token lacks, and the least to ask for.

use std::collections::BTreeSet;

use url::Url;

use super::facts::Facts;
use super::feature::Feature;
use crate::account::Access;

/// A feature the token can not use for want of a permission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingScope {
    /// The feature.
    pub feature: Feature,
    /// Where.
    pub namespace: String,
    /// The permission.
    pub permission: &'static str,
}

/// The features whose permission the token lacks in the namespace acted in.
///
/// Only what the token could be given counts: not what the account's role in an organisation forbids.
pub fn missing_scopes(facts: &Facts) -> Vec<MissingScope> {
    let Some(me) = facts.me() else {
        return Vec::new();
    };
    Feature::ALL
        .into_iter()
        .filter_map(|feature| {
            let permission = feature.permission()?;
            let namespace = match feature {
                Feature::BillingUsage => &me.name,
                // The organisation acted for is looked at by the other rows already.
                Feature::BillOrg => return None,
                _ => facts.acting()?,
            };
            matches!(
                me.access(namespace, permission),
                Access::MissingPermission | Access::ReadOnlyToken
            )
            .then(|| MissingScope {
                feature,
                namespace: namespace.to_owned(),
                permission,
            })
        })
        .collect()
}

/// The smallest list of permissions that covers these features, sorted.
pub fn smallest_scopes(features: impl IntoIterator<Item = Feature>) -> Vec<&'static str> {
    let mut scopes: BTreeSet<&'static str> = features.into_iter().filter_map(Feature::permission).collect();
    // Who writes repositories reads them.
    if scopes.contains("repo.write") {
        scopes.remove("repo.content.read");
    }
    scopes.into_iter().collect()
}

/// The page that makes a fine-grained token, filled in with these permissions.
///
/// # Source
/// Hub documentation of tokens: `ownUserPermissions`, repeated, and `tokenType`.
pub fn token_page<'a>(endpoint: &str, permissions: impl IntoIterator<Item = &'a str>) -> String {
    let page = format!("{}/settings/tokens/new", endpoint.trim_end_matches('/'));
    let Ok(mut url) = Url::parse(&page) else {
        return page;
    };
    {
        let mut query = url.query_pairs_mut();
        for permission in permissions {
            query.append_pair("ownUserPermissions", permission);
        }
        query.append_pair("tokenType", "fineGrained");
    }
    url.into()
}
