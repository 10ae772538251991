//! A server of live events, and a client of its socket.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Extension;
use bashgym_core::SystemClock;
use bashgym_core::events::{EventLog, EventReader, NewEvent};
use bashgym_core::store::{JobLineStore, MemoryStore};
use bashgym_server::live::{EventHub, HubPolicy, LiveAccess, LiveLimits, LiveState, routes};
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use tokio_util::sync::CancellationToken;

pub(crate) fn hub<S: EventLog + JobLineStore + 'static>(store: &Arc<S>, backlog: usize) -> EventHub {
    let reader = EventReader::new(store.clone(), store.clone());
    let policy = HubPolicy {
        backlog,
        ..HubPolicy::default()
    };
    EventHub::new(reader, Arc::new(SystemClock::new()), policy)
}

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) store: Arc<MemoryStore>,
    pub(crate) state: LiveState,
    pub(crate) stop: CancellationToken,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::with(LiveLimits::default(), 1024).await
    }

    pub(crate) async fn with(limits: LiveLimits, backlog: usize) -> Self {
        let store = Arc::new(MemoryStore::default());
        let stop = CancellationToken::new();
        let state = LiveState::new(hub(&store, backlog), limits, stop.clone());
        let app = routes(state.clone()).layer(Extension(LiveAccess));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self {
            address,
            store,
            state,
            stop,
        }
    }

    pub(crate) async fn append(&self, topic: &str, count: u64) {
        append(&*self.store, topic, count).await;
    }

    pub(crate) async fn connect(&self, query: &str) -> Client {
        let (socket, _) = connect_async(format!("ws://{}/ws?{query}", self.address))
            .await
            .unwrap();
        Client { socket }
    }
}

pub(crate) async fn append(store: &dyn EventLog, topic: &str, count: u64) {
    let events: Vec<NewEvent> = (0..count)
        .map(|number| NewEvent::new("test:event", topic, json!({ "number": number })))
        .collect();
    store.append(&events).await.unwrap();
}

pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Client {
    pub(crate) async fn say(&mut self, message: Value) {
        self.socket
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    /// The next message that is JSON.
    pub(crate) async fn hear(&mut self) -> Value {
        loop {
            match self.socket.next().await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// The numbers of the next events.
    pub(crate) async fn hear_events(&mut self, count: usize) -> Vec<u64> {
        let mut seqs = Vec::new();
        while seqs.len() < count {
            let message = self.hear().await;
            seqs.push(
                message["seq"]
                    .as_u64()
                    .unwrap_or_else(|| panic!("no event: {message}")),
            );
            assert!(message["topic"].is_string(), "{message}");
        }
        seqs
    }

    /// Hears that it is subscribed, and after which number.
    pub(crate) async fn subscribed(&mut self) -> u64 {
        let message = self.hear().await;
        assert_eq!(message["type"], "subscribed", "{message}");
        message["seq"].as_u64().unwrap()
    }
}
