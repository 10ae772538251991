//! What `cargo xtask bench server` runs: one job's lines to thousands of sockets.
//!
//! `fanout live LINES RATE` serves the live routes over a SQLite store and appends lines to a job's log as its follower
//! does. `fanout anchor LINES RATE` is the least that can be done: a broadcast channel, and nothing stored. Both print
//! their address, and begin when they read a line. `fanout client URL CONNECTIONS LINES` connects, says so, and prints what
//! it received as JSON.
#![expect(clippy::print_stdout, reason = "its figures are read by whoever started it")]

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Extension;
use axum::Router;
use axum::extract::State;
use axum::extract::ws::{Message, Utf8Bytes, WebSocket, WebSocketUpgrade};
use axum::response::Response;
use axum::routing::get;
use bashgym_core::events::EventReader;
use bashgym_core::store::{JobLineStore, JobStream};
use bashgym_core::{Clock, SystemClock};
use bashgym_server::live::{EventHub, HubPolicy, LiveAccess, LiveLimits, LiveState, routes};
use bashgym_store::SqlStore;
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_tungstenite::connect_async;
use tokio_util::sync::CancellationToken;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// What stands before the time in a line.
const STAMP: &str = "stamp=";
/// What a line of a training job has beside it.
const FILLING: &str = " {'loss': 2.3481, 'grad_norm': 0.981, 'learning_rate': 0.00019, 'epoch': 0.42}";
/// How long the client waits for a line.
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["live", lines, rate] => live(lines.parse()?, rate.parse()?).await,
        ["anchor", lines, rate] => anchor(lines.parse()?, rate.parse()?).await,
        ["client", url, connections, lines] => client(url, connections.parse()?, lines.parse()?).await,
        _ => Err("fanout live|anchor LINES RATE, or fanout client URL CONNECTIONS LINES".into()),
    }
}

fn say(text: &str) {
    println!("{text}");
    let _ = std::io::stdout().flush();
}

fn nanos() -> i128 {
    SystemClock::new().now().as_nanosecond()
}

fn stamped() -> String {
    format!("{STAMP}{:020}{FILLING}", nanos())
}

/// Waits for a line from whoever started this.
async fn told() -> Result<(), Error> {
    let line = tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()));
    line.await??;
    Ok(())
}

/// Tells where it is, waits for the start, then calls `publish` with the number of lines that are due.
async fn serve<F>(app: Router, lines: u64, rate: u64, mut publish: F) -> Result<(), Error>
where
    F: AsyncFnMut(u64, u64) -> Result<(), Error>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    say(&format!("ws://{}/ws?topics=job:*", listener.local_addr()?));
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    tokio::spawn(async move { axum::serve(listener, app).await });
    told().await?;
    let clock = SystemClock::new();
    let mut tick = interval(Duration::from_secs(1) / u32::try_from(rate)?);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut sent = 0;
    while sent < lines {
        tick.tick().await;
        let due = u64::try_from(clock.elapsed().as_micros())? * rate / 1_000_000 + 1;
        let due = due.min(lines).saturating_sub(sent);
        if due > 0 {
            publish(sent, due).await?;
            sent += due;
        }
    }
    // Until whoever started it has heard enough.
    told().await
}

async fn live(lines: u64, rate: u64) -> Result<(), Error> {
    let folder = tempfile::tempdir()?;
    let store = Arc::new(SqlStore::open(&folder.path().join("bashgym.db")).await?);
    let reader = EventReader::new(store.clone(), store.clone());
    let hub = EventHub::new(reader, Arc::new(SystemClock::new()), HubPolicy::default());
    let state = LiveState::new(hub, LiveLimits::default(), CancellationToken::new());
    let app = routes(state).layer(Extension(LiveAccess));
    serve(app, lines, rate, async |sent, due| {
        let batch: Vec<String> = (0..due)
            .map(|_| json!({ "data": stamped(), "timestamp": null }).to_string())
            .collect();
        store
            .append_job_lines("66aa", JobStream::Log, sent, &batch)
            .await?;
        Ok(())
    })
    .await
}

