//! The REST half of the server over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

mod bulk;
mod dashboard;
mod gateway;
mod jobs;
mod limits;
mod rest;
mod router;
mod routes;
mod schedules;
mod sessions;
mod spaces;
mod support;
