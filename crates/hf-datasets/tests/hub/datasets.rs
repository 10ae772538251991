//! Training datasets and traces as a user moves them.

use std::fmt::Write as _;

use hf_core::HfErrorKind;
use hf_datasets::card::split_front_matter;
use hf_datasets::{CreateOptions, DatasetConfig, DatasetViewer, DownloadOptions, RepoFiles};
use serde_json::Value;

use crate::support::{World, folder, read_all};

fn training_files() -> Vec<(&'static str, Vec<u8>)> {
    let mut rows = String::new();
    for n in 0..1_200 {
        writeln!(
            rows,
            "{{\"messages\":[{{\"role\":\"user\",\"content\":\"{n}\"}}]}}"
        )
        .unwrap();
    }
    vec![
        ("train.jsonl", rows.into_bytes()),
        ("val.jsonl", b"{\"messages\":[]}\n".to_vec()),
        ("metadata.json", b"{\"sessions\":3,\"redactions\":{}}".to_vec()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_training_dataset_goes_up_and_comes_back() {
    let world = World::start().await;
    let datasets = world.datasets();
    let source = folder(&training_files());
    let config = DatasetConfig {
        license: Some("mit".to_owned()),
        ..DatasetConfig::new("bashgym-training-v1")
    };
    let uploaded = datasets
        .upload_training_data(source.path(), &config)
        .await
        .unwrap();
    assert_eq!(
        uploaded.repo_id.as_str(),
        format!("{}/bashgym-training-v1", world.namespace)
    );
    assert_eq!(
        uploaded.url,
        format!("{}/datasets/{}", world.hub.endpoint(), uploaded.repo_id)
    );
    assert!(uploaded.changed);
    let repo: RepoFiles = datasets.repo("bashgym-training-v1").unwrap();
    let info = repo.info(None).await.unwrap();
    assert!(info.private);
    assert_eq!(info.sha.as_deref(), Some(uploaded.revision.as_str()));

    let target = tempfile::tempdir().unwrap();
    let snapshot = datasets
        .download_dataset(
            uploaded.repo_id.as_str(),
            target.path(),
            &DownloadOptions::default(),
        )
        .await
        .unwrap();
    assert_eq!(snapshot.revision, uploaded.revision);
    let there = read_all(target.path());
    for (name, content) in training_files() {
        assert_eq!(there[name], content, "{name}");
    }
    let card = String::from_utf8(there["README.md"].clone()).unwrap();
    let front: Value = serde_saphyr::from_str(split_front_matter(&card).unwrap().0).unwrap();
    assert_eq!(front["license"], "mit");
    assert_eq!(front["size_categories"][0], "1K<n<10K");
    assert_eq!(front["configs"][0]["data_files"][0]["path"], "train.jsonl");

    let again = datasets
        .upload_training_data(source.path(), &config)
        .await
        .unwrap();
    assert!(!again.changed);
    assert_eq!(again.revision, uploaded.revision);
}

/// Rows travel in one form or the other; the viewer shows them all the same.
#[tokio::test(flavor = "multi_thread")]
async fn rows_go_up_as_parquet_and_the_card_names_them() {
    let world = World::start().await;
    let datasets = world.datasets();
    let source = folder(&training_files());
    let mut config = DatasetConfig {
        private: false,
        ..DatasetConfig::new("rows")
    };
    let lines = datasets
        .upload_training_data(source.path(), &config)
        .await
        .unwrap();
    let viewer = DatasetViewer::new(&world.client, lines.repo_id.clone()).unwrap();
    let splits = viewer.splits().await.unwrap();
    let shown = viewer.first_rows(&splits[0]).await.unwrap();
    config.parquet = true;
    let uploaded = datasets
        .upload_training_data(source.path(), &config)
        .await
        .unwrap();
    assert!(uploaded.changed);
    let target = tempfile::tempdir().unwrap();
    datasets
        .download_dataset(
            uploaded.repo_id.as_str(),
            target.path(),
            &DownloadOptions::default(),
        )
        .await
        .unwrap();
    let there = read_all(target.path());
    let names: Vec<&str> = there
        .keys()
        .map(String::as_str)
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(
        names,
        ["README.md", "metadata.json", "train.parquet", "val.parquet"]
    );
    let card = String::from_utf8(there["README.md"].clone()).unwrap();
    let front: Value = serde_saphyr::from_str(split_front_matter(&card).unwrap().0).unwrap();
    assert_eq!(front["configs"][0]["data_files"][0]["path"], "train.parquet");
    assert_eq!(front["configs"][0]["data_files"][1]["path"], "val.parquet");
    let facts: Value = serde_json::from_slice(&there["metadata.json"]).unwrap();
    assert_eq!(facts["parquet"]["train.parquet"]["rows"], 1_200);
    assert_eq!(facts["sessions"], 3);

    assert_eq!(viewer.splits().await.unwrap(), splits);
    assert_eq!(viewer.first_rows(&splits[0]).await.unwrap(), shown);
    let page = viewer.rows(&splits[0], 1_150, 100).await.unwrap();
    assert_eq!((page.total, page.rows.len()), (Some(1_200), 50));
    assert_eq!(page.rows[49].cells["messages"][0]["content"], "1199");

    let again = datasets
        .upload_training_data(source.path(), &config)
        .await
        .unwrap();
    assert!(!again.changed, "the same rows give the same bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_folder_creates_nothing() {
    let world = World::start().await;
    let datasets = world.datasets();
    let mut files = training_files();
    files[0].1 = b"{\"messages\":[]}\n{\"messages\":\n".to_vec();
    let source = folder(&files);
    let error = datasets
        .upload_training_data(source.path(), &DatasetConfig::new("bad"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), HfErrorKind::InvalidArgument);
    assert!(error.to_string().contains("train.jsonl, line 2"), "{error}");
    assert!(!datasets.repo("bad").unwrap().exists().await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_public_repository_is_not_filled_by_a_private_upload() {
    let world = World::start().await;
    let datasets = world.datasets();
    let repo = datasets.repo("open").unwrap();
    repo.create(&CreateOptions {
        private: false,
        exist_ok: false,
    })
    .await
    .unwrap();
    let commits = world.commits(&repo).await;
    let source = folder(&training_files());
    let error = datasets
        .upload_training_data(source.path(), &DatasetConfig::new("open"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("is public"), "{error}");
    assert_eq!(world.commits(&repo).await, commits);
    let config = DatasetConfig {
        private: false,
        ..DatasetConfig::new("open")
    };
    assert!(
        datasets
            .upload_training_data(source.path(), &config)
            .await
            .unwrap()
            .changed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_keep_their_bytes_and_get_a_config_for_each_agent() {
    let world = World::start().await;
    let datasets = world.datasets();
    let claude = b"{\"type\":\"user\",\"message\":{}}\n{\"type\":\"assistant\"}\n".to_vec();
    let codex = b"{\"type\":\"session_meta\",\"payload\":{}}\n".to_vec();
    let source = folder(&[("one.jsonl", claude.clone()), ("rollout-2.jsonl", codex.clone())]);
    let files = [
        source.path().join("one.jsonl"),
        source.path().join("rollout-2.jsonl"),
    ];
    let uploaded = datasets
        .upload_traces(&files, &DatasetConfig::new("bashgym-traces"))
        .await
        .unwrap();
    let target = tempfile::tempdir().unwrap();
    datasets
        .download_dataset("bashgym-traces", target.path(), &DownloadOptions::default())
        .await
        .unwrap();
    let there = read_all(target.path());
    assert_eq!(there["traces/claude_code/one.jsonl"], claude);
    assert_eq!(there["traces/codex/rollout-2.jsonl"], codex);
    let card = String::from_utf8(there["README.md"].clone()).unwrap();
    let front: Value = serde_saphyr::from_str(split_front_matter(&card).unwrap().0).unwrap();
    assert_eq!(front["configs"][1]["config_name"], "codex");
    assert_eq!(
        front["configs"][1]["data_files"][0]["path"],
        "traces/codex/*.jsonl"
    );
    assert!(front["tags"].as_array().unwrap().contains(&"agent-traces".into()));
    assert!(uploaded.changed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_holds_what_starts_with_the_prefix() {
    let world = World::start().await;
    let datasets = world.datasets();
    for name in ["bashgym-b", "bashgym-a", "other-bashgym", "plain"] {
        world.repo(name).await;
    }
    let names = |found: Vec<hf_datasets::DatasetSummary>| -> Vec<String> {
        found
            .into_iter()
            .map(|dataset| dataset.repo_id.rsplit('/').next().unwrap().to_owned())
            .collect()
    };
    assert_eq!(
        names(datasets.list_datasets("bashgym").await.unwrap()),
        ["bashgym-a", "bashgym-b"]
    );
    assert_eq!(names(datasets.list_datasets("").await.unwrap()).len(), 4);
    assert!(
        datasets
            .list_datasets("bashgym")
            .await
            .unwrap()
            .iter()
            .all(|dataset| dataset.private)
    );
    datasets.delete_dataset("bashgym-a").await.unwrap();
    assert_eq!(
        names(datasets.list_datasets("bashgym").await.unwrap()),
        ["bashgym-b"]
    );
}
