use std::fmt::Write as _;
use std::time::Duration;

use futures::TryStreamExt;
use http::Method;
use http::header::AUTHORIZATION;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::error::{HfErrorKind, Resource};
use crate::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use crate::transport::TransportKind;

const TOKEN: &str = "hf_testtoken";

struct Setup {
    client: HfClient,
    transport: ScriptedTransport,
    clock: ManualClock,
}

fn setup(replies: impl IntoIterator<Item = Reply>) -> Setup {
    setup_at("https://huggingface.co", replies)
}

fn setup_at(endpoint: &str, replies: impl IntoIterator<Item = Reply>) -> Setup {
    let transport = ScriptedTransport::with_replies(replies);
    let clock = ManualClock::auto();
    let client = HfClient::builder()
        .endpoint(endpoint.parse().unwrap())
        .token(Token::parse(TOKEN).unwrap())
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(clock.clone()))
        .retry(RetryPolicy {
            seed: Some(1),
            ..RetryPolicy::default()
        })
        .build()
        .unwrap();
    Setup {
        client,
        transport,
        clock,
    }
}

fn auths(requests: &[RecordedRequest]) -> Vec<bool> {
    requests
        .iter()
        .map(|request| request.headers.contains_key(AUTHORIZATION))
        .collect()
}

fn kind<T: fmt::Debug>(result: Result<T, HfError>) -> HfErrorKind {
    result.unwrap_err().kind()
}

#[tokio::test]
async fn a_request_carries_what_the_hub_expects() {
    let Setup {
        client, transport, ..
    } = setup_at("http://127.0.0.1:9/hub", [Reply::json(200, json!({"a": 1}))]);
    let query = [("label", "name=a b"), ("stage", "RUNNING")];
    let answer: Value = client.get_json("/api/jobs/ada", &query).await.unwrap();
    assert_eq!(answer, json!({"a": 1}));
    let request = &transport.requests()[0];
    assert_eq!(
        request.url.as_str(),
        "http://127.0.0.1:9/hub/api/jobs/ada?label=name%3Da%20b&stage=RUNNING"
    );
    assert_eq!(request.header("authorization"), Some("Bearer hf_testtoken"));
    assert!(request.header("user-agent").unwrap().starts_with("bashgym/"));
    let id = request.header("x-amzn-trace-id").unwrap();
    assert_eq!((id.len(), &id[14..15]), (36, "4"), "{id}");
}

#[tokio::test]
async fn a_path_can_not_leave_its_route() {
    let Setup {
        client, transport, ..
    } = setup([]);
    for path in ["/api/models/../whoami-v2", "/api/a?b=c", "api", "/a/%2e%2E/b"] {
        assert_eq!(
            kind(client.get_json::<Value>(path, &[]).await),
            HfErrorKind::InvalidArgument,
            "{path}"
        );
    }
    assert!(transport.requests().is_empty());
}

#[tokio::test]
async fn transient_failures_are_tried_again() {
    for failure in [
        Reply::status(503),
        Reply::status(500),
        Reply::status(408),
        Reply::fail(TransportKind::Connect),
        Reply::fail(TransportKind::Reset),
        Reply::fail(TransportKind::Timeout),
        Reply::json(200, json!([1])).body("[1").then_reset(),
    ] {
        let Setup {
            client,
            transport,
            clock,
        } = setup([failure.clone(), failure, Reply::json(200, json!([1]))]);
        assert_eq!(client.get_json::<Vec<u8>>("/api/x", &[]).await.unwrap(), [1]);
        assert_eq!(transport.requests().len(), 3);
        let sleeps = clock.sleeps();
        assert!(
            sleeps[0] <= Duration::from_millis(500) && sleeps[1] <= Duration::from_secs(1),
            "{sleeps:?}"
        );
    }
}

#[tokio::test]
async fn final_failures_are_not_tried_again() {
    for failure in [
        Reply::status(400),
        Reply::status(401),
        Reply::status(403),
        Reply::status(404),
        Reply::status(409),
        Reply::status(501),
        Reply::fail(TransportKind::Tls),
        Reply::json(200, json!("no list")),
    ] {
        let Setup {
            client, transport, ..
        } = setup([failure]);
        client.get_json::<Vec<u8>>("/api/x", &[]).await.unwrap_err();
        assert_eq!(transport.requests().len(), 1);
    }
}

