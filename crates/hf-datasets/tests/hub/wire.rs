//! What goes over the wire, against a script: the shapes the official client sends.

use std::sync::Arc;

use hf_core::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use hf_core::{Endpoint, HfClient, HfErrorKind, RepoId, RepoType, Token};
use hf_datasets::{CommitOperation, CommitOptions, RepoFiles};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

const HEAD: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const DONE: &str = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";

/// A Hub made of a script. `batch` is its answer to the LFS batch.
fn scripted(batch: Value) -> (ScriptedTransport, RepoFiles) {
    let transport = ScriptedTransport::answering(move |request| Some(answer(request, &batch)));
    let client = HfClient::builder()
        .endpoint(Endpoint::parse("http://127.0.0.1:1").unwrap())
        .token(Token::parse("hf_test_token_value").unwrap())
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(ManualClock::auto()))
        .build()
        .unwrap();
    (
        transport,
        RepoFiles::new(&client, RepoType::Dataset, RepoId::parse("ada/d").unwrap()),
    )
}

fn answer(request: &RecordedRequest, batch: &Value) -> Reply {
    if request.url.port() != Some(1) {
        let part = request.url.query().unwrap_or_default().to_owned();
        return Reply::status(200).header("etag", &format!("\"e-{part}\""));
    }
    match request.path() {
        "/api/datasets/ada/d/revision/main" => {
            Reply::json(200, json!({ "id": "ada/d", "sha": HEAD, "private": true }))
        }
        "/api/datasets/ada/d/preupload/main" => {
            let files: Vec<Value> = request.json()["files"]
                .as_array()
                .unwrap()
                .iter()
                .map(|file| {
                    let large = file["path"] == "x.bin";
                    json!({ "path": file["path"], "uploadMode": if large { "lfs" } else { "regular" }, "shouldIgnore": false })
                })
                .collect();
            Reply::json(200, json!({ "files": files, "commitOid": HEAD }))
        }
        "/datasets/ada/d.git/info/lfs/objects/batch" => Reply::json(200, batch),
        "/api/datasets/ada/d/commit/main" => Reply::json(
            200,
            json!({ "success": true, "commitOid": DONE, "commitUrl": "http://127.0.0.1:1/c", "hookOutput": "" }),
        ),
        path if path.ends_with("/verify") || path.ends_with("/complete") => Reply::json(200, json!({})),
        _ => Reply::status(404),
    }
}

