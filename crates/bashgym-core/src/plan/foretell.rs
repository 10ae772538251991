//! How many steps, how long, and what it costs.

use hf_jobs::JobHardware;

use super::price::{price_for, usd};
use super::throughput::measured_throughput;
use super::wanted::PlanRequest;
use super::{DatasetFacts, Problem, TrainPlan};
use crate::CoreError;
use crate::store::RunStore;

/// Seconds for the image, the packages and the base model, before training begins.
const SETUP_SECONDS: u64 = 300;
/// A time-out that is derived leaves half as much again, and this.
const SLACK_SECONDS: u64 = 300;
/// The time-out of the embedded engine, which ends by itself.
const EMBEDDED_TIMEOUT_SECONDS: u64 = 2 * 60 * 60;

/// Steps, time, time-out and price.
pub(super) async fn foretell(
    request: &PlanRequest,
    store: &dyn RunStore,
    dataset: &DatasetFacts,
    hardware: &[JobHardware],
    plan: &mut TrainPlan,
) -> Result<(), CoreError> {
    let training = &request.training;
    if let Some(options) = &training.trl
        && dataset.rows_measured > 0
    {
        let batch = u64::from(options.batch_size.max(1)) * u64::from(options.accumulation.max(1));
        let rows = dataset.rows_train.saturating_sub(dataset.rows_lost);
        let steps = whole((rows.div_ceil(batch)) as f64 * options.epochs);
        let steps = training.max_steps.map_or(steps, |most| steps.min(most)).max(1);
        plan.steps = Some(steps);
        let rows_trained = (steps * batch) as f64;
        plan.tokens = Some(whole(
            (rows_trained).min(rows as f64 * options.epochs) * dataset.mean_tokens,
        ));
    }
    let flavor = plan.flavor.clone();
    if let Some(flavor) = &flavor {
        plan.throughput = measured_throughput(store, &request.target, training, flavor).await?;
    }
    if let (Some(tokens), Some(speed)) = (plan.tokens, plan.throughput) {
        plan.seconds_expected = Some(SETUP_SECONDS + whole(tokens as f64 / speed.tokens_per_second));
    }
    plan.timeout_seconds = match (request.timeout_seconds, plan.seconds_expected) {
        (Some(given), _) => Some(given),
        (None, Some(expected)) => Some((expected + expected / 2 + SLACK_SECONDS).div_ceil(60) * 60),
        (None, None) if training.trl.is_none() => Some(EMBEDDED_TIMEOUT_SECONDS),
        (None, None) => None,
    };
    let Some(timeout) = plan.timeout_seconds else {
        plan.problems.push(Problem::new(
            "timeout_needed",
            "no run like this one has been measured yet, so nobody can say how long it takes",
            "say after how long it is to be ended: --timeout 2h; it goes on from its last checkpoint with the same command",
        ));
        return Ok(());
    };
    plan.training.timeout_seconds = timeout;
    if let Some(expected) = plan.seconds_expected {
        let next = format!("give it longer: --timeout {expected}, or --max-steps fewer");
        if expected > timeout {
            plan.problems.push(Problem::new(
                "timeout_too_short",
                format!("it takes about {expected} seconds, and would be ended after {timeout}"),
                next,
            ));
        } else if expected + expected / 4 > timeout {
            plan.warnings.push(Problem::new(
                "timeout_close",
                format!("it takes about {expected} seconds, close to the {timeout} after which it is ended"),
                next,
            ));
        }
    }
    let Some(priced) = hardware.iter().find(|known| Some(&known.name) == flavor.as_ref()) else {
        return Ok(());
    };
    plan.price_worst_micro_usd = price_for(priced, timeout, training.max_attempts);
    plan.price_worst_usd = plan.price_worst_micro_usd.map(usd);
    plan.price_expected_usd = plan
        .seconds_expected
        .and_then(|seconds| price_for(priced, seconds, 1))
        .map(usd);
    if plan.price_worst_micro_usd.is_none() {
        plan.problems.push(Problem::new(
            "price_unknown",
            format!("the Hub names no price for {}", priced.name),
            "take a flavor with a price: bashgym jobs hardware",
        ));
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count that was positive stays so"
)]
fn whole(number: f64) -> u64 {
    number.ceil() as u64
}
