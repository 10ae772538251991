use std::sync::Arc;

use http::Method;
use jiff::Timestamp;
use serde_json::{Value, json};
use url::Url;

use super::*;
use crate::account::{Account, Doubt, WhoAmI};
use crate::testing::{ManualClock, Reply, ScriptedTransport};
use crate::{HfClient, HfErrorKind, RequestSpec, RetryPolicy, Token};

fn now() -> Timestamp {
    "2026-10-10T12:00:00Z".parse().unwrap()
}

fn facts(me: Value, namespace: Option<&str>) -> Facts {
    let me: WhoAmI = serde_json::from_value(me).unwrap();
    Facts {
        sign_in: SignIn::SignedIn(Arc::new(me)),
        namespace: namespace.map(str::to_owned),
        account_created: None,
        now: now(),
    }
}

fn writer(is_pro: bool) -> Value {
    json!({"name": "ada", "isPro": is_pro, "emailVerified": true, "canPay": true,
        "orgs": [{"name": "lab", "plan": "team", "roleInOrg": "write"}, {"name": "club", "roleInOrg": "admin"}],
        "auth": {"type": "access_token", "accessToken": {"displayName": "t", "role": "write"}}})
}

fn fine(permissions: &[&str]) -> Value {
    json!({"name": "ada", "isPro": true, "auth": {"type": "access_token", "accessToken": {
        "displayName": "ci", "role": "fineGrained", "fineGrained": {"scoped": [
            {"entity": {"_id": "1", "type": "user", "name": "ada"}, "permissions": permissions}]}}}})
}

fn row(facts: &Facts, feature: Feature) -> Capability {
    row_with(facts, feature, &Refusals::default())
}

fn row_with(facts: &Facts, feature: Feature, refusals: &Refusals) -> Capability {
    let rows = capabilities(facts, refusals);
    assert!(rows.iter().map(|row| row.feature).eq(Feature::ALL));
    rows.into_iter().find(|row| row.feature == feature).unwrap()
}

fn none() -> Facts {
    Facts::new(&Account::NoToken, None, now())
}

/// The seed's table with today's four corrections, and the new rows.
#[test]
fn the_matrix_is_the_documented_one() {
    use Feature as F;
    let free = facts(writer(false), None);
    let pro = facts(writer(true), None);
    let team = facts(writer(false), Some("lab"));
    let free_org = facts(writer(true), Some("club"));
    for (feature, expected) in [
        (F::ReadPublic, ["available"; 5]),
        (
            F::ReadPrivate,
            ["unavailable", "available", "available", "available", "available"],
        ),
        (
            F::UploadPublicDatasets,
            ["unavailable", "available", "available", "available", "available"],
        ),
        (
            F::UploadPrivateDatasets,
            ["unavailable", "limited", "available", "available", "limited"],
        ),
        (
            F::PrivateStorage,
            ["unavailable", "limited", "available", "available", "limited"],
        ),
        (
            F::DataStudioPrivate,
            [
                "unavailable",
                "unavailable",
                "available",
                "available",
                "unavailable",
            ],
        ),
        (
            F::Inference,
            ["unavailable", "limited", "available", "available", "limited"],
        ),
        (
            F::Jobs,
            ["unavailable", "limited", "available", "available", "limited"],
        ),
        (
            F::BillOrg,
            ["unavailable", "available", "available", "available", "available"],
        ),
        (
            F::ZeroGpuSpaces,
            ["unavailable", "limited", "available", "available", "limited"],
        ),
        // The best plan of the caller counts: ada is in a Team organisation.
        (
            F::ZeroGpuTime,
            ["limited", "available", "available", "available", "available"],
        ),
        (
            F::StaticSpaces,
            ["unavailable", "available", "available", "available", "available"],
        ),
        (
            F::CpuSpaces,
            [
                "unavailable",
                "unavailable",
                "available",
                "available",
                "unavailable",
            ],
        ),
        (
            F::PaidSpaceHardware,
            ["unavailable", "limited", "limited", "limited", "limited"],
        ),
        (
            F::DevMode,
            [
                "unavailable",
                "unavailable",
                "available",
                "available",
                "unavailable",
            ],
        ),
        (
            F::BillingUsage,
            ["unavailable", "available", "available", "available", "available"],
        ),
    ] {
        let found =
            [&none(), &free, &pro, &team, &free_org].map(|facts| row(facts, feature).availability.as_str());
        assert_eq!(found, expected, "{feature:?}");
    }
    for (facts, feature, limit) in [
        (&free, F::ZeroGpuSpaces, "2 Spaces"),
        (&pro, F::ZeroGpuSpaces, "10 Spaces"),
        (&team, F::ZeroGpuSpaces, "50 Spaces an organisation"),
        (&free, F::PrivateStorage, "100 GB"),
        (&free, F::Inference, "$0.10 of calls a month"),
    ] {
        assert_eq!(row(facts, feature).limit(), Some(limit));
    }
    assert!(row(&pro, F::PrivateStorage).limit().unwrap().starts_with("1 TB"));
}

