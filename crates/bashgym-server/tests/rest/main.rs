//! The REST half of the server over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot begin has failed")]

mod dashboard;
mod gateway;
mod limits;
mod rest;
mod routes;
mod schedules;
mod spaces;
mod support;
