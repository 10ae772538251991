//! The ways to choose a model.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::evidence::FadePolicy;
use crate::backend::BackendRole;
use crate::ledger::UnknownWord;

/// How a model is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "strategy", rename_all = "snake_case")]
pub enum RoutingStrategy {
    /// Always the teacher.
    TeacherOnly,
    /// Always the student.
    StudentOnly,
    /// Always a model at Hugging Face; the next of them when one fails.
    HfInference,
    /// The student first; its answer is given where it is right with at least this probability, the next model asked otherwise.
    ConfidenceBased {
        /// 0 to 1.
        threshold: f64,
    },
    /// The cascade that costs least among those that are right often enough.
    CostOptimized {
        /// How often an answer has to be right, 0 to 1.
        quality_floor: f64,
        /// How long an answer may take on average, in milliseconds.
        latency_ms: Option<u64>,
    },
    /// The student gets a share of the requests, which grows and shrinks with verdicts, a step at a time.
    Progressive {
        /// How often the student has to be right for its share to grow, 0 to 1.
        quality_floor: f64,
    },
}

impl RoutingStrategy {
    /// Why the strategy cannot be replayed over calls that were made, and what can be instead; none where it can.
    pub fn why_no_replay(self) -> Option<(&'static str, &'static str)> {
        matches!(self, Self::Progressive { .. }).then_some((
            "a share that moves with verdicts cannot be replayed: nobody judged the answers it would have asked for",
            "replay student_only and teacher_only: it lies between them",
        ))
    }

    const WORDS: &'static str =
        "teacher_only, student_only, hf_inference, confidence_based, cost_optimized, progressive";

    /// The word in JSON, in the store and on the command line.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::TeacherOnly => "teacher_only",
            Self::StudentOnly => "student_only",
            Self::HfInference => "hf_inference",
            Self::ConfidenceBased { .. } => "confidence_based",
            Self::CostOptimized { .. } => "cost_optimized",
            Self::Progressive { .. } => "progressive",
        }
    }

    /// The one role it keeps to, if it does.
    pub const fn role(&self) -> Option<BackendRole> {
        match self {
            Self::TeacherOnly => Some(BackendRole::Teacher),
            Self::StudentOnly => Some(BackendRole::Student),
            Self::HfInference => Some(BackendRole::Hf),
            _ => None,
        }
    }
}

impl fmt::Display for RoutingStrategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for RoutingStrategy {
    type Err = UnknownWord;

    /// Reads a word, with a number behind a colon where it takes one: `confidence_based:0.8`.
    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        let unknown = || UnknownWord::new(text, Self::WORDS);
        let (word, number) = match text.split_once(':') {
            Some((word, number)) => {
                let number: f64 = number.parse().map_err(|_| unknown())?;
                if !(0.0..=1.0).contains(&number) {
                    return Err(unknown());
                }
                (word, Some(number))
            }
            None => (text, None),
        };
        let share = number.unwrap_or(RouterPolicy::QUALITY);
        match (word, number) {
            ("teacher_only", None) => Ok(Self::TeacherOnly),
            ("student_only", None) => Ok(Self::StudentOnly),
            ("hf_inference", None) => Ok(Self::HfInference),
            ("confidence_based", _) => Ok(Self::ConfidenceBased { threshold: share }),
            ("cost_optimized", _) => Ok(Self::CostOptimized {
                quality_floor: share,
                latency_ms: None,
            }),
            ("progressive", _) => Ok(Self::Progressive { quality_floor: share }),
            _ => Err(unknown()),
        }
    }
}

/// What a caller asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Wish {
    /// The router's own strategy.
    Auto,
    /// Another strategy, for this call.
    Strategy(RoutingStrategy),
    /// A role.
    Role(BackendRole),
    /// One model, by name.
    Model(String),
}

/// What holds for all calls.
#[derive(Debug, Clone, PartialEq)]
pub struct RouterPolicy {
    /// How a model is chosen for who wishes nothing.
    pub strategy: RoutingStrategy,
    /// How verdicts fade.
    pub fade: FadePolicy,
    /// The share of calls that try a model which would not be chosen, so that it can show what it can do; 0 to 1.
    pub explore: f64,
    /// Decides which calls explore.
    pub seed: u64,
    /// How long a call may take with all its tries.
    pub deadline: Duration,
    /// The most of an answer that waits, in bytes, until it is known how sure the model is.
    pub buffer_bytes: usize,
    /// Whether requests and answers of escalated calls are kept, as examples for the next dataset. They pass the router's gate
    /// first; without one, none is kept.
    pub keep_exchanges: bool,
}

impl RouterPolicy {
    /// The quality that is asked for where nobody says.
    pub const QUALITY: f64 = 0.8;
}

impl Default for RouterPolicy {
    fn default() -> Self {
        Self {
            strategy: RoutingStrategy::ConfidenceBased {
                threshold: Self::QUALITY,
            },
            fade: FadePolicy::default(),
            explore: 0.05,
            seed: 0,
            deadline: Duration::from_mins(10),
            buffer_bytes: 256 * 1024,
            keep_exchanges: false,
        }
    }
}
