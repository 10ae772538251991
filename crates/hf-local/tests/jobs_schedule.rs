//! Jobs that start by the Hub's clock, and what jobs cost on it.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod jobs_support;

use std::time::Duration;

use hf_local::{ExecutorConfig, HubClock};
use jobs_support::{ADA, ADA_READ, BOB, TestHub, eventually, sh};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_mins(1);

async fn stepped() -> TestHub {
    let noon = "2026-11-22T12:00:30Z".parse().unwrap();
    TestHub::with(ExecutorConfig::default(), HubClock::stepped(noon)).await
}

async fn schedule(hub: &TestHub, script: &str, extra: &Value) -> Value {
    let mut body = json!({"jobSpec": sh(script), "schedule": "*/5 * * * *"});
    body.as_object_mut()
        .unwrap()
        .extend(extra.as_object().unwrap().clone());
    hub.post("/api/scheduled-jobs/ada", &body).await
}

fn path(job: &Value) -> String {
    format!("/api/scheduled-jobs/ada/{}", job["id"].as_str().unwrap())
}

async fn jobs(hub: &TestHub) -> Vec<Value> {
    hub.get("/api/jobs/ada").await.as_array().unwrap().clone()
}

/// Waits until the scheduled job ran `count` times and the last run is over.
async fn runs(hub: &TestHub, count: usize) -> Vec<Value> {
    eventually("a run", || async {
        let jobs = jobs(hub).await;
        let over = jobs.iter().all(|job| job["status"]["stage"] == "COMPLETED");
        assert!(jobs.len() <= count, "{jobs:?}");
        (jobs.len() == count && over).then_some(jobs)
    })
    .await
}

