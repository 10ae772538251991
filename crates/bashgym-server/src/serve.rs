//! Listening: where, how patiently, and how it ends.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use bashgym_core::events::{Retention, keep_tidy};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tower::ServiceExt;

use crate::parts::ServerParts;
use crate::router::{Peer, app, before_routing};
use crate::security::{Guard, ServerKey};
use crate::state::AppState;
use crate::{followers, live, schedule_watch, space_watch};

/// The longest a client may take over the head of a request, and be silent between two.
const HEAD: Duration = Duration::from_secs(15);
const LARGEST_HEAD: usize = 32 * 1024;
const MOST_HEADERS: usize = 64;
/// Connections at once; more wait until one ends.
const CONNECTIONS: usize = 16_384;
/// How long requests may go on once the server is told to end.
const DRAIN: Duration = Duration::from_secs(20);

/// Where a server listens, and who may reach it.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// The address; port 0 picks a free one.
    pub address: SocketAddr,
    /// Whether an address that others can reach is meant.
    pub allow_remote: bool,
    /// The key.
    pub key: ServerKey,
    /// Names that the server is reached by, beside those of the loopback and its own address.
    pub hosts: Vec<String>,
    /// The longest a client may take over the head of a request; `None` is the server's own patience.
    pub head_timeout: Option<Duration>,
}

/// Why a server did not begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Others could reach it, and nobody said that they may.
    #[error("{address} can be reached from other machines")]
    Remote {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A server that listens.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    head_timeout: Duration,
    state: AppState,
    app: Router,
}

impl Server {
    /// Begins to listen.
    ///
    /// # Errors
    /// [`BindError`].
    pub async fn bind(config: ServerConfig, parts: ServerParts) -> Result<Self, BindError> {
        let address = config.address;
        if !address.ip().is_loopback() && !config.allow_remote {
            return Err(BindError::Remote { address });
        }
        let failed = |source| BindError::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let guard = Guard::new(config.key, address, config.hosts, Arc::clone(&parts.clock));
        let state = AppState::new(parts, guard);
        let app = app(&state, live::routes(state.live.clone()));
        Ok(Self {
            listener,
            address,
            head_timeout: config.head_timeout.unwrap_or(HEAD),
            state,
            app,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The server's address, as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A link that signs a browser in, once and within a minute.
    pub fn login_url(&self) -> String {
        format!("{}/login?code={}", self.url(), self.state.guard.make_code())
    }

    /// Serves until `end` is done; then takes nothing new in, lets requests end, and hands its work back.
    pub async fn run(self, end: impl Future<Output = ()> + Send) {
        let Self {
            listener,
            address: _,
            head_timeout,
            state,
            app,
        } = self;
        let (tasks, ending) = (state.tasks.clone(), state.ending.clone());
        state.work.spawn(async move { tasks.run(ending).await });
        state.work.spawn(followers::run(state.clone()));
        state.work.spawn(schedule_watch::run(state.clone()));
        state.work.spawn(space_watch::run(state.clone()));
        state.work.spawn(drop_old_events(state.clone()));
        let connections = GracefulShutdown::new();
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let accepting = async {
            loop {
                let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
                    return;
                };
                match listener.accept().await {
                    Ok((stream, peer)) => {
                        let counted = state.meter.connected();
                        let served = serve_one(stream, peer, head_timeout, &app, &connections);
                        tokio::spawn(async move {
                            served.await;
                            drop((permit, counted));
                        });
                    }
                    Err(error) => {
                        // Out of file descriptors, most likely: they come back.
                        tracing::error!(%error, "could not accept a connection");
                        state.parts.clock.sleep(Duration::from_millis(50)).await;
                    }
                }
            }
        };
        tokio::select! {
            () = accepting => {}
            () = end => {}
        }
        drop(listener);
        state.ending.cancel();
        state.work.close();
        let drained = async {
            tokio::join!(connections.shutdown(), state.work.wait());
        };
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            tracing::warn!("some requests did not end in time and are cut off");
        }
        state.flush().await;
    }
}

fn serve_one(
    stream: TcpStream,
    peer: SocketAddr,
    head_timeout: Duration,
    app: &Router,
    connections: &GracefulShutdown,
) -> impl Future<Output = ()> + Send + use<> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "could not switch off Nagle's algorithm");
    }
    let service = app.clone().map_request(move |request: http::Request<Incoming>| {
        let mut request: Request = request.map(axum::body::Body::new);
        request.extensions_mut().insert(Peer(peer.ip()));
        before_routing(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LARGEST_HEAD);
    let io = TokioIo::new(stream);
    let connection = builder.serve_connection_with_upgrades(io, TowerToHyperService::new(service));
    let watched = connections.watch(connection.into_owned());
    async move {
        if let Err(error) = watched.await {
            tracing::debug!(%error, "a connection broke");
        }
    }
}

/// Keeps the log of events at its bounds until the server ends.
async fn drop_old_events(state: AppState) {
    let (log, clock) = (state.parts.events.as_ref(), state.parts.clock.as_ref());
    let keep = Retention::default();
    state
        .ending
        .run_until_cancelled(keep_tidy(log, &keep, clock))
        .await;
}
