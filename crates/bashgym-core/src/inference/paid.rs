//! An answer piece by piece that is paid for at its end.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use hf_inference::{CallReport, ChatChunk, ChatStream, InferenceError};

use super::desk::{Bill, InferenceFailure};

type Settling = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An answer piece by piece. What it cost is settled before it ends; dropped earlier, its worst case stands.
pub struct PaidStream {
    inner: ChatStream,
    bill: Option<Bill>,
    settling: Option<Settling>,
    failed: Option<InferenceError>,
}

impl std::fmt::Debug for PaidStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaidStream")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

impl PaidStream {
    pub(super) fn new(inner: ChatStream, bill: Bill) -> Self {
        Self {
            inner,
            bill: Some(bill),
            settling: None,
            failed: None,
        }
    }

    /// What is known of the call, once the stream has ended well.
    pub fn report(&self) -> Option<&CallReport> {
        self.inner.report()
    }

    /// The text received so far.
    pub fn text(&self) -> &str {
        self.inner.text()
    }
}

impl Stream for PaidStream {
    type Item = Result<ChatChunk, InferenceFailure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if this.settling.is_none() && this.bill.is_some() {
            let next = ready!(Pin::new(&mut this.inner).poll_next(context));
            match next {
                Some(Ok(chunk)) => return Poll::Ready(Some(Ok(chunk))),
                Some(Err(error)) => this.failed = Some(error),
                None => {}
            }
            if let Some(bill) = this.bill.take() {
                let attempts = this.failed.as_ref().map(|error| error.attempts().to_vec());
                let report = this.inner.report().cloned();
                this.settling = Some(Box::pin(async move {
                    match report {
                        Some(report) => bill.settle(&report).await,
                        None => bill.settle_failed(&attempts.unwrap_or_default()).await,
                    }
                }));
            }
        }
        if let Some(settling) = &mut this.settling {
            ready!(settling.as_mut().poll(context));
            this.settling = None;
            if let Some(error) = this.failed.take() {
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        Poll::Ready(None)
    }
}
