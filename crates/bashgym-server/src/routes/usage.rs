//! What was set aside and spent.

use axum::extract::State;
use bashgym_core::ledger::{EntryCursor, EntryFilter, EntryState, LedgerEntry, MicroUsd, UsageBy};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::budget::open;
use super::runs;
use crate::extract::Query;
use crate::page::{Page, PageQuery};
use crate::problem::{Code, Failures, Missing, Problem};
use crate::state::AppState;

/// What counts together.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct UsageQuery {
    /// `account` or `simulated`; that of the Hub that is used now without it.
    book: Option<String>,
    /// `day`, `month`, `run` or `purpose`; `day` without it.
    by: Option<String>,
    /// How many sums at most.
    #[param(minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u32>,
}

/// A sum.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Sum {
    /// The day, month, run or purpose.
    name: String,
    /// The service.
    service: &'static str,
    /// How many entries.
    entries: i64,
    /// Those whose cost nobody knows.
    unknown_entries: i64,
    /// What is set aside, in millionths of a US dollar.
    reserved_micro_usd: i64,
    /// What was spent.
    settled_micro_usd: i64,
}

/// Sums of what was set aside and spent, the latest first.
#[utoipa::path(get, path = "/api/usage", tag = "money", params(UsageQuery),
    responses((status = 200, body = Vec<Sum>), Failures))]
pub(crate) async fn sums(
    State(state): State<AppState>,
    Query(query): Query<UsageQuery>,
) -> Result<axum::Json<Vec<Sum>>, Problem> {
    let by = match query.by.as_deref().unwrap_or("day") {
        "day" => UsageBy::Day,
        "month" => UsageBy::Month,
        "run" => UsageBy::Run,
        "purpose" => UsageBy::Purpose,
        _ => return Err(Problem::new(Code::BadRequest, "by is day, month, run or purpose")),
    };
    let limit = query.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(Problem::new(Code::BadRequest, "limit is 1 to 1000"));
    }
    let ledger = open(&state, query.book.as_deref())?;
    let rows = ledger.usage(by, None, None, limit).await?;
    let sums = rows.into_iter().map(|row| Sum {
        name: row.bucket,
        service: row.service.as_str(),
        entries: row.totals.entries,
        unknown_entries: row.totals.unknown,
        reserved_micro_usd: row.totals.reserved_micro_usd,
        settled_micro_usd: row.totals.settled_micro_usd,
    });
    Ok(axum::Json(sums.collect()))
}

/// Which entries.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EntryQuery {
    /// `account` or `simulated`; both without it, where a run is named, else that of the Hub that is used now.
    book: Option<String>,
    /// `jobs`, `inference` or `spaces`.
    service: Option<String>,
    /// Only this run.
    run: Option<String>,
}

/// Something set aside, and what became of it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Entry {
    /// Its key.
    key: String,
    /// `account`: it is charged; `simulated`: a Hub of this machine counts it, and nobody pays.
    book: &'static str,
    /// The service.
    service: &'static str,
    /// The run it belongs to.
    #[schema(required)]
    run_id: Option<String>,
    /// What for.
    purpose: String,
    /// `reserved`, `settled` or `released`.
    state: &'static str,
    /// The most it could cost; null if the price was not known.
    #[schema(required)]
    worst_micro_usd: Option<u64>,
    /// What it cost; null as long as it is open, if nothing was spent, or if nobody knows.
    #[schema(required)]
    cost_micro_usd: Option<u64>,
    /// When it was set aside.
    #[schema(value_type = String, format = DateTime)]
    reserved_at: Timestamp,
}

impl Entry {
    fn new(entry: &LedgerEntry) -> Self {
        let cost = match &entry.state {
            EntryState::Settled { amount, .. } => *amount,
            _ => None,
        };
        Self {
            key: entry.key.clone(),
            book: entry.book.as_str(),
            service: entry.service.as_str(),
            run_id: entry.run.map(|run| run.to_string()),
            purpose: entry.purpose.clone(),
            state: entry.state.as_str(),
            worst_micro_usd: entry.worst.map(MicroUsd::get),
            cost_micro_usd: cost.map(MicroUsd::get),
            reserved_at: entry.reserved_at,
        }
    }
}

/// What was set aside and spent, entry by entry, newest first.
#[utoipa::path(get, path = "/api/usage/entries", tag = "money", params(PageQuery, EntryQuery),
    responses((status = 200, body = Page<Entry>), Failures, Missing))]
pub(crate) async fn entries(
    State(state): State<AppState>,
    Query(page): Query<PageQuery>,
    Query(query): Query<EntryQuery>,
) -> Result<axum::Json<Page<Entry>>, Problem> {
    let limit = page.limit()?;
    let bad = |why: &'static str| Problem::new(Code::BadRequest, why);
    let book = match (&query.run, query.book.as_deref()) {
        (Some(_), None) => None,
        (_, asked) => Some(open(&state, asked)?.book()),
    };
    let service = query.service.as_deref().map(str::parse).transpose();
    let filter = EntryFilter {
        book,
        service: service.map_err(|_| bad("service is jobs, inference or spaces"))?,
        run: query.run.as_deref().map(runs::id).transpose()?,
        ..EntryFilter::default()
    };
    let after = page.after.as_deref().map(|after| {
        let (at, key) = after.split_once('~')?;
        let reserved_at: Timestamp = at.parse().ok()?;
        Some(EntryCursor {
            reserved_at,
            key: key.to_owned(),
        })
    });
    let after = match after {
        Some(Some(cursor)) => Some(cursor),
        Some(None) => return Err(bad("after is the `next` of the page before")),
        None => None,
    };
    let found = state
        .parts
        .ledger
        .entries(&filter, after.as_ref(), limit + 1)
        .await?;
    let shown = found.iter().map(Entry::new).collect();
    Ok(axum::Json(Page::cut(shown, limit, |entry: &Entry| {
        format!("{}~{}", entry.reserved_at, entry.key)
    })))
}
