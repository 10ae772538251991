//! What was pushed is shown by the viewer.

use hf_core::RepoType;
use hf_datasets::{CommitOperation, CommitOptions, DatasetConfig, DatasetViewer, ViewerState};
use serde_json::json;

use crate::support::World;

fn folder(rows: usize) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let row =
        |n: usize| json!({ "messages": [{ "role": "user", "content": format!("question {n}") }], "n": n });
    let lines = |rows: std::ops::Range<usize>| {
        rows.map(|n| row(n).to_string() + "\n")
            .collect::<Vec<_>>()
            .concat()
    };
    std::fs::write(folder.path().join("train.jsonl"), lines(0..rows)).unwrap();
    std::fs::write(folder.path().join("val.jsonl"), lines(0..2)).unwrap();
    std::fs::write(folder.path().join("metadata.json"), "{}").unwrap();
    folder
}

#[tokio::test]
async fn an_uploaded_dataset_opens_in_the_viewer() {
    let world = World::start().await;
    let uploaded = world
        .datasets()
        .upload_training_data(folder(120).path(), &DatasetConfig::new("demo"))
        .await
        .unwrap();
    let viewer = DatasetViewer::new(&world.client, uploaded.repo_id.clone()).unwrap();
    assert!(matches!(viewer.state().await.unwrap(), ViewerState::Ready(features) if features.preview));
    let splits = viewer.splits().await.unwrap();
    let names: Vec<&str> = splits.iter().map(|split| split.split.as_str()).collect();
    assert_eq!(names, ["train", "validation"]);
    let rows = viewer.rows(&splits[0], 110, 100).await.unwrap();
    assert_eq!((rows.total, rows.rows.len()), (Some(120), 10));
    assert_eq!(rows.rows[9].cells["messages"][0]["content"], "question 119");
    let first = viewer.first_rows(&splits[1]).await.unwrap();
    assert_eq!(first.rows.len(), 2);
    assert_eq!(first.features[0].name, "messages");
    let sizes = viewer.sizes().await.unwrap();
    assert_eq!(sizes[0].num_rows, Some(120));
    let statistics = viewer.statistics(&splits[0]).await.unwrap();
    let n = statistics.iter().find(|column| column.name == "n").unwrap();
    assert_eq!((n.kind.as_str(), &n.numbers["max"]), ("int", &json!(119)));
}

#[tokio::test]
async fn a_dataset_without_rows_is_pending_and_a_shut_one_says_why() {
    let world = World::start().await;
    let repo = world.repo("empty").await;
    let viewer = DatasetViewer::new(&world.client, repo.repo_id().clone()).unwrap();
    assert_eq!(viewer.state().await.unwrap(), ViewerState::Pending);
    let card = CommitOperation::add_bytes("README.md", "---\nviewer: false\n---\n");
    repo.commit(vec![card], &CommitOptions::default()).await.unwrap();
    assert_eq!(repo.repo_type(), RepoType::Dataset);
    let ViewerState::Unavailable { code, why } = viewer.state().await.unwrap() else {
        panic!("the viewer is shut");
    };
    assert_eq!(code.as_deref(), Some("NotSupportedDisabledViewerError"));
    assert!(why.contains("disabled"), "{why}");
}
