//! What calls came to: over time, by model, by strategy, by kind of task.

use std::collections::BTreeMap;

use axum::extract::State;
use bashgym_core::router::{DecisionFilter, ModelSum, RouteReport, RouteSum, newest};
use hf_inference::NanoUsd;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::extract::Query;
use crate::problem::{Code, Failures, Missing, Problem};
use crate::state::AppState;

/// Decisions that are read for one answer at most, the newest.
pub(super) const MOST_READ: u32 = 10_000;
/// Points of a report at most.
const MOST_POINTS: i64 = 1000;

/// Which calls.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct SpanQuery {
    /// Only calls of the last seconds: 86400 is a day. All without it.
    #[param(minimum = 60, maximum = 315_360_000)]
    seconds: Option<u32>,
    /// Calls at most, the newest.
    #[param(minimum = 1, maximum = 10_000, default = 10_000)]
    limit: Option<u32>,
}

impl SpanQuery {
    /// From when on, and how many.
    pub(super) fn checked(&self, now: Timestamp) -> Result<(DecisionFilter, usize), Problem> {
        let bad = |why: String| Problem::new(Code::BadRequest, why);
        let from = match self.seconds {
            None => None,
            Some(seconds @ 60..=315_360_000) => Some(now - SignedDuration::from_secs(i64::from(seconds))),
            Some(_) => return Err(bad("seconds is 60 to 315360000".to_owned())),
        };
        let limit = self.limit.unwrap_or(MOST_READ);
        if !(1..=MOST_READ).contains(&limit) {
            return Err(bad(format!("limit is 1 to {MOST_READ}")));
        }
        let filter = DecisionFilter {
            from,
            ..DecisionFilter::default()
        };
        Ok((filter, limit as usize))
    }
}

/// What calls add up to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RouteSumView {
    /// Calls.
    calls: u64,
    /// Calls that got a whole answer.
    answered: u64,
    /// Those for which a second model was asked because the first was not sure.
    escalated: u64,
    /// Those the student answered.
    by_student: u64,
    /// Those whose caller named the model.
    named: u64,
    /// Answers that somebody judged.
    judged: u64,
    /// Answers that were found right.
    good: u64,
    /// What they cost in US dollars, as far as it is known.
    cost_usd: f64,
    /// Calls whose cost is not wholly known.
    unknown_cost: u64,
}

impl From<RouteSum> for RouteSumView {
    fn from(sum: RouteSum) -> Self {
        Self {
            calls: sum.calls,
            answered: sum.answered,
            escalated: sum.escalated,
            by_student: sum.by_student,
            named: sum.named,
            judged: sum.judged,
            good: sum.good,
            cost_usd: NanoUsd::new(sum.nano_usd).to_usd(),
            unknown_cost: sum.unknown_cost,
        }
    }
}

/// The calls of a stretch of time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RoutePointView {
    /// When it begins.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// What they add up to.
    sum: RouteSumView,
}

/// What one model did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ModelSumView {
    /// The model.
    model: String,
    /// The part it played.
    role: &'static str,
    /// How often it was asked.
    asked: u64,
    /// How often its answer was given.
    answered: u64,
    /// How often it was not sure enough.
    unsure: u64,
    /// How often it failed or broke off.
    failed: u64,
    /// Its answers that somebody judged.
    judged: u64,
    /// Those that were found right.
    good: u64,
    /// What it cost in US dollars, as far as it is known.
    cost_usd: f64,
    /// Tries whose cost nobody knows.
    unknown_cost: u64,
    /// The median of its times to an answer, in milliseconds.
    #[schema(required)]
    p50_ms: Option<u64>,
}

impl From<ModelSum> for ModelSumView {
    fn from(sum: ModelSum) -> Self {
        Self {
            model: sum.model,
            role: sum.role.as_str(),
            asked: sum.asked,
            answered: sum.answered,
            unsure: sum.unsure,
            failed: sum.failed,
            judged: sum.judged,
            good: sum.good,
            cost_usd: NanoUsd::new(sum.nano_usd).to_usd(),
            unknown_cost: sum.unknown_cost,
            p50_ms: sum.p50_ms,
        }
    }
}

