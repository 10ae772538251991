//! What comes back.

use std::fmt;

use bytes::{Bytes, BytesMut};
use futures::stream::{Stream, StreamExt};
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, Method, StatusCode};
use serde::de::DeserializeOwned;
use url::Url;

use super::events::EventStream;
use crate::error::{self, HfError};
use crate::sse::SseEvent;
use crate::transport::ByteStream;

/// The most bytes of an answer that are read into memory at once.
pub const MAX_BODY_BYTES: usize = 64 << 20;

/// A successful answer, its body still flowing.
pub struct HfResponse {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: ByteStream,
}

impl fmt::Debug for HfResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HfResponse")
            .field("method", &self.method)
            .field("url", &error::redact_url(&self.url))
            .field("status", &self.status)
            .finish_non_exhaustive()
    }
}

impl HfResponse {
    /// The status: success, or a redirect that was not to be followed, or 304.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header as text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The address that answered, after redirects.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The announced size of the body.
    pub fn content_length(&self) -> Option<u64> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// The body in pieces.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, HfError>> + Send + 'static {
        let Self {
            method, url, body, ..
        } = self;
        body.map(move |piece| piece.map_err(|error| HfError::from_transport(&method, &url, error)))
    }

    /// The body, read as an event stream. It ends when the server closes it between two events.
    ///
    /// # Errors
    /// Items are [`HfError::Transport`] when the body breaks off, inside an event too, and [`HfError::Decode`] when a line or an
    /// event is too long.
    pub fn into_events(self) -> impl Stream<Item = Result<SseEvent, HfError>> + Send + Unpin + 'static {
        EventStream::new(self)
    }

    /// The whole body, if it is not larger than [`MAX_BODY_BYTES`].
    ///
    /// # Errors
    /// [`HfError::Transport`] when it breaks off, [`HfError::Decode`] when it is larger.
    pub async fn bytes(self) -> Result<Bytes, HfError> {
        let what = format!("the answer of {} {}", self.method, error::redact_url(&self.url));
        let mut body = Box::pin(self.into_stream());
        let Some(first) = body.next().await.transpose()? else {
            return Ok(Bytes::new());
        };
        let mut all = BytesMut::from(first);
        while let Some(piece) = body.next().await.transpose()? {
            if all.len() + piece.len() > MAX_BODY_BYTES {
                return Err(HfError::decode(
                    what,
                    format!("it is larger than {MAX_BODY_BYTES} bytes"),
                ));
            }
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }

    /// The body as text; bytes that are no UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// As [`HfResponse::bytes`].
    pub async fn text(self) -> Result<String, HfError> {
        Ok(String::from_utf8_lossy(&self.bytes().await?).into_owned())
    }

    /// The body, read as JSON.
    ///
    /// # Errors
    /// As [`HfResponse::bytes`], and [`HfError::Decode`] when it is another JSON than expected.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, HfError> {
        let what = format!("the answer of {} {}", self.method, error::redact_url(&self.url));
        let bytes = self.bytes().await?;
        serde_json::from_slice(&bytes).map_err(|error| HfError::from_json(what, &error))
    }
}
