//! What the API promises a script: problems, keys, validators, pages, paths.

use std::os::unix::fs::symlink;

use bashgym_core::run::{RunRecord, RunSpec, Target};
use bashgym_core::store::RunStore;
use bashgym_core::trainer::TrainerConfig;
use jiff::Timestamp;
use serde_json::json;

use crate::support::Running;

fn run(model: &str) -> RunRecord {
    let spec = RunSpec {
        target: Target {
            hub: Target::EMBEDDED.to_owned(),
            namespace: "me".to_owned(),
        },
        inputs: Vec::new(),
        dataset_repo: "me/data".to_owned(),
        model_repo: model.to_owned(),
        val_fraction: 0.1,
        flavor: "cpu-basic".to_owned(),
        training: TrainerConfig::default(),
        samples: 0,
        source: None,
    };
    RunRecord::new(spec, Timestamp::UNIX_EPOCH)
}

#[tokio::test]
async fn a_problem_says_what_happened_and_its_number() {
    let server = Running::start().await;
    let answer = server.with_key("GET", "/api/runs/none", None).await;
    assert_eq!(answer.status, 404);
    let problem = answer.json();
    assert_eq!(problem["type"], "urn:bashgym:problem:not_found");
    assert_eq!(problem["code"], "not_found");
    assert_eq!(problem["status"], 404);
    assert_eq!(problem["request_id"].as_str(), answer.header("x-request-id"));
    let method = server.with_key("PATCH", "/api/runs", None).await;
    assert_eq!(
        (method.status, method.code()),
        (405, "method_not_allowed".to_owned())
    );
    let path = server.with_key("GET", "/api/none", None).await;
    assert_eq!((path.status, path.code()), (404, "not_found".to_owned()));
    server.end().await;
}

#[tokio::test]
async fn a_secret_in_the_wrong_place_is_not_repeated() {
    let server = Running::start().await;
    let misplaced = json!({ "token": { "value": "hf_misplacedmisplacedmisplaced12" } });
    let answer = server
        .with_key("PUT", "/api/settings/token", Some(&misplaced))
        .await;
    assert_eq!((answer.status, answer.code()), (422, "invalid".to_owned()));
    let number = json!({ "micro_usd": "hf_misplacedmisplacedmisplaced12" });
    let wrong = server
        .with_key("PUT", "/api/budget/jobs/day", Some(&number))
        .await;
    assert_eq!(wrong.status, 422);
    assert!(wrong.json()["detail"].as_str().unwrap().contains("expected u64"));
    for answer in [answer, wrong] {
        assert!(!answer.body.contains("misplaced"), "{}", answer.body);
    }
    let fixed = server
        .with_key("PUT", "/api/settings/token", Some(&json!({ "token": "hf_new" })))
        .await;
    assert_eq!(fixed.status, 409);
    server.end().await;
}

#[tokio::test]
async fn the_same_idempotency_key_does_a_thing_once() {
    let server = Running::start().await;
    let bearer = format!("Bearer {}", server.key.expose());
    std::fs::write(server.folder.path().join("sessions/a.jsonl"), "").unwrap();
    let sessions = server.folder.path().join("sessions");
    let headers = [
        ("Authorization", bearer.as_str()),
        ("Idempotency-Key", "one two/three"),
    ];
    let build = json!({ "name": "set", "paths": [sessions] });
    let first = server.ask("POST", "/api/datasets", &headers, Some(&build)).await;
    assert_eq!(first.status, 202, "{}", first.body);
    let again = server.ask("POST", "/api/datasets", &headers, Some(&build)).await;
    assert_eq!((again.status, &again.body), (202, &first.body));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    let other = json!({ "name": "other", "paths": [sessions] });
    let other = server.ask("POST", "/api/datasets", &headers, Some(&other)).await;
    assert_eq!(
        (other.status, other.code()),
        (422, "idempotency_key_reused".to_owned())
    );
    let tasks = server.with_key("GET", "/api/tasks", None).await.json();
    assert_eq!(tasks["items"].as_array().unwrap().len(), 1);
    // A request that failed may be tried again with its key.
    let bad = [("Authorization", bearer.as_str()), ("Idempotency-Key", "second")];
    let failed = server
        .ask("POST", "/api/datasets", &bad, Some(&json!({ "name": "../x" })))
        .await;
    assert_eq!(failed.status, 422);
    let whole = server.ask("POST", "/api/datasets", &bad, Some(&build)).await;
    assert_eq!(whole.status, 202, "{}", whole.body);
    server.end().await;
}

