//! What an app stands in: a Space of a Hub, or a container of its own.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::queue::Sessions;
use super::space_file::SpaceFile;
use crate::inference::{Answering, Wanted};

/// The surroundings of an app.
#[async_trait]
pub(crate) trait AppHost: Send + Sync + 'static {
    /// What is served.
    fn file(&self) -> &SpaceFile;

    /// Questions and answers under way.
    fn sessions(&self) -> &Arc<Sessions>;

    /// `namespace/name` of the Space; empty where none is known.
    fn space_id(&self) -> &str;

    /// Where visitors reach the app, without a slash at its end.
    fn root(&self) -> &str;

    /// How the model is run, in a sentence that visitors see.
    fn runtime(&self) -> &'static str;

    /// The origin whose pages may show this one in a frame.
    fn framed_by(&self) -> Option<&str>;

    /// Cancelled when the app is to end.
    fn closing(&self) -> &CancellationToken;

    /// Milliseconds since 1970.
    fn now_ms(&self) -> i64;

    /// Notes that somebody asked something.
    fn touch(&self);

    /// Writes a line of the app's log.
    fn log(&self, line: String);

    /// Answers a prompt as the only message of a conversation.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    async fn answer(&self, prompt: &str, wanted: Wanted) -> Result<Answering, String>;
}
