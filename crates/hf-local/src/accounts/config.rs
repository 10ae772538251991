//! The accounts file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::LocalHubError;

/// What a user pays for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Plan {
    /// Nothing.
    #[default]
    Free,
    /// The PRO plan of a single user.
    Pro,
    /// A seat in an organisation on the Team plan.
    Team,
}

/// What a token may do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum TokenRole {
    /// Reads.
    Read,
    /// Reads and writes all the user may.
    #[default]
    Write,
    /// What its list of permissions says.
    FineGrained,
}

/// What a user is in an organisation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OrgRole {
    /// Manages the organisation.
    Admin,
    /// Writes all its repos.
    #[default]
    Write,
    /// Makes repos and writes those.
    Contributor,
    /// Reads its private repos.
    Read,
    /// Is listed and can't see anything.
    NoAccess,
}

/// An organisation of a user, as the accounts file writes it: a name, or an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "OrgInput")]
#[non_exhaustive]
pub struct OrgConfig {
    /// The namespace of the organisation.
    pub name: String,
    /// Its plan (`team`, `enterprise`, `plus`, `academia`); `None` is a free one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// What the user is there.
    #[serde(rename = "roleInOrg")]
    pub role: OrgRole,
}

impl OrgConfig {
    /// Makes a free organisation in which the user may write.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            plan: None,
            role: OrgRole::Write,
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OrgInput {
    Name(String),
    Full {
        name: String,
        #[serde(default)]
        plan: Option<String>,
        #[serde(default, rename = "roleInOrg")]
        role: OrgRole,
    },
}

impl From<OrgInput> for OrgConfig {
    fn from(input: OrgInput) -> Self {
        match input {
            OrgInput::Name(name) => Self::new(name),
            OrgInput::Full { name, plan, role } => Self {
                name,
                plan: plan.filter(|plan| plan != "free"),
                role,
            },
        }
    }
}

/// A token and the user it belongs to, as the accounts file writes them.
///
/// # Shape
/// `{"name", "token", "plan": "free|pro|team", "role": "read|write|fineGrained", "orgs": [..], "credit_usd": 2.0,
/// "permissions": ["repo.write", ..], "scoped": {"lab": ["job.write"]}, "global": [..], "expires_at": "2026-12-01T00:00:00Z",
/// "email_verified": true}`; only `name` and `token` are needed. `permissions`, `scoped` and `global` are read for
/// `fineGrained`.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct AccountConfig {
    /// The user's name, which is also the namespace of the user's repos.
    pub name: String,
    /// The token, starting with `hf_`.
    pub token: String,
    /// The user's plan.
    #[serde(default)]
    pub plan: Plan,
    /// What the token may do.
    #[serde(default)]
    pub role: TokenRole,
    /// The user's organisations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orgs: Vec<OrgConfig>,
    /// What the user can spend; `None` is the monthly credit of the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credit_usd: Option<f64>,
    /// What a `fineGrained` token may do in the user's namespace and organisations.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// What a `fineGrained` token may do besides, by namespace.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub scoped: BTreeMap<String, Vec<String>>,
    /// What a `fineGrained` token may do everywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub global: Vec<String>,
    /// When the token ends, by the Hub's clock; `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether the user's address is confirmed.
    #[serde(default = "yes")]
    pub email_verified: bool,
}

fn yes() -> bool {
    true
}

impl AccountConfig {
    /// Makes a free user with a write token.
    pub fn new(name: impl Into<String>, token: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            token: token.into(),
            plan: Plan::Free,
            role: TokenRole::Write,
            orgs: Vec::new(),
            credit_usd: None,
            permissions: Vec::new(),
            scoped: BTreeMap::new(),
            global: Vec::new(),
            expires_at: None,
            email_verified: true,
        }
    }

    /// Sets the plan.
    #[must_use]
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// Sets what the token may do.
    #[must_use]
    pub fn role(mut self, role: TokenRole) -> Self {
        self.role = role;
        self
    }

    /// Sets the organisations.
    #[must_use]
    pub fn orgs(mut self, orgs: Vec<OrgConfig>) -> Self {
        self.orgs = orgs;
        self
    }

    /// Sets the permissions of a `fineGrained` token.
    #[must_use]
    pub fn permissions<S: Into<String>>(mut self, permissions: impl IntoIterator<Item = S>) -> Self {
        self.permissions = permissions.into_iter().map(Into::into).collect();
        self
    }

    /// Sets what a `fineGrained` token may do in one namespace, besides what it may do in all.
    #[must_use]
    pub fn scoped<S: Into<String>>(
        mut self,
        namespace: impl Into<String>,
        permissions: impl IntoIterator<Item = S>,
    ) -> Self {
        let permissions = permissions.into_iter().map(Into::into).collect();
        self.scoped.insert(namespace.into(), permissions);
        self
    }

    /// Sets when the token ends.
    #[must_use]
    pub fn expires_at(mut self, end: Timestamp) -> Self {
        self.expires_at = Some(end);
        self
    }

    /// Sets what the user can spend.
    #[must_use]
    pub fn credit_usd(mut self, credit_usd: f64) -> Self {
        self.credit_usd = Some(credit_usd);
        self
    }

    /// Reads an accounts file.
    ///
    /// # Errors
    /// [`LocalHubError::AccountsFile`] if it can't be read, is not JSON of this shape, or is empty.
    pub fn read_file(path: &Path) -> Result<Vec<Self>, LocalHubError> {
        let bad = |reason: String| LocalHubError::AccountsFile {
            path: path.to_owned(),
            reason,
        };
        let text =
            std::fs::read_to_string(path).map_err(|error| bad(format!("could not be read: {error}")))?;
        let accounts: Vec<Self> = serde_json::from_str(&text)
            .map_err(|error| bad(format!("is not a list of accounts: {error}")))?;
        if accounts.is_empty() {
            return Err(bad(
                "has no account: write at least one, with name and token".to_owned()
            ));
        }
        Ok(accounts)
    }
}

impl fmt::Debug for AccountConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountConfig")
            .field("name", &self.name)
            .field("token", &"set")
            .field("plan", &self.plan)
            .field("role", &self.role)
            .field("orgs", &self.orgs)
            .finish_non_exhaustive()
    }
}

/// An account a client can use: whose it is and the token to send.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct AccountInfo {
    /// The user's name.
    pub name: String,
    /// The token.
    pub token: String,
}

impl fmt::Debug for AccountInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountInfo")
            .field("name", &self.name)
            .field("token", &"set")
            .finish()
    }
}
impl AccountInfo {
    pub(crate) fn new(name: &str, token: &str) -> Self {
        Self {
            name: name.to_owned(),
            token: token.to_owned(),
        }
    }
}
