//! Making, removing, moving and setting up repos, and who may.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{ADA_FINE, ADA_READ, BOB, TestHub, bytes, delete, file, header, lfs_file};

#[tokio::test]
async fn a_new_repo_has_the_attributes_of_its_kind() {
    let hub = TestHub::start().await;
    let made = hub.ada().create("model", "m").await;
    assert_eq!(made["name"], "ada/m");
    assert_eq!(made["url"], hub.url("/ada/m"));
    assert_eq!(made["id"].as_str().unwrap().len(), 24);
    assert_eq!(hub.ada().paths("models/ada/m").await, [".gitattributes"]);
    let text = hub
        .ada()
        .get("/ada/m/resolve/main/.gitattributes")
        .await
        .text()
        .await
        .unwrap();
    assert!(text.starts_with("*.7z filter=lfs diff=lfs merge=lfs -text\n") && !text.contains("*.png"));
    let made = hub.ada().create("dataset", "d").await;
    assert_eq!(made["url"], hub.url("/datasets/ada/d"));
    let text = hub
        .ada()
        .get("/datasets/ada/d/resolve/main/.gitattributes")
        .await
        .text()
        .await
        .unwrap();
    assert!(text.contains("*.png filter=lfs"));
    hub.ada().create("space", "s").await;
    assert_eq!(hub.ada().json("/api/spaces/ada/s").await["sdk"], "static");
}

#[tokio::test]
async fn a_name_is_given_once() {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    let reply = hub
        .ada()
        .post("/api/repos/create", &json!({ "name": "M", "type": "model" }))
        .await;
    assert_eq!(reply.status(), StatusCode::CONFLICT);
    let body: Value = reply.json().await.unwrap();
    assert_eq!(
        body,
        json!({ "error": "You already created this model repo", "url": hub.url("/ada/m") })
    );
    // Other kinds have names of their own.
    hub.ada().create("dataset", "m").await;
}

