//! Bash Gym's server: REST, live events and the dashboard, on the crates of the domain.
//!
//! A composition root makes [`ServerParts`] and a [`ServerConfig`], binds a [`Server`] and runs it until it is told to end.
//! A handler asks the domain and maps the answer; nothing is decided here but who may ask. There is no SQL and no terminal.

mod audit;
mod dashboard;
mod extract;
mod followers;
mod gateway;
pub mod live;
mod meter;
mod openapi;
mod page;
mod parts;
mod paths;
mod problem;
pub mod remote;
mod replay;
mod roots;
mod router;
mod routes;
mod schedule_watch;
mod security;
mod serve;
mod space_watch;
mod state;

pub use gateway::GatewayParts;
pub use parts::{AccountView, Composition, FindingView, HubConnection, ServerParts, SettingView, TokenView};
pub use problem::{Code, Problem};
pub use roots::{PathRefusal, Roots};
pub use router::{Routes, openapi_json, routes_of};
pub use security::{ServerKey, prove};
pub use serve::{BindError, Server, ServerConfig};