#[tokio::test]
async fn a_post_is_sent_once_unless_it_is_marked() {
    for failure in [
        Reply::status(503),
        Reply::fail(TransportKind::Reset),
        Reply::status(429),
    ] {
        let Setup {
            client, transport, ..
        } = setup([failure.clone(), Reply::json(200, json!(1))]);
        client
            .post_json::<_, u8>("/api/jobs/ada", &json!({}))
            .await
            .unwrap_err();
        assert_eq!(transport.requests().len(), 1);

        let Setup {
            client, transport, ..
        } = setup([failure, Reply::json(200, json!(1))]);
        let spec = RequestSpec::post("/api/x")
            .json(&json!({"k": 1}))
            .unwrap()
            .idempotent();
        assert_eq!(client.request_json::<u8>(spec).await.unwrap(), 1);
        assert!(
            transport
                .requests()
                .iter()
                .all(|request| request.json() == json!({"k": 1}))
        );
    }
}

#[tokio::test]
async fn put_and_delete_are_tried_again_with_their_body() {
    let Setup {
        client, transport, ..
    } = setup([Reply::status(502), Reply::json(200, json!(2))]);
    assert_eq!(client.put_json::<_, u8>("/api/x", &json!([1])).await.unwrap(), 2);
    assert_eq!(transport.requests()[1].json(), json!([1]));
    let Setup {
        client, transport, ..
    } = setup([Reply::status(502), Reply::status(200)]);
    client
        .delete_json("/api/repos/delete", &json!({"name": "x"}))
        .await
        .unwrap();
    assert_eq!(transport.requests()[1].json(), json!({"name": "x"}));
}

#[tokio::test]
async fn tries_are_bounded() {
    let Setup {
        client, transport, ..
    } = setup((0..20).map(|_| Reply::status(503)));
    assert_eq!(
        kind(client.get_json::<Value>("/api/x", &[]).await),
        HfErrorKind::Http
    );
    assert_eq!(transport.requests().len(), 6);
}

#[tokio::test]
async fn the_server_s_wait_is_kept_if_it_fits() {
    let limited = || Reply::status(429).header("RateLimit", "\"api\";r=0;t=20");
    let Setup { client, clock, .. } = setup([limited(), Reply::json(200, json!(1))]);
    client.get_json::<u8>("/api/x", &[]).await.unwrap();
    assert_eq!(clock.sleeps(), [Duration::from_secs(21)]);

    let Setup { client, clock, .. } = setup([
        Reply::status(503).header("retry-after", "7"),
        Reply::json(200, json!(1)),
    ]);
    client.get_json::<u8>("/api/x", &[]).await.unwrap();
    assert_eq!(clock.sleeps(), [Duration::from_secs(7)]);

    let Setup { client, clock, .. } = setup([Reply::status(429).header("retry-after", "100000")]);
    let error = client.get_json::<u8>("/api/x", &[]).await.unwrap_err();
    let asked = Duration::from_secs(100_000);
    assert!(matches!(error, HfError::RateLimited { retry_after: Some(wait), .. } if wait == asked));
    assert!(clock.sleeps().is_empty());
}

#[tokio::test]
async fn a_redirect_keeps_the_token_on_its_origin_only() {
    let to = |target: &str| Reply::status(302).header("location", target);
    let Setup {
        client, transport, ..
    } = setup([
        to("/api/moved"),
        to("https://cdn.example/x?Signature=s"),
        to("https://huggingface.co/back"),
        Reply::json(200, json!(1)),
    ]);
    let spec = RequestSpec::get("/api/x").header(http::header::COOKIE, HeaderValue::from_static("c=1"));
    let response = client.request(spec).await.unwrap();
    assert_eq!(response.url().as_str(), "https://huggingface.co/back");
    let requests = transport.requests();
    // The other side chose the way back, so the token does not go with it.
    assert_eq!(auths(&requests), [true, true, false, false]);
    let cookies: Vec<bool> = requests
        .iter()
        .map(|request| request.header("cookie").is_some())
        .collect();
    assert_eq!(cookies, [true, true, false, false]);
}

#[tokio::test]
async fn port_and_scheme_are_part_of_the_origin() {
    for target in [
        "http://127.0.0.1:10/x",
        "http://localhost:9/x",
        "https://127.0.0.1:9/x",
        "//127.0.0.2:9/x",
    ] {
        let Setup {
            client, transport, ..
        } = setup_at(
            "http://127.0.0.1:9",
            [
                Reply::status(307).header("location", target),
                Reply::json(200, json!(1)),
            ],
        );
        client.get_json::<u8>("/api/x", &[]).await.unwrap();
        assert_eq!(auths(&transport.requests()), [true, false], "{target}");
    }
}