#[tokio::test]
async fn what_the_hub_would_not_make_is_refused() {
    let hub = TestHub::start().await;
    for (body, status) in [
        (json!({ "name": "a b" }), 400),
        (json!({ "name": "../x" }), 403),
        (json!({ "name": "x.git" }), 400),
        (json!({ "type": "model" }), 400),
        (json!({ "name": "s", "type": "space" }), 400),
        (json!({ "name": "s", "type": "space", "sdk": "streamlit" }), 400),
        (json!({ "name": "x", "type": "thing" }), 400),
        (json!({ "name": "x", "type": "kernel" }), 501),
        (
            json!({ "name": "x", "visibility": "private", "private": true }),
            400,
        ),
        (json!({ "name": "x", "visibility": "protected" }), 400),
        (json!({ "name": "x", "organization": "bob" }), 403),
        (json!({ "name": "x", "organization": "nobody" }), 403),
        (
            json!({ "name": "x", "files": [{ "path": "../y", "content": "" }] }),
            400,
        ),
    ] {
        let reply = hub.ada().post("/api/repos/create", &body).await;
        assert_eq!(
            reply.status().as_u16(),
            status,
            "{body}: {}",
            reply.text().await.unwrap()
        );
    }
    assert_eq!(hub.ada().json("/api/models").await, json!([]));
    let reply = hub
        .caller(None)
        .post("/api/repos/create", &json!({ "name": "x" }))
        .await;
    assert_eq!(reply.status(), StatusCode::UNAUTHORIZED);
    for token in [ADA_READ, ADA_FINE] {
        let reply = hub
            .caller(Some(token))
            .post("/api/repos/create", &json!({ "name": "x" }))
            .await;
        assert_eq!(reply.status(), StatusCode::FORBIDDEN);
        let text = reply.text().await.unwrap();
        assert!(
            text.contains("namespace ada, missing permissions: repo.write."),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_repo_can_start_with_files() {
    let hub = TestHub::start().await;
    let body = json!({ "name": "m", "organization": "lab", "license": "mit", "private": true,
        "files": [{ "path": "a.txt", "content": "hi" }, { "path": "b/c.txt", "content": "aGk=", "encoding": "base64" }] });
    assert_eq!(
        hub.ada().post("/api/repos/create", &body).await.status(),
        StatusCode::OK
    );
    assert_eq!(
        hub.ada().paths("models/lab/m").await,
        [".gitattributes", "README.md", "a.txt", "b/c.txt"]
    );
    let info = hub.ada().json("/api/models/lab/m").await;
    assert_eq!(
        (&info["private"], &info["author"], &info["cardData"]["license"]),
        (&json!(true), &json!("lab"), &json!("mit"))
    );
    assert_eq!(
        hub.ada()
            .json("/api/models/lab/m/commits/main")
            .await
            .as_array()
            .unwrap()
            .len(),
        1
    );
}

#[tokio::test]
async fn a_private_repo_looks_missing_to_others() {
    let hub = TestHub::start().await;
    hub.ada()
        .post("/api/repos/create", &json!({ "name": "secret", "private": true }))
        .await;
    hub.ada()
        .commit("models/ada/secret", "x", &[file("a.txt", "hi")])
        .await;
    for path in [
        "/api/models/ada/secret",
        "/api/models/ada/missing",
        "/api/models/ada/secret/tree/main",
        "/api/models/ada/secret/refs",
        "/ada/secret/resolve/main/a.txt",
        "/ada/secret/raw/main/a.txt",
        "/ada/missing/resolve/main/a.txt",
        "/api/models/missing",
        "/missing/resolve/main/x",
    ] {
        let reply = hub.caller(None).get(path).await;
        assert_eq!(reply.status(), StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(header(&reply, "x-error-code"), "RepoNotFound", "{path}");
        let reply = hub.caller(Some(BOB)).get(path).await;
        assert_eq!(reply.status(), StatusCode::NOT_FOUND, "{path}");
        assert_eq!(header(&reply, "x-error-code"), "RepoNotFound", "{path}");
        assert_eq!(
            header(&reply, "x-error-message"),
            "Repository not found",
            "{path}"
        );
        let is_json = header(&reply, "content-type").starts_with("application/json");
        assert_eq!(is_json, path.starts_with("/api/"), "{path}");
    }
    let reply = hub
        .caller(Some(BOB))
        .commit_to("models/ada/secret", "main", json!({ "summary": "x" }), &[])
        .await;
    assert_eq!(reply.status(), StatusCode::NOT_FOUND);
    // A token that reads is enough to read, and no more.
    for token in [ADA_READ, ADA_FINE] {
        let ada = hub.caller(Some(token));
        assert_eq!(
            ada.get("/ada/secret/resolve/main/a.txt")
                .await
                .text()
                .await
                .unwrap(),
            "hi"
        );
        let reply = ada
            .commit_to(
                "models/ada/secret",
                "main",
                json!({ "summary": "x" }),
                &[file("b", "b")],
            )
            .await;
        assert_eq!(reply.status(), StatusCode::FORBIDDEN);
    }
    assert_eq!(
        hub.caller(Some(BOB)).json("/api/models?author=ada").await,
        json!([])
    );
    assert_eq!(
        hub.caller(Some(BOB))
            .get("/api/models/ada/secret/auth-check")
            .await
            .status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        hub.ada()
            .get("/api/models/ada/secret/auth-check")
            .await
            .text()
            .await
            .unwrap(),
        "OK"
    );
    assert_eq!(
        hub.caller(Some(ADA_READ))
            .get("/api/models/ada/secret/auth-check/write")
            .await
            .status(),
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_public_repo_is_read_by_all_and_written_by_its_owner() {
    let hub = TestHub::start().await;
    hub.ada().create("model", "open").await;
    hub.ada()
        .commit("models/ada/open", "x", &[file("a.txt", "hi")])
        .await;
    assert_eq!(
        hub.caller(None)
            .get("/ada/open/resolve/main/a.txt")
            .await
            .text()
            .await
            .unwrap(),
        "hi"
    );
    for (token, status) in [(None, 401), (Some(BOB), 403)] {
        let caller = hub.caller(token);
        let reply = caller
            .commit_to(
                "models/ada/open",
                "main",
                json!({ "summary": "x" }),
                &[delete("deletedFile", "a.txt")],
            )
            .await;
        assert_eq!(reply.status().as_u16(), status);
        let reply = caller
            .request(Method::DELETE, "/api/repos/delete")
            .json(&json!({ "name": "ada/open" }))
            .send()
            .await
            .unwrap();
        assert_eq!(reply.status().as_u16(), status);
        let reply = caller
            .post(
                "/ada/open.git/info/lfs/objects/batch",
                &json!({ "operation": "upload", "objects": [] }),
            )
            .await;
        assert_eq!(reply.status().as_u16(), status);
    }
    assert_eq!(
        hub.ada().paths("models/ada/open").await,
        [".gitattributes", "a.txt"]
    );
}

#[tokio::test]
async fn a_deleted_repo_is_gone_and_its_name_is_free() {
    let hub = TestHub::start().await;
    let first = hub.ada().create("dataset", "d").await;
    hub.ada()
        .commit("datasets/ada/d", "x", &[file("a.txt", "hi")])
        .await;
    let body = json!({ "name": "d", "type": "dataset" });
    let gone = || {
        hub.ada()
            .request(Method::DELETE, "/api/repos/delete")
            .json(&body)
            .send()
    };
    let reply = gone().await.unwrap();
    assert_eq!(
        (reply.status(), reply.text().await.unwrap().as_str()),
        (StatusCode::OK, "OK")
    );
    assert_eq!(
        hub.ada().get("/api/datasets/ada/d").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        hub.ada().get("/datasets/ada/d/resolve/main/a.txt").await.status(),
        StatusCode::NOT_FOUND
    );
    let reply = gone().await.unwrap();
    assert_eq!(
        (reply.status(), header(&reply, "x-error-code")),
        (StatusCode::NOT_FOUND, "RepoNotFound")
    );
    let second = hub.ada().create("dataset", "d").await;
    assert_ne!(first["id"], second["id"]);
    assert_eq!(hub.ada().paths("datasets/ada/d").await, [".gitattributes"]);
}

#[tokio::test]
async fn a_moved_repo_is_found_under_both_names() {
    let hub = TestHub::start().await;
    hub.ada().create("model", "old").await;
    hub.ada().create("model", "taken").await;
    hub.ada()
        .commit("models/ada/old", "x", &[file("a.txt", "hi")])
        .await;
    let move_to = async |from: &str, to: &str| {
        hub.ada()
            .post(
                "/api/repos/move",
                &json!({ "fromRepo": from, "toRepo": to, "type": "model" }),
            )
            .await
            .status()
            .as_u16()
    };
    assert_eq!(move_to("ada/old", "ada/taken").await, 409);
    assert_eq!(move_to("ada/old", "bob/new").await, 403);
    assert_eq!(move_to("ada/none", "ada/new").await, 404);
    assert_eq!(move_to("ada/old", "ada/a b").await, 400);
    assert_eq!(move_to("ada/old", "lab/new").await, 200);
    let reply = hub
        .ada()
        .get("/api/models/ada/old/tree/main?recursive=true")
        .await;
    assert_eq!(reply.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(
        header(&reply, "location"),
        "/api/models/lab/new/tree/main?recursive=true"
    );
    let reply = hub.ada().head("/ada/old/resolve/main/a.txt").await;
    assert_eq!(header(&reply, "location"), "/lab/new/resolve/main/a.txt");
    hub.ada()
        .commit("models/ada/old", "under the old name", &[file("b.txt", "b")])
        .await;
    assert_eq!(
        hub.ada().paths("models/lab/new").await,
        [".gitattributes", "a.txt", "b.txt"]
    );
    // The old name can be given to a new repo, which then is what it means.
    hub.ada().create("model", "old").await;
    assert_eq!(hub.ada().paths("models/ada/old").await, [".gitattributes"]);
    assert_eq!(move_to("lab/new", "lab/New").await, 200);
    assert_eq!(hub.ada().json("/api/models/lab/New").await["id"], "lab/New");
}

#[tokio::test]
async fn settings_answer_what_was_sent() {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    let set = async |body: Value| {
        let reply = hub
            .ada()
            .request(Method::PUT, "/api/models/ada/m/settings")
            .json(&body)
            .send()
            .await
            .unwrap();
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
    };
    assert_eq!(
        set(json!({ "gated": "manual" })).await,
        (200, json!({ "gated": "manual" }))
    );
    assert_eq!(
        set(json!({ "private": true })).await,
        (200, json!({ "private": true }))
    );
    assert_eq!(
        set(json!({ "discussionsDisabled": true })).await,
        (200, json!({ "discussionsDisabled": true }))
    );
    let info = hub.ada().json("/api/models/ada/m").await;
    assert_eq!(
        (&info["private"], &info["gated"]),
        (&json!(true), &json!("manual"))
    );
    assert_eq!(
        set(json!({ "visibility": "public", "gated": false })).await.0,
        200
    );
    let info = hub.caller(None).json("/api/models/ada/m").await;
    assert_eq!((&info["private"], &info["gated"]), (&json!(false), &json!(false)));
    for bad in [
        json!({ "gated": "maybe" }),
        json!({ "private": "yes" }),
        json!({ "visibility": "hidden" }),
        json!({ "visibility": "protected" }),
        json!([]),
    ] {
        assert_eq!(set(bad).await.0, 400);
    }
}

#[tokio::test]
async fn storage_is_counted_over_the_whole_history() {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    let base = hub.ada().json("/api/models/ada/m").await["usedStorage"]
        .as_u64()
        .unwrap();
    hub.ada()
        .commit("models/ada/m", "1", &[file("a", "x".repeat(1000))])
        .await;
    hub.ada()
        .commit(
            "models/ada/m",
            "2",
            &[file("a", "y".repeat(500)), file("b", "x".repeat(1000))],
        )
        .await;
    let used = hub.ada().json("/api/models/ada/m?expand=usedStorage").await["usedStorage"]
        .as_u64()
        .unwrap();
    assert_eq!(used - base, 1500);
    hub.ada().create("dataset", "d").await;
    let repos = hub.ada().json("/api/settings/repositories?sort=storage").await;
    assert_eq!(
        (&repos[0]["id"], &repos[0]["type"], &repos[0]["storage"]),
        (&json!("ada/m"), &json!("model"), &json!(used))
    );
    let shares: f64 = repos
        .as_array()
        .unwrap()
        .iter()
        .map(|repo| repo["storagePercent"].as_f64().unwrap())
        .sum();
    assert!((shares - 100.0).abs() < 1e-9);
    assert_eq!(repos.as_array().unwrap().len(), 2);
    assert_eq!(
        hub.ada()
            .json("/api/organizations/lab/settings/repositories")
            .await,
        json!([])
    );
    assert_eq!(
        hub.caller(Some(BOB))
            .get("/api/organizations/lab/settings/repositories")
            .await
            .status(),
        StatusCode::FORBIDDEN
    );
}

#[tokio::test]
async fn a_copy_has_the_files_of_the_head_and_is_seen_by_the_same_people() {
    let hub = TestHub::start().await;
    let ada = hub.ada();
    let body =
        json!({"name": "old", "visibility": "private", "files": [{"path": "a/b.txt", "content": "text"}]});
    ada.post("/api/repos/create", &body).await;
    let large = bytes(7, 200_000);
    let oid = ada.upload("ada/old", &large).await;
    ada.commit("models/ada/old", "large", &[lfs_file("w.bin", &oid, large.len())])
        .await;
    let made = ada
        .post("/api/models/ada/old/duplicate", &json!({"repository": "lab/new"}))
        .await;
    assert_eq!(made.status(), StatusCode::OK);
    let made: Value = made.json().await.unwrap();
    assert_eq!(made["url"], hub.url("/lab/new"));
    assert_eq!(
        ada.paths("models/lab/new").await,
        ada.paths("models/ada/old").await
    );
    assert_eq!(ada.json("/api/models/lab/new").await["private"], true);
    let taken = ada
        .post("/api/models/ada/old/duplicate", &json!({"repository": "lab/new"}))
        .await;
    assert_eq!(taken.status(), StatusCode::CONFLICT);
    let bob = hub.caller(Some("hf_bob"));
    for (name, expected) in [
        ("bob/new", StatusCode::NOT_FOUND),
        ("ada/x", StatusCode::NOT_FOUND),
    ] {
        let stolen = bob
            .post("/api/models/ada/old/duplicate", &json!({"repository": name}))
            .await;
        assert_eq!(stolen.status(), expected, "what is not seen is not copied");
    }
    // The copy lives on its own.
    let gone = json!({"name": "old", "organization": "ada", "type": "model"});
    let gone = ada
        .request(reqwest::Method::DELETE, "/api/repos/delete")
        .json(&gone);
    assert_eq!(gone.send().await.unwrap().status(), StatusCode::OK);
    let kept = ada.get("/lab/new/resolve/main/a/b.txt").await;
    assert_eq!(kept.text().await.unwrap(), "text");
}
