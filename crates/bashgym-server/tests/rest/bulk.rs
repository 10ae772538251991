//! Work over many rows over REST, with scripted providers.

use bashgym_core::ledger::{Cap, CapScope, MicroUsd, Service, Window};
use hf_local::ScriptedProvider;
use serde_json::{Value, json};

use crate::spaces::{Place, place_at};

const PROMPTS: u64 = 20;

/// Twenty prompts, and a provider that answers for a dollar a million tokens.
async fn asked(scripted: ScriptedProvider) -> Place {
    let place = place_at(false).await;
    let provider = scripted.claims(1.0, 1.0, 100.0);
    place
        .hub
        .scripted_providers()
        .set("scripted-cheap", provider)
        .unwrap();
    let lines: Vec<String> = (0..PROMPTS).map(|n| format!("Name file number {n}")).collect();
    std::fs::write(file(&place), lines.join("\n")).unwrap();
    place
}

fn file(place: &Place) -> std::path::PathBuf {
    place.server.folder.path().join("sessions/prompts.txt")
}

fn generate(place: &Place) -> Value {
    json!({"work": {"command": "generate", "prompts": file(place), "max_tokens": 50, "rows": "sft"}, "model": "org/m",
        "out": "generated", "concurrency": 2})
}

/// How many calls the provider has had.
fn calls(place: &Place) -> u64 {
    place.hub.scripted_providers().list()[0].2
}

/// One that takes a while.
fn slow() -> ScriptedProvider {
    let mut provider = ScriptedProvider::new("org/m", "a plain answer");
    provider.first_token_latency_ms = 50;
    provider
}

async fn cap(place: &Place, micro_usd: u64) {
    let cap = Cap {
        scope: CapScope::One(Service::Inference),
        window: Window::Day,
        amount: MicroUsd::new(micro_usd).unwrap(),
    };
    place.ledger.set_cap(cap).await.unwrap();
}

async fn begin(place: &Place, body: &Value) -> Value {
    let begun = place.server.with_key("POST", "/api/bulk", Some(body)).await;
    assert_eq!(begun.status, 202, "{}", begun.body);
    begun.json()
}

#[tokio::test]
async fn prompts_become_a_dataset_after_its_price_and_nothing_is_paid_twice() {
    let place = asked(ScriptedProvider::new("org/m", "a plain answer")).await;
    let mut dry = generate(&place);
    dry["dry_run"] = json!(true);
    let told = place.done("/api/bulk", dry).await;
    assert_eq!(told["estimate"]["to_ask"], PROMPTS);
    assert!(told["estimate"]["price_worst_usd"].as_f64() > Some(0.0));
    assert_eq!(calls(&place), 0, "nobody was asked");

    let told = place.done("/api/bulk", generate(&place)).await;
    assert_eq!(
        (&told["complete"], &told["name"]),
        (&json!(true), &json!("generated"))
    );
    assert_eq!(told["calls"]["answered"], PROMPTS);
    assert!(told["cost_usd"].as_f64() > Some(0.0));
    let sets = place.get("/api/datasets").await;
    let rows = |key: &str| sets["items"][0][key].as_u64().unwrap();
    assert_eq!(rows("rows_train") + rows("rows_val"), PROMPTS);
    let again = place.done("/api/bulk", generate(&place)).await;
    assert_eq!(again["calls"]["from_journal"], PROMPTS);
    assert_eq!(calls(&place), PROMPTS);

    // It goes to the Hub and comes back under another name.
    let sent = place
        .done(
            "/api/hf/datasets",
            json!({"name": "generated", "repo": "generated"}),
        )
        .await;
    let path = "/api/hf/datasets/generated/pull";
    let pulled = place.done(path, json!({"name": "back"})).await;
    assert_eq!(
        (&pulled["revision"], &pulled["is_of_sessions"]),
        (&sent["revision"], &json!(true))
    );
    let sets = place.get("/api/datasets").await["items"].clone();
    assert_eq!(sets[0]["name"], "back");
    assert_eq!(sets[0]["rows_train"], sets[1]["rows_train"]);
    let taken = place
        .server
        .with_key("POST", path, Some(&json!({"name": "back"})))
        .await;
    assert_eq!((taken.status, taken.code()), (409, "conflict".to_owned()));
    let nothing = place
        .server
        .with_key("POST", "/api/hf/datasets/nothing/pull", Some(&json!({})))
        .await;
    let task = place.over(&nothing.json()).await;
    assert_eq!(task["error"]["code"], "not_found", "{task}");

    // A judge reads what was made, into another dataset.
    let score =
        json!({"work": {"command": "score", "dataset": "generated"}, "model": "org/m", "out": "judged"});
    let judged = place.done("/api/bulk", score).await;
    assert_eq!(judged["calls"]["answered"], PROMPTS, "{judged}");
    place.end().await;
}

