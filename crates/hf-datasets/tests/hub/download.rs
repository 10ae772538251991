//! Downloads: continued, verified, and kept inside their folder.

use std::sync::Arc;
use std::time::Duration;

use hf_core::testing::{ManualClock, Reply, ScriptedTransport};
use hf_core::{Endpoint, HfClient, HfErrorKind, RepoId, RepoType, Revision, Token};
use hf_datasets::{CommitOperation, CommitOptions, DownloadOptions, Progress, RepoFiles, TransferEvent};
use hf_local::{FaultKind, FaultRule};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::support::{Events, World, noise};

const SIZE: usize = 6_000_000;

async fn large_file(world: &World, name: &str) -> (RepoFiles, Vec<u8>) {
    let repo = world.repo(name).await;
    let content = noise(7, SIZE);
    repo.commit(
        vec![CommitOperation::add_bytes("big.bin", content.clone())],
        &CommitOptions::default(),
    )
    .await
    .unwrap();
    (repo, content)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_download_continues_where_it_stopped() {
    let world = World::start().await;
    let (repo, content) = large_file(&world, "cut").await;
    let target = tempfile::tempdir().unwrap();
    let path = target.path().join("big.bin");
    // The content comes from the payload origin; every answer there breaks off.
    for n in [3_000_000, 1_000_000] {
        world
            .hub
            .faults()
            .add(FaultRule::new(FaultKind::Truncate { n }).path_contains(payload_path(&world, &repo).await));
    }
    let events = Events::default();
    let file = repo
        .download_file("big.bin", &Revision::main(), &path, &events.progress())
        .await
        .unwrap();
    assert!(world.hub.faults().list().is_empty());
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert_eq!(file.received_bytes, SIZE as u64, "no byte came twice");
    assert!(file.verified);
    let retries = events
        .all()
        .iter()
        .filter(|event| matches!(event, TransferEvent::Retrying { .. }))
        .count();
    assert_eq!(retries, 2);
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 1);
}

