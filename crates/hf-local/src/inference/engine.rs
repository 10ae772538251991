//! What runs models, as the Hub asks for it.

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

/// What a model is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InferenceTask {
    /// Continues conversations.
    Conversational,
    /// Turns texts into vectors.
    FeatureExtraction,
    /// Gives labels to texts.
    TextClassification,
}

impl InferenceTask {
    /// The Hub's word for it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Conversational => "conversational",
            Self::FeatureExtraction => "feature-extraction",
            Self::TextClassification => "text-classification",
        }
    }
}

/// What is known of a model before a weight is read.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ModelListing {
    /// `config.json`, if there is one.
    pub config: Option<Value>,
    /// Paths and sizes in bytes of all files, in alphabetical order.
    pub files: Vec<(String, u64)>,
    /// The `pipeline_tag` of the card.
    pub pipeline_tag: Option<String>,
}

/// How an engine would serve a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelPlan {
    /// What for.
    pub task: InferenceTask,
    /// The files it needs, out of the listing.
    pub files: Vec<String>,
    /// About how many bytes of memory it takes once loaded.
    pub memory_bytes: u64,
    /// The longest text it sees, in tokens, where that is known.
    pub context_length: Option<u64>,
    /// Whether tools may be offered.
    pub supports_tools: bool,
}

/// Runs models of the Hub's repositories. Calls may take long: they are made on threads that may block.
pub trait InferenceEngine: Debug + Send + Sync + 'static {
    /// Says how the engine would serve a model; none if it can't.
    fn plan(&self, model: &ModelListing) -> Option<ModelPlan>;

    /// Loads a model. The files of the plan are below `dir`, which is gone after this returns.
    ///
    /// # Errors
    /// [`InferenceFailure::Model`] says what is wrong with the files.
    fn load(&self, dir: &Path, plan: &ModelPlan) -> Result<Arc<dyn LoadedModel>, InferenceFailure>;
}

/// A model in memory. It serves several threads at once; what it was not planned for is refused.
pub trait LoadedModel: Send + Sync + 'static {
    /// Continues a conversation, telling each piece as it comes; the listener may end it.
    ///
    /// # Errors
    /// [`InferenceFailure::Request`] before the first piece, or any other at any time.
    fn chat(
        &self,
        task: &ChatTask,
        on_piece: &mut dyn FnMut(ChatPiece) -> ControlFlow<()>,
    ) -> Result<ChatEnd, InferenceFailure> {
        let _ = (task, on_piece);
        Err(InferenceFailure::request("this model does not chat"))
    }

    /// Gives one vector a text, in order.
    ///
    /// # Errors
    /// [`InferenceFailure::Request`] if a text can't be taken.
    fn embed(&self, task: &EmbedTask, watch: &StopWatch) -> Result<Vec<Vec<f32>>, InferenceFailure> {
        let _ = (task, watch);
        Err(InferenceFailure::request("this model makes no vectors"))
    }

    /// Gives all labels with their logits, a list a text, in the order of the model.
    ///
    /// # Errors
    /// [`InferenceFailure::Request`] if a text can't be taken.
    fn classify(
        &self,
        texts: &[String],
        watch: &StopWatch,
    ) -> Result<Vec<Vec<(String, f32)>>, InferenceFailure> {
        let _ = (texts, watch);
        Err(InferenceFailure::request("this model gives no labels"))
    }
}

/// A conversation to be continued.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct ChatTask {
    /// The messages as they came: a list of objects with `role` and `content`.
    pub messages: Value,
    /// The tools on offer, as they came; null for none.
    pub tools: Value,
    /// Tokens to answer with at most; none is as many as fit.
    pub max_tokens: Option<usize>,
    /// How freely to choose; 0 takes the likeliest. None leaves it to the model.
    pub temperature: Option<f64>,
    /// Chooses among the likeliest tokens of this much probability.
    pub top_p: Option<f64>,
    /// Decides the draws.
    pub seed: u64,
    /// Ends the answer before any of these.
    pub stop: Vec<String>,
    /// Whether each token's log-probability is wanted.
    pub logprobs: bool,
    /// Ends the work when nobody waits for it any more.
    pub watch: StopWatch,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChatPiece {
    /// Text, in whole characters, with the tokens it was made of where that was asked for.
    Text {
        /// The text.
        text: String,
        /// The tokens since the last piece.
        tokens: Vec<TokenScore>,
    },
    /// A call of a tool.
    ToolCall {
        /// The tool.
        name: String,
        /// Its arguments as JSON.
        arguments: String,
    },
}

/// A token and how likely the model held it.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenScore {
    /// Its text; half characters read as U+FFFD.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChatEnd {
    /// Why.
    pub finish_reason: FinishReason,
    /// Tokens read.
    pub prompt_tokens: u64,
    /// Tokens said.
    pub completion_tokens: u64,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// The model had finished, or a stop text came.
    Stop,
    /// As many tokens as were allowed, or as the model can see.
    Length,
    /// The model calls tools.
    ToolCalls,
}

impl FinishReason {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Stop => "stop",
            Self::Length => "length",
            Self::ToolCalls => "tool_calls",
        }
    }
}

/// Texts to be turned into vectors.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EmbedTask {
    /// The texts.
    pub texts: Vec<String>,
    /// Whether vectors get the length 1; none leaves it to the model.
    pub normalize: Option<bool>,
    /// Whether texts that are too long are cut; none is yes.
    pub truncate: Option<bool>,
    /// Whether they are cut at their beginning.
    pub truncate_left: bool,
}

/// Says when nobody waits for an answer any more.
#[derive(Clone, Debug, Default)]
pub struct StopWatch(CancellationToken);

impl StopWatch {
    /// Whether the work may end.
    pub fn is_stopped(&self) -> bool {
        self.0.is_cancelled()
    }

    pub(crate) fn new(token: CancellationToken) -> Self {
        Self(token)
    }
}

/// Why a model gave no answer.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceFailure {
    /// The request can't be served, and why.
    #[error("{0}")]
    Request(String),
    /// The model's files can't be used, and why.
    #[error("{0}")]
    Model(String),
    /// The engine failed.
    #[error("{0}")]
    Engine(String),
}

impl InferenceFailure {
    /// The request can't be served.
    pub fn request(why: impl Into<String>) -> Self {
        Self::Request(why.into())
    }
}
