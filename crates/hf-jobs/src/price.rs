//! What jobs cost.

use std::time::Duration;

use hf_core::MicroUsd;

use crate::hardware::JobHardware;
use crate::spec::JobSpec;

/// What exposing ports costs, an hour and job.
///
/// # Source
/// The Hub's documentation of jobs: a flat $0.01 an hour, however many ports.
const EXPOSE_MICRO_USD_PER_HOUR: u64 = 10_000;

impl JobHardware {
    /// The price of running for `duration`; see [`JobHardware::micro_usd_for`].
    pub fn price_for(&self, duration: Duration) -> Option<MicroUsd> {
        self.micro_usd_for(duration)
            .and_then(|micros| MicroUsd::new(micros).ok())
    }
}

impl JobSpec {
    /// The most this job can cost on `hardware`: its price times the time-out, each begun minute in full, with what its ports cost.
    ///
    /// Whether the time-out is that of the job or of each of its attempts is not known; the attempts are counted in full. None
    /// when the price is not known, or the job has no time-out.
    pub fn price_worst(&self, hardware: &JobHardware) -> Option<MicroUsd> {
        let timeout = self.timeout?;
        let once = hardware.micro_usd_for(timeout)?;
        let ports = match self.expose {
            Some(_) => EXPOSE_MICRO_USD_PER_HOUR
                .checked_mul(timeout.as_secs().div_ceil(60))?
                .div_ceil(60),
            None => 0,
        };
        let attempts = u64::from(self.attempts.unwrap_or(1).max(1));
        once.checked_add(ports)?
            .checked_mul(attempts)
            .and_then(|micros| MicroUsd::new(micros).ok())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::spec::Expose;

    fn usd(micros: u64) -> MicroUsd {
        MicroUsd::new(micros).unwrap()
    }

    #[test]
    fn the_worst_price_is_the_price_times_the_time_out() {
        let hardware: JobHardware = serde_json::from_value(
            json!({"name": "a10g-small", "unitCostMicroUSD": 16667, "unitLabel": "minute"}),
        )
        .unwrap();
        let mut spec = JobSpec::docker("python:3.12", ["python"]);
        assert_eq!(
            spec.price_worst(&hardware),
            None,
            "without a time-out there is no worst case"
        );
        spec.timeout = Some(Duration::from_mins(90));
        assert_eq!(spec.price_worst(&hardware), Some(usd(90 * 16667)));
        spec.attempts = Some(3);
        assert_eq!(spec.price_worst(&hardware), Some(usd(3 * 90 * 16667)));
        spec.attempts = None;
        spec.expose = Some(Expose {
            ports: vec![80],
            ports_public: vec![],
        });
        assert_eq!(spec.price_worst(&hardware), Some(usd(90 * 16667 + 15_000)));
        let unknown: JobHardware = serde_json::from_value(json!({"name": "new"})).unwrap();
        assert_eq!(spec.price_worst(&unknown), None);
    }
}
