//! What an inference call can fail with: what happened, what was tried, what was received, what to do next.

use hf_core::{HfError, HfErrorKind};

use crate::provider::Provider;
use crate::report::Attempt;

/// A result whose error is [`InferenceError`].
pub type Result<T> = std::result::Result<T, InferenceError>;

/// What an inference call can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferenceError {
    /// Nobody answered well; the error of the last try.
    #[error("{error}{}", tried(attempts))]
    Failed {
        /// The last try's error.
        #[source]
        error: Box<HfError>,
        /// All tries, the last one included.
        attempts: Vec<Attempt>,
    },
    /// A stream broke off after its first content. What came before is the caller's; it is not asked for again.
    #[error("the answer broke off after {} characters: {error}", received.chars().count())]
    Broken {
        /// Why.
        #[source]
        error: Box<HfError>,
        /// The text received so far.
        received: String,
        /// All tries, this one included.
        attempts: Vec<Attempt>,
    },
    /// All providers of the model are out of service for the moment, as earlier calls found.
    #[error("{model} is out of service at {}: earlier calls failed", names(providers))]
    CircuitOpen {
        /// The model.
        model: String,
        /// Who was left out.
        providers: Vec<Provider>,
        /// When the first of them is tried again, in seconds from now.
        retry_in_seconds: u64,
    },
    /// Nobody serves the model for this task.
    #[error("no provider serves {model} for {task}{}", also(offered))]
    NotServed {
        /// The model.
        model: String,
        /// The task, in the Hub's word.
        task: String,
        /// Who serves it, but not so that this client could ask them.
        offered: Vec<Provider>,
    },
    /// There is no provider of this name.
    #[error(
        "{}",
        if *retired { format!("{name} has retired from Inference Providers") } else { format!("there is no provider {name:?}") }
    )]
    UnknownProvider {
        /// What was asked for.
        name: String,
        /// Whether there was one once.
        retired: bool,
    },
    /// The request is wrong by itself.
    #[error("{0}")]
    Invalid(String),
}

fn tried(attempts: &[Attempt]) -> String {
    if attempts.len() < 2 {
        return String::new();
    }
    let names: Vec<_> = attempts.iter().map(Attempt::provider_name).collect();
    format!(" (after {} tries: {})", attempts.len(), names.join(", "))
}

fn names(providers: &[Provider]) -> String {
    let names: Vec<_> = providers.iter().map(Provider::as_str).collect();
    names.join(", ")
}

fn also(offered: &[Provider]) -> String {
    if offered.is_empty() {
        return String::new();
    }
    format!("; {} would, in a way this client does not speak", names(offered))
}

impl InferenceError {
    /// Makes an [`InferenceError::Invalid`].
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid(message.into())
    }

    /// The tries that were made.
    pub fn attempts(&self) -> &[Attempt] {
        match self {
            Self::Failed { attempts, .. } | Self::Broken { attempts, .. } => attempts,
            _ => &[],
        }
    }

    /// The error underneath, when a request was sent.
    pub fn hf(&self) -> Option<&HfError> {
        match self {
            Self::Failed { error, .. } | Self::Broken { error, .. } => Some(error),
            _ => None,
        }
    }

    /// What it means, in the words of [`HfErrorKind`].
    pub fn kind(&self) -> HfErrorKind {
        match self {
            Self::Failed { error, .. } | Self::Broken { error, .. } => error.kind(),
            Self::CircuitOpen { .. } => HfErrorKind::Transport,
            Self::NotServed { .. } => HfErrorKind::NotFound,
            Self::UnknownProvider { .. } | Self::Invalid(_) => HfErrorKind::InvalidArgument,
        }
    }

    /// What to do next, when there is something to do.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Failed { error, .. } => error.hint(),
            Self::Broken { .. } => Some(
                "what was received is kept; ask again for a whole answer, which is paid again".to_owned(),
            ),
            Self::CircuitOpen { retry_in_seconds, .. } => Some(format!(
                "try again in {retry_in_seconds} s, or name another model or provider"
            )),
            Self::NotServed { model, .. } => {
                Some(format!("see who serves it: https://huggingface.co/{model}"))
            }
            Self::UnknownProvider { .. } => {
                let names: Vec<_> = Provider::known().map(|provider| provider.to_string()).collect();
                Some(format!("take auto, or one of {}", names.join(", ")))
            }
            Self::Invalid(_) => None,
        }
    }
}

impl From<HfError> for InferenceError {
    fn from(error: HfError) -> Self {
        Self::Failed {
            error: Box::new(error),
            attempts: Vec::new(),
        }
    }
}
