//! What a call cost, and how that is known.

use std::fmt;
use std::ops::Add;

use serde::{Deserialize, Serialize};

/// Billionths of a US dollar: a token costs less than a millionth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NanoUsd(u64);

impl NanoUsd {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// An amount in billionths of a dollar.
    pub const fn new(nano: u64) -> Self {
        Self(nano)
    }

    /// An amount in dollars, rounded up to the next billionth. None for what is no amount: negative, infinite, or beyond
    /// eighteen billion dollars.
    pub fn from_usd(usd: f64) -> Option<Self> {
        let nano = (usd * 1e9).ceil();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "what is outside the range, 2^64 at its end, is not given out"
        )]
        let amount = Self(nano as u64);
        (0.0..18_446_744_073_709_551_616.0)
            .contains(&nano)
            .then_some(amount)
    }

    /// Billionths of a dollar.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Millionths of a dollar, rounded up: what a budget counts in.
    pub const fn to_micro_ceil(self) -> u64 {
        self.0.div_ceil(1000)
    }

    /// Dollars, for printing.
    pub fn to_usd(self) -> f64 {
        self.0 as f64 / 1e9
    }
}

impl Add for NanoUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${:.6}", self.to_usd())
    }
}

/// What a model's tokens cost at one provider, in US dollars for a million of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TokenPrice {
    /// A million tokens of the prompt.
    pub input: f64,
    /// A million tokens of the answer.
    pub output: f64,
}

impl TokenPrice {
    /// What so many tokens cost, rounded up. None where the price is no number.
    pub fn cost(self, usage: Usage) -> Option<NanoUsd> {
        let usd = (usage.prompt_tokens as f64)
            .mul_add(self.input, usage.completion_tokens as f64 * self.output)
            / 1e6;
        NanoUsd::from_usd(usd)
    }
}

/// The tokens of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Of the prompt.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Of the answer.
    #[serde(default)]
    pub completion_tokens: u64,
}

impl Usage {
    /// All of them.
    pub fn total(self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
        }
    }
}

/// What a call cost. What is not known is not zero: it has no amount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "source", content = "nano_usd", rename_all = "snake_case")]
pub enum Cost {
    /// The provider said so.
    Reported(NanoUsd),
    /// Tokens times the price in the router's catalogue.
    RoutePrice(NanoUsd),
    /// Not known: no price, no count of tokens, or nobody said who served.
    Unknown,
}

impl Cost {
    /// The amount, if it is known.
    pub fn amount(self) -> Option<NanoUsd> {
        match self {
            Self::Reported(amount) | Self::RoutePrice(amount) => Some(amount),
            Self::Unknown => None,
        }
    }

    /// Where it comes from, in one word.
    pub fn source(self) -> &'static str {
        match self {
            Self::Reported(_) => "reported",
            Self::RoutePrice(_) => "route_price",
            Self::Unknown => "unknown",
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn tokens_are_paid_to_the_billionth_and_rounded_up() {
        let price = TokenPrice {
            input: 0.15,
            output: 0.6,
        };
        let usage = Usage {
            prompt_tokens: 12,
            completion_tokens: 3,
        };
        // 12 × 150 + 3 × 600 billionths.
        assert_eq!(price.cost(usage), Some(NanoUsd::new(3600)));
        assert_eq!(NanoUsd::new(3601).to_micro_ceil(), 4);
        let unknown = TokenPrice {
            input: f64::NAN,
            output: 1.0,
        };
        assert_eq!(unknown.cost(usage), None);
    }

    proptest! {
        #[test]
        fn an_amount_is_never_below_the_price(usd in -1.0_f64..1e9) {
            match NanoUsd::from_usd(usd) {
                Some(amount) => prop_assert!(amount.to_usd() >= usd * (1.0 - 1e-12)),
                None => prop_assert!(usd < 0.0),
            }
        }
    }
}
