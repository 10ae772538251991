//! Inference: the router's paths, served by models of this Hub's own repositories.
//!
//! What runs a model is behind [`InferenceEngine`], so that this crate alone stays light. Without an engine nothing is
//! served, and every model is one that no provider supports.

mod apps;
mod chat;
mod choose;
mod engine;
mod error;
mod files;
mod loaded;
mod request;
mod routes;
mod scripted;
mod scripted_reply;
mod stream;
mod tasks;

pub use engine::{
    ChatEnd, ChatPiece, ChatTask, EmbedTask, FinishReason, InferenceEngine, InferenceFailure, InferenceTask,
    LoadedModel, ModelListing, ModelPlan, StopWatch, TokenScore,
};
pub use scripted::{ScriptedFault, ScriptedModel, ScriptedPrice, ScriptedProvider, ScriptedProviders};

pub(crate) use apps::{Answering, AppModel, Said, Wanted};
pub(crate) use loaded::Inference;
pub(crate) use routes::{mapping, router};
