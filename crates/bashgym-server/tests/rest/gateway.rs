//! The gateway against an upstream that follows a script.

use std::sync::Arc;
use std::time::Duration;

use bashgym_core::backend::{BackendRole, Upstream, Wire, parse_price};
use hf_core::SecretValue;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use crate::support::{Answer, CANARY, Running, read_answer};

/// What the upstream does with a request.
#[derive(Clone)]
pub(crate) enum Act {
    /// A whole answer: status, more headers, body.
    Whole(u16, &'static str, Value),
    /// A stream of these chunks, to its end.
    Stream(Vec<Value>),
    /// The first chunk, and then nothing until the other side hangs up.
    Begin(Value),
    /// Nothing at all until the other side hangs up.
    Silent,
}

/// What the upstream saw.
#[derive(Debug, PartialEq)]
enum Seen {
    Asked(Value),
    HungUp,
}

pub(crate) struct Script {
    pub(crate) url: String,
    seen: mpsc::UnboundedReceiver<Seen>,
}

/// Reads one request of a connection.
async fn read_request(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}

async fn act(stream: &mut BufReader<TcpStream>, act: Act) -> bool {
    let events = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
    match act {
        Act::Whole(status, headers, body) => {
            let body = body.to_string();
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\n{headers}content-length: {}\r\n\r\n",
                body.len()
            );
            stream
                .write_all(format!("{head}{body}").as_bytes())
                .await
                .unwrap();
            true
        }
        Act::Stream(chunks) => {
            let mut text = events.to_owned();
            for chunk in chunks {
                text.extend(["data: ", &chunk.to_string(), "\n\n"]);
            }
            text.push_str("data: [DONE]\n\n");
            stream.write_all(text.as_bytes()).await.unwrap();
            false
        }
        Act::Begin(chunk) => {
            let text = format!("{events}data: {chunk}\n\n");
            stream.write_all(text.as_bytes()).await.unwrap();
            hung_up(stream).await;
            false
        }
        Act::Silent => {
            hung_up(stream).await;
            false
        }
    }
}

async fn hung_up(stream: &mut BufReader<TcpStream>) {
    let mut rest = [0; 1];
    while !matches!(stream.read(&mut rest).await, Ok(0) | Err(_)) {}
}

pub(crate) async fn script(acts: Vec<Act>) -> Script {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    let (tell, seen) = mpsc::unbounded_channel();
    let acts = Arc::new(std::sync::Mutex::new(acts.into_iter()));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (tell, acts) = (tell.clone(), Arc::clone(&acts));
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                while let Some(asked) = read_request(&mut stream).await {
                    let _ = tell.send(Seen::Asked(asked));
                    let next = acts.lock().unwrap().next();
                    let waits = matches!(next, Some(Act::Silent | Act::Begin(_)));
                    let Some(next) = next else { return };
                    let goes_on = act(&mut stream, next).await;
                    if waits {
                        let _ = tell.send(Seen::HungUp);
                    }
                    if !goes_on {
                        return;
                    }
                }
            });
        }
    });
    Script { url, seen }
}

impl Script {
    async fn next(&mut self) -> Seen {
        // A call that nobody ends is a failed test.
        let seen = tokio::time::timeout(Duration::from_mins(1), self.seen.recv()).await;
        seen.unwrap().unwrap()
    }
}

pub(crate) async fn gateway(url: &str, price: Option<&str>) -> Running {
    let teacher = Upstream {
        role: BackendRole::Teacher,
        model: "big".to_owned(),
        url: url.parse().unwrap(),
        wire: Wire::OpenAi,
        key: Some(SecretValue::from(CANARY.to_owned())),
        price: price.map(|price| parse_price(price).unwrap()),
        answer_tokens: 1000,
    };
    Running::start_made(|_| {}, |parts| parts.gateway.upstreams.push(teacher)).await
}

pub(crate) fn ask(model: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}], "logit_bias": {"1": 2}})
}

