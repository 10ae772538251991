//! The router over REST: what it decided, what that came to, and what it learns from.

use serde_json::{Value, json};

use crate::gateway::{ask, chat, completion, gateway, script};
use crate::support::Running;

/// A server whose router was asked twice and whose teacher was asked by name once.
async fn asked() -> (Running, crate::gateway::Script) {
    let upstream = script(vec![completion(), completion(), completion()]).await;
    let server = gateway(&upstream.url, Some("3/15")).await;
    for model in ["bashgym/auto", "bashgym/auto", "teacher"] {
        assert_eq!(chat(&server, &ask(model, false)).await.status, 200);
    }
    (server, upstream)
}

async fn get(server: &Running, path: &str) -> Value {
    let answer = server.with_key("GET", path, None).await;
    assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    answer.json()
}

#[tokio::test]
async fn decisions_are_listed_in_pages_filtered_and_explained() {
    let (server, _upstream) = asked().await;
    let first = get(&server, "/api/router/decisions?limit=2").await;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&first["items"][0]["strategy"], &first["items"][1]["strategy"]),
        (&json!("named"), &json!("confidence_based"))
    );
    let next = first["next"].as_str().unwrap();
    let second = get(&server, &format!("/api/router/decisions?limit=2&after={next}")).await;
    assert_eq!(
        (second["items"].as_array().unwrap().len(), &second["next"]),
        (1, &json!(null))
    );
    let one = &second["items"][0];
    assert_eq!(
        (&one["state"], &one["answered_by"], &one["role"], &one["verdict"]),
        (
            &json!("answered"),
            &json!("big"),
            &json!("teacher"),
            &json!("none")
        )
    );
    assert_eq!(
        (&one["cost_usd"], &one["cost_known"]),
        (&json!(0.00045), &json!(true))
    );
    for (filter, count) in [
        ("strategy=named", 1),
        ("strategy=confidence_based", 2),
        ("model=big&kind=chat&state=answered", 3),
        ("kind=tools", 0),
        ("state=failed", 0),
        ("verdict=good", 0),
        ("kept=true", 0),
        ("from=2999-01-01T00:00:00Z", 0),
    ] {
        let found = get(&server, &format!("/api/router/decisions?{filter}")).await;
        assert_eq!(found["items"].as_array().unwrap().len(), count, "{filter}");
    }
    let path = format!("/api/router/decisions/{}", one["id"].as_str().unwrap());
    let explained = get(&server, &path).await;
    assert_eq!(explained["decision"], *one);
    assert_eq!(explained["record"]["candidates"][0]["model"], "big");
    assert_eq!(explained["record"]["tries"][0]["end"], "answered");
    assert!(
        !explained.to_string().contains("\"hi\""),
        "what was said is not told"
    );
    for (path, status) in [
        ("/api/router/decisions?strategy=best", 400),
        ("/api/router/decisions?kind=poem", 400),
        ("/api/router/decisions?after=1", 400),
        ("/api/router/decisions?limit=0", 400),
        ("/api/router/decisions/none", 404),
        ("/api/router/decisions/01a2061a-5095-773f-a89f-ade87d315072", 404),
    ] {
        assert_eq!(server.with_key("GET", path, None).await.status, status, "{path}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_verdict_is_what_the_router_learns_from() {
    let (server, _upstream) = asked().await;
    let before = get(&server, "/api/router").await;
    assert_eq!(
        (&before["strategy"], &before["quality"], &before["standings"]),
        (&json!("confidence_based"), &json!(0.8), &json!([]))
    );
    assert_eq!(
        before["backends"],
        json!([{"role": "teacher", "model": "big", "input_usd": 3.0, "output_usd": 15.0, "breaker": "closed",
            "retry_in_seconds": null, "share": null, "calibration": null}])
    );
    let decisions = get(&server, "/api/router/decisions").await;
    let path = |at: usize| {
        format!(
            "/api/router/decisions/{}/verdict",
            decisions["items"][at]["id"].as_str().unwrap()
        )
    };
    let judged = server
        .with_key("PUT", &path(0), Some(&json!({"good": false, "source": "test"})))
        .await;
    assert_eq!(judged.status, 200, "{}", judged.body);
    assert_eq!(
        (
            &judged.json()["decision"]["verdict"],
            &judged.json()["decision"]["verdict_source"]
        ),
        (&json!("bad"), &json!("test"))
    );
    // A person has the last word.
    let again = server
        .with_key("PUT", &path(0), Some(&json!({"good": true})))
        .await;
    assert_eq!(again.json()["decision"]["verdict_source"], "person");
    let after = get(&server, "/api/router").await;
    let standing = &after["standings"][0];
    assert_eq!(
        (
            &standing["model"],
            &standing["bucket"],
            &standing["good"],
            &standing["bad"]
        ),
        (&json!("big"), &json!(null), &json!(1), &json!(0))
    );
    let share = |name: &str| standing[name].as_f64().unwrap();
    assert!(share("low") < share("mean") && share("mean") < share("high"));
    let unknown = "/api/router/decisions/01a2061a-5095-773f-a89f-ade87d315072/verdict";
    for (path, body, status) in [
        (unknown, json!({"good": true}), 404),
        (&path(1), json!({"good": "yes"}), 422),
        (&path(1), json!({"good": true, "source": "me"}), 422),
    ] {
        let refused = server.with_key("PUT", path, Some(&body)).await;
        assert_eq!(refused.status, status, "{path}: {}", refused.body);
    }
    server.end().await;
}

#[tokio::test]
async fn what_calls_came_to_is_added_up_and_replayed() {
    let (server, _upstream) = asked().await;
    let report = get(&server, "/api/router/report?seconds=3600").await;
    assert_eq!(
        (&report["sum"]["calls"], &report["sum"]["named"], &report["whole"]),
        (&json!(3), &json!(1), &json!(true))
    );
    let cost = report["sum"]["cost_usd"].as_f64().unwrap();
    assert!((cost - 0.001_35).abs() < 1e-9, "{cost}");
    let calls: u64 = report["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(|point| point["sum"]["calls"].as_u64().unwrap())
        .sum();
    assert_eq!((calls, &report["models"][0]["answered"]), (3, &json!(3)));
    assert_eq!(report["strategies"]["confidence_based"]["calls"], 2);
    let few = get(&server, "/api/router/report?limit=1").await;
    assert_eq!((&few["sum"]["calls"], &few["whole"]), (&json!(1), &json!(false)));

    let replay = get(
        &server,
        "/api/router/replay?strategies=teacher_only,cost_optimized:0.9",
    )
    .await;
    assert_eq!(
        (&replay["done"]["calls"], &replay["named"]),
        (&json!(2), &json!(1))
    );
    let hf = get(&server, "/api/router/replay?strategies=hf_inference").await;
    assert_eq!(
        (&hf["replays"][0]["nobody"], &replay["replays"][0]["nobody"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(
        (
            &replay["replays"][0]["strategy"],
            &replay["replays"][1]["quality"]
        ),
        (&json!("teacher_only"), &json!(0.9))
    );
    assert_eq!(
        replay["replays"][0]["seen"],
        json!({"verdicts": 0, "quality": null, "low": null, "high": null, "is_thin": true}),
        "nobody gave a verdict"
    );
    assert_eq!(
        replay["replays"][0]["would"]["cost_usd"],
        replay["done"]["cost_usd"]
    );
    assert_eq!(
        get(&server, "/api/router/replay").await["replays"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
    for path in [
        "/api/router/replay?strategies=progressive",
        "/api/router/replay?strategies=",
        "/api/router/replay?limit=10001",
        "/api/router/report?seconds=59",
        "/api/router/report?step_seconds=1",
    ] {
        assert_eq!(server.with_key("GET", path, None).await.status, 400, "{path}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_server_without_models_says_so_and_fails_nowhere() {
    let server = Running::start().await;
    let router = get(&server, "/api/router").await;
    assert_eq!(
        (&router["backends"], &router["standings"]),
        (&json!([]), &json!([]))
    );
    assert_eq!(
        get(&server, "/api/router/decisions").await,
        json!({"items": [], "next": null})
    );
    let report = get(&server, "/api/router/report").await;
    assert_eq!(
        (&report["sum"]["calls"], &report["points"]),
        (&json!(0), &json!([]))
    );
    assert_eq!(get(&server, "/api/router/replay").await["done"]["calls"], 0);
    server.end().await;
}
