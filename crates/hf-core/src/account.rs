//! Who the token belongs to, and what that account may do.

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

impl WhoAmI {
    /// The account's own plan; organisations have theirs.
    pub fn plan(&self) -> Plan {
        if self.is_pro { Plan::Pro } else { Plan::Free }
    }

    /// The membership in an organisation.
    pub fn org(&self, name: &str) -> Option<&OrgMembership> {
        self.orgs.iter().find(|org| org.name == name)
    }

    /// What the token may do, when the answer says.
    pub fn token_role(&self) -> Option<&TokenRole> {
        Some(&self.auth.as_ref()?.access_token.as_ref()?.role)
    }

    /// Whether the token may start and manage jobs in `namespace`; nothing when the answer does not tell.
    ///
    /// The organisation's own rules and its credit may still forbid it.
    ///
    /// # Source
    /// Hub documentation of Jobs: role `write`, or the permission `job.write` on the namespace.
    pub fn may_start_jobs(&self, namespace: &str) -> Option<bool> {
        self.may(namespace, "job.write", false)
    }

    /// Whether the token may write repositories of `namespace`; nothing when the answer does not tell.
    pub fn may_write_repos(&self, namespace: &str) -> Option<bool> {
        self.may(namespace, "repo.write", false)
    }

    /// Whether the token may call Inference Providers for `namespace`; nothing when the answer does not tell.
    pub fn may_infer(&self, namespace: &str) -> Option<bool> {
        self.may(namespace, "inference.serverless.write", true)
    }

    fn may(&self, namespace: &str, permission: &str, readers_may: bool) -> Option<bool> {
        let token = self.auth.as_ref()?.access_token.as_ref()?;
        let known = self.name == namespace || self.org(namespace).is_some();
        match &token.role {
            TokenRole::Write | TokenRole::God => Some(known),
            TokenRole::Read => Some(readers_may && known),
            TokenRole::FineGrained => {
                let scopes = token.fine_grained.as_ref()?;
                let has = |list: &[String]| list.iter().any(|item| item == permission);
                let scoped = scopes.scoped.iter().any(|scope| {
                    matches!(scope.entity.kind.as_str(), "user" | "org")
                        && scope.entity.name.as_deref() == Some(namespace)
                        && has(&scope.permissions)
                });
                Some(scoped || has(&scopes.global))
            }
            TokenRole::Unknown(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FREE: &str = r#"{
      "type": "user", "id": "66aa00bb11cc22dd33ee4401", "name": "ada", "fullname": "Ada L",
      "email": "ada@example.org", "emailVerified": true, "canPay": false, "billingMode": "prepaid",
      "periodEnd": 1793491200, "isPro": false, "avatarUrl": "/avatars/0.svg",
      "orgs": [{"type": "org", "id": "66aa00bb11cc22dd33ee4402", "name": "lab", "fullname": "Lab", "avatarUrl": "/a.svg",
                "plan": "team", "roleInOrg": "write", "somethingNew": 1}],
      "auth": {"type": "access_token",
               "accessToken": {"displayName": "laptop", "role": "write", "createdAt": "2026-10-01T08:30:00.000Z"}}}"#;

    #[test]
    fn a_recorded_shape_is_read() {
        let me: WhoAmI = serde_json::from_str(FREE).unwrap();
        assert_eq!(me.plan(), Plan::Free);
        assert_eq!(me.org("lab").unwrap().plan(), Plan::Team);
        assert_eq!(me.token_role(), Some(&TokenRole::Write));
        assert_eq!(me.may_start_jobs("ada"), Some(true));
        assert_eq!(me.may_start_jobs("lab"), Some(true));
        assert_eq!(me.may_start_jobs("strangers"), Some(false));
    }

    #[test]
    fn the_least_answer_is_read() {
        let me: WhoAmI = serde_json::from_str(r#"{"name":"bot","auth":{"type":"oauth"}}"#).unwrap();
        assert_eq!((me.kind.as_str(), me.may_start_jobs("bot")), ("user", None));
    }

    #[test]
    fn fine_grained_permissions_count_where_they_were_given() {
        let json = r#"{"name":"ada","isPro":true,"auth":{"type":"access_token","accessToken":{"displayName":"ci",
          "role":"fineGrained","createdAt":"2026-07-01T10:00:00.000Z","fineGrained":{"canReadGatedRepos":true,
          "global":["discussion.write"],"scoped":[
            {"entity":{"_id":"1","type":"user","name":"ada"},"permissions":["repo.write","job.write"]},
            {"entity":{"_id":"2","type":"org","name":"lab"},"permissions":["repo.content.read"]}]}}}}"#;
        let me: WhoAmI = serde_json::from_str(json).unwrap();
        assert_eq!(me.plan(), Plan::Pro);
        assert_eq!(me.may_start_jobs("ada"), Some(true));
        assert_eq!(me.may_start_jobs("lab"), Some(false));
        assert_eq!(me.may_infer("ada"), Some(false));
    }

    #[test]
    fn unknown_words_are_kept() {
        let role: TokenRole = serde_json::from_str("\"janitor\"").unwrap();
        assert_eq!(role, TokenRole::Unknown("janitor".into()));
        assert_eq!(serde_json::to_string(&role).unwrap(), "\"janitor\"");
    }
}
