//! Buckets: storage without a history, as far as jobs need it. Scripts of jobs are shipped through them.
//!
//! Made, looked at, listed, filled and removed; mounted into jobs. Copies between repositories (`copyFile`), settings, and downloads
//! by address are answered 501.

mod routes;
mod store;

use bytes::Bytes;
use futures::Stream;

pub(crate) use routes::router;
pub(crate) use store::MIGRATIONS;

use crate::extract::Caller;
use crate::reply::{HubError, HubResult};
use crate::state::Hub;

/// Refuses a bucket (`namespace/name`) that is not there or that the caller may not read.
pub(crate) async fn require_read(hub: &Hub, caller: &Caller, id: &str) -> HubResult<()> {
    store::find_readable(hub, caller, id).await.map(drop)
}

/// The files of a bucket below a folder, by their paths there, each with its Xet hash.
pub(crate) async fn files_below(
    hub: &Hub,
    id: &str,
    folder: Option<&str>,
) -> HubResult<Vec<(String, String)>> {
    let (namespace, name) = id.split_once('/').ok_or_else(HubError::repo_not_found)?;
    let bucket = store::find(hub, namespace, name)
        .await?
        .ok_or_else(HubError::repo_not_found)?;
    let prefix = folder.map_or_else(String::new, |folder| format!("{folder}/"));
    let files = store::list(hub, &bucket, &prefix).await?;
    Ok(files
        .into_iter()
        .filter_map(|file| {
            let name = file.path.strip_prefix(&prefix)?.to_owned();
            Some((name, file.xet_hash))
        })
        .collect())
}

/// The bytes of a file.
#[cfg(feature = "xet")]
pub(crate) fn read(
    hub: &Hub,
    hash: &str,
) -> HubResult<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>> {
    use futures::TryStreamExt;
    let (store, hash) = (hub.xet.clone(), hash.parse::<crate::xet::XetHash>());
    let hash = hash.map_err(|error| HubError::internal(&error))?;
    let open = async move {
        store
            .stream_file(&hash, None)
            .await
            .map_err(std::io::Error::other)
    };
    Ok(futures::stream::once(open).try_flatten())
}

/// The bytes of a file: without Xet there are none.
#[cfg(not(feature = "xet"))]
pub(crate) fn read(_: &Hub, _: &str) -> HubResult<impl Stream<Item = std::io::Result<Bytes>> + Send + use<>> {
    let none: HubResult<futures::stream::Empty<std::io::Result<Bytes>>> =
        Err(HubError::not_served("Buckets in a build without Xet"));
    none
}
