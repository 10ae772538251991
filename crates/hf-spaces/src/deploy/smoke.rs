//! The first question to an app.

use std::time::Duration;

use futures::TryStreamExt;
use hf_core::{HfError, RepoId, RequestSpec, SecretValue};
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;

use super::DeployCause;
use crate::manager::HfSpaceManager;
use crate::runtime::SpaceInfo;

/// How long the key lives with which a private app is asked.
pub(crate) const KEY_LIFE: Duration = Duration::from_mins(10);
/// Tokens the first answer may have.
const TOKENS: u32 = 16;

/// What the first question to an app brought.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Smoke {
    /// An answer.
    Answered {
        /// Its first words.
        text: String,
        /// How long it took, the wait for a processor included.
        seconds: f64,
    },
    /// The question could not be put, which says nothing of the app.
    NotAsked {
        /// Why.
        why: String,
    },
}

impl Smoke {
    fn not_asked(why: impl Into<String>) -> Self {
        Self::NotAsked { why: why.into() }
    }
}

impl HfSpaceManager {
    /// Asks the app at `/generate`, through Gradio's HTTP API.
    ///
    /// # Source
    /// Gradio 6, "Querying Gradio Apps with Curl": a POST gives an event id, whose events are then read.
    pub(super) async fn smoke(
        &self,
        id: &RepoId,
        info: &SpaceInfo,
        prompt: &str,
    ) -> Result<Smoke, DeployCause> {
        let Some(app) = info.app_url() else {
            return Ok(Smoke::not_asked("the Hub does not tell where the app is reached"));
        };
        let Ok(base) = Url::parse(&format!("{}/", app.trim_end_matches('/'))) else {
            return Ok(Smoke::not_asked("the address of the app is none"));
        };
        let key = if info.private == Some(true) {
            match self.app_key(id, KEY_LIFE).await {
                Ok(key) => Some(key),
                Err(error) => {
                    return Ok(Smoke::not_asked(format!(
                        "the Space is private and the Hub gives no key to its app: {error}"
                    )));
                }
            }
        } else {
            None
        };
        let clock = self.client().clock().clone();
        let start = clock.elapsed();
        let asked = match self.ask(&base, key.as_ref(), prompt).await {
            Ok(asked) => asked,
            Err(error) if no_way_in(&error) => {
                return Ok(Smoke::not_asked(format!("the app could not be asked: {error}")));
            }
            Err(error) => return Err(DeployCause::Smoke(error.to_string())),
        };
        match asked {
            Answer::Text(text) if text.is_empty() => Err(DeployCause::Smoke("it is empty".to_owned())),
            Answer::Text(text) => Ok(Smoke::Answered {
                text: text.chars().take(200).collect(),
                seconds: clock.elapsed().saturating_sub(start).as_secs_f64(),
            }),
            Answer::Failed(why) => Err(DeployCause::Smoke(why)),
        }
    }

    /// A short-lived key to the app of one Space: the account's own token does not leave the Hub's origin.
    ///
    /// # Errors
    /// [`HfError`]; a Hub may give none.
    ///
    /// # Source
    /// Hub OpenAPI, `GET /api/spaces/{namespace}/{repo}/jwt`.
    pub async fn app_key(&self, id: &RepoId, life: Duration) -> Result<SecretValue, HfError> {
        #[derive(Deserialize)]
        struct Key {
            token: String,
        }
        let path = Self::path(id, "/jwt");
        let key: Key = self
            .client()
            .get_json(&path, &[("expires_in", &life.as_secs().to_string())])
            .await?;
        Ok(SecretValue::from(key.token))
    }

    async fn ask(&self, base: &Url, key: Option<&SecretValue>, prompt: &str) -> Result<Answer, HfError> {
        #[derive(Deserialize)]
        struct Begun {
            event_id: String,
        }
        let at = |path: &str| {
            base.join(path)
                .map_err(|error| HfError::decode("the address of the app", error.to_string()))
        };
        let body = json!({"data": [prompt, TOKENS, 0.0]});
        let call = at("gradio_api/call/generate")?;
        let begin = with_key(
            RequestSpec::to_url(Method::POST, call).json(&body)?.anonymous(),
            key,
        )?;
        let begun: Begun = self.client().request_json(begin).await?;
        let events = at(&format!(
            "gradio_api/call/generate/{}",
            hf_core::encode_segment(&begun.event_id)
        ))?;
        let listen = with_key(RequestSpec::to_url(Method::GET, events).anonymous(), key)?;
        let mut events = self.client().events_of(listen);
        let mut last = None;
        while let Some(event) = events.try_next().await? {
            match event.event.as_deref() {
                Some("complete") => {
                    return Ok(Answer::Text(first_text(&event.data).or(last).unwrap_or_default()));
                }
                Some("error") => {
                    return Ok(Answer::Failed(crate::app::words(&event.data)));
                }
                Some("generating") => last = first_text(&event.data).or(last),
                _ => {}
            }
        }
        Ok(Answer::Failed(
            "the app ended its answer before it was whole".to_owned(),
        ))
    }
}

enum Answer {
    Text(String),
    Failed(String),
}

pub(crate) fn with_key(spec: RequestSpec, key: Option<&SecretValue>) -> Result<RequestSpec, HfError> {
    let Some(key) = key else {
        return Ok(spec);
    };
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))
        .map_err(|_| HfError::decode("the key to the app", "it can not stand in a header"))?;
    value.set_sensitive(true);
    Ok(spec.header(AUTHORIZATION, value))
}

/// Whether the failure is that of the way to the app and not of the app.
fn no_way_in(error: &HfError) -> bool {
    matches!(error, HfError::Transport { .. } | HfError::RateLimited { .. })
        || error
            .status()
            .is_some_and(|status| matches!(status.as_u16(), 401 | 403 | 501))
}

/// The text of the first output.
pub(crate) fn first_text(data: &str) -> Option<String> {
    let data: Value = serde_json::from_str(data).ok()?;
    Some(data.as_array()?.first()?.as_str()?.to_owned())
}
