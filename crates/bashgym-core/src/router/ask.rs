//! Asking one model after the other.

use hf_inference::{ChatAnswer, ChatRequest};

use super::confidence::{Confidence, Signal};
use super::decision::{RouteTry, TryEnd};
use super::open::Open;
use super::plan::{Plan, Step};
use super::service::{Router, lock};
use super::stream::hold_back;
use crate::backend::{BackendRole, BackendStream};
use crate::inference::InferenceFailure;

/// Who answered, and what.
pub(super) type Asked<T> = (BackendRole, String, T);
/// What was held back, and the stream behind it.
pub(super) type Streamed = (Vec<hf_inference::ChatChunk>, Option<BackendStream>);

/// Why nobody answered.
pub(super) enum Stop {
    Failed(InferenceFailure),
    Late,
}

impl Router {
    pub(super) async fn ask(
        &self,
        request: &ChatRequest,
        plan: &Plan,
        open: &mut Open,
    ) -> Result<Asked<ChatAnswer>, Stop> {
        let mut held: Option<(usize, Asked<ChatAnswer>)> = None;
        let mut last_error = None;
        for step in &plan.steps {
            let backend = &self.inner.backends[step.at];
            let started = self.inner.clock.elapsed();
            let mut tried = self.tried(step);
            open.asking = Some(tried.clone());
            let answer = match step.gate {
                Some(_) => backend.chat(&with_logprobs(request)).await,
                None => backend.chat(request).await,
            };
            open.asking = None;
            tried.millis = self.millis_since(started);
            match answer {
                Ok(mut answer) => {
                    tried.note_report(&answer.report);
                    let confidence = step.gate.map(|_| self.confidence(step, request, &answer, open));
                    if request.options.logprobs != Some(true) && step.gate.is_some() {
                        for choice in &mut answer.reply.choices {
                            choice.extra.remove("logprobs");
                        }
                    }
                    tried.confidence = confidence;
                    let asked = (tried.role, tried.model.clone(), answer);
                    match (step.gate, confidence) {
                        (Some(gate), Some(confidence)) if confidence.probability < gate => {
                            tried.end = TryEnd::Escalated;
                            held = Some((open.record.tries.len(), asked));
                            open.record.tries.push(tried);
                        }
                        _ => {
                            tried.end = TryEnd::Answered;
                            open.record.tries.push(tried);
                            return Ok(asked);
                        }
                    }
                }
                Err(error) => {
                    tried.note_failure(&error);
                    open.record.tries.push(tried);
                    last_error = Some(error);
                }
            }
        }
        doubted_or_none(held, last_error, open)
    }

    pub(super) async fn ask_stream(
        &self,
        request: &ChatRequest,
        plan: &Plan,
        open: &mut Open,
    ) -> Result<Asked<Streamed>, Stop> {
        let mut held: Option<(usize, Asked<Streamed>)> = None;
        let mut last_error = None;
        for step in &plan.steps {
            let backend = &self.inner.backends[step.at];
            let started = self.inner.clock.elapsed();
            let mut tried = self.tried(step);
            open.asking = Some(tried.clone());
            let Some(gate) = step.gate else {
                let begun = backend.chat_stream(request).await;
                open.asking = None;
                match begun {
                    Ok(stream) => {
                        let streamed = (Vec::new(), Some(stream));
                        return Ok((tried.role, tried.model, streamed));
                    }
                    Err(error) => {
                        tried.millis = self.millis_since(started);
                        tried.note_failure(&error);
                        open.record.tries.push(tried);
                        last_error = Some(error);
                        continue;
                    }
                }
            };
            let calibration = lock(&self.inner.known).calibrations.get(&tried.model).cloned();
            let waited = match backend.chat_stream(&with_logprobs(request)).await {
                Ok(stream) => {
                    let most = self.inner.policy.buffer_bytes;
                    hold_back(stream, request, calibration.as_deref(), most).await
                }
                Err(error) => Err(error),
            };
            open.asking = None;
            tried.millis = self.millis_since(started);
            match waited {
                Ok(waited) => {
                    if let Some(report) = waited.stream.as_ref().and_then(BackendStream::report) {
                        tried.note_report(report);
                    } else {
                        // It was sent, and is not at its end: what it costs is not known yet.
                        (tried.attempts, tried.cost) = (1, Some(hf_inference::Cost::Unknown));
                    }
                    let confidence = waited.confidence.unwrap_or_else(|| believed(step, open));
                    tried.confidence = Some(confidence);
                    let asked = (tried.role, tried.model.clone(), (waited.chunks, waited.stream));
                    if confidence.probability >= gate {
                        open.record.reason.push_str("; sure enough");
                        open.record.tries.push(RouteTry {
                            end: TryEnd::Answered,
                            ..tried
                        });
                        return Ok(asked);
                    }
                    tried.end = TryEnd::Escalated;
                    held = Some((open.record.tries.len(), asked));
                    open.record.tries.push(tried);
                }
                Err(error) => {
                    tried.note_failure(&error);
                    open.record.tries.push(tried);
                    last_error = Some(error);
                }
            }
        }
        doubted_or_none(held, last_error, open)
    }

