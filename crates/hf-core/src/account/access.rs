//! What the token may do, and why not.

use jiff::Timestamp;

use super::types::{OrgMembership, Plan, TokenRole, WhoAmI};

/// Whether the token may do something in a namespace, as far as `whoami` tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// The token allows it. The organisation's own rules and its credit may still forbid it.
    Allowed,
    /// The account is not a member of the namespace.
    NotMember,
    /// The token only reads.
    ReadOnlyToken,
    /// A fine-grained token lacks the permission there.
    MissingPermission,
    /// The account's role in the organisation does not allow it.
    OrgRole(String),
    /// The organisation shuts this token out until these are solved: `mfa`, `sso` and others.
    Restricted(Vec<String>),
    /// `whoami` does not tell what these credentials may do, as for OAuth.
    Unknown,
}

impl Access {
    /// Whether it is allowed; nothing when that is not known.
    pub fn allowed(&self) -> Option<bool> {
        match self {
            Self::Allowed => Some(true),
            Self::Unknown => None,
            _ => Some(false),
        }
    }
}

/// Whether a permission only looks; tokens with the role `read` have those, and may infer.
///
/// # Source
/// Documentation of Inference Providers: a token of any role may call them. That a `read` token may read billing is
/// our reading of its name.
fn readers_may(permission: &str) -> bool {
    only_looks(permission) || permission == "inference.serverless.write"
}

fn only_looks(permission: &str) -> bool {
    permission.rsplit('.').next() == Some("read")
}

impl WhoAmI {
    /// The account's own plan; organisations have theirs.
    pub fn plan(&self) -> Plan {
        if self.is_pro { Plan::Pro } else { Plan::Free }
    }

    /// The plan that counts in a namespace: the organisation's there, the account's own elsewhere.
    pub fn plan_in(&self, namespace: &str) -> Plan {
        self.org(namespace)
            .map_or_else(|| self.plan(), OrgMembership::plan)
    }

    /// The membership in an organisation.
    pub fn org(&self, name: &str) -> Option<&OrgMembership> {
        self.orgs.iter().find(|org| org.name == name)
    }

    /// What the token may do, when the answer says.
    pub fn token_role(&self) -> Option<&TokenRole> {
        Some(&self.auth.as_ref()?.access_token.as_ref()?.role)
    }

    /// When the credentials end; most tokens have no end.
    pub fn expires_at(&self) -> Option<Timestamp> {
        self.auth.as_ref()?.expires_at.as_deref()?.parse().ok()
    }

    /// The permissions a fine-grained token has in `namespace`, sorted; nothing for other tokens.
    pub fn permissions_in(&self, namespace: &str) -> Option<Vec<String>> {
        let scopes = self.auth.as_ref()?.access_token.as_ref()?.fine_grained.as_ref()?;
        let scoped = scopes
            .scoped
            .iter()
            .filter(|scope| {
                matches!(scope.entity.kind.as_str(), "user" | "org")
                    && scope.entity.name.as_deref() == Some(namespace)
            })
            .flat_map(|scope| &scope.permissions);
        let mut all: Vec<String> = scoped.chain(&scopes.global).cloned().collect();
        all.sort();
        all.dedup();
        Some(all)
    }

    /// What the token may do beyond reading and writing repositories, which is all that most jobs need: permissions, sorted, or
    /// `*` where it may do everything its account may. Nothing when the answer does not say.
    pub fn beyond_repositories(&self) -> Option<Vec<String>> {
        let token = self.auth.as_ref()?.access_token.as_ref()?;
        match &token.role {
            TokenRole::Read => Some(Vec::new()),
            TokenRole::Write | TokenRole::God => Some(vec!["*".to_owned()]),
            TokenRole::FineGrained => {
                let scopes = token.fine_grained.as_ref()?;
                let scoped = scopes.scoped.iter().flat_map(|scope| &scope.permissions);
                let mut more: Vec<String> = scoped
                    .chain(&scopes.global)
                    .filter(|permission| !permission.starts_with("repo."))
                    .cloned()
                    .collect();
                more.sort();
                more.dedup();
                Some(more)
            }
            TokenRole::Unknown(_) => None,
        }
    }

