//! Lists of repos.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{BOB, TestHub, file, header};

async fn ids(hub: &TestHub, path: &str) -> Vec<String> {
    let list = hub.ada().json(path).await;
    list.as_array()
        .unwrap()
        .iter()
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn lists_are_narrowed_by_author_search_and_tags() {
    let hub = TestHub::start().await;
    hub.ada().create("dataset", "Traces-2026").await;
    hub.ada().create("dataset", "other").await;
    hub.ada()
        .post(
            "/api/repos/create",
            &json!({ "type": "dataset", "name": "traces", "organization": "lab", "private": true }),
        )
        .await;
    hub.caller(Some(BOB)).create("dataset", "traces").await;
    let card = "---\nlicense: mit\ntags: [agent-traces]\n---\n";
    hub.ada()
        .commit("datasets/ada/other", "card", &[file("README.md", card)])
        .await;
    assert_eq!(
        ids(&hub, "/api/datasets").await,
        ["bob/traces", "lab/traces", "ada/other", "ada/Traces-2026"]
    );
    assert_eq!(
        ids(&hub, "/api/datasets?author=ada").await,
        ["ada/other", "ada/Traces-2026"]
    );
    assert_eq!(
        ids(&hub, "/api/datasets?search=TRACES").await,
        ["bob/traces", "lab/traces", "ada/Traces-2026"]
    );
    assert_eq!(
        ids(&hub, "/api/datasets?author=ada&search=2026&unknown=1").await,
        ["ada/Traces-2026"]
    );
    assert_eq!(
        ids(&hub, "/api/datasets?search=100%25").await,
        Vec::<String>::new()
    );
    assert_eq!(
        ids(&hub, "/api/datasets?filter=agent-traces&filter=license:mit").await,
        ["ada/other"]
    );
    assert_eq!(
        ids(&hub, "/api/datasets?filter=agent-traces,license:apache-2.0").await,
        Vec::<String>::new()
    );
    assert_eq!(
        ids(&hub, "/api/datasets?sort=lastModified&direction=-1").await[0],
        "ada/other"
    );
    assert_eq!(ids(&hub, "/api/models").await, Vec::<String>::new());
    let seen = hub.caller(None).json("/api/datasets").await;
    assert_eq!(
        seen.as_array().unwrap().len(),
        3,
        "private repos are for their own: {seen}"
    );
    assert_eq!(
        hub.ada().get("/api/datasets?sort=beauty").await.status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let hub = TestHub::start().await;
    for n in 0..7 {
        hub.ada().create("model", &format!("m{n}")).await;
    }
    let mut url = "/api/models?limit=3&author=ada".to_owned();
    let mut seen = Vec::new();
    loop {
        let reply = hub.ada().get(&url).await;
        let link = header(&reply, "link").to_owned();
        let page: Vec<Value> = reply.json().await.unwrap();
        assert!(page.len() <= 3);
        seen.extend(page.iter().map(|item| item["id"].as_str().unwrap().to_owned()));
        let Some((next, _)) = link.split_once('>') else {
            break;
        };
        url = next.trim_start_matches('<').to_owned();
    }
    assert_eq!(
        seen,
        (0..7).rev().map(|n| format!("ada/m{n}")).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn items_are_short_unless_more_is_asked_for() {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    let short = hub.ada().json("/api/models").await;
    assert!(short[0].get("siblings").is_none() && short[0].get("cardData").is_none());
    assert_eq!(short[0]["modelId"], "ada/m");
    let full = hub.ada().json("/api/models?full=true").await;
    assert_eq!(full[0]["siblings"], json!([{ "rfilename": ".gitattributes" }]));
    let some = hub.ada().json("/api/models?expand=private").await;
    assert_eq!(
        some,
        json!([{ "_id": short[0]["_id"], "id": "ada/m", "private": false }])
    );
}
