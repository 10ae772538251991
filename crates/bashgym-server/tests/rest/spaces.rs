//! Spaces over REST, against the embedded Hub.

use std::time::Duration;

use bashgym_core::events::{EventLog, Topics};
use bashgym_core::ledger::{Cap, CapScope, EntryFilter, EntryState, Ledger, MicroUsd, Service, Window};
use bashgym_server::HubConnection;
use hf_core::{HfClient, JobId, Namespace, RetryPolicy, Token};
use hf_jobs::{HfJobRunner, JobInfo};
use hf_local::{AccountConfig, HubClock, LocalHub, LocalHubConfig, Plan};
use serde_json::{Value, json};

use crate::support::Running;

const TOKEN: &str = "hf_adaadaadaadaadaadaadaada";
const SECRET: &str = "hunter2hunter2hunter2";
/// Anything that takes longer hangs.
const DEADLINE: Duration = Duration::from_mins(1);

/// A server beside an embedded Hub.
pub(crate) struct Place {
    pub(crate) hub: LocalHub,
    clock: HubClock,
    client: HfClient,
    pub(crate) ledger: Ledger,
    pub(crate) server: Running,
    _folder: tempfile::TempDir,
}

pub(crate) async fn place() -> Place {
    place_at(true).await
}

/// The same; what is called on a Hub that is not the program's own is paid for.
pub(crate) async fn place_at(embedded: bool) -> Place {
    let folder = tempfile::tempdir().unwrap();
    let clock = HubClock::real();
    let config = LocalHubConfig::new(folder.path().join("hub"))
        .clock(clock.clone())
        .accounts(vec![AccountConfig::new("ada", TOKEN).plan(Plan::Pro)]);
    let hub = LocalHub::start(config).await.unwrap();
    let client = HfClient::builder()
        .endpoint(hub.endpoint().parse().unwrap())
        .token(Token::parse(TOKEN).unwrap())
        .retry(RetryPolicy {
            base: Duration::from_millis(20),
            seed: Some(1),
            ..RetryPolicy::default()
        })
        .build()
        .unwrap();
    for model in ["student", "better"] {
        let body = json!({"type": "model", "name": model, "organization": "ada"});
        let _: Value = client.post_json("/api/repos/create", &body).await.unwrap();
    }
    let server = Running::at_hub(HubConnection {
        client: client.clone(),
        namespace: Namespace::parse("ada").unwrap(),
        embedded,
        job_token: None,
    })
    .await;
    Place {
        hub,
        clock,
        client,
        ledger: server.ledger.clone(),
        server,
        _folder: folder,
    }
}

impl Place {
    /// The jobs of the account, as it sees them without the server.
    pub(crate) fn jobs(&self) -> HfJobRunner {
        HfJobRunner::new(&self.client, Namespace::parse("ada").unwrap())
    }

    /// Starts a job with these labels that the server did not ask for.
    pub(crate) async fn job_behind_our_back(&self, labels: &Value) -> JobId {
        let body = json!({"command": ["true"], "arguments": [], "environment": {}, "flavor": "cpu-basic",
            "dockerImage": "python:3.12", "labels": labels});
        let job: JobInfo = self.client.post_json("/api/jobs/ada", &body).await.unwrap();
        job.id
    }

    /// The same with another server in place of the first one, on the same ledger.
    pub(crate) async fn with_another_server(self) -> Self {
        let server = self.server.again().await;
        Self { server, ..self }
    }

