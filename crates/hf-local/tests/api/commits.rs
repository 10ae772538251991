//! Commits.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::support::{TestHub, bytes, delete, file, header, lfs_file};

const M: &str = "models/ada/m";

async fn hub() -> TestHub {
    let hub = TestHub::start().await;
    hub.ada().create("model", "m").await;
    hub
}

async fn head(hub: &TestHub) -> String {
    hub.ada().json("/api/models/ada/m").await["sha"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_commit_adds_changes_and_removes() {
    let hub = hub().await;
    hub.ada()
        .commit(
            M,
            "one",
            &[
                file("a.txt", "1"),
                file("d/b.txt", "2"),
                file("d/e/c.txt", "3"),
                file("x/y", "4"),
            ],
        )
        .await;
    let lines = [
        file("a.txt", "11"),
        delete("deletedFile", "d/b.txt"),
        delete("deletedFolder", "x/"),
        json!({ "key": "file", "value": { "path": "z.txt", "content": "plain", "encoding": "utf-8" } }),
    ];
    let reply = hub
        .ada()
        .commit_to(
            M,
            "main",
            json!({ "summary": "two\nmore", "description": "even more" }),
            &lines,
        )
        .await;
    let body: Value = reply.json().await.unwrap();
    assert_eq!(
        (&body["success"], &body["hookOutput"]),
        (&json!(true), &json!(""))
    );
    let oid = body["commitOid"].as_str().unwrap();
    assert_eq!(body["commitUrl"], hub.url(&format!("/ada/m/commit/{oid}")));
    assert_eq!(
        hub.ada().paths(M).await,
        [".gitattributes", "a.txt", "d/e/c.txt", "z.txt"]
    );
    let log = hub.ada().json("/api/models/ada/m/commits/main").await;
    assert_eq!(
        (&log[0]["title"], &log[0]["message"], &log[0]["id"]),
        (&json!("two"), &json!("more\n\neven more"), &json!(oid))
    );
    assert_eq!(
        hub.ada()
            .get("/ada/m/resolve/main/z.txt")
            .await
            .text()
            .await
            .unwrap(),
        "plain"
    );
}

#[tokio::test]
async fn a_file_can_change_its_path_and_be_copied() {
    let hub = hub().await;
    hub.ada().commit(M, "one", &[file("a.txt", "1")]).await;
    hub.ada()
        .commit(M, "moved", &[json!({ "key": "file", "value": { "path": "b.txt", "oldPath": "a.txt", "content": "MQ==", "encoding": "base64" } })])
        .await;
    hub.ada()
        .commit(
            M,
            "copied",
            &[json!({ "key": "copyFile", "value": { "path": "c/d.txt", "srcPath": "b.txt" } })],
        )
        .await;
    assert_eq!(hub.ada().paths(M).await, [".gitattributes", "b.txt", "c/d.txt"]);
    assert_eq!(
        hub.ada()
            .get("/ada/m/resolve/main/c/d.txt")
            .await
            .text()
            .await
            .unwrap(),
        "1"
    );
}

#[tokio::test]
async fn a_stale_parent_is_refused_and_nothing_changes() {
    let hub = hub().await;
    let first = head(&hub).await;
    let second = hub.ada().commit(M, "one", &[file("a", "1")]).await;
    let header = json!({ "summary": "stale", "parentCommit": first });
    let reply = hub.ada().commit_to(M, "main", header, &[file("b", "1")]).await;
    assert_eq!(reply.status(), StatusCode::PRECONDITION_FAILED);
    let body: Value = reply.json().await.unwrap();
    assert_eq!(
        body["error"],
        "A commit has happened since. Please refresh and try again."
    );
    assert_eq!(head(&hub).await, second);
    let header = json!({ "summary": "fresh", "parentCommit": second });
    assert_eq!(
        hub.ada()
            .commit_to(M, "main", header, &[file("b", "1")])
            .await
            .status(),
        StatusCode::OK
    );
    let header = json!({ "summary": "x", "parentCommit": "main" });
    assert_eq!(
        hub.ada().commit_to(M, "main", header, &[]).await.status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn the_same_commit_sent_again_is_made_once() {
    let hub = hub().await;
    let base = hub
        .ada()
        .commit(M, "base", &[file("old", "1"), file("keep", "1")])
        .await;
    for header in [
        json!({ "summary": "again" }),
        json!({ "summary": "again", "parentCommit": base }),
    ] {
        let lines = [file("new", "1"), delete("deletedFile", "old")];
        let send = async || {
            let reply = hub.ada().commit_to(M, "main", header.clone(), &lines).await;
            let status = reply.status();
            let body: Value = reply.json().await.unwrap();
            assert_eq!(status, StatusCode::OK, "{header}: {body}");
            body["commitOid"].as_str().unwrap().to_owned()
        };
        let first = send().await;
        assert_eq!(send().await, first);
        assert_eq!(head(&hub).await, first);
    }
    let log = hub.ada().json("/api/models/ada/m/commits/main").await;
    assert_eq!(log.as_array().unwrap().len(), 3, "{log}");
    // Another commit that only looks alike is no retry.
    let header = json!({ "summary": "other title", "parentCommit": base });
    let reply = hub
        .ada()
        .commit_to(
            M,
            "main",
            header,
            &[file("new", "1"), delete("deletedFile", "old")],
        )
        .await;
    assert_eq!(reply.status(), StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn a_commit_that_changes_nothing_answers_the_head() {
    let hub = hub().await;
    let first = hub.ada().commit(M, "one", &[file("a", "1")]).await;
    assert_eq!(hub.ada().commit(M, "same", &[file("a", "1")]).await, first);
    assert_eq!(hub.ada().commit(M, "empty", &[]).await, first);
}

#[tokio::test]
async fn paths_that_could_leave_the_repo_are_refused() {
    let hub = hub().await;
    let before = head(&hub).await;
    for path in [
        "",
        "/abs",
        "..",
        "../up",
        "a/../../up",
        "a/./b",
        "a//b",
        "a\\b",
        "..\\up",
        "nul\0",
        ".git/hooks/x",
        "a/.GIT/config",
        "line\nfeed",
    ] {
        for line in [
            file(path, "x"),
            lfs_file(path, &"a".repeat(64), 1),
            delete("deletedFile", path),
            delete("deletedFolder", path),
            delete("deletedEntry", path),
        ] {
            let reply = hub
                .ada()
                .commit_to(M, "main", json!({ "summary": "x" }), std::slice::from_ref(&line))
                .await;
            assert_eq!(reply.status(), StatusCode::BAD_REQUEST, "{line}");
        }
        let body = json!({ "files": [{ "path": path, "size": 1, "sample": "" }] });
        assert_eq!(
            hub.ada()
                .post("/api/models/ada/m/preupload/main", &body)
                .await
                .status(),
            StatusCode::BAD_REQUEST,
            "{path:?}"
        );
    }
    assert_eq!(head(&hub).await, before);
}

#[tokio::test]
async fn what_can_t_be_done_leaves_the_head() {
    let hub = hub().await;
    let before = hub
        .ada()
        .commit(M, "one", &[file("a", "1"), file("d/b", "1")])
        .await;
    let missing = "0".repeat(64);
    for (lines, status) in [
        (vec![delete("deletedFile", "nope")], 404),
        (vec![delete("deletedFile", "d")], 404),
        (vec![delete("deletedFolder", "a")], 404),
        (vec![delete("deletedEntry", "nope/x")], 404),
        (vec![file("a/x", "1")], 400),
        (vec![file("d", "1")], 400),
        (vec![lfs_file("big", &missing, 5)], 400),
        (vec![lfs_file("big", "zz", 5)], 400),
        (
            vec![file(
                "big",
                format!("version https://git-lfs.github.com/spec/v1\noid sha256:{missing}\nsize 5\n"),
            )],
            400,
        ),
        (
            vec![json!({ "key": "file", "value": { "path": "x", "content": "***", "encoding": "base64" } })],
            400,
        ),
        (
            vec![json!({ "key": "file", "value": { "path": "x", "content": "", "encoding": "rot13" } })],
            400,
        ),
        (vec![json!({ "key": "nonsense", "value": {} })], 400),
        (vec![json!({ "key": "file" })], 400),
        (vec![json!([1])], 400),
        (vec![file("README.md", "---\na: [\n---\n")], 400),
        (vec![file("ok", "1"), delete("deletedFile", "nope")], 404),
    ] {
        let reply = hub
            .ada()
            .commit_to(M, "main", json!({ "summary": "x" }), &lines)
            .await;
        assert_eq!(
            reply.status().as_u16(),
            status,
            "{lines:?}: {}",
            reply.text().await.unwrap()
        );
    }
    assert_eq!(head(&hub).await, before);
    let reply = hub
        .ada()
        .commit_to(
            M,
            "main?create_pr=1",
            json!({ "summary": "x" }),
            &[file("x", "1")],
        )
        .await;
    assert_eq!(reply.status(), StatusCode::NOT_IMPLEMENTED);
    assert!(reply.text().await.unwrap().contains("create_pr"));
    let reply = hub
        .ada()
        .commit_to(M, "nobranch", json!({ "summary": "x" }), &[file("x", "1")])
        .await;
    assert_eq!(
        (reply.status(), header(&reply, "x-error-code")),
        (StatusCode::NOT_FOUND, "RevisionNotFound")
    );
    let reply = hub
        .ada()
        .request(Method::POST, "/api/models/ada/m/commit/main")
        .body("")
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn lines_may_come_in_any_pieces() {
    let hub = hub().await;
    let mut body = json!({ "key": "header", "value": { "summary": "pieces" } }).to_string();
    let content = bytes(1, 3_000_000);
    for line in [file("big.dat", &content), file("small.txt", "s")] {
        body.push_str("\r\n\n");
        body.push_str(&line.to_string());
    }
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> = body
        .as_bytes()
        .chunks(9_973)
        .map(|piece| Ok(piece.to_vec()))
        .collect();
    let reply = hub
        .ada()
        .request(Method::POST, "/api/models/ada/m/commit/main")
        .body(reqwest::Body::wrap_stream(futures::stream::iter(pieces)))
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), StatusCode::OK);
    assert!(
        hub.ada()
            .get("/ada/m/resolve/main/big.dat")
            .await
            .bytes()
            .await
            .unwrap()
            == content
    );
}

#[tokio::test]
async fn a_line_has_a_limit() {
    let hub = hub().await;
    let reply = hub
        .ada()
        .commit_to(
            M,
            "main",
            json!({ "summary": "x" }),
            &[file("x", vec![0; 10 * 1024 * 1024 + 1])],
        )
        .await;
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
    let reply = hub
        .ada()
        .commit_to(
            M,
            "main",
            json!({ "summary": "x" }),
            &[file("x", vec![0; 12 * 1024 * 1024])],
        )
        .await;
    assert_eq!(reply.status(), StatusCode::PAYLOAD_TOO_LARGE);
    assert!(reply.text().await.unwrap().contains("large file"));
}

#[tokio::test]
async fn many_files_in_one_commit_are_all_there() {
    let hub = hub().await;
    // More than is held in memory before the commit.
    let lines: Vec<Value> = (0..300)
        .map(|n| file(&format!("d{}/f{n}", n % 10), bytes(n, 20_000)))
        .collect();
    hub.ada().commit(M, "many", &lines).await;
    assert_eq!(hub.ada().paths(M).await.len(), 301);
    for n in [0, 123, 299] {
        let got = hub
            .ada()
            .get(&format!("/ada/m/resolve/main/d{}/f{n}", n % 10))
            .await
            .bytes()
            .await
            .unwrap();
        assert!(got == bytes(n, 20_000));
    }
}

#[tokio::test]
async fn commits_at_the_same_time_all_count() {
    let hub = hub().await;
    let ada = hub.ada();
    let commits = (0..12).map(|n| {
        let ada = &ada;
        async move {
            ada.commit(M, &format!("c{n}"), &[file(&format!("f{n}"), "x")])
                .await
        }
    });
    futures::future::join_all(commits).await;
    assert_eq!(hub.ada().paths(M).await.len(), 13);
    let log = hub.ada().json("/api/models/ada/m/commits/main").await;
    assert_eq!(log.as_array().unwrap().len(), 13);
}

#[tokio::test]
async fn preupload_says_how_to_send_each_file() {
    let hub = hub().await;
    hub.ada()
        .commit(
            M,
            "one",
            &[file("old.txt", "hello\n"), file(".gitignore", "*.log\nbuild/\n")],
        )
        .await;
    let sample = |bytes: &[u8]| {
        use base64::Engine;
        base64::prelude::BASE64_STANDARD.encode(bytes)
    };
    let ask = [
        ("config.json", 10, sample(b"{}"), "regular", false),
        ("model.safetensors", 10, sample(b"{}"), "lfs", false),
        ("notes.dat", 10, sample(&[0, 1, 2]), "lfs", false),
        ("huge.json", 10 * 1024 * 1024 + 1, sample(b"{}"), "lfs", false),
        ("old.txt", 6, sample(b"hello\n"), "regular", false),
        ("x.log", 1, sample(b"a"), "regular", true),
        ("build/x", 1, sample(b"a"), "regular", true),
    ];
    let files: Vec<Value> = ask
        .iter()
        .map(|(path, size, sample, ..)| json!({ "path": path, "size": size, "sample": sample }))
        .collect();
    let reply = hub
        .ada()
        .post("/api/models/ada/m/preupload/main", &json!({ "files": files }))
        .await;
    let body: Value = reply.json().await.unwrap();
    for (answer, (path, _, _, mode, ignored)) in body["files"].as_array().unwrap().iter().zip(&ask) {
        assert_eq!(
            (&answer["path"], &answer["uploadMode"], &answer["shouldIgnore"]),
            (&json!(path), &json!(mode), &json!(ignored))
        );
        let oid = (*path == "old.txt").then_some("ce013625030ba8dba906f756967f9e9ca394464a");
        assert_eq!(answer.get("oid").and_then(Value::as_str), oid);
    }
    assert_eq!(body["commitOid"], head(&hub).await.as_str());
    let body = json!({ "files": files, "gitAttributes": "*.json filter=lfs\n" });
    let body: Value = hub
        .ada()
        .post("/api/models/ada/m/preupload/main", &body)
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(
        (&body["files"][0]["uploadMode"], &body["files"][1]["uploadMode"]),
        (&json!("lfs"), &json!("regular"))
    );
    let reply = hub
        .ada()
        .post("/api/models/ada/m/preupload/main", &json!({ "files": "x" }))
        .await;
    assert_eq!(reply.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_card_is_checked_before_the_commit() {
    let hub = hub().await;
    let check = async |content: &str| {
        let reply = hub
            .ada()
            .post(
                "/api/validate-yaml",
                &json!({ "content": content, "repoType": "model" }),
            )
            .await;
        (reply.status().as_u16(), reply.json::<Value>().await.unwrap())
    };
    assert_eq!(
        check("---\nlicense: mit\n---\n# hi").await,
        (200, json!({ "warnings": [], "errors": [] }))
    );
    let (status, body) = check("# no metadata").await;
    assert_eq!((status, body["warnings"].as_array().unwrap().len()), (200, 1));
    for bad in [
        "---\na: [1\n---\n",
        "---\n- a\n- b\n---\n",
        "---\na: 1\na: 2: 3\n---\n",
    ] {
        let (status, body) = check(bad).await;
        assert_eq!(status, 400, "{body}");
        assert!(
            body["errors"][0]["message"]
                .as_str()
                .unwrap()
                .starts_with("Invalid metadata"),
            "{body}"
        );
    }
}
