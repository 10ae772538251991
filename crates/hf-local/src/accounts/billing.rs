//! What was spent: simulated from what ran here, at the Hub's published prices.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use serde_json::{Value, json};
use sqlx::Row;

use super::{Account, Permission, Plan};
use crate::extract::Caller;
use crate::jobs::Flavor;
use crate::reply::{HubError, HubResult};
use crate::routes::query::Params;
use crate::state::{AppState, Hub};
use crate::wire;

/// The billing routes and the `ZeroGPU` quota.
///
/// # Source
/// Hub `OpenAPI` of August 2026, except `usage-v2`, which has no schema there: what a public client reads of it.
pub(crate) fn router() -> Router<AppState> {
    Router::new()
        .route("/api/settings/billing/usage", get(usage_own))
        .route("/api/settings/billing/usage-v2", get(usage_v2_own))
        .route("/api/organizations/{org}/billing/usage", get(usage_org))
        .route("/api/organizations/{org}/billing/usage-v2", get(usage_v2_org))
        .route("/api/spaces/zero-gpu/quota", get(zero_gpu))
}

/// The account, if its token may see billing.
///
/// The text of the Hub's refusal is not recorded for billing; it has the form of the other permissions.
fn billed(caller: &Caller) -> HubResult<&Account> {
    let name = caller.require()?.name.clone();
    caller.require_permission(Permission::BillingRead, &name)
}

async fn usage_own(State(hub): State<AppState>, caller: Caller) -> HubResult<Json<Value>> {
    let account = billed(&caller)?;
    usage(&hub, &account.id, &account.name, "user").await
}

async fn usage_org(
    State(hub): State<AppState>,
    caller: Caller,
    Path(org): Path<String>,
) -> HubResult<Json<Value>> {
    let org = member(&hub, &caller, &org)?;
    usage(&hub, &org.0, &org.1, "org").await
}

async fn usage_v2_own(State(hub): State<AppState>, caller: Caller, params: Params) -> HubResult<Json<Value>> {
    let account = billed(&caller)?;
    let included = match account.plan {
        Plan::Free => 0.10,
        Plan::Pro => 2.00,
        // The credit of a seat is the organisation's.
        Plan::Team => 0.0,
    };
    usage_v2(&hub, &account.name, included, &params).await
}

async fn usage_v2_org(
    State(hub): State<AppState>,
    caller: Caller,
    Path(org): Path<String>,
    params: Params,
) -> HubResult<Json<Value>> {
    let (_, name, seats) = member(&hub, &caller, &org)?;
    usage_v2(&hub, &name, 2.00 * seats, &params).await
}

/// The organisation's id, name and paid seats, for its members.
fn member(hub: &Hub, caller: &Caller, org: &str) -> HubResult<(String, String, f64)> {
    caller.require_permission(Permission::BillingRead, org)?;
    let org = hub
        .accounts
        .org(org)
        .ok_or_else(|| HubError::not_found("Organization not found"))?;
    let seats = if org.plan.is_some() { 1.0 } else { 0.0 };
    Ok((org.id.clone(), org.name.clone(), seats))
}

fn month(now: Timestamp) -> HubResult<(Timestamp, Timestamp)> {
    let start = now
        .to_zoned(TimeZone::UTC)
        .first_of_month()
        .and_then(|first| first.start_of_day())
        .map_err(|error| HubError::internal(&error))?;
    let end = start
        .checked_add(1.month())
        .map_err(|error| HubError::internal(&error))?;
    Ok((start.timestamp(), end.timestamp()))
}

fn text(time: Timestamp) -> String {
    wire::time(time.as_millisecond())
}

