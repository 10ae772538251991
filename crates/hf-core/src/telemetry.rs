//! What can be traced.

/// The target of the spans that are made to be exported: requests to the Hub, and what the crates above add.
///
/// They hold methods, addresses as [`redact_url`](crate::redact_url) shows them, statuses and names of kinds, never a header or a body. Nobody who
/// does not ask for this target pays for them.
pub const SPANS: &str = "bashgym::spans";