/// "Nothing is blank": whatever is not fully available says why, and how to change that.
#[test]
fn every_row_says_why_not_more_and_how_to_unlock_it() {
    let doubt = Doubt {
        kind: HfErrorKind::Transport,
        message: "no connection".into(),
        hint: None,
    };
    let mut expired = writer(true);
    expired["auth"]["expiresAt"] = json!("2026-10-01T00:00:00.000Z");
    let oauth = json!({"name": "ada", "isPro": true, "auth": {"type": "oauth"}});
    let situations = [
        none(),
        none().instead("the embedded Hub does it on this machine"),
        Facts::new(&Account::Refused(doubt.clone()), None, now()),
        Facts::new(&Account::Unknown(doubt), None, now()),
        facts(writer(false), None),
        facts(writer(false), Some("strangers")),
        facts(fine(&[]), None),
        facts(expired, None),
        facts(oauth, None),
    ];
    for facts in &situations {
        for row in capabilities(facts, &Refusals::default()) {
            let text = serde_json::to_value(&row).unwrap();
            match row.availability.as_str() {
                "available" => assert!(text["why"].is_null() && text["unlock"].is_null()),
                "limited" => assert!(text["why"].is_string() && text["limit"].is_string()),
                "unavailable" => assert!(text["why"].is_string() && text["unlock"].is_string()),
                other => panic!("{other}"),
            }
            assert!(!row.source.is_empty());
        }
    }
    let text = serde_json::to_string(&capabilities(&situations[3], &Refusals::default())).unwrap();
    assert!(!text.contains("\"available\"") && text.contains("no connection"));
}

/// Acceptance case 5 in the matrix.
#[test]
fn case_5_paying_alone_unlocks_nothing_that_needs_pro() {
    let payer = facts(
        json!({"name": "ada", "isPro": false, "canPay": true, "billingMode": "postpaid",
        "periodEnd": 1_793_491_200, "auth": {"type": "access_token", "accessToken": {"role": "write"}}}),
        None,
    );
    for feature in [Feature::DataStudioPrivate, Feature::DevMode, Feature::CpuSpaces] {
        assert_eq!(row(&payer, feature).availability.as_str(), "unavailable");
    }
}

/// Acceptance case 6.
#[test]
fn case_6_a_fine_grained_token_without_job_write_is_told_so_before_any_submit() {
    let facts = facts(fine(&["repo.write", "inference.serverless.write"]), None);
    let jobs = row(&facts, Feature::Jobs);
    assert!(jobs.why().unwrap().contains("job.write on ada"), "{jobs:?}");
    assert!(jobs.unlock().unwrap().contains("ownUserPermissions=job.write"));
    assert_eq!(row(&facts, Feature::Inference).availability.as_str(), "available");
    let missing = missing_scopes(&facts);
    let names: Vec<_> = missing.iter().map(|one| (one.feature, one.permission)).collect();
    assert_eq!(
        names,
        [
            (Feature::Jobs, "job.write"),
            (Feature::BillingUsage, "user.billing.read")
        ]
    );
}

#[test]
fn the_smallest_scope_list_has_nothing_twice() {
    assert_eq!(
        smallest_scopes(Feature::ALL),
        [
            "inference.serverless.write",
            "job.write",
            "repo.write",
            "user.billing.read"
        ]
    );
    assert_eq!(smallest_scopes([Feature::ReadPrivate]), ["repo.content.read"]);
    assert_eq!(smallest_scopes([Feature::ReadPublic]), [""; 0]);
    assert_eq!(
        token_page("https://huggingface.co/", ["job.write", "repo.write"]),
        "https://huggingface.co/settings/tokens/new?ownUserPermissions=job.write&ownUserPermissions=repo.write\
         &tokenType=fineGrained"
    );
}

#[test]
fn zero_gpu_hosting_of_free_accounts_needs_good_standing() {
    let mut unverified = writer(false);
    unverified["emailVerified"] = json!(false);
    assert!(
        row(&facts(unverified, None), Feature::ZeroGpuSpaces)
            .why()
            .unwrap()
            .contains("not confirmed")
    );
    let mut young = facts(writer(false), None);
    young.account_created = Some("2026-10-01T00:00:00Z".parse().unwrap());
    assert!(
        row(&young, Feature::ZeroGpuSpaces)
            .why()
            .unwrap()
            .contains("30 days")
    );
    young.account_created = Some("2026-01-01T00:00:00Z".parse().unwrap());
    assert_eq!(row(&young, Feature::ZeroGpuSpaces).limit(), Some("2 Spaces"));
}

