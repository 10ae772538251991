//! Answers piece by piece, through the router.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::{Stream, StreamExt};
use hf_inference::{CallReport, ChatChunk, ChatRequest, Content, FunctionCall, Message, ToolCall};
use serde_json::Value;

use super::confidence::{Calibration, Confidence, invalid_tool_call};
use super::decision::{RouteTry, TryEnd};
use super::open::Open;
use super::service::Router;
use crate::backend::{BackendRole, BackendStream};
use crate::inference::InferenceFailure;

/// An answer that was held back until it was known how sure the model is of it.
pub(super) struct HeldBack {
    pub(super) chunks: Vec<ChatChunk>,
    /// The rest, where the answer was too long to wait for its end; ended otherwise.
    pub(super) stream: Option<BackendStream>,
    /// None where the model gave no signal.
    pub(super) confidence: Option<Confidence>,
}

/// Takes an answer in, to its end or to `most` bytes.
pub(super) async fn hold_back(
    mut stream: BackendStream,
    request: &ChatRequest,
    calibration: Option<&Calibration>,
    most: usize,
) -> Result<HeldBack, InferenceFailure> {
    let is_told = request.options.logprobs == Some(true);
    let (mut chunks, mut bytes) = (Vec::new(), 0);
    let (mut logprobs, mut answer) = (Vec::new(), Assembled::default());
    while bytes <= most
        && let Some(chunk) = stream.next().await
    {
        let mut chunk = chunk?;
        bytes += chunk.json.len();
        answer.take(&chunk);
        if let Ok(mut json) = serde_json::from_str::<Value>(&chunk.json) {
            let told = json["choices"][0]["logprobs"]["content"].as_array();
            logprobs.extend(
                told.into_iter()
                    .flatten()
                    .filter_map(|token| token["logprob"].as_f64()),
            );
            // Nobody asked for them but the router.
            if !is_told && take_logprobs(&mut json) {
                chunk.json = json.to_string();
            }
        }
        chunks.push(chunk);
    }
    let tools = request.options.tools.as_deref().unwrap_or_default();
    let confidence = if invalid_tool_call(&answer.message(), tools).is_some() {
        Some(Confidence::BAD_CALL)
    } else {
        Confidence::of_logprobs(logprobs.into_iter(), calibration)
    };
    Ok(HeldBack {
        chunks,
        stream: Some(stream),
        confidence,
    })
}

fn take_logprobs(json: &mut Value) -> bool {
    let mut taken = false;
    for choice in json["choices"].as_array_mut().into_iter().flatten() {
        taken |= choice
            .as_object_mut()
            .is_some_and(|choice| choice.remove("logprobs").is_some());
    }
    taken
}

/// An answer, put together from its pieces.
#[derive(Debug, Default)]
struct Assembled {
    text: String,
    calls: BTreeMap<u64, (String, String, String)>,
}

impl Assembled {
    fn take(&mut self, chunk: &ChatChunk) {
        self.text.push_str(chunk.body.text());
        let first = chunk.body.choices.iter().find(|choice| choice.index == 0);
        for call in first
            .and_then(|it| it.delta.tool_calls.as_ref())
            .into_iter()
            .flatten()
        {
            let (id, name, arguments) = self.calls.entry(call["index"].as_u64().unwrap_or(0)).or_default();
            for (part, more) in [
                (id, &call["id"]),
                (name, &call["function"]["name"]),
                (arguments, &call["function"]["arguments"]),
            ] {
                part.push_str(more.as_str().unwrap_or_default());
            }
        }
    }

    fn message(&self) -> Message {
        let calls: Vec<ToolCall> = self
            .calls
            .values()
            .map(|(id, name, arguments)| ToolCall {
                id: id.clone(),
                function: FunctionCall {
                    name: name.clone(),
                    arguments: arguments.clone(),
                },
                extra: serde_json::Map::from_iter([("type".to_owned(), "function".into())]),
            })
            .collect();
        Message {
            role: "assistant".to_owned(),
            content: (!self.text.is_empty()).then(|| Content::Text(self.text.clone())),
            tool_calls: (!calls.is_empty()).then_some(calls),
            ..Message::default()
        }
    }
}

/// An answer piece by piece. Its decision is kept when it ends or is dropped; dropped, the call behind it is ended too.
pub struct RoutedStream {
    router: Router,
    open: Option<Open>,
    by: (BackendRole, String),
    held: VecDeque<ChatChunk>,
    inner: Option<BackendStream>,
    answer: Assembled,
    keeps_answer: bool,
}

impl std::fmt::Debug for RoutedStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoutedStream")
            .field("by", &self.by)
            .finish_non_exhaustive()
    }
}

impl RoutedStream {
    pub(super) fn new(
        router: Router,
        open: Open,
        by: (BackendRole, String),
        held: Vec<ChatChunk>,
        inner: Option<BackendStream>,
    ) -> Self {
        Self {
            keeps_answer: router.keeps_exchanges(),
            router,
            open: Some(open),
            by,
            held: held.into(),
            inner,
            answer: Assembled::default(),
        }
    }

    /// What is known of the call, once the stream has ended well.
    pub fn report(&self) -> Option<&CallReport> {
        self.inner.as_ref()?.report()
    }

    fn finish(&mut self, end: TryEnd, error: Option<&InferenceFailure>) {
        let Some(mut open) = self.open.take() else { return };
        let (role, model) = &self.by;
        let is_own = |it: &RouteTry| it.model == *model && it.end == TryEnd::Answered;
        if !open.record.tries.iter().any(is_own) {
            let before: u64 = open.record.tries.iter().map(|it| it.millis).sum();
            open.record.tries.push(RouteTry {
                role: *role,
                model: model.clone(),
                end: TryEnd::Answered,
                error: None,
                confidence: None,
                attempts: 1,
                usage: None,
                cost: None,
                millis: self.router.millis_of(&open).saturating_sub(before),
            });
        }
        if let Some(own) = open.record.tries.iter_mut().rfind(|it| is_own(it)) {
            match (self.inner.as_ref().and_then(BackendStream::report), error) {
                (Some(report), _) => own.note_report(report),
                (None, Some(error)) => own.note_failure(error),
                (None, None) => own.cost = Some(hf_inference::Cost::Unknown),
            }
            own.end = end;
        }
        open.record.succeeded = end == TryEnd::Answered;
        let answer = (self.keeps_answer && open.record.succeeded).then(|| self.answer.message());
        self.router.keep(&mut open, answer);
    }
}

impl Stream for RoutedStream {
    type Item = Result<ChatChunk, InferenceFailure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let next = match (this.held.pop_front(), &mut this.inner) {
            (Some(chunk), _) => Some(Ok(chunk)),
            (None, Some(inner)) => ready!(inner.poll_next_unpin(context)),
            (None, None) => None,
        };
        match &next {
            Some(Ok(chunk)) if this.keeps_answer => this.answer.take(chunk),
            Some(Ok(_)) => {}
            Some(Err(error)) => this.finish(TryEnd::BrokeOff, Some(error)),
            None => this.finish(TryEnd::Answered, None),
        }
        Poll::Ready(next)
    }
}

impl Drop for RoutedStream {
    fn drop(&mut self) {
        self.finish(TryEnd::Dropped, None);
    }
}