#[tokio::test]
async fn polling_costs_nothing_while_nothing_changes() {
    let server = Running::start().await;
    let bearer = format!("Bearer {}", server.key.expose());
    let first = server.with_key("GET", "/api/runs", None).await;
    let etag = first.header("etag").unwrap().to_owned();
    let headers = [
        ("Authorization", bearer.as_str()),
        ("If-None-Match", etag.as_str()),
    ];
    let same = server.ask("GET", "/api/runs", &headers, None).await;
    assert_eq!((same.status, same.body.as_str()), (304, ""));
    server.store.create_run(&run("me/model")).await.unwrap();
    let changed = server.ask("GET", "/api/runs", &headers, None).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.header("etag"), Some(etag.as_str()));
    server.end().await;
}

#[tokio::test]
async fn pages_follow_each_other_without_gap_or_repetition() {
    let server = Running::start().await;
    let mut expected: Vec<String> = Vec::new();
    for index in 0..5 {
        let record = run(&format!("me/model-{index}"));
        expected.push(record.id.to_string());
        server.store.create_run(&record).await.unwrap();
    }
    expected.sort();
    expected.reverse();
    let mut found = Vec::new();
    let mut path = "/api/runs?limit=2".to_owned();
    loop {
        let page = server.with_key("GET", &path, None).await.json();
        let ids = page["items"].as_array().unwrap().iter();
        found.extend(ids.map(|run| run["id"].as_str().unwrap().to_owned()));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/runs?limit=2&after={next}"),
            None => break,
        }
    }
    assert_eq!(found, expected);
    for bad in ["limit=0", "limit=501", "limit=x", "limit=-1"] {
        assert_eq!(
            server
                .with_key("GET", &format!("/api/runs?{bad}"), None)
                .await
                .status,
            400,
            "{bad}"
        );
    }
    server.end().await;
}

