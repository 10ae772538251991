//! How the router stands: its strategy, its models, and what is known of them.

use axum::extract::State;
use bashgym_core::router::{DecisionFilter, ModelStanding, RoutingStrategy, model_notes, newest, standings};
use hf_inference::{BreakerState, TokenPrice};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::router_report::MOST_READ;
use crate::problem::{Failures, Missing, Problem};
use crate::state::AppState;

/// A model that this server can ask.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BackendView {
    /// The part it plays: `student`, `hf` or `teacher`.
    role: &'static str,
    /// The model.
    model: String,
    /// What a million tokens of a prompt cost, in US dollars; null is unknown, not free.
    #[schema(required)]
    input_usd: Option<f64>,
    /// What a million tokens of an answer cost.
    #[schema(required)]
    output_usd: Option<f64>,
    /// `closed` takes calls, `half_open` takes one to see, `open` takes none after failures.
    breaker: &'static str,
    /// Seconds until an open breaker lets one call through.
    #[schema(required)]
    retry_in_seconds: Option<u64>,
    /// The share of requests it gets, 0 to 1, where the share moves with verdicts.
    #[schema(required)]
    share: Option<f64>,
    /// What its confidence is worth, as it was measured: `examples`, `error`, `error_interval`, `points`; null where nobody did.
    #[schema(value_type = Option<Object>, required)]
    calibration: Option<Value>,
}

/// What verdicts say of a model.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StandingView {
    /// The model.
    model: String,
    /// The part it played.
    role: &'static str,
    /// The kind and length of the tasks; null for all of them together.
    #[schema(required)]
    bucket: Option<String>,
    /// How often it is right, on average, 0 to 1; newer verdicts count more, and what is assumed before any counts a little.
    mean: f64,
    /// It is right at least this often, with a confidence of 90 %.
    low: f64,
    /// It is right at most this often, with a confidence of 90 %.
    high: f64,
    /// Verdicts that it was right.
    good: u64,
    /// Verdicts that it was wrong.
    bad: u64,
}

impl From<ModelStanding> for StandingView {
    fn from(it: ModelStanding) -> Self {
        Self {
            mean: it.belief.mean,
            low: it.belief.low,
            high: it.belief.high(),
            model: it.model,
            role: it.role.as_str(),
            bucket: it.bucket,
            good: it.good,
            bad: it.bad,
        }
    }
}

/// The router as it stands.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RouterView {
    /// How `bashgym/auto` chooses: the strategy's word.
    strategy: &'static str,
    /// How sure or how good an answer has to be, 0 to 1, where the strategy asks for that.
    #[schema(required)]
    quality: Option<f64>,
    /// The share of calls that try another model, so that it can show what it can do; 0 to 1.
    explore: f64,
    /// Whether conversations of escalated calls are kept for the next dataset.
    keeps_exchanges: bool,
    /// How long a call may take with all its tries, in seconds.
    deadline_seconds: u64,
    /// The models behind it. None: nothing is set up to answer.
    backends: Vec<BackendView>,
    /// What verdicts say of each model, all kinds of tasks first.
    standings: Vec<StandingView>,
}

/// How sure or how good an answer has to be, where a strategy asks for that.
pub(super) fn quality(strategy: RoutingStrategy) -> Option<f64> {
    match strategy {
        RoutingStrategy::ConfidenceBased { threshold } => Some(threshold),
        RoutingStrategy::CostOptimized { quality_floor, .. }
        | RoutingStrategy::Progressive { quality_floor } => Some(quality_floor),
        _ => None,
    }
}

fn breaker(state: BreakerState) -> (&'static str, Option<u64>) {
    match state {
        BreakerState::Closed { .. } => ("closed", None),
        BreakerState::HalfOpen => ("half_open", None),
        BreakerState::Open { retry_in_seconds } => ("open", Some(retry_in_seconds)),
    }
}

/// The strategy, the models behind it, and what is known of them.
#[utoipa::path(get, path = "/api/router", tag = "router",
    responses((status = 200, body = RouterView), Failures, Missing))]
pub(crate) async fn show(State(state): State<AppState>) -> Result<axum::Json<RouterView>, Problem> {
    let gateway = state.gateway.backends(&state).await?;
    let router = gateway.router();
    let policy = router.policy();
    let store = router.store();
    let notes = model_notes(store.as_ref()).await?;
    let mut backends = Vec::new();
    for backend in router.backends() {
        let model = backend.model();
        let price: Option<TokenPrice> = backend.price().await;
        let (word, retry_in_seconds) = breaker(backend.breaker());
        let note = notes.iter().find(|note| note.model == model);
        backends.push(BackendView {
            role: backend.role().as_str(),
            input_usd: price.map(|price| price.input),
            output_usd: price.map(|price| price.output),
            breaker: word,
            retry_in_seconds,
            share: note.and_then(|note| note.share),
            calibration: note
                .and_then(|note| note.calibration.as_ref())
                .map(|it| json!(it)),
            model: model.to_owned(),
        });
    }
    state.gateway.flush().await;
    let judged = DecisionFilter {
        judged: true,
        ..DecisionFilter::default()
    };
    let judged = newest(store.as_ref(), &judged, MOST_READ as usize).await?;
    let standings = standings(&judged, policy.fade, state.parts.clock.now());
    Ok(axum::Json(RouterView {
        strategy: policy.strategy.as_str(),
        quality: quality(policy.strategy),
        explore: policy.explore,
        keeps_exchanges: policy.keep_exchanges,
        deadline_seconds: policy.deadline.as_secs(),
        backends,
        standings: standings.into_iter().map(StandingView::from).collect(),
    }))
}