pub(crate) fn completion() -> Act {
    Act::Whole(
        200,
        "",
        json!({"id": "c1", "object": "chat.completion", "created": 1, "model": "big-1",
            "choices": [{"index": 0, "finish_reason": "stop", "logprobs": {"content": []},
                "message": {"role": "assistant", "content": "Hello", "annotations": []}}],
            "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}, "service_tier": "x"}),
    )
}

fn chunk(text: &str) -> Value {
    json!({"id": "c1", "object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": text}}]})
}

pub(crate) async fn chat(server: &Running, body: &Value) -> Answer {
    server.with_key("POST", "/v1/chat/completions", Some(body)).await
}

#[tokio::test]
async fn a_chat_is_answered_as_the_model_did_and_paid() {
    let mut upstream = script(vec![completion(), completion()]).await;
    let server = gateway(&upstream.url, Some("3/15")).await;
    for model in ["teacher", "bashgym/auto"] {
        let answer = chat(&server, &ask(model, false)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        let Act::Whole(_, _, said) = completion() else {
            unreachable!()
        };
        assert_eq!(answer.json(), said);
        assert_eq!(answer.header("x-bashgym-served-by"), Some("teacher"));
        assert_eq!(answer.header("x-bashgym-model"), Some("big"));
        assert!(answer.header("x-bashgym-decision").is_some());
        assert_eq!(answer.header("x-bashgym-cost-usd"), Some("0.000450000"));
        assert_eq!(answer.header("x-bashgym-cost-source"), Some("route_price"));
        let Seen::Asked(asked) = upstream.next().await else {
            panic!("nobody asked")
        };
        assert_eq!(
            (&asked["model"], &asked["logit_bias"], &asked["max_tokens"]),
            (&json!("big"), &json!({"1": 2}), &json!(1000))
        );
    }
    let usage = server
        .with_key("GET", "/api/hf/inference/usage?by=purpose", None)
        .await
        .json();
    assert_eq!(
        (&usage[0]["name"], &usage[0]["calls"]),
        (&json!("gateway"), &json!(2))
    );
    assert_eq!(usage[0]["cost_usd"], 0.0009);
    server.end().await;
}

#[tokio::test]
async fn a_stream_is_handed_on_and_its_cost_told() {
    let usage = json!({"id": "c1", "choices": [], "usage": {"prompt_tokens": 100, "completion_tokens": 10}});
    let last = json!({"id": "c1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let chunks = vec![chunk("Hel"), chunk("lo"), last, usage];
    let mut upstream = script(vec![Act::Stream(chunks)]).await;
    let server = gateway(&upstream.url, Some("3/15")).await;
    let answer = chat(&server, &ask("teacher", true)).await;
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let data: Vec<&str> = answer
        .body
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    assert_eq!(data.len(), 4, "{}", answer.body);
    assert_eq!(serde_json::from_str::<Value>(data[0]).unwrap(), chunk("Hel"));
    assert_eq!(data[3], "[DONE]");
    assert!(
        answer
            .body
            .contains(": bashgym provider=127.0.0.1 cost_source=route_price cost_usd=0.000450000")
    );
    let Seen::Asked(asked) = upstream.next().await else {
        panic!("nobody asked")
    };
    assert_eq!(
        (&asked["stream"], &asked["stream_options"]),
        (&json!(true), &json!({"include_usage": true}))
    );
    server.end().await;
}

#[tokio::test]
async fn a_caller_who_hangs_up_ends_the_call_behind() {
    for (stream, act) in [
        (true, Act::Begin(chunk("Hel"))),
        (false, Act::Silent),
        (true, Act::Silent),
    ] {
        let begins = matches!(act, Act::Begin(_));
        let mut upstream = script(vec![act]).await;
        let server = gateway(&upstream.url, Some("3/15")).await;
        let body = ask("teacher", stream).to_string();
        let mut caller = TcpStream::connect(server.address).await.unwrap();
        let request = format!(
            "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            server.address,
            server.key.expose(),
            body.len()
        );
        caller.write_all(request.as_bytes()).await.unwrap();
        assert!(matches!(upstream.next().await, Seen::Asked(_)));
        if begins {
            let mut head = [0; 12];
            caller.read_exact(&mut head).await.unwrap();
            assert_eq!(&head, b"HTTP/1.1 200");
        }
        drop(caller);
        assert_eq!(upstream.next().await, Seen::HungUp);
        server.end().await;
    }
}

#[tokio::test]
async fn errors_are_in_the_shape_and_status_that_tools_know() {
    let busy = Act::Whole(
        429,
        "retry-after: 3600\r\n",
        json!({"error": {"message": "slow down"}}),
    );
    let wrong = Act::Whole(
        400,
        "",
        json!({"error": {"message": "no such parameter", "code": "x"}}),
    );
    let key = Act::Whole(
        401,
        "",
        json!({"error": {"message": format!("bad key {CANARY}")}}),
    );
    let upstream = script(vec![busy, wrong, key]).await;
    let server = gateway(&upstream.url, Some("3/15")).await;
    for (status, code) in [
        (429, "rate_limit_exceeded"),
        (400, "invalid"),
        (502, "upstream_auth"),
    ] {
        let answer = chat(&server, &ask("teacher", false)).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{}",
            answer.body
        );
        assert!(!answer.body.contains(CANARY), "{}", answer.body);
        if status == 429 {
            assert_eq!(answer.header("retry-after"), Some("3600"));
        }
    }
    for (body, status, code) in [
        (ask("gpt-5", false), 404, "model_not_found"),
        (ask("bashgym/student", false), 404, "model_not_found"),
        (ask("hf/org/name", false), 502, "upstream_unreachable"),
        (json!({"model": "teacher"}), 400, "invalid"),
        (json!({"model": "teacher", "messages": []}), 400, "invalid"),
    ] {
        let answer = chat(&server, &body).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{}",
            answer.body
        );
    }
    for (method, path, status, code) in [
        ("GET", "/v1/models/hf/org/name", 502, "upstream_unreachable"),
        ("GET", "/v1/models/teacher", 200, ""),
        ("GET", "/v1/models/bashgym%2Fstudent", 404, "model_not_found"),
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/v1/embeddings", 405, "method_not_allowed"),
    ] {
        let answer = server.with_key(method, path, None).await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{path}: {}",
            answer.body
        );
    }
    let models = server.with_key("GET", "/v1/models", None).await.json();
    let names: Vec<&str> = models["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["bashgym/auto", "teacher"]);
    server.end().await;
}

#[tokio::test]
async fn a_spent_budget_refuses_before_anything_is_sent() {
    let mut upstream = script(vec![completion()]).await;
    let server = gateway(&upstream.url, Some("3/15")).await;
    let cap = json!({"micro_usd": 10});
    let set = server.with_key("PUT", "/api/budget/all/total", Some(&cap)).await;
    assert_eq!(set.status, 204, "{}", set.body);
    let answer = chat(&server, &ask("teacher", false)).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (429, "insufficient_quota"),
        "{}",
        answer.body
    );
    assert_eq!(answer.header("x-should-retry"), Some("false"));
    assert!(upstream.seen.try_recv().is_err());
    server.end().await;
}

#[tokio::test]
async fn a_body_for_images_is_taken_and_a_larger_one_is_not() {
    let upstream = script(vec![completion()]).await;
    let server = gateway(&upstream.url, None).await;
    let mut large = ask("teacher", false);
    large["messages"][0]["content"] = "x".repeat(4 << 20).into();
    let answer = chat(&server, &large).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        server.address,
        server.key.expose(),
        64 << 20
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = read_answer(&mut stream).await;
    assert_eq!((answer.status, answer.code().as_str()), (413, "too_large"));
    server.end().await;
}
