//! Why an app on its own does not answer.

use std::io;

/// Why there is no app.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceAppError {
    /// The file that says what is served can not be read.
    #[error("space.json is none of this template")]
    SpaceFile(#[source] serde_json::Error),
    /// What it names can not be served, and why.
    #[error("{0}")]
    NotServable(String),
    /// The model was loaded and gives no answer, and why.
    #[error("the model was loaded, and does not answer: {0}")]
    NoAnswer(String),
    /// The port can not be served.
    #[error("the app can not be served")]
    Serve(#[source] io::Error),
}
