//! An answer piece by piece, as server-sent events.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::Response;
use bashgym_core::inference::InferenceFailure;
use futures::Stream;
use hf_inference::{CallReport, ChatChunk};
use http::{HeaderName, HeaderValue, header};
use tokio::time::{Instant, Sleep, sleep_until};

use super::chat::failed;
use super::error::inside;

/// How long nothing is written before a comment shows that the answer goes on.
const QUIET: Duration = Duration::from_secs(15);
/// Pieces that are there already are written together, up to this size.
const TOGETHER: usize = 16 * 1024;

/// What pieces come from.
pub(super) trait Pieces:
    Stream<Item = Result<ChatChunk, InferenceFailure>> + Send + Unpin + 'static
{
    /// What is known of the call, once it has ended well.
    fn report(&self) -> Option<&CallReport>;
}

impl Pieces for bashgym_core::router::RoutedStream {
    fn report(&self) -> Option<&CallReport> {
        Self::report(self)
    }
}

/// Answers with events. Dropped when the caller hangs up, which ends the call behind it.
pub(super) fn respond(pieces: impl Pieces, include_usage: bool) -> Response {
    let events = Events {
        pieces,
        include_usage,
        over: false,
        quiet: Box::pin(sleep_until(Instant::now() + QUIET)),
    };
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    // A proxy in between that waits for more would make a stream of it no more.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}

struct Events<P> {
    pieces: P,
    include_usage: bool,
    over: bool,
    quiet: Pin<Box<Sleep>>,
}

impl<P: Pieces> Events<P> {
    /// Whether a piece only tells tokens, which this caller did not ask for: many a tool takes its first choice for granted.
    fn is_left_out(&self, chunk: &ChatChunk) -> bool {
        !self.include_usage && chunk.body.choices.is_empty() && chunk.body.extra.contains_key("usage")
    }
}

fn write(text: &mut String, data: &str) {
    text.push_str("data: ");
    text.push_str(data);
    text.push_str("\n\n");
}

/// What it cost, as a comment: readers of events skip it.
fn comment(report: &CallReport) -> String {
    let cost = report
        .cost
        .amount()
        .map_or_else(String::new, |amount| format!(" cost_usd={:.9}", amount.to_usd()));
    let provider = report.provider.as_ref().map_or_else(String::new, |provider| {
        format!(" provider={}", provider.as_str().replace(['\r', '\n'], " "))
    });
    format!(
        ": bashgym{provider} cost_source={}{cost}\n\n",
        report.cost.source()
    )
}

impl<P: Pieces> Stream for Events<P> {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.over {
            return Poll::Ready(None);
        }
        let mut text = String::new();
        while text.len() < TOGETHER {
            match Pin::new(&mut this.pieces).poll_next(context) {
                Poll::Pending if text.is_empty() => {
                    if this.quiet.as_mut().poll(context).is_pending() {
                        return Poll::Pending;
                    }
                    text.push_str(": keep-alive\n\n");
                    this.quiet.as_mut().reset(Instant::now() + QUIET);
                    return Poll::Ready(Some(Ok(text.into())));
                }
                Poll::Pending => break,
                Poll::Ready(Some(Ok(chunk))) if this.is_left_out(&chunk) => {}
                Poll::Ready(Some(Ok(chunk))) => write(&mut text, &one_line(chunk.json)),
                Poll::Ready(Some(Err(error))) => {
                    this.over = true;
                    write(&mut text, &inside(&failed(error)).to_string());
                    break;
                }
                Poll::Ready(None) => {
                    this.over = true;
                    if let Some(report) = this.pieces.report() {
                        text.push_str(&comment(report));
                    }
                    write(&mut text, "[DONE]");
                    break;
                }
            }
        }
        this.quiet.as_mut().reset(Instant::now() + QUIET);
        Poll::Ready(Some(Ok(text.into())))
    }
}

/// JSON that came over several lines of an event is one line here; between its tokens a line break is a blank.
fn one_line(json: String) -> String {
    if json.contains(['\n', '\r']) {
        json.replace(['\n', '\r'], " ")
    } else {
        json
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::StreamExt;
    use hf_core::HfError;
    use hf_inference::InferenceError;
    use serde_json::{Value, json};

    use super::*;

    enum Step {
        Piece(Value),
        Wait,
        Break,
    }

    struct Script(VecDeque<Step>);

    impl Stream for Script {
        type Item = Result<ChatChunk, InferenceFailure>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            match self.0.pop_front() {
                Some(Step::Piece(value)) => Poll::Ready(Some(Ok(ChatChunk {
                    body: serde_json::from_value(value.clone()).unwrap(),
                    json: value.to_string(),
                }))),
                Some(Step::Wait) => Poll::Pending,
                Some(Step::Break) => {
                    let error = InferenceError::from(HfError::decode("a piece", "broken"));
                    Poll::Ready(Some(Err(error.into())))
                }
                None => Poll::Ready(None),
            }
        }
    }

    impl Pieces for Script {
        fn report(&self) -> Option<&CallReport> {
            None
        }
    }

    fn piece(text: &str) -> Step {
        Step::Piece(json!({"choices": [{"index": 0, "delta": {"content": text}}]}))
    }

    async fn written(steps: impl IntoIterator<Item = Step>, include_usage: bool) -> Vec<String> {
        let response = respond(Script(steps.into_iter().collect()), include_usage);
        let body = response.into_body().into_data_stream();
        body.map(|bytes| String::from_utf8(bytes.unwrap().to_vec()).unwrap())
            .collect()
            .await
    }

    #[tokio::test]
    async fn what_is_there_is_written_together() {
        let told = written([piece("a"), piece("b")], false).await;
        assert_eq!(told.len(), 1, "{told:?}");
        assert_eq!(told[0].matches("data: ").count(), 3);
        assert!(told[0].ends_with("data: [DONE]\n\n"));
    }

    #[tokio::test]
    async fn tokens_are_told_to_those_who_asked() {
        let usage =
            || Step::Piece(json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}));
        assert!(
            !written([piece("a"), usage()], false)
                .await
                .concat()
                .contains("usage")
        );
        assert!(
            written([piece("a"), usage()], true)
                .await
                .concat()
                .contains("usage")
        );
    }

    #[tokio::test]
    async fn a_break_is_an_error_and_no_end() {
        let told = written([piece("a"), Step::Break], false).await.concat();
        assert!(told.contains("\"error\":{") && !told.contains("[DONE]"), "{told}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_model_is_shown_to_be_alive() {
        // Once behind the first piece, once before the timer runs, once when it has.
        let told = written(
            [piece("a"), Step::Wait, Step::Wait, Step::Wait, piece("b")],
            false,
        )
        .await;
        assert!(told.concat().contains(": keep-alive\n\n"), "{told:?}");
        let data: Vec<_> = told
            .concat()
            .lines()
            .filter(|line| line.starts_with("data:"))
            .map(str::to_owned)
            .collect();
        assert_eq!(data.len(), 3);
    }
}
