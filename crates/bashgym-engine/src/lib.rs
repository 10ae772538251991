//! An embedded model engine: trains a small causal language model on the CPU, saves it as Hugging Face's transformers
//! expects it, and samples from it. No Python, no network.
//!
//! - [`train`] reads a data set folder (`train.jsonl`, `val.jsonl`) and writes a model folder.
//! - [`Generator`] loads a model folder and continues conversations.
//! - [`TrainEvent`] is the progress of a run, also as a line of text.

mod chat;
mod clock;
mod config;
mod data;
mod encoder;
mod error;
mod event;
mod export;
mod files;
mod generate;
mod gguf;
mod model;
mod rng;
mod stop;
mod tokenizer;
mod train;

pub use chat::{
    CHAT_TEMPLATE, END_TOKEN, GENERATION_PROMPT, HubChat, PAD_TOKEN, START_TOKEN, TOOL_CALL_END_TOKEN,
    TOOL_CALL_TOKEN, ToolCallSplitter, ToolCallText, render,
};
pub use clock::{Clock, SystemClock};
pub use config::{ModelConfig, Preset, TrainConfig};
pub use data::{
    Arguments, ChatMessage, ChatRow, Content, FunctionCall, Json, LostRow, LostRows, MAX_LINE_BYTES, ToolCall,
};
pub use encoder::{EmbedOptions, Encoder};
pub use error::EngineError;
pub use event::{EndReason, LINE_MARKER, TrainEvent, ValidationSource};
pub use generate::{FinishReason, GenerateOptions, Generation, Generator, ScoredToken};
pub use stop::StopFlag;
pub use tokenizer::ChatTokenizer;
pub use train::{TrainOutcome, train, train_with_clock};
