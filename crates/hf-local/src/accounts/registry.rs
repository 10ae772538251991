//! The accounts as the running Hub holds them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use rand::Rng;
use rand::distr::Alphanumeric;

use super::config::{AccountConfig, AccountInfo, OrgRole, Plan, TokenRole};
use super::scope::Permission;
use crate::error::LocalHubError;
use crate::state::{files, ids};

const DEFAULT_NAME: &str = "local";

/// A token together with the user it belongs to.
#[derive(Debug)]
pub(crate) struct Account {
    /// 24 hex digits that stay the same for one name.
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) plan: Plan,
    pub(crate) role: TokenRole,
    pub(crate) orgs: Vec<Org>,
    pub(crate) permissions: Vec<String>,
    pub(crate) scoped: BTreeMap<String, Vec<String>>,
    pub(crate) global: Vec<String>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) email_verified: bool,
    /// What the user can spend in USD.
    pub(crate) credit_usd: f64,
    token_hash: blake3::Hash,
}

/// An organisation of a user.
#[derive(Clone, Debug)]
pub(crate) struct Org {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) plan: Option<String>,
    pub(crate) role: OrgRole,
}

impl Account {
    /// Returns whether the token has ended.
    pub(crate) fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// What a fine-grained token may do in `namespace`.
    pub(crate) fn permissions_in(&self, namespace: &str) -> Vec<String> {
        let more = self
            .scoped
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(namespace))
            .flat_map(|(_, permissions)| permissions);
        self.permissions.iter().chain(more).cloned().collect()
    }

    /// Returns whether this token grants `permission` in `namespace` by itself.
    fn grants(&self, permission: Permission, namespace: &str) -> bool {
        match self.role {
            TokenRole::Write => true,
            TokenRole::Read => permission.only_reads(),
            TokenRole::FineGrained => {
                let held = self.permissions_in(namespace);
                let has = |name: &str| held.iter().chain(&self.global).any(|one| one == name);
                has(permission.name()) || (permission == Permission::RepoContentRead && has("repo.write"))
            }
        }
    }

    /// Returns what the user is in `namespace`; the user's own namespace counts as admin.
    pub(crate) fn role_in(&self, namespace: &str) -> Option<OrgRole> {
        if self.name.eq_ignore_ascii_case(namespace) {
            return Some(OrgRole::Admin);
        }
        self.orgs
            .iter()
            .find(|org| org.name.eq_ignore_ascii_case(namespace))
            .map(|org| org.role)
    }

    /// Returns whether the token may do `permission` in `namespace`.
    pub(crate) fn may(&self, permission: Permission, namespace: &str) -> bool {
        let in_namespace = match self.role_in(namespace) {
            None | Some(OrgRole::NoAccess) => false,
            Some(OrgRole::Read) => permission.only_reads(),
            Some(OrgRole::Admin | OrgRole::Write | OrgRole::Contributor) => true,
        };
        in_namespace && self.grants(permission, namespace)
    }
}

/// All accounts of a Hub.
#[derive(Debug)]
pub(crate) struct Accounts {
    accounts: Vec<Arc<Account>>,
    infos: Vec<AccountInfo>,
}

impl Accounts {
    /// Takes the given accounts, or those of the data folder, or makes one.
    pub(crate) fn open(given: Option<Vec<AccountConfig>>, data_dir: &Path) -> Result<Self, LocalHubError> {
        let configs = match given {
            Some(configs) if configs.is_empty() => {
                return Err(LocalHubError::Account {
                    account: String::new(),
                    reason: "no account was given; give at least one, or none at all to have one made"
                        .to_owned(),
                });
            }
            Some(configs) => configs,
            None => stored_or_new(data_dir)?,
        };
        Self::from_configs(configs)
    }

    fn from_configs(configs: Vec<AccountConfig>) -> Result<Self, LocalHubError> {
        let mut accounts: Vec<Arc<Account>> = Vec::with_capacity(configs.len());
        let mut infos = Vec::with_capacity(configs.len());
        for config in configs {
            let bad = |reason: &str| LocalHubError::Account {
                account: config.name.clone(),
                reason: reason.to_owned(),
            };
            if !is_namespace(&config.name) {
                return Err(bad(
                    "the name has to be letters, digits, '-', '_' or '.', at most 96 of them",
                ));
            }
            if config.token.is_empty() || !config.token.bytes().all(|b| b.is_ascii_graphic()) {
                return Err(bad(
                    "the token has to be one word of ASCII characters, such as hf_ and 34 letters",
                ));
            }
            if let Some(org) = config.orgs.iter().find(|org| !is_namespace(&org.name)) {
                return Err(bad(&format!(
                    "the organisation {:?} has a name the Hub would not take",
                    org.name
                )));
            }
            let credit_usd = config.credit_usd.unwrap_or(match config.plan {
                Plan::Free => 0.0,
                Plan::Pro | Plan::Team => 2.0,
            });
            if !credit_usd.is_finite() {
                return Err(bad("credit_usd has to be a number"));
            }
            let token_hash = blake3::hash(config.token.as_bytes());
            if accounts.iter().any(|other| other.token_hash == token_hash) {
                return Err(bad(
                    "the token is already another entry's; every entry needs its own",
                ));
            }
            if accounts
                .iter()
                .any(|other| other.name == config.name && other.plan != config.plan)
            {
                return Err(bad("two entries of one user name different plans"));
            }
            accounts.push(Arc::new(Account {
                id: ids::derived("user", &config.name),
                orgs: orgs_of(&config),
                plan: config.plan,
                role: config.role,
                permissions: config.permissions,
                scoped: config.scoped,
                global: config.global,
                expires_at: config.expires_at,
                email_verified: config.email_verified,
                credit_usd,
                token_hash,
                name: config.name.clone(),
            }));
            infos.push(AccountInfo::new(&config.name, &config.token));
        }
        Ok(Self { accounts, infos })
    }

