//! Events out of a body.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::Stream;
use http::Method;
use url::Url;

use super::HfResponse;
use crate::error::{self, HfError};
use crate::sse::{SseEvent, SseItem, SseParser};
use crate::transport::{TransportError, TransportKind};

/// Events out of a body.
pub(super) struct EventStream {
    body: Pin<Box<dyn Stream<Item = Result<Bytes, HfError>> + Send>>,
    parser: SseParser,
    ready: std::vec::IntoIter<SseItem>,
    /// How the stream ended; told once `ready` is used up.
    end: Option<Result<(), HfError>>,
    method: Method,
    url: Url,
}

impl EventStream {
    pub(super) fn new(response: HfResponse) -> Self {
        let (method, url) = (response.method.clone(), response.url.clone());
        let body = Box::pin(response.into_stream());
        Self {
            body,
            parser: SseParser::default(),
            ready: Vec::new().into_iter(),
            end: None,
            method,
            url,
        }
    }

    fn take_chunk(&mut self, chunk: &[u8]) {
        let mut items = Vec::new();
        if let Err(error) = self.parser.push(chunk, &mut items) {
            let what = format!("the event stream of {}", error::redact_url(&self.url));
            self.end = Some(Err(HfError::decode(what, error.to_string())));
        }
        self.ready = items.into_iter();
    }

    fn take_end(&mut self) {
        self.end = Some(if self.parser.is_inside_event() {
            let error = TransportError::new(TransportKind::Body, "the stream ended inside an event");
            Err(HfError::from_transport(&self.method, &self.url, error))
        } else {
            Ok(())
        });
    }
}

impl Stream for EventStream {
    type Item = Result<SseEvent, HfError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            for item in this.ready.by_ref() {
                if let SseItem::Event(event) = item {
                    return Poll::Ready(Some(Ok(event)));
                }
            }
            if let Some(end) = this.end.replace(Ok(())) {
                return Poll::Ready(end.err().map(Err));
            }
            this.end = None;
            match std::task::ready!(this.body.as_mut().poll_next(context)) {
                Some(Ok(chunk)) => this.take_chunk(&chunk),
                Some(Err(error)) => this.end = Some(Err(error)),
                None => this.take_end(),
            }
        }
    }
}