    /// Whether the token may do `permission` (such as `job.write`) in `namespace`, and if not, why.
    ///
    /// # Source
    /// Hub documentation of tokens; recorded answers of `whoami` for the permissions; `roleInOrg` and
    /// `securityRestrictions` of the Hub's `OpenAPI`.
    pub fn access(&self, namespace: &str, permission: &str) -> Access {
        if self.name != namespace {
            let Some(org) = self.org(namespace) else {
                return Access::NotMember;
            };
            if let Some(restrictions) = org.security_restrictions.as_ref().filter(|list| !list.is_empty()) {
                return Access::Restricted(restrictions.clone());
            }
            match org.role_in_org.as_deref() {
                Some(role @ "no_access") => return Access::OrgRole(role.to_owned()),
                Some(role @ "read") if !only_looks(permission) => {
                    return Access::OrgRole(role.to_owned());
                }
                _ => {}
            }
        }
        match self.token_role() {
            Some(TokenRole::Write | TokenRole::God) => Access::Allowed,
            Some(TokenRole::Read) if readers_may(permission) => Access::Allowed,
            Some(TokenRole::Read) => Access::ReadOnlyToken,
            Some(TokenRole::FineGrained) => match self.permissions_in(namespace) {
                Some(held) if held.iter().any(|one| covers(one, permission)) => Access::Allowed,
                Some(_) => Access::MissingPermission,
                None => Access::Unknown,
            },
            Some(TokenRole::Unknown(_)) | None => Access::Unknown,
        }
    }

    /// Whether the token may start and manage jobs in `namespace`; nothing when the answer does not tell.
    ///
    /// # Source
    /// Hub documentation of Jobs: role `write`, or the permission `job.write` on the namespace.
    pub fn may_start_jobs(&self, namespace: &str) -> Option<bool> {
        self.access(namespace, "job.write").allowed()
    }

    /// Whether the token may write repositories of `namespace`; nothing when the answer does not tell.
    pub fn may_write_repos(&self, namespace: &str) -> Option<bool> {
        self.access(namespace, "repo.write").allowed()
    }

    /// Whether the token may call Inference Providers for `namespace`; nothing when the answer does not tell.
    pub fn may_infer(&self, namespace: &str) -> Option<bool> {
        self.access(namespace, "inference.serverless.write").allowed()
    }
}

/// Whether one permission brings another: who writes repositories reads them.
fn covers(held: &str, wanted: &str) -> bool {
    held == wanted || (held == "repo.write" && wanted == "repo.content.read")
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

    /// Acceptance case 5.
    #[test]
    fn case_5_the_plan_comes_from_is_pro_and_the_orgs_never_from_can_pay() {
        let me = |text: &str| -> WhoAmI { serde_json::from_str(text).unwrap() };
        assert_eq!(me(r#"{"name":"a","isPro":true}"#).plan(), Plan::Pro);
        let payer = me(r#"{"name":"a","isPro":false,"canPay":true,"periodEnd":1793491200,
          "orgs":[{"name":"free","canPay":true},{"name":"lab","plan":"team"},{"name":"new","plan":"galaxy"}]}"#);
        assert_eq!(payer.plan(), Plan::Free);
        assert_eq!(payer.plan_in("free"), Plan::Free);
        assert_eq!(payer.plan_in("lab"), Plan::Team);
        assert_eq!(payer.plan_in("new"), Plan::Unknown("galaxy".into()));
    }

    #[test]
    fn each_reason_not_to_be_allowed_has_its_name() {
        let me: WhoAmI = serde_json::from_str(
            r#"{"name":"ada","orgs":[{"name":"locked","securityRestrictions":["sso"]},{"name":"guest","roleInOrg":"read"},
              {"name":"open","roleInOrg":"write"}],
              "auth":{"type":"access_token","expiresAt":"2026-11-01T00:00:00.000Z",
                      "accessToken":{"displayName":"r","role":"read"}}}"#,
        )
        .unwrap();
        for (namespace, permission, expected) in [
            ("ada", "job.write", Access::ReadOnlyToken),
            ("ada", "repo.content.read", Access::Allowed),
            ("ada", "inference.serverless.write", Access::Allowed),
            ("open", "job.write", Access::ReadOnlyToken),
            ("guest", "job.write", Access::OrgRole("read".into())),
            ("guest", "repo.content.read", Access::Allowed),
            (
                "locked",
                "repo.content.read",
                Access::Restricted(vec!["sso".into()]),
            ),
            ("strangers", "repo.content.read", Access::NotMember),
        ] {
            assert_eq!(
                me.access(namespace, permission),
                expected,
                "{namespace} {permission}"
            );
        }
        assert_eq!(me.expires_at(), Some("2026-11-01T00:00:00Z".parse().unwrap()));
    }
}