#[tokio::test]
async fn what_is_wrong_is_told_before_anything_is_asked() {
    let place = asked(ScriptedProvider::new("org/m", "words")).await;
    place.done("/api/bulk", generate(&place)).await;
    let other = |change: fn(&mut Value)| {
        let mut body = generate(&place);
        change(&mut body);
        body
    };
    let wrong = [
        (
            other(|body| body["work"]["prompts"] = json!("/etc/passwd")),
            403,
            "path_not_allowed",
        ),
        (other(|body| body["work"]["samples"] = json!(0)), 422, "invalid"),
        (other(|body| body["concurrency"] = json!(0)), 422, "invalid"),
        (other(|body| body["out"] = json!("../up")), 422, "invalid"),
        (
            other(|body| body["work"] = json!({"command": "score", "dataset": "none"})),
            404,
            "not_found",
        ),
        (
            other(|body| body["work"] = json!({"command": "score", "dataset": "generated"})),
            409,
            "conflict",
        ),
    ];
    let before = calls(&place);
    for (body, status, code) in wrong {
        let refused = place.server.with_key("POST", "/api/bulk", Some(&body)).await;
        assert_eq!(
            (refused.status, refused.code().as_str()),
            (status, code),
            "{body}"
        );
    }
    assert_eq!(calls(&place), before);
    place.end().await;
}

#[tokio::test]
async fn at_a_cap_it_ends_with_what_is_done_and_goes_on_when_there_is_room() {
    let place = asked(ScriptedProvider::new("org/m", "a plain answer")).await;
    let mut request = generate(&place);
    request["concurrency"] = json!(1);
    request["dry_run"] = json!(true);
    let told = place.done("/api/bulk", request.clone()).await;
    let worst = told["estimate"]["price_worst_usd"].to_string();
    let worst = worst.parse::<MicroUsd>().unwrap().get();
    // Room for one call at its worst beside what a few really cost.
    cap(&place, worst / PROMPTS + 100).await;
    request["dry_run"] = json!(false);
    let task = place.over(&begin(&place, &request).await).await;
    assert_eq!(
        (&task["state"], &task["error"]["code"]),
        (&json!("failed"), &json!("quota_exceeded"))
    );
    let paid = calls(&place);
    assert!((1..PROMPTS).contains(&paid), "{paid}");
    let sets = place.get("/api/datasets").await;
    let rows = |key: &str| sets["items"][0][key].as_u64().unwrap();
    assert_eq!(
        rows("rows_train") + rows("rows_val"),
        paid,
        "what was answered is there"
    );
    cap(&place, 1_000_000).await;
    let told = place.done("/api/bulk", generate(&place)).await;
    assert_eq!(
        (&told["complete"], &told["calls"]["from_journal"]),
        (&json!(true), &json!(paid))
    );
    assert_eq!(calls(&place), PROMPTS);
    place.end().await;
}

#[tokio::test]
async fn a_server_that_goes_on_asks_only_what_is_not_known() {
    let place = asked(slow()).await;
    let begun = begin(&place, &generate(&place)).await;
    while calls(&place) < 5 {
        tokio::task::yield_now().await;
    }
    let place = place.with_another_server().await;
    let task = place.over(&begun).await;
    assert_eq!(task["state"], "done", "{task}");
    assert_eq!(task["attempts"], 2);
    let count = |key: &str| task["result"]["calls"][key].as_u64().unwrap();
    assert!(count("from_journal") >= 3, "{task}");
    assert_eq!(
        count("from_journal") + count("answered") + count("unclear"),
        PROMPTS
    );
    assert!(calls(&place) <= PROMPTS, "none was paid twice");
    place.end().await;
}

#[tokio::test]
async fn a_canceled_one_waits_for_the_calls_under_way_and_keeps_their_answers() {
    let place = asked(slow()).await;
    let begun = begin(&place, &generate(&place)).await;
    while calls(&place) < 3 {
        tokio::task::yield_now().await;
    }
    let path = format!("/api/tasks/{}", begun["id"].as_str().unwrap());
    let asked = place.server.with_key("DELETE", &path, None).await;
    assert_eq!(asked.status, 202);
    let task = place.over(&begun).await;
    assert_eq!(task["state"], "canceled", "{task}");
    let paid = calls(&place);
    assert!(paid < PROMPTS, "{paid}");
    let told = place.done("/api/bulk", generate(&place)).await;
    assert_eq!(
        (&told["calls"]["from_journal"], &told["calls"]["unclear"]),
        (&json!(paid), &json!(0)),
        "{told}"
    );
    place.end().await;
}
