//! Repositories and buckets in the folder of a job.
#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod jobs_support;

use jobs_support::{ADA, ADA_JOBS, BOB, TestHub, sh};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

async fn commit(hub: &TestHub, files: &[(&str, &str)]) -> String {
    let mut body = json!({"key": "header", "value": {"summary": "files"}}).to_string();
    for (path, content) in files {
        let line = json!({"key": "file", "value": {"path": path, "content": content, "encoding": "utf-8"}});
        body = format!("{body}\n{line}");
    }
    let response = hub
        .request(Method::POST, "/api/datasets/ada/words/commit/main", ADA)
        .header("content-type", "application/x-ndjson")
        .body(body)
        .send()
        .await
        .unwrap();
    let answer: Value = response.json().await.unwrap();
    answer["commitOid"]
        .as_str()
        .unwrap_or_else(|| panic!("{answer}"))
        .to_owned()
}

fn with_volume(script: &str, words: &[&str], volume: &Value) -> Value {
    let mut job = sh(script);
    let command = job["command"].as_array_mut().unwrap();
    command.push(json!("job"));
    command.extend(words.iter().map(|word| json!(word)));
    job["volumes"] = json!([volume]);
    job
}

#[tokio::test]
async fn a_repository_is_there_at_its_revision_and_can_not_be_written() {
    let hub = TestHub::start().await;
    hub.post(
        "/api/repos/create",
        &json!({"name": "words", "type": "dataset", "private": true}),
    )
    .await;
    let first = commit(&hub, &[("train/a.txt", "first"), ("readme.md", "r")]).await;
    commit(&hub, &[("train/a.txt", "second")]).await;
    let volume = |extra: Value| {
        let mut volume = json!({"type": "dataset", "source": "ada/words", "mountPath": "/data/words"});
        volume
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        volume
    };
    let script = "cat \"$1\"; echo; cat \"$PLACE/a.txt\" 2>/dev/null; ls \"$2\"; \
                  [ \"$(id -u)\" = 0 ] || { echo x > \"$2/new\"; } 2>/dev/null && echo written-or-root";
    for (extra, words, read) in [
        (json!({}), ["/data/words/train/a.txt", "/data/words"], "second"),
        (
            json!({"revision": first}),
            ["/data/words/train/a.txt", "/data/words"],
            "first",
        ),
        (
            json!({"path": "train", "revision": first}),
            ["/data/words/a.txt", "/data/words"],
            "first",
        ),
    ] {
        let mut job = with_volume(script, &words, &volume(extra));
        job["environment"] = json!({"PLACE": "/data/words/train"});
        let (done, lines) = hub.run(&job).await;
        assert_eq!(done["volumes"][0]["mountPath"], "/data/words");
        assert_eq!(lines[0], read, "{lines:?}");
        let folder = hub.folder.path().join("jobs").join(done["id"].as_str().unwrap());
        assert!(!folder.join("mnt").exists(), "the copies go with the job");
    }
}

#[tokio::test]
async fn a_volume_that_is_not_there_or_not_for_the_caller_is_refused() {
    let hub = TestHub::start().await;
    hub.post(
        "/api/repos/create",
        &json!({"name": "words", "type": "dataset", "private": true}),
    )
    .await;
    let volume =
        |kind: &str, source: &str, path: &str| json!({"type": kind, "source": source, "mountPath": path});
    for (token, namespace, volume, status) in [
        (ADA, "ada", volume("dataset", "ada/none", "/d"), 404),
        (ADA, "ada", volume("model", "ada/words", "/d"), 404),
        (ADA, "ada", volume("bucket", "ada/none", "/d"), 404),
        (ADA, "ada", volume("planet", "ada/words", "/d"), 400),
        (ADA, "ada", volume("dataset", "words", "/d"), 400),
        (ADA, "ada", volume("dataset", "ada/words", "d"), 400),
        (ADA, "ada", volume("dataset", "ada/words", "/../d"), 400),
        (ADA, "ada", volume("dataset", "ada/words", "/"), 400),
        (
            ADA,
            "ada",
            json!({"type": "dataset", "source": "ada/words", "mountPath": "/d", "revision": "nope"}),
            404,
        ),
        (ADA_JOBS, "ada", volume("dataset", "ada/words", "/d"), 404),
        (BOB, "bob", volume("dataset", "ada/words", "/d"), 404),
    ] {
        let job = with_volume("true", &[], &volume);
        let (found, answer) = hub
            .call(Method::POST, &format!("/api/jobs/{namespace}"), token, Some(&job))
            .await;
        assert_eq!(found.as_u16(), status, "{volume}: {answer}");
    }
}

#[tokio::test]
async fn buckets_are_made_once_looked_at_and_removed() {
    let hub = TestHub::start().await;
    let path = "/api/buckets/ada/jobs-artifacts";
    let private = json!({"visibility": "private"});
    let made = hub.post(path, &private).await;
    let url = format!("{}/buckets/ada/jobs-artifacts", hub.hub.endpoint());
    assert_eq!(made["url"], json!(url));
    let (status, again) = hub.call(Method::POST, path, ADA, Some(&private)).await;
    assert_eq!((status, &again["url"]), (StatusCode::CONFLICT, &json!(url)));
    let info = hub.get(path).await;
    assert_eq!(
        (&info["private"], &info["totalFiles"], &info["size"]),
        (&json!(true), &json!(0), &json!(0))
    );
    let (status, _) = hub.call(Method::GET, path, BOB, None).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let (status, _) = hub
        .call(Method::POST, "/api/buckets/ada/x", BOB, Some(&private))
        .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(hub.get(&format!("{path}/xet-write-token")).await["casUrl"].is_string());
    let unknown = json!({"type": "addFile", "path": "a.py", "xetHash": "0".repeat(64), "mtime": 1});
    let (status, answer) = hub
        .call(Method::POST, &format!("{path}/batch"), ADA, Some(&unknown))
        .await;
    assert_eq!(
        (status, &answer["failed"][0]["path"]),
        (StatusCode::UNPROCESSABLE_ENTITY, &json!("a.py"))
    );
    assert_eq!(hub.get("/api/buckets/me").await.as_array().unwrap().len(), 1);
    assert_eq!(hub.get(&format!("{path}/tree?recursive=true")).await, json!([]));
    let (status, _) = hub.call(Method::DELETE, path, ADA, None).await;
    assert!(status.is_success());
}
