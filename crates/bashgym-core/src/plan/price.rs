//! Prices, in whole millionths of a US dollar.

use std::time::Duration;

use hf_jobs::JobHardware;

/// The price of a job that runs this long, each begun minute in full, and is tried so often; none when the Hub names none.
///
/// # Units
/// Millionths of a US dollar.
pub fn price_for(flavor: &JobHardware, seconds: u64, attempts: u32) -> Option<u64> {
    flavor
        .micro_usd_for(Duration::from_secs(seconds))?
        .checked_mul(u64::from(attempts))
}

/// A price as text: `$1.20`, and as many digits more as it has.
pub fn micro_usd_text(micro_usd: u64) -> String {
    let (dollars, rest) = (micro_usd / 1_000_000, micro_usd % 1_000_000);
    let digits = format!("{rest:06}");
    let kept = digits.trim_end_matches('0').len().max(2);
    format!("${dollars}.{}", &digits[..kept])
}

/// The same as a number of dollars.
pub(crate) fn usd(micro_usd: u64) -> f64 {
    micro_usd as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_are_exact_to_the_last_millionth() {
        for (micro, text) in [
            (0, "$0.00"),
            (167, "$0.000167"),
            (1_200_000, "$1.20"),
            (1_000_020, "$1.00002"),
            (23_500_020, "$23.50002"),
        ] {
            assert_eq!(micro_usd_text(micro), text);
        }
        assert_eq!(serde_json::to_string(&usd(1_000_020)).unwrap(), "1.00002");
    }

    #[test]
    fn each_begun_minute_and_each_attempt_is_paid() {
        let flavor: JobHardware = serde_json::from_value(serde_json::json!({
            "name": "a10g-small", "unitCostMicroUSD": 16667, "unitLabel": "minute"
        }))
        .unwrap();
        assert_eq!(price_for(&flavor, 5401, 1), Some(91 * 16667));
        assert_eq!(price_for(&flavor, 5400, 3), Some(3 * 90 * 16667));
        assert_eq!(price_for(&flavor, u64::MAX, 2), None);
        let unknown: JobHardware = serde_json::from_value(serde_json::json!({ "name": "x" })).unwrap();
        assert_eq!(price_for(&unknown, 60, 1), None);
    }
}
