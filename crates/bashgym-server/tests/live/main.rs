//! Live events, over sockets of this machine.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod socket;
mod stream;
mod subscription;
mod support;
