//! The crate against a Hub on this machine. One binary, because linking a Hub takes longer than running the tests.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod datasets;
mod download;
mod support;
mod upload;
mod viewer;
mod wire;
