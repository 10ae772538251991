//! What the rules look at.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use crate::account::{Account, Plan, WhoAmI};

/// Whether somebody is signed in, as far as that is known.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum SignIn {
    /// No token is set.
    NoToken {
        /// What serves without one, such as a Hub on this machine; put after the reason.
        instead: Option<String>,
    },
    /// The Hub refused the token.
    Refused {
        /// What it said.
        why: String,
    },
    /// The Hub could not be asked and nothing is known from before.
    Unreachable {
        /// What happened.
        why: String,
    },
    /// The Hub told who it is, now or before.
    SignedIn(Arc<WhoAmI>),
}

/// Whether a free account is in good standing: its address is confirmed and it is more than 30 days old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It is.
    Good,
    /// The address is not confirmed.
    NotVerified,
    /// The account is younger than 30 days.
    TooYoung,
    /// The address is confirmed, or that is not told; the age is not known.
    AgeUnknown,
}

/// The age from which a free account may host `ZeroGPU` Spaces.
const OLD_ENOUGH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// What is known of an account when its capabilities are worked out.
#[derive(Debug, Clone)]
pub struct Facts {
    /// Who is signed in.
    pub sign_in: SignIn,
    /// The namespace to act in, when it is not the account's own.
    pub namespace: Option<String>,
    /// When the account was made; `whoami` does not tell.
    pub account_created: Option<Timestamp>,
    /// The time now.
    pub now: Timestamp,
}

impl Facts {
    /// Takes what an [`AccountCache`](crate::AccountCache) knows.
    pub fn new(account: &Account, namespace: Option<String>, now: Timestamp) -> Self {
        let sign_in = match account {
            Account::NoToken => SignIn::NoToken { instead: None },
            Account::Refused(doubt) => SignIn::Refused {
                why: doubt.message.clone(),
            },
            Account::Unknown(doubt) => SignIn::Unreachable {
                why: doubt.message.clone(),
            },
            Account::Known { me, .. } => SignIn::SignedIn(me.clone()),
        };
        Self {
            sign_in,
            namespace,
            account_created: None,
            now,
        }
    }

    /// Says what serves without a token.
    #[must_use]
    pub fn instead(mut self, what: impl Into<String>) -> Self {
        if let SignIn::NoToken { instead } = &mut self.sign_in {
            *instead = Some(what.into());
        }
        self
    }

    /// Who is signed in.
    pub fn me(&self) -> Option<&WhoAmI> {
        match &self.sign_in {
            SignIn::SignedIn(me) => Some(me),
            _ => None,
        }
    }

    /// The namespace acted in.
    pub fn acting(&self) -> Option<&str> {
        self.namespace
            .as_deref()
            .or_else(|| self.me().map(|me| me.name.as_str()))
    }

    /// Whether the credentials have ended by themselves.
    pub fn expired(&self) -> Option<Timestamp> {
        self.me()?.expires_at().filter(|end| *end <= self.now)
    }

    pub(super) fn standing(&self, me: &WhoAmI) -> Standing {
        if me.email_verified == Some(false) {
            return Standing::NotVerified;
        }
        match self.account_created {
            None => Standing::AgeUnknown,
            Some(made) if self.now.duration_since(made) <= OLD_ENOUGH => Standing::TooYoung,
            Some(_) => Standing::Good,
        }
    }

    /// The best plan among the account's own and its organisations'.
    pub(super) fn best_plan(me: &WhoAmI) -> Plan {
        let rank = |plan: &Plan| match plan {
            Plan::Free | Plan::Unknown(_) => 0,
            Plan::Academia => 1,
            Plan::Pro => 2,
            Plan::Team => 3,
            Plan::Enterprise => 4,
            Plan::EnterprisePlus => 5,
        };
        me.orgs
            .iter()
            .map(crate::OrgMembership::plan)
            .fold(
                me.plan(),
                |best, plan| {
                    if rank(&plan) > rank(&best) { plan } else { best }
                },
            )
    }
}
