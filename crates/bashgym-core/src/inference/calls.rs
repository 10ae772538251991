//! What is remembered of calls, and what it adds up to.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use hf_inference::{CallRecord, Cost};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::ledger::UnknownWord;
use crate::store::StoreError;

/// The name of a call: a version 7 UUID, so that names sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CallId(Uuid);

impl CallId {
    /// Makes a new name from the time and fresh randomness.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for CallId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::from_str(text).map(Self)
    }
}

/// A call, as it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredCall {
    /// Its name.
    pub id: CallId,
    /// What is known of it.
    #[serde(flatten)]
    pub call: CallRecord,
}

impl StoredCall {
    /// The day of UTC it counts in, as `2026-11-22`.
    pub fn day(&self) -> String {
        crate::ledger::utc_day(self.call.at).to_string()
    }

    /// The bucket it counts in.
    pub fn bucket(&self, by: UsageBy) -> String {
        match by {
            UsageBy::Model => self.call.report.model.clone(),
            UsageBy::Provider => self
                .call
                .report
                .provider
                .as_ref()
                .map_or_else(|| "unknown".to_owned(), ToString::to_string),
            UsageBy::Day => self.day(),
            UsageBy::Purpose => self.call.purpose.clone().unwrap_or_else(|| "other".to_owned()),
            UsageBy::Total => String::new(),
        }
    }

    /// What it adds to each of its buckets.
    pub fn sums(&self) -> CallSums {
        let usage = self.call.report.usage.unwrap_or_default();
        let amount = self.call.report.cost.amount();
        let may_cost = self
            .call
            .report
            .attempts
            .iter()
            .any(|attempt| attempt.may_be_billed);
        CallSums {
            calls: 1,
            failed: u64::from(!self.call.succeeded),
            prompt_tokens: usage.prompt_tokens,
            completion_tokens: usage.completion_tokens,
            nano_usd: amount.map_or(0, hf_inference::NanoUsd::get),
            unknown_cost: u64::from(self.call.report.cost == Cost::Unknown && may_cost),
        }
    }
}

/// What calls are added up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageBy {
    /// The model.
    Model,
    /// Who served it; `unknown` where nobody said.
    Provider,
    /// The day of UTC.
    Day,
    /// What it was for; `other` where nobody said.
    Purpose,
    /// All of them.
    Total,
}

impl UsageBy {
    /// All of them, in the order they are shown.
    pub const ALL: [Self; 5] = [Self::Model, Self::Provider, Self::Day, Self::Purpose, Self::Total];

    /// The word in JSON, in the store and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::Provider => "provider",
            Self::Day => "day",
            Self::Purpose => "purpose",
            Self::Total => "total",
        }
    }
}

impl FromStr for UsageBy {
    type Err = UnknownWord;

    fn from_str(word: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|by| by.as_str() == word)
            .ok_or_else(|| UnknownWord::new(word, "model, provider, day, purpose, total"))
    }
}

/// Calls, added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CallSums {
    /// All calls.
    pub calls: u64,
    /// Those without a whole answer.
    pub failed: u64,
    /// Tokens of prompts.
    pub prompt_tokens: u64,
    /// Tokens of answers.
    pub completion_tokens: u64,
    /// What is known of their cost, in billionths of a US dollar.
    pub nano_usd: u64,
    /// Calls that cost something nobody named: the cost above is without them.
    pub unknown_cost: u64,
}

impl CallSums {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            failed: self.failed.saturating_add(other.failed),
            prompt_tokens: self.prompt_tokens.saturating_add(other.prompt_tokens),
            completion_tokens: self.completion_tokens.saturating_add(other.completion_tokens),
            nano_usd: self.nano_usd.saturating_add(other.nano_usd),
            unknown_cost: self.unknown_cost.saturating_add(other.unknown_cost),
        }
    }
}

/// A bucket and its sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageRow {
    /// The model, provider, day or purpose; empty for the total.
    pub bucket: String,
    /// What its calls add up to.
    #[serde(flatten)]
    pub sums: CallSums,
}

/// Which calls are listed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CallFilter {
    /// Of this model.
    pub model: Option<String>,
    /// For this.
    pub purpose: Option<String>,
    /// Begun at this time or later.
    pub from: Option<Timestamp>,
}

/// Keeps calls and their sums.
#[async_trait]
pub trait CallStore: Send + Sync {
    /// Adds a call and its sums, both or none. A call that is there already changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn add_call(&self, call: &StoredCall) -> Result<(), StoreError>;

    /// Adds calls and their sums, all or none where the store can. One that is there already changes nothing.
    ///
    /// # Errors
    /// [`StoreError::Backend`].
    async fn add_calls(&self, calls: &[StoredCall]) -> Result<(), StoreError> {
        for call in calls {
            self.add_call(call).await?;
        }
        Ok(())
    }

    /// Finds a call by its name.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn find_call(&self, id: CallId) -> Result<Option<StoredCall>, StoreError>;

    /// Lists calls, newest first, those before `before` only.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_calls(
        &self,
        filter: &CallFilter,
        before: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<StoredCall>, StoreError>;

    /// Lists sums: days from the newest, all others from the one with most calls, equal ones by name.
    ///
    /// # Errors
    /// [`StoreError::Backend`] or [`StoreError::BadData`].
    async fn list_call_usage(&self, by: UsageBy, limit: u32) -> Result<Vec<UsageRow>, StoreError>;
}
