//! Moves files between a folder and a Hub: `transfer up|down TYPE REPO FOLDER` and `transfer get TYPE REPO PATH FILE`.
//!
//! Endpoint and token come from the settings, so `HF_ENDPOINT` and `HF_TOKEN` are all it needs. Prints one JSON line.

use std::io::Write as _;
use std::path::Path;

use hf_core::{HfClient, HuggingFaceSettings, RepoId, Revision, SettingsInput};
use hf_datasets::{CreateOptions, DownloadOptions, Progress, RepoFiles, UploadOptions};
use serde_json::json;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let [verb, repo_type, repo_id, rest @ ..] = words.as_slice() else {
        return Err("usage: transfer up|down TYPE REPO FOLDER, or transfer get TYPE REPO PATH FILE".into());
    };
    let settings = HuggingFaceSettings::resolve(SettingsInput::from_process())?;
    let client = HfClient::from_settings(&settings)?;
    let repo = RepoFiles::new(&client, repo_type.parse()?, RepoId::parse(repo_id)?);
    let report = match (*verb, rest) {
        ("up", [folder]) => {
            repo.create(&CreateOptions::default()).await?;
            let commit = repo
                .upload_folder(Path::new(folder), &UploadOptions::default())
                .await?;
            json!({ "oid": commit.oid, "changed": commit.changed, "files": commit.files_changed })
        }
        ("down", [folder]) => {
            let snapshot = repo
                .download_snapshot(Path::new(folder), &DownloadOptions::default())
                .await?;
            let received: u64 = snapshot.files.iter().map(|file| file.received_bytes).sum();
            json!({ "oid": snapshot.revision, "files": snapshot.files.len(), "received_bytes": received })
        }
        ("get", [path, file]) => {
            let got = repo
                .download_file(path, &Revision::main(), Path::new(file), &Progress::none())
                .await?;
            json!({
                "size_bytes": got.size_bytes,
                "received_bytes": got.received_bytes,
                "resumed_bytes": got.resumed_bytes,
                "verified": got.verified,
            })
        }
        _ => return Err("the first word is up, down or get".into()),
    };
    writeln!(std::io::stdout(), "{report}")?;
    Ok(())
}
