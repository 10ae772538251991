//! `/api/events`, `/api/events/log`, and who may read them.

use std::sync::Arc;

use axum::Extension;
use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use bashgym_core::events::{EventLog, Retention};
use bashgym_core::store::MemoryStore;
use bashgym_server::live::{LiveAccess, LiveLimits, LiveState, routes};
use futures::StreamExt;
use http_body_util::BodyExt;
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::support::{append, hub};

fn app(store: &Arc<MemoryStore>) -> Router {
    let state = LiveState::new(hub(store, 16), LiveLimits::default(), CancellationToken::new());
    routes(state)
}

async fn get(app: Router, path: &str, headers: &[(&str, &str)]) -> Response<Body> {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    app.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn json(response: Response<Body>) -> Value {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&body).unwrap()
}

/// Reads events of a stream until there are `count`: their `id`, their `event` and the `type` in their data.
async fn events(response: Response<Body>, count: usize) -> Vec<(u64, String, String)> {
    let mut body = response.into_body().into_data_stream();
    let mut text = String::new();
    while text.matches("\n\n").count() < count {
        text.push_str(std::str::from_utf8(&body.next().await.unwrap().unwrap()).unwrap());
    }
    text.split_terminator("\n\n")
        .map(|block| {
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name));
                line.unwrap_or_else(|| panic!("no {name} in {block}")).to_owned()
            };
            let data: Value = serde_json::from_str(&field("data: ")).unwrap();
            (
                field("id: ").parse().unwrap(),
                field("event: "),
                data["type"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

fn event(seq: u64) -> (u64, String, String) {
    (seq, "test:event".to_owned(), "test:event".to_owned())
}

#[tokio::test]
async fn nothing_is_told_to_a_request_that_nobody_checked() {
    let store = Arc::new(MemoryStore::default());
    for path in ["/ws", "/api/events", "/api/events/log"] {
        let answer = get(app(&store), path, &[]).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(answer.headers()["content-type"], "application/problem+json");
        assert_eq!(json(answer).await["code"], "unauthorized");
    }
}

#[tokio::test]
async fn stream_goes_on_after_the_last_event_id() {
    let store = Arc::new(MemoryStore::default());
    append(&*store, "job:1", 5).await;
    append(&*store, "run:1", 1).await;
    let app = app(&store).layer(Extension(LiveAccess));
    // The header of a reconnecting browser counts more than the address that it began with.
    let path = "/api/events?topics=job:*&after=1";
    let answer = get(app.clone(), path, &[("last-event-id", "3")]).await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    append(&*store, "job:2", 1).await;
    assert_eq!(events(answer, 3).await, [event(4), event(5), event(7)]);

    let keep = Retention {
        most: 2,
        ..Retention::default()
    };
    store.prune(&keep).await.unwrap();
    let answer = get(app, "/api/events?after=1", &[]).await;
    let resync = (7, "resync".to_owned(), "resync".to_owned());
    assert_eq!(events(answer, 1).await, [resync]);
}

#[tokio::test]
async fn log_is_read_in_pages() {
    let store = Arc::new(MemoryStore::default());
    append(&*store, "job:1", 5).await;
    append(&*store, "run:1", 5).await;
    let app = app(&store).layer(Extension(LiveAccess));
    let page =
        async |query: &str| json(get(app.clone(), &format!("/api/events/log?{query}"), &[]).await).await;
    let seqs = |page: &Value| -> Vec<u64> {
        let items = page["items"].as_array().unwrap();
        items.iter().map(|item| item["seq"].as_u64().unwrap()).collect()
    };
    let first = page("topics=job:*&limit=3").await;
    assert_eq!(seqs(&first), [1, 2, 3]);
    assert_eq!(first["meta"]["more"], true);
    let second = page(&format!("topics=job:*&limit=3&after={}", first["meta"]["after"])).await;
    assert_eq!(seqs(&second), [4, 5]);
    assert_eq!(
        second["meta"],
        serde_json::json!({ "after": 10, "more": false, "resync": false })
    );
    assert_eq!(page("after=99").await["meta"]["resync"], true, "of another log");
    let answer = get(app.clone(), "/api/events/log?limit=many", &[]).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
}