    /// Finds the account of a token that has not ended. Every entry is compared, by hash, so the time tells nothing about
    /// tokens.
    pub(crate) fn by_live_token(&self, token: &str, now: Timestamp) -> Option<&Arc<Account>> {
        self.by_token(token).filter(|account| !account.has_expired(now))
    }

    fn by_token(&self, token: &str) -> Option<&Arc<Account>> {
        let hash = blake3::hash(token.as_bytes());
        let mut found = None;
        for account in &self.accounts {
            // `blake3::Hash` compares in constant time.
            if account.token_hash == hash {
                found = Some(account);
            }
        }
        found
    }

    /// Finds the first account of a user.
    pub(crate) fn by_name(&self, name: &str) -> Option<&Arc<Account>> {
        self.accounts
            .iter()
            .find(|account| account.name.eq_ignore_ascii_case(name))
    }

    /// Finds an organisation that some user is in.
    pub(crate) fn org(&self, name: &str) -> Option<&Org> {
        self.accounts
            .iter()
            .flat_map(|account| &account.orgs)
            .find(|org| org.name.eq_ignore_ascii_case(name))
    }

    /// Names and tokens, in the order given.
    pub(crate) fn infos(&self) -> &[AccountInfo] {
        &self.infos
    }
}

fn orgs_of(config: &AccountConfig) -> Vec<Org> {
    let team = config.plan == Plan::Team;
    let mut orgs: Vec<Org> = config
        .orgs
        .iter()
        .map(|org| Org {
            id: ids::derived("org", &org.name),
            name: org.name.clone(),
            plan: org.plan.clone().or_else(|| team.then(|| "team".to_owned())),
            role: org.role,
        })
        .collect();
    // Team is a plan of organisations: a user on it is in at least one.
    if team && orgs.is_empty() {
        let name = format!("{}-team", config.name);
        orgs.push(Org {
            id: ids::derived("org", &name),
            name,
            plan: Some("team".to_owned()),
            role: OrgRole::Admin,
        });
    }
    orgs
}

/// Returns whether `name` can be a namespace or the name of a repo.
///
/// # Source
/// `huggingface_hub` 2.4.0 `utils/_validators.py`, `REPO_ID_REGEX` and `validate_repo_id`.
pub(crate) fn is_namespace(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    (1..=96).contains(&name.len())
        && name.bytes().all(allowed)
        && !name.starts_with(['-', '.'])
        && !name.ends_with(['-', '.'])
        && !name.contains("--")
        && !name.contains("..")
        && !ends_with_ignoring_case(name, ".git")
}

fn ends_with_ignoring_case(name: &str, end: &str) -> bool {
    name.len()
        .checked_sub(end.len())
        .and_then(|at| name.get(at..))
        .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
}

fn stored_or_new(data_dir: &Path) -> Result<Vec<AccountConfig>, LocalHubError> {
    let path = data_dir.join("accounts.json");
    if path.exists() {
        return AccountConfig::read_file(&path);
    }
    let random: String = rand::rng()
        .sample_iter(Alphanumeric)
        .take(34)
        .map(char::from)
        .collect();
    let accounts = vec![AccountConfig::new(DEFAULT_NAME, format!("hf_{random}")).plan(Plan::Pro)];
    let text = serde_json::to_string_pretty(&accounts).map_err(|error| LocalHubError::AccountsFile {
        path: path.clone(),
        reason: error.to_string(),
    })?;
    files::write_private(&path, text.as_bytes()).map_err(LocalHubError::io("write", &path))?;
    Ok(accounts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_hub_would_refuse_are_refused() {
        for good in ["ada", "Ada-L", "a.b_c", "0x"] {
            assert!(is_namespace(good), "{good}");
        }
        for bad in [
            "", ".", "..", "a..b", "a--b", "-a", "a-", ".git", "a/b", "a b", "é", "a\0",
        ] {
            assert!(!is_namespace(bad), "{bad}");
        }
    }

    #[test]
    fn a_read_token_reads_and_a_fine_grained_one_does_what_it_lists() {
        let accounts = Accounts::from_configs(vec![
            AccountConfig::new("ada", "hf_r").role(TokenRole::Read),
            AccountConfig::new("ada", "hf_f")
                .role(TokenRole::FineGrained)
                .permissions(["repo.write"]),
        ])
        .unwrap();
        let read = accounts.by_token("hf_r").unwrap();
        assert!(read.may(Permission::RepoContentRead, "ada"));
        assert!(!read.may(Permission::RepoWrite, "ada"));
        assert!(!read.may(Permission::RepoContentRead, "bob"));
        let fine = accounts.by_token("hf_f").unwrap();
        assert!(fine.may(Permission::RepoWrite, "ada") && fine.may(Permission::RepoContentRead, "ada"));
        assert!(!fine.may(Permission::JobWrite, "ada"));
        assert!(accounts.by_token("hf_x").is_none());
    }

    #[test]
    fn one_token_for_two_entries_is_refused() {
        let error = Accounts::from_configs(vec![
            AccountConfig::new("a", "hf_1"),
            AccountConfig::new("b", "hf_1"),
        ]);
        assert!(matches!(error, Err(LocalHubError::Account { account, .. }) if account == "b"));
    }
}
