//! Branches, tags, history.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestHub, file, header};

const M: &str = "models/ada/m";

async fn hub() -> TestHub {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    hub
}

async fn status(hub: &TestHub, method: Method, path: &str, body: Value) -> (u16, String) {
    let reply = hub
        .ada()
        .request(method, &format!("/api/{M}/{path}"))
        .json(&body)
        .send()
        .await
        .unwrap();
    (reply.status().as_u16(), reply.text().await.unwrap())
}

#[tokio::test]
async fn branches_and_tags_come_and_go() {
    let hub = hub().await;
    let first = hub.ada().commit(M, "one", &[file("a", "1")]).await;
    let second = hub.ada().commit(M, "two", &[file("a", "2")]).await;
    assert_eq!(status(&hub, Method::POST, "branch/dev", json!({})).await.0, 200);
    assert_eq!(
        status(
            &hub,
            Method::POST,
            "branch/old",
            json!({ "startingPoint": first })
        )
        .await
        .0,
        200
    );
    assert_eq!(
        status(
            &hub,
            Method::POST,
            "tag/main",
            json!({ "tag": "v2", "message": "hi" })
        )
        .await
        .0,
        200
    );
    assert_eq!(
        status(&hub, Method::POST, "tag/old", json!({ "tag": "v1" }))
            .await
            .0,
        200
    );
    let refs = hub.ada().json(&format!("/api/{M}/refs")).await;
    let branch = |name: &str, oid: &str| json!({ "name": name, "ref": format!("refs/heads/{name}"), "targetCommit": oid });
    assert_eq!(
        refs["branches"],
        json!([
            branch("dev", &second),
            branch("main", &second),
            branch("old", &first)
        ])
    );
    let tag = |name: &str, oid: &str| json!({ "name": name, "ref": format!("refs/tags/{name}"), "targetCommit": oid });
    assert_eq!(refs["tags"], json!([tag("v1", &first), tag("v2", &second)]));
    assert_eq!((&refs["converts"], refs.get("pullRequests")), (&json!([]), None));
    assert_eq!(
        hub.ada().json(&format!("/api/{M}/refs?include_prs=1")).await["pullRequests"],
        json!([])
    );
    for (revision, content) in [
        ("dev", "2"),
        ("old", "1"),
        ("v1", "1"),
        ("v2", "2"),
        (first.as_str(), "1"),
        ("refs%2Ftags%2Fv1", "1"),
        ("HEAD", "2"),
    ] {
        let text = hub
            .ada()
            .get(&format!("/ada/m/resolve/{revision}/a"))
            .await
            .text()
            .await
            .unwrap();
        assert_eq!(text, content, "{revision}");
    }
    for (method, path, body, expected) in [
        (Method::POST, "branch/dev", json!({}), 409),
        (
            Method::POST,
            "branch/dev",
            json!({ "startingPoint": first, "overwrite": true }),
            200,
        ),
        (
            Method::POST,
            "branch/new",
            json!({ "startingPoint": "nope" }),
            404,
        ),
        (Method::POST, "branch/refs%2Fpr%2F1", json!({}), 403),
        (Method::POST, "branch/a..b", json!({}), 400),
        (Method::POST, "branch/empty", json!({ "emptyBranch": true }), 501),
        (Method::POST, "tag/main", json!({ "tag": "v1" }), 409),
        (Method::POST, "tag/nope", json!({ "tag": "v3" }), 404),
        (Method::POST, "tag/main", json!({ "tag": "a b" }), 400),
        (Method::DELETE, "tag/nope", json!({}), 404),
        (Method::DELETE, "tag/v1", json!({}), 200),
        (Method::DELETE, "branch/nope", json!({}), 404),
        (Method::DELETE, "branch/main", json!({}), 403),
        (Method::DELETE, "branch/old", json!({}), 200),
    ] {
        let (got, text) = status(&hub, method.clone(), path, body).await;
        assert_eq!(got, expected, "{method} {path}: {text}");
    }
    assert_eq!(
        hub.ada().get("/ada/m/resolve/old/a").await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn a_commit_on_a_branch_stays_there() {
    let hub = hub().await;
    hub.ada().commit(M, "one", &[file("a", "1")]).await;
    status(&hub, Method::POST, "branch/dev", json!({})).await;
    let reply = hub
        .ada()
        .commit_to(M, "dev", json!({ "summary": "on dev" }), &[file("b", "1")])
        .await;
    assert_eq!(reply.status(), StatusCode::OK);
    assert_eq!(
        hub.ada().get("/ada/m/resolve/dev/b").await.status(),
        StatusCode::OK
    );
    assert_eq!(
        hub.ada().get("/ada/m/resolve/main/b").await.status(),
        StatusCode::NOT_FOUND
    );
    status(&hub, Method::POST, "tag/main", json!({ "tag": "v1" })).await;
    let reply = hub
        .ada()
        .commit_to(M, "v1", json!({ "summary": "on a tag" }), &[file("b", "1")])
        .await;
    assert_eq!(reply.status(), StatusCode::NOT_FOUND);
    let reply = hub
        .ada()
        .commit_to(M, "refs%2Fpr%2F1", json!({ "summary": "x" }), &[file("b", "1")])
        .await;
    assert_eq!(reply.status(), StatusCode::NOT_IMPLEMENTED);
}

#[tokio::test]
async fn history_comes_newest_first_in_pages() {
    let hub = hub().await;
    for n in 0..12 {
        hub.ada()
            .commit(M, &format!("c{n}"), &[file("a", n.to_string())])
            .await;
    }
    let reply = hub.ada().get(&format!("/api/{M}/commits/main?limit=5")).await;
    assert_eq!(header(&reply, "x-total-count"), "13");
    assert_eq!(
        header(&reply, "link"),
        format!(
            "<{}>; rel=\"next\"",
            hub.url(&format!("/api/{M}/commits/main?limit=5&p=1"))
        )
    );
    let page: Value = reply.json().await.unwrap();
    let titles = |page: &Value| {
        page.as_array()
            .unwrap()
            .iter()
            .map(|c| c["title"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(titles(&page), ["c11", "c10", "c9", "c8", "c7"]);
    assert_eq!(page[0]["authors"][0]["user"], "ada");
    assert!(page[0].get("formatted").is_none());
    let reply = hub
        .ada()
        .get(&format!("/api/{M}/commits/main?limit=5&p=2&expand[]=formatted"))
        .await;
    assert_eq!(header(&reply, "link"), "");
    let page: Value = reply.json().await.unwrap();
    assert_eq!(titles(&page), ["c1", "c0", "initial commit"]);
    assert_eq!(page[0]["formatted"]["title"], "c1");
    assert_eq!(
        hub.ada().json(&format!("/api/{M}/commits/main?p=9")).await,
        json!([])
    );
}

#[tokio::test]
async fn a_squashed_branch_has_one_commit_and_the_same_files() {
    let hub = hub().await;
    for n in 0..3 {
        hub.ada()
            .commit(M, &format!("c{n}"), &[file(&format!("f{n}"), "x")])
            .await;
    }
    let before = hub.ada().paths(M).await;
    let (code, text) = status(
        &hub,
        Method::POST,
        "super-squash/main",
        json!({ "message": "all of it" }),
    )
    .await;
    assert_eq!(code, 200);
    let squashed: Value = serde_json::from_str(&text).unwrap();
    let log = hub.ada().json(&format!("/api/{M}/commits/main")).await;
    assert_eq!(log.as_array().unwrap().len(), 1);
    assert_eq!(
        (&log[0]["id"], &log[0]["title"]),
        (&squashed["commitId"], &json!("all of it"))
    );
    assert_eq!(hub.ada().paths(M).await, before);
    hub.ada().commit(M, "after", &[file("g", "x")]).await;
    assert_eq!(
        hub.ada()
            .json(&format!("/api/{M}/commits/main"))
            .await
            .as_array()
            .unwrap()
            .len(),
        2
    );
    let long = json!({ "message": "x".repeat(501) });
    assert_eq!(status(&hub, Method::POST, "super-squash/main", long).await.0, 400);
}
