//! What goes over a WebSocket beside events.

use bashgym_core::events::Topics;
use serde::{Deserialize, Serialize};

/// What a client says.
///
/// # Shape
/// `{"type":"subscribe","topics":["job:66aa","run:*"],"after":41}`; `after` is the number of the last event that was seen,
/// without it only what happens from now on is told. `{"type":"unsubscribe","topics":["run:*"]}`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum ClientMessage {
    /// Hear of these topics too.
    Subscribe {
        /// Topics, or beginnings of topics with a star.
        topics: Vec<String>,
        /// The number of the last event that was seen.
        #[serde(default)]
        after: Option<u64>,
    },
    /// Hear no more of these.
    Unsubscribe {
        /// As they were subscribed to.
        topics: Vec<String>,
    },
}

/// What the server says of the stream itself. It has no `seq`, which events have.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// What is listened to now, from after number `seq` on.
    Subscribed {
        /// The topics.
        topics: Topics,
        /// The number after which events are told.
        seq: u64,
    },
    /// Events between what was seen and `seq` are gone, or what was seen is of another log: read anew what is shown. The
    /// stream goes on after `seq`.
    Resync {
        /// Where the stream goes on.
        seq: u64,
    },
    /// A message that was not understood; the stream goes on as before.
    Error {
        /// A stable word for programs.
        code: &'static str,
        /// What was wrong with it.
        message: String,
    },
}

impl ServerMessage {
    pub(super) fn text(&self) -> String {
        // None of the variants holds what JSON can not say.
        serde_json::to_string(self).unwrap_or_default()
    }
}
