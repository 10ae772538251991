//! Who may do what with jobs, lists of them, and what bad requests get.

mod jobs_support;

use hf_local::{ExecutorConfig, HubClock};
use jobs_support::{ADA, ADA_JOBS, ADA_READ, BOB, TestHub, sh};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

#[tokio::test]
async fn each_refusal_has_the_status_and_words_of_the_hub() {
    let hub = TestHub::start().await;
    let job = sh("true");
    let mut both = job.clone();
    both["spaceId"] = "a/b".into();
    let mut exposed = job.clone();
    exposed["expose"] = json!({"ports": [80]});
    let mut large = job.clone();
    large["environment"] = json!({"BIG": "x".repeat(3 << 20)});
    let missing = "/api/jobs/ada/66aa00bb11cc22dd33ee5501";
    for (method, path, token, body, status, words) in [
        (
            Method::POST,
            "/api/jobs/ada",
            "",
            Some(&job),
            401,
            "Invalid username or password.",
        ),
        (
            Method::POST,
            "/api/jobs/ada",
            "hf_nobody",
            Some(&job),
            401,
            "Invalid credentials",
        ),
        (
            Method::POST,
            "/api/jobs/ada",
            ADA_READ,
            Some(&job),
            403,
            "namespace ada, missing permissions: job.write.",
        ),
        (
            Method::POST,
            "/api/jobs/bob",
            ADA,
            Some(&job),
            403,
            "namespace bob, missing permissions: job.write.",
        ),
        (
            Method::POST,
            "/api/jobs/bob",
            BOB,
            Some(&job),
            402,
            "Pre-paid credit balance is insufficient - ",
        ),
        (
            Method::POST,
            "/api/jobs/ada",
            ADA,
            Some(&both),
            400,
            "✖ Invalid input: exactly one of",
        ),
        (
            Method::POST,
            "/api/jobs/ada",
            ADA,
            None,
            400,
            "The body is not JSON",
        ),
        (Method::POST, "/api/jobs/ada", ADA, Some(&exposed), 501, "expose"),
        (
            Method::POST,
            "/api/jobs/ada",
            ADA,
            Some(&large),
            413,
            "length limit",
        ),
        (
            Method::GET,
            "/api/jobs/ada",
            "",
            None,
            401,
            "Invalid username or password.",
        ),
        (
            Method::GET,
            "/api/jobs/bob",
            ADA,
            None,
            403,
            "missing permissions",
        ),
        (
            Method::GET,
            "/api/jobs/ada?stage=running",
            ADA,
            None,
            400,
            "✖ Invalid option",
        ),
        (
            Method::GET,
            "/api/jobs/ada?label=a",
            ADA,
            None,
            400,
            "✖ Invalid string",
        ),
        (
            Method::GET,
            "/api/jobs/ada?cursor=zz",
            ADA,
            None,
            400,
            "✖ Invalid cursor",
        ),
        (Method::GET, missing, ADA, None, 404, "Job not found"),
        (
            Method::POST,
            &format!("{missing}/cancel"),
            ADA,
            None,
            404,
            "Job not found",
        ),
        (
            Method::GET,
            &format!("{missing}/logs"),
            ADA,
            None,
            404,
            "Job not found",
        ),
        (
            Method::GET,
            &format!("{missing}/metrics"),
            ADA,
            None,
            404,
            "Job not found",
        ),
        (
            Method::POST,
            &format!("{missing}/cancel"),
            ADA_READ,
            None,
            403,
            "job.write.",
        ),
        (
            Method::POST,
            &format!("{missing}/duplicate"),
            ADA_READ,
            None,
            403,
            "job.write.",
        ),
        (
            Method::PUT,
            &format!("{missing}/labels"),
            ADA_READ,
            Some(&job),
            403,
            "job.write.",
        ),
        (
            Method::PUT,
            &format!("{missing}/expose"),
            ADA,
            Some(&job),
            501,
            "Exposing ports",
        ),
        (
            Method::GET,
            "/api/scheduled-jobs/ada/66aa00bb11cc22dd33ee5501",
            ADA,
            None,
            404,
            "Scheduled job not found",
        ),
        (
            Method::POST,
            "/api/jobs/ada/auth-check/admin",
            ADA,
            None,
            400,
            "✖ Invalid option",
        ),
        (
            Method::POST,
            "/api/jobs/ada/auth-check/write",
            ADA_READ,
            None,
            403,
            "job.write.",
        ),
        (
            Method::GET,
            "/api/settings/billing/usage/jobs",
            "",
            None,
            401,
            "Invalid username",
        ),
    ] {
        let (found, reply) = hub.call(method.clone(), path, token, body).await;
        let text = reply["error"].as_str().unwrap_or_default();
        assert_eq!(
            (found.as_u16(), text.contains(words)),
            (status, true),
            "{method} {path} {token}: {reply}"
        );
    }
    assert_eq!(hub.get("/api/jobs/ada/count").await, json!({"count": 0}));
}