#[tokio::test]
async fn paths_of_requests_stay_below_allowed_folders() {
    let server = Running::start().await;
    let folder = server.folder.path();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("metadata.json"), "{}").unwrap();
    symlink(outside.path(), folder.join("sessions/out")).unwrap();
    let link = folder.join("sessions/out");
    let up = folder.join("sessions/../..");
    for (path, code) in [
        ("/etc", "path_not_allowed"),
        ("/proc/self/environ", "path_not_allowed"),
        ("relative", "invalid"),
        ("C:\\\\Windows", "invalid"),
        ("a\0b", "invalid"),
        (link.to_str().unwrap(), "path_not_allowed"),
        (up.to_str().unwrap(), "path_not_allowed"),
    ] {
        let build = json!({ "name": "set", "paths": [path] });
        let answer = server.with_key("POST", "/api/datasets", Some(&build)).await;
        assert_eq!(answer.code(), code, "{path:?}");
        let upload = json!({ "path": path, "repo": "set" });
        let answer = server.with_key("POST", "/api/hf/datasets", Some(&upload)).await;
        assert_eq!(answer.code(), code, "{path:?}");
        let run = json!({ "paths": [path] });
        let answer = server.with_key("POST", "/api/runs", Some(&run)).await;
        assert_eq!(answer.code(), code, "{path:?}");
    }
    for name in ["..", "../../x", "a/b", ".hidden", "a\\b"] {
        let upload = json!({ "name": name, "repo": "set" });
        let answer = server.with_key("POST", "/api/hf/datasets", Some(&upload)).await;
        assert_eq!(answer.code(), "invalid", "{name:?}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_cap_is_set_shown_and_removed() {
    let server = Running::start().await;
    let set = server
        .with_key(
            "PUT",
            "/api/budget/jobs/day",
            Some(&json!({ "micro_usd": 1_500_000 })),
        )
        .await;
    assert_eq!(set.status, 204);
    let budget = server.with_key("GET", "/api/budget", None).await.json();
    assert_eq!(budget["caps"][0]["cap_micro_usd"], 1_500_000);
    assert_eq!(budget["caps"][0]["left_micro_usd"], 1_500_000);
    assert_eq!(
        server
            .with_key("DELETE", "/api/budget/jobs/day", None)
            .await
            .status,
        204
    );
    assert_eq!(
        server
            .with_key("DELETE", "/api/budget/jobs/day", None)
            .await
            .status,
        404
    );
    assert_eq!(
        server
            .with_key("DELETE", "/api/budget/jobs/week", None)
            .await
            .status,
        404
    );
    server.end().await;
}

#[tokio::test]
async fn health_tells_what_is_degraded_only_to_those_with_the_key() {
    let server = Running::start().await;
    let anybody = server.ask("GET", "/api/health", &[], None).await;
    assert_eq!(anybody.json(), json!({ "status": "ok" }));
    let owner = server.with_key("GET", "/api/health", None).await.json();
    assert_eq!(owner["status"], "degraded");
    assert_eq!(owner["parts"][1]["name"], "hub");
    assert!(owner["parts"][1]["why"].as_str().unwrap().contains("hf_***"));
    assert_eq!(server.ask("GET", "/api/ready", &[], None).await.status, 204);
    server.end().await;
}

#[tokio::test]
async fn the_counters_name_routes_and_never_what_was_asked() {
    let server = Running::start().await;
    server.with_key("GET", "/api/runs/private-name", None).await;
    server.ask("INVENTED", "/invented", &[], None).await;
    let text = server.with_key("GET", "/metrics", None).await.body;
    assert!(text.contains("route=\"/api/runs/{id}\""), "{text}");
    assert!(
        !text.contains("private-name") && !text.to_lowercase().contains("invented"),
        "{text}"
    );
    server.end().await;
}

#[tokio::test]
async fn what_comes_next_is_told_from_what_is_there() {
    let server = Running::start().await;
    let state_of = async |step: &str| {
        let steps = server.with_key("GET", "/api/next", None).await.json();
        let steps = steps.as_array().unwrap().clone();
        let found = steps.into_iter().find(|one| one["step"] == step).unwrap();
        found["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state_of("sign_in").await, "next");
    assert_eq!(
        (state_of("dataset").await, state_of("run").await),
        ("later".to_owned(), "later".to_owned())
    );
    let folder = server.folder.path().join("datasets/set");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("metadata.json"), "{}").unwrap();
    assert_eq!(state_of("dataset").await, "done");
    server.store.create_run(&run("me/model")).await.unwrap();
    assert_eq!(
        (state_of("run").await, state_of("model").await),
        ("done".to_owned(), "later".to_owned())
    );
    server.end().await;
}

#[tokio::test]
async fn a_run_that_waits_names_what_it_will_make() {
    let server = Running::start().await;
    let record = run("me/model");
    server.store.create_run(&record).await.unwrap();
    let path = format!("/api/runs/{}/lineage", record.id);
    let lineage = server.with_key("GET", &path, None).await.json();
    let links = lineage["links"].as_array().unwrap();
    let shown: Vec<_> = links
        .iter()
        .map(|link| (link["kind"].as_str().unwrap(), link["exists"].as_bool().unwrap()))
        .collect();
    assert_eq!(shown, [("dataset", false), ("model", false)]);
    server.end().await;
}