    /// Waits until the task of an answer is over.
    pub(crate) async fn over(&self, begun: &Value) -> Value {
        let path = format!("/api/tasks/{}", begun["id"].as_str().unwrap());
        let waiting = async {
            loop {
                let task = self.server.with_key("GET", &path, None).await.json();
                if !["queued", "running"].contains(&task["state"].as_str().unwrap()) {
                    return task;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.unwrap()
    }

    /// Asks for long work, and waits until it is done.
    pub(crate) async fn done(&self, path: &str, body: Value) -> Value {
        let begun = self.server.with_key("POST", path, Some(&body)).await;
        assert_eq!(begun.status, 202, "{}", begun.body);
        let task = self.over(&begun.json()).await;
        assert_eq!(task["state"], "done", "{task}");
        task["result"].clone()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.server.with_key("GET", path, None).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answer.json()
    }

    /// Waits for an event of a Space.
    async fn hears(&self, kind: &str) -> Value {
        let topics = Topics::parse(["space:ada/demo"]).unwrap();
        let mut watch = self.server.store.watch().await.unwrap();
        let mut after = 0;
        let waiting = async {
            loop {
                for event in self.server.store.list(after, &topics, 500).await.unwrap() {
                    after = event.seq;
                    if event.kind == kind {
                        return event.data;
                    }
                }
                watch.wait_after(after).await.unwrap();
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.unwrap()
    }

    pub(crate) async fn end(self) {
        self.server.end().await;
        self.hub.shutdown().await;
    }
}

fn demo() -> Value {
    json!({"model": "student", "name": "demo", "hardware": "cpu-basic", "question": "",
        "secrets": {"STYLE_KEY": SECRET}, "variables": {"TITLE": "Demo"}})
}

#[tokio::test]
async fn a_space_is_served_looked_at_and_removed() {
    let place = place().await;
    let made = place.done("/api/hf/spaces", demo()).await;
    assert_eq!(
        (&made["space_id"], &made["model_repo"]),
        (&json!("ada/demo"), &json!("ada/student"))
    );
    let ready = place.hears("hf:space:ready").await;
    assert_eq!(
        (&ready["space_id"], &ready["stage"]),
        (&json!("ada/demo"), &json!("RUNNING"))
    );
    let listed = place.get("/api/hf/spaces").await;
    assert_eq!(listed["items"][0]["space_id"], "ada/demo");
    for name in ["demo", "ada/demo", "ada%2Fdemo"] {
        let shown = place.get(&format!("/api/hf/spaces/{name}")).await;
        assert_eq!(
            (&shown["stage"], &shown["is_serving"], &shown["model_repo"]),
            (&json!("RUNNING"), &json!(true), &json!("ada/student"))
        );
    }
    // Secrets are names; what was asked for is stored without their values.
    let secrets = place.get("/api/hf/spaces/ada/demo/secrets").await;
    assert_eq!(secrets[0]["key"], "STYLE_KEY");
    let tasks = format!("{:?}", place.server.store.list(0, &Topics::all(), 500).await);
    assert!(!tasks.contains(SECRET) && !secrets.to_string().contains(SECRET));
    let build = place.get("/api/hf/spaces/demo/logs?log=build&tail=50").await;
    assert!(!build.as_array().unwrap().is_empty());

    let taken = place
        .server
        .with_key("POST", "/api/hf/spaces", Some(&demo()))
        .await;
    assert_eq!((taken.status, taken.code()), (409, "conflict".to_owned()));
    let unsaid = place.server.with_key("DELETE", "/api/hf/spaces/demo", None).await;
    assert_eq!((unsaid.status, unsaid.code()), (422, "invalid".to_owned()));
    let bearer = format!("Bearer {}", place.server.key.expose());
    let confirmed = [("Authorization", bearer.as_str()), ("X-Confirm", "ada/demo")];
    let gone = place
        .server
        .ask("DELETE", "/api/hf/spaces/demo", &confirmed, None)
        .await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    place.hears("hf:space:deleted").await;
    let missing = place.server.with_key("GET", "/api/hf/spaces/demo", None).await;
    assert_eq!((missing.status, missing.code()), (404, "not_found".to_owned()));
    place.end().await;
}

#[tokio::test]
async fn a_copy_has_the_variables_of_the_original_and_says_which_secrets_it_lacks() {
    let place = place().await;
    place.done("/api/hf/spaces", demo()).await;
    let path = "/api/hf/spaces/ada/demo/duplicate";
    let body = json!({"to": "second", "visibility": "public"});
    let made = place.server.with_key("POST", path, Some(&body)).await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert_eq!(
        (&made.json()["space_id"], &made.json()["missing_secrets"]),
        (&json!("ada/second"), &json!(["STYLE_KEY"]))
    );
    let variables = place.get("/api/hf/spaces/second/variables").await;
    assert_eq!(
        (&variables[0]["key"], &variables[0]["value"]),
        (&json!("TITLE"), &json!("Demo"))
    );
    let copy = place.get("/api/hf/spaces/second").await;
    assert_eq!(
        (&copy["hardware_requested"], &copy["model_repo"]),
        (&json!("cpu-basic"), &json!("ada/student"))
    );
    for (body, status) in [
        (json!({"to": "second"}), 409),
        (json!({"to": "third", "visibility": "hidden"}), 422),
        (json!({"to": "third", "hardware": "t4-small"}), 402),
        (json!({"to": "third", "secrets": {"no name": "x"}}), 422),
    ] {
        let refused = place.server.with_key("POST", path, Some(&body)).await;
        assert_eq!(refused.status, status, "{body}: {}", refused.body);
    }
    let missing = place
        .server
        .with_key(
            "POST",
            "/api/hf/spaces/none/duplicate",
            Some(&json!({"to": "third"})),
        )
        .await;
    assert_eq!(missing.status, 404, "{}", missing.body);
    place.end().await;
}

#[tokio::test]
async fn a_space_is_given_another_model_and_goes_back() {
    let place = place().await;
    place.done("/api/hf/spaces", demo()).await;
    let update = json!({"model": "better", "question": ""});
    let updated = place.done("/api/hf/spaces/ada/demo/update", update).await;
    assert_eq!(updated["model_repo"], "ada/better");
    let back = place
        .done("/api/hf/spaces/demo/rollback", json!({"question": ""}))
        .await;
    assert_eq!(back["model_repo"], "ada/student");
    let shown = place.get("/api/hf/spaces/demo").await;
    assert_eq!(shown["previous"]["repo_id"], "ada/better");
    place.end().await;
}

#[tokio::test]
async fn limits_are_not_fitted_to_too_few_requests() {
    let place = place().await;
    place.done("/api/hf/spaces", demo()).await;
    let begun = place
        .server
        .with_key("POST", "/api/hf/spaces/demo/fit", Some(&json!({})))
        .await;
    let task = place.over(&begun.json()).await;
    assert_eq!(task["error"]["code"], "invalid", "{task}");
    assert!(
        task["error"]["message"]
            .as_str()
            .unwrap()
            .contains("5 are needed")
    );
    place.end().await;
}

#[tokio::test]
async fn what_a_space_is_set_to_is_changed_and_told() {
    let place = place().await;
    place.done("/api/hf/spaces", demo()).await;
    let put = async |path: &str, body: Value| {
        let answer = place.server.with_key("PUT", path, Some(&body)).await;
        (answer.status, answer.body)
    };
    let set = put(
        "/api/hf/spaces/demo/variables",
        json!({"key": "TITLE", "value": "New"}),
    )
    .await;
    assert!(set.0 == 200 && set.1.contains("New"), "{set:?}");
    let secret = put(
        "/api/hf/spaces/demo/secrets",
        json!({"key": "OTHER", "value": SECRET}),
    )
    .await;
    assert_eq!(secret, (204, String::new()));
    let removed = place
        .server
        .with_key("DELETE", "/api/hf/spaces/ada/demo/secrets/OTHER", None)
        .await;
    assert_eq!(removed.status, 204, "{}", removed.body);
    let wrong = put(
        "/api/hf/spaces/demo/secrets",
        json!({"key": "1-A", "value": SECRET}),
    )
    .await;
    assert!(wrong.0 == 422 && !wrong.1.contains(SECRET), "{wrong:?}");
    let paused = place
        .server
        .with_key("POST", "/api/hf/spaces/demo/pause", None)
        .await;
    assert_eq!(paused.json()["stage"], "PAUSED", "{}", paused.body);
    place.hears("hf:space:paused").await;
    let asked = json!({"prompt": "hi"});
    let refused = place
        .server
        .with_key("POST", "/api/hf/spaces/demo/try", Some(&asked))
        .await;
    assert_eq!((refused.status, refused.code()), (409, "conflict".to_owned()));
    let again = place
        .server
        .with_key("POST", "/api/hf/spaces/demo/restart", Some(&json!({})))
        .await;
    assert_eq!(again.status, 200, "{}", again.body);
    let dev = place
        .server
        .with_key(
            "POST",
            "/api/hf/spaces/demo/dev-mode",
            Some(&json!({"enabled": true})),
        )
        .await;
    assert_eq!(dev.status, 200, "{}", dev.body);
    assert!(dev.json()["command"].as_str().unwrap().starts_with("ssh"));
    place.end().await;
}

#[tokio::test]
async fn hardware_that_is_billed_wants_a_yes() {
    let place = place().await;
    let mut request = demo();
    request["hardware"] = json!("t4-small");
    let refused = place
        .server
        .with_key("POST", "/api/hf/spaces", Some(&request))
        .await;
    assert_eq!(
        (refused.status, refused.code()),
        (402, "quota_exceeded".to_owned())
    );
    let missing = place.server.with_key("GET", "/api/hf/spaces/demo", None).await;
    assert_eq!(missing.status, 404, "nothing was made");
    place.end().await;
}

/// What is set aside for Spaces and what counts as spent, in cents.
async fn cents(place: &Place) -> (u64, u64) {
    let filter = EntryFilter {
        service: Some(Service::Spaces),
        ..EntryFilter::default()
    };
    let entries = place.ledger.entries(&filter, None, 100).await.unwrap();
    let sum = |kept: fn(&EntryState) -> bool| -> u64 {
        let of = entries.iter().filter(|entry| kept(&entry.state));
        of.map(|entry| entry.worst.unwrap().get() / 10_000).sum()
    };
    (
        sum(|state| matches!(state, EntryState::Reserved)),
        sum(|state| matches!(state, EntryState::Settled { .. })),
    )
}

#[tokio::test]
async fn what_billed_hardware_costs_is_set_aside_and_stands() {
    let place = place().await;
    let send = async |method: &str, below: &str, body: Value| {
        let path = format!("/api/hf/spaces/{below}");
        let answer = place.server.with_key(method, &path, Some(&body)).await;
        (answer.status, answer.json())
    };
    let mut request = demo();
    request["hardware"] = json!("t4-small");
    request["accept_cost"] = json!(true);
    request["sleep_seconds"] = json!(1800);
    place.done("/api/hf/spaces", request).await;
    assert_eq!(cents(&place).await, (20, 0), "half an hour at 0.40 USD an hour");

    // A longer sleep raises it; a shorter one does not give back what may be spent.
    for (seconds, held) in [(3600, 40), (600, 40)] {
        let (status, _) = send("PUT", "demo/sleep-time", json!({"seconds": seconds})).await;
        assert_eq!((status, cents(&place).await), (200, (held, 0)));
    }
    // The same hardware again costs nothing more; other hardware begins anew.
    let hardware = |name: &str| json!({"hardware": name, "accept_cost": true, "sleep_seconds": 3600});
    let (status, _) = send("PUT", "demo/hardware", hardware("t4-small")).await;
    assert_eq!((status, cents(&place).await), (200, (40, 0)));
    let (status, _) = send("PUT", "demo/hardware", hardware("t4-medium")).await;
    assert_eq!((status, cents(&place).await), (200, (60, 40)));

    let (status, _) = send("POST", "demo/pause", json!({})).await;
    assert_eq!((status, cents(&place).await), (200, (0, 100)));
    let (status, _) = send("POST", "demo/restart", json!({})).await;
    assert_eq!((status, cents(&place).await), (200, (60, 100)));

    // A cap that is reached refuses before the Hub is asked.
    let cap = Cap {
        scope: CapScope::All,
        window: Window::Total,
        amount: MicroUsd::new(1_700_000).unwrap(),
    };
    place.ledger.set_cap(cap).await.unwrap();
    let copy = json!({"to": "copy", "accept_cost": true});
    let (status, problem) = send("POST", "demo/duplicate", copy).await;
    assert_eq!((status, &problem["code"]), (402, &json!("quota_exceeded")));
    let (status, problem) = send("PUT", "demo/sleep-time", json!({"seconds": 0})).await;
    assert_eq!((status, &problem["code"]), (402, &json!("quota_exceeded")));
    assert_eq!(place.get("/api/hf/spaces/demo").await["sleep_seconds"], 3600);
    let (status, _) = send("GET", "copy", Value::Null).await;
    assert_eq!(status, 404, "nothing was made");

    let bearer = format!("Bearer {}", place.server.key.expose());
    let confirmed = [("Authorization", bearer.as_str()), ("X-Confirm", "ada/demo")];
    let gone = place
        .server
        .ask("DELETE", "/api/hf/spaces/demo", &confirmed, None)
        .await;
    assert_eq!((gone.status, cents(&place).await), (204, (0, 160)));
    place.end().await;
}

#[tokio::test]
async fn a_space_that_comes_to_nothing_costs_nothing_and_a_cap_holds_for_tasks_too() {
    let place = place().await;
    let mut request = demo();
    request["hardware"] = json!("t4-small");
    request["accept_cost"] = json!(true);
    request["model"] = json!("nobody");
    let fails = async |request: &Value| {
        let begun = place
            .server
            .with_key("POST", "/api/hf/spaces", Some(request))
            .await;
        place.over(&begun.json()).await["error"]["code"].clone()
    };
    assert_eq!(fails(&request).await, "not_found");
    assert_eq!(cents(&place).await, (0, 0));
    request["model"] = json!("student");
    let cap = Cap {
        scope: CapScope::One(Service::Spaces),
        window: Window::Day,
        amount: MicroUsd::new(300_000).unwrap(),
    };
    place.ledger.set_cap(cap).await.unwrap();
    assert_eq!(fails(&request).await, "quota_exceeded");
    assert_eq!(cents(&place).await, (0, 0));
    let missing = place.server.with_key("GET", "/api/hf/spaces/demo", None).await;
    assert_eq!(missing.status, 404, "nothing was made");
    place.end().await;
}

#[tokio::test]
async fn a_variable_is_no_place_for_a_secret() {
    let place = place().await;
    place.done("/api/hf/spaces", demo()).await;
    let body =
        json!({"key": "OPENAI_API_KEY", "value": format!("sk-proj-{}", "a1B2c3D4e5F6g7H8i9J0".repeat(3))});
    let refused = place
        .server
        .with_key("PUT", "/api/hf/spaces/demo/variables", Some(&body))
        .await;
    assert_eq!((refused.status, refused.code()), (403, "forbidden".to_owned()));
    assert!(
        !refused.body.contains("a1B2c3D4"),
        "the answer does not repeat it"
    );
    let mut request = demo();
    request["name"] = json!("other");
    request["variables"] = json!({"HUB": TOKEN});
    let refused = place
        .server
        .with_key("POST", "/api/hf/spaces", Some(&request))
        .await;
    assert_eq!((refused.status, refused.code()), (403, "forbidden".to_owned()));
    let kept = place.get("/api/hf/spaces/demo/variables").await;
    assert_eq!(kept.as_array().map(Vec::len), Some(1));
    place.end().await;
}

#[tokio::test]
async fn a_deployment_that_fails_says_why_and_leaves_nothing() {
    let place = place().await;
    let mut request = demo();
    request["model"] = json!("nobody");
    let begun = place
        .server
        .with_key("POST", "/api/hf/spaces", Some(&request))
        .await;
    let task = place.over(&begun.json()).await;
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("not_found"))
    );
    let missing = place.server.with_key("GET", "/api/hf/spaces/demo", None).await;
    assert_eq!(missing.status, 404);
    place.end().await;
}

/// Asks for a Space on billed hardware, and waits until its app is built. The Hub's time stands still: it is never done.
async fn building(place: &Place) -> Value {
    place.clock.set_stepped(Some(place.clock.now()));
    let mut request = demo();
    request["hardware"] = json!("t4-small");
    request["accept_cost"] = json!(true);
    request["sleep_seconds"] = json!(1800);
    let begun = place
        .server
        .with_key("POST", "/api/hf/spaces", Some(&request))
        .await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    let task = begun.json();
    let path = format!("/api/tasks/{}", task["id"].as_str().unwrap());
    let waiting = async {
        while place.get(&path).await["progress"]["message"] != "BUILDING" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, waiting).await.unwrap();
    task
}

#[tokio::test]
async fn a_deployment_that_is_canceled_leaves_nothing() {
    let place = place().await;
    let begun = building(&place).await;
    assert_eq!(cents(&place).await, (20, 0));
    let path = format!("/api/tasks/{}", begun["id"].as_str().unwrap());
    assert_eq!(place.server.with_key("DELETE", &path, None).await.status, 202);
    let task = place.over(&begun).await;
    assert_eq!(task["state"], "canceled", "{task}");
    let missing = place.server.with_key("GET", "/api/hf/spaces/demo", None).await;
    assert_eq!(missing.status, 404, "{}", missing.body);
    // What it cost is the time it was there, not the half hour that was set aside.
    let entries = place.ledger.entries(&EntryFilter::default(), None, 100).await;
    let [entry] = entries.unwrap().try_into().unwrap();
    let EntryState::Settled { amount, .. } = entry.state else {
        panic!("{entry:?}")
    };
    let most = MicroUsd::new(10_000).unwrap();
    assert!(amount.is_some_and(|amount| amount < most), "{amount:?}");
    // The name is free again.
    place.clock.set_stepped(None);
    place.done("/api/hf/spaces", demo()).await;
    place.end().await;
}

#[tokio::test]
async fn a_deployment_goes_on_under_the_next_server() {
    let place = place().await;
    let begun = building(&place).await;
    let place = place.with_another_server().await;
    place.clock.set_stepped(None);
    let task = place.over(&begun).await;
    assert_eq!(task["state"], "done", "{task}");
    assert_eq!(task["attempts"], 2);
    let shown = place.get("/api/hf/spaces/demo").await;
    assert_eq!(
        (&shown["stage"], &shown["model_repo"]),
        (&json!("RUNNING"), &json!("ada/student"))
    );
    // Its secrets went with the one call that made it, and its money is held once.
    let secrets = place.get("/api/hf/spaces/demo/secrets").await;
    assert_eq!(secrets[0]["key"], "STYLE_KEY");
    assert_eq!(cents(&place).await, (20, 0));
    place.end().await;
}
