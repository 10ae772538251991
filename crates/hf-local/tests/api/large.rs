//! Large files over LFS.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::support::{BOB, TestHub, bytes, header, lfs_file, sha256};

async fn hub() -> TestHub {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    hub
}

fn stored(hub: &TestHub, oid: &str) -> bool {
    hub.dir
        .path()
        .join("lfs")
        .join(&oid[..2])
        .join(&oid[2..4])
        .join(oid)
        .exists()
}

fn temp_files(hub: &TestHub) -> usize {
    std::fs::read_dir(hub.dir.path().join("tmp")).unwrap().count()
}

#[tokio::test]
async fn an_object_is_sent_once_and_verified() {
    let hub = hub().await;
    let content = bytes(7, 700_000);
    let oid = sha256(&content);
    let batch = hub
        .ada()
        .batch(
            "ada/m",
            "upload",
            &["basic", "multipart"],
            &[(&oid, content.len())],
        )
        .await;
    assert_eq!(batch["transfer"], "basic");
    let actions = &batch["objects"][0]["actions"];
    let href = actions["upload"]["href"].as_str().unwrap();
    assert!(href.starts_with(hub.hub.payload_endpoint()));
    let verify = actions["verify"]["href"].as_str().unwrap();
    let body = json!({ "oid": oid, "size": content.len() });
    assert_eq!(
        hub.ada().post(verify, &body).await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        hub.client
            .put(href)
            .body(content.clone())
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
    assert_eq!(hub.ada().post(verify, &body).await.status(), StatusCode::OK);
    assert_eq!(
        hub.ada()
            .post(verify, &json!({ "oid": oid, "size": 1 }))
            .await
            .status(),
        StatusCode::BAD_REQUEST
    );
    // The same object again, which a client that lost the answer does.
    assert_eq!(
        hub.client
            .put(href)
            .body(content.clone())
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::OK
    );
    let again = hub
        .ada()
        .batch("ada/m", "upload", &["basic"], &[(&oid, content.len())])
        .await;
    assert!(
        again["objects"][0].get("actions").is_none() && again["objects"][0].get("error").is_none(),
        "{again}"
    );
    let down = hub
        .caller(None)
        .batch("ada/m", "download", &["basic"], &[(&oid, content.len())])
        .await;
    let href = down["objects"][0]["actions"]["download"]["href"]
        .as_str()
        .unwrap();
    assert!(hub.client.get(href).send().await.unwrap().bytes().await.unwrap() == content);
}

#[tokio::test]
async fn bytes_that_are_not_the_announced_ones_are_not_kept() {
    let hub = hub().await;
    let content = bytes(8, 100_000);
    let oid = sha256(&content);
    let batch = hub
        .ada()
        .batch("ada/m", "upload", &["basic"], &[(&oid, content.len())])
        .await;
    let href = batch["objects"][0]["actions"]["upload"]["href"].as_str().unwrap();
    let mut flipped = content.clone();
    flipped[50_000] ^= 1;
    let longer = [content.as_slice(), b"x"].concat();
    for (body, why) in [
        (flipped, "sha256"),
        (content[..99_999].to_vec(), "bytes"),
        (longer, "longer"),
        (Vec::new(), "bytes"),
    ] {
        let reply = hub.client.put(href).body(body).send().await.unwrap();
        assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
        let text = reply.text().await.unwrap();
        assert!(text.contains(why), "{text}");
        assert!(!stored(&hub, &oid));
    }
    assert_eq!(temp_files(&hub), 0);
    let line = lfs_file("w.bin", &oid, content.len());
    let reply = hub
        .ada()
        .commit_to("models/ada/m", "main", json!({ "summary": "x" }), &[line])
        .await;
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
    assert!(reply.text().await.unwrap().contains("does not exist"));
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing() {
    let hub = hub().await;
    let content = bytes(9, 400_000);
    let oid = sha256(&content);
    let batch = hub
        .ada()
        .batch("ada/m", "upload", &["basic"], &[(&oid, content.len())])
        .await;
    let href = batch["objects"][0]["actions"]["upload"]["href"].as_str().unwrap();
    let pieces = vec![
        Ok(content[..200_000].to_vec()),
        Err(std::io::Error::other("the cable was pulled")),
    ];
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let sent = hub
        .client
        .put(href)
        .header("content-length", content.len())
        .body(body)
        .send()
        .await;
    assert!(sent.is_err());
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while temp_files(&hub) > 0 {
        assert!(tokio::time::Instant::now() < deadline, "a temporary file stays");
        tokio::task::yield_now().await;
    }
    assert!(!stored(&hub, &oid));
}

/// Asks for a file that is large enough for parts, without one: the links say what is announced.
#[tokio::test]
async fn a_big_file_goes_in_parts() {
    let hub = hub().await;
    let size = 256 << 20;
    let batch = hub
        .ada()
        .batch(
            "ada/m",
            "upload",
            &["basic", "multipart"],
            &[(&"a".repeat(64), size)],
        )
        .await;
    assert_eq!(batch["transfer"], "multipart");
    let upload = &batch["objects"][0]["actions"]["upload"];
    assert_eq!(upload["header"]["chunk_size"], (64 << 20).to_string());
    assert_eq!(upload["header"].as_object().unwrap().len(), 5);
    assert!(upload["header"]["00004"].as_str().unwrap().contains("/parts/"));
    let only_basic = hub
        .ada()
        .batch("ada/m", "upload", &["basic"], &[(&"a".repeat(64), size)])
        .await;
    assert_eq!(only_basic["transfer"], "basic");
    // A part that is too short, a part there is not, and an early completion.
    let part = upload["header"]["00001"].as_str().unwrap();
    let reply = hub.client.put(part).body("short").send().await.unwrap();
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
    let reply = hub
        .client
        .put(part.replace("/1?", "/9?"))
        .body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::FORBIDDEN);
    let parts: Vec<Value> = (1..=4)
        .map(|n| json!({ "partNumber": n, "etag": "\"x\"" }))
        .collect();
    let complete = upload["href"].as_str().unwrap();
    let reply = hub
        .client
        .post(complete)
        .json(&json!({ "oid": "a".repeat(64), "parts": parts }))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
    let reply = hub
        .client
        .post(complete)
        .json(&json!({ "parts": [{ "partNumber": 2, "etag": "x" }] }))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_batch_is_checked() {
    let hub = hub().await;
    let url = "/ada/m.git/info/lfs/objects/batch";
    let object = json!({ "oid": "../../../etc/passwd", "size": 1 });
    for operation in ["upload", "download"] {
        let reply = hub
            .ada()
            .post(url, &json!({ "operation": operation, "objects": [object] }))
            .await;
        assert_eq!(header(&reply, "content-type"), "application/vnd.git-lfs+json");
        let body: Value = reply.json().await.unwrap();
        assert_eq!(body["objects"][0]["error"]["code"], 422);
    }
    for bad in [
        json!({ "operation": "steal", "objects": [] }),
        json!({ "operation": "upload", "objects": [], "hash_algo": "md5" }),
        json!({ "operation": "upload" }),
    ] {
        assert_eq!(hub.ada().post(url, &bad).await.status(), StatusCode::BAD_REQUEST);
    }
    let js = json!({ "operation": "upload", "objects": [], "hash_algo": "sha_256", "transfers": ["basic", "multipart", "xet"], "ref": { "name": "main" } });
    assert_eq!(hub.ada().post(url, &js).await.status(), StatusCode::OK);
    let locks = hub
        .ada()
        .post(
            "/ada/m.git/info/lfs/locks/verify",
            &json!({ "ref": { "name": "refs/heads/main" } }),
        )
        .await;
    assert_eq!(
        locks.json::<Value>().await.unwrap(),
        json!({ "ours": [], "theirs": [] })
    );
    let reply = hub
        .caller(Some(BOB))
        .post("/ada/m.git/info/lfs/locks/verify", &json!({}))
        .await;
    assert_eq!(reply.status(), StatusCode::FORBIDDEN);
    let reply = hub
        .client
        .post(hub.url(url))
        .basic_auth("ada", Some("hf_ada"))
        .json(&js)
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_copy_of_a_large_file_needs_no_upload() {
    let hub = hub().await;
    let content = bytes(10, 50_000);
    let oid = hub.ada().upload("ada/m", &content).await;
    hub.ada()
        .commit("models/ada/m", "x", &[lfs_file("a.bin", &oid, content.len())])
        .await;
    // The official client leaves out the size here.
    let line = json!({ "key": "lfsFile", "value": { "path": "b.bin", "algo": "sha256", "oid": oid } });
    hub.ada().commit("models/ada/m", "copy", &[line]).await;
    let tree = hub.ada().json("/api/models/ada/m/tree/main").await;
    assert_eq!(
        (&tree[1]["oid"], &tree[1]["lfs"]),
        (&tree[2]["oid"], &tree[2]["lfs"])
    );
    let wrong = lfs_file("c.bin", &oid, content.len() + 1);
    let reply = hub
        .ada()
        .commit_to("models/ada/m", "main", json!({ "summary": "x" }), &[wrong])
        .await;
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_no_repo_holds_is_removed() {
    let hub = hub().await;
    hub.ada().create("model", "other").await;
    let (shared, own) = (bytes(11, 300_000), bytes(12, 300_000));
    let put = async |content: &[u8]| hub.ada().upload("ada/m", content).await;
    let (shared_oid, own_oid) = (put(&shared).await, put(&own).await);
    let lines = [
        lfs_file("shared.bin", &shared_oid, 300_000),
        lfs_file("own.bin", &own_oid, 300_000),
    ];
    hub.ada().commit("models/ada/m", "x", &lines).await;
    hub.ada()
        .commit(
            "models/ada/m",
            "y",
            &[crate::support::file("blob.dat", vec![b'x'; 100_000])],
        )
        .await;
    hub.ada().commit("models/ada/other", "x", &lines[..1]).await;
    let gone = hub
        .ada()
        .request(reqwest::Method::DELETE, "/api/repos/delete")
        .json(&json!({ "name": "ada/m" }));
    assert_eq!(gone.send().await.unwrap().status(), StatusCode::OK);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    let blob_files = || walk(&hub.dir.path().join("blobs"));
    while stored(&hub, &own_oid) || blob_files() > 0 {
        assert!(tokio::time::Instant::now() < deadline, "nothing is removed");
        tokio::task::yield_now().await;
    }
    assert!(stored(&hub, &shared_oid), "another repo holds it");
    let place = header(
        &hub.ada().get("/ada/other/resolve/main/shared.bin").await,
        "location",
    )
    .to_owned();
    assert!(hub.client.get(place).send().await.unwrap().bytes().await.unwrap() == shared);
    assert_eq!(
        hub.ada()
            .get("/ada/other/resolve/main/.gitattributes")
            .await
            .status(),
        StatusCode::OK
    );
    // What was removed can be uploaded again.
    let oid = hub.ada().upload("ada/other", &own).await;
    hub.ada()
        .commit(
            "models/ada/other",
            "again",
            &[lfs_file("own.bin", &oid, own.len())],
        )
        .await;
}

fn walk(dir: &std::path::Path) -> usize {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            if entry.path().is_dir() {
                walk(&entry.path())
            } else {
                1
            }
        })
        .sum()
}
