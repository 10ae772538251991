//! Trying: again, elsewhere, or not.

use std::collections::VecDeque;
use std::time::Duration;

use hf_core::{HfClient, HfError, HfErrorKind, RequestSpec, TransportKind};

use super::candidates::{Candidate, Candidates};
use super::{Call, HfInferenceClient, timed_out};
use crate::error::{InferenceError, Result};
use crate::provider::Provider;
use crate::report::Attempt;

/// What a failure means for what is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// Nobody would answer better: the request, the token or the wallet is the reason.
    Stop,
    /// This provider does not serve it; another may.
    Elsewhere,
    /// It may pass later, or at another.
    Later {
        /// Whether the provider itself is in trouble, which its breaker counts.
        trouble: bool,
    },
}

fn verdict(error: &HfError, chosen: bool) -> Verdict {
    let trouble = Verdict::Later { trouble: true };
    match error.kind() {
        HfErrorKind::Transport => match error.transport_kind() {
            Some(TransportKind::Offline | TransportKind::Tls | TransportKind::InvalidRequest) => {
                Verdict::Stop
            }
            _ => trouble,
        },
        HfErrorKind::RateLimited => Verdict::Later { trouble: false },
        HfErrorKind::Decode => trouble,
        HfErrorKind::Http => match error.status().map(|status| status.as_u16()) {
            Some(408 | 425) => trouble,
            Some(status) if status >= 500 && status != 501 => trouble,
            _ => Verdict::Stop,
        },
        HfErrorKind::NotFound if chosen => Verdict::Elsewhere,
        HfErrorKind::InvalidArgument if chosen && is_about_the_provider(error) => Verdict::Elsewhere,
        _ => Verdict::Stop,
    }
}

/// # Source
/// Recorded answers: `"code":"model_not_supported"`, and `Model not supported by provider hf-inference`.
fn is_about_the_provider(error: &HfError) -> bool {
    error.context().is_some_and(|context| {
        context.error_code.as_deref() == Some("model_not_supported")
            || context
                .server_message
                .as_deref()
                .is_some_and(|message| message.contains("not supported by provider"))
    })
}

/// A candidate, and when it may be asked.
struct Waiting {
    candidate: Candidate,
    not_before: Duration,
}

impl HfInferenceClient {
    /// Sends a call to one candidate after the other until one answers, trying is of no use, or time or tries are used up.
    pub(super) async fn run<T, F>(
        &self,
        call: &mut Call,
        mut candidates: Candidates<'_>,
        attempt: impl Fn(HfClient, RequestSpec) -> F + Send + Sync,
    ) -> Result<T>
    where
        F: Future<Output = std::result::Result<(T, Option<Provider>), HfError>> + Send,
        T: Send,
    {
        let inner = &*self.inner;
        let (config, clock) = (&inner.config, &inner.clock);
        let deadline = call.began.saturating_add(config.deadline);
        let mut fresh: VecDeque<Candidate> = self.more(&mut candidates).await?;
        let mut later: Vec<Waiting> = Vec::new();
        let mut last: Option<HfError> = None;
        let mut blocked: Vec<(Provider, Duration)> = Vec::new();
        let mut rounds = 0;
        loop {
            let candidate = if let Some(candidate) = fresh.pop_front() {
                candidate
            } else {
                fresh = self.more(&mut candidates).await?;
                if !fresh.is_empty() {
                    continue;
                }
                rounds += 1;
                match self.next_round(&mut later, rounds, deadline).await {
                    Some(again) => again,
                    None => return Err(given_up(call, last, &blocked)),
                }
            };
            let name = candidate.provider.as_ref().map(Provider::as_str);
            let pass = match inner.breakers.pass(&call.model, name) {
                Ok(pass) => pass,
                Err(wait) => {
                    blocked.push((
                        candidate.provider.unwrap_or_else(|| Provider::named("auto")),
                        wait,
                    ));
                    continue;
                }
            };
            let start = clock.elapsed();
            let patience = config.timeout.min(deadline.saturating_sub(start));
            let outcome = tokio::select! {
                biased;
                outcome = attempt(inner.router.clone(), candidate.spec.clone()) => outcome,
                () = clock.sleep(patience) => Err(timed_out("the answer", patience)),
            };
            let took = clock.elapsed().saturating_sub(start);
            let error = match outcome {
                Ok((value, served_by)) => {
                    pass.succeeded();
                    let served_by = served_by.or(candidate.provider);
                    call.attempts.push(Attempt::answered(served_by.clone(), took));
                    call.served_by = served_by;
                    return Ok(value);
                }
                Err(error) => error,
            };
            call.attempts
                .push(Attempt::failed(candidate.provider.clone(), &error, took));
            let asked_wait = error.asked_wait();
            match verdict(&error, candidate.provider.is_some()) {
                Verdict::Stop => {
                    drop(pass);
                    return Err(failed(call, error));
                }
                Verdict::Elsewhere => drop(pass),
                Verdict::Later { trouble } => {
                    if trouble {
                        pass.failed(asked_wait);
                    } else {
                        drop(pass);
                    }
                    later.push(Waiting {
                        candidate,
                        not_before: clock.elapsed().saturating_add(asked_wait.unwrap_or_default()),
                    });
                }
            }
            tracing::debug!(%error, model = call.model, "an inference provider failed");
            last = Some(error);
            let tries = u32::try_from(call.attempts.len()).unwrap_or(u32::MAX);
            if tries >= config.retry.max_attempts || clock.elapsed() >= deadline {
                return Err(given_up(call, last, &blocked));
            }
        }
    }

    /// Waits for the candidate that may be asked first; none when that would be too late or there is none.
    async fn next_round(
        &self,
        later: &mut Vec<Waiting>,
        round: u32,
        deadline: Duration,
    ) -> Option<Candidate> {
        let (index, _) = later
            .iter()
            .enumerate()
            .min_by_key(|(_, waiting)| waiting.not_before)?;
        let clock = &self.inner.clock;
        let now = clock.elapsed();
        let asked = later[index].not_before.saturating_sub(now);
        let wait = self.inner.backoff.wait(round).max(asked);
        if now.saturating_add(wait) >= deadline {
            return None;
        }
        clock.sleep(wait).await;
        Some(later.remove(index).candidate)
    }
}

fn failed(call: &Call, error: HfError) -> InferenceError {
    InferenceError::Failed {
        error: Box::new(error),
        attempts: call.attempts.clone(),
    }
}

fn given_up(call: &Call, last: Option<HfError>, blocked: &[(Provider, Duration)]) -> InferenceError {
    if let Some(error) = last {
        return failed(call, error);
    }
    let Some(first) = blocked.iter().map(|(_, wait)| *wait).min() else {
        return InferenceError::NotServed {
            model: call.model.clone(),
            task: call.task.to_owned(),
            offered: Vec::new(),
        };
    };
    InferenceError::CircuitOpen {
        model: call.model.clone(),
        providers: blocked.iter().map(|(provider, _)| provider.clone()).collect(),
        retry_in_seconds: first.as_secs().max(1),
    }
}