fn refusing(replies: impl IntoIterator<Item = Reply>) -> HfClient {
    HfClient::builder()
        .token(Token::parse("hf_canarycanarycanarycanary0123456789").unwrap())
        .transport(Arc::new(ScriptedTransport::with_replies(replies)))
        .clock(Arc::new(ManualClock::new(now())))
        .retry(RetryPolicy::never())
        .build()
        .unwrap()
}

#[tokio::test]
async fn a_refusal_of_the_hub_is_remembered_until_the_same_is_allowed() {
    let pro = facts(writer(true), None);
    let client = refusing([
        Reply::json(
            402,
            json!({"error": "Pre-paid credit balance is insufficient - hf_canarycanarycanarycanary0123456789"}),
        ),
        Reply::status(503),
        Reply::json(200, json!({"id": "66aa"})),
    ]);
    let submit = || client.request(RequestSpec::post("/api/jobs/ada"));
    submit().await.unwrap_err();
    submit().await.unwrap_err();
    let jobs = row_with(&pro, Feature::Jobs, client.refusals());
    assert!(
        jobs.why().unwrap().contains("credit balance is insufficient"),
        "{jobs:?}"
    );
    assert!(jobs.unlock().unwrap().contains("settings/billing"));
    let kept = serde_json::to_string(&client.refusals().all()).unwrap();
    assert!(!kept.contains("canary"), "{kept}");

    // Elsewhere, and a day later, it does not count.
    let team = facts(writer(true), Some("lab"));
    assert_eq!(
        row_with(&team, Feature::Jobs, client.refusals())
            .availability
            .as_str(),
        "available"
    );
    let restored = Refusals::from_kept(serde_json::from_str::<Vec<Refusal>>(&kept).unwrap());
    assert_eq!(
        row_with(&pro, Feature::Jobs, &restored).availability.as_str(),
        "unavailable"
    );
    let mut later = pro.clone();
    later.now = "2026-10-11T12:00:01Z".parse().unwrap();
    assert_eq!(
        row_with(&later, Feature::Jobs, &restored).availability.as_str(),
        "available"
    );

    submit().await.unwrap();
    assert_eq!(
        row_with(&pro, Feature::Jobs, client.refusals())
            .availability
            .as_str(),
        "available"
    );
}

#[tokio::test]
async fn a_refusal_counts_only_as_long_as_the_account_does_not_contradict_it() {
    let client = refusing([
        Reply::json(
            402,
            json!({"error": "Static Spaces are free; other Spaces need https://huggingface.co/pro"}),
        ),
        Reply::json(
            403,
            json!({"error": "on namespace ada, missing permissions: job.write."}),
        ),
    ]);
    client
        .request(RequestSpec::post("/api/repos/create"))
        .await
        .unwrap_err();
    client
        .request(RequestSpec::post("/api/jobs/ada"))
        .await
        .unwrap_err();
    assert_eq!(client.refusals().all().len(), 2);
    let state = |facts: &Facts, feature| row_with(facts, feature, client.refusals()).availability.as_str();
    let free = facts(writer(false), None);
    assert!(
        row_with(&free, Feature::CpuSpaces, client.refusals())
            .why()
            .unwrap()
            .contains("refused")
    );
    let pro = facts(writer(true), None);
    assert_eq!(
        (state(&pro, Feature::CpuSpaces), state(&pro, Feature::Jobs)),
        ("available", "available")
    );
}

#[test]
fn requests_tell_the_feature_they_use() {
    for (method, path, expected) in [
        (Method::POST, "/api/jobs/ada", Some((Feature::Jobs, Some("ada")))),
        (
            Method::POST,
            "/api/scheduled-jobs/lab",
            Some((Feature::Jobs, Some("lab"))),
        ),
        (Method::GET, "/api/jobs/ada", None),
        (Method::POST, "/api/jobs/ada/66aa/cancel", None),
        (
            Method::POST,
            "/v1/chat/completions",
            Some((Feature::Inference, None)),
        ),
        (
            Method::POST,
            "/api/spaces/ada/demo/dev-mode",
            Some((Feature::DevMode, Some("ada"))),
        ),
        (
            Method::POST,
            "/api/spaces/ada/demo/hardware",
            Some((Feature::PaidSpaceHardware, Some("ada"))),
        ),
        (
            Method::GET,
            "/api/settings/billing/usage",
            Some((Feature::BillingUsage, None)),
        ),
        (Method::POST, "/ada/x/resolve/main/y", None),
    ] {
        let url = Url::parse(&format!("https://h{path}")).unwrap();
        let expected = expected.map(|(feature, namespace)| (feature, namespace.map(str::to_owned)));
        assert_eq!(Feature::of_request(&method, &url), expected, "{method} {path}");
    }
}
