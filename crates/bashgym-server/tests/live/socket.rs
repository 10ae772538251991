//! `/ws`.

use std::time::Duration;

use bashgym_core::events::{EventLog, Retention};
use bashgym_core::store::{JobLineStore, JobStream};
use bashgym_server::live::LiveLimits;
use futures::{SinkExt, StreamExt};
use serde_json::json;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::support::Server;

#[tokio::test]
async fn events_are_told_by_topic_and_by_the_beginning_of_topics() {
    let server = Server::start().await;
    server.append("job:0", 1).await;
    let mut client = server.connect("topics=job:1,run:*").await;
    assert_eq!(client.subscribed().await, 1, "from now on");
    for topic in ["job:1", "job:12", "run:a", "budget", "run:b"] {
        server.append(topic, 1).await;
    }
    assert_eq!(client.hear_events(3).await, [2, 4, 6]);

    client
        .say(json!({ "type": "unsubscribe", "topics": ["run:*"] }))
        .await;
    client.subscribed().await;
    client
        .say(json!({ "type": "subscribe", "topics": ["budget"] }))
        .await;
    client.subscribed().await;
    for topic in ["run:a", "job:1", "budget"] {
        server.append(topic, 1).await;
    }
    assert_eq!(client.hear_events(2).await, [8, 9]);
}

#[tokio::test]
async fn lines_of_a_job_are_told_with_their_numbers() {
    let server = Server::start().await;
    let mut client = server.connect("topics=job:*").await;
    client.subscribed().await;
    let line = |text: &str| json!({ "data": text, "timestamp": "2026-11-22T12:00:00Z" }).to_string();
    let lines = [line("loss 2.5"), line("loss 2.4")];
    server
        .store
        .append_job_lines("66aa", JobStream::Log, 0, &lines)
        .await
        .unwrap();
    let event = client.hear().await;
    assert_eq!(
        (&event["type"], &event["topic"]),
        (&json!("hf:job:log"), &json!("job:66aa"))
    );
    let time = "2026-11-22T12:00:00Z";
    assert_eq!(
        event["data"],
        json!({ "job_id": "66aa", "from": 1, "to": 2, "lines": [
            { "n": 1, "timestamp": time, "text": "loss 2.5" }, { "n": 2, "timestamp": time, "text": "loss 2.4" } ] })
    );
}

#[tokio::test]
async fn after_a_break_the_gap_is_told_and_nothing_twice() {
    let server = Server::start().await;
    server.append("job:1", 700).await;
    let mut client = server.connect("topics=job:1").await;
    client.subscribed().await;
    server.append("job:1", 3).await;
    assert_eq!(client.hear_events(3).await, [701, 702, 703]);
    drop(client);
    server.append("job:1", 600).await;
    server.append("other", 5).await;

    let mut client = server.connect("topics=job:1&after=703").await;
    client.subscribed().await;
    server.append("job:1", 2).await;
    let expected: Vec<u64> = (704..=1303).chain([1309, 1310]).collect();
    assert_eq!(client.hear_events(602).await, expected);

    // The same by message, on a socket that is open.
    let mut client = server.connect("").await;
    client
        .say(json!({ "type": "subscribe", "topics": ["job:1"], "after": 1302 }))
        .await;
    assert_eq!(client.subscribed().await, 1302);
    assert_eq!(client.hear_events(3).await, [1303, 1309, 1310]);
}

#[tokio::test]
async fn gap_that_is_gone_is_told_as_resync() {
    let server = Server::start().await;
    server.append("job:1", 50).await;
    let keep = Retention {
        most: 10,
        ..Retention::default()
    };
    server.store.prune(&keep).await.unwrap();
    // Dropped, or of another log.
    for after in [5, 1000] {
        let mut client = server.connect(&format!("topics=job:*&after={after}")).await;
        client.subscribed().await;
        let newest = server.store.bounds().await.unwrap().newest;
        assert_eq!(client.hear().await, json!({ "type": "resync", "seq": newest }));
        server.append("job:1", 1).await;
        assert_eq!(client.hear_events(1).await, [newest + 1]);
    }
    let mut client = server.connect("topics=job:*&after=40").await;
    client.subscribed().await;
    assert_eq!(client.hear_events(2).await, [41, 42], "the oldest that is kept");
}

