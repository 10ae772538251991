//! Who calls.

use hf_local::{AccountConfig, HubClock, LocalHub, LocalHubConfig, OrgConfig, Plan, TokenRole};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{ADA, ADA_FINE, ADA_READ, BOB, TestHub, header};

#[tokio::test]
async fn whoami_has_the_keys_of_the_hub_in_its_order() {
    let hub = TestHub::start().await;
    let text = hub.ada().get("/api/whoami-v2").await.text().await.unwrap();
    let order = [
        "type",
        "id",
        "name",
        "fullname",
        "email",
        "emailVerified",
        "canPay",
        "billingMode",
        "periodEnd",
        "isPro",
        "avatarUrl",
        "orgs",
        "auth",
    ];
    let places: Vec<usize> = order
        .iter()
        .map(|key| text.find(&format!("\"{key}\":")).unwrap())
        .collect();
    assert!(places.is_sorted(), "{text}");
    let who: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&who["name"], &who["isPro"], &who["type"]),
        (&json!("ada"), &json!(true), &json!("user"))
    );
    assert_eq!(who["id"].as_str().unwrap().len(), 24);
    assert!(who["periodEnd"].is_i64());
    assert_eq!(who["orgs"][0]["name"], "lab");
    assert_eq!(who["orgs"][0]["roleInOrg"], "write");
    assert!(who["orgs"][0].get("plan").is_none());
    assert_eq!(who["auth"]["accessToken"]["role"], "write");
}

#[tokio::test]
async fn plans_and_roles_show() {
    let hub = TestHub::start().await;
    let bob = hub.caller(Some(BOB)).json("/api/whoami-v2").await;
    assert_eq!((&bob["isPro"], &bob["canPay"]), (&json!(false), &json!(false)));
    let read = hub.caller(Some(ADA_READ)).json("/api/whoami-v2").await;
    assert_eq!(read["auth"]["accessToken"]["role"], "read");
    let fine = hub.caller(Some(ADA_FINE)).json("/api/whoami-v2").await;
    let token = &fine["auth"]["accessToken"];
    assert_eq!(token["role"], "fineGrained");
    assert_eq!(token["fineGrained"]["scoped"][0]["entity"]["name"], "ada");
    assert_eq!(
        token["fineGrained"]["scoped"][0]["permissions"],
        json!(["repo.content.read", "job.write"])
    );
}

#[tokio::test]
async fn a_team_account_is_in_a_paid_organisation() {
    let dir = tempfile::tempdir().unwrap();
    let accounts = vec![
        AccountConfig::new("eve", "hf_e").plan(Plan::Team),
        AccountConfig::new("kim", "hf_k")
            .plan(Plan::Team)
            .orgs(vec![OrgConfig::new("acme")]),
    ];
    let hub = LocalHub::start(LocalHubConfig::new(dir.path()).accounts(accounts))
        .await
        .unwrap();
    for (token, org) in [("hf_e", "eve-team"), ("hf_k", "acme")] {
        let client = reqwest::Client::new();
        let reply = client
            .get(format!("{}/api/whoami-v2", hub.endpoint()))
            .bearer_auth(token)
            .send()
            .await
            .unwrap();
        let who: Value = reply.json().await.unwrap();
        assert_eq!(who["isPro"], false);
        assert_eq!(
            (&who["orgs"][0]["name"], &who["orgs"][0]["plan"]),
            (&json!(org), &json!("team"))
        );
    }
}

#[tokio::test]
async fn a_wrong_token_is_told_apart_from_none() {
    let hub = TestHub::start().await;
    for token in [None, Some("hf_nobody"), Some("")] {
        let reply = hub.caller(token).get("/api/whoami-v2").await;
        assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
        assert_eq!(header(&reply, "x-error-message"), "Invalid username or password.");
        assert_eq!(header(&reply, "x-error-code"), "");
        assert!(header(&reply, "www-authenticate").starts_with("Bearer realm="));
        assert!(header(&reply, "x-request-id").starts_with("Root=1-"));
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body, json!({ "error": "Invalid username or password." }));
    }
    let reply = hub.caller(Some("hf_nobody")).get("/api/models").await;
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(
        header(&reply, "x-error-message"),
        "Invalid credentials in Authorization header"
    );
}