async fn anchor(lines: u64, rate: u64) -> Result<(), Error> {
    let (sender, _) = broadcast::channel::<Utf8Bytes>(4096);
    let app = Router::new()
        .route("/ws", get(anchor_socket))
        .with_state(sender.clone());
    serve(app, lines, rate, async |sent, due| {
        for number in sent..sent + due {
            let line = json!({ "seq": number, "type": "hf:job:log", "topic": "job:66aa", "data": { "text": stamped() } });
            let _ = sender.send(line.to_string().into());
        }
        Ok(())
    })
    .await
}

async fn anchor_socket(
    State(sender): State<broadcast::Sender<Utf8Bytes>>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .read_buffer_size(4096)
        .write_buffer_size(4096)
        .on_upgrade(move |socket| hand_on(socket, sender.subscribe()))
}

async fn hand_on(mut socket: WebSocket, mut lines: broadcast::Receiver<Utf8Bytes>) {
    while let Ok(line) = lines.recv().await {
        if socket.feed(Message::Text(line)).await.is_err() {
            return;
        }
        while let Ok(line) = lines.try_recv() {
            if socket.feed(Message::Text(line)).await.is_err() {
                return;
            }
        }
        if socket.flush().await.is_err() {
            return;
        }
    }
}

/// How long lines took, in milliseconds; the last bucket is everything above.
struct Latencies(Vec<AtomicU64>);

impl Latencies {
    fn percentile(&self, percent: f64) -> usize {
        let counts: Vec<u64> = self.0.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let wanted = counts.iter().sum::<u64>() as f64 * percent / 100.0;
        let mut seen = 0.0;
        for (ms, count) in counts.iter().enumerate() {
            seen += *count as f64;
            if seen >= wanted {
                return ms;
            }
        }
        counts.len()
    }
}

async fn client(url: &str, connections: u64, lines: u64) -> Result<(), Error> {
    let latencies = Arc::new(Latencies((0..20_000).map(|_| AtomicU64::new(0)).collect()));
    let mut readers = Vec::new();
    for _ in 0..connections {
        let (socket, _) = connect_async(url).await?;
        let latencies = Arc::clone(&latencies);
        readers.push(tokio::spawn(read(socket, lines, latencies)));
    }
    say("connected");
    let (mut received, mut whole) = (0, 0);
    for reader in readers {
        let count = reader.await?;
        received += count;
        whole += u64::from(count == lines);
    }
    say(&json!({
        "received": received, "wanted": connections * lines, "whole": whole,
        "p50_ms": latencies.percentile(50.0), "p99_ms": latencies.percentile(99.0),
        "max_ms": latencies.percentile(100.0),
    })
    .to_string());
    Ok(())
}

type Socket = tokio_tungstenite::WebSocketStream<tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>>;

async fn read(mut socket: Socket, lines: u64, latencies: Arc<Latencies>) -> u64 {
    let mut count = 0;
    // The first line may take its time: others are still connecting.
    let mut patience = Duration::from_mins(5);
    while count < lines {
        let Ok(Some(Ok(message))) = timeout(patience, socket.next()).await else {
            break;
        };
        let Ok(text) = message.to_text() else { continue };
        let now = nanos();
        for (at, _) in text.match_indices(STAMP) {
            let from = at + STAMP.len();
            let Some(Ok(then)) = text.get(from..from + 20).map(str::parse::<i128>) else {
                continue;
            };
            let ms = usize::try_from((now - then) / 1_000_000).unwrap_or(0);
            let bucket = ms.min(latencies.0.len() - 1);
            latencies.0[bucket].fetch_add(1, Ordering::Relaxed);
            count += 1;
            patience = PATIENCE;
        }
    }
    let _ = socket.close(None).await;
    count
}
