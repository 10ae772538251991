//! Which model answers a request: by a fixed rule, by how sure the student is, or by what it costs to be right often enough.
//!
//! [`Router`] chooses among [`ModelBackend`](crate::backend::ModelBackend)s and leaves a [`DecisionRecord`] for each call. What it
//! knows of a model is [`Evidence`]: verdicts that somebody gave (a test, a judge, a person), fading with time. That an answer came
//! at all is no verdict: it moves the breaker and nothing else.

mod ask;
mod books;
mod cascade;
mod confidence;
mod decision;
mod evidence;
mod features;
mod memory;
mod plan;
mod replay;
mod service;
mod store;
mod strategy;
mod stream;
#[cfg(test)]
mod tests;

pub use cascade::{Cascade, Member, cheapest};
pub use confidence::{Calibration, CalibrationPoint, Confidence, Signal, invalid_tool_call};
pub use decision::{
    Candidate, DecisionId, DecisionRecord, Exchange, OutcomeSource, RouteTry, TryEnd, VerifiedOutcome,
};
pub use evidence::{Belief, Evidence, FadePolicy};
pub use features::{Features, TaskKind};
pub use memory::MemoryRoutes;
pub use replay::{Replay, ReplaySum};
pub use service::{RouteFailure, Routed, Router};
pub use store::{DecisionFilter, RouteStore};
pub use strategy::{RouterPolicy, RoutingStrategy, Wish};
pub use stream::RoutedStream;
