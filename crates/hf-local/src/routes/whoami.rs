//! Who the caller is.

use axum::Json;
use axum::extract::State;
use http::HeaderMap;
use jiff::{ToSpan, tz::TimeZone};

use crate::accounts::{Account, Plan, TokenRole};
use crate::extract::token;
use crate::reply::{HubError, HubResult};
use crate::state::{AppState, Hub};
use crate::wire::{self, whoami as shape};

/// `GET /api/whoami-v2`
pub(crate) async fn whoami(
    State(hub): State<AppState>,
    headers: HeaderMap,
) -> HubResult<Json<shape::Whoami>> {
    // Unlike other routes, this one words an unknown token as a missing one.
    let account =
        token(&headers).and_then(|token| hub.accounts.by_live_token(&token, hub.clock.now()).cloned());
    let account = account.ok_or_else(HubError::unauthorized)?;
    Ok(Json(describe(&hub, &account)))
}

/// `GET /api/agent-harnesses`: clients go on without the list.
pub(crate) async fn no_harnesses() -> HubError {
    HubError::not_found("This Hub keeps no list of agent harnesses")
}

fn describe(hub: &Hub, account: &Account) -> shape::Whoami {
    let paying = account.plan != Plan::Free;
    let now = hub.clock.now();
    let period_end = now
        .to_zoned(TimeZone::UTC)
        .first_of_month()
        .and_then(|first| first.start_of_day())
        .and_then(|first| first.checked_add(1.month()))
        .map_or(now, |end| end.timestamp())
        .as_second();
    let orgs = account
        .orgs
        .iter()
        .map(|org| shape::OrgEntry {
            kind: "org",
            id: org.id.clone(),
            name: org.name.clone(),
            fullname: org.name.clone(),
            email: None,
            can_pay: org.plan.is_some(),
            billing_mode: "prepaid",
            period_end,
            avatar_url: wire::avatar_url(&org.id),
            plan: org.plan.clone(),
            role_in_org: org.role,
        })
        .collect();
    shape::Whoami {
        kind: "user",
        id: account.id.clone(),
        name: account.name.clone(),
        fullname: account.name.clone(),
        email: format!("{}@localhost", account.name),
        email_verified: account.email_verified,
        can_pay: paying,
        billing_mode: "prepaid",
        period_end,
        is_pro: account.plan == Plan::Pro,
        avatar_url: wire::avatar_url(&account.id),
        orgs,
        auth: shape::Auth {
            kind: "access_token",
            access_token: shape::AccessToken {
                display_name: "local",
                role: account.role,
                created_at: wire::time(hub.created_ms),
                fine_grained: (account.role == TokenRole::FineGrained).then(|| fine_grained(account)),
            },
            expires_at: account.expires_at.map(|end| wire::time(end.as_millisecond())),
        },
    }
}

fn fine_grained(account: &Account) -> shape::FineGrained {
    let user = shape::Entity {
        id: account.id.clone(),
        kind: "user",
        name: account.name.clone(),
    };
    let orgs = account.orgs.iter().map(|org| shape::Entity {
        id: org.id.clone(),
        kind: "org",
        name: org.name.clone(),
    });
    shape::FineGrained {
        can_read_gated_repos: false,
        global: account.global.clone(),
        scoped: std::iter::once(user)
            .chain(orgs)
            .map(|entity| shape::Scoped {
                permissions: account.permissions_in(&entity.name),
                entity,
            })
            .filter(|scoped| !scoped.permissions.is_empty())
            .collect(),
    }
}
