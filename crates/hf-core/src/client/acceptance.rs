//! Acceptance cases that the client as a whole keeps.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::{HfClient, RequestSpec};
use crate::testing::{ManualClock, Reply, ScriptedTransport};
use crate::{Namespace, RepoId, RetryPolicy, Token, TransportKind};

const CANARY: &str = "hf_canarycanarycanarycanary0123456789";

fn client(transport: &ScriptedTransport, clock: &ManualClock) -> HfClient {
    HfClient::builder()
        .token(Token::parse(CANARY).unwrap())
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(clock.clone()))
        .retry(RetryPolicy {
            seed: Some(1),
            ..RetryPolicy::default()
        })
        .build()
        .unwrap()
}

fn ok() -> Reply {
    Reply::json(200, json!({"ok": true}))
}

/// Whatever the Hub or the network does with the token, no error, log form or memory of this crate repeats it.
#[tokio::test]
async fn case_1_the_token_is_in_no_error_debug_print_or_memory() {
    let echoes = [
        Reply::json(401, json!({"error": format!("bad token {CANARY}")})),
        Reply::json(
            403,
            json!({"error": format!("{CANARY} is missing permissions: job.write.")}),
        ),
        Reply::status(402).body(format!("Pre-paid credit balance is insufficient for {CANARY}")),
        Reply::status(429).header("x-error-message", CANARY),
        Reply::status(500).header("x-request-id", CANARY).body(CANARY),
        Reply::status(200).body(format!("{{\"{CANARY}\": ")),
        Reply::status(307).header("location", &format!("https://elsewhere.example/?t={CANARY}")),
        Reply::fail(TransportKind::Reset),
    ];
    for echo in echoes {
        let transport = ScriptedTransport::with_replies([echo]);
        let client = client(&transport, &ManualClock::auto());
        let spec = RequestSpec::post("/api/jobs/ada").query("token", CANARY);
        let error = client
            .request_json::<serde_json::Value>(spec.clone())
            .await
            .unwrap_err();
        let mut shown = format!("{error} {error:?} {error:#?} {client:?} {spec:?}");
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            write!(shown, "{cause} {cause:?}").unwrap();
            source = cause.source();
        }
        write!(shown, "{:?}", client.refusals().all()).unwrap();
        write!(shown, "{:?}", client.token()).unwrap();
        let shown = shown.replace(&format!("\"token\", \"{CANARY}\""), "");
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[test]
fn case_7_a_bare_name_gets_the_namespace_and_a_full_one_keeps_its_own() {
    let user = Namespace::parse("user").unwrap();
    let org = Namespace::parse("org").unwrap();
    assert_eq!(RepoId::within(&user, "x").unwrap().as_str(), "user/x");
    assert_eq!(RepoId::within(&org, "x").unwrap().as_str(), "org/x");
    assert_eq!(RepoId::within(&org, "a/b").unwrap().as_str(), "a/b");
    for bad in [
        "", "/", "a/", "/b", "a/b/c", "a b", "..", "a--b", "x.git", "-x", "a/../b", "é",
    ] {
        assert!(RepoId::within(&user, bad).is_err(), "{bad:?}");
    }
}

#[tokio::test]
async fn case_35_what_is_temporary_is_tried_again_when_the_hub_says_so() {
    for (failure, least) in [
        (Reply::status(429).header("ratelimit", "\"api\";r=0;t=40"), 41),
        (Reply::status(429).header("retry-after", "7"), 7),
        (Reply::status(503).header("retry-after", "9"), 9),
        (Reply::status(413).header("retry-after", "5"), 5),
        (Reply::status(503), 0),
        (Reply::fail(TransportKind::Reset), 0),
        (Reply::status(200).body("{\"ok\":").then_reset(), 0),
    ] {
        let transport = ScriptedTransport::with_replies([failure, ok()]);
        let clock = ManualClock::auto();
        let client = client(&transport, &clock);
        client
            .get_json::<serde_json::Value>("/api/models", &[])
            .await
            .unwrap();
        assert_eq!(transport.requests().len(), 2);
        let sleeps = clock.sleeps();
        assert!(
            sleeps.len() == 1 && sleeps[0] >= Duration::from_secs(least),
            "{sleeps:?}"
        );
    }
}

#[tokio::test]
async fn case_35_trying_again_is_bounded_in_number_and_time() {
    let always = ScriptedTransport::answering(|_| Some(Reply::status(503)));
    let clock = ManualClock::auto();
    client(&always, &clock)
        .get_text("/api/models", &[])
        .await
        .unwrap_err();
    assert_eq!(always.requests().len(), 6);
    let patient = ScriptedTransport::answering(|_| Some(Reply::status(429).header("retry-after", "86400")));
    let clock = ManualClock::auto();
    client(&patient, &clock)
        .get_text("/api/models", &[])
        .await
        .unwrap_err();
    assert_eq!(
        (patient.requests().len(), clock.sleeps().len()),
        (1, 0),
        "nobody waits a day"
    );
}

#[tokio::test]
async fn case_35_other_refusals_are_final() {
    for status in [400, 401, 402, 403, 404, 409, 410, 412, 413, 416, 422] {
        let transport = ScriptedTransport::with_replies([Reply::status(status), ok()]);
        let clock = ManualClock::auto();
        client(&transport, &clock)
            .get_text("/api/models", &[])
            .await
            .unwrap_err();
        assert_eq!(
            (transport.requests().len(), clock.sleeps().len()),
            (1, 0),
            "{status}"
        );
    }
}

#[tokio::test]
async fn case_35_a_job_is_never_posted_again_blindly() {
    for failure in [
        Reply::status(500),
        Reply::status(503).header("retry-after", "1"),
        Reply::status(429).header("retry-after", "1"),
        Reply::fail(TransportKind::Reset),
        Reply::fail(TransportKind::Timeout),
        Reply::status(200).body("{\"id\":").then_reset(),
    ] {
        let transport = ScriptedTransport::with_replies([failure, ok()]);
        let clock = ManualClock::auto();
        let sent = client(&transport, &clock)
            .post_json::<_, serde_json::Value>("/api/jobs/ada", &json!({"flavor": "cpu-basic"}))
            .await;
        assert!(sent.is_err());
        assert_eq!((transport.requests().len(), clock.sleeps().len()), (1, 0));
    }
}

/// The limits the Hub names are kept by the client as a whole, clones included.
#[tokio::test]
async fn clones_share_the_limit_and_wait_for_the_next_window_before_the_hub_refuses() {
    let transport = ScriptedTransport::answering(|_| {
        Some(
            ok().header("ratelimit-policy", "\"fixed window\";\"api\";q=2;w=300")
                .header("ratelimit", "\"api\";r=1;t=100"),
        )
    });
    let clock = ManualClock::auto();
    let client = client(&transport, &clock);
    client.get_text("/api/models", &[]).await.unwrap();
    transport.push(ok().header("ratelimit", "\"api\";r=0;t=99"));
    client.clone().get_text("/api/models", &[]).await.unwrap();
    assert!(clock.sleeps().is_empty());
    client.get_text("/api/models", &[]).await.unwrap();
    assert_eq!(clock.sleeps(), [Duration::from_secs(100)]);
    assert_eq!(client.rate_limiter().state()[0].left, 1);
}
