//! Serves a local Hub on its own: `serve DIR [PORT [ACCOUNTS]]`. Prints one JSON line once it accepts; SIGTERM or
//! Ctrl-C ends it.

use std::error::Error;
use std::io::Write;
use std::path::Path;

use hf_local::{AccountConfig, LocalHub, LocalHubConfig};
use tokio::signal::unix::{SignalKind, signal};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let dir = args.next().ok_or("usage: serve DIR [PORT [ACCOUNTS]]")?;
    let port = args.next().map_or(Ok(0), |port| port.parse())?;
    let mut config = LocalHubConfig::new(dir).port(port);
    if let Some(path) = args.next() {
        config = config.accounts(AccountConfig::read_file(Path::new(&path))?);
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let hub = LocalHub::start(config).await?;
    let ready = serde_json::json!({
        "event": "ready",
        "endpoint": hub.endpoint(),
        "payload_endpoint": hub.payload_endpoint(),
        "inference_endpoint": hub.inference_endpoint(),
        "accounts": hub.accounts(),
    });
    writeln!(std::io::stdout(), "{ready}")?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    hub.shutdown().await;
    Ok(())
}
