//! Models that answer: a teacher, the student, a model at Hugging Face, all behind [`ModelBackend`].
//!
//! A backend makes its calls within the budget and remembers them, as [`InferenceDesk`](crate::inference::InferenceDesk) does. Which
//! of them answers a request is not decided here.

mod hf;
mod upstream;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_trait::async_trait;
use futures::Stream;
use hf_core::MicroUsd;
use hf_inference::{BreakerState, CallReport, ChatAnswer, ChatChunk, ChatRequest, TokenPrice};
use serde::{Deserialize, Serialize};

pub use self::hf::HfBackend;
pub use self::upstream::{Desk, Upstream, Wire, parse_price};
use crate::inference::{InferenceFailure, PaidStream};

/// The part a model plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BackendRole {
    /// The model that was trained on the user's own sessions.
    Student,
    /// A model at Hugging Face's Inference Providers.
    Hf,
    /// The strong model the student learns from.
    Teacher,
}

impl BackendRole {
    /// The word in JSON, in the store and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Student => "student",
            Self::Hf => "hf",
            Self::Teacher => "teacher",
        }
    }
}

impl fmt::Display for BackendRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An answer piece by piece.
pub trait AnswerStream: Stream<Item = Result<ChatChunk, InferenceFailure>> + Send {
    /// What is known of the call, once the stream has ended well.
    fn report(&self) -> Option<&CallReport>;

    /// The text received so far.
    fn text(&self) -> &str;
}

impl AnswerStream for PaidStream {
    fn report(&self) -> Option<&CallReport> {
        Self::report(self)
    }

    fn text(&self) -> &str {
        Self::text(self)
    }
}

/// The stream of any backend. Dropped before its end, the call behind it is ended too.
pub struct BackendStream(Pin<Box<dyn AnswerStream>>);

impl BackendStream {
    /// Hides what kind of stream it is.
    pub fn new(stream: impl AnswerStream + 'static) -> Self {
        Self(Box::pin(stream))
    }

    /// What is known of the call, once the stream has ended well.
    pub fn report(&self) -> Option<&CallReport> {
        self.0.report()
    }

    /// The text received so far.
    pub fn text(&self) -> &str {
        self.0.text()
    }
}

impl fmt::Debug for BackendStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BackendStream").finish_non_exhaustive()
    }
}

impl Stream for BackendStream {
    type Item = Result<ChatChunk, InferenceFailure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

/// A model that answers conversations.
///
/// The model a request names is replaced by the backend's own: a request can be given to any backend as it is.
#[async_trait]
pub trait ModelBackend: Send + Sync + fmt::Debug {
    /// The part it plays.
    fn role(&self) -> BackendRole;

    /// The model, in the name that evidence and records keep: `org/name` at a Hub, the teacher's own word elsewhere.
    fn model(&self) -> &str;

    /// What a token costs; none where nobody knows. A model on this machine costs nothing.
    async fn price(&self) -> Option<TokenPrice>;

    /// What one call costs at most, in millionths of a dollar; none where nobody knows.
    ///
    /// # Errors
    /// As [`ModelBackend::chat`].
    async fn worst_case(&self, request: &ChatRequest) -> Result<Option<MicroUsd>, InferenceFailure>;

    /// Whether it is called at the moment. HTTP success and failure move it, nothing else does.
    fn breaker(&self) -> BreakerState;

    /// Answers a conversation.
    ///
    /// # Errors
    /// [`InferenceFailure::Budget`] before anything is sent, [`InferenceFailure::Inference`].
    async fn chat(&self, request: &ChatRequest) -> Result<ChatAnswer, InferenceFailure>;

    /// Answers a conversation piece by piece. It fails here only before the first content; later the stream says so.
    ///
    /// # Errors
    /// As [`ModelBackend::chat`].
    async fn chat_stream(&self, request: &ChatRequest) -> Result<BackendStream, InferenceFailure>;
}
