//! The official Rust client sends a large file over Xet and reads it back.
#![cfg(feature = "xet")]

use std::process::Command;

use hf_hub::HFClient;
use hf_hub::repository::{AddSource, RepoTypeModel};
use hf_local::{LocalHub, LocalHubConfig};

/// Larger than one xorb, so that the file has several.
const SIZE: usize = 78_643_200;

fn noise(seed: u8) -> Vec<u8> {
    let mut bytes = vec![0; SIZE];
    blake3::Hasher::new()
        .update(&[seed])
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// The client keeps a cache where the environment says, and the environment of a process is shared by its tests; so
/// the client runs in a process of its own.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_goes_up_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let hub = LocalHub::start(LocalHubConfig::new(dir.path().join("hub")))
        .await
        .unwrap();
    let mut client = Command::new(std::env::current_exe().unwrap());
    client
        .args(["--exact", "the_client", "--ignored", "--nocapture"])
        .env("HF_ENDPOINT", hub.endpoint())
        .env("HF_TOKEN", &hub.accounts()[0].token)
        .env("HF_HOME", dir.path().join("home"));
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        client.env_remove(proxy);
    }
    let output = tokio::task::spawn_blocking(move || client.output().unwrap())
        .await
        .unwrap();
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
    assert!(dir.path().join("home").exists(), "the client kept to its folder");
    hub.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "the other test runs it, with an environment of its own"]
async fn the_client() {
    let client = HFClient::new().unwrap();
    let name = client.whoami().send().await.unwrap().username;
    let repo_id = format!("{name}/large");
    client
        .create_repository()
        .repo_id(&repo_id)
        .repo_type(RepoTypeModel)
        .private(true)
        .send()
        .await
        .unwrap();
    let repo = client.model(&name, "large");
    let content = noise(1);
    let source = AddSource::bytes(content.clone());
    repo.upload_file()
        .source(source)
        .path_in_repo("model.safetensors")
        .send()
        .await
        .unwrap();

    let file = repo
        .get_paths_info()
        .paths(vec!["model.safetensors".to_owned()])
        .send()
        .await
        .unwrap();
    let text = format!("{file:?}");
    assert!(text.contains("xet_hash: Some"), "it went over Xet: {text}");
    let path = repo
        .download_file()
        .filename("model.safetensors")
        .send()
        .await
        .unwrap();
    assert!(std::fs::read(path).unwrap() == content, "the same bytes over Xet");
    let bytes = repo
        .download_file_to_bytes()
        .filename("model.safetensors")
        .send()
        .await
        .unwrap();
    assert!(bytes == content, "the same bytes as a stream");
    let range = 70_000_000_u64..70_001_000;
    let bytes = repo
        .download_file_to_bytes()
        .filename("model.safetensors")
        .range(range)
        .send()
        .await
        .unwrap();
    assert!(bytes == content[70_000_000..70_001_000], "a range of them");
}
