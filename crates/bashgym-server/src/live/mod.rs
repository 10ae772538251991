//! Live events: one envelope over WebSocket and server-sent events.
//!
//! One tail of the log a process ([`EventHub`]) reads each event once, writes it as text once, and hands the same bytes to
//! everybody who wants them. Who can not keep up is left behind and reads what it missed from the log, at its own pace:
//! it slows nobody, and nothing piles up for it.

mod hub;
mod messages;
mod problem;
mod sse;
mod subscription;
mod ws;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Extensions;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub use hub::{EventHub, Frame, HubPolicy};
pub use messages::{ClientMessage, ServerMessage};
pub use problem::LiveProblem;
pub use sse::EventPage;
pub use subscription::{News, Subscription};

/// Put into a request's extensions by whoever checked its key and its origin. Without it nothing live is answered, so
/// that a router that is nested in the wrong place tells nobody anything.
#[derive(Debug, Clone, Copy)]
pub struct LiveAccess;

/// What one client may ask for.
#[derive(Debug, Clone, Copy)]
pub struct LiveLimits {
    /// How many sockets and event streams there may be at once.
    pub connections: usize,
    /// The longest message of a client, in bytes.
    pub message_bytes: usize,
    /// The time between two pings; a client that is silent for three is gone.
    pub ping: Duration,
    /// How long a client may take nothing before it is taken to be gone.
    pub stalled: Duration,
}

impl Default for LiveLimits {
    fn default() -> Self {
        Self {
            connections: 10_000,
            message_bytes: 16 * 1024,
            ping: Duration::from_secs(30),
            stalled: Duration::from_secs(30),
        }
    }
}

/// What the routes work with. Cloning is cheap.
#[derive(Clone)]
pub struct LiveState {
    hub: EventHub,
    limits: LiveLimits,
    seats: Arc<Semaphore>,
    stop: CancellationToken,
}

impl LiveState {
    /// Makes the state. When `stop` fires, every stream ends: clients are told that the server goes away.
    pub fn new(hub: EventHub, limits: LiveLimits, stop: CancellationToken) -> Self {
        Self {
            hub,
            limits,
            seats: Arc::new(Semaphore::new(limits.connections)),
            stop,
        }
    }

    /// The hub.
    pub fn hub(&self) -> &EventHub {
        &self.hub
    }

    /// How many streams there are now.
    pub fn connections(&self) -> usize {
        self.limits.connections - self.seats.available_permits()
    }

    fn admit(&self, extensions: &Extensions) -> Result<OwnedSemaphorePermit, LiveProblem> {
        if extensions.get::<LiveAccess>().is_none() {
            return Err(LiveProblem::not_checked());
        }
        Arc::clone(&self.seats)
            .try_acquire_owned()
            .map_err(|_| LiveProblem::full(self.limits.connections))
    }
}

/// `/ws`, `/api/events` and `/api/events/log`. They answer only requests that carry [`LiveAccess`].
pub fn routes(state: LiveState) -> Router {
    openapi_routes(state).split_for_parts().0
}

/// The same routes with their descriptions.
pub fn openapi_routes(state: LiveState) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(ws::open_socket))
        .routes(routes!(sse::stream_events))
        .routes(routes!(sse::list_events))
        .with_state(state)
}
