//! What may be spent, and what is left.

use axum::extract::State;
use bashgym_core::ledger::{Cap, CapScope, CapStatus, Ledger, MicroUsd, Service, Window};
use http::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::runs;
use crate::audit::Did;
use crate::extract::{Json, Path, Query};
use crate::problem::{Code, Failures, Missing, Problem, Refusals};
use crate::state::AppState;

/// A cap, and what counts against it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CapView {
    /// `jobs`, `inference`, `spaces` or `all`.
    service: &'static str,
    /// `day`, `month`, `run` or `total`. Days and months are those of UTC.
    window: &'static str,
    /// The cap in millionths of a US dollar.
    cap_micro_usd: u64,
    /// What is set aside; null for a cap of runs when no run is named.
    #[schema(required)]
    reserved_micro_usd: Option<i64>,
    /// What was spent.
    #[schema(required)]
    settled_micro_usd: Option<i64>,
    /// What is left.
    #[schema(required)]
    left_micro_usd: Option<u64>,
    /// Entries whose cost nobody knows.
    #[schema(required)]
    unknown_entries: Option<i64>,
    /// When it begins anew.
    #[schema(value_type = Option<String>, format = DateTime, required)]
    resets_at: Option<Timestamp>,
}

impl From<&CapStatus> for CapView {
    fn from(status: &CapStatus) -> Self {
        Self {
            service: status.cap.scope.as_str(),
            window: status.cap.window.as_str(),
            cap_micro_usd: status.cap.amount.get(),
            reserved_micro_usd: status.used.map(|used| used.reserved_micro_usd),
            settled_micro_usd: status.used.map(|used| used.settled_micro_usd),
            left_micro_usd: status.left().map(MicroUsd::get),
            unknown_entries: status.used.map(|used| used.unknown),
            resets_at: status.resets_at,
        }
    }
}

/// What a service used today and this month.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Used {
    /// `jobs`, `inference`, `spaces` or `all`.
    service: &'static str,
    /// `day` or `month`.
    window: &'static str,
    /// What is set aside, in millionths of a US dollar.
    reserved_micro_usd: i64,
    /// What was spent.
    settled_micro_usd: i64,
    /// Entries whose cost nobody knows.
    unknown_entries: i64,
}

/// The budget.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Budget {
    /// `account`: what is charged; `simulated`: what a Hub of this machine counts, which nobody pays.
    book: &'static str,
    /// When it was read.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// The caps.
    caps: Vec<CapView>,
    /// What each service used, capped or not.
    used: Vec<Used>,
}

/// Of which run.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct BudgetQuery {
    /// `account` or `simulated`; that of the Hub that is used now without it.
    book: Option<String>,
    /// A run, to see what its caps have left.
    run: Option<String>,
}

/// The ledger, open at the book that is asked for, or at that of the Hub that is used now.
pub(super) fn open(state: &AppState, book: Option<&str>) -> Result<Ledger, Problem> {
    let book = match book {
        Some(word) => word
            .parse()
            .map_err(|_| Problem::new(Code::BadRequest, "book is account or simulated"))?,
        None => state.parts.composition.book()?,
    };
    Ok(state.parts.ledger.in_book(book))
}

/// What may be spent, what is set aside, what was spent, and what is left.
#[utoipa::path(get, path = "/api/budget", tag = "money", params(BudgetQuery),
    responses((status = 200, body = Budget), Failures, Missing))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Query(query): Query<BudgetQuery>,
) -> Result<axum::Json<Budget>, Problem> {
    let run = query.run.as_deref().map(runs::id).transpose()?;
    let ledger = open(&state, query.book.as_deref())?;
    let overview = ledger.overview(run).await?;
    let scopes = Service::ALL.into_iter().map(CapScope::One).chain([CapScope::All]);
    let used = scopes.flat_map(|scope| [(scope, Window::Day), (scope, Window::Month)]);
    let used = used.filter_map(|(scope, window)| {
        let totals = overview.used(scope, window)?;
        Some(Used {
            service: scope.as_str(),
            window: window.as_str(),
            reserved_micro_usd: totals.reserved_micro_usd,
            settled_micro_usd: totals.settled_micro_usd,
            unknown_entries: totals.unknown,
        })
    });
    Ok(axum::Json(Budget {
        book: ledger.book().as_str(),
        at: overview.at,
        used: used.collect(),
        caps: overview.caps.iter().map(CapView::from).collect(),
    }))
}

/// An amount.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Amount {
    /// Millionths of a US dollar.
    micro_usd: u64,
}

fn named(scope: &str, window: &str) -> Result<(CapScope, Window), Problem> {
    let missing = |_| {
        Problem::new(
            Code::NotFound,
            "a cap is named by a service and a window: jobs/day, all/month",
        )
    };
    Ok((scope.parse().map_err(missing)?, window.parse().map_err(missing)?))
}

/// Sets a cap. What is set aside already stays so.
#[utoipa::path(put, path = "/api/budget/{service}/{window}", tag = "money", request_body = Amount,
    params(("service" = String, Path, description = "jobs, inference, spaces or all"),
        ("window" = String, Path, description = "day, month, run or total")),
    responses((status = 204, description = "It is set"), Failures, Missing, Refusals))]
pub(crate) async fn set(
    State(state): State<AppState>,
    Path((service, window)): Path<(String, String)>,
    Json(amount): Json<Amount>,
) -> Result<StatusCode, Problem> {
    let (scope, window) = named(&service, &window)?;
    let amount = MicroUsd::new(amount.micro_usd)
        .map_err(|_| Problem::new(Code::Invalid, "the amount is larger than any budget"))?;
    let cap = Cap {
        scope,
        window,
        amount,
    };
    state.parts.ledger.set_cap(cap).await?;
    state
        .audit(Did::Changed, "cap_set", format!("{service}, {window}"))
        .await;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a cap.
#[utoipa::path(delete, path = "/api/budget/{service}/{window}", tag = "money",
    params(("service" = String, Path, description = "jobs, inference, spaces or all"),
        ("window" = String, Path, description = "day, month, run or total")),
    responses((status = 204, description = "It is removed"), Failures, Missing))]
pub(crate) async fn unset(
    State(state): State<AppState>,
    Path((service, window)): Path<(String, String)>,
) -> Result<StatusCode, Problem> {
    let (scope, window) = named(&service, &window)?;
    if !state.parts.ledger.remove_cap(scope, window).await? {
        return Err(Problem::new(Code::NotFound, "there is no such cap"));
    }
    state
        .audit(Did::Changed, "cap_removed", format!("{service}, {window}"))
        .await;
    Ok(StatusCode::NO_CONTENT)
}
