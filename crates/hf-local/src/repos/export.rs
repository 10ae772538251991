//! The files of a commit, as files of this machine.

use std::io;
use std::path::Path;

use futures::TryStreamExt;
use tokio::io::AsyncWriteExt;

use super::RepoPath;
use crate::git::Oid;
use crate::jobs::make_folder;
use crate::reply::HubError;
use crate::state::Hub;

/// Writes the files of a tree below `place`; `base` is where in the repository the tree is, and is left out of the names.
///
/// # Errors
/// What to tell whoever reads the log.
pub(crate) async fn export(
    hub: &Hub,
    tree: Oid,
    base: Option<&RepoPath>,
    place: &Path,
) -> Result<(), String> {
    let failed = |error: HubError| error.message().to_owned();
    let broken = |error: io::Error| error.to_string();
    make_folder(place).await.map_err(broken)?;
    let prefix = base.map_or_else(String::new, |base| format!("{base}/"));
    for item in hub.all_files(tree, base).await.map_err(failed)? {
        let Some(blob) = &item.blob else { continue };
        let name = item.path.strip_prefix(&prefix).unwrap_or(&item.path);
        let target = place.join(name);
        match &blob.pointer {
            None => {
                let body = hub.blob_body(item.oid).await.map_err(failed)?;
                write_file(&target, futures::stream::iter([Ok(body)]))
                    .await
                    .map_err(broken)?;
            }
            Some(pointer) => {
                let object = hub.large.find(&pointer.sha256).await.map_err(failed)?;
                let object = object.ok_or_else(|| format!("the bytes of {} are gone", item.path))?;
                let bytes = hub.large.stream(&object, 0..object.size);
                write_file(&target, bytes).await.map_err(broken)?;
            }
        }
    }
    Ok(())
}

/// Writes a file and the folders above it.
pub(crate) async fn write_file(
    path: &Path,
    bytes: impl futures::Stream<Item = io::Result<bytes::Bytes>> + Send,
) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        make_folder(folder).await?;
    }
    let mut file = tokio::fs::File::create(path).await?;
    tokio::pin!(bytes);
    while let Some(piece) = bytes.try_next().await? {
        file.write_all(&piece).await?;
    }
    file.flush().await
}
