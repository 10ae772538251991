//! One answer of a model: made on a thread of its own, heard as it comes.

use std::ops::ControlFlow;
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::engine::{ChatEnd, ChatPiece, ChatTask, InferenceFailure, LoadedModel, ModelPlan, TokenScore};
use super::error::{Answer, Refusal};
use super::loaded::{Measured, Watched};
use crate::clock::HubClock;
use crate::reply::HubError;
use crate::repos::Commit;
use crate::state::Hub;

/// Pieces that may wait for the client; then the model waits too.
const AHEAD: usize = 8;

/// What an answer is made of.
#[derive(Debug)]
pub(super) enum Event {
    Piece(ChatPiece),
    End(ChatEnd),
    Failed(InferenceFailure),
}

/// An answer that is being given. Dropping it ends the work.
pub(super) struct Running {
    events: mpsc::Receiver<Event>,
    first: Option<Event>,
    _watched: Option<Watched>,
    pub(super) stamp: Stamp,
}

/// What every reply of one request repeats.
#[derive(Clone, Debug)]
pub(super) struct Stamp {
    pub(super) id: String,
    pub(super) created: i64,
    pub(super) model: String,
}

impl Stamp {
    pub(super) fn new(now: Timestamp, model: &str) -> Self {
        Self {
            id: format!("chatcmpl-{}", uuid::Uuid::new_v4().simple()),
            created: now.as_second(),
            model: model.to_owned(),
        }
    }
}

/// Starts an answer, and waits for its beginning: what fails before that is a status, not a broken stream.
pub(super) async fn start(
    hub: &Arc<Hub>,
    commit: &Commit,
    plan: &Arc<ModelPlan>,
    name: &str,
    task: ChatTask,
) -> Answer<Running> {
    let turn = hub.inference.turn().await?;
    let model = hub.inference.model(hub, commit, plan).await?;
    let meter = Meter::new(hub.clock.clone());
    let (inference, oid) = (Arc::clone(hub), commit.oid);
    let ended = move |measured| {
        drop(turn);
        if let Some(measured) = measured {
            inference.inference.measure(oid, measured);
        }
    };
    let stamp = Stamp::new(hub.clock.now(), name);
    speak(model, task, Watched::new(&hub.closing), meter, stamp, ended).await
}

/// Lets a model answer on a thread of its own. What it took is told there, once the model has ended and before its end is heard.
pub(super) async fn speak(
    model: Arc<dyn LoadedModel>,
    mut task: ChatTask,
    watched: Watched,
    mut meter: Meter,
    stamp: Stamp,
    ended: impl FnOnce(Option<Measured>) + Send + 'static,
) -> Answer<Running> {
    task.watch = watched.watch();
    let (sender, events) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let end = model.chat(&task, &mut |piece| {
            meter.heard();
            match sender.blocking_send(Event::Piece(piece)) {
                Ok(()) if !task.watch.is_stopped() => ControlFlow::Continue(()),
                _ => ControlFlow::Break(()),
            }
        });
        ended(end.as_ref().ok().and_then(|end| meter.result(end)));
        let _ = sender.blocking_send(end.map_or_else(Event::Failed, Event::End));
    });
    Running::new(events, Some(watched), stamp).await
}

impl Running {
    /// Waits for the beginning of an answer.
    pub(super) async fn new(
        mut events: mpsc::Receiver<Event>,
        watched: Option<Watched>,
        stamp: Stamp,
    ) -> Answer<Self> {
        match events.recv().await {
            Some(Event::Failed(failure)) => Err(failure.into()),
            Some(first) => Ok(Self {
                events,
                first: Some(first),
                _watched: watched,
                stamp,
            }),
            None => Err(gone()),
        }
    }

    /// The next event; none once the answer broke off.
    pub(super) async fn next(&mut self) -> Option<Event> {
        match self.first.take() {
            Some(first) => Some(first),
            None => self.events.recv().await,
        }
    }

    /// Waits for the whole answer.
    pub(super) async fn whole(mut self, logprobs: bool) -> Answer<Value> {
        let (mut text, mut calls, mut scores) = (String::new(), Vec::new(), Vec::new());
        loop {
            match self.next().await {
                Some(Event::Piece(ChatPiece::Text { text: piece, tokens })) => {
                    text.push_str(&piece);
                    scores.extend(tokens);
                }
                Some(Event::Piece(ChatPiece::ToolCall { name, arguments })) => {
                    calls.push(tool_call(&name, &arguments));
                }
                Some(Event::Failed(failure)) => return Err(failure.into()),
                None => return Err(gone()),
                Some(Event::End(end)) => {
                    let mut message = json!({"role": "assistant", "content": text});
                    if !calls.is_empty() {
                        message["tool_calls"] = Value::Array(calls);
                    }
                    return Ok(json!({
                        "id": self.stamp.id, "object": "chat.completion", "created": self.stamp.created,
                        "model": self.stamp.model, "system_fingerprint": "hf-local",
                        "choices": [{"index": 0, "message": message, "finish_reason": end.finish_reason.name(),
                            "logprobs": logprobs.then(|| scored(&scores))}],
                        "usage": usage(&end)}));
                }
            }
        }
    }
}

fn gone() -> Refusal {
    let lost = std::io::Error::other("the thread of the model ended without an answer");
    Refusal::Hub(HubError::internal(&lost))
}

/// A call of a tool, as OpenAI's API writes it.
pub(super) fn tool_call(name: &str, arguments: &str) -> Value {
    json!({"id": format!("call_{}", uuid::Uuid::new_v4().simple()), "type": "function",
        "function": {"name": name, "arguments": arguments}})
}

/// Log-probabilities, as OpenAI's API writes them.
pub(super) fn scored(tokens: &[TokenScore]) -> Value {
    let content: Vec<Value> = tokens
        .iter()
        .map(|it| {
            json!({"token": it.token, "logprob": it.logprob, "bytes": it.token.as_bytes(), "top_logprobs": []})
        })
        .collect();
    json!({"content": content})
}

pub(super) fn usage(end: &ChatEnd) -> Value {
    json!({"prompt_tokens": end.prompt_tokens, "completion_tokens": end.completion_tokens,
        "total_tokens": end.prompt_tokens + end.completion_tokens})
}

/// Measures an answer by the Hub's clock.
pub(super) struct Meter {
    clock: HubClock,
    began_ms: i64,
    first_ms: Option<i64>,
}

impl Meter {
    pub(super) fn new(clock: HubClock) -> Self {
        Self {
            began_ms: clock.now_ms(),
            clock,
            first_ms: None,
        }
    }

    fn heard(&mut self) {
        if self.first_ms.is_none() {
            self.first_ms = Some(self.clock.now_ms());
        }
    }

    fn result(&self, end: &ChatEnd) -> Option<Measured> {
        let first = self.first_ms?;
        let ms = self.clock.now_ms() - first;
        (ms > 0 && end.completion_tokens > 1).then(|| Measured {
            first_token_ms: (first - self.began_ms) as f64,
            tokens_per_second: (end.completion_tokens - 1) as f64 * 1000.0 / ms as f64,
        })
    }
}
