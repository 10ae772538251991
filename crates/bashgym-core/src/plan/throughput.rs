//! How fast earlier runs were: the only ground on which a time is foretold.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::run::{RunState, Target};
use crate::store::{RunStore, StoreError};
use crate::trainer::{RESULT_FILE, TrainerConfig};

/// Runs that are looked through.
const RUNS: u32 = 500;

/// Tokens a second, as measured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// The median of the runs.
    pub tokens_per_second: f64,
    /// How many runs were measured.
    pub runs: u64,
}

/// Looks up what runs of the same base model, recipe and method on the same flavor measured; none if there was none.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub async fn measured_throughput(
    store: &dyn RunStore,
    target: &Target,
    training: &TrainerConfig,
    flavor: &str,
) -> Result<Option<Throughput>, StoreError> {
    let alike = |other: &TrainerConfig| match (&training.trl, &other.trl) {
        (Some(ours), Some(theirs)) => {
            (&ours.base_model, ours.recipe, ours.method, ours.sequence_length)
                == (
                    &theirs.base_model,
                    theirs.recipe,
                    theirs.method,
                    theirs.sequence_length,
                )
        }
        (None, None) => training.preset == other.preset,
        _ => false,
    };
    let mut measured: Vec<f64> = store
        .list_runs(None, RUNS)
        .await?
        .into_iter()
        .filter(|run| {
            run.spec.flavor == flavor && run.spec.target.hub == target.hub && alike(&run.spec.training)
        })
        .filter_map(|run| match run.state {
            RunState::Succeeded { model, .. } => {
                let text = std::fs::read(model.dir.join(RESULT_FILE)).ok()?;
                let result: Value = serde_json::from_slice(&text).ok()?;
                result.get("tokens_per_second")?.as_f64()
            }
            _ => None,
        })
        .filter(|speed| speed.is_finite() && *speed > 0.0)
        .collect();
    measured.sort_by(f64::total_cmp);
    Ok(measured.get(measured.len() / 2).map(|median| Throughput {
        tokens_per_second: *median,
        runs: measured.len() as u64,
    }))
}
