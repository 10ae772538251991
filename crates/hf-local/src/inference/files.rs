//! From a commit to a folder that an engine can read.

use std::path::Path;

use futures::StreamExt;
use tokio::io::AsyncWriteExt;

use super::engine::{ModelListing, ModelPlan};
use crate::reply::{HubError, HubResult};
use crate::repos::{Commit, RepoKind, RepoPath};
use crate::state::Hub;

/// Tells an engine what a commit holds.
pub(super) async fn listing(hub: &Hub, commit: &Commit) -> HubResult<ModelListing> {
    let config = hub
        .text_file(commit.tree, "config.json")
        .await?
        .and_then(|text| serde_json::from_str(&text).ok());
    let files = hub
        .all_files(commit.tree, None)
        .await?
        .into_iter()
        .map(|item| {
            let size = item.blob.as_ref().map_or(0, |blob| blob.real_size());
            (item.path, size)
        })
        .collect();
    Ok(ModelListing {
        config,
        files,
        pipeline_tag: hub.facts(RepoKind::Model, commit).await?.pipeline.clone(),
    })
}

/// Puts the files of a plan below a folder. Large ones are linked where that can be done.
pub(super) async fn lay_out(hub: &Hub, commit: &Commit, plan: &ModelPlan, dir: &Path) -> HubResult<()> {
    for name in &plan.files {
        let path = RepoPath::parse(name)?;
        let missing = || HubError::entry_not_found(format!("{name} is not in the repository"));
        let (oid, blob) = hub.file(commit.tree, &path).await?.ok_or_else(missing)?;
        let to = dir.join(name);
        if let Some(parent) = to.parent() {
            tokio::fs::create_dir_all(parent).await?;
        }
        let Some(pointer) = &blob.pointer else {
            tokio::fs::write(&to, hub.blob_body(oid).await?).await?;
            continue;
        };
        let object = hub.large.find(&pointer.sha256).await?.ok_or_else(missing)?;
        if let Some(stored) = hub.large.stored_at(&object)
            && tokio::fs::hard_link(&stored, &to).await.is_ok()
        {
            continue;
        }
        let mut file = tokio::fs::File::create(&to).await?;
        let mut pieces = hub.large.stream(&object, 0..object.size);
        while let Some(piece) = pieces.next().await {
            file.write_all(&piece?).await?;
        }
        file.flush().await?;
    }
    Ok(())
}
