//! `/_local/`: what only a local Hub has.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::accounts::{RateLimits, TokenRole};
use crate::extract::Caller;
use crate::faults::{FaultKind, FaultRule};
use crate::reply::{HubError, HubResult};
use crate::routes::body::JsonBody;
use crate::state::AppState;

/// A clock setting: one of the three.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClockChange {
    #[serde(default)]
    advance_ms: Option<u64>,
    #[serde(default)]
    stop_at: Option<Timestamp>,
    #[serde(default)]
    real: bool,
}

/// The Hub's time.
#[derive(Debug, Serialize)]
pub(crate) struct ClockNow {
    now: Timestamp,
}

fn require_write_token(caller: &Caller) -> HubResult<()> {
    match caller.require()?.role {
        TokenRole::Write => Ok(()),
        TokenRole::Read | TokenRole::FineGrained => {
            Err(HubError::forbidden("This needs a token with the role write"))
        }
    }
}

/// `GET /_local/faults`
pub(crate) async fn list_faults(
    State(hub): State<AppState>,
    caller: Caller,
) -> HubResult<Json<Vec<FaultRule>>> {
    require_write_token(&caller)?;
    Ok(Json(hub.faults.list()))
}

/// `POST /_local/faults`: one rule.
pub(crate) async fn add_fault(
    State(hub): State<AppState>,
    caller: Caller,
    JsonBody(rule): JsonBody<FaultRule>,
) -> HubResult<Json<FaultRule>> {
    require_write_token(&caller)?;
    if let FaultKind::Status { code, .. } = rule.kind
        && StatusCode::from_u16(code).is_err()
    {
        return Err(HubError::bad_request(format!("{code} is not a status")));
    }
    hub.faults.add(rule.clone());
    Ok(Json(rule))
}

/// `DELETE /_local/faults`
pub(crate) async fn clear_faults(State(hub): State<AppState>, caller: Caller) -> HubResult<StatusCode> {
    require_write_token(&caller)?;
    hub.faults.clear();
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /_local/clock`: `{"advance_ms": 60000}`, `{"stop_at": "2026-01-01T00:00:00Z"}` or `{"real": true}`.
pub(crate) async fn set_clock(
    State(hub): State<AppState>,
    caller: Caller,
    JsonBody(change): JsonBody<ClockChange>,
) -> HubResult<Json<ClockNow>> {
    require_write_token(&caller)?;
    match change {
        ClockChange {
            advance_ms: Some(ms),
            stop_at: None,
            real: false,
        } => hub.clock.advance(Duration::from_millis(ms)),
        ClockChange {
            advance_ms: None,
            stop_at: Some(now),
            real: false,
        } => hub.clock.set_stepped(Some(now)),
        ClockChange {
            advance_ms: None,
            stop_at: None,
            real: true,
        } => hub.clock.set_stepped(None),
        _ => return Err(HubError::bad_request("Send one of advance_ms, stop_at and real")),
    }
    Ok(Json(ClockNow { now: hub.clock.now() }))
}

/// `GET /_local/rate-limits`
pub(crate) async fn rate_limits(State(hub): State<AppState>, caller: Caller) -> HubResult<Json<RateLimits>> {
    require_write_token(&caller)?;
    Ok(Json(hub.rates.limits()))
}

/// `PUT /_local/rate-limits`: `{"enforce": true, "api": 20, "whoami": 5}`.
pub(crate) async fn set_rate_limits(
    State(hub): State<AppState>,
    caller: Caller,
    JsonBody(limits): JsonBody<RateLimits>,
) -> HubResult<Json<RateLimits>> {
    require_write_token(&caller)?;
    hub.rates.set(limits);
    Ok(Json(limits))
}
