//! What a training will need, take and cost, before a cent is spent: only reads go to the Hub.

mod data;
mod fit;
mod flavor;
mod foretell;
mod look;
mod make;
mod model;
mod permission;
mod price;
mod request;
mod throughput;
mod wanted;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use data::{ChatRenderer, LoadedChat};
pub use fit::{MemoryEstimate, ModelShape, accelerator_bytes, device_bytes, estimate_memory, memory_bytes};
pub use make::make_plan;
pub use price::{micro_usd_text, price_for};
pub use throughput::{Throughput, measured_throughput};
pub use wanted::PlanRequest;

use crate::trainer::TrainerConfig;

/// Something about a training that speaks against it, or that one should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// A stable word for scripts.
    pub code: String,
    /// What it is.
    pub message: String,
    /// What to do about it.
    pub next: String,
}

impl Problem {
    pub(crate) fn new(code: &str, message: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            next: next.into(),
        }
    }
}

/// The base model as the Hub shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BaseModelFacts {
    /// The repository.
    pub repo_id: String,
    /// The commit that will be trained on.
    pub revision: Option<String>,
    /// Its weights; none when neither the Hub nor its configuration tells.
    pub parameters: Option<u64>,
    /// Whether its terms must be accepted first.
    pub gated: bool,
    /// Whether its files can be read with this token.
    pub readable: bool,
}

/// A row as the trainer sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderedSample {
    /// The text, as the chat template renders it; long ones are cut in the middle.
    pub text: String,
    /// Its tokens.
    pub tokens: u64,
}

/// Rows of a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBucket {
    /// Tokens of the longest row counted here.
    pub up_to: u64,
    /// The rows.
    pub rows: u64,
}

/// The dataset, rendered through the base model's own chat template and counted with its own tokenizer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DatasetFacts {
    /// The repository.
    pub repo_id: String,
    /// The commit that will be trained on.
    pub revision: String,
    /// Its files by split.
    pub files: BTreeMap<String, Vec<String>>,
    /// Rows of the train split.
    pub rows_train: u64,
    /// Rows of the validation split.
    pub rows_val: u64,
    /// Rows that were rendered and counted; fewer than there are only in a large dataset.
    pub rows_measured: u64,
    /// Rows that do not render.
    pub rows_lost: u64,
    /// Why they do not.
    pub lost_reasons: BTreeMap<String, u64>,
    /// The first rows as the trainer sees them.
    pub samples: Vec<RenderedSample>,
    /// Rows by length, each bucket twice as long as the one before.
    pub histogram: Vec<TokenBucket>,
    /// Tokens of an average row, as far as the sequence length goes.
    pub mean_tokens: f64,
    /// The share of rows that are longer than the sequence length.
    pub cut_share: f64,
}

/// A flavor that a training fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FlavorOffer {
    /// Its name.
    pub name: String,
    /// Memory of one device.
    ///
    /// # Units
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// The price of a minute; none is unknown, not free.
    ///
    /// # Units
    /// Millionths of a US dollar.
    pub micro_usd_per_minute: Option<u64>,
}

/// A file that is committed to the output repository before the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedFile {
    /// The repository it goes to.
    pub repo_id: String,
    /// Its path there.
    pub path: String,
    /// Its size.
    pub size_bytes: u64,
}

/// Everything that can be said of a training before it begins.
///
/// `fits`, prices and times are null where they are not known: an unknown price is not zero.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainPlan {
    /// The backend's word.
    pub backend: String,
    /// How it is trained, time-out included.
    pub training: TrainerConfig,
    /// The output repository.
    pub model_repo: String,
    /// The base model.
    pub base_model: Option<BaseModelFacts>,
    /// The dataset.
    pub dataset: Option<DatasetFacts>,
    /// What the memory goes to.
    pub memory: Option<MemoryEstimate>,
    /// Whether it fits the flavor.
    pub fits: Option<bool>,
    /// The flavor: the one asked for, or the cheapest that it fits.
    pub flavor: Option<String>,
    /// Cheaper flavors that it fits as well.
    pub cheaper_flavors: Vec<FlavorOffer>,
    /// Optimiser steps.
    pub steps: Option<u64>,
    /// Tokens that go through training, repeats included.
    pub tokens: Option<u64>,
    /// Tokens a second, as measured in earlier runs of the same model, method and flavor.
    pub throughput: Option<Throughput>,
    /// Seconds it is expected to take, set-up included.
    pub seconds_expected: Option<u64>,
    /// Seconds after which the job is ended; null when nothing can be said and nobody said it.
    pub timeout_seconds: Option<u64>,
    /// The price of the expected time.
    pub price_expected_usd: Option<f64>,
    /// The price of the whole time-out, of every attempt.
    pub price_worst_usd: Option<f64>,
    /// The same in millionths of a US dollar, exact.
    pub price_worst_micro_usd: Option<u64>,
    /// What speaks against it; with any, `train start` refuses.
    pub problems: Vec<Problem>,
    /// What one should know.
    pub warnings: Vec<Problem>,
    /// What is committed to the output repository before the job.
    pub files: Vec<PlannedFile>,
    /// The configuration the script reads.
    pub config: Option<Value>,
    /// What will be sent to start the job, without the values of secrets.
    pub request: Option<Value>,
}
