//! A client of Hugging Face Inference Providers: chat whole and streamed, text, embeddings, classification, similarity.
//!
//! A provider that fails is tried again or replaced by the model's next one; a stream only before its first content. Each call
//! tells who served it, how often it was tried, and what it cost, or that the cost is not known.
//!
//! What a call may cost a budget, and which model is right for a request, is not known here.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use futures::StreamExt;
//! use hf_core::{HfClient, HuggingFaceSettings, SettingsInput};
//! use hf_inference::{ChatRequest, HfInferenceClient, HfInferenceConfig, Message};
//!
//! let settings = HuggingFaceSettings::resolve(SettingsInput::from_process())?;
//! let hub = HfClient::from_settings(&settings)?;
//! let inference = HfInferenceClient::new(&hub, HfInferenceConfig::default())?;
//!
//! let request = ChatRequest::new("Qwen/Qwen2.5-72B-Instruct".parse()?, [Message::user("Say hi.")]);
//! let mut stream = inference.chat_stream(&request).await?;
//! while let Some(chunk) = stream.next().await {
//!     print!("{}", chunk?.body.text());
//! }
//! # Ok(()) }
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;

mod breaker;
mod catalog;
mod chat;
mod client;
mod config;
mod cost;
mod error;
mod mapping;
mod model;
mod provider;
mod report;

pub use breaker::{BreakerPolicy, BreakerState};
pub use catalog::{Architecture, Catalog, CatalogModel, CatalogProvider};
pub use chat::{
    ChatChunk, ChatOptions, ChatReply, ChatRequest, ChatStream, Choice, ChunkBody, ChunkChoice, Content,
    ContentPart, Delta, FunctionCall, ImageUrl, Message, Shared, ToolCall,
};
pub use client::{
    ChatAnswer, Classified, EmbedOptions, Embeddings, Generated, HfInferenceClient, Label, Similarities,
};
pub use config::{HfInferenceConfig, ProviderChoice};
pub use cost::{Cost, NanoUsd, TokenPrice, Usage};
pub use error::{InferenceError, Result};
pub use mapping::ProviderMapping;
pub use model::{ModelRef, Routing, Suffix};
pub use provider::Provider;
pub use report::{Attempt, AttemptEnd, CallObserver, CallRecord, CallReport};
