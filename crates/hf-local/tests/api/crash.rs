//! A Hub that is killed comes back with the old head or the new one.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use hf_local::{LocalHub, LocalHubConfig};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::support::{ADA, accounts, bytes, file, sha256};

const DIR: &str = "HF_LOCAL_TEST_CRASH_DIR";

/// Not a test of its own: what the test below starts and kills. Does nothing unless it is told a folder.
#[tokio::test]
#[ignore = "started by the test that kills it"]
#[expect(
    clippy::disallowed_methods,
    reason = "the folder has to come from the parent process"
)]
async fn serve_until_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let hub = LocalHub::start(LocalHubConfig::new(dir).accounts(accounts()))
        .await
        .unwrap();
    println!("ENDPOINT {}", hub.endpoint());
    std::future::pending::<()>().await;
}

fn spawn(dir: &Path) -> (Child, String) {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crash::serve_until_killed", "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let endpoint = lines
        .find_map(|line| {
            line.unwrap()
                .split_once("ENDPOINT ")
                .map(|(_, url)| url.to_owned())
        })
        .unwrap();
    // The pipe stays open for as long as the child lives.
    std::thread::spawn(move || lines.for_each(drop));
    (child, endpoint)
}

struct Remote {
    client: Client,
    endpoint: String,
}

impl Remote {
    async fn post(&self, path: &str, body: String) -> Result<(StatusCode, Value), reqwest::Error> {
        let reply = self
            .client
            .post(format!("{}{path}", self.endpoint))
            .bearer_auth(ADA)
            .body(body)
            .send()
            .await?;
        Ok((reply.status(), reply.json().await?))
    }

    async fn head(&self) -> String {
        let reply = self
            .client
            .get(format!("{}/api/models/ada/m", self.endpoint))
            .bearer_auth(ADA)
            .send()
            .await
            .unwrap();
        reply.json::<Value>().await.unwrap()["sha"]
            .as_str()
            .unwrap()
            .to_owned()
    }

    async fn paths(&self, revision: &str) -> Vec<String> {
        let url = format!(
            "{}/api/models/ada/m/tree/{revision}?recursive=true",
            self.endpoint
        );
        let tree: Value = self
            .client
            .get(url)
            .bearer_auth(ADA)
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        tree.as_array()
            .unwrap()
            .iter()
            .map(|item| item["path"].as_str().unwrap().to_owned())
            .collect()
    }
}

fn commit_body(round: u64) -> String {
    let mut body = json!({ "key": "header", "value": { "summary": format!("round {round}") } }).to_string();
    for n in 0..40 {
        body.push('\n');
        body.push_str(&file(&format!("r{round}/f{n}"), bytes(round * 100 + n, 90_000)).to_string());
    }
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_hub_has_the_old_head_or_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let mut expected: Vec<String> = vec![".gitattributes".to_owned()];
    let mut last = String::new();
    for round in 0..6_u64 {
        let (mut child, endpoint) = spawn(dir.path());
        let hub = Remote {
            client: client.clone(),
            endpoint,
        };
        if round == 0 {
            let (status, _) = hub
                .post("/api/repos/create", json!({ "name": "m" }).to_string())
                .await
                .unwrap();
            assert_eq!(status, StatusCode::OK);
            last = hub.head().await;
        }
        assert_eq!(hub.head().await, last, "round {round}");
        let committing = tokio::spawn({
            let hub = Remote {
                client: hub.client.clone(),
                endpoint: hub.endpoint.clone(),
            };
            async move {
                hub.post("/api/models/ada/m/commit/main", commit_body(round))
                    .await
            }
        });
        // Killed at another place of the commit in each round.
        for _ in 0..round * 40 {
            let _ = client
                .get(format!("{}/api/agent-harnesses", hub.endpoint))
                .send()
                .await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let answered = committing.await.unwrap().ok();
        let (mut child, endpoint) = spawn(dir.path());
        let hub = Remote {
            client: client.clone(),
            endpoint,
        };
        let head = hub.head().await;
        if head == last {
            assert!(answered.is_none(), "a commit that was answered is gone");
        } else {
            expected.push(format!("r{round}"));
            expected.extend((0..40).map(|n| format!("r{round}/f{n}")));
            if let Some((status, body)) = answered {
                assert_eq!((status, &body["commitOid"]), (StatusCode::OK, &json!(head)));
            }
        }
        let mut paths = hub.paths("main").await;
        paths.sort();
        expected.sort();
        assert_eq!(paths, expected, "round {round}");
        for path in paths.iter().filter(|path| path.contains("/f")) {
            let url = format!("{}/ada/m/resolve/main/{path}", hub.endpoint);
            let got = client
                .get(url)
                .bearer_auth(ADA)
                .send()
                .await
                .unwrap()
                .bytes()
                .await
                .unwrap();
            let (folder, name) = path.split_once("/f").unwrap();
            let seed = folder[1..].parse::<u64>().unwrap() * 100 + name.parse::<u64>().unwrap();
            assert!(got == bytes(seed, 90_000), "{path}");
        }
        last = head;
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[tokio::test]
async fn a_large_upload_that_was_cut_off_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let client = Client::builder().no_proxy().build().unwrap();
    let (mut child, endpoint) = spawn(dir.path());
    let hub = Remote {
        client: client.clone(),
        endpoint,
    };
    hub.post("/api/repos/create", json!({ "name": "m" }).to_string())
        .await
        .unwrap();
    let content = bytes(1, 8_000_000);
    let oid = sha256(&content);
    let batch = json!({ "operation": "upload", "transfers": ["basic"], "objects": [{ "oid": oid, "size": content.len() }] }).to_string();
    let (_, answer) = hub
        .post("/ada/m.git/info/lfs/objects/batch", batch.clone())
        .await
        .unwrap();
    let href = answer["objects"][0]["actions"]["upload"]["href"]
        .as_str()
        .unwrap()
        .to_owned();
    // Half of the file, and then no more.
    let half = futures::stream::iter([Ok::<_, std::io::Error>(content[..4_000_000].to_vec())]);
    let half = futures::StreamExt::chain(half, futures::stream::pending());
    let put = client
        .put(href)
        .header("content-length", content.len())
        .body(reqwest::Body::wrap_stream(half))
        .send();
    let sending = tokio::spawn(put);
    let temp = dir.path().join("tmp");
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::fs::read_dir(&temp).unwrap().count() == 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the upload does not begin"
        );
        tokio::task::yield_now().await;
    }
    child.kill().unwrap();
    child.wait().unwrap();
    sending.abort();
    let (mut child, endpoint) = spawn(dir.path());
    let hub = Remote { client, endpoint };
    let (_, answer) = hub
        .post("/ada/m.git/info/lfs/objects/batch", batch)
        .await
        .unwrap();
    assert!(
        answer["objects"][0].get("actions").is_some(),
        "half an object passes for a whole one: {answer}"
    );
    assert_eq!(
        std::fs::read_dir(&temp).unwrap().count(),
        0,
        "what was cut off still takes room"
    );
    child.kill().unwrap();
    child.wait().unwrap();
}
