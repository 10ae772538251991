//! Jobs changed, started once more, and started by the clock, against the embedded Hub.

use bashgym_core::ledger::EntryFilter;
use serde_json::json;

use crate::spaces::place;

#[tokio::test]
async fn a_schedule_is_made_changed_and_removed_and_holds_money_as_long_as_it_is_there() {
    let place = place().await;
    let request = json!({"when": "@daily", "job": {"command": ["true"], "labels": {"team": "blue"},
        "secrets": {"KEY": "hunter2hunter2hunter2"}}});
    let made = place
        .server
        .with_key("POST", "/api/hf/schedules", Some(&request))
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    assert!(!made.body.contains("hunter2"));
    let path = format!("/api/hf/schedules/{}", made.json()["id"].as_str().unwrap());
    let held = async || {
        let entries = place.ledger.entries(&EntryFilter::default(), None, 10).await;
        let entries = entries.unwrap();
        entries
            .iter()
            .filter(|entry| entry.state.as_str() == "reserved")
            .count()
    };
    assert_eq!(held().await, 1);
    let change = json!({"when": "0 9 * * 1", "suspended": true, "labels": {"team": "red"}});
    let changed = place.server.with_key("PUT", &path, Some(&change)).await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let shown = place.get(&path).await;
    assert_eq!(
        (&shown["when"], &shown["suspended"], &shown["is_ours"]),
        (&json!("0 9 * * 1"), &json!(true), &json!(true))
    );
    let listed = place.get("/api/hf/schedules").await;
    assert_eq!(listed.as_array().unwrap().len(), 1);
    let wrong = place
        .server
        .with_key("PUT", &path, Some(&json!({"when": "sometimes"})))
        .await;
    assert_eq!((wrong.status, wrong.code()), (422, "invalid".to_owned()));
    let gone = place.server.with_key("DELETE", &path, None).await;
    assert_eq!(gone.status, 204, "{}", gone.body);
    assert_eq!(held().await, 0, "what was held is given back");
    assert_eq!(place.server.with_key("GET", &path, None).await.status, 404);
    place.end().await;
}

#[tokio::test]
async fn labels_of_a_job_are_replaced_and_the_one_it_is_found_by_stays() {
    let place = place().await;
    let request = json!({"command": ["true"], "labels": {"team": "blue"}});
    let job = place
        .server
        .with_key("POST", "/api/hf/jobs", Some(&request))
        .await;
    assert_eq!(job.status, 201, "{}", job.body);
    let path = format!("/api/hf/jobs/{}", job.json()["id"].as_str().unwrap());
    let labels = json!({"labels": {"team": "red"}});
    let changed = place
        .server
        .with_key("PUT", &format!("{path}/labels"), Some(&labels))
        .await;
    assert_eq!(changed.status, 200, "{}", changed.body);
    let kept = &changed.json()["hub"]["labels"];
    assert_eq!(kept["team"], "red");
    assert!(kept["bashgym-intent"].is_string(), "{kept}");
    let again = place
        .server
        .with_key("POST", &format!("{path}/duplicate"), Some(&json!({})))
        .await;
    assert_eq!(again.status, 201, "{}", again.body);
    assert_ne!(again.json()["id"], job.json()["id"]);
    let entries = place.ledger.entries(&EntryFilter::default(), None, 10).await;
    assert_eq!(entries.unwrap().len(), 2, "both are in the books");
    place.end().await;
}

#[tokio::test]
async fn what_a_schedule_ran_while_no_server_ran_is_booked_when_one_starts() {
    let place = place().await;
    let request = json!({"when": "@daily", "job": {"command": ["true"]}});
    let made = place
        .server
        .with_key("POST", "/api/hf/schedules", Some(&request))
        .await;
    assert_eq!(made.status, 201, "{}", made.body);
    let tag = made.json()["hub"]["jobSpec"]["labels"]["bashgym-schedule"].clone();
    // As the Hub does by the clock: a job with the schedule's label that nobody here sent.
    let job = place
        .job_behind_our_back(&json!({ "bashgym-schedule": tag }))
        .await;
    let key = format!("scheduled-{job}");
    assert!(place.ledger.entry(&key).await.unwrap().is_none());
    let place = place.with_another_server().await;
    let booked = async {
        while place.ledger.entry(&key).await.unwrap().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), booked)
        .await
        .unwrap();
    place.end().await;
}
