//! Uploads: one commit, once, whatever the network does.

use futures::{StreamExt as _, TryStreamExt as _};
use hf_core::testing::ScriptedTransport;
use hf_core::{Endpoint, HfClient, HfError, HfErrorKind, RepoId, RepoType, Revision};
use hf_datasets::{
    CommitOperation, CommitOptions, CreateOptions, DownloadOptions, LargeFiles, RepoFiles, TransferEvent,
    TreeEntry, TreeKind, UploadOptions,
};
use hf_local::{FaultKind, FaultRule};

use crate::support::{Events, World, client, folder, noise, read_all};

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_comes_back_byte_for_byte() {
    let world = World::start().await;
    let repo = world.repo("round-trip").await;
    let before = world.commits(&repo).await;
    let source = folder(&[
        ("README.md", b"---\nlicense: mit\n---\n# Hello\n".to_vec()),
        ("empty.txt", Vec::new()),
        ("ten.txt", b"0123456789".to_vec()),
        (
            "donn\u{e9}es/\u{65e5}\u{672c} #1 100%.jsonl",
            b"{\"a\":1}\n".to_vec(),
        ),
        ("deep/er/and/deeper.bin", noise(1, 70_000)),
        ("weights/model.safetensors", noise(2, 30 * 1024 * 1024 + 17)),
        ("weights/copy.safetensors", noise(2, 30 * 1024 * 1024 + 17)),
    ]);
    let events = Events::default();
    let options = UploadOptions {
        commit_message: "First".to_owned(),
        progress: events.progress(),
        ..UploadOptions::default()
    };
    let commit = repo.upload_folder(source.path(), &options).await.unwrap();
    assert!(commit.changed);
    assert_eq!(commit.files_changed, 7);
    assert_eq!(world.commits(&repo).await, before + 1);
    assert_eq!(
        repo.info(None).await.unwrap().sha.as_deref(),
        Some(commit.oid.as_str())
    );

    let events = events.all();
    assert!(matches!(events[0], TransferEvent::Started { files: 7, .. }));
    assert_eq!(events.last(), Some(&TransferEvent::Finished));
    let done = events
        .iter()
        .filter(|event| matches!(event, TransferEvent::FileDone { .. }))
        .count();
    assert!(done >= 6, "{events:?}");
    let moved: Vec<u64> = events
        .iter()
        .filter_map(|event| match event {
            TransferEvent::Advanced {
                path,
                done_bytes,
                total_bytes,
            } if path.starts_with("weights/") => {
                assert!(done_bytes <= total_bytes);
                Some(*done_bytes)
            }
            _ => None,
        })
        .collect();
    assert!(!moved.is_empty(), "a large file tells how far it is");

    let target = tempfile::tempdir().unwrap();
    let snapshot = repo
        .download_snapshot(target.path(), &DownloadOptions::default())
        .await
        .unwrap();
    assert_eq!(snapshot.revision, commit.oid);
    assert!(snapshot.files.iter().all(|file| file.verified));
    let mut there = read_all(target.path());
    assert!(there.remove(".gitattributes").is_some());
    assert_eq!(there, read_all(source.path()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_sent_again() {
    let world = World::start().await;
    let repo = world.repo("unchanged").await;
    let source = folder(&[("a.txt", b"a".to_vec()), ("big.bin", noise(3, 2_000_000))]);
    let first = repo
        .upload_folder(source.path(), &UploadOptions::default())
        .await
        .unwrap();
    let commits = world.commits(&repo).await;

    let again = repo
        .upload_folder(source.path(), &UploadOptions::default())
        .await
        .unwrap();
    assert!(!again.changed);
    assert_eq!(again.oid, first.oid);
    assert_eq!(again.files_unchanged, 2);
    assert_eq!(world.commits(&repo).await, commits);

    std::fs::write(source.path().join("a.txt"), "b").unwrap();
    let third = repo
        .upload_folder(source.path(), &UploadOptions::default())
        .await
        .unwrap();
    assert_eq!((third.files_changed, third.files_unchanged), (1, 1));
    assert_eq!(world.commits(&repo).await, commits + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_branch_that_moved_is_a_conflict_only_if_the_caller_cares() {
    let world = World::start().await;
    let repo = world.repo("conflict").await;
    let start = repo.info(None).await.unwrap().sha.unwrap();
    let one = CommitOperation::add_bytes("one.txt", "1");
    repo.commit(vec![one], &CommitOptions::default()).await.unwrap();

    let options = CommitOptions {
        parent_commit: Some(start),
        ..CommitOptions::default()
    };
    let error = repo
        .commit(vec![CommitOperation::add_bytes("two.txt", "2")], &options)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::PreconditionFailed, "{error}");
    repo.commit(
        vec![CommitOperation::add_bytes("two.txt", "2")],
        &CommitOptions::default(),
    )
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_writers_all_get_in() {
    let world = World::start().await;
    let repo = world.repo("writers").await;
    let before = world.commits(&repo).await;
    let writes = (0..4).map(|number| {
        let repo = repo.clone();
        async move {
            let operation = CommitOperation::add_bytes(format!("{number}.txt"), number.to_string());
            repo.commit(vec![operation], &CommitOptions::default()).await
        }
    });
    for result in futures::future::join_all(writes).await {
        assert!(result.unwrap().changed);
    }
    assert_eq!(world.commits(&repo).await, before + 4);
    let files = repo.info(None).await.unwrap().siblings.len();
    assert_eq!(files, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_not_made_twice() {
    let world = World::start().await;
    for (name, fault) in [
        ("lost-500", FaultKind::CreatedBut500),
        ("lost-reset", FaultKind::ResetAfterBytes { n: 1 }),
        ("lost-cut", FaultKind::Truncate { n: 5 }),
        ("never-arrived", FaultKind::ResetBefore),
        (
            "busy",
            FaultKind::Status {
                code: 503,
                retry_after: None,
            },
        ),
    ] {
        let repo = world.repo(name).await;
        let before = world.commits(&repo).await;
        world
            .hub
            .faults()
            .add(FaultRule::new(fault).path_contains("/commit/main").method("POST"));
        let source = folder(&[("a.txt", b"a".to_vec()), ("big.bin", noise(4, 1_000_000))]);
        let commit = repo
            .upload_folder(source.path(), &UploadOptions::default())
            .await
            .unwrap();
        assert!(
            world.hub.faults().list().is_empty(),
            "{name}: the fault was not met"
        );
        assert_eq!(world.commits(&repo).await, before + 1, "{name}");
        assert_eq!(
            repo.info(None).await.unwrap().sha.as_deref(),
            Some(commit.oid.as_str()),
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_survives_a_bad_network() {
    let world = World::start().await;
    let repo = world.repo("bad-network").await;
    let content = noise(5, 6_000_000);
    let source = folder(&[("big.bin", content.clone())]);
    world
        .hub
        .faults()
        .add(FaultRule::new(FaultKind::ResetBefore).method("PUT").times(2));
    world.hub.faults().add(
        FaultRule::new(FaultKind::Status {
            code: 503,
            retry_after: None,
        })
        .path_contains("/preupload/"),
    );
    world
        .hub
        .faults()
        .add(FaultRule::new(FaultKind::ResetBefore).path_contains("/objects/batch"));
    let options = UploadOptions {
        large_files: LargeFiles::Lfs,
        ..UploadOptions::default()
    };
    repo.upload_folder(source.path(), &options).await.unwrap();
    assert!(world.hub.faults().list().is_empty());
    let target = tempfile::tempdir().unwrap();
    repo.download_snapshot(target.path(), &DownloadOptions::default())
        .await
        .unwrap();
    assert_eq!(std::fs::read(target.path().join("big.bin")).unwrap(), content);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_chooses_between_xet_and_lfs() {
    let world = World::start().await;
    let content = noise(6, 700_000);
    for (name, large_files) in [("by-xet", LargeFiles::Auto), ("by-lfs", LargeFiles::Lfs)] {
        let repo = world.repo(name).await;
        let options = CommitOptions {
            large_files,
            ..CommitOptions::default()
        };
        // The content differs, or the second repository would find the first one's object in the storage.
        let content = [name.as_bytes(), &content].concat();
        repo.commit(
            vec![CommitOperation::add_bytes("w.safetensors", content.clone())],
            &options,
        )
        .await
        .unwrap();
        let main = Revision::main();
        let tree: Vec<TreeEntry> = repo
            .list_tree(&main, None, true)
            .map(Result::unwrap)
            .collect()
            .await;
        let entry = tree.iter().find(|entry| entry.path == "w.safetensors").unwrap();
        assert_eq!(entry.size_bytes, content.len() as u64);
        assert!(entry.sha256.is_some());
        assert_eq!(
            entry.xet_hash.is_some(),
            large_files == LargeFiles::Auto,
            "{name}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_abandoned_upload_leaves_the_old_head_and_can_be_repeated() {
    let world = World::start().await;
    let repo = world.repo("abandoned-upload").await;
    let before = repo.info(None).await.unwrap().sha;
    let commits = world.commits(&repo).await;
    let source = folder(&[("big.bin", noise(11, 3_000_000)), ("a.txt", b"a".to_vec())]);
    for large_files in [LargeFiles::Lfs, LargeFiles::Auto] {
        world.hub.faults().add(
            FaultRule::new(FaultKind::Stall { ms: 60_000 })
                .path_contains("/commit/main")
                .method("POST"),
        );
        let (told, mut committing) = tokio::sync::mpsc::unbounded_channel();
        let progress = hf_datasets::Progress::new(move |event: &TransferEvent| {
            if *event == TransferEvent::Committing {
                let _ = told.send(());
            }
        });
        let options = UploadOptions {
            large_files,
            progress,
            ..UploadOptions::default()
        };
        tokio::select! {
            _ = repo.upload_folder(source.path(), &options) => panic!("the upload should not end"),
            _ = committing.recv() => {}
        }
        world.hub.faults().clear();
    }
    assert_eq!(repo.info(None).await.unwrap().sha, before);
    repo.upload_folder(source.path(), &UploadOptions::default())
        .await
        .unwrap();
    assert_eq!(world.commits(&repo).await, commits + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_folders_are_deleted_in_the_same_commit() {
    let world = World::start().await;
    let repo = world.repo("deletes").await;
    let add = |path: &str| CommitOperation::add_bytes(path, path.to_owned());
    repo.commit(
        vec![
            add("keep.txt"),
            add("old/a.bin"),
            add("old/b.bin"),
            add("logs/x"),
            add("drop.txt"),
        ],
        &CommitOptions::default(),
    )
    .await
    .unwrap();
    let commits = world.commits(&repo).await;
    let source = folder(&[("old/a.bin", b"new".to_vec())]);
    let options = UploadOptions {
        delete_patterns: vec!["old/*".to_owned(), "*attributes".to_owned()],
        ..UploadOptions::default()
    };
    repo.upload_folder(source.path(), &options).await.unwrap();
    repo.commit(
        vec![
            CommitOperation::DeleteFolder {
                path: "logs".to_owned(),
            },
            CommitOperation::DeleteFile {
                path: "drop.txt".to_owned(),
            },
        ],
        &CommitOptions::default(),
    )
    .await
    .unwrap();
    assert_eq!(world.commits(&repo).await, commits + 2);
    let main = Revision::main();
    let mut paths: Vec<String> = repo
        .list_tree(&main, None, true)
        .try_filter_map(async |entry: TreeEntry| Ok((entry.kind == TreeKind::File).then_some(entry.path)))
        .map(Result::unwrap)
        .collect()
        .await;
    paths.sort();
    assert_eq!(paths, [".gitattributes", "keep.txt", "old/a.bin"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn repositories_are_private_and_can_go() {
    let world = World::start().await;
    let repo = world.repo("mine").await;
    assert!(repo.exists().await.unwrap());
    assert!(repo.info(None).await.unwrap().private);
    let anonymous = RepoFiles::new(
        &client(world.hub.endpoint(), None),
        RepoType::Dataset,
        repo.repo_id().clone(),
    );
    assert!(anonymous.info(None).await.is_err());

    assert!(repo.create(&CreateOptions::default()).await.unwrap().existed);
    let strict = CreateOptions {
        exist_ok: false,
        ..CreateOptions::default()
    };
    assert_eq!(
        repo.create(&strict).await.unwrap_err().kind(),
        HfErrorKind::Conflict
    );

    repo.delete().await.unwrap();
    assert!(!repo.exists().await.unwrap());
    assert_eq!(repo.delete().await.unwrap_err().kind(), HfErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_whose_answer_is_lost_is_a_creation() {
    let world = World::start().await;
    let id = RepoId::new(&world.namespace, "lost").unwrap();
    let repo = RepoFiles::new(&world.client, RepoType::Dataset, id);
    world
        .hub
        .faults()
        .add(FaultRule::new(FaultKind::CreatedBut500).path_contains("/repos/create"));
    let created = repo
        .create(&CreateOptions {
            exist_ok: false,
            ..CreateOptions::default()
        })
        .await
        .unwrap();
    assert!(!created.existed);
    assert!(repo.exists().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_before_anything_is_sent() {
    let world = World::start().await;
    let repo = world.repo("bad").await;
    let commits = world.commits(&repo).await;
    let refused = async |operations: Vec<CommitOperation>| {
        let error = repo
            .commit(operations, &CommitOptions::default())
            .await
            .unwrap_err();
        assert_eq!(error.kind(), HfErrorKind::InvalidArgument, "{error}");
        error.to_string()
    };
    let twice = vec![
        CommitOperation::add_bytes("a", "1"),
        CommitOperation::DeleteFile { path: "a".to_owned() },
    ];
    assert!(refused(twice).await.contains("twice"));
    assert!(
        refused(vec![CommitOperation::add_bytes("../a", "1")])
            .await
            .contains("..")
    );
    let card = refused(vec![CommitOperation::add_bytes(
        "README.md",
        "---\nlicense: [\n---\n",
    )])
    .await;
    assert!(
        card.contains("README.md") || card.contains("yaml") || card.contains("YAML"),
        "{card}"
    );
    let missing = vec![CommitOperation::add_file("a", "/nowhere/at/all")];
    let error = repo.commit(missing, &CommitOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::Io, "{error}");
    let nothing = tempfile::tempdir().unwrap();
    let error = repo
        .upload_folder(nothing.path(), &UploadOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no file"), "{error}");
    assert_eq!(world.commits(&repo).await, commits);
}

#[tokio::test]
async fn nothing_leaves_the_machine_before_a_scan() {
    let transport = ScriptedTransport::new();
    let client = HfClient::builder()
        .endpoint(Endpoint::default())
        .transport(std::sync::Arc::new(transport.clone()))
        .build()
        .unwrap();
    let repo = RepoFiles::new(&client, RepoType::Dataset, RepoId::parse("ada/x").unwrap());
    let source = folder(&[("a.txt", b"a".to_vec())]);
    let error = repo
        .upload_folder(source.path(), &UploadOptions::default())
        .await
        .unwrap_err();
    assert!(matches!(error, HfError::InvalidArgument { .. }));
    assert!(error.to_string().contains("secret scan"), "{error}");
    let error = repo
        .commit(
            vec![CommitOperation::add_bytes("a", "1")],
            &CommitOptions::default(),
        )
        .await
        .unwrap_err();
    assert!(error.to_string().contains("secret scan"), "{error}");
    assert!(transport.requests().is_empty());
}
