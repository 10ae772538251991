//! What is kept of each call: who could have answered, who did, why, and what it cost.

use std::fmt;
use std::str::FromStr;

use hf_inference::{Cost, Message, Usage};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::confidence::Confidence;
use super::evidence::Belief;
use super::features::Features;
use super::strategy::RoutingStrategy;
use crate::backend::BackendRole;

/// The name of a decision: a version 7 UUID, so that names sort by time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecisionId(Uuid);

impl DecisionId {
    /// Makes a new name from the time and fresh randomness.
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for DecisionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for DecisionId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::from_str(text).map(Self)
    }
}

/// A model that could have answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// The part it plays.
    pub role: BackendRole,
    /// The model.
    pub model: String,
    /// What was believed of it.
    pub belief: Belief,
    /// What its answer was expected to cost, in billionths of a US dollar; none where nobody knows its price.
    pub expected_nano_usd: Option<u64>,
    /// Why it was left out; none where it was not.
    pub left_out: Option<String>,
}

/// How a try of a model ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TryEnd {
    /// Its answer was given.
    Answered,
    /// It answered, not surely enough: the next was asked.
    Escalated,
    /// It failed.
    Failed,
    /// The budget had no room for it: nothing was sent.
    Refused,
    /// It broke off after its first content.
    BrokeOff,
    /// The caller went away.
    Dropped,
}

/// A model that was asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RouteTry {
    /// The part it plays.
    pub role: BackendRole,
    /// The model.
    pub model: String,
    /// How it ended.
    pub end: TryEnd,
    /// Why it failed or was refused.
    pub error: Option<String>,
    /// How sure it was, where that was asked.
    pub confidence: Option<Confidence>,
    /// Tries of the call at its providers.
    pub attempts: u32,
    /// Tokens, as the provider counted them.
    pub usage: Option<Usage>,
    /// What it cost, and where that is known from; none where nothing was sent, or no provider took it.
    pub cost: Option<Cost>,
    /// Milliseconds to the answer, or to a stream's end.
    pub millis: u64,
}

/// Who says whether an answer was right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeSource {
    /// Tests that ran.
    Test,
    /// A model with a rubric.
    Judge,
    /// A person.
    Person,
}

/// Whether an answer was right, as somebody found who can know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifiedOutcome {
    /// Whether it was.
    pub good: bool,
    /// Who says so.
    pub source: OutcomeSource,
    /// When.
    pub at: Timestamp,
}

/// What was said, where it is kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exchange {
    /// The conversation that was sent.
    pub messages: Vec<Message>,
    /// The tools that were offered.
    pub tools: Vec<Value>,
    /// The answer that was given.
    pub answer: Message,
}

/// What an exchange passes before it is written anywhere.
pub trait ExchangeGate: Send + Sync {
    /// The exchange without secrets and personal details; none where it cannot be told, and then it is not kept.
    fn clean(&self, exchange: Exchange) -> Option<Exchange>;
}

/// Everything about one choice. It holds no text of the conversation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DecisionRecord {
    /// Its name.
    pub id: DecisionId,
    /// When it was made.
    pub at: Timestamp,
    /// What the call was for, in the caller's word.
    pub purpose: Option<String>,
    /// How a model was chosen; none where the caller named one.
    #[serde(default)]
    pub strategy: Option<RoutingStrategy>,
    /// What the request was like.
    pub features: Features,
    /// Whose evidence counted.
    pub bucket: String,
    /// Who could have answered.
    pub candidates: Vec<Candidate>,
    /// The models to ask, in order, as they were chosen.
    pub plan: Vec<String>,
    /// Why these.
    pub reason: String,
    /// Whether another model than the best was asked, so that it can show what it can do.
    pub explored: bool,
    /// How likely the first of the plan was to be chosen, 0 to 1.
    pub propensity: f64,
    /// Who was asked, in order.
    pub tries: Vec<RouteTry>,
    /// Whether an answer was given, whole.
    pub succeeded: bool,
    /// Milliseconds of all of it.
    pub millis: u64,
    /// Whether the answer was right, once somebody says so.
    pub outcome: Option<VerifiedOutcome>,
}

impl DecisionRecord {
    /// A record of nothing, to leave where one is taken away.
    pub(super) fn blank() -> Self {
        Self {
            id: DecisionId(Uuid::nil()),
            at: Timestamp::UNIX_EPOCH,
            purpose: None,
            strategy: None,
            features: Features::default(),
            bucket: String::new(),
            candidates: Vec::new(),
            plan: Vec::new(),
            reason: String::new(),
            explored: false,
            propensity: 0.0,
            tries: Vec::new(),
            succeeded: false,
            millis: 0,
            outcome: None,
        }
    }

    /// Who gave the answer.
    pub fn answered_by(&self) -> Option<&RouteTry> {
        self.tries.iter().find(|it| it.end == TryEnd::Answered)
    }

    /// Whether a model answered, and another was asked all the same.
    pub fn is_escalated(&self) -> bool {
        self.tries.iter().any(|it| it.end == TryEnd::Escalated)
    }

    /// What is known of its cost, in billionths of a US dollar, and whether that is all.
    pub fn cost(&self) -> (u64, bool) {
        let mut known = (0_u64, true);
        for cost in self.tries.iter().filter_map(|it| it.cost) {
            match cost.amount() {
                Some(amount) => known.0 = known.0.saturating_add(amount.get()),
                None => known.1 = false,
            }
        }
        known
    }
}