#[tokio::test]
async fn a_token_for_jobs_alone_starts_and_reads_them() {
    let hub = TestHub::start().await;
    let (status, job) = hub
        .call(Method::POST, "/api/jobs/ada", ADA_JOBS, Some(&sh("true")))
        .await;
    assert_eq!(status, StatusCode::OK, "{job}");
    let path = format!("/api/jobs/ada/{}", job["id"].as_str().unwrap());
    for token in [ADA_JOBS, ADA_READ] {
        assert_eq!(hub.call(Method::GET, &path, token, None).await.0, StatusCode::OK);
    }
    for path in [
        "/api/jobs/ada/auth-check/write".to_owned(),
        format!("{path}/auth-check/read"),
    ] {
        let (status, body) = hub.call(Method::POST, &path, ADA_JOBS, None).await;
        assert_eq!(
            (status, &body["user"]["name"]),
            (StatusCode::OK, &json!("ada")),
            "{body}"
        );
    }
}

#[tokio::test]
async fn an_organisation_has_jobs_of_its_own() {
    let hub = TestHub::start().await;
    let job = hub.post("/api/jobs/lab", &sh("true")).await;
    assert_eq!(job["owner"]["type"], "org");
    assert_eq!(job["owner"]["name"], "lab");
    assert_eq!(job["createdBy"]["name"], "ada");
    assert_eq!(hub.get("/api/jobs/lab/count").await, json!({"count": 1}));
    assert_eq!(hub.get("/api/jobs/ada/count").await, json!({"count": 0}));
    let path = format!("/api/jobs/ada/{}", job["id"].as_str().unwrap());
    assert_eq!(
        hub.call(Method::GET, &path, ADA, None).await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_hardware_list_needs_no_token() {
    let hub = TestHub::start().await;
    let (status, list) = hub.call(Method::GET, "/api/jobs/hardware", "", None).await;
    assert_eq!(status, StatusCode::OK);
    let prices: Vec<(&str, u64)> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["name"].as_str().unwrap(),
                row["unitCostMicroUSD"].as_u64().unwrap(),
            )
        })
        .collect();
    for expected in [
        ("cpu-basic", 167),
        ("a10g-small", 16_667),
        ("rtx-pro-6000", 45_833),
        ("h200x8", 666_667),
    ] {
        assert!(prices.contains(&expected), "{expected:?}");
    }
}

