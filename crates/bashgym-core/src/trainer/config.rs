//! What a person may decide about training.

use serde::{Deserialize, Serialize};

use super::Recipe;

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

/// Which weights of a base model are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Small adapters beside the frozen weights.
    #[default]
    Lora,
    /// Adapters beside weights that are held in four bits.
    Qlora,
    /// All weights.
    Full,
}

impl Method {
    /// The method's word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Qlora => "qlora",
            Self::Full => "full",
        }
    }
}

/// How a base model is trained by a [`Recipe`]'s script.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrlOptions {
    /// The recipe.
    pub recipe: Recipe,
    /// The base model, a repository.
    pub base_model: String,
    /// Its commit; the newest where absent.
    pub base_revision: Option<String>,
    /// Which weights are trained.
    pub method: Method,
    /// The rank of the adapters.
    pub lora_rank: u32,
    /// Passes over the data.
    pub epochs: f64,
    /// The learning rate after the warm-up; the recipe's own where absent.
    pub learning_rate: Option<f64>,
    /// Rows that go through the model at once.
    pub batch_size: u32,
    /// Batches to one optimiser step.
    pub accumulation: u32,
    /// Tokens of a row at most.
    pub sequence_length: u32,
    /// Steps between two evaluations.
    pub eval_every_steps: u64,
    /// Evaluations without a fall of the validation loss after which it ends; never where absent.
    pub early_stop_patience: Option<u32>,
    /// Completions of one prompt that GRPO compares.
    pub generations: u32,
    /// Tokens of such a completion at most.
    pub completion_length: u32,
}

impl TrlOptions {
    /// The usual options for a recipe and a base model.
    pub fn new(recipe: Recipe, base_model: impl Into<String>) -> Self {
        Self {
            recipe,
            base_model: base_model.into(),
            base_revision: None,
            method: Method::default(),
            lora_rank: 16,
            epochs: 3.0,
            learning_rate: None,
            batch_size: 1,
            accumulation: 8,
            sequence_length: 2048,
            eval_every_steps: 50,
            early_stop_patience: Some(3),
            generations: 8,
            completion_length: 512,
        }
    }
}

/// How a student is trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainerConfig {
    /// The size of an embedded student.
    pub preset: Preset,
    /// Decides the split, the order of the data and the first weights.
    pub seed: u64,
    /// Optimiser steps; the preset's own number where absent.
    pub max_steps: Option<u64>,
    /// Seconds of training after which it ends with a proper evaluation; the preset's own where absent.
    pub max_seconds: Option<u64>,
    /// Seconds after which the job is stopped from outside. Never the provider's default by accident.
    pub timeout_seconds: u64,
    /// Jobs that may be submitted in all, by themselves, for one dataset: after a time-out or a crash the next one goes on
    /// from the last checkpoint. Each may cost what one costs.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub max_attempts: u32,
    /// Seconds between two checkpoints that leave the job; the backend's own where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_every_seconds: Option<f64>,
    /// A base model and its recipe; without them the embedded engine trains a student from nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trl: Option<TrlOptions>,
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's own signature")]
fn is_one(number: &u32) -> bool {
    *number == 1
}

impl Default for TrainerConfig {
    fn default() -> Self {
        Self {
            preset: Preset::default(),
            seed: 42,
            max_steps: None,
            max_seconds: None,
            timeout_seconds: 2 * 60 * 60,
            max_attempts: 1,
            checkpoint_every_seconds: None,
            trl: None,
        }
    }
}
