//! Every route, walked.

use bashgym_server::routes_of;

use crate::support::{CANARY, Running};

/// What can be had without a key, on purpose.
const OPEN: [&str; 6] = [
    "GET /",
    "GET /login",
    "GET /assets/page.css",
    "GET /api/health",
    "GET /api/ready",
    "POST /api/proof",
];

fn filled(path: &str) -> String {
    let mut filled = String::new();
    for part in path.split('/').skip(1) {
        filled.push('/');
        filled.push_str(if part.starts_with('{') { "some-name" } else { part });
    }
    filled
}

#[tokio::test]
async fn every_route_and_method_wants_a_key_and_refuses_a_foreign_origin() {
    let server = Running::start().await;
    let bearer = format!("Bearer {}", server.key.expose());
    let routes = routes_of();
    assert!(routes.len() > 60, "the list is not whole: {}", routes.len());
    for (method, path) in routes {
        let (method, path) = (method.as_str(), filled(&path));
        let name = format!("{method} {path}");
        let plain = server.ask(method, &path, &[], None).await;
        if OPEN.contains(&name.as_str()) {
            assert_ne!(plain.status, 401, "{name}");
        } else {
            assert_eq!(plain.status, 401, "{name}: {}", plain.body);
            let code = if path.starts_with("/v1") {
                "invalid_api_key"
            } else {
                "unauthenticated"
            };
            assert_eq!(plain.code(), code, "{name}");
        }
        for foreign in [
            ("Origin", "https://evil.example"),
            ("Sec-Fetch-Site", "cross-site"),
        ] {
            let headers = [foreign, ("Authorization", bearer.as_str())];
            let answer = server.ask(method, &path, &headers, None).await;
            assert_eq!(
                (answer.status, answer.code()),
                (403, "origin_not_allowed".to_owned()),
                "{name}"
            );
        }
        let rebound = [("Host", "rebound.example"), ("Authorization", bearer.as_str())];
        let answer = server.ask(method, &path, &rebound, None).await;
        assert_eq!(
            (answer.status, answer.code()),
            (403, "host_not_allowed".to_owned()),
            "{name}"
        );
    }
    // Methods and paths that nobody thought of are no way around.
    for (method, path) in [
        ("PATCH", "/api/runs"),
        ("OPTIONS", "/api/hf/jobs"),
        ("TRACE", "/api/settings/token"),
        ("HEAD", "/api/runs"),
        ("GET", "/api/none"),
        ("GET", "/api/health/"),
        ("GET", "//api/runs"),
        ("GET", "/assets/../api/runs"),
        ("GET", "/api/hf/jobs/a/b/c/d"),
        ("GET", "/v1"),
        ("DELETE", "/v1/models/a/b/c"),
        ("GET", "/v1/chat/completions"),
    ] {
        let answer = server.ask(method, path, &[], None).await;
        assert_eq!(answer.status, 401, "{method} {path}");
    }
    server.end().await;
}

#[tokio::test]
async fn every_answer_carries_the_headers_of_a_browser_and_no_secret() {
    let server = Running::start().await;
    for (method, path) in routes_of() {
        if path == "/ws" || path == "/api/events" {
            continue;
        }
        let answer = server.with_key(method.as_str(), &filled(&path), None).await;
        let name = format!("{method} {path}: {}", answer.head);
        let policy = answer.header("content-security-policy").unwrap_or_default();
        assert!(
            policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"),
            "{name}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{name}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{name}");
        assert!(answer.header("x-request-id").is_some(), "{name}");
        if path.starts_with("/api") || path.starts_with("/v1") {
            assert_eq!(answer.header("cache-control"), Some("no-store"), "{name}");
        }
        assert!(
            answer.status < 500 || [501, 502].contains(&answer.status),
            "{name}"
        );
        let whole = format!("{}{}", answer.head, answer.body);
        assert!(!whole.contains(CANARY), "{name}");
        assert!(!whole.contains(server.key.expose()), "{name}");
        if answer.status >= 400 && path.starts_with("/v1") {
            assert_eq!(answer.header("content-type"), Some("application/json"), "{name}");
            assert!(answer.json()["error"]["message"].is_string(), "{name}");
        } else if answer.status >= 400 {
            assert_eq!(
                answer.header("content-type"),
                Some("application/problem+json"),
                "{name}"
            );
            assert!(
                answer.json()["request_id"].is_string() || path == "/api/events/log",
                "{name}"
            );
        }
    }
    server.end().await;
}

#[tokio::test]
async fn pages_have_nothing_inline() {
    let server = Running::start().await;
    for path in ["/", "/api"] {
        let page = server.with_key("GET", path, None).await;
        assert_eq!(page.status, 200);
        for inline in ["<style", " style=", " onclick=", "javascript:"] {
            assert!(!page.body.contains(inline), "{path} has {inline}");
        }
        // The dashboard's script is a file of its own; between its marks there is nothing.
        for script in page.body.split("<script").skip(1) {
            let (head, rest) = script.split_once('>').unwrap_or_default();
            assert!(head.contains(" src=\"/assets/"), "{path}: {head}");
            assert!(rest.starts_with("</script>"), "{path}: {rest}");
        }
    }
    let page = server.with_key("GET", "/api", None).await;
    assert!(page.body.contains("/api/hf/jobs/{id}/logs"));
    server.end().await;
}

#[tokio::test]
async fn every_route_of_the_design_is_described() {
    let server = Running::start().await;
    let description = server.with_key("GET", "/api/openapi.json", None).await.json();
    assert_eq!(description["openapi"], "3.1.0");
    for path in [
        "/api/hf/status",
        "/api/hf/jobs",
        "/api/hf/jobs/{id}",
        "/api/hf/datasets",
        "/api/hf/spaces",
        "/api/hf/spaces/{name}",
        "/api/hf/spaces/{name}/logs",
        "/api/hf/spaces/{name}/secrets",
        "/api/hf/spaces/{name}/dev-mode",
        "/api/hf/inference/generate",
        "/api/hf/inference/embed",
        "/api/hf/inference/usage",
        "/v1/chat/completions",
        "/v1/embeddings",
        "/v1/models",
        "/v1/models/{model}",
        "/ws",
        "/api/events",
    ] {
        assert!(description["paths"][path].is_object(), "{path}");
    }
    server.end().await;
}