#[tokio::test]
async fn a_caller_s_own_authorization_stays_behind_too() {
    let Setup {
        client, transport, ..
    } = setup([
        Reply::status(302).header("location", "https://a.example/x"),
        Reply::json(200, json!(1)),
    ]);
    let spec = RequestSpec::to_url(Method::GET, "https://b.example/".parse().unwrap())
        .header(AUTHORIZATION, HeaderValue::from_static("Bearer cas"));
    client.request_json::<u8>(spec).await.unwrap();
    let requests = transport.requests();
    assert_eq!(requests[0].header("authorization"), Some("Bearer cas"));
    assert_eq!(auths(&requests), [true, false]);
}

#[tokio::test]
async fn other_origins_are_asked_without_the_token() {
    let Setup {
        client, transport, ..
    } = setup([Reply::status(200), Reply::status(200), Reply::status(200)]);
    for url in [
        "https://cdn.example/file",
        "https://huggingface.co.evil.example/",
        "https://huggingface.co:444/",
    ] {
        client
            .request(RequestSpec::to_url(Method::GET, url.parse().unwrap()))
            .await
            .unwrap();
    }
    assert_eq!(auths(&transport.requests()), [false, false, false]);
    let file = RequestSpec::to_url(Method::GET, "file:///etc/passwd".parse().unwrap());
    assert_eq!(kind(client.request(file).await), HfErrorKind::InvalidArgument);
}

#[tokio::test]
async fn a_body_is_never_carried_to_another_origin() {
    let Setup {
        client, transport, ..
    } = setup([Reply::status(307).header("location", "https://evil.example/api/jobs/ada")]);
    let secret = json!({"secrets": {"K": "v"}});
    client
        .post_json::<_, Value>("/api/jobs/ada", &secret)
        .await
        .unwrap_err();
    assert_eq!(transport.requests().len(), 1);
    // On the same origin it is: a renamed repository answers so.
    let Setup {
        client, transport, ..
    } = setup([
        Reply::status(307).header("location", "/api/new"),
        Reply::json(200, json!(1)),
    ]);
    client.post_json::<_, u8>("/api/old", &secret).await.unwrap();
    assert_eq!(
        (
            transport.requests()[1].method.clone(),
            transport.requests()[1].json()
        ),
        (Method::POST, secret)
    );
}

#[tokio::test]
async fn https_is_not_left() {
    let Setup {
        client, transport, ..
    } = setup([Reply::status(302).header("location", "http://huggingface.co/x")]);
    assert_eq!(
        kind(client.get_json::<Value>("/api/x", &[]).await),
        HfErrorKind::Decode
    );
    assert_eq!(transport.requests().len(), 1);
}

#[tokio::test]
async fn a_see_other_turns_into_a_get() {
    let Setup {
        client, transport, ..
    } = setup([
        Reply::status(303).header("location", "/done"),
        Reply::json(200, json!(1)),
    ]);
    client
        .post_json::<_, u8>("/api/x", &json!({"a": 1}))
        .await
        .unwrap();
    let last = &transport.requests()[1];
    assert_eq!(
        (last.method.clone(), last.body.len(), last.header("content-type")),
        (Method::GET, 0, None)
    );
}

#[tokio::test]
async fn redirects_are_bounded_and_may_be_refused() {
    let round = || Reply::status(302).header("location", "/api/x");
    let Setup {
        client, transport, ..
    } = setup((0..50).map(|_| round()));
    assert_eq!(
        kind(client.get_json::<Value>("/api/x", &[]).await),
        HfErrorKind::Decode
    );
    assert_eq!(transport.requests().len(), 11);

    let away = || Reply::status(302).header("location", "https://cdn.example/");
    let Setup {
        client, transport, ..
    } = setup([round(), away(), round()]);
    let response = client
        .request(RequestSpec::head("/api/x").redirects(Redirects::SameOrigin))
        .await
        .unwrap();
    assert_eq!(
        (response.status().as_u16(), response.header("location")),
        (302, Some("https://cdn.example/"))
    );
    let response = client
        .request(RequestSpec::head("/api/x").redirects(Redirects::Manual))
        .await
        .unwrap();
    assert_eq!(response.status().as_u16(), 302);
    assert_eq!(transport.requests().len(), 3);
}

