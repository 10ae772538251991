//! Rules × facts × refusals: one row of the matrix after the other.

use super::facts::{Facts, SignIn, Standing};
use super::feature::Feature;
use super::refusal::{Refusal, RefusalKind, Refusals};
use super::rules::{By, Grant, RULES, Rule};
use super::scopes::token_page;
use super::{Availability, Capability};
use crate::account::{Access, Plan, WhoAmI};
use crate::endpoint::DEFAULT_ENDPOINT;

const BILLING: &str = "add credit at https://huggingface.co/settings/billing";
const SET_TOKEN: &str = "set HF_TOKEN, or store a token with `bashgym token set`; tokens are made at https://huggingface.co/settings/tokens";

/// Works out what can be done now: one row a [`Feature`], in the order of [`Feature::ALL`].
pub fn capabilities(facts: &Facts, refusals: &Refusals) -> Vec<Capability> {
    RULES.iter().map(|rule| judge(rule, facts, refusals)).collect()
}

fn judge(rule: &Rule, facts: &Facts, refusals: &Refusals) -> Capability {
    let (availability, included) = match &facts.sign_in {
        SignIn::SignedIn(me) => judge_signed_in(rule, facts, me, refusals),
        SignIn::Unreachable { why } => no(
            format!("the Hub can not be reached now, and nothing is known from before: {why}"),
            "check HF_ENDPOINT and the network; `bashgym doctor` looks at both",
        ),
        SignIn::Refused { why } => match rule.anonymous {
            // Public things are refused too as long as the wrong token is sent.
            Some(_) => no(
                format!("the Hub refuses the token: {why}"),
                "unset HF_TOKEN, or set a valid one",
            ),
            None => no(format!("the Hub refuses the token: {why}"), SET_TOKEN),
        },
        SignIn::NoToken { instead } => without_token(rule, facts, instead.as_deref()),
    };
    Capability {
        feature: rule.feature,
        availability,
        included,
        source: rule.source,
    }
}

fn without_token(rule: &Rule, facts: &Facts, instead: Option<&str>) -> Judged {
    if let Some(grant) = rule.anonymous {
        return granted(grant, facts, None);
    }
    let why = match instead {
        Some(instead) => format!("no token is set; {instead}"),
        None => "no token is set".to_owned(),
    };
    match rule.feature.permission() {
        Some(permission) => no(why, format!("{SET_TOKEN} (it needs {permission})")),
        None => no(why, SET_TOKEN),
    }
}

type Judged = (Availability, Option<String>);

fn no(why: impl Into<String>, unlock: impl Into<String>) -> Judged {
    let availability = Availability::Unavailable {
        why: why.into(),
        unlock: unlock.into(),
    };
    (availability, None)
}

fn up_to(limit: &str, why: impl Into<String>) -> Judged {
    let availability = Availability::Limited {
        limit: limit.to_owned(),
        why: why.into(),
    };
    (availability, None)
}

fn judge_signed_in(rule: &Rule, facts: &Facts, me: &WhoAmI, refusals: &Refusals) -> Judged {
    if let Some(end) = facts.expired() {
        return no(format!("the token expired at {end}"), SET_TOKEN);
    }
    if rule.feature == Feature::BillOrg {
        return bill_org(facts, me, refusals);
    }
    let namespace = match rule.by {
        By::Namespace => facts.acting().unwrap_or(&me.name),
        By::Caller => &me.name,
    };
    let mut unsure = false;
    if let Some(permission) = rule.feature.permission() {
        match me.access(namespace, permission) {
            Access::Allowed => {}
            Access::Unknown => unsure = true,
            access => return not_allowed(&access, namespace, permission),
        }
    }
    let plan = match rule.by {
        By::Namespace => me.plan_in(namespace),
        By::Caller => Facts::best_plan(me),
    };
    let remembered = refusals.find(rule.feature, Some(namespace), facts.now);
    if let Some(refusal) = remembered.filter(|refusal| !is_outdated(refusal, me, namespace, &plan)) {
        return refused(&refusal);
    }
    let judged = granted(rule.grant(&plan), facts, Some((me, &plan)));
    if unsure && matches!(judged.0, Availability::Available) {
        return up_to(
            "what the Hub allows",
            "the Hub does not tell what these credentials may do; it decides when asked",
        );
    }
    judged
}