/// What calls came to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RouteReportView {
    /// All of them.
    sum: RouteSumView,
    /// The length of a stretch of time, in seconds.
    step_seconds: i64,
    /// By stretches of time, the earliest first; those without a call are left out.
    points: Vec<RoutePointView>,
    /// By model, the one that answered most first.
    models: Vec<ModelSumView>,
    /// By strategy, by its word.
    strategies: BTreeMap<&'static str, RouteSumView>,
    /// By kind of task.
    kinds: BTreeMap<&'static str, RouteSumView>,
    /// Whether that is all; else only the newest calls are counted.
    whole: bool,
}

/// How long a stretch of time is.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StepQuery {
    /// Seconds; as many as give some fifty points without it.
    #[param(minimum = 60, maximum = 31_536_000)]
    step_seconds: Option<u32>,
}

/// A round length that cuts a time into some fifty stretches.
fn usual_step(seconds: i64) -> i64 {
    const ROUND: [i64; 9] = [60, 300, 900, 3600, 10_800, 21_600, 86_400, 604_800, 2_592_000];
    let fits = ROUND.into_iter().find(|step| seconds / step <= 60);
    fits.unwrap_or(2_592_000)
}

fn step(asked: Option<u32>, span_secs: i64) -> Result<i64, Problem> {
    match asked.map(i64::from) {
        None => Ok(usual_step(span_secs)),
        Some(step @ 60..=31_536_000) if span_secs / step < MOST_POINTS => Ok(step),
        Some(60..=31_536_000) => Err(Problem::new(
            Code::BadRequest,
            format!("that would be more than {MOST_POINTS} points"),
        )
        .hint("take a larger step_seconds, or fewer seconds")),
        Some(_) => Err(Problem::new(Code::BadRequest, "step_seconds is 60 to 31536000")),
    }
}

/// What calls cost, how good they were and who answered them, over time and by model.
#[utoipa::path(get, path = "/api/router/report", tag = "router", params(SpanQuery, StepQuery),
    responses((status = 200, body = RouteReportView), Failures, Missing))]
pub(crate) async fn report(
    State(state): State<AppState>,
    Query(span): Query<SpanQuery>,
    Query(wanted): Query<StepQuery>,
) -> Result<axum::Json<RouteReportView>, Problem> {
    let now = state.parts.clock.now();
    let (filter, limit) = span.checked(now)?;
    state.gateway.flush().await;
    let records = newest(state.parts.gateway.routes.as_ref(), &filter, limit).await?;
    let oldest = records.last().map_or(now, |record| record.at);
    let step_seconds = step(wanted.step_seconds, now.as_second() - oldest.as_second())?;
    let report = RouteReport::of(&records, step_seconds);
    let sums = |all: BTreeMap<&'static str, RouteSum>| {
        all.into_iter().map(|(word, sum)| (word, sum.into())).collect()
    };
    let points = report.points.into_iter().map(|point| RoutePointView {
        from: point.from,
        sum: point.sum.into(),
    });
    Ok(axum::Json(RouteReportView {
        sum: report.sum.into(),
        step_seconds,
        points: points.collect(),
        models: report.models.into_iter().map(ModelSumView::from).collect(),
        strategies: sums(report.strategies),
        kinds: sums(report.kinds),
        whole: records.len() < limit,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_cut_into_as_many_stretches_as_one_can_see() {
        assert_eq!(step(None, 0).unwrap(), 60);
        assert_eq!(step(None, 86_400).unwrap(), 3600);
        assert_eq!(step(None, 30 * 86_400).unwrap(), 86_400);
        assert_eq!(step(None, i64::MAX).unwrap(), 2_592_000);
        assert_eq!(step(Some(60), 3600).unwrap(), 60);
        for (asked, span) in [(59, 0), (60, 86_400), (0, 0)] {
            assert_eq!(step(Some(asked), span).unwrap_err().code(), Code::BadRequest);
        }
    }
}
