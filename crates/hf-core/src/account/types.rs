//! Who the token belongs to: the shapes of `whoami`.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The answer of `GET /api/whoami-v2`.
///
/// Fields the Hub leaves out for some credentials are optional; fields it adds later are ignored.
///
/// # Source
/// Hub `OpenAPI`; a recorded answer of October 2026; `huggingface_hub` 2.4.0 `hf_api.py` `whoami`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhoAmI {
    /// `user`; organisation and app credentials answer `org` and `app`.
    #[serde(rename = "type", default = "user")]
    pub kind: String,
    /// The account's id, 24 hexadecimal digits.
    #[serde(default)]
    pub id: String,
    /// The namespace.
    pub name: String,
    /// The name people read.
    #[serde(default, alias = "fullName")]
    pub fullname: Option<String>,
    /// The address, where the credentials may see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether that address was confirmed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email_verified: Option<bool>,
    /// Whether the account can be billed (our reading of the name; the Hub does not document it).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can_pay: Option<bool>,
    /// `prepaid` or `postpaid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_mode: Option<String>,
    /// End of the monthly usage period in seconds since 1970. Free accounts have one too, so it says nothing about a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<i64>,
    /// Whether the account is PRO: the only sign of it.
    #[serde(default)]
    pub is_pro: bool,
    /// The picture, perhaps relative to the endpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// The organisations the account belongs to.
    #[serde(default)]
    pub orgs: Vec<OrgMembership>,
    /// What the credentials are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<AccountAuth>,
}

fn user() -> String {
    "user".to_owned()
}

/// An organisation in [`WhoAmI::orgs`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrgMembership {
    /// The organisation's id.
    #[serde(default)]
    pub id: String,
    /// The namespace.
    pub name: String,
    /// The name people read.
    #[serde(default)]
    pub fullname: Option<String>,
    /// The address of the organisation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Whether the organisation can be billed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can_pay: Option<bool>,
    /// `prepaid` or `postpaid`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub billing_mode: Option<String>,
    /// The picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar_url: Option<String>,
    /// End of the usage period in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<i64>,
    /// `team`, `enterprise`, `plus` or `academia`; a free organisation has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// `admin`, `write`, `contributor`, `read` or `no_access`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role_in_org: Option<String>,
    /// Why the token can not act there until it is solved: `mfa`, `token-policy`, `token-revoked`, `sso`, `ip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub security_restrictions: Option<Vec<String>>,
    /// The resource groups the account is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_groups: Option<Vec<ResourceGroup>>,
}

impl OrgMembership {
    /// The organisation's plan.
    pub fn plan(&self) -> Plan {
        match self.plan.as_deref() {
            None => Plan::Free,
            Some("team") => Plan::Team,
            Some("enterprise") => Plan::Enterprise,
            Some("plus") => Plan::EnterprisePlus,
            Some("academia") => Plan::Academia,
            Some(other) => Plan::Unknown(other.to_owned()),
        }
    }
}

/// A resource group of an organisation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResourceGroup {
    /// Its id, which also works as a namespace for jobs.
    pub id: String,
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// The account's role in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What the credentials are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccountAuth {
    /// `access_token` for tokens; OAuth answers carry another word.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The token's facts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_token: Option<AccessToken>,
    /// When short-lived credentials end, in ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// The facts of an access token; never its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AccessToken {
    /// The name its owner gave it.
    #[serde(default)]
    pub display_name: String,
    /// What it may do.
    pub role: TokenRole,
    /// When it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<Timestamp>,
    /// Its permissions, for [`TokenRole::FineGrained`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fine_grained: Option<FineGrained>,
}

/// What a token may do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum TokenRole {
    /// Reads.
    Read,
    /// Reads and writes everything its owner may.
    Write,
    /// As the Hub's staff.
    God,
    /// What [`FineGrained`] lists.
    FineGrained,
    /// A word this version does not know.
    Unknown(String),
}

impl From<String> for TokenRole {
    fn from(text: String) -> Self {
        match text.as_str() {
            "read" => Self::Read,
            "write" => Self::Write,
            "god" => Self::God,
            "fineGrained" => Self::FineGrained,
            _ => Self::Unknown(text),
        }
    }
}

impl From<TokenRole> for String {
    fn from(role: TokenRole) -> Self {
        role.to_string()
    }
}

impl fmt::Display for TokenRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::God => "god",
            Self::FineGrained => "fineGrained",
            Self::Unknown(text) => text,
        })
    }
}

/// The permissions of a fine-grained token.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FineGrained {
    /// Whether it may read gated public repositories its owner was let into.
    #[serde(default)]
    pub can_read_gated_repos: bool,
    /// Permissions that hold everywhere.
    #[serde(default)]
    pub global: Vec<String>,
    /// Permissions on one thing each.
    #[serde(default)]
    pub scoped: Vec<Permission>,
}

/// Permissions on one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Permission {
    /// The thing.
    pub entity: ScopeEntity,
    /// The permissions, like `repo.write` or `job.write`.
    #[serde(default)]
    pub permissions: Vec<String>,
}

/// What a permission is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScopeEntity {
    /// Its id.
    #[serde(rename = "_id", default)]
    pub id: String,
    /// `user`, `org`, `model`, `dataset`, `space` and others.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Its name.
    #[serde(default)]
    pub name: Option<String>,
}

/// What an account or organisation pays for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Plan {
    /// Nothing.
    Free,
    /// A PRO user.
    Pro,
    /// A Team organisation.
    Team,
    /// An Enterprise organisation.
    Enterprise,
    /// An Enterprise Plus organisation.
    EnterprisePlus,
    /// An Academia organisation.
    Academia,
    /// A plan this version does not know.
    Unknown(String),
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Team => "team",
            Self::Enterprise => "enterprise",
            Self::EnterprisePlus => "plus",
            Self::Academia => "academia",
            Self::Unknown(text) => text,
        })
    }
}
