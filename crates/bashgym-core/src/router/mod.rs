//! Which model answers a request: by a fixed rule, by how sure the student is, or by what it costs to be right often enough.
//!
//! [`Router`] chooses among [`ModelBackend`](crate::backend::ModelBackend)s and leaves a [`DecisionRecord`] for each call. What it
//! knows of a model is [`Evidence`]: verdicts that somebody gave (a test, a judge, a person), fading with time. That an answer came
//! at all is no verdict: it moves the breaker and nothing else.

mod ask;
mod books;
mod browse;
mod cascade;
mod confidence;
mod decision;
mod evidence;
mod features;
mod knowledge;
mod memory;
mod open;
mod plan;
mod replay;
mod service;
mod standing;
mod store;
mod strategy;
mod stream;
mod sums;
#[cfg(test)]
mod tests;

pub use browse::{DecisionPage, DecisionQuery, DecisionState, MOST_READ, NAMED, VerdictIs, browse, newest};
pub use cascade::{Cascade, Member, cheapest};
pub use confidence::{Calibration, CalibrationPoint, Confidence, Signal, invalid_tool_call};
pub use decision::{
    Candidate, DecisionId, DecisionRecord, Exchange, ExchangeGate, OutcomeSource, RouteTry, TryEnd,
    VerifiedOutcome,
};
pub use evidence::{Belief, Evidence, FadePolicy};
pub use features::{Features, TaskKind};
pub use knowledge::{ModelNote, judged_confidences, model_notes};
pub use memory::MemoryRoutes;
pub use replay::{Recorded, Replay, ReplaySum, Seen};
pub use service::{RouteFailure, Routed, Router};
pub use standing::{ModelStanding, standings};
pub use store::{DecisionFilter, RouteStore};
pub use strategy::{RouterPolicy, RoutingStrategy, Wish};
pub use stream::RoutedStream;
pub use sums::{ModelSum, RoutePoint, RouteReport, RouteSum};
