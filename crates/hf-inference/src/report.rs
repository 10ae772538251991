//! What is told of each call: who served it, how often it was tried, and what it cost.

use std::time::Duration;

use async_trait::async_trait;
use hf_core::{HfError, HfErrorKind};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::cost::{Cost, Usage};
use crate::provider::Provider;

/// What a try came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// An answer.
    Answered,
    /// An error.
    Failed,
    /// An error after the first content of a stream.
    BrokeOff,
    /// The caller went away.
    Dropped,
}

/// One try of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// Who was asked; none where the router chooses and does not say.
    pub provider: Option<Provider>,
    /// How it ended.
    pub end: AttemptEnd,
    /// The HTTP status, when an answer came.
    pub status: Option<u16>,
    /// The error in one word of [`HfErrorKind`].
    pub error: Option<String>,
    /// Milliseconds until the answer, the first content of a stream, or the error.
    pub millis: u64,
    /// Whether the provider may have worked, and be paid, although no answer came.
    pub may_be_billed: bool,
}

impl Attempt {
    pub(crate) fn failed(provider: Option<Provider>, error: &HfError, took: Duration) -> Self {
        // A 4xx is refused before anything is computed; a broken connection or a 5xx tells nothing about it.
        let may_be_billed = error.is_ambiguous() && error.kind() != HfErrorKind::RateLimited;
        Self {
            provider,
            end: AttemptEnd::Failed,
            status: error.status().map(|status| status.as_u16()),
            error: Some(error.kind().to_string()),
            millis: millis(took),
            may_be_billed,
        }
    }

    pub(crate) fn answered(provider: Option<Provider>, took: Duration) -> Self {
        Self {
            provider,
            end: AttemptEnd::Answered,
            status: Some(200),
            error: None,
            millis: millis(took),
            may_be_billed: true,
        }
    }

    pub(crate) fn provider_name(&self) -> String {
        self.provider
            .as_ref()
            .map_or_else(|| "auto".to_owned(), Provider::to_string)
    }
}

pub(crate) fn millis(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

/// What is known of a call that was answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallReport {
    /// The model that was asked for, without a wish behind it.
    pub model: String,
    /// The task, in the Hub's word: `conversational`, `feature-extraction`, `text-classification`, `sentence-similarity`.
    pub task: String,
    /// Who served it; none where the router chose and did not say.
    pub provider: Option<Provider>,
    /// All tries, the last one included.
    pub attempts: Vec<Attempt>,
    /// Tokens, as the provider counted them; none where it did not.
    pub usage: Option<Usage>,
    /// What it cost.
    pub cost: Cost,
    /// Milliseconds from the call to its answer, or to a stream's end.
    pub millis: u64,
}

/// A call as it is remembered, answered or not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallRecord {
    /// When it began.
    pub at: Timestamp,
    /// What it was for, in the caller's word.
    pub purpose: Option<String>,
    /// Who pays, when it is not the token's own account.
    pub bill_to: Option<String>,
    /// Whether an answer came, whole.
    pub succeeded: bool,
    /// What is known of it. `cost` is [`Cost::Unknown`] for a call that failed and may have been billed.
    #[serde(flatten)]
    pub report: CallReport,
}

/// Who hears of each call. A listener that is slow slows the caller, so it hands on and returns.
#[async_trait]
pub trait CallObserver: Send + Sync {
    /// Takes one call, after its end.
    async fn record(&self, call: &CallRecord);
}
