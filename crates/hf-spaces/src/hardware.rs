//! What a Space runs on.

use std::fmt;
use std::str::FromStr;

use hf_core::HfError;
use serde::{Deserialize, Serialize};

use crate::lenient;

/// The name of the hardware of a Space, as the Hub takes it.
///
/// ```
/// use hf_spaces::SpaceHardware;
/// let hardware: SpaceHardware = "zero-gpu".parse().unwrap();
/// assert_eq!(hardware.as_str(), "zero-a10g");
/// ```
///
/// # Source
/// Hub OpenAPI, `POST /api/repos/create`; `huggingface_hub` 2.4.0 `_space_api.py` `SpaceHardware`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SpaceHardware(String);

impl SpaceHardware {
    /// Graphics processors lent for the seconds of a call.
    pub fn zero_gpu() -> Self {
        Self("zero-a10g".to_owned())
    }

    /// The free processors.
    pub fn cpu_basic() -> Self {
        Self("cpu-basic".to_owned())
    }

    /// The Hub's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has no graphics processor, by its name.
    pub fn is_cpu(&self) -> bool {
        self.0.starts_with("cpu-")
    }

    /// Whether it is `ZeroGPU`.
    pub fn is_zero_gpu(&self) -> bool {
        self.0 == "zero-a10g"
    }

    /// Whether it is billed by the minute.
    pub fn is_paid(&self) -> bool {
        !self.is_zero_gpu() && self.0 != "cpu-basic"
    }
}

impl Default for SpaceHardware {
    fn default() -> Self {
        Self::zero_gpu()
    }
}

impl FromStr for SpaceHardware {
    type Err = HfError;

    /// Reads a name. `zero-gpu` and `zerogpu` are `zero-a10g`: the Hub takes neither when hardware is changed.
    fn from_str(text: &str) -> Result<Self, HfError> {
        let word = text.trim().to_ascii_lowercase();
        match word.as_str() {
            "zero-gpu" | "zerogpu" | "zero" => Ok(Self::zero_gpu()),
            "cpu" => Ok(Self::cpu_basic()),
            _ if !word.is_empty()
                && word
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') =>
            {
                Ok(Self(word))
            }
            _ => Err(HfError::invalid(format!(
                "{text:?} is no hardware name; names are like zero-a10g, cpu-basic, t4-small"
            ))),
        }
    }
}

impl TryFrom<String> for SpaceHardware {
    type Error = HfError;

    fn try_from(text: String) -> Result<Self, HfError> {
        text.parse()
    }
}

impl From<SpaceHardware> for String {
    fn from(hardware: SpaceHardware) -> Self {
        hardware.0
    }
}

impl fmt::Display for SpaceHardware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One row of what Spaces can run on.
///
/// # Source
/// Hub OpenAPI, `GET /api/spaces/hardware`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct SpaceFlavor {
    /// The name, as a Space asks for it.
    pub name: String,
    /// The name people read.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub pretty_name: Option<String>,
    /// Its processors, like `2 vCPU`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub cpu: Option<String>,
    /// Its memory, like `16 GB`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub ram: Option<String>,
    /// The price of one [`SpaceFlavor::unit_label`] in millionths of a US dollar. None is unknown, not free.
    #[serde(rename = "unitCostMicroUSD", default, deserialize_with = "lenient::number")]
    pub unit_cost_micro_usd: Option<u64>,
    /// What one unit is: `minute`.
    #[serde(default, deserialize_with = "lenient::or_default")]
    pub unit_label: Option<String>,
}

impl SpaceFlavor {
    /// The price of a minute in millionths of a US dollar; none where the Hub tells none, or that of another unit.
    pub fn micro_usd_per_minute(&self) -> Option<u64> {
        self.unit_cost_micro_usd
            .filter(|_| self.unit_label.as_deref() == Some("minute"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_people_use_become_the_names_the_hub_takes() {
        for name in ["zero-gpu", "zerogpu", "ZERO-GPU", "zero-a10g"] {
            assert!(name.parse::<SpaceHardware>().unwrap().is_zero_gpu(), "{name}");
        }
        let paid = |name: &str| name.parse::<SpaceHardware>().unwrap().is_paid();
        assert!(paid("t4-small") && !paid("cpu") && !paid("zero-gpu"));
        for wrong in ["", "t4 small", "a\"b", "x\ny"] {
            assert!(wrong.parse::<SpaceHardware>().is_err(), "{wrong:?}");
        }
    }
}