#[tokio::test]
async fn offline_stops_at_the_door_except_toward_loopback() {
    for (endpoint, expected) in [("https://huggingface.co", 0), ("http://127.0.0.1:9", 1)] {
        let transport = ScriptedTransport::with_replies([Reply::json(200, json!(1))]);
        let client = HfClient::builder()
            .endpoint(endpoint.parse().unwrap())
            .transport(Arc::new(transport.clone()))
            .offline(true)
            .build()
            .unwrap();
        let result = client.get_json::<u8>("/api/x", &[]).await;
        assert_eq!(transport.requests().len(), expected);
        assert_eq!(
            result.err().and_then(|error| error.transport_kind()).is_some(),
            expected == 0
        );
    }
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let next = |target: &str| format!("<{target}>; rel=\"next\"");
    let Setup {
        client, transport, ..
    } = setup([
        Reply::json(200, json!([1, 2]))
            .header("link", &next("https://huggingface.co/api/jobs/ada?cursor=a%3D")),
        Reply::json(200, json!([])).header("link", &next("/api/jobs/ada?cursor=b")),
        Reply::status(503),
        Reply::json(200, json!([3])),
    ]);
    let all: Vec<u8> = client
        .pages::<u8>("/api/jobs/ada", &[("stage", "RUNNING")])
        .try_collect()
        .await
        .unwrap();
    assert_eq!(all, [1, 2, 3]);
    let urls: Vec<String> = transport
        .requests()
        .iter()
        .map(|r| r.url.query().unwrap().to_owned())
        .collect();
    assert_eq!(urls, ["stage=RUNNING", "cursor=a%3D", "cursor=b", "cursor=b"]);
}

#[tokio::test]
async fn pages_come_as_they_are_asked_for() {
    let link = "<https://huggingface.co/api/x?cursor=a>; rel=\"next\"";
    let Setup {
        client, transport, ..
    } = setup([Reply::json(200, json!([1])).header("link", link)]);
    let mut pages = client.pages::<u8>("/api/x", &[]);
    assert_eq!(pages.next().await.unwrap().unwrap(), 1);
    assert_eq!(transport.requests().len(), 1);
}

#[tokio::test]
async fn pages_stay_on_their_hub() {
    for target in [
        "https://evil.example/api?c=1",
        "https://huggingface.co/api/x",
        "http://huggingface.co/api/x?c=1",
    ] {
        let link = format!("<{target}>; rel=\"next\"");
        let Setup {
            client, transport, ..
        } = setup([Reply::json(200, json!([1])).header("link", &link)]);
        let mut pages = client.pages::<u8>("/api/x", &[]);
        assert_eq!(kind(pages.next().await.unwrap()), HfErrorKind::Decode, "{target}");
        assert!(pages.next().await.is_none());
        assert_eq!(transport.requests().len(), 1);
    }
    // A mirror hands out the addresses of the Hub it mirrors.
    let link = "<https://huggingface.co/api/x?cursor=2>; rel=\"next\"";
    let replies = [
        Reply::json(200, json!([1])).header("link", link),
        Reply::json(200, json!([2])),
    ];
    let Setup {
        client, transport, ..
    } = setup_at("http://127.0.0.1:9", replies);
    let all: Vec<u8> = client.pages::<u8>("/api/x", &[]).try_collect().await.unwrap();
    assert_eq!(
        (all, transport.requests()[1].url.as_str()),
        (vec![1, 2], "http://127.0.0.1:9/api/x?cursor=2")
    );
}

#[tokio::test]
async fn events_arrive_and_a_cut_is_an_error() {
    let chunks = [": keep-alive\n\nda", "ta: a\n\nevent: m\r\ndata: b\r\n", "\r\n"];
    let Setup {
        client, transport, ..
    } = setup([Reply::status(200).chunks(chunks)]);
    let events: Vec<SseEvent> = client.events("/api/x/logs", &[]).try_collect().await.unwrap();
    let data: Vec<&str> = events.iter().map(|event| event.data.as_str()).collect();
    assert_eq!(data, ["a", "b"]);
    assert_eq!(
        transport.requests()[0].header("accept"),
        Some("text/event-stream")
    );

    for cut in [
        Reply::sse("data: a\n\ndata: b\n"),
        Reply::sse("data: a\n\n").then_reset(),
    ] {
        let Setup { client, .. } = setup([cut]);
        let mut events = client.events("/api/x/logs", &[]);
        assert_eq!(events.next().await.unwrap().unwrap().data, "a");
        let error = events.next().await.unwrap().unwrap_err();
        assert_eq!(error.transport_kind(), Some(TransportKind::Body));
        assert!(events.next().await.is_none() && events.next().await.is_none());
    }
}

