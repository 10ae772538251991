//! What a person may decide about training.

use serde::{Deserialize, Serialize};

/// The size of an embedded student.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Trains in seconds; for trying out the flow.
    Tiny,
    /// Trains in a minute or two on two cores.
    #[default]
    Small,
    /// Trains for longer, for more data.
    Base,
}

impl Preset {
    /// The preset's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Base => "base",
        }
    }
}

/// How a student is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainerConfig {
    /// The size of the student.
    pub preset: Preset,
    /// Decides the split, the order of the data and the first weights.
    pub seed: u64,
    /// Optimiser steps; the preset's own number where absent.
    pub max_steps: Option<u64>,
    /// Seconds of training after which it ends with a proper evaluation; the preset's own where absent.
    pub max_seconds: Option<u64>,
    /// Seconds after which the job is stopped from outside. Never the provider's default by accident.
    pub timeout_seconds: u64,
}

impl Default for TrainerConfig {
    fn default() -> Self {
        Self {
            preset: Preset::default(),
            seed: 42,
            max_steps: None,
            max_seconds: None,
            timeout_seconds: 2 * 60 * 60,
        }
    }
}