fn find(transport: &ScriptedTransport, end: &str) -> RecordedRequest {
    transport
        .requests()
        .into_iter()
        .find(|request| request.path().ends_with(end))
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn parts_go_to_their_addresses_and_the_commit_names_the_object() {
    let content = b"0123456789".to_vec();
    let oid = hex::encode(Sha256::digest(&content));
    let (transport, repo) = scripted(json!({
        "transfer": "multipart",
        "objects": [{
            "oid": oid, "size": 10,
            "actions": {
                "upload": {
                    "href": "http://127.0.0.1:1/complete",
                    "header": {
                        "chunk_size": "4",
                        "00001": "http://127.0.0.1:2/part?1",
                        "00002": "http://127.0.0.1:2/part?2",
                        "00003": "http://127.0.0.1:2/part?3",
                    },
                },
                "verify": { "href": "http://127.0.0.1:1/verify" },
            },
        }],
    }));
    let options = CommitOptions {
        message: "Add".to_owned(),
        ..CommitOptions::default()
    };
    let operations = vec![
        CommitOperation::add_bytes("a \"b\".txt", "hi"),
        CommitOperation::add_bytes("x.bin", content),
        CommitOperation::DeleteFile {
            path: "old.txt".to_owned(),
        },
        CommitOperation::DeleteFolder {
            path: "logs".to_owned(),
        },
    ];
    let commit = repo.commit(operations, &options).await.unwrap();
    assert_eq!(
        (commit.oid.as_str(), commit.url.as_str()),
        (DONE, "http://127.0.0.1:1/c")
    );

    let batch = find(&transport, "/objects/batch");
    assert_eq!(batch.header("content-type"), Some("application/vnd.git-lfs+json"));
    assert_eq!(
        batch.json(),
        json!({
            "operation": "upload", "transfers": ["basic", "multipart", "xet"], "hash_algo": "sha256",
            "ref": { "name": "main" }, "objects": [{ "oid": oid, "size": 10 }],
        })
    );
    let mut parts: Vec<(String, Vec<u8>, bool)> = transport
        .requests()
        .into_iter()
        .filter(|request| request.url.port() == Some(2))
        .map(|request| {
            let token = request.header("authorization").is_some();
            (
                request.url.query().unwrap().to_owned(),
                request.body.to_vec(),
                token,
            )
        })
        .collect();
    parts.sort();
    let expected: Vec<(String, Vec<u8>, bool)> = [("1", "0123"), ("2", "4567"), ("3", "89")]
        .map(|(number, bytes)| (number.to_owned(), bytes.into(), false))
        .into();
    assert_eq!(parts, expected);
    assert_eq!(
        find(&transport, "/complete").json(),
        json!({ "oid": oid, "parts": [
            { "partNumber": 1, "etag": "\"e-1\"" }, { "partNumber": 2, "etag": "\"e-2\"" }, { "partNumber": 3, "etag": "\"e-3\"" },
        ] })
    );
    let verify = find(&transport, "/verify");
    assert_eq!(verify.json(), json!({ "oid": oid, "size": 10 }));
    assert!(verify.header("authorization").is_some());

    let sent = find(&transport, "/commit/main");
    assert_eq!(sent.header("content-type"), Some("application/x-ndjson"));
    let lines: Vec<Value> = sent
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    assert_eq!(
        lines,
        [
            json!({ "key": "header", "value": { "summary": "Add", "description": "", "parentCommit": HEAD } }),
            json!({ "key": "file", "value": { "path": "a \"b\".txt", "encoding": "base64", "content": "aGk=" } }),
            json!({ "key": "lfsFile", "value": { "path": "x.bin", "algo": "sha256", "oid": oid, "size": 10 } }),
            json!({ "key": "deletedFile", "value": { "path": "old.txt" } }),
            json!({ "key": "deletedFolder", "value": { "path": "logs/" } }),
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_cannot_send_unscanned_data_elsewhere() {
    let content = b"secret".to_vec();
    let oid = hex::encode(Sha256::digest(&content));
    let (transport, repo) = scripted(json!({
        "transfer": "basic",
        "objects": [{ "oid": oid, "size": 6, "actions": { "upload": { "href": "https://storage.example.org/put" } } }],
    }));
    let error = repo
        .commit(
            vec![CommitOperation::add_bytes("x.bin", content)],
            &CommitOptions::default(),
        )
        .await
        .unwrap_err();
    assert!(error.to_string().contains("secret scan"), "{error}");
    assert!(
        transport
            .requests()
            .iter()
            .all(|request| request.url.port() == Some(1))
    );
    assert!(
        transport
            .requests()
            .iter()
            .all(|request| !request.path().contains("/commit/"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_storage_refuses_is_not_committed() {
    let content = b"secret".to_vec();
    let oid = hex::encode(Sha256::digest(&content));
    let (transport, repo) = scripted(json!({
        "transfer": "basic",
        "objects": [{ "oid": oid, "size": 6, "error": { "code": 422, "message": "too large" } }],
    }));
    let error = repo
        .commit(
            vec![CommitOperation::add_bytes("x.bin", content)],
            &CommitOptions::default(),
        )
        .await
        .unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::InvalidArgument);
    assert!(error.to_string().contains("too large"), "{error}");
    assert!(
        transport
            .requests()
            .iter()
            .all(|request| !request.path().contains("/commit/"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_grows_meanwhile_is_not_committed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.txt");
    std::fs::write(&path, "one\n").unwrap();
    let growing = path.clone();
    // The file changes after it was hashed, while the commit is being sent.
    let transport = ScriptedTransport::answering(move |request| Some(answer(request, &json!({}))));
    let client = HfClient::builder()
        .endpoint(Endpoint::parse("http://127.0.0.1:1").unwrap())
        .transport(Arc::new(transport.clone()))
        .build()
        .unwrap();
    let repo = RepoFiles::new(&client, RepoType::Dataset, RepoId::parse("ada/d").unwrap());
    let progress = hf_datasets::Progress::new(move |event: &hf_datasets::TransferEvent| {
        if *event == hf_datasets::TransferEvent::Committing {
            std::fs::write(&growing, "two\n").unwrap();
        }
    });
    let options = CommitOptions {
        progress,
        ..CommitOptions::default()
    };
    let error = repo
        .commit(vec![CommitOperation::add_file("log.txt", &path)], &options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::InvalidArgument, "{error}");
    assert!(error.to_string().contains("changed while"), "{error}");
}