#[tokio::test]
async fn message_that_is_not_understood_ends_nothing() {
    let server = Server::start().await;
    let mut client = server.connect("topics=job:1").await;
    client.subscribed().await;
    for (text, code) in [
        ("letter", "bad_message"),
        (r#"{"type":"launch"}"#, "bad_message"),
        (r#"{"type":"subscribe","topics":["a*b"]}"#, "bad_topic"),
        (r#"{"type":"subscribe","topics":[""]}"#, "bad_topic"),
    ] {
        client.socket.send(Message::text(text)).await.unwrap();
        let answer = client.hear().await;
        assert_eq!(
            (&answer["type"], &answer["code"]),
            (&json!("error"), &json!(code)),
            "{text}"
        );
    }
    server.append("job:1", 1).await;
    assert_eq!(client.hear_events(1).await, [1]);
}

#[tokio::test]
async fn message_that_is_too_long_closes_the_socket() {
    let server = Server::start().await;
    let mut client = server.connect("").await;
    // The server may close before all of it is sent.
    let _ = client.socket.send(Message::text("x".repeat(20_000))).await;
    loop {
        match client.socket.next().await {
            Some(Ok(Message::Close(Some(frame)))) => {
                assert_eq!(frame.code, CloseCode::Policy);
                return;
            }
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return,
        }
    }
}

#[tokio::test]
async fn bad_requests_are_told_what_is_wrong() {
    let server = Server::start().await;
    for (query, expected) in [("topics=a*b", 400), ("after=yesterday", 400), ("after=-1", 400)] {
        match connect_async(format!("ws://{}/ws?{query}", server.address)).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), expected, "{query}"),
            other => panic!("{query}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn no_more_sockets_than_there_are_seats() {
    let limits = LiveLimits {
        connections: 2,
        ..LiveLimits::default()
    };
    let server = Server::with(limits, 16).await;
    let mut first = server.connect("topics=a").await;
    let _second = server.connect("topics=a").await;
    let url = format!("ws://{}/ws", server.address);
    match connect_async(&url).await {
        Err(Error::Http(answer)) => {
            assert_eq!(answer.status(), 503);
            assert_eq!(answer.headers()["retry-after"], "5");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(server.state.connections(), 2);
    first.subscribed().await;
    first.socket.close(None).await.unwrap();
    while first.socket.next().await.is_some() {}
    // The seat is free once the server has seen the end as well.
    while server.state.connections() > 1 {
        tokio::task::yield_now().await;
    }
    connect_async(&url).await.unwrap();
}

#[tokio::test]
async fn server_that_ends_says_so() {
    let server = Server::start().await;
    let mut client = server.connect("topics=*").await;
    client.subscribed().await;
    server.stop.cancel();
    match client.socket.next().await.unwrap().unwrap() {
        Message::Close(Some(frame)) => assert_eq!(frame.code, CloseCode::Away),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn client_that_takes_nothing_is_left_and_slows_nobody() {
    let limits = LiveLimits {
        stalled: Duration::from_millis(50),
        ..LiveLimits::default()
    };
    let server = Server::with(limits, 16).await;
    let mut stuck = server.connect("topics=job:*").await;
    let mut quick = server.connect("topics=job:*").await;
    stuck.subscribed().await;
    quick.subscribed().await;
    // More than the buffers of a socket hold.
    let line = json!({ "data": "x".repeat(100_000) }).to_string();
    for after in 0..200 {
        server
            .store
            .append_job_lines("66aa", JobStream::Log, after, std::slice::from_ref(&line))
            .await
            .unwrap();
    }
    assert_eq!(quick.hear_events(200).await, (1..=200).collect::<Vec<u64>>());
    while server.state.connections() > 1 {
        tokio::task::yield_now().await;
    }
    drop(stuck);
}