    fn tried(&self, step: &Step) -> RouteTry {
        let backend = &self.inner.backends[step.at];
        RouteTry {
            role: backend.role(),
            model: backend.model().to_owned(),
            end: TryEnd::Failed,
            error: None,
            confidence: None,
            attempts: 0,
            usage: None,
            cost: None,
            millis: 0,
        }
    }

    fn confidence(&self, step: &Step, request: &ChatRequest, answer: &ChatAnswer, open: &Open) -> Confidence {
        let model = self.inner.backends[step.at].model();
        let calibration = lock(&self.inner.known).calibrations.get(model).cloned();
        let tools = request.options.tools.as_deref().unwrap_or_default();
        Confidence::of(&answer.reply, tools, calibration.as_deref()).unwrap_or_else(|| believed(step, open))
    }
}

/// What is left when nobody answered surely: an answer that was doubted is more than none.
fn doubted_or_none<T>(
    held: Option<(usize, Asked<T>)>,
    last_error: Option<InferenceFailure>,
    open: &mut Open,
) -> Result<Asked<T>, Stop> {
    match (held, last_error) {
        (Some((at, asked)), _) => {
            open.record.tries[at].end = TryEnd::Answered;
            open.record.reason.push_str("; nobody else answered");
            Ok(asked)
        }
        (None, Some(error)) => Err(Stop::Failed(error)),
        (None, None) => Err(Stop::Late),
    }
}

/// What is believed of a model in general, for an answer that says nothing about itself.
fn believed(step: &Step, open: &Open) -> Confidence {
    let mean = open.record.candidates[step.at].belief.mean;
    Confidence {
        signal: Signal::Evidence,
        raw: mean,
        probability: mean,
        calibrated: true,
    }
}

fn with_logprobs(request: &ChatRequest) -> ChatRequest {
    let mut request = request.clone();
    request.options.logprobs = Some(true);
    request
}

impl RouteTry {
    pub(super) fn note_report(&mut self, report: &hf_inference::CallReport) {
        self.attempts = u32::try_from(report.attempts.len()).unwrap_or(u32::MAX);
        self.usage = report.usage;
        self.cost = Some(report.cost);
    }

    pub(super) fn note_failure(&mut self, error: &InferenceFailure) {
        self.error = Some(error.to_string());
        match error {
            InferenceFailure::Budget(_) => self.end = TryEnd::Refused,
            InferenceFailure::Inference(error) => {
                let attempts = error.attempts();
                self.attempts = u32::try_from(attempts.len()).unwrap_or(u32::MAX);
                let may_cost = attempts.iter().any(|attempt| attempt.may_be_billed);
                self.cost = may_cost.then_some(hf_inference::Cost::Unknown);
            }
        }
    }
}
