//! What the Hub tells of a Space while it happens: its status, and what it uses.

use futures::stream::{Stream, StreamExt};
use hf_core::{HfError, RepoId};
use serde::Serialize;
use serde_json::Value;

use crate::manager::HfSpaceManager;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpaceFeed {
    /// Changes of its status.
    Events,
    /// What it uses, such as time on `ZeroGPU`.
    Metrics,
}

impl SpaceFeed {
    /// The Hub's word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Metrics => "metrics",
        }
    }
}

/// One thing that was told, as the Hub worded it.
///
/// # Shape
/// `{"event","data"}`
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SpaceFeedItem {
    /// The name of the event, where it has one.
    pub event: Option<String>,
    /// What it holds: JSON where it is JSON, else its text.
    pub data: Value,
}

impl HfSpaceManager {
    /// What is told of a Space from now on: `GET /api/spaces/{id}/{events|metrics}`. The stream ends when the Hub ends it, and after an
    /// error.
    ///
    /// # Errors
    /// [`HfError::NotFound`] when there is no such Space; else what the connection fails with.
    ///
    /// # Source
    /// Hub OpenAPI: event streams; what their events hold is not known, so it is passed on as it comes. Empty ones keep the
    /// connection open, as in its logs.
    pub fn feed(
        &self,
        id: &RepoId,
        feed: SpaceFeed,
    ) -> impl Stream<Item = Result<SpaceFeedItem, HfError>> + Send + Unpin + use<> {
        let path = Self::path(id, &format!("/{}", feed.as_str()));
        let items = self.client().events(&path, &[]).filter_map(|event| async {
            let event = match event {
                Ok(event) => event,
                Err(error) => return Some(Err(error)),
            };
            if event.data.trim().is_empty() {
                return None;
            }
            let data =
                serde_json::from_str(&event.data).unwrap_or_else(|_| Value::String(event.data.clone()));
            Some(Ok(SpaceFeedItem {
                event: event.event,
                data,
            }))
        });
        items.boxed()
    }
}