#[tokio::test]
async fn a_list_comes_in_pages_newest_first() {
    let mut executor = ExecutorConfig::default();
    executor.max_running = 1;
    let hub = TestHub::with(executor, HubClock::real()).await;
    let first = hub.submit(&sh("echo up; sleep 1000")).await;
    hub.lines_so_far(&first, 1).await;
    let mut ids = vec![first];
    for number in 0..230 {
        let mut job = sh("true");
        job["labels"] = json!({"parity": if number % 2 == 0 { "even" } else { "odd" }, "set": "a"});
        ids.push(hub.submit(&job).await);
    }
    ids.reverse();

    let mut found = Vec::new();
    let mut sizes = Vec::new();
    let mut next = Some("/api/jobs/ada".to_owned());
    while let Some(path) = next {
        let response = hub.request(Method::GET, &path, ADA).send().await.unwrap();
        next = response.headers().get("link").map(|link| {
            let url = link
                .to_str()
                .unwrap()
                .strip_prefix('<')
                .unwrap()
                .strip_suffix(">; rel=\"next\"")
                .unwrap();
            url.strip_prefix(hub.hub.endpoint()).unwrap().to_owned()
        });
        let page: Vec<Value> = response.json().await.unwrap();
        sizes.push(page.len());
        found.extend(page.iter().map(|job| job["id"].as_str().unwrap().to_owned()));
        // What comes in between does not move the pages.
        hub.submit(&sh("true")).await;
    }
    assert_eq!(sizes, [100, 100, 31]);
    assert_eq!(found, ids);

    let count = async |query: &str| {
        hub.get(&format!("/api/jobs/ada{query}"))
            .await
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(count("?stage=RUNNING").await, 1);
    assert_eq!(count("?stage=RUNNING&stage=COMPLETED").await, 1);
    assert_eq!(
        count("?label=parity=even&label=set=a&cursor=00000000000000ff").await,
        100
    );
    assert_eq!(count("?label=parity=even&label=parity=odd").await, 0);
    assert_eq!(count("?label=nope=").await, 0);
    assert_eq!(
        hub.get("/api/jobs/ada/count?stage=SCHEDULING").await,
        json!({"count": 233})
    );

    let response = hub
        .request(Method::GET, "/api/jobs/ada?label=set%3Da&stage=SCHEDULING", ADA)
        .send()
        .await
        .unwrap();
    let link = response.headers()["link"].to_str().unwrap();
    assert!(link.contains("label=set%3Da&stage=SCHEDULING&cursor="), "{link}");
}

#[tokio::test]
async fn labels_are_replaced_and_a_job_is_run_again() {
    let hub = TestHub::start().await;
    let mut job = sh("echo again");
    job["labels"] = json!({"old": "1"});
    let (job, _) = hub.run(&job).await;
    let path = format!("/api/jobs/ada/{}", job["id"].as_str().unwrap());
    let labels = json!({"labels": {"a": "b"}});
    let (status, changed) = hub
        .call(Method::PUT, &format!("{path}/labels"), ADA, Some(&labels))
        .await;
    assert_eq!((status, &changed["labels"]), (StatusCode::OK, &labels["labels"]));
    let (status, _) = hub
        .call(Method::PUT, &format!("{path}/labels"), ADA, Some(&json!({})))
        .await;
    assert_eq!(status, StatusCode::BAD_REQUEST);

    let again = hub.post(&format!("{path}/duplicate"), &json!({})).await;
    assert_eq!(
        again["initiator"],
        json!({"type": "duplicated-job", "id": job["id"]})
    );
    assert_eq!(again["labels"], labels["labels"]);
    let id = again["id"].as_str().unwrap();
    assert_ne!(again["id"], job["id"]);
    assert_eq!(hub.finished(id).await["status"]["stage"], "COMPLETED");
    assert_eq!(hub.log(id, "").await.lines, ["again"]);
}

#[tokio::test]
async fn a_job_with_secrets_is_run_again_while_they_are_known() {
    let hub = TestHub::start().await;
    let mut job = sh("echo \"$TOKEN\"; sleep 1000");
    job["secrets"] = json!({"TOKEN": "s3cret"});
    let id = hub.submit(&job).await;
    hub.lines_so_far(&id, 1).await;
    let path = format!("/api/jobs/ada/{id}");
    let again = hub.post(&format!("{path}/duplicate"), &json!({})).await;
    let again = again["id"].as_str().unwrap();
    assert_eq!(hub.lines_so_far(again, 1).await, ["s3cret"]);
    hub.cancel(&id).await;
    hub.cancel(again).await;
    let (status, body) = hub
        .call(Method::POST, &format!("{path}/duplicate"), ADA, None)
        .await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(body["error"].as_str().unwrap().contains("TOKEN"), "{body}");
}

#[tokio::test]
async fn usage_is_the_price_times_the_time() {
    let clock = HubClock::stepped("2026-10-09T08:00:00Z".parse().unwrap());
    let hub = TestHub::with(ExecutorConfig::default(), clock.clone()).await;
    let mut job = sh("echo up; sleep 1000");
    job["flavor"] = "a10g-small".into();
    job["timeoutSeconds"] = 100_000.into();
    let id = hub.submit(&job).await;
    hub.lines_so_far(&id, 1).await;
    clock.advance(std::time::Duration::from_mins(10));
    hub.cancel(&id).await;
    clock.advance(std::time::Duration::from_mins(10));
    let usage = hub.get("/api/settings/billing/usage/jobs").await;
    assert_eq!(
        usage,
        json!({
            "usage": {
                "usedMicroUsd": 166_670, "totalMinutes": 10.0,
                "periodStart": "2026-10-01T00:00:00.000Z", "periodEnd": "2026-11-01T00:00:00.000Z",
                "jobDetails": [{
                    "jobId": id, "hardwareFlavor": "a10g-small", "totalMinutes": 10.0, "totalCostMicroUsd": 166_670,
                    "startedAt": "2026-10-09T08:00:00.000Z", "completedAt": "2026-10-09T08:10:00.000Z",
                }],
            },
            "hasAccess": true,
        })
    );
}
