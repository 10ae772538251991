//! A model for the app of a Space: what is loaded and asked, in a Hub or on its own.

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::chat::{Event, Meter, Running, Stamp, speak, start};
use super::engine::{ChatPiece, ChatTask, InferenceTask, LoadedModel, ModelPlan};
use super::error::Refusal;
use super::loaded::Watched;
use crate::clock::HubClock;
use crate::reply::HubResult;
use crate::repos::Commit;
use crate::state::Hub;

/// A model that chats, at one commit.
#[derive(Clone, Debug)]
pub(crate) struct AppModel {
    name: String,
    commit: Commit,
    plan: Arc<ModelPlan>,
}

/// What an app wants to hear.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) max_tokens: usize,
    /// 0 takes the likeliest token each time.
    pub(crate) temperature: f64,
}

/// A part of an answer.
#[derive(Debug)]
pub(crate) enum Said {
    Text(String),
    End { tokens: u64 },
    Failed(String),
}

/// An answer that is being given. Dropping it ends the work.
pub(crate) struct Answering(Running);

impl AppModel {
    /// Sees how a commit would be served; none if this Hub's engine does not chat as it.
    pub(crate) async fn find(hub: &Hub, name: &str, commit: Commit) -> HubResult<Option<Self>> {
        let plan = hub.inference.plan(hub, &commit).await?;
        Ok(plan
            .filter(|plan| plan.task == InferenceTask::Conversational)
            .map(|plan| Self {
                name: name.to_owned(),
                commit,
                plan,
            }))
    }

    /// Names of the files that are read, and the memory they take once loaded.
    pub(crate) fn needs(&self) -> (&[String], u64) {
        (&self.plan.files, self.plan.memory_bytes)
    }

    /// Loads it, if it is not in memory yet.
    ///
    /// # Errors
    /// Why it can't be, in words.
    pub(crate) async fn load(&self, hub: &Arc<Hub>) -> Result<(), String> {
        let loaded = hub.inference.model(hub, &self.commit, &self.plan).await;
        loaded.map(drop).map_err(Refusal::into_words)
    }

    /// Lets go of its memory. Answers that are being given go on to their end.
    pub(crate) fn unload(&self, hub: &Hub) {
        hub.inference.unload(self.commit.oid);
    }

    /// Whether two are the same files.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.commit.oid == other.commit.oid
    }

    /// Answers a prompt as the only message of a conversation.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub(crate) async fn answer(
        &self,
        hub: &Arc<Hub>,
        prompt: &str,
        wanted: Wanted,
    ) -> Result<Answering, String> {
        let task = task(prompt, wanted);
        start(hub, &self.commit, &self.plan, &self.name, task)
            .await
            .map(Answering)
            .map_err(Refusal::into_words)
    }
}

/// A prompt as the only message of a conversation.
fn task(prompt: &str, wanted: Wanted) -> ChatTask {
    ChatTask {
        messages: json!([{"role": "user", "content": prompt}]),
        max_tokens: Some(wanted.max_tokens),
        temperature: Some(wanted.temperature),
        seed: rand::random(),
        ..ChatTask::default()
    }
}

impl Answering {
    /// Lets a model of no Hub answer a prompt.
    ///
    /// # Errors
    /// Why there is no answer, in words.
    pub(crate) async fn of(
        model: Arc<dyn LoadedModel>,
        name: &str,
        prompt: &str,
        wanted: Wanted,
        closing: &CancellationToken,
    ) -> Result<Self, String> {
        let clock = HubClock::real();
        let stamp = Stamp::new(clock.now(), name);
        let (task, watched) = (task(prompt, wanted), Watched::new(closing));
        speak(model, task, watched, Meter::new(clock), stamp, drop)
            .await
            .map(Self)
            .map_err(Refusal::into_words)
    }

    /// Hears an answer to its end.
    ///
    /// # Errors
    /// Why it broke off, in words.
    pub(crate) async fn until_end(mut self) -> Result<(), String> {
        loop {
            match self.next().await {
                Said::Text(_) => {}
                Said::End { .. } => return Ok(()),
                Said::Failed(why) => return Err(why),
            }
        }
    }

    /// The next part; after the end or a failure nothing comes any more.
    pub(crate) async fn next(&mut self) -> Said {
        loop {
            return match self.0.next().await {
                Some(Event::Piece(ChatPiece::Text { text, .. })) => Said::Text(text),
                Some(Event::Piece(ChatPiece::ToolCall { .. })) => continue,
                Some(Event::End(end)) => Said::End {
                    tokens: end.completion_tokens,
                },
                Some(Event::Failed(failure)) => Said::Failed(failure.to_string()),
                None => Said::Failed("the model ended without finishing its answer".to_owned()),
            };
        }
    }
}
