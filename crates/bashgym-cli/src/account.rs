//! The account as commands show it: who is signed in, what that gives, and what it cost.

use std::time::Duration;

use hf_core::{
    Account, AccountCache, Capability, Doubt, Facts, HfClient, HuggingFaceSettings, Refusals, RetryPolicy,
    Wallet, WalletOwner, WhoAmI, capabilities,
};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::embedded_hub::Running;
use crate::error::CliError;

/// How long the Hub may be silent while somebody waits for a glance.
const PATIENCE: Duration = Duration::from_secs(15);
const INSTEAD: &str = "on this machine the embedded Hub serves without one";

/// A look at the account behind the settings.
pub(crate) struct Look {
    pub(crate) settings: HuggingFaceSettings,
    pub(crate) embedded: bool,
    pub(crate) hub: Option<Running>,
    pub(crate) endpoint: Option<String>,
    /// Nothing while the embedded Hub is meant and does not run.
    pub(crate) account: Option<Account>,
    pub(crate) facts: Facts,
    client: Option<HfClient>,
}

impl Look {
    /// Asks the Hub who is signed in; whatever goes wrong there is part of what is seen.
    pub(crate) async fn take(context: &Context) -> Result<Self, CliError> {
        let settings = context.settings()?;
        let embedded = context.is_embedded(&settings);
        let hub = context.embedded_hub().find().await?;
        let namespace = settings.namespace().map(ToString::to_string);
        let now = context.clock.now();
        if embedded {
            let account = match &hub {
                Some(running) => Some(AccountCache::new(running.client()?).get().await),
                None => None,
            };
            return Ok(Self {
                endpoint: hub.as_ref().map(|running| running.ready.endpoint.clone()),
                facts: Facts::new(&Account::NoToken, None, now).instead(INSTEAD),
                client: None,
                settings,
                embedded,
                hub,
                account,
            });
        }
        let client = HfClient::builder_from(&settings)
            .retry(RetryPolicy {
                max_attempts: 2,
                deadline: PATIENCE,
                ..RetryPolicy::default()
            })
            .idle_timeout(PATIENCE)
            .build()?;
        context.account_memory.attach(&client);
        let cache = context.account_memory.cache(&client);
        let account = cache.refresh().await;
        context.account_memory.note(&cache, &account).await;
        let mut facts = Facts::new(&account, namespace, now);
        if matches!(account, Account::NoToken) {
            facts = facts.instead("`--local` uses the embedded Hub of this machine, which needs none");
        }
        Ok(Self {
            endpoint: Some(settings.endpoint.to_string()),
            facts,
            client: Some(client),
            settings,
            embedded,
            hub,
            account: Some(account),
        })
    }

    pub(crate) fn capabilities(&self) -> Vec<Capability> {
        match &self.client {
            Some(client) => capabilities(&self.facts, client.refusals()),
            None => capabilities(&self.facts, &Refusals::default()),
        }
    }

    /// The wallet: of the organisation acted for, else of the account.
    pub(crate) async fn wallet(&self) -> Wallet {
        if self.embedded {
            return Wallet::closed(
                None,
                "commands go to the embedded Hub of this machine, which costs nothing",
                "set HF_TOKEN to see the wallet of a Hugging Face account",
            );
        }
        match (&self.client, &self.account) {
            (Some(client), Some(Account::Known { me, stale: None, .. })) => {
                let org = self.settings.default_org.as_ref().map(ToString::to_string);
                let owner = match org.filter(|org| *org != me.name) {
                    Some(org) => WalletOwner::Org(org),
                    None => WalletOwner::Account,
                };
                Wallet::read(client, me, &owner).await
            }
            (
                _,
                Some(Account::Known {
                    me,
                    stale: Some(doubt),
                    ..
                }),
            ) => Wallet::closed(
                Some(me),
                &format!("the Hub can not be reached now: {}", doubt.message),
                doubt.hint.as_deref().unwrap_or("try again later"),
            ),
            (_, Some(Account::Refused(doubt) | Account::Unknown(doubt))) => Wallet::closed(
                None,
                &doubt.message,
                doubt.hint.as_deref().unwrap_or("try again later"),
            ),
            _ => Wallet::closed(
                None,
                "no token is set",
                "set HF_TOKEN, or store a token with `bashgym token set`",
            ),
        }
    }

    /// The account in JSON: `state` is `signed_in`, `refused`, `unreachable`, `no_token` or `not_running`.
    pub(crate) fn account_json(&self) -> Value {
        let source = self.settings.sources().get("token").map(ToString::to_string);
        let doubt = |state: &str, doubt: &Doubt| json!({ "state": state, "why": doubt.message, "next": doubt.hint, "plan": "unknown", "token": { "source": source } });
        match &self.account {
            None => json!({
                "state": "not_running", "why": "the embedded Hub starts with the first command that needs it",
            }),
            Some(Account::NoToken) => json!({
                "state": "no_token", "why": "public repositories can be read; to do more, set HF_TOKEN",
            }),
            Some(Account::Refused(why)) => doubt("refused", why),
            Some(Account::Known {
                me,
                checked_at,
                stale,
            }) => {
                let mut value = signed_in(me, self.facts.acting().unwrap_or(&me.name), source.as_ref());
                value.insert("checked_at".to_owned(), json!(checked_at));
                value.insert("stale".to_owned(), json!(stale.is_some()));
                if let Some(why) = stale {
                    value.insert("why".to_owned(), json!(why.message));
                }
                value.into()
            }
            Some(Account::Unknown(why)) => doubt("unreachable", why),
            Some(_) => json!({ "state": "unknown" }),
        }
    }
}

fn signed_in(me: &WhoAmI, namespace: &str, source: Option<&String>) -> Map<String, Value> {
    let token = me.auth.as_ref().and_then(|auth| auth.access_token.as_ref());
    let org_plans: Map<String, Value> = me
        .orgs
        .iter()
        .map(|org| (org.name.clone(), json!(org.plan().to_string())))
        .collect();
    let value = json!({
        "state": "signed_in",
        "name": me.name,
        "plan": me.plan().to_string(),
        "is_pro": me.is_pro,
        "orgs": me.orgs.iter().map(|org| &org.name).collect::<Vec<_>>(),
        "org_plans": org_plans,
        "namespace": namespace,
        "billing_mode": me.billing_mode,
        "email_verified": me.email_verified,
        "token": {
            "source": source,
            "name": token.map(|token| &token.display_name),
            "role": me.token_role().map(ToString::to_string),
            "permissions": me.permissions_in(namespace),
            "expires_at": me.expires_at(),
        },
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
