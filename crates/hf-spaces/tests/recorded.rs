//! What this crate sends, beside what the official client sends for the same calls (`recorded/official.json`, made by
//! `recorded/make.py`).
//!
//! Differences, and why: a creation carries the files too, so that there is no moment with a Space and without its app; a commit of
//! small text files is not announced by a `preupload`, whose answer could only be that they are small.
#![expect(clippy::unwrap_used, reason = "a test that can not go on has failed")]

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use hf_core::testing::{ManualClock, RecordedRequest, Reply, ScriptedTransport};
use hf_core::{HfClient, Namespace, RepoId, RetryPolicy, Token};
use hf_spaces::{
    DeployOptions, DeployRequest, DuplicateOptions, HfSpaceManager, SleepTime, SpaceConfig, SpaceLog,
    SpaceLogOptions, TextFile, Visibility,
};
use serde::Deserialize;
use serde_json::{Value, json};

const TOKEN: &str = "hf_RecordingToken00000000000000000000001";

#[derive(Debug, PartialEq, Deserialize)]
struct Sent {
    method: String,
    path: String,
    query: Vec<(String, String)>,
    body: Value,
}

fn official() -> BTreeMap<String, Vec<Sent>> {
    serde_json::from_str(include_str!("recorded/official.json")).unwrap()
}

impl From<&RecordedRequest> for Sent {
    fn from(request: &RecordedRequest) -> Self {
        assert_eq!(
            request.header("authorization"),
            Some(format!("Bearer {TOKEN}").as_str())
        );
        let lines = || {
            let text = std::str::from_utf8(&request.body).unwrap();
            text.lines()
                .map(|line| serde_json::from_str::<Value>(line).unwrap())
                .collect::<Value>()
        };
        let body = if request.header("content-type") == Some("application/x-ndjson") {
            lines()
        } else {
            request.json()
        };
        let mut query: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
        query.sort();
        Self {
            method: request.method.to_string(),
            path: request.path().to_owned(),
            query,
            body,
        }
    }
}

/// Makes one call and returns the requests it sent; what is answered does not matter.
async fn send(call: &str) -> Vec<Sent> {
    let transport = ScriptedTransport::answering(|request| match request.path() {
        "/api/whoami-v2" => Some(Reply::json(
            200,
            json!({"type": "user", "id": "66aa00bb11cc22dd33ee4401", "name": "ada", "fullname": "Ada", "isPro": true, "canPay": true,
                "orgs": [], "auth": {"type": "access_token", "accessToken": {"displayName": "t", "role": "write"}}}),
        )),
        "/api/models/ada/student" => Some(Reply::json(200, json!({"sha": "1".repeat(40), "private": false}))),
        "/api/repos/create" => Some(Reply::json(400, json!({"error": "enough"}))),
        _ => Some(Reply::json(400, json!({"error": "no"}))),
    });
    let client = HfClient::builder()
        .token(Token::parse(TOKEN).unwrap())
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(ManualClock::auto()))
        .retry(RetryPolicy::never())
        .build()
        .unwrap();
    let spaces = HfSpaceManager::new(&client, Namespace::parse("ada").unwrap());
    make(call, &spaces).await;
    transport
        .requests()
        .iter()
        .filter(|request| request.path() != "/api/whoami-v2" && !request.path().starts_with("/api/models/"))
        .map(Sent::from)
        .collect()
}

async fn make(call: &str, spaces: &HfSpaceManager) {
    let id: RepoId = "ada/demo".parse().unwrap();
    let t4 = "t4-small".parse().unwrap();
    let hour = SleepTime::After(std::time::Duration::from_hours(1));
    match call {
        "create" => {
            let request = DeployRequest {
                model: "ada/student".parse().unwrap(),
                space: id,
                config: SpaceConfig {
                    hardware: t4,
                    sleep_time: Some(hour),
                    secrets: [("A".to_owned(), "1".into())].into(),
                    variables: [("B".to_owned(), "2".to_owned())].into(),
                    ..SpaceConfig::default()
                },
            };
            drop(
                spaces
                    .create_inference_space(&request, &DeployOptions::default())
                    .await,
            );
        }
        "delete" => drop(spaces.delete_space(&id).await),
        "info" => drop(spaces.get_space(&id).await),
        "list" => drop(spaces.list_spaces().next().await),
        "runtime" => drop(spaces.get_space_status(&id).await),
        "hardware" => drop(spaces.request_hardware(&id, &t4, None).await),
        "hardware with sleep" => drop(spaces.request_hardware(&id, &t4, Some(SleepTime::Never)).await),
        "sleep" => drop(spaces.set_sleep_time(&id, hour).await),
        "pause" => drop(spaces.pause(&id).await),
        "restart" => drop(spaces.restart(&id, false).await),
        "restart factory" => drop(spaces.restart(&id, true).await),
        "dev mode" => drop(spaces.set_dev_mode(&id, true).await),
        "dev mode off" => drop(spaces.set_dev_mode(&id, false).await),
        "secrets" => drop(spaces.list_secrets(&id).await),
        "set secret" => drop(spaces.set_secret(&id, "A", &"1".into(), Some("why")).await),
        "delete secret" => drop(spaces.delete_secret(&id, "A").await),
        "variables" => drop(spaces.list_variables(&id).await),
        "set variable" => drop(spaces.set_variable(&id, "A", "1", None).await),
        "delete variable" => drop(spaces.delete_variable(&id, "A").await),
        "list hardware" => drop(spaces.hardware().await),
        "duplicate" => {
            let options = DuplicateOptions {
                visibility: Some(Visibility::Private),
                hardware: Some(t4),
                sleep_time: Some(hour),
                secrets: [("A".to_owned(), "1".into())].into(),
                variables: [("B".to_owned(), "2".to_owned())].into(),
            };
            let copy = "ada/copy".parse().unwrap();
            drop(spaces.duplicate(&id, &copy, &options).await);
        }
        "build log" => drop(
            spaces
                .stream_logs(&id, SpaceLog::Build, SpaceLogOptions::default())
                .next()
                .await,
        ),
        "run log" => drop(
            spaces
                .stream_logs(&id, SpaceLog::Run, SpaceLogOptions::default())
                .next()
                .await,
        ),
        "commit" => {
            let file = TextFile {
                path: "a.txt",
                text: "x\n".to_owned(),
            };
            drop(
                spaces
                    .commit_files(&id, &[file], "more", Some(&"2".repeat(40)))
                    .await,
            );
        }
        other => panic!("the recording has a call that is not made here: {other}"),
    }
}

#[tokio::test]
async fn each_call_is_sent_as_the_official_client_sends_it() {
    let official = official();
    assert!(official.len() >= 24);
    for (call, mut expected) in official {
        let mut sent = send(&call).await;
        if call == "commit" {
            expected.remove(0);
        }
        for request in &mut sent {
            if let Some(fields) = request.body.as_object_mut() {
                fields.remove("files");
            }
        }
        assert_eq!(sent, expected, "{call}");
    }
}
