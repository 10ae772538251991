//! Spaces: runtime, hardware, settings, logs, and the apps of static ones.

use std::time::Duration;

use hf_local::{AccountConfig, HubClock, LocalHub, LocalHubConfig, Plan};
use reqwest::{Client, Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Caller, TestHub, accounts, file, header};

const README: &str = "---\ntitle: Demo\nsdk: gradio\n---\n";

/// A hub whose time moves only when told.
async fn stepped() -> TestHub {
    stepped_with(accounts()).await
}

async fn stepped_with(accounts: Vec<AccountConfig>) -> TestHub {
    let dir = tempfile::tempdir().unwrap();
    let clock = HubClock::stepped("2026-10-09T08:00:00Z".parse().unwrap());
    let hub = LocalHub::start(LocalHubConfig::new(dir.path()).accounts(accounts).clock(clock))
        .await
        .unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    TestHub { hub, dir, client }
}

fn body(name: &str, sdk: &str, more: &Value) -> Value {
    let mut body = json!({"type": "space", "name": name, "sdk": sdk,
        "files": [{"path": "app.py", "content": "x = 1\n", "encoding": "utf-8"}, {"path": "README.md", "content": README}]});
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    body
}

async fn make(caller: &Caller<'_>, name: &str, more: Value) -> Response {
    caller
        .post("/api/repos/create", &body(name, "gradio", &more))
        .await
}

async fn delete(caller: &Caller<'_>, path: &str, body: Value) -> StatusCode {
    let request = caller.request(Method::DELETE, path).json(&body);
    request.send().await.unwrap().status()
}

