//! Which model answered which call and why, and whether it was right.

use axum::extract::State;
use bashgym_core::router::{
    DecisionFilter, DecisionId, DecisionPage, DecisionQuery, DecisionRecord, DecisionState, NAMED,
    OutcomeSource, RoutingStrategy, TaskKind, VerdictIs, VerifiedOutcome, browse,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use crate::audit::Did;
use crate::extract::{Json, Path, Query};
use crate::page::{Page, PageQuery};
use crate::problem::{Code, Failures, Missing, Problem, Refusals};
use crate::state::AppState;

/// Which decisions.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct RouteQuery {
    /// The kind of task: `chat`, `tools`, `tool_result` or `structured`.
    #[param(value_type = Option<String>)]
    kind: Option<TaskKind>,
    /// A model that was asked.
    model: Option<String>,
    /// How the model was chosen: a strategy's word, or `named`.
    strategy: Option<String>,
    /// How it ended: `answered`, `escalated` or `failed`.
    #[param(value_type = Option<String>)]
    state: Option<DecisionState>,
    /// What was found of the answer: `good`, `bad`, or `none` for those nobody judged.
    #[param(value_type = Option<String>)]
    verdict: Option<VerdictIs>,
    /// Only those whose conversation was kept: candidates for the next dataset.
    #[serde(default)]
    kept: bool,
    /// Made at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
}

impl RouteQuery {
    fn checked(self) -> Result<DecisionQuery, Problem> {
        if let Some(word) = self.strategy.as_deref()
            && word != NAMED
        {
            plain_strategy(word)?;
        }
        Ok(DecisionQuery {
            filter: DecisionFilter {
                from: self.from,
                judged: false,
                kept: self.kept,
            },
            kind: self.kind,
            model: self.model,
            strategy: self.strategy,
            state: self.state,
            verdict: self.verdict,
        })
    }
}

/// A strategy's word without its number.
fn plain_strategy(word: &str) -> Result<(), Problem> {
    let known = word.parse::<RoutingStrategy>();
    if known.is_ok_and(|strategy| strategy.as_str() == word) {
        return Ok(());
    }
    Err(Problem::new(Code::BadRequest, "no strategy is called so").hint(format!("or `{NAMED}`")))
}

/// The name of a decision.
pub(super) fn decision_id(text: &str) -> Result<DecisionId, Problem> {
    // Whatever is no name names nothing.
    text.parse().map_err(|_| {
        Problem::new(Code::NotFound, "there is no such decision").hint("GET /api/router/decisions lists them")
    })
}

/// A call that the router or its caller chose a model for. It holds no text of the conversation.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DecisionView {
    /// Its name.
    id: String,
    /// When it was made.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What the call was for, in the caller's word.
    #[schema(required)]
    purpose: Option<String>,
    /// How the model was chosen: a strategy's word, or `named` where the caller chose.
    strategy: &'static str,
    /// The kind of task.
    kind: &'static str,
    /// The kind and the length: whose evidence counted.
    bucket: String,
    /// `answered`, `escalated` or `failed`.
    #[schema(value_type = String)]
    state: DecisionState,
    /// Who gave the answer.
    #[schema(required)]
    answered_by: Option<String>,
    /// The part it plays: `student`, `hf` or `teacher`.
    #[schema(required)]
    role: Option<&'static str>,
    /// How many models were asked.
    asked: usize,
    /// Why it was chosen so.
    reason: String,
    /// Whether another than the best was asked, so that it can show what it can do.
    explored: bool,
    /// What it cost in US dollars, as far as it is known.
    cost_usd: f64,
    /// Whether that is all of it.
    cost_known: bool,
    /// Milliseconds of all of it.
    millis: u64,
    /// What was found of the answer: `good`, `bad` or `none`.
    #[schema(value_type = String)]
    verdict: VerdictIs,
    /// Who says so: `test`, `judge` or `person`.
    #[schema(value_type = Option<String>, required)]
    verdict_source: Option<OutcomeSource>,
}

impl From<&DecisionRecord> for DecisionView {
    fn from(record: &DecisionRecord) -> Self {
        let (nano, cost_known) = record.cost();
        let by = record.answered_by();
        Self {
            id: record.id.to_string(),
            at: record.at,
            purpose: record.purpose.clone(),
            strategy: record.strategy_word(),
            kind: record.features.kind.as_str(),
            bucket: record.bucket.clone(),
            state: record.state(),
            answered_by: by.map(|by| by.model.clone()),
            role: by.map(|by| by.role.as_str()),
            asked: record.tries.len(),
            reason: record.reason.clone(),
            explored: record.explored,
            cost_usd: hf_inference::NanoUsd::new(nano).to_usd(),
            cost_known,
            millis: record.millis,
            verdict: record.verdict(),
            verdict_source: record.outcome.as_ref().map(|outcome| outcome.source),
        }
    }
}

