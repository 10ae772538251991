//! The recipes: one fixed Python file each, whose every decision comes from a JSON file beside it.

use std::fmt;
use std::str::FromStr;

use bashgym_traces::RowKind;
use serde::{Deserialize, Serialize};

/// Joins the parts that all scripts share with a recipe's own, when this crate is compiled.
macro_rules! script {
    ($recipe:literal) => {
        concat!(
            include_str!("scripts/header.py"),
            include_str!("scripts/common.py"),
            include_str!(concat!("scripts/", $recipe))
        )
    };
}
/// A way to train a student on top of a base model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Recipe {
    /// Supervised: whole conversations, of which the assistant's words are learned.
    #[default]
    Sft,
    /// Direct preference optimisation: pairs of a better and a worse completion.
    Dpo,
    /// Group relative policy optimisation: prompts with checks that verify a completion.
    Grpo,
    /// Supervised on the completions of a teacher.
    Distillation,
}

impl Recipe {
    /// All recipes.
    pub const ALL: [Self; 4] = [Self::Sft, Self::Dpo, Self::Grpo, Self::Distillation];

    /// The recipe's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sft => "sft",
            Self::Dpo => "dpo",
            Self::Grpo => "grpo",
            Self::Distillation => "distillation",
        }
    }

    /// The rows it trains on.
    pub fn row_kind(self) -> RowKind {
        match self {
            Self::Sft => RowKind::Sft,
            Self::Dpo => RowKind::Preference,
            Self::Grpo => RowKind::Rlvr,
            Self::Distillation => RowKind::Distillation,
        }
    }

    /// The file name of its script.
    pub fn script_name(self) -> &'static str {
        match self {
            Self::Sft => "sft.py",
            Self::Dpo => "dpo.py",
            Self::Grpo => "grpo.py",
            Self::Distillation => "distillation.py",
        }
    }

    /// Its script: a self-contained uv script with pinned dependencies. The same text for every run.
    pub fn script(self) -> &'static str {
        match self {
            Self::Sft => script!("sft.py"),
            Self::Dpo => script!("dpo.py"),
            Self::Grpo => script!("grpo.py"),
            Self::Distillation => script!("distillation.py"),
        }
    }

    /// The learning rate where nobody says otherwise: the usual ones for adapters, a tenth of them for all weights.
    pub fn default_learning_rate(self, method: super::Method) -> f64 {
        let adapters = match self {
            Self::Sft | Self::Distillation => 2e-4,
            Self::Dpo => 5e-6,
            Self::Grpo => 1e-5,
        };
        if method == super::Method::Full {
            adapters / 10.0
        } else {
            adapters
        }
    }
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Recipe {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|recipe| recipe.as_str() == text)
            .ok_or_else(|| format!("`{text}` is no recipe; there are sft, dpo, grpo and distillation"))
    }
}