#[tokio::test]
async fn an_endless_line_ends_the_stream_after_what_was_complete() {
    let chunk = format!("data: a\n\ndata: {}", "x".repeat(5 << 20));
    let Setup { client, .. } = setup([Reply::sse(chunk)]);
    let mut events = client.events("/api/x/logs", &[]);
    assert_eq!(events.next().await.unwrap().unwrap().data, "a");
    assert_eq!(kind(events.next().await.unwrap()), HfErrorKind::Decode);
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn an_error_status_opens_no_stream() {
    let Setup {
        client, transport, ..
    } = setup([Reply::json(404, json!({"error": "no such job"}))]);
    let mut events = client.events("/api/jobs/ada/66aa/logs", &[]);
    let error = events.next().await.unwrap().unwrap_err();
    assert!(matches!(
        error,
        HfError::NotFound {
            resource: Resource::Job,
            ..
        }
    ));
    assert_eq!(transport.requests().len(), 1);
}

#[tokio::test]
async fn whoami_is_asked_once_and_a_failure_is_not_kept() {
    let me = Reply::json(200, json!({"name": "ada", "isPro": true}));
    let Setup {
        client, transport, ..
    } = setup([Reply::status(401), me]);
    assert_eq!(kind(client.whoami().await), HfErrorKind::Auth);
    let other = client.clone();
    let (a, b) = tokio::join!(client.whoami(), other.whoami());
    assert_eq!((a.unwrap().name.as_str(), b.unwrap().is_pro), ("ada", true));
    assert_eq!(transport.requests().len(), 2);
}

#[tokio::test]
async fn whoami_without_a_token_asks_nobody() {
    let transport = ScriptedTransport::new();
    let client = HfClient::builder()
        .transport(Arc::new(transport.clone()))
        .build()
        .unwrap();
    assert_eq!(kind(client.whoami().await), HfErrorKind::Auth);
    assert!(transport.requests().is_empty());
}

#[tokio::test]
async fn a_body_too_large_for_memory_is_refused() {
    let piece = Bytes::from(vec![b' '; 1 << 20]);
    let chunks: Vec<Bytes> = (0..=64).map(|_| piece.clone()).collect();
    let Setup { client, .. } = setup([Reply::status(200).chunks(chunks)]);
    assert_eq!(kind(client.get_text("/api/x", &[]).await), HfErrorKind::Decode);
}

#[tokio::test]
async fn a_made_body_is_made_anew_for_each_try() {
    let Setup {
        client, transport, ..
    } = setup([Reply::status(503), Reply::status(200)]);
    let body = RequestBody::factory(Some(4), || {
        Box::pin(stream::iter(["ab", "cd"]).map(|piece| Ok(Bytes::from_static(piece.as_bytes()))))
    });
    client
        .request(RequestSpec::put("/api/x").body(body))
        .await
        .unwrap();
    assert!(
        transport
            .requests()
            .iter()
            .all(|request| &request.body[..] == b"abcd")
    );
}

#[tokio::test]
async fn nothing_printed_holds_the_token() {
    let body = json!({"error": format!("bad {TOKEN}")});
    let Setup { client, .. } = setup([Reply::json(401, body), Reply::json(200, json!({"token": TOKEN}))]);
    let mut shown = format!(
        "{client:?} {client:#?} {:?}",
        HfClient::builder().token(Token::parse(TOKEN).unwrap())
    );
    let error = client.get_json::<Value>("/api/x", &[]).await.unwrap_err();
    write!(shown, "{error} {error:?} {:?}", error.hint()).unwrap();
    let spec = RequestSpec::post("/api/x")
        .json(&json!({"token": TOKEN}))
        .unwrap();
    write!(shown, "{spec:?}").unwrap();
    let error = client
        .get_json::<Vec<u8>>("/api/x", &[("token", TOKEN)])
        .await
        .unwrap_err();
    write!(shown, "{error} {error:?}").unwrap();
    assert!(!shown.contains(TOKEN), "{shown}");
}

#[tokio::test]
async fn a_stepped_clock_releases_its_sleepers() {
    let clock = ManualClock::new(Timestamp::UNIX_EPOCH);
    let sleeper = tokio::spawn({
        let clock = clock.clone();
        async move { clock.sleep(Duration::from_secs(5)).await }
    });
    while clock.sleeps().is_empty() {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(4));
    tokio::task::yield_now().await;
    assert!(!sleeper.is_finished());
    clock.advance(Duration::from_secs(1));
    sleeper.await.unwrap();
    assert_eq!(clock.now().as_second(), 5);
}
