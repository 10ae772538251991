use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::testing::{ManualClock, Reply, ScriptedTransport};
use crate::{HfClient, RetryPolicy, Token, TransportKind};

fn client(answer: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> (HfClient, ScriptedTransport) {
    let transport = ScriptedTransport::answering(move |request| answer(request.path()));
    let client = HfClient::builder()
        .token(Token::parse("hf_canarycanarycanarycanary0123456789").unwrap())
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(ManualClock::new(
            "2026-10-10T12:00:00Z".parse().unwrap(),
        )))
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    (client, transport)
}

fn me() -> WhoAmI {
    serde_json::from_value(json!({"name": "ada", "isPro": true, "orgs": [{"name": "lab", "plan": "team"}]}))
        .unwrap()
}

fn good(path: &str) -> Option<Reply> {
    let period = json!({"_id": "66aa00bb11cc22dd33ee4401", "entityId": "66aa00bb11cc22dd33ee4401", "entityType": "user",
        "entityName": "ada", "periodStart": "2026-10-01T00:00:00.000Z", "periodEnd": "2026-11-01T00:00:00.000Z"});
    let item = |product: &str, cost: u64| {
        json!({"entityId": "66aa00bb11cc22dd33ee4401", "label": null, "product": product, "quantity": 3,
            "productPrettyName": "x", "unitLabel": "minutes", "totalCostMicroUSD": cost, "unitCostMicroUSD": 1, "active": false})
    };
    let value = match path {
        "/api/settings/billing/usage" | "/api/organizations/lab/billing/usage" => json!({"usage": {
            "Jobs": [item("jobs/a10g-small/minutes", 250_000), item("jobs/t4-small/minutes", 100_000)],
            "Spaces": [item("spaces/zero-a10g/minutes", 1_500_000)]}, "period": period}),
        "/api/settings/billing/usage/jobs" => json!({"usage": {"usedMicroUsd": 350_000, "totalMinutes": 27.5,
            "periodStart": "2026-10-01T00:00:00.000Z", "periodEnd": "2026-11-01T00:00:00.000Z",
            "jobDetails": [{"jobId": "j", "hardwareFlavor": "t4-small", "totalMinutes": 2, "totalCostMicroUsd": 3,
                "startedAt": "2026-10-01T00:00:00.000Z"}]}, "hasAccess": true}),
        "/api/settings/billing/usage-v2" | "/api/organizations/lab/billing/usage-v2" => json!({"usage": {
            "inferenceProviders": {"includedNanoUsd": 2_000_000_000_u64, "usedNanoUsd": 500_000_000,
                "limitNanoUsd": 2_000_000_000_u64, "numRequests": 12}}}),
        "/api/spaces/zero-gpu/quota" => {
            json!({"base": 2400, "current": 1200, "resetsAt": "2026-10-11T08:00:00.000Z",
            "overquotaUsed": 30})
        }
        "/api/settings/repositories" | "/api/organizations/lab/settings/repositories" => json!([
            {"id": "ada/a", "type": "model", "visibility": "private", "storage": 700, "storagePercent": 70},
            {"id": "ada/b", "type": "dataset", "visibility": "public", "storage": 300, "storagePercent": 30}]),
        _ => return None,
    };
    Some(Reply::json(200, value))
}

#[tokio::test]
async fn each_part_is_read() {
    let (client, transport) = client(good);
    let wallet = Wallet::read(&client, &me(), &WalletOwner::Account).await;
    let spend = wallet.spend.known().unwrap();
    let services: Vec<(&str, f64, usize)> = spend
        .services
        .iter()
        .map(|service| (service.service.as_str(), service.usd, service.items))
        .collect();
    assert_eq!(services, [("spaces", 1.5, 1), ("jobs", 0.35, 2)]);
    assert!((spend.total_usd - 1.85).abs() < 1e-9);
    assert_eq!(wallet.jobs.known().unwrap().jobs, 1);
    let inference = wallet.inference.known().unwrap();
    assert_eq!((inference.used_usd, inference.included_usd), (0.5, Some(2.0)));
    let quota = wallet.zero_gpu.known().unwrap();
    assert_eq!((quota.base_seconds, quota.left_seconds), (2400.0, 1200.0));
    assert_eq!(quota.resets_at, Some("2026-10-11T08:00:00Z".parse().unwrap()));
    let storage = wallet.storage.known().unwrap();
    assert_eq!((storage.private_bytes, storage.public_bytes), (700, 300));
    assert_eq!(wallet.plan_credit.as_ref().unwrap().usd, Some(2.0));
    let asked = transport.requests();
    let v2 = asked
        .iter()
        .find(|request| request.path().ends_with("usage-v2"))
        .unwrap();
    assert_eq!(v2.url.query(), Some("startDate=1790812800&endDate=1791633601"));
    let text = serde_json::to_string(&wallet).unwrap();
    assert!(!text.contains("canary"));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&json["spend"]["state"], &json["balance"]["state"]),
        (&json!("known"), &json!("no_endpoint"))
    );
    assert!(json["balance"].get("usd").is_none(), "no balance is invented");
}