/// Minutes of jobs by flavor.
async fn minutes_by_flavor(
    hub: &Hub,
    namespace: &str,
    from: Timestamp,
    until: Timestamp,
) -> HubResult<BTreeMap<String, f64>> {
    let rows = sqlx::query(
        "SELECT spec, started_ms, finished_ms FROM jobs
         WHERE namespace = ? AND started_ms IS NOT NULL AND started_ms < ? AND coalesce(finished_ms, ?) >= ?",
    )
    .bind(namespace)
    .bind(until.as_millisecond())
    .bind(i64::MAX)
    .bind(from.as_millisecond())
    .fetch_all(hub.db.read())
    .await
    .map_err(|error| HubError::internal(&error))?;
    let mut minutes: BTreeMap<String, f64> = BTreeMap::new();
    for row in rows {
        let read = || -> Result<(String, i64, Option<i64>), sqlx::Error> {
            Ok((
                row.try_get("spec")?,
                row.try_get("started_ms")?,
                row.try_get("finished_ms")?,
            ))
        };
        let (spec, started, finished) = read().map_err(|error| HubError::internal(&error))?;
        let spec: Value = serde_json::from_str(&spec).map_err(|error| HubError::internal(&error))?;
        let Some(flavor) = spec.get("flavor").and_then(Value::as_str) else {
            continue;
        };
        let end = finished
            .unwrap_or_else(|| until.as_millisecond())
            .min(until.as_millisecond());
        let ms = end.saturating_sub(started.max(from.as_millisecond())).max(0);
        *minutes.entry(flavor.to_owned()).or_default() += ms as f64 / 60_000.0;
    }
    Ok(minutes)
}

async fn usage(hub: &Hub, id: &str, name: &str, kind: &str) -> HubResult<Json<Value>> {
    let now = hub.clock.now();
    let (start, end) = month(now)?;
    let mut items = Vec::new();
    for (flavor, minutes) in minutes_by_flavor(hub, name, start, now).await? {
        let Some(priced) = Flavor::find(&flavor) else {
            continue;
        };
        items.push(json!({
            "entityId": id,
            "label": null,
            "product": format!("jobs/{flavor}/minutes"),
            "quantity": minutes,
            "productPrettyName": format!("Jobs {flavor}"),
            "unitLabel": "minutes",
            "totalCostMicroUSD": (minutes * priced.micro_usd_per_minute as f64).round(),
            "unitCostMicroUSD": priced.micro_usd_per_minute,
            "active": false,
        }));
    }
    let mut groups = serde_json::Map::new();
    if !items.is_empty() {
        groups.insert("Jobs".to_owned(), items.into());
    }
    Ok(Json(json!({
        "usage": groups,
        "period": {
            "_id": id,
            "entityId": id,
            "entityType": kind,
            "entityName": name,
            "periodStart": text(start),
            "periodEnd": text(end),
        },
    })))
}

async fn usage_v2(hub: &Hub, name: &str, included_usd: f64, params: &Params) -> HubResult<Json<Value>> {
    let seconds = |key: &str| -> HubResult<Timestamp> {
        params
            .text(key)
            .and_then(|text| text.parse::<i64>().ok())
            .filter(|seconds| *seconds > 0)
            .and_then(|seconds| Timestamp::from_second(seconds).ok())
            .ok_or_else(|| HubError::bad_request(format!("Invalid input: expected number\n  at {key}")))
    };
    let (from, until) = (seconds("startDate")?, seconds("endDate")?);
    let minutes = minutes_by_flavor(hub, name, from, until.min(hub.clock.now())).await?;
    let cost: f64 = minutes
        .iter()
        .filter_map(|(flavor, minutes)| Some(minutes * Flavor::find(flavor)?.micro_usd_per_minute as f64))
        .sum();
    let nano = (included_usd * 1e9).round();
    Ok(Json(json!({"usage": {
        "inferenceProviders": {
            "includedNanoUsd": nano,
            // No provider is called from here.
            "usedNanoUsd": 0,
            "limitNanoUsd": nano,
            "numRequests": 0,
            "periodStart": text(from),
            "periodEnd": text(until),
        },
        "jobs": { "usedMicroUsd": cost.round(), "totalMinutes": minutes.values().sum::<f64>() },
    }})))
}

/// `GET /api/spaces/zero-gpu/quota`: the plan's seconds. Nothing here uses any, so all are left and no window runs.
async fn zero_gpu(caller: Caller) -> Json<Value> {
    let seconds = match caller.account() {
        None => 2 * 60,
        Some(account) if account.plan == Plan::Free => 5 * 60,
        Some(_) => 40 * 60,
    };
    Json(json!({ "base": seconds, "current": seconds, "resetsAt": null }))
}