async fn stage(caller: &Caller<'_>) -> String {
    let runtime = caller.json("/api/spaces/ada/demo/runtime").await;
    runtime["stage"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn stages_follow_the_clock_and_say_that_they_are_simulated() {
    let hub = stepped().await;
    let ada = hub.ada();
    let made = make(&ada, "demo", json!({"hardware": "zerogpu"})).await;
    assert_eq!(made.status(), StatusCode::OK);
    let runtime = ada.json("/api/spaces/ada/demo/runtime").await;
    assert_eq!(runtime["stage"], "BUILDING");
    assert_eq!(
        runtime["hardware"],
        json!({"current": null, "requested": "zero-a10g"})
    );
    assert!(
        runtime["simulated"]
            .as_str()
            .unwrap()
            .contains("does not run the code")
    );

    let step = |ms| hub.hub.clock().advance(Duration::from_millis(ms));
    step(600);
    assert_eq!(stage(&ada).await, "APP_STARTING");
    step(400);
    let info = ada.json("/api/spaces/ada/demo").await;
    assert_eq!(info["runtime"]["stage"], "RUNNING");
    assert_eq!(info["runtime"]["hardware"]["current"], "zero-a10g");
    assert_eq!(info["runtime"]["sha"], info["sha"]);

    step(5_000);
    ada.commit("spaces/ada/demo", "more", &[file("app.py", "x = 2\n")])
        .await;
    assert_eq!(stage(&ada).await, "RUNNING_BUILDING");
    step(600);
    assert_eq!(stage(&ada).await, "RUNNING_APP_STARTING");
    step(400);
    for (call, expected) in [("pause", "PAUSED"), ("restart?factory=true", "RUNNING_BUILDING")] {
        let response = ada
            .post(&format!("/api/spaces/ada/demo/{call}"), &json!({}))
            .await;
        let runtime: Value = response.json().await.unwrap();
        assert_eq!(runtime["stage"], expected, "{call}");
    }
    let app = ada.get(&format!("{}/", info["host"].as_str().unwrap())).await;
    assert_eq!(app.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(app.text().await.unwrap().contains("does not run the code"));
}

#[tokio::test]
async fn what_can_not_run_says_why() {
    let hub = stepped().await;
    let ada = hub.ada();
    make(&ada, "demo", json!({})).await;
    for (change, expected, told) in [
        (
            file("README.md", "---\nsdk: docker\n---\n"),
            "CONFIG_ERROR",
            "sdk: docker",
        ),
        (
            file("README.md", "---\nsdk: gradio\napp_file: other.py\n---\n"),
            "NO_APP_FILE",
            "other.py",
        ),
        (
            file("README.md", "---\nsdk: gradio\napp_file: ../../x\n---\n"),
            "NO_APP_FILE",
            "../../x",
        ),
    ] {
        ada.commit("spaces/ada/demo", "break it", &[change]).await;
        hub.hub.clock().advance(Duration::from_secs(5));
        let runtime = ada.json("/api/spaces/ada/demo/runtime").await;
        assert_eq!(runtime["stage"], expected);
        assert!(
            runtime["errorMessage"].as_str().unwrap().contains(told),
            "{runtime}"
        );
        let log = ada
            .get("/api/spaces/ada/demo/logs/build")
            .await
            .text()
            .await
            .unwrap();
        assert!(log.contains("ERROR: ") && log.contains("simulated"), "{log}");
    }
}

#[tokio::test]
async fn plans_limit_what_is_hosted_and_a_refusal_makes_nothing() {
    let poor = AccountConfig::new("cy", "hf_cy").plan(Plan::Pro).credit_usd(0.0);
    let all = accounts().into_iter().chain([poor]).collect();
    let hub = stepped_with(all).await;
    let bob = hub.caller(Some("hf_bob"));
    assert_eq!(
        make(&bob, "cpu", json!({})).await.status(),
        StatusCode::PAYMENT_REQUIRED
    );
    for name in ["one", "two"] {
        assert_eq!(
            make(&bob, name, json!({"hardware": "zero-a10g"})).await.status(),
            StatusCode::OK
        );
    }
    let third = make(&bob, "three", json!({"hardware": "zero-a10g"})).await;
    assert_eq!(third.status(), StatusCode::PAYMENT_REQUIRED);
    assert_eq!(
        bob.get("/api/spaces/bob/three").await.status(),
        StatusCode::NOT_FOUND
    );
    let again = make(&bob, "one", json!({"hardware": "zero-a10g"})).await;
    assert_eq!(
        again.status(),
        StatusCode::CONFLICT,
        "a name that is taken comes before a full plan"
    );

    let ada = hub.ada();
    assert_eq!(make(&ada, "demo", json!({})).await.status(), StatusCode::OK);
    let wanted = |flavor: &str| json!({"flavor": flavor, "sleepTimeSeconds": 3600});
    let path = "/api/spaces/ada/demo/hardware";
    assert_eq!(
        ada.post(path, &wanted("zero-gpu")).await.status(),
        StatusCode::BAD_REQUEST
    );
    let cy = hub.caller(Some("hf_cy"));
    assert_eq!(
        make(&cy, "t4", json!({"hardware": "t4-small"})).await.status(),
        StatusCode::FORBIDDEN
    );
    let runtime: Value = ada.post(path, &wanted("zero-a10g")).await.json().await.unwrap();
    assert_eq!(
        (&runtime["hardware"]["requested"], &runtime["gcTimeout"]),
        (&json!("zero-a10g"), &json!(3600))
    );
    assert_eq!(
        bob.post(path, &wanted("zero-a10g")).await.status(),
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        bob.post("/api/spaces/bob/one/dev-mode", &json!({"enabled": true}))
            .await
            .status(),
        StatusCode::PAYMENT_REQUIRED
    );
    let dev: Value = ada
        .post("/api/spaces/ada/demo/dev-mode", &json!({"enabled": true}))
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(dev["devMode"], true);
}

#[tokio::test]
async fn secrets_keep_their_names_only() {
    let hub = stepped().await;
    let ada = hub.ada();
    let more = json!({"secrets": [{"key": "TOKEN", "value": "s3cret-value"}], "variables": [{"key": "MODEL", "value": "a/b"}]});
    make(&ada, "demo", more).await;
    let path = "/api/spaces/ada/demo/secrets";
    let pair = json!({"key": "OTHER", "value": "s3cret-value", "description": "why"});
    assert_eq!(ada.post(path, &pair).await.status(), StatusCode::OK);
    let secrets = ada.json(path).await;
    assert_eq!(secrets["OTHER"]["description"], "why");
    assert_eq!(
        secrets.as_object().unwrap().keys().collect::<Vec<_>>(),
        ["OTHER", "TOKEN"]
    );
    assert!(!secrets.to_string().contains("s3cret"));
    assert_eq!(delete(&ada, path, json!({"key": "TOKEN"})).await, StatusCode::OK);
    assert_eq!(delete(&ada, path, json!({"key": "NEVER"})).await, StatusCode::OK);
    assert_eq!(ada.json(path).await.as_object().unwrap().len(), 1);
    let variables = "/api/spaces/ada/demo/variables";
    assert_eq!(ada.json(variables).await["MODEL"]["value"], "a/b");
    let bad = json!({"key": "1-A", "value": ""});
    assert_eq!(ada.post(variables, &bad).await.status(), StatusCode::BAD_REQUEST);
    // Nobody else sees the names, and nothing of a value is in the data folder.
    assert_eq!(
        hub.caller(Some("hf_bob")).get(path).await.status(),
        StatusCode::FORBIDDEN
    );
    for entry in std::fs::read_dir(hub.dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(
                !String::from_utf8_lossy(&bytes).contains("s3cret-value"),
                "{}",
                path.display()
            );
        }
    }
}

#[tokio::test]
async fn a_static_space_is_served_to_those_who_may_see_it() {
    let hub = stepped().await;
    let ada = hub.ada();
    for (name, visibility) in [("open", "public"), ("shut", "private"), ("half", "protected")] {
        let body = json!({"type": "space", "name": name, "sdk": "static", "visibility": visibility,
            "files": [{"path": "index.html", "content": "<h1>hi</h1>"}, {"path": "js/a.js", "content": "1"}]});
        assert_eq!(
            ada.post("/api/repos/create", &body).await.status(),
            StatusCode::OK
        );
        let info = ada.json(&format!("/api/spaces/ada/{name}")).await;
        assert_eq!(info["runtime"]["stage"], "RUNNING");
        assert_eq!(info["runtime"].get("simulated"), None);
        let host = info["host"].as_str().unwrap().to_owned();
        assert!(host.starts_with(hub.hub.payload_endpoint()));
        let nobody = hub.caller(None).get(&format!("{host}/")).await;
        if name == "shut" {
            assert_eq!(nobody.status(), StatusCode::UNAUTHORIZED);
        } else {
            assert!(header(&nobody, "content-security-policy").starts_with("sandbox allow-scripts"));
            assert_eq!(nobody.text().await.unwrap(), "<h1>hi</h1>");
        }
        let script = ada.get(&format!("{host}/js/a.js")).await;
        assert_eq!(header(&script, "content-type"), "text/javascript; charset=utf-8");
        assert_eq!(
            ada.get(&format!("{host}/none.js")).await.status(),
            StatusCode::NOT_FOUND
        );
        for climb in [
            "..%2f..%2findex.sqlite",
            "%2e%2e/%2e%2e/index.sqlite",
            "js/%2e%2e%2f%2e%2e%2fx",
        ] {
            let status = ada.get(&format!("{host}/{climb}")).await.status();
            assert!(!status.is_success(), "{climb}: {status}");
        }
    }
    assert_eq!(
        ada.post("/api/spaces/ada/open/pause", &json!({})).await.status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn lists_show_the_runtime_and_hardware_has_prices() {
    let hub = stepped().await;
    let ada = hub.ada();
    make(&ada, "demo", json!({"hardware": "zero-a10g"})).await;
    let list = ada.json("/api/spaces?author=ada&expand=runtime&expand=sdk").await;
    assert_eq!(list[0]["runtime"]["hardware"]["requested"], "zero-a10g");
    assert_eq!(list[0].get("host"), None, "only what was asked for");
    let hardware = hub.caller(None).json("/api/spaces/hardware").await;
    let find = |name: &str| {
        hardware
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(find("cpu-basic")["unitCostMicroUSD"], 0);
    assert_eq!(find("t4-small")["unitCostMicroUSD"], 6667);
    assert_eq!(find("zero-a10g").get("ephemeralStorage"), None);
}
