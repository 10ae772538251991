//! Failures on request.

use std::time::{Duration, Instant};

use hf_local::{FaultKind, FaultRule};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ADA_READ, TestHub, bytes, file, header, lfs_file};

#[tokio::test]
async fn a_status_is_answered_so_many_times() {
    let hub = TestHub::start().await;
    let rule =
        json!({ "path_contains": "/whoami", "times": 2, "kind": "status", "code": 429, "retry_after": 3 });
    assert_eq!(
        hub.ada().post("/_local/faults", &rule).await.status(),
        StatusCode::OK
    );
    assert_eq!(hub.ada().json("/_local/faults").await[0]["times"], 2);
    for _ in 0..2 {
        let reply = hub.ada().get("/api/whoami-v2").await;
        assert_eq!(
            (reply.status(), header(&reply, "retry-after")),
            (StatusCode::TOO_MANY_REQUESTS, "3")
        );
    }
    assert_eq!(hub.ada().get("/api/whoami-v2").await.status(), StatusCode::OK);
    assert_eq!(hub.ada().json("/_local/faults").await, json!([]));
}

#[tokio::test]
async fn the_controls_need_a_token_that_writes() {
    let hub = TestHub::start().await;
    let rule = json!({ "kind": "reset_before" });
    for (token, status) in [(None, 401), (Some(ADA_READ), 403), (Some("hf_no"), 401)] {
        assert_eq!(
            hub.caller(token)
                .post("/_local/faults", &rule)
                .await
                .status()
                .as_u16(),
            status
        );
        assert_eq!(
            hub.caller(token)
                .post("/_local/clock", &json!({ "advance_ms": 1 }))
                .await
                .status()
                .as_u16(),
            status
        );
        assert_eq!(
            hub.caller(token).get("/_local/faults").await.status().as_u16(),
            status
        );
    }
    for bad in [
        json!({}),
        json!({ "kind": "status", "code": 5000 }),
        json!({ "kind": "explode" }),
    ] {
        assert_eq!(
            hub.ada().post("/_local/faults", &bad).await.status(),
            StatusCode::BAD_REQUEST,
            "{bad}"
        );
    }
    hub.hub.faults().add(FaultRule::new(FaultKind::ResetBefore));
    assert_eq!(
        hub.ada()
            .request(Method::DELETE, "/_local/faults")
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::NO_CONTENT
    );
    assert!(hub.hub.faults().list().is_empty());
}

#[tokio::test]
async fn a_connection_is_reset_before_or_within_the_answer() {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    let content = bytes(3, 2_000_000);
    hub.ada()
        .commit("models/ada/m", "x", &[file("a.dat", &content)])
        .await;
    hub.hub
        .faults()
        .add(FaultRule::new(FaultKind::ResetBefore).path_contains("/resolve/"));
    assert!(
        hub.ada()
            .request(Method::GET, "/ada/m/resolve/main/a.dat")
            .send()
            .await
            .is_err()
    );
    hub.hub
        .faults()
        .add(FaultRule::new(FaultKind::ResetAfterBytes { n: 500_000 }).path_contains("/resolve/"));
    let reply = hub.ada().get("/ada/m/resolve/main/a.dat").await;
    assert_eq!(reply.status(), StatusCode::OK);
    assert!(reply.bytes().await.is_err());
    assert!(
        hub.ada()
            .get("/ada/m/resolve/main/a.dat")
            .await
            .bytes()
            .await
            .unwrap()
            == content
    );
}

#[tokio::test]
async fn a_body_ends_early_on_both_origins() {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    let content = bytes(4, 3_000_000);
    let oid = hub.ada().upload("ada/m", &content).await;
    hub.ada()
        .commit("models/ada/m", "x", &[lfs_file("w.bin", &oid, content.len())])
        .await;
    let place = header(&hub.ada().get("/ada/m/resolve/main/w.bin").await, "location").to_owned();
    hub.hub
        .faults()
        .add(FaultRule::new(FaultKind::Truncate { n: 1_000_000 }).path_contains("/objects/"));
    let mut reply = hub.client.get(&place).send().await.unwrap();
    assert_eq!(reply.content_length(), Some(3_000_000));
    let mut got = Vec::new();
    let ended = loop {
        match reply.chunk().await {
            Ok(Some(chunk)) => got.extend_from_slice(&chunk),
            other => break other,
        }
    };
    assert!(ended.is_err(), "a short body is an error");
    // The connection ends with the body, and may take the last bytes it still held with it.
    assert!(got.len() <= 1_000_000 && content.starts_with(&got));
    // What is missing can be fetched.
    let rest = hub
        .client
        .get(&place)
        .header("range", "bytes=1000000-")
        .send()
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert!(rest == content[1_000_000..]);
}

#[tokio::test]
async fn a_lost_answer_leaves_the_work_done() {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    hub.hub.faults().add(
        FaultRule::new(FaultKind::CreatedBut500)
            .path_contains("/commit/")
            .method("POST"),
    );
    let lines = [file("a", "1")];
    let first = hub
        .ada()
        .commit_to("models/ada/m", "main", json!({ "summary": "x" }), &lines)
        .await;
    assert_eq!(first.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let again = hub
        .ada()
        .commit_to("models/ada/m", "main", json!({ "summary": "x" }), &lines)
        .await;
    let body: Value = again.json().await.unwrap();
    let info = hub.ada().json("/api/models/ada/m").await;
    assert_eq!(info["sha"], body["commitOid"]);
    assert_eq!(
        hub.ada()
            .json("/api/models/ada/m/commits/main")
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn an_answer_can_be_late() {
    let hub = TestHub::start().await;
    hub.hub.faults().add(FaultRule::new(FaultKind::Stall { ms: 300 }));
    let start = Instant::now();
    assert_eq!(hub.ada().get("/api/whoami-v2").await.status(), StatusCode::OK);
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn the_clock_can_be_moved_and_links_run_out_by_it() {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    let oid = hub.ada().upload("ada/m", b"large").await;
    hub.ada()
        .commit("models/ada/m", "x", &[lfs_file("w.bin", &oid, 5)])
        .await;
    let place = header(&hub.ada().get("/ada/m/resolve/main/w.bin").await, "location").to_owned();
    assert_eq!(
        hub.client.get(&place).send().await.unwrap().status(),
        StatusCode::OK
    );
    let reply = hub
        .ada()
        .post("/_local/clock", &json!({ "advance_ms": 3_601_000 }))
        .await;
    assert_eq!(reply.status(), StatusCode::OK);
    assert_eq!(
        hub.client.get(&place).send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    hub.ada()
        .post("/_local/clock", &json!({ "stop_at": "2030-01-01T00:00:00Z" }))
        .await;
    hub.ada().commit("models/ada/m", "later", &[file("b", "1")]).await;
    let log = hub.ada().json("/api/models/ada/m/commits/main").await;
    assert_eq!(log[0]["date"], "2030-01-01T00:00:00.000Z");
    for bad in [
        json!({}),
        json!({ "advance_ms": 1, "real": true }),
        json!({ "advance_ms": -1 }),
    ] {
        assert_eq!(
            hub.ada().post("/_local/clock", &bad).await.status(),
            StatusCode::BAD_REQUEST
        );
    }
}
