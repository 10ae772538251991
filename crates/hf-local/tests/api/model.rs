//! Any sequence of commits gives the files that a plain map would have.

use std::collections::BTreeMap;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::StatusCode;
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::support::{TestHub, delete, file};

#[derive(Clone, Debug)]
enum Op {
    Put(String, u8),
    DeleteFile(String),
    DeleteFolder(String),
    DeleteEntry(String),
    Rename(String, String, u8),
}

type Files = BTreeMap<String, u8>;

fn is_folder(files: &Files, path: &str) -> bool {
    files.keys().any(|key| key.starts_with(&format!("{path}/")))
}

fn put(files: &mut Files, path: &str, content: u8) -> bool {
    let file_above = path
        .match_indices('/')
        .any(|(at, _)| files.contains_key(&path[..at]));
    if file_above || is_folder(files, path) {
        return false;
    }
    files.insert(path.to_owned(), content);
    true
}

fn remove_folder(files: &mut Files, path: &str) -> bool {
    let before = files.len();
    files.retain(|key, _| !key.starts_with(&format!("{path}/")));
    files.len() < before
}

/// What a commit does to the map; nothing if one of its changes can't be made.
fn apply(files: &Files, ops: &[Op]) -> Option<Files> {
    let mut files = files.clone();
    let all = ops.iter().all(|op| match op {
        Op::Put(path, content) => put(&mut files, path, *content),
        Op::DeleteFile(path) => files.remove(path).is_some(),
        Op::DeleteFolder(path) => remove_folder(&mut files, path),
        Op::DeleteEntry(path) => files.remove(path).is_some() || remove_folder(&mut files, path),
        Op::Rename(from, to, content) => {
            (from == to || files.remove(from).is_some()) && put(&mut files, to, *content)
        }
    });
    all.then_some(files)
}

fn content(n: u8) -> String {
    format!("content {n}\n").repeat(usize::from(n))
}

fn line(op: &Op) -> Value {
    match op {
        Op::Put(path, n) => file(path, content(*n)),
        Op::DeleteFile(path) => delete("deletedFile", path),
        Op::DeleteFolder(path) => delete("deletedFolder", &format!("{path}/")),
        Op::DeleteEntry(path) => delete("deletedEntry", path),
        Op::Rename(from, to, n) => {
            let mut line = file(to, content(*n));
            line["value"]["oldPath"] = json!(from);
            line
        }
    }
}

fn blob_oid(content: &str) -> String {
    hex::encode(Sha1::digest(format!("blob {}\0{content}", content.len())))
}

/// The listing the map should have, folders included, by path.
fn listing(files: &Files) -> BTreeMap<String, (String, u64)> {
    let mut items = BTreeMap::new();
    for (path, n) in files {
        let content = content(*n);
        items.insert(path.clone(), (blob_oid(&content), content.len() as u64));
        for (at, _) in path.match_indices('/') {
            items.insert(path[..at].to_owned(), ("directory".to_owned(), 0));
        }
    }
    items
}

async fn listed(hub: &TestHub, repo: &str, limit: u64) -> BTreeMap<String, (String, u64)> {
    let mut items = BTreeMap::new();
    let mut url = format!("/api/{repo}/tree/main?recursive=true&limit={limit}");
    loop {
        let reply = hub.ada().get(&url).await;
        assert_eq!(reply.status(), StatusCode::OK);
        let link = crate::support::header(&reply, "link").to_owned();
        for item in reply.json::<Vec<Value>>().await.unwrap() {
            let text = |key: &str| item[key].as_str().unwrap().to_owned();
            let oid = if item["type"] == "directory" {
                "directory".to_owned()
            } else {
                text("oid")
            };
            let twice = items.insert(text("path"), (oid, item["size"].as_u64().unwrap()));
            assert!(twice.is_none(), "{item} is listed twice");
        }
        let Some((next, _)) = link.split_once('>') else {
            return items;
        };
        url = next.trim_start_matches('<').to_owned();
    }
}

fn path() -> impl Strategy<Value = String> {
    // Few names, so that changes meet; some that git sorts around the slash.
    let part = prop::sample::select(vec!["a", "a-b", "a.c", "a0", "b"]);
    prop::collection::vec(part, 1..4).prop_map(|parts| parts.join("/"))
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (path(), 0_u8..5).prop_map(|(path, content)| Op::Put(path, content)),
        2 => path().prop_map(Op::DeleteFile),
        1 => path().prop_map(Op::DeleteFolder),
        1 => path().prop_map(Op::DeleteEntry),
        1 => (path(), path(), 0_u8..5).prop_map(|(from, to, content)| Op::Rename(from, to, content)),
    ]
}

#[test]
fn commits_and_a_map_agree() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let hub = runtime.block_on(TestHub::start());
    let case = std::cell::Cell::new(0);
    let mut runner = TestRunner::new(Config {
        cases: 48,
        failure_persistence: None,
        ..Config::default()
    });
    let commits = prop::collection::vec(prop::collection::vec(op(), 1..5), 1..8);
    runner
        .run(&(commits, 1_u64..9), |(commits, limit)| {
            case.set(case.get() + 1);
            let name = format!("m{}", case.get());
            let repo = format!("models/ada/{name}");
            runtime.block_on(async {
                hub.ada().create("model", &name).await;
                hub.ada()
                    .commit(&repo, "empty", &[delete("deletedFile", ".gitattributes")])
                    .await;
                let mut files = Files::new();
                for (number, ops) in commits.iter().enumerate() {
                    let lines: Vec<Value> = ops.iter().map(line).collect();
                    let summary = json!({ "summary": format!("c{number}") });
                    let status = hub.ada().commit_to(&repo, "main", summary, &lines).await.status();
                    match apply(&files, ops) {
                        Some(next) => {
                            prop_assert_eq!(status, StatusCode::OK);
                            files = next;
                        }
                        None => prop_assert!(status.is_client_error(), "{} for {:?}", status, ops),
                    }
                    prop_assert_eq!(listed(&hub, &repo, limit).await, listing(&files));
                }
                Ok(())
            })
        })
        .unwrap();
}
