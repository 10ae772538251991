//! `GET /api/whoami-v2`.

use serde::Serialize;

use crate::accounts::{OrgRole, TokenRole};

/// The reply, keys in the recorded order.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Whoami {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) fullname: String,
    pub(crate) email: String,
    pub(crate) email_verified: bool,
    pub(crate) can_pay: bool,
    pub(crate) billing_mode: &'static str,
    pub(crate) period_end: i64,
    pub(crate) is_pro: bool,
    pub(crate) avatar_url: String,
    pub(crate) orgs: Vec<OrgEntry>,
    pub(crate) auth: Auth,
}

/// An organisation of the user.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OrgEntry {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) fullname: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) email: Option<String>,
    pub(crate) can_pay: bool,
    pub(crate) billing_mode: &'static str,
    pub(crate) period_end: i64,
    pub(crate) avatar_url: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) plan: Option<String>,
    pub(crate) role_in_org: OrgRole,
}

/// How the caller showed who it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Auth {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) access_token: AccessToken,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
}

/// The token.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccessToken {
    pub(crate) display_name: &'static str,
    pub(crate) role: TokenRole,
    pub(crate) created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fine_grained: Option<FineGrained>,
}

/// What a fine-grained token may do.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct FineGrained {
    pub(crate) can_read_gated_repos: bool,
    pub(crate) global: Vec<String>,
    pub(crate) scoped: Vec<Scoped>,
}

/// Permissions on one thing.
#[derive(Debug, Serialize)]
pub(crate) struct Scoped {
    pub(crate) entity: Entity,
    pub(crate) permissions: Vec<String>,
}

/// What permissions are about.
#[derive(Debug, Serialize)]
pub(crate) struct Entity {
    #[serde(rename = "_id")]
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) name: String,
}
