//! What is remembered of a launch.

use hf_core::JobId;
use hf_jobs::SubmissionState;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::view::JobView;
use crate::run::RunId;

/// One launch as the store keeps it: the intent, how far its submission got, and how its job stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LaunchRecord {
    /// The name of the intent, unique in the store; it is the value of the job's label.
    pub intent: String,
    /// Counts the saves; a save with an older number is refused.
    pub version: u64,
    /// The Hub it goes to, as [`super::LaunchContext::hub`] names it.
    #[serde(default)]
    pub hub: String,
    /// The namespace that the job belongs to and that pays.
    pub namespace: String,
    /// The run it belongs to, if it does.
    pub run: Option<RunId>,
    /// When it was decided.
    pub created_at: Timestamp,
    /// When the record last changed.
    pub updated_at: Timestamp,
    /// The request as sent, without the values of its secrets.
    pub request: Value,
    /// What money may be spent.
    pub price: LaunchPrice,
    /// How far the submission got.
    pub submission: SubmissionState,
    /// How the job stands.
    pub view: JobView,
    /// Whether the money is settled or released, so that nothing is left to do once the job is over.
    pub settled: bool,
}

/// What a launch may cost.
///
/// # Units
/// Micro-USD, seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LaunchPrice {
    /// The flavor's price for a minute; none when it is not known, which is never taken for zero.
    pub micro_usd_per_minute: Option<u64>,
    /// The longest the job may run.
    pub timeout_secs: Option<u64>,
    /// The most this one job may cost; it is canceled before it costs more.
    pub cap_micro_usd: Option<u64>,
    /// Whether a launch whose price is not known is allowed.
    pub allow_unknown: bool,
}

impl LaunchPrice {
    /// The most this can cost, minutes rounded up; none when the price or the time-out is not known.
    pub fn worst_micro_usd(&self) -> Option<u64> {
        self.cost_of(u128::from(self.timeout_secs?))
    }

    /// What `seconds` cost, minutes rounded up; none when the price is not known.
    fn cost_of(&self, seconds: u128) -> Option<u64> {
        let cost = seconds
            .div_ceil(60)
            .saturating_mul(u128::from(self.micro_usd_per_minute?));
        Some(u64::try_from(cost).unwrap_or(u64::MAX))
    }

    /// What a running time costs, minutes rounded up; none when the price is not known.
    pub fn cost_micro_usd(&self, running_secs: f64) -> Option<u64> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float cast saturates, and a running time is not negative"
        )]
        let seconds = running_secs.max(0.0).ceil() as u64;
        self.cost_of(u128::from(seconds))
    }
}

impl LaunchRecord {
    /// The job, once the Hub has it.
    pub fn job_id(&self) -> Option<&JobId> {
        self.submission.job_id()
    }

    /// Whether nothing is left to do: the job is over (or never was) and the money is settled. Whether its model is
    /// there is the run's to find out.
    pub fn is_finished(&self) -> bool {
        self.settled && (self.view.ended || self.view.state.is_final())
    }
}