/// Decisions, newest first. Where few fit, a page may hold fewer than asked for, or none, and still have a `next`.
#[utoipa::path(get, path = "/api/router/decisions", tag = "router", params(PageQuery, RouteQuery),
    responses((status = 200, body = Page<DecisionView>), Failures, Missing))]
pub(crate) async fn list(
    State(state): State<AppState>,
    Query(page): Query<PageQuery>,
    Query(query): Query<RouteQuery>,
) -> Result<axum::Json<Page<DecisionView>>, Problem> {
    let limit = page.limit()?;
    let before = page.after.as_deref().map(str::parse).transpose();
    let before =
        before.map_err(|_| Problem::new(Code::BadRequest, "after is the `next` of the page before"))?;
    let query = query.checked()?;
    // What was just answered is to be seen.
    state.gateway.flush().await;
    let store = &state.parts.gateway.routes;
    let DecisionPage { records, next } = browse(store.as_ref(), &query, before, limit as usize).await?;
    Ok(axum::Json(Page {
        items: records.iter().map(DecisionView::from).collect(),
        next: next.map(|id| id.to_string()),
    }))
}

/// One decision with everything that was known when it was made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DecisionDetail {
    /// The call in short.
    decision: DecisionView,
    /// All of it, as `bashgym route explain --format json` tells it: candidates, what was believed of each, and every try.
    #[schema(value_type = Object)]
    record: Value,
    /// Whether its conversation was kept, so that it can become a row of the next dataset.
    kept: bool,
}

async fn detail(state: &AppState, record: &DecisionRecord) -> Result<DecisionDetail, Problem> {
    let kept = state.parts.gateway.routes.find_exchange(record.id).await?;
    Ok(DecisionDetail {
        decision: record.into(),
        record: json!(record),
        kept: kept.is_some(),
    })
}

async fn found(state: &AppState, name: &str) -> Result<DecisionRecord, Problem> {
    let id = decision_id(name)?;
    state.gateway.flush().await;
    let record = state.parts.gateway.routes.find_decision(id).await?;
    record.ok_or_else(|| {
        Problem::new(Code::NotFound, format!("there is no decision {id}"))
            .hint("GET /api/router/decisions lists them")
    })
}

/// One decision, explained.
#[utoipa::path(get, path = "/api/router/decisions/{id}", tag = "router",
    params(("id" = String, Path, description = "The decision")),
    responses((status = 200, body = DecisionDetail), Failures, Missing))]
pub(crate) async fn show(
    State(state): State<AppState>,
    Path(name): Path<String>,
) -> Result<axum::Json<DecisionDetail>, Problem> {
    let record = found(&state, &name).await?;
    Ok(axum::Json(detail(&state, &record).await?))
}

/// Whether an answer was right.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VerdictRequest {
    /// Whether it was.
    good: bool,
    /// Who says so: `test`, `judge` or `person`; a person without it.
    #[schema(value_type = Option<String>)]
    source: Option<OutcomeSource>,
}

/// Says whether an answer was right: that is what the router learns from. A later verdict replaces an earlier one.
#[utoipa::path(put, path = "/api/router/decisions/{id}/verdict", tag = "router", request_body = VerdictRequest,
    params(("id" = String, Path, description = "The decision")),
    responses((status = 200, body = DecisionDetail), Failures, Missing, Refusals))]
pub(crate) async fn judge(
    State(state): State<AppState>,
    Path(name): Path<String>,
    Json(request): Json<VerdictRequest>,
) -> Result<axum::Json<DecisionDetail>, Problem> {
    let record = found(&state, &name).await?;
    if !record.succeeded {
        return Err(Problem::new(
            Code::Conflict,
            "no answer was given, so there is nothing to judge",
        ));
    }
    let outcome = VerifiedOutcome {
        good: request.good,
        source: request.source.unwrap_or(OutcomeSource::Person),
        at: state.parts.clock.now(),
    };
    let backends = state.gateway.backends(&state).await?;
    let record = backends.router().report(record.id, outcome).await?;
    let verdict = if request.good { "right" } else { "wrong" };
    state
        .audit(
            Did::Changed,
            "route_verdict",
            format!("{} is {verdict}", record.id),
        )
        .await;
    Ok(axum::Json(detail(&state, &record).await?))
}
