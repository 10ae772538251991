//! What keeps web pages of other sites out.

use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::support::{ADA, TestHub};

#[tokio::test]
async fn only_loopback_names_are_answered() {
    let hub = TestHub::start().await;
    let port = hub.hub.endpoint().rsplit(':').next().unwrap();
    for (host, status) in [
        (format!("127.0.0.1:{port}"), StatusCode::OK),
        (format!("localhost:{port}"), StatusCode::OK),
        ("[::1]".to_owned(), StatusCode::OK),
        ("rebound.example.org".to_owned(), StatusCode::FORBIDDEN),
        (format!("127.0.0.1.example.org:{port}"), StatusCode::FORBIDDEN),
        ("0.0.0.0".to_owned(), StatusCode::FORBIDDEN),
    ] {
        for origin in [hub.hub.endpoint(), hub.hub.payload_endpoint()] {
            let reply = hub
                .client
                .get(format!("{origin}/api/whoami-v2"))
                .bearer_auth(ADA)
                .header("host", &host)
                .send()
                .await
                .unwrap();
            let expected = if origin == hub.hub.payload_endpoint() && status == StatusCode::OK {
                StatusCode::NOT_IMPLEMENTED
            } else {
                status
            };
            assert_eq!(reply.status(), expected, "{host} on {origin}");
        }
    }
}

#[tokio::test]
async fn pages_of_other_sites_change_nothing() {
    let hub = TestHub::start().await;
    for (name, value, status) in [
        ("origin", "https://example.org", 403),
        ("origin", "null", 403),
        ("origin", "http://localhost.example.org", 403),
        ("sec-fetch-site", "cross-site", 403),
        ("origin", "http://localhost:5173", 200),
        ("sec-fetch-site", "same-origin", 409),
    ] {
        let request = hub
            .ada()
            .request(Method::POST, "/api/repos/create")
            .header(name, value)
            .json(&json!({ "name": "m" }));
        assert_eq!(
            request.send().await.unwrap().status().as_u16(),
            status,
            "{name}: {value}"
        );
    }
    for (method, path) in [
        (Method::POST, "/api/models/ada/m/commit/main"),
        (Method::DELETE, "/api/repos/delete"),
        (Method::PUT, "/api/models/ada/m/settings"),
        (Method::POST, "/_local/faults"),
        (Method::POST, "/api/jobs/ada"),
        (Method::POST, "/anything"),
    ] {
        let request = hub
            .ada()
            .request(method, path)
            .header("origin", "https://example.org")
            .body("{}");
        assert_eq!(
            request.send().await.unwrap().status(),
            StatusCode::FORBIDDEN,
            "{path}"
        );
    }
}

#[tokio::test]
async fn both_ports_are_on_loopback() {
    let hub = TestHub::start().await;
    for origin in [hub.hub.endpoint(), hub.hub.payload_endpoint()] {
        assert!(origin.starts_with("http://127.0.0.1:"), "{origin}");
    }
    assert_ne!(hub.hub.endpoint(), hub.hub.payload_endpoint());
}
