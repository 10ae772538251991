//! Money, exactly.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An amount of money in whole millionths of a US dollar, from 0 to one billion dollars.
///
/// It is read from decimal text and printed as such without ever being a floating-point number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct MicroUsd(u64);

/// Why an amount is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountError {
    /// Not digits with at most one point.
    #[error("write the amount in US dollars as digits, such as 1.00")]
    NotDecimal,
    /// A part of a millionth.
    #[error("amounts go down to a millionth of a dollar: at most six digits after the point")]
    TooFine,
    /// More than [`MicroUsd::MAX`].
    #[error("amounts go up to one billion dollars")]
    TooLarge,
}

const MICROS_PER_USD: u64 = 1_000_000;

impl MicroUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One billion dollars. Thousands of these add up within a signed 64-bit integer.
    pub const MAX: Self = Self(1_000_000_000 * MICROS_PER_USD);

    /// An amount from millionths of a dollar.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] above [`MicroUsd::MAX`].
    pub const fn new(micro_usd: u64) -> Result<Self, AmountError> {
        if micro_usd > Self::MAX.0 {
            return Err(AmountError::TooLarge);
        }
        Ok(Self(micro_usd))
    }

    /// The amount in US dollars, as near as a float comes; for showing, not for adding.
    pub fn usd(self) -> f64 {
        self.0 as f64 / MICROS_PER_USD as f64
    }

    /// The amount in millionths of a dollar.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The sum, or `None` above [`MicroUsd::MAX`].
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).and_then(|sum| Self::new(sum).ok())
    }

    /// The difference, or zero where `other` is more.
    #[must_use]
    pub const fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// What `duration` costs at a price a minute, a started millionth counting whole; `None` above
    /// [`MicroUsd::MAX`].
    ///
    /// # Source
    /// The Hub names the prices of its hardware in whole micro-dollars a minute (`unitCostMicroUSD`, `unitLabel`).
    #[must_use]
    pub fn of_duration(price_per_minute: Self, duration: Duration) -> Option<Self> {
        const NANOS_PER_MINUTE: u128 = 60_000_000_000;
        let product = u128::from(price_per_minute.0).checked_mul(duration.as_nanos())?;
        u64::try_from(product.div_ceil(NANOS_PER_MINUTE))
            .ok()
            .and_then(|micros| Self::new(micros).ok())
    }
}

/// Millionths of a dollar, of an amount or a sum of amounts, as a decimal with two to six digits after the point.
pub fn decimal_usd(micro_usd: u64) -> String {
    let micros = format!("{:06}", micro_usd % MICROS_PER_USD);
    let kept = micros.trim_end_matches('0').len().max(2);
    format!("{}.{}", micro_usd / MICROS_PER_USD, &micros[..kept])
}

impl TryFrom<u64> for MicroUsd {
    type Error = AmountError;

    fn try_from(micro_usd: u64) -> Result<Self, AmountError> {
        Self::new(micro_usd)
    }
}

impl From<MicroUsd> for u64 {
    fn from(amount: MicroUsd) -> Self {
        amount.0
    }
}

/// Dollars as a decimal with two to six digits after the point: `1.00`, `0.000167`.
impl fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&decimal_usd(self.0))
    }
}

/// Reads dollars: `1`, `1.5`, `0.000167`. No sign, no exponent, no currency sign, no digit grouping.
impl FromStr for MicroUsd {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        if !digits(whole) || !digits(fraction) {
            return Err(AmountError::NotDecimal);
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 6 {
            return Err(AmountError::TooFine);
        }
        let dollars: u64 = whole.parse().map_err(|_| AmountError::TooLarge)?;
        let micros: u64 = format!("{fraction:0<6}")
            .parse()
            .map_err(|_| AmountError::NotDecimal)?;
        dollars
            .checked_mul(MICROS_PER_USD)
            .and_then(|whole| whole.checked_add(micros))
            .ok_or(AmountError::TooLarge)
            .and_then(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_refused() {
        for (text, expected) in [
            ("1.00", Ok(1_000_000)),
            ("1", Ok(1_000_000)),
            ("0.000001", Ok(1)),
            ("0.1000000000", Ok(100_000)),
            ("0007.5", Ok(7_500_000)),
            ("1000000000", Ok(1_000_000_000_000_000)),
            ("1000000000.000001", Err(AmountError::TooLarge)),
            ("99999999999999999999999", Err(AmountError::TooLarge)),
            ("0.0000001", Err(AmountError::TooFine)),
            ("", Err(AmountError::NotDecimal)),
            (".5", Err(AmountError::NotDecimal)),
            ("5.", Err(AmountError::NotDecimal)),
            ("-1", Err(AmountError::NotDecimal)),
            ("+1", Err(AmountError::NotDecimal)),
            ("1e3", Err(AmountError::NotDecimal)),
            ("1,00", Err(AmountError::NotDecimal)),
            ("1.0.0", Err(AmountError::NotDecimal)),
            ("$1", Err(AmountError::NotDecimal)),
            (" 1", Err(AmountError::NotDecimal)),
            ("١", Err(AmountError::NotDecimal)),
            ("NaN", Err(AmountError::NotDecimal)),
        ] {
            assert_eq!(text.parse::<MicroUsd>().map(MicroUsd::get), expected, "{text:?}");
        }
    }

    #[test]
    fn stored_amounts_beyond_the_limit_do_not_read() {
        assert!(serde_json::from_str::<MicroUsd>("1000000000000001").is_err());
        assert_eq!(
            serde_json::from_str::<MicroUsd>("1000000000000000").unwrap(),
            MicroUsd::MAX
        );
    }

    #[test]
    fn a_started_millionth_of_a_duration_counts_whole() {
        let price = MicroUsd::new(167).unwrap();
        let cost = |seconds| MicroUsd::of_duration(price, Duration::from_secs(seconds)).map(MicroUsd::get);
        assert_eq!(
            [cost(0), cost(1), cost(60), cost(61)],
            [Some(0), Some(3), Some(167), Some(170)]
        );
        assert_eq!(MicroUsd::of_duration(MicroUsd::MAX, Duration::MAX), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_reads_as_the_same_amount(micros in 0..=MicroUsd::MAX.get()) {
            let amount = MicroUsd::new(micros).unwrap();
            prop_assert_eq!(amount.to_string().parse::<MicroUsd>(), Ok(amount));
        }

        #[test]
        fn any_text_is_an_amount_or_an_error(text in "[0-9.eE+-]{0,30}|.{0,12}") {
            let _ = text.parse::<MicroUsd>();
        }
    }
}
