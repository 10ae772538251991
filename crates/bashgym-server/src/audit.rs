//! Who changed what: each thing done here that spends, deletes, sends or changes is logged, and told as an event.

use std::fmt::Display;

use bashgym_core::events::{EventLog, NewEvent};
use serde_json::json;

/// What kind of thing was done; the end of its topic, `audit:spent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Did {
    /// It costs, or may.
    Spent,
    /// It is gone for good.
    Deleted,
    /// It left this machine.
    Sent,
    /// It works in another way from now on.
    Changed,
}

impl Did {
    fn as_str(self) -> &'static str {
        match self {
            Self::Spent => "spent",
            Self::Deleted => "deleted",
            Self::Sent => "sent",
            Self::Changed => "changed",
        }
    }
}

/// Notes that something was done. `of` names it; it holds no secret.
///
/// The thing is done already: a store that does not answer is logged, and fails nothing.
pub(crate) async fn note(events: &dyn EventLog, did: Did, action: &'static str, of: impl Display) {
    let of = of.to_string();
    tracing::info!(target: "audit", action, did = did.as_str(), %of, "done");
    let event = NewEvent::new(
        format!("audit:{action}"),
        format!("audit:{}", did.as_str()),
        json!({ "did": did.as_str(), "of": of }),
    );
    if let Err(error) = events.append(&[event]).await {
        tracing::warn!(%error, action, "what was done could not be told as an event");
    }
}
