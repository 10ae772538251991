//! Starting and stopping.

use std::os::unix::fs::PermissionsExt;

use hf_local::{LocalHub, LocalHubConfig, LocalHubError};
use reqwest::StatusCode;
use serde_json::Value;

use crate::support::{TestHub, file};

#[tokio::test]
async fn without_accounts_one_is_made_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let hub = LocalHub::start(LocalHubConfig::new(dir.path())).await.unwrap();
    let first = hub.accounts().to_vec();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].name, "local");
    assert!(first[0].token.starts_with("hf_") && first[0].token.len() == 37);
    for secret in ["accounts.json", "signing.key"] {
        let mode = std::fs::metadata(dir.path().join(secret))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let who: Value = reqwest::Client::new()
        .get(format!("{}/api/whoami-v2", hub.endpoint()))
        .bearer_auth(&first[0].token)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(who["isPro"], true);
    hub.shutdown().await;
    let again = LocalHub::start(LocalHubConfig::new(dir.path())).await.unwrap();
    assert_eq!(again.accounts(), first);
}

#[tokio::test]
async fn a_folder_has_one_hub_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let hub = LocalHub::start(LocalHubConfig::new(dir.path())).await.unwrap();
    let error = LocalHub::start(LocalHubConfig::new(dir.path()))
        .await
        .unwrap_err();
    assert!(matches!(error, LocalHubError::DataDirInUse { .. }), "{error}");
    assert!(error.to_string().contains("in use by another local Hub"));
    hub.shutdown().await;
    LocalHub::start(LocalHubConfig::new(dir.path())).await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let dir = tempfile::tempdir().unwrap();
    let error = LocalHub::start(LocalHubConfig::new(dir.path()).port(port))
        .await
        .unwrap_err();
    assert!(
        matches!(error, LocalHubError::PortInUse { port: named } if named == port),
        "{error}"
    );
    // Nothing of the failed start stays: the folder is free.
    LocalHub::start(LocalHubConfig::new(dir.path())).await.unwrap();
}

#[tokio::test]
async fn what_was_committed_is_there_after_a_restart() {
    let hub = TestHub::start().await;
    hub.ada().create("model", "kept").await;
    let big = vec![b'x'; 200_000];
    let head = hub
        .ada()
        .commit(
            "models/ada/kept",
            "two files",
            &[file("a.txt", "hello"), file("b.txt", &big)],
        )
        .await;
    let TestHub { hub, dir, client } = hub;
    hub.shutdown().await;
    let hub = LocalHub::start(LocalHubConfig::new(dir.path()).accounts(crate::support::accounts()))
        .await
        .unwrap();
    let hub = TestHub { hub, dir, client };
    let info = hub.ada().json("/api/models/ada/kept").await;
    assert_eq!(info["sha"], head.as_str());
    let text = hub
        .ada()
        .get("/ada/kept/resolve/main/a.txt")
        .await
        .text()
        .await
        .unwrap();
    assert_eq!(text, "hello");
    let text = hub
        .ada()
        .get("/ada/kept/resolve/main/b.txt")
        .await
        .bytes()
        .await
        .unwrap();
    assert!(text == big);
}

#[tokio::test]
async fn a_route_that_is_not_served_says_so() {
    let hub = TestHub::start().await;
    for (method, path) in [
        ("GET", "/api/collections"),
        ("POST", "/api/models/ada/x/discussions"),
        ("PATCH", "/api/whoami-v2"),
        ("GET", "/ada/x"),
        ("POST", "/v1/responses"),
    ] {
        let reply = hub
            .ada()
            .request(method.parse().unwrap(), path)
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status(), StatusCode::NOT_IMPLEMENTED, "{path}");
        let body: Value = reply.json().await.unwrap();
        let text = body["error"].as_str().unwrap();
        assert!(
            text.contains(&format!("{method} {path}")) && text.contains("hf-local"),
            "{text}"
        );
    }
    assert_eq!(
        hub.caller(None).get("/api/agent-harnesses").await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn shutdown_does_not_wait_for_idle_connections() {
    let hub = TestHub::start().await;
    hub.ada().get("/api/whoami-v2").await.text().await.unwrap();
    // The client keeps its connection open.
    let TestHub { hub, client, .. } = hub;
    tokio::time::timeout(std::time::Duration::from_secs(4), hub.shutdown())
        .await
        .expect("shutdown hangs");
    drop(client);
}