#[tokio::test]
async fn an_organisation_has_its_own_routes() {
    let (client, transport) = client(good);
    let wallet = Wallet::read(&client, &me(), &WalletOwner::Org("lab".into())).await;
    assert_eq!(wallet.owner.as_deref(), Some("lab"));
    assert!(
        wallet.spend.known().is_some()
            && wallet.storage.known().is_some()
            && wallet.inference.known().is_some()
    );
    assert!(wallet.zero_gpu.known().is_none() && wallet.jobs.known().is_none());
    assert!(wallet.plan_credit.unwrap().per_seat);
    assert!(
        transport
            .requests()
            .iter()
            .all(|request| request.path().starts_with("/api/organizations/lab/"))
    );
}

/// Each part fails by itself, with its reason and a way out.
#[tokio::test]
async fn one_failing_part_takes_no_other_along() {
    type Failure = (
        &'static str,
        fn() -> Reply,
        fn(&Wallet) -> (bool, usize),
        &'static str,
    );
    let known = |wallet: &Wallet| {
        usize::from(wallet.spend.known().is_some())
            + usize::from(wallet.jobs.known().is_some())
            + usize::from(wallet.inference.known().is_some())
            + usize::from(wallet.zero_gpu.known().is_some())
            + usize::from(wallet.storage.known().is_some())
    };
    let failures: [Failure; 5] = [
        (
            "/api/settings/billing/usage",
            || Reply::json(403, json!({"error": "missing permissions: user.billing.read."})),
            |wallet| (wallet.spend.known().is_none(), 0),
            "user.billing.read",
        ),
        (
            "/api/settings/billing/usage/jobs",
            || Reply::fail(TransportKind::Timeout),
            |wallet| (wallet.jobs.known().is_none(), 0),
            "try again",
        ),
        (
            "/api/settings/billing/usage-v2",
            || Reply::json(200, json!({"usage": {}})),
            |wallet| (wallet.inference.known().is_none(), 0),
            "settings/billing",
        ),
        (
            "/api/spaces/zero-gpu/quota",
            || Reply::status(501),
            |wallet| (wallet.zero_gpu.known().is_none(), 0),
            "does not serve",
        ),
        (
            "/api/settings/repositories",
            || Reply::json(200, json!({"not": "a list"})),
            |wallet| (wallet.storage.known().is_none(), 0),
            "newer version",
        ),
    ];
    for (path, failure, is_missing, word) in failures {
        let (client, _) = client(move |asked| {
            if asked == path {
                Some(failure())
            } else {
                good(asked)
            }
        });
        let wallet = Wallet::read(&client, &me(), &WalletOwner::Account).await;
        assert!(is_missing(&wallet).0, "{path}");
        assert_eq!(known(&wallet), 4, "{path}");
        let text = serde_json::to_string(&wallet).unwrap();
        assert!(text.contains(word), "{path}: {text}");
    }
}

#[test]
fn plans_bring_their_documented_credit() {
    let usd = |plan: Plan| PlanCredit::of(&plan).usd;
    assert_eq!(usd(Plan::Free), Some(0.10));
    assert_eq!(usd(Plan::Pro), Some(2.00));
    assert_eq!(usd(Plan::Team), Some(2.00));
    assert_eq!(usd(Plan::Academia), None);
    assert_eq!(usd(Plan::Unknown("galaxy".into())), None);
}
