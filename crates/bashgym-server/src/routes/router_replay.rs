//! What calls would have come to another way.

use axum::extract::State;
use bashgym_core::router::{DecisionRecord, Recorded, Replay, ReplaySum, RoutingStrategy, Seen};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::router_now::quality;
use super::router_report::SpanQuery;
use crate::extract::Query;
use crate::problem::{Code, Failures, Missing, Problem};
use crate::state::AppState;

/// Strategies of one replay at most.
const MOST_STRATEGIES: usize = 8;
/// What is replayed where nobody says.
const USUAL: &str = "teacher_only,student_only,hf_inference,confidence_based,cost_optimized";

/// Which strategies.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReplayQuery {
    /// Words with a comma between them, a quality behind a colon: `student_only,cost_optimized:0.9`. The usual ones without it.
    strategies: Option<String>,
}

fn strategies(text: &str) -> Result<Vec<RoutingStrategy>, Problem> {
    let bad = |why: String| Problem::new(Code::BadRequest, why);
    let words: Vec<&str> = text
        .split(',')
        .map(str::trim)
        .filter(|word| !word.is_empty())
        .collect();
    if words.is_empty() || words.len() > MOST_STRATEGIES {
        return Err(bad(format!("strategies are 1 to {MOST_STRATEGIES}")));
    }
    words
        .into_iter()
        .map(|word| {
            let strategy: RoutingStrategy = word.parse().map_err(|error| bad(format!("{error}")))?;
            match strategy.why_no_replay() {
                Some((why, instead)) => Err(bad(why.to_owned()).hint(instead)),
                None => Ok(strategy),
            }
        })
        .collect()
}

/// What calls would have come to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplaySumView {
    /// Calls.
    calls: u64,
    /// What they cost in US dollars, as far as it is known.
    cost_usd: f64,
    /// Calls whose cost is not known.
    unknown_cost: u64,
    /// How often they were right, 0 to 1: verdicts where there are any, else what was believed of the model at the time.
    quality: f64,
    /// The same from the lower bounds of what was believed.
    quality_low: f64,
    /// Calls with a verdict on the very answer.
    judged: u64,
    /// The share that was asked of a second model because the first was not sure.
    escalated: f64,
    /// The share answered by the student.
    student: f64,
}

impl From<&ReplaySum> for ReplaySumView {
    fn from(sum: &ReplaySum) -> Self {
        Self {
            calls: sum.calls,
            cost_usd: sum.nano_usd / 1e9,
            unknown_cost: sum.unknown_cost,
            quality: sum.quality,
            quality_low: sum.quality_low,
            judged: sum.judged,
            escalated: sum.escalated,
            student: sum.student,
        }
    }
}

/// What verdicts alone say of a strategy: those on answers it would have given too.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct SeenView {
    /// Verdicts that count.
    verdicts: u64,
    /// How often it was right, 0 to 1; null without a verdict.
    #[schema(required)]
    quality: Option<f64>,
    /// The lower bound of that, with 90 % confidence.
    #[schema(required)]
    low: Option<f64>,
    /// The upper bound.
    #[schema(required)]
    high: Option<f64>,
    /// Whether there are too few of them to go by.
    is_thin: bool,
}

impl From<&Seen> for SeenView {
    fn from(seen: &Seen) -> Self {
        Self {
            verdicts: seen.verdicts,
            quality: seen.quality,
            low: seen.quality_interval.map(|(low, _)| low),
            high: seen.quality_interval.map(|(_, high)| high),
            is_thin: seen.is_thin,
        }
    }
}

/// What one strategy would have come to.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayView {
    /// The strategy's word.
    strategy: &'static str,
    /// How sure or how good an answer has to be for it, 0 to 1.
    #[schema(required)]
    quality: Option<f64>,
    /// Whether nobody plays the part that it asks for, so that it would have answered no call.
    nobody: bool,
    /// What it would have come to.
    would: ReplaySumView,
    /// What verdicts alone say of it.
    seen: SeenView,
    /// Everything that is known of it, as `bashgym route replay --format json` tells it.
    #[schema(value_type = Object)]
    replay: Value,
}

/// What strategies would have come to with the calls that were made.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReplayReport {
    /// What was done.
    done: ReplaySumView,
    /// Calls for which the caller named a model: no strategy had a say in them.
    named: u64,
    /// Each strategy.
    replays: Vec<ReplayView>,
    /// Whether that is all; else only the newest calls are counted.
    whole: bool,
}

/// Whether a strategy keeps to a part that no model played in any of these calls.
fn is_nobody(records: &[DecisionRecord], strategy: RoutingStrategy) -> bool {
    strategy.role().is_some_and(|role| {
        let mut candidates = records.iter().flat_map(|record| &record.candidates);
        !candidates.any(|one| one.role == role)
    })
}

/// What other strategies would have cost and been worth, over the calls that were made. No model is asked.
#[utoipa::path(get, path = "/api/router/replay", tag = "router", params(ReplayQuery, SpanQuery),
    responses((status = 200, body = ReplayReport), Failures, Missing))]
pub(crate) async fn replay(
    State(state): State<AppState>,
    Query(wanted): Query<ReplayQuery>,
    Query(span): Query<SpanQuery>,
) -> Result<axum::Json<ReplayReport>, Problem> {
    let (filter, limit) = span.checked(state.parts.clock.now())?;
    let strategies = strategies(wanted.strategies.as_deref().unwrap_or(USUAL))?;
    state.gateway.flush().await;
    let recorded = Recorded::read(state.parts.gateway.routes.as_ref(), &filter, limit).await?;
    let replays: Vec<Replay> = strategies.iter().map(|it| recorded.replay(*it)).collect();
    let first = replays.first();
    Ok(axum::Json(ReplayReport {
        done: ReplaySumView::from(&first.map(|it| it.done).unwrap_or_default()),
        named: first.map_or(0, |it| it.named),
        whole: recorded.decisions.len() < limit,
        replays: replays
            .iter()
            .map(|it| ReplayView {
                strategy: it.strategy.as_str(),
                quality: quality(it.strategy),
                nobody: is_nobody(&recorded.decisions, it.strategy),
                would: (&it.would).into(),
                seen: (&it.seen).into(),
                replay: json!(it),
            })
            .collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies_are_known_words_that_can_be_replayed() {
        assert_eq!(strategies(USUAL).unwrap().len(), 5);
        assert_eq!(quality(strategies("cost_optimized:0.9").unwrap()[0]), Some(0.9));
        for wrong in [
            "",
            ",",
            "best",
            "progressive",
            "cost_optimized:2",
            "a,b,c,d,e,f,g,h,i",
        ] {
            assert_eq!(strategies(wrong).unwrap_err().code(), Code::BadRequest, "{wrong}");
        }
    }
}
