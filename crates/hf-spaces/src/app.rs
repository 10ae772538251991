//! Asking the app of a Space, and hearing its answer as it is written.

use futures::stream::{Stream, StreamExt};
use hf_core::{HfError, RepoId, RequestSpec};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use url::Url;

use crate::deploy::{KEY_LIFE, first_text, with_key};
use crate::manager::HfSpaceManager;

/// A question to an app of this template.
#[derive(Debug, Clone, PartialEq)]
pub struct AppQuestion {
    /// The prompt.
    pub prompt: String,
    /// Tokens the answer may have.
    pub max_new_tokens: u32,
    /// How freely it answers; 0 is always the same.
    pub temperature: f64,
}

/// What an app sends while it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AppPiece {
    /// The answer as far as it is written, from its beginning.
    SoFar(String),
    /// The whole answer; nothing follows.
    Whole(String),
    /// The app failed, in its words; nothing follows.
    Failed(String),
}

impl HfSpaceManager {
    /// Asks the app of a Space at `/generate`, through Gradio's HTTP API. The account's own token does not leave the Hub's origin: a
    /// private Space is asked with a key to it alone.
    ///
    /// # Errors
    /// [`HfError::NotFound`] when there is no such Space; [`HfError::InvalidArgument`] when the Hub does not tell where its app is;
    /// else what the way to the app fails with. Items are errors where the answer breaks off; the stream ends after one.
    ///
    /// # Source
    /// Gradio 6, "Querying Gradio Apps with Curl": a POST gives an event id, whose events are then read.
    pub async fn ask_app(
        &self,
        id: &RepoId,
        question: &AppQuestion,
    ) -> Result<impl Stream<Item = Result<AppPiece, HfError>> + Send + Unpin + use<>, HfError> {
        #[derive(Deserialize)]
        struct Begun {
            event_id: String,
        }
        let info = self.get_space(id).await?;
        let app = info.app_url().ok_or_else(|| {
            HfError::invalid(format!("the Hub does not tell where the app of {id} is reached"))
        })?;
        let base = Url::parse(&format!("{}/", app.trim_end_matches('/')))
            .map_err(|error| HfError::decode("the address of the app", error.to_string()))?;
        let at = |path: &str| {
            base.join(path)
                .map_err(|error| HfError::decode("the address of the app", error.to_string()))
        };
        let key = match info.private {
            Some(true) => Some(self.app_key(id, KEY_LIFE).await?),
            _ => None,
        };
        let body = json!({"data": [question.prompt, question.max_new_tokens, question.temperature]});
        let call = RequestSpec::to_url(Method::POST, at("gradio_api/call/generate")?)
            .json(&body)?
            .anonymous();
        let begun: Begun = self.client().request_json(with_key(call, key.as_ref())?).await?;
        let events = at(&format!(
            "gradio_api/call/generate/{}",
            hf_core::encode_segment(&begun.event_id)
        ))?;
        let listen = with_key(RequestSpec::to_url(Method::GET, events).anonymous(), key.as_ref())?;
        let events = self.client().events_of(listen);
        let pieces = futures::stream::unfold(Some((Box::pin(events), String::new())), |state| async move {
            let (mut events, mut last) = state?;
            loop {
                let event = match events.next().await {
                    Some(Ok(event)) => event,
                    Some(Err(error)) => return Some((Err(error), None)),
                    None => {
                        let broken = "the app ended its answer before it was whole".to_owned();
                        return Some((Ok(AppPiece::Failed(broken)), None));
                    }
                };
                match event.event.as_deref() {
                    Some("generating") => {
                        if let Some(text) = first_text(&event.data).filter(|text| *text != last) {
                            last.clone_from(&text);
                            return Some((Ok(AppPiece::SoFar(text)), Some((events, last))));
                        }
                    }
                    Some("complete") => {
                        let text = first_text(&event.data).unwrap_or(last);
                        return Some((Ok(AppPiece::Whole(text)), None));
                    }
                    Some("error") => return Some((Ok(AppPiece::Failed(words(&event.data))), None)),
                    _ => {}
                }
            }
        });
        Ok(pieces.boxed())
    }
}

/// What an app says of its failure.
pub(crate) fn words(data: &str) -> String {
    let why = serde_json::from_str::<Value>(data).unwrap_or_default();
    let why = why.as_str().or_else(|| why["error"].as_str());
    why.unwrap_or("the app reported an error without words")
        .to_owned()
}
