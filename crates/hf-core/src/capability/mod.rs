//! What an account can do now, why not more, and how to unlock it: rules as data, facts, and what the Hub refused.

mod facts;
mod feature;
mod judge;
mod refusal;
mod rules;
mod scopes;
#[cfg(test)]
mod tests;

use serde::{Serialize, Serializer, ser::SerializeMap};

pub use facts::{Facts, SignIn, Standing};
pub use feature::Feature;
pub use judge::capabilities;
pub use refusal::{Refusal, RefusalKind, Refusals};
pub use scopes::{MissingScope, missing_scopes, smallest_scopes, token_page};

/// Whether something can be done now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Availability {
    /// It can.
    Available,
    /// It can, up to a limit.
    Limited {
        /// The limit.
        limit: String,
        /// Why there is one.
        why: String,
    },
    /// It can not.
    Unavailable {
        /// Why not.
        why: String,
        /// How it becomes available.
        unlock: String,
    },
}

impl Availability {
    /// A stable word: `available`, `limited`, `unavailable`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Available => "available",
            Self::Limited { .. } => "limited",
            Self::Unavailable { .. } => "unavailable",
        }
    }
}

/// A feature and whether it can be used now.
///
/// # Shape
/// As JSON: `{"feature","title","state","why","unlock","limit","source"}`; `why`, `unlock` and `limit` may be null.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capability {
    /// The feature.
    pub feature: Feature,
    /// Whether it can be used.
    pub availability: Availability,
    /// What the plan includes, where it is available and the documentation names an amount.
    pub included: Option<String>,
    /// Where the rule was taken from.
    pub source: &'static str,
}

impl Capability {
    /// The limit, or what is included.
    pub fn limit(&self) -> Option<&str> {
        match &self.availability {
            Availability::Limited { limit, .. } => Some(limit),
            Availability::Available => self.included.as_deref(),
            Availability::Unavailable { .. } => None,
        }
    }

    /// Why it is limited or not available.
    pub fn why(&self) -> Option<&str> {
        match &self.availability {
            Availability::Available => None,
            Availability::Limited { why, .. } | Availability::Unavailable { why, .. } => Some(why),
        }
    }

    /// How it becomes available.
    pub fn unlock(&self) -> Option<&str> {
        match &self.availability {
            Availability::Unavailable { unlock, .. } => Some(unlock),
            _ => None,
        }
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(7))?;
        map.serialize_entry("feature", self.feature.as_str())?;
        map.serialize_entry("title", self.feature.title())?;
        map.serialize_entry("state", self.availability.as_str())?;
        map.serialize_entry("why", &self.why())?;
        map.serialize_entry("unlock", &self.unlock())?;
        map.serialize_entry("limit", &self.limit())?;
        map.serialize_entry("source", self.source)?;
        map.end()
    }
}
