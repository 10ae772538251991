//! What a job can run on, and what that costs.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::lenient;

/// One hardware flavor, as the Hub offers it.
///
/// # Source
/// Hub OpenAPI, `GET /api/jobs/hardware`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct JobHardware {
    /// The flavor's name, as a job asks for it.
    pub name: String,
    /// The name people read.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub pretty_name: Option<String>,
    /// Its processors, like `4 vCPU`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub cpu: Option<String>,
    /// Its memory, like `15 GB`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub ram: Option<String>,
    /// Its disk, like `110 GB`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub ephemeral_storage: Option<String>,
    /// Its accelerator; processors alone have none.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub accelerator: Option<Accelerator>,
    /// The price of one [`JobHardware::unit_label`] in millionths of a US dollar. None is unknown, not free.
    #[serde(rename = "unitCostMicroUSD", default, deserialize_with = "lenient::number")]
    pub unit_cost_micro_usd: Option<u64>,
    /// The same price in US dollars, as the Hub rounds it.
    #[serde(rename = "unitCostUSD", default, deserialize_with = "lenient::or_default")]
    pub unit_cost_usd: Option<f64>,
    /// What one unit is: `minute`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub unit_label: Option<String>,
}

/// An accelerator.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Accelerator {
    /// `gpu` or `neuron`.
    #[serde(rename = "type", default, deserialize_with = "lenient::or_default")]
    pub kind: Option<String>,
    /// The model, like `A10G`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub model: Option<String>,
    /// How many; the Hub writes it as a string.
    #[serde(default, deserialize_with = "lenient::number")]
    pub quantity: Option<u64>,
    /// The memory of all together, like `24 GB`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub vram: Option<String>,
    /// `Nvidia` or `AWS`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub manufacturer: Option<String>,
}

impl JobHardware {
    /// The price of a minute, if the Hub gives one per minute.
    ///
    /// # Units
    /// Millionths of a US dollar.
    pub fn micro_usd_per_minute(&self) -> Option<u64> {
        (self.unit_label.as_deref() == Some("minute")).then_some(self.unit_cost_micro_usd)?
    }

    /// The price of running for `duration`, each begun minute counted in full; none when the price is unknown.
    ///
    /// # Units
    /// Millionths of a US dollar.
    pub fn micro_usd_for(&self, duration: Duration) -> Option<u64> {
        let seconds = duration
            .as_secs()
            .checked_add(u64::from(duration.subsec_nanos() > 0))?;
        self.micro_usd_per_minute()?.checked_mul(seconds.div_ceil(60))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(value: Value) -> JobHardware {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_flavor_is_read() {
        let flavor = read(
            json!({"name": "a10g-small", "prettyName": "Nvidia A10G - small", "cpu": "4 vCPU", "ram": "15 GB",
            "ephemeralStorage": "110 GB",
            "accelerator": {"type": "gpu", "model": "A10G", "quantity": "1", "vram": "24 GB", "manufacturer": "Nvidia"},
            "unitCostMicroUSD": 16667, "unitCostUSD": 0.016_667, "unitLabel": "minute"}),
        );
        assert_eq!(flavor.accelerator.as_ref().unwrap().quantity, Some(1));
        assert_eq!(flavor.micro_usd_per_minute(), Some(16667));
        for (seconds, minutes) in [(0, 0), (1, 1), (60, 1), (61, 2), (3600, 60)] {
            assert_eq!(
                flavor.micro_usd_for(Duration::from_secs(seconds)),
                Some(minutes * 16667)
            );
        }
        assert_eq!(
            flavor.micro_usd_for(Duration::from_millis(60_001)),
            Some(2 * 16667)
        );
        assert_eq!(flavor.micro_usd_for(Duration::MAX), None);
        assert_eq!(read(serde_json::to_value(&flavor).unwrap()), flavor);
    }

    #[test]
    fn an_unknown_price_is_unknown() {
        for (name, price) in [
            ("absent", json!({"name": "a", "accelerator": null})),
            (
                "null",
                json!({"name": "a", "unitCostMicroUSD": null, "unitLabel": "minute"}),
            ),
            (
                "another unit",
                json!({"name": "a", "unitCostMicroUSD": 5, "unitLabel": "hour"}),
            ),
            ("no unit", json!({"name": "a", "unitCostMicroUSD": 5})),
            (
                "negative",
                json!({"name": "a", "unitCostMicroUSD": -5, "unitLabel": "minute"}),
            ),
        ] {
            assert_eq!(read(price).micro_usd_for(Duration::from_mins(1)), None, "{name}");
        }
    }
}