fn granted(grant: Grant, facts: &Facts, account: Option<(&WhoAmI, &Plan)>) -> Judged {
    match grant {
        Grant::Yes => (Availability::Available, None),
        Grant::Includes(amount) => (Availability::Available, Some(amount.to_owned())),
        Grant::UpTo { limit, why } => up_to(limit, why),
        Grant::No { why, unlock } => no(why, unlock),
        Grant::NotDocumented => {
            let plan = account.map(|(_, plan)| plan.to_string()).unwrap_or_default();
            up_to(
                "what the Hub allows",
                format!("the documentation does not say what the plan {plan} includes here"),
            )
        }
        Grant::GoodStanding { limit, why } => match account.map(|(me, _)| facts.standing(me)) {
            Some(Standing::NotVerified) => no(
                "the e-mail address of the account is not confirmed",
                "confirm it at https://huggingface.co/settings/account",
            ),
            Some(Standing::TooYoung) => no(
                "the account is younger than 30 days",
                "wait until it is, or subscribe to PRO (https://huggingface.co/pro)",
            ),
            Some(Standing::Good) | None => up_to(limit, why),
            Some(Standing::AgeUnknown) => up_to(
                limit,
                format!("{why}: it must be older than 30 days, which no endpoint asked here tells"),
            ),
        },
    }
}

fn not_allowed(access: &Access, namespace: &str, permission: &str) -> Judged {
    match access {
        Access::MissingPermission => no(
            format!("the token lacks the permission {permission} on {namespace}"),
            format!(
                "add {permission} to the token: {}",
                token_page(DEFAULT_ENDPOINT, [permission])
            ),
        ),
        Access::ReadOnlyToken => no(
            format!("the token only reads; {permission} on {namespace} is needed"),
            format!(
                "use a token with the role write, or one with {permission}: {}",
                token_page(DEFAULT_ENDPOINT, [permission])
            ),
        ),
        Access::NotMember => no(
            format!("this account is not a member of {namespace}"),
            "ask for an invitation, or act for another namespace with --org",
        ),
        Access::OrgRole(role) => no(
            format!("the account's role in {namespace} is {role}"),
            format!("ask an administrator of {namespace} for the role write"),
        ),
        Access::Restricted(list) => no(
            format!("{namespace} does not let this token in: {}", list.join(", ")),
            format!("solve it at https://huggingface.co/{namespace} (sign in, or have the token approved)"),
        ),
        Access::Allowed | Access::Unknown => (Availability::Available, None),
    }
}

/// Whether what the Hub tells of the account now contradicts why it refused before.
fn is_outdated(refusal: &Refusal, me: &WhoAmI, namespace: &str, plan: &Plan) -> bool {
    match refusal.kind {
        RefusalKind::Pro => *plan != Plan::Free,
        RefusalKind::Permission => {
            !refusal.missing.is_empty()
                && refusal
                    .missing
                    .iter()
                    .all(|permission| me.access(namespace, permission) == Access::Allowed)
        }
        _ => false,
    }
}

fn refused(refusal: &Refusal) -> Judged {
    let why = format!("the Hub refused it at {}: {}", refusal.at, refusal.message);
    let unlock = match refusal.kind {
        RefusalKind::Pro => "subscribe to PRO: https://huggingface.co/pro".to_owned(),
        RefusalKind::Credit | RefusalKind::Payment => BILLING.to_owned(),
        RefusalKind::MonthlyCredit => format!("wait for the next month, or {BILLING}"),
        RefusalKind::ResourceGroup => {
            "ask an administrator to raise the limit of the resource group".to_owned()
        }
        RefusalKind::Permission if refusal.missing.is_empty() => {
            "use a token whose role or permissions cover it: https://huggingface.co/settings/tokens"
                .to_owned()
        }
        RefusalKind::Permission => format!(
            "add {} to the token: {}",
            refusal.missing.join(", "),
            token_page(DEFAULT_ENDPOINT, refusal.missing.iter().map(String::as_str))
        ),
    };
    no(why, unlock)
}

/// Letting an organisation pay: in the one acted for, else in any.
fn bill_org(facts: &Facts, me: &WhoAmI, refusals: &Refusals) -> Judged {
    let permission = "job.write";
    let named = facts.namespace.as_deref().filter(|name| *name != me.name);
    let candidates: Vec<&str> = match named {
        Some(name) => vec![name],
        None => me.orgs.iter().map(|org| org.name.as_str()).collect(),
    };
    let mut first_no = None;
    for name in candidates {
        let judged = match me.access(name, permission) {
            Access::Allowed => match refusals.find(Feature::Jobs, Some(name), facts.now) {
                Some(refusal) => refused(&refusal),
                None => return (Availability::Available, Some(format!("with --org {name}"))),
            },
            Access::Unknown => {
                return up_to(
                    "what the Hub allows",
                    "the Hub does not tell what these credentials may do; it decides when asked",
                );
            }
            access => not_allowed(&access, name, permission),
        };
        first_no.get_or_insert(judged);
    }
    first_no.unwrap_or_else(|| {
        no(
            "the account is in no organisation",
            "make or join one (https://huggingface.co/organizations/new), then name it with --org",
        )
    })
}
