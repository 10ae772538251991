//! What a client cannot do: listen from afar, be slow, be large, sign in twice with one link.

use std::sync::Arc;
use std::time::Duration;

use bashgym_core::store::MemoryStore;
use bashgym_server::remote::Remote;
use bashgym_server::{BindError, Server, ServerKey};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

use crate::support::{Running, config, parts, read_answer};

#[tokio::test]
async fn another_address_than_the_loopback_needs_an_explicit_flag() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(MemoryStore::default());
    let key = ServerKey::generate();
    let mut config = config(&key);
    config.address = ([0, 0, 0, 0], 0).into();
    let refused = Server::bind(config.clone(), parts(&store, &folder)).await;
    assert!(matches!(refused.err(), Some(BindError::Remote { .. })));
    config.allow_remote = true;
    assert!(Server::bind(config, parts(&store, &folder)).await.is_ok());
}

#[tokio::test]
async fn a_request_that_trickles_in_is_cut_off() {
    let server = Running::start_with(|config| config.head_timeout = Some(Duration::from_millis(50))).await;
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    slow.write_all(b"GET /api/health HTTP/1.1\r\nHost: loc")
        .await
        .unwrap();
    // Nothing more is sent: the server ends it by itself.
    let answer = read_answer(&mut slow).await;
    assert!(answer.status == 0 || answer.status == 408, "{}", answer.head);
    server.end().await;
}

#[tokio::test]
async fn heads_and_bodies_that_are_too_large_are_refused() {
    let server = Running::start().await;
    let many = "X-Many: 1\r\n".repeat(100);
    let answer = server
        .raw(&format!(
            "GET /api/health HTTP/1.1\r\nHost: {}\r\n{many}\r\n",
            server.address
        ))
        .await;
    assert_eq!(answer.status, 431, "{}", answer.head);
    let long = "x".repeat(40 * 1024);
    let answer = server
        .raw(&format!(
            "GET /api/health HTTP/1.1\r\nHost: {}\r\nX-Long: {long}\r\n\r\n",
            server.address
        ))
        .await;
    assert!([400, 431].contains(&answer.status), "{}", answer.head);
    let large = json!({ "command": ["x".repeat(3 * 1024 * 1024)] });
    let head = format!(
        "POST /api/runs HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        server.address,
        server.key.expose(),
        large.to_string().len()
    );
    // The answer comes before the body: writing the rest would fail.
    let answer = server.raw(&head).await;
    assert_eq!((answer.status, answer.code()), (413, "too_large".to_owned()));
    server.end().await;
}

#[tokio::test]
async fn a_login_link_works_once_and_gives_a_cookie_that_scripts_cannot_read() {
    let server = Running::start().await;
    let path = server
        .login_url
        .split_once(&server.address.to_string())
        .unwrap()
        .1
        .to_owned();
    assert!(!path.contains(server.key.expose()));
    let first = server.ask("GET", &path, &[], None).await;
    assert_eq!((first.status, first.header("location")), (303, Some("/")));
    let set = first.header("set-cookie").unwrap();
    assert!(
        set.contains("HttpOnly") && set.contains("SameSite=Strict"),
        "{set}"
    );
    assert_eq!(server.ask("GET", &path, &[], None).await.status, 401);

    let cookie = set.split(';').next().unwrap();
    let session = server
        .ask("GET", "/api/session", &[("Cookie", cookie)], None)
        .await;
    let csrf = session.json()["csrf_token"].as_str().unwrap().to_owned();
    let change = json!({ "micro_usd": 1_000_000 });
    let bare = server
        .ask(
            "PUT",
            "/api/budget/jobs/day",
            &[("Cookie", cookie)],
            Some(&change),
        )
        .await;
    assert_eq!((bare.status, bare.code()), (403, "csrf_required".to_owned()));
    let headers = [("Cookie", cookie), ("X-CSRF-Token", csrf.as_str())];
    let whole = server
        .ask("PUT", "/api/budget/jobs/day", &headers, Some(&change))
        .await;
    assert_eq!(whole.status, 204, "{}", whole.body);
    let out = server.ask("DELETE", "/api/session", &headers, None).await;
    assert_eq!(out.status, 204);
    let after = server
        .ask("GET", "/api/session", &[("Cookie", cookie)], None)
        .await;
    assert_eq!(after.status, 401);
    server.end().await;
}

#[tokio::test]
async fn a_server_proves_that_it_is_ours_before_it_gets_the_key() {
    let server = Running::start().await;
    let found = Remote::find(server.address, &server.key).await.unwrap();
    assert!(found.login_url().await.unwrap().contains("/login?code="));
    assert!(
        Remote::find(server.address, &ServerKey::generate())
            .await
            .is_none()
    );

    // One that hands everything on to the real server at another port.
    let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = relay.local_addr().unwrap();
    let real = server.address;
    let relaying = tokio::spawn(async move {
        let (mut client, _) = relay.accept().await.unwrap();
        let mut server = TcpStream::connect(real).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    assert!(Remote::find(at, &server.key).await.is_none());
    relaying.abort();
    server.end().await;
}