/// What the address of the file's content contains, asked from the Hub as any client would.
async fn payload_path(world: &World, repo: &RepoFiles) -> String {
    let spec = hf_core::RequestSpec::head(format!("/datasets/{}/resolve/main/big.bin", repo.repo_id()))
        .redirects(hf_core::Redirects::Manual);
    let answer = world.client.request(spec).await.unwrap();
    let location = url::Url::parse(answer.header("location").unwrap()).unwrap();
    assert_ne!(location.origin(), answer.url().origin());
    location.path().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_download_is_picked_up_by_the_next_call() {
    let world = World::start().await;
    let (repo, content) = large_file(&world, "abandoned").await;
    let target = tempfile::tempdir().unwrap();
    let path = target.path().join("sub/big.bin");
    let n = 3_000_000;
    let place = payload_path(&world, &repo).await;
    // First a part, then a server that does not answer: the caller gives up.
    world
        .hub
        .faults()
        .add(FaultRule::new(FaultKind::Truncate { n }).path_contains(&place));
    world
        .hub
        .faults()
        .add(FaultRule::new(FaultKind::Stall { ms: 60_000 }).path_contains(&place));
    let (told, mut retrying) = tokio::sync::mpsc::unbounded_channel();
    let progress = Progress::new(move |event: &TransferEvent| {
        if matches!(event, TransferEvent::Retrying { .. }) {
            let _ = told.send(());
        }
    });
    {
        let main = Revision::main();
        let download = repo.download_file("big.bin", &main, &path, &progress);
        tokio::select! {
            _ = download => panic!("the download should not end"),
            _ = retrying.recv() => {}
        }
    }
    assert!(!path.exists());
    world.hub.faults().clear();
    let file = repo
        .download_file("big.bin", &Revision::main(), &path, &Progress::none())
        .await
        .unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), content);
    assert_eq!(file.resumed_bytes + file.received_bytes, SIZE as u64);
    // What was in flight when the connection broke may be lost, but no more.
    assert!(
        file.resumed_bytes > n - 500_000 && file.resumed_bytes <= n,
        "{}",
        file.resumed_bytes
    );

    let again = repo
        .download_file("big.bin", &Revision::main(), &path, &Progress::none())
        .await
        .unwrap();
    assert!(again.unchanged);
    assert_eq!(again.received_bytes, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spoilt_partial_file_is_noticed() {
    let world = World::start().await;
    let (repo, content) = large_file(&world, "spoilt").await;
    let sha = hex::encode(Sha256::digest(&content));
    for spoilt in [vec![0_u8; 1_000_000], vec![1_u8; SIZE], vec![2_u8; SIZE + 5]] {
        let target = tempfile::tempdir().unwrap();
        let path = target.path().join("big.bin");
        std::fs::write(target.path().join(format!("big.bin.{sha}.incomplete")), &spoilt).unwrap();
        repo.download_file("big.bin", &Revision::main(), &path, &Progress::none())
            .await
            .unwrap();
        assert!(std::fs::read(&path).unwrap() == content);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_missing_is_said() {
    let world = World::start().await;
    let repo = world.repo("missing").await;
    let target = tempfile::tempdir().unwrap();
    let path = target.path().join("x");
    let error = repo
        .download_file("no.txt", &Revision::main(), &path, &Progress::none())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::NotFound, "{error}");
    let branch = Revision::parse("nowhere").unwrap();
    let error = repo
        .download_file(".gitattributes", &branch, &path, &Progress::none())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::NotFound, "{error}");
    assert!(!path.exists());
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_choose_and_a_second_call_fetches_nothing() {
    let world = World::start().await;
    let repo = world.repo("patterns").await;
    let add = |path: &str| CommitOperation::add_bytes(path, path.to_owned());
    repo.commit(
        vec![add("a.json"), add("b.json"), add("c.txt")],
        &CommitOptions::default(),
    )
    .await
    .unwrap();
    let target = tempfile::tempdir().unwrap();
    let options = DownloadOptions {
        allow_patterns: vec!["*.json".to_owned()],
        ignore_patterns: vec!["b*".to_owned()],
        ..DownloadOptions::default()
    };
    let snapshot = repo.download_snapshot(target.path(), &options).await.unwrap();
    assert_eq!(snapshot.files.len(), 1);
    assert_eq!(snapshot.files[0].repo_path, "a.json");
    let again = repo.download_snapshot(target.path(), &options).await.unwrap();
    assert!(again.files[0].unchanged);
}

/// A Hub made of a script: one large file `f.bin` with this content, on another origin.
fn scripted(
    answer: impl Fn(&hf_core::testing::RecordedRequest) -> Option<Reply> + Send + Sync + 'static,
) -> (ScriptedTransport, RepoFiles) {
    let transport = ScriptedTransport::answering(answer);
    let client = HfClient::builder()
        .endpoint(Endpoint::parse("http://127.0.0.1:1").unwrap())
        .token(Token::parse("hf_test_token_value").unwrap())
        .transport(Arc::new(transport.clone()))
        .clock(Arc::new(ManualClock::auto()))
        .build()
        .unwrap();
    (
        transport,
        RepoFiles::new(&client, RepoType::Model, RepoId::parse("ada/m").unwrap()),
    )
}

fn redirect(content: &[u8]) -> Reply {
    Reply::status(302)
        .header("location", "http://127.0.0.1:2/blob?sig=1")
        .header(
            "x-linked-etag",
            &format!("\"{}\"", hex::encode(Sha256::digest(content))),
        )
        .header("x-linked-size", &content.len().to_string())
        .header("x-repo-commit", &"a".repeat(40))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_stays_behind_and_a_refused_range_is_no_trouble() {
    let content = noise(8, 300_000);
    let served = content.clone();
    let (transport, repo) = scripted(move |request| {
        if request.url.port() == Some(1) {
            return Some(redirect(&served));
        }
        // A storage that knows no ranges: always everything, and the first time cut.
        let whole = Reply::status(200);
        Some(if request.header("range").is_none() {
            whole.body(served[..100_000].to_vec()).then_reset()
        } else {
            whole.body(served.clone())
        })
    });
    let target = tempfile::tempdir().unwrap();
    let path = target.path().join("f.bin");
    repo.download_file("f.bin", &Revision::main(), &path, &Progress::none())
        .await
        .unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), content);
    for request in transport.requests() {
        let ours = request.url.port() == Some(1);
        assert_eq!(request.header("authorization").is_some(), ours, "{}", request.url);
    }
    // After the first answer the commit is asked for, not the branch.
    let last = transport
        .requests()
        .into_iter()
        .rfind(|request| request.url.port() == Some(1))
        .unwrap();
    assert_eq!(last.path(), format!("/ada/m/resolve/{}/f.bin", "a".repeat(40)));
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_not_what_was_announced_is_not_kept() {
    let content = noise(9, 200_000);
    let served = content.clone();
    let (_, repo) = scripted(move |request| {
        if request.url.port() == Some(1) {
            return Some(redirect(&served));
        }
        let mut wrong = served.clone();
        wrong[1000] ^= 1;
        Some(Reply::status(200).body(wrong))
    });
    let target = tempfile::tempdir().unwrap();
    let path = target.path().join("f.bin");
    let error = repo
        .download_file("f.bin", &Revision::main(), &path, &Progress::none())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::Decode, "{error}");
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_failure_ends_and_keeps_what_came() {
    let content = noise(10, 200_000);
    let served = content.clone();
    let (_, repo) = scripted(move |request| {
        if request.url.port() == Some(1) {
            return Some(redirect(&served));
        }
        Some(match request.header("range") {
            None => Reply::status(200).body(served[..50_000].to_vec()).then_reset(),
            Some(_) => Reply::fail(hf_core::TransportKind::Reset),
        })
    });
    let target = tempfile::tempdir().unwrap();
    let path = target.path().join("f.bin");
    let (main, nobody) = (Revision::main(), Progress::none());
    let call = repo.download_file("f.bin", &main, &path, &nobody);
    let error = tokio::time::timeout(Duration::from_mins(1), call)
        .await
        .unwrap()
        .unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::Transport, "{error}");
    let kept = std::fs::read_dir(target.path()).unwrap().next().unwrap().unwrap();
    assert_eq!(kept.metadata().unwrap().len(), 50_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_file_names_write_nothing() {
    for name in [
        "../evil",
        "/etc/evil",
        "a/../../evil",
        "C:\\evil",
        "a\\b",
        "x//y",
        ".git/hooks/evil",
    ] {
        let (transport, repo) = scripted(move |request| {
            let path = request.path();
            Some(if path.contains("/tree/") {
                Reply::json(
                    200,
                    json!([{ "type": "file", "oid": "b".repeat(40), "size": 3, "path": name }]),
                )
            } else if path.contains("/resolve/") {
                Reply::status(200).body("bad")
            } else {
                Reply::json(
                    200,
                    json!({ "id": "ada/m", "sha": "a".repeat(40), "private": true }),
                )
            })
        });
        let outer = tempfile::tempdir().unwrap();
        let target = outer.path().join("target");
        let error = repo
            .download_snapshot(&target, &DownloadOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), HfErrorKind::InvalidArgument, "{name}: {error}");
        assert!(!target.exists());
        assert!(
            transport
                .requests()
                .iter()
                .all(|request| !request.path().contains("/resolve/")),
            "{name}"
        );
    }
}