#[tokio::test]
async fn a_schedule_is_kept_on_the_hub_s_clock() {
    let hub = stepped().await;
    let made = schedule(
        &hub,
        "true",
        &json!({"jobSpec": {
        "dockerImage": "alpine", "command": ["sh", "-c", "test \"$KEY\" = hush"], "flavor": "cpu-basic",
        "secrets": {"KEY": "hush"}, "labels": {"suite": "a"}}}),
    )
    .await;
    assert_eq!(
        made["status"],
        json!({"lastJob": null, "nextJobRunAt": "2026-11-22T12:05:00.000Z"})
    );
    assert_eq!(
        (&made["suspend"], &made["concurrency"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(made["jobSpec"]["secrets"], json!(["KEY"]));
    hub.hub.clock().advance(4 * MINUTE);
    assert!(jobs(&hub).await.is_empty());
    hub.hub.clock().advance(MINUTE);
    let ran = runs(&hub, 1).await;
    assert_eq!(
        ran[0]["initiator"],
        json!({"type": "scheduled-job", "id": made["id"]})
    );
    assert_eq!(ran[0]["labels"], json!({"suite": "a"}));
    // A jump over several times makes one run.
    hub.hub.clock().advance(17 * MINUTE);
    let ran = runs(&hub, 2).await;
    let now = eventually("the run to be noted", || async {
        let now = hub.get(&path(&made)).await;
        (now["status"]["lastJob"]["id"] == ran[0]["id"]).then_some(now)
    })
    .await;
    assert_eq!(now["status"]["nextJobRunAt"], "2026-11-22T12:25:00.000Z");
}

#[tokio::test]
async fn a_scheduled_job_is_suspended_changed_and_removed() {
    let hub = stepped().await;
    let made = schedule(&hub, "true", &json!({"suspend": true})).await;
    assert_eq!(made["suspend"], json!(true));
    hub.hub.clock().advance(10 * MINUTE);
    let resumed = hub.post(&format!("{}/resume", path(&made)), &json!({})).await;
    assert_eq!(resumed["status"]["nextJobRunAt"], "2026-11-22T12:15:00.000Z");
    assert!(jobs(&hub).await.is_empty(), "what was missed is not made up for");
    let hourly = hub
        .post(
            &format!("{}/schedule", path(&made)),
            &json!({"schedule": "@hourly"}),
        )
        .await;
    assert_eq!(hourly["status"]["nextJobRunAt"], "2026-11-22T13:00:00.000Z");
    let labels = json!({"labels": {"team": "ml"}});
    let (status, labeled) = hub
        .call(
            Method::PUT,
            &format!("{}/labels", path(&made)),
            ADA,
            Some(&labels),
        )
        .await;
    assert_eq!(
        (status, &labeled["jobSpec"]["labels"]),
        (StatusCode::OK, &labels["labels"])
    );
    let list = |query: &'static str| {
        let hub = &hub;
        async move {
            hub.get(&format!("/api/scheduled-jobs/ada{query}"))
                .await
                .as_array()
                .unwrap()
                .len()
        }
    };
    assert_eq!(
        (
            list("").await,
            list("?label=team=ml").await,
            list("?label=team=web").await
        ),
        (1, 1, 0)
    );
    let ran = hub.post(&format!("{}/run", path(&made)), &json!({})).await;
    assert_eq!(ran["labels"], labels["labels"]);
    runs(&hub, 1).await;
    let (status, _) = hub.call(Method::DELETE, &path(&made), ADA, None).await;
    assert!(status.is_success());
    let (status, _) = hub.call(Method::GET, &path(&made), ADA, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    hub.hub.clock().advance(120 * MINUTE);
    assert_eq!(jobs(&hub).await.len(), 1);
}

#[tokio::test]
async fn two_runs_at_a_time_need_leave() {
    let hub = stepped().await;
    let one = schedule(&hub, "sleep 600", &json!({})).await;
    let first = hub.post(&format!("{}/run", path(&one)), &json!({})).await;
    let (status, body) = hub
        .call(Method::POST, &format!("{}/run", path(&one)), ADA, None)
        .await;
    assert_eq!(status, StatusCode::CONFLICT, "{body}");
    let many = schedule(&hub, "sleep 600", &json!({"concurrency": true})).await;
    hub.post(&format!("{}/run", path(&many)), &json!({})).await;
    hub.post(&format!("{}/run", path(&many)), &json!({})).await;
    assert_eq!(jobs(&hub).await.len(), 3);
    for job in jobs(&hub).await {
        hub.cancel(job["id"].as_str().unwrap()).await;
    }
    let second = hub.post(&format!("{}/run", path(&one)), &json!({})).await;
    assert_ne!(first["id"], second["id"]);
}

#[tokio::test]
async fn a_hub_that_starts_again_suspends_what_had_secrets_and_keeps_the_rest() {
    let hub = TestHub::start().await;
    let plain = schedule(&hub, "true", &json!({"schedule": "@yearly"})).await;
    let secret = schedule(
        &hub,
        "true",
        &json!({"schedule": "@yearly", "jobSpec": {
        "dockerImage": "alpine", "command": ["true"], "flavor": "cpu-basic", "secrets": {"KEY": "hush"}}}),
    )
    .await;
    let hub = hub.restart(ExecutorConfig::default()).await;
    assert_eq!(hub.get(&path(&plain)).await["suspend"], json!(false));
    let suspended = hub.get(&path(&secret)).await;
    assert_eq!(suspended["suspend"], json!(true));
    assert!(suspended["suspendReason"].as_str().unwrap().contains("secrets"));
    hub.post(&format!("{}/run", path(&plain)), &json!({})).await;
    let (status, _) = hub
        .call(Method::POST, &format!("{}/run", path(&secret)), ADA, None)
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn what_is_no_schedule_or_not_allowed_is_refused() {
    let hub = stepped().await;
    for (token, body, status) in [
        (ADA, json!({"jobSpec": sh("true"), "schedule": "* * *"}), 400),
        (ADA, json!({"jobSpec": sh("true"), "schedule": "0 0 31 2 *"}), 400),
        (ADA, json!({"jobSpec": sh("true")}), 400),
        (
            ADA,
            json!({"jobSpec": {"flavor": "x"}, "schedule": "@daily"}),
            400,
        ),
        (
            ADA,
            json!({"jobSpec": sh("true"), "schedule": "@daily", "suspend": "no"}),
            400,
        ),
        (
            ADA_READ,
            json!({"jobSpec": sh("true"), "schedule": "@daily"}),
            403,
        ),
        (BOB, json!({"jobSpec": sh("true"), "schedule": "@daily"}), 403),
    ] {
        let (found, answer) = hub
            .call(Method::POST, "/api/scheduled-jobs/ada", token, Some(&body))
            .await;
        assert_eq!(found.as_u16(), status, "{body}: {answer}");
    }
    let (status, _) = hub
        .call(
            Method::POST,
            "/api/scheduled-jobs/bob",
            BOB,
            Some(&json!({"jobSpec": sh("true"), "schedule": "@daily"})),
        )
        .await;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
}

#[tokio::test]
async fn jobs_are_charged_and_end_when_the_credit_does() {
    let hub = stepped().await;
    // 1 USD an hour, and ada has 2 USD.
    let mut job = sh("sleep 600");
    job["flavor"] = json!("a10g-small");
    job["timeoutSeconds"] = json!(86_400);
    let id = hub.submit(&job).await;
    eventually("the start", || async {
        (hub.stage(&id).await == "RUNNING").then_some(())
    })
    .await;
    hub.hub.clock().advance(60 * MINUTE);
    let usage = hub.get("/api/settings/billing/usage/jobs").await;
    assert_eq!(usage["usage"]["usedMicroUsd"], json!(60 * 16_667));
    assert_eq!(usage["usage"]["jobDetails"][0]["jobId"], json!(id));
    let other = hub.submit(&job).await;
    eventually("the start", || async {
        (hub.stage(&other).await == "RUNNING").then_some(())
    })
    .await;
    // Both together use up the rest in half an hour.
    hub.hub.clock().advance(29 * MINUTE);
    assert_eq!(
        (hub.stage(&id).await, hub.stage(&other).await),
        ("RUNNING".into(), "RUNNING".into())
    );
    hub.hub.clock().advance(2 * MINUTE);
    for id in [&id, &other] {
        let ended = hub.finished(id).await;
        assert_eq!(ended["status"]["stage"], "CANCELED");
        assert_eq!(ended["status"]["cancelReason"], "NO_CREDITS");
    }
    let usage = hub.get("/api/settings/billing/usage/jobs").await;
    assert_eq!(usage["hasAccess"], json!(false));
    assert_eq!(usage["usage"]["usedMicroUsd"], json!(122 * 16_667));
    let (status, _) = hub
        .call(Method::POST, "/api/jobs/ada", ADA, Some(&sh("true")))
        .await;
    assert_eq!(status, StatusCode::PAYMENT_REQUIRED);
}