#[tokio::test]
async fn the_password_of_basic_authentication_is_a_token() {
    let hub = TestHub::start().await;
    let request = hub
        .client
        .get(hub.url("/api/whoami-v2"))
        .basic_auth("anything", Some(ADA));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::OK);
    let request = hub
        .client
        .get(hub.url("/api/whoami-v2"))
        .basic_auth(ADA, Some("x"));
    assert_eq!(request.send().await.unwrap().status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn replies_say_how_much_of_the_rate_limit_is_left() {
    let hub = TestHub::start().await;
    let reply = hub.ada().get("/api/whoami-v2").await;
    assert_eq!(
        header(&reply, "ratelimit-policy"),
        "\"fixed window\";\"api\";q=2500;w=300"
    );
    assert!(header(&reply, "ratelimit").starts_with("\"api\";r=2499;t="));
    let reply = hub.caller(None).get("/ada/x/resolve/main/y").await;
    assert_eq!(
        header(&reply, "ratelimit-policy"),
        "\"fixed window\";\"resolvers\";q=3000;w=300"
    );
}

#[test]
fn an_accounts_file_reads_as_documented() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("accounts.json");
    std::fs::write(
        &path,
        r#"[{"name":"ada","token":"hf_1","plan":"pro","role":"write","orgs":["lab",{"name":"acme","plan":"team","roleInOrg":"admin"}],"credit_usd":1.5},
            {"name":"bob","token":"hf_2"},{"name":"bob","token":"hf_3","role":"fineGrained","permissions":["repo.write"]}]"#,
    )
    .unwrap();
    let accounts = AccountConfig::read_file(&path).unwrap();
    assert_eq!(accounts.len(), 3);
    assert_eq!(accounts[0].orgs[1].plan.as_deref(), Some("team"));
    assert_eq!(accounts[0].credit_usd, Some(1.5));
    assert_eq!(
        (accounts[1].plan, accounts[1].role),
        (Plan::Free, TokenRole::Write)
    );
    assert_eq!(accounts[2].role, TokenRole::FineGrained);
    assert!(!format!("{accounts:?}").contains("hf_1"));
    for (bad, why) in [
        ("[]", "no account"),
        ("{}", "not a list"),
        (r#"[{"name":"a"}]"#, "token"),
        (r#"[{"name":"a","token":"t","plan":"gold"}]"#, "gold"),
    ] {
        std::fs::write(&path, bad).unwrap();
        let error = AccountConfig::read_file(&path).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[tokio::test]
async fn fine_grained_permissions_show_where_they_were_given_and_an_ended_token_is_nobody_s() {
    let dir = tempfile::tempdir().unwrap();
    let clock = HubClock::stepped("2026-10-10T12:00:00Z".parse().unwrap());
    let accounts = vec![
        AccountConfig::new("ada", "hf_f")
            .role(TokenRole::FineGrained)
            .orgs(vec![OrgConfig::new("lab")])
            .permissions(["repo.content.read"])
            .scoped("lab", ["job.write"])
            .expires_at("2026-10-10T13:00:00Z".parse().unwrap()),
    ];
    let config = LocalHubConfig::new(dir.path()).accounts(accounts).clock(clock);
    let hub = LocalHub::start(config).await.unwrap();
    let get = async |path: &str| {
        let url = format!("{}{path}", hub.endpoint());
        reqwest::Client::new()
            .get(url)
            .bearer_auth("hf_f")
            .send()
            .await
            .unwrap()
    };
    let who: Value = get("/api/whoami-v2").await.json().await.unwrap();
    assert_eq!(who["auth"]["expiresAt"], "2026-10-10T13:00:00.000Z");
    let scoped = who["auth"]["accessToken"]["fineGrained"]["scoped"]
        .as_array()
        .unwrap();
    let found: Vec<(&Value, &Value)> = scoped
        .iter()
        .map(|scope| (&scope["entity"]["name"], &scope["permissions"]))
        .collect();
    assert_eq!(
        found,
        [
            (&json!("ada"), &json!(["repo.content.read"])),
            (&json!("lab"), &json!(["repo.content.read", "job.write"])),
        ]
    );
    let refused = get("/api/settings/billing/usage").await;
    assert_eq!(refused.status(), StatusCode::FORBIDDEN);
    assert!(header(&refused, "x-error-message").contains("missing permissions: user.billing.read."));
    hub.clock().advance(std::time::Duration::from_hours(1));
    assert_eq!(get("/api/whoami-v2").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(get("/api/models").await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn billing_has_the_shapes_of_the_hub() {
    let hub = TestHub::start().await;
    let usage = hub.ada().json("/api/settings/billing/usage").await;
    assert_eq!(usage["usage"], json!({}), "nothing ran");
    let period = &usage["period"];
    for key in [
        "_id",
        "entityId",
        "entityType",
        "entityName",
        "periodStart",
        "periodEnd",
    ] {
        assert!(period[key].is_string(), "{key}");
    }
    let v2 = hub
        .ada()
        .json("/api/settings/billing/usage-v2?startDate=1790812800&endDate=1791633601")
        .await;
    assert_eq!(v2["usage"]["inferenceProviders"]["includedNanoUsd"], json!(2e9));
    let wrong = hub.ada().get("/api/settings/billing/usage-v2").await;
    assert_eq!(wrong.status(), StatusCode::BAD_REQUEST);
    let org = hub.ada().json("/api/organizations/lab/billing/usage").await;
    assert_eq!(org["period"]["entityType"], "org");
    assert_eq!(
        hub.caller(Some(BOB))
            .get("/api/organizations/lab/billing/usage")
            .await
            .status(),
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        hub.caller(None).get("/api/settings/billing/usage").await.status(),
        StatusCode::UNAUTHORIZED
    );
    for (token, seconds) in [(Some(ADA), 2400), (Some(BOB), 300), (None, 120)] {
        let quota = hub.caller(token).json("/api/spaces/zero-gpu/quota").await;
        assert_eq!(
            quota,
            json!({"base": seconds, "current": seconds, "resetsAt": null})
        );
    }
}

#[tokio::test]
async fn limits_are_enforced_when_asked_for_and_end_with_their_window() {
    let hub = TestHub::start().await;
    hub.hub
        .clock()
        .set_stepped(Some("2026-10-10T12:00:10Z".parse().unwrap()));
    let put = |body: Value| {
        let request = hub.client.put(hub.url("/_local/rate-limits")).bearer_auth(ADA);
        async move { request.json(&body).send().await.unwrap().status() }
    };
    assert_eq!(
        put(json!({"enforce": true, "api": 2, "whoami": 1})).await,
        StatusCode::OK
    );
    let first = hub.ada().get("/api/whoami-v2").await;
    assert_eq!(header(&first, "ratelimit"), "\"api\";r=1;t=290");
    let second = hub.ada().get("/api/whoami-v2").await;
    assert_eq!(
        second.status(),
        StatusCode::TOO_MANY_REQUESTS,
        "whoami has its own limit"
    );
    let third = hub.ada().get("/api/models").await;
    assert_eq!(third.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(header(&third, "ratelimit"), "\"api\";r=0;t=290");
    assert_eq!(header(&third, "retry-after"), "290");
    assert!(header(&third, "x-error-message").contains("quota of 2 api requests per 5 minutes"));
    assert_eq!(
        hub.caller(Some(BOB)).get("/api/models").await.status(),
        StatusCode::OK
    );
    hub.hub.clock().advance(std::time::Duration::from_secs(290));
    assert_eq!(hub.ada().get("/api/models").await.status(), StatusCode::OK);
    assert_eq!(hub.hub.rates().refused(), 2);
    assert_eq!(put(json!({"enforce": false})).await, StatusCode::OK);
    for _ in 0..5 {
        assert_eq!(hub.ada().get("/api/models").await.status(), StatusCode::OK);
    }
    assert_eq!(put(json!({"enforced": true})).await, StatusCode::BAD_REQUEST);
}
